# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody waits for the log's reader: one that stands still stops nothing, and is told afterwards how much it missed."""

import os
import re
import signal
import socket
import subprocess
import threading

import pytest

from harness.api import endpoint_port
from harness.daemon import SANITIZER_OPTIONS
from harness.wait import PATIENCE, poll_until

# Each reload tells of all of them, in some 30 KiB.
MISTAKES = "[pool]\n" + "".join(f"unknown_{n} = {'x' * 150}\n" for n in range(100))

LOST = re.compile(r'msg="log lines lost" count=(\d+) since=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z')


def lost(api):
    return api.metrics()["weft_log_lines_lost_total"]


def start(daemon, *arguments, stderr):
    """Starts it with a stderr of the test's own."""
    daemon.process = daemon.host.popen(
        daemon.command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        env={**os.environ, **SANITIZER_OPTIONS},
    )
    return daemon.await_running()


def flood(daemon):
    """Has it log until lines are lost."""
    before = lost(daemon.api)
    daemon.write_config(MISTAKES)

    def reload():
        daemon.signal(signal.SIGHUP)
        return lost(daemon.api) > before

    poll_until(reload, what="lines to be lost")
    daemon.write_config({})


def forwards(host, sandbox):
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
        client.sendall(b"x")
        return client.recv(1) == b"x"


class Reader(threading.Thread):
    """Reads what RECEIVE returns, up to its end, into `text`."""

    def __init__(self, receive):
        super().__init__(daemon=True)
        self.receive = receive
        self.chunks = []
        self.start()

    def run(self):
        while chunk := self.receive():
            self.chunks.append(chunk)

    @property
    def text(self):
        return b"".join(self.chunks).decode(errors="replace")


def test_a_stopped_reader_of_stderr_stops_nothing(weftd, guest, host):
    reading, writing = os.pipe()
    daemon = weftd(run=False)
    start(daemon, "--foreground", stderr=writing)
    os.close(writing)
    try:
        sandbox = daemon.api.register("a1", {"ports": [7]})
        guest(sandbox).serve("7,echo")
        daemon.api.wait("a1", "attached")
        flood(daemon)
        assert daemon.api.list() and forwards(host, sandbox)
        daemon.api.register("a2", {})
        reader = Reader(lambda: os.read(reading, 1 << 16))
        counted = int(poll_until(lambda: LOST.search(reader.text), what="the count of lost lines").group(1))
        assert counted == lost(daemon.api)
        with open(daemon.log_path, "w", encoding="utf-8") as file:
            file.write(reader.text)  # for the fixture, which looks for sanitizers' reports
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(PATIENCE) == 0
        reader.join()
        assert 'msg="weftd ends"' in reader.text
        daemon.process = None
    finally:
        os.close(reading)


def test_a_stopped_reader_of_stderr_delays_no_end(weftd):
    reading, writing = os.pipe()
    daemon = weftd(run=False)
    start(daemon, "--foreground", stderr=writing)
    os.close(writing)
    try:
        flood(daemon)
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(PATIENCE) == 0
        daemon.process = None
    finally:
        os.close(reading)


@pytest.fixture
def journal(host):
    """A stand-in for journald's socket, read by the test alone."""
    os.makedirs("/run/systemd", exist_ok=True)
    host.run(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd"])
    os.mkdir(host.file("/run/systemd/journal"))
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(host.file("/run/systemd/journal/socket"))
    made.settimeout(PATIENCE)
    yield made
    made.close()


def records(journal, until):
    """The journal's records, as texts, up to the first that matches UNTIL."""
    while True:
        record = journal.recv(1 << 16).decode()
        yield record
        if re.search(until, record):
            return


def test_a_stopped_journal_stops_nothing(weftd, guest, host, journal):
    daemon = weftd(run=False)
    with open(daemon.log_path, "ab") as log:
        start(daemon, stderr=log)
    sandbox = daemon.api.register("a1", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    daemon.api.wait("a1", "attached")
    flood(daemon)
    assert daemon.api.list() and forwards(host, sandbox)
    seen = list(records(journal, LOST))
    first = dict(line.split("=", 1) for line in seen[0].splitlines())
    assert first["MESSAGE"].startswith('level=info msg="weftd starts" version=')
    assert (first["PRIORITY"], first["SYSLOG_IDENTIFIER"]) == ("6", "weftd")
    assert first["WEFT_SOCKET"] == daemon.socket
    assert int(re.search("WEFT_COUNT=(.*)", seen[-1]).group(1)) == lost(daemon.api)
    flood(daemon)
    daemon.signal(signal.SIGABRT)
    assert daemon.process.wait(PATIENCE) == -signal.SIGABRT
    # It did not wait for the journal, so the last line is where there was room.
    assert re.search(r'msg="weftd crashes" signal=ABRT thread=weftd sender=\d+', daemon.log())
    daemon.process = None


def lines_of(log, message, sandbox):
    """The lines MESSAGE of SANDBOX that were written, and those that were swallowed, as later lines tell."""
    told = re.findall(rf'msg="log lines suppressed" sandbox={sandbox} of="?{message}"? suppressed=(\d+)', log)
    return len(re.findall(rf'msg="?{message}"? sandbox={sandbox} ', log)), sum(map(int, told))


def test_a_noisy_sandbox_silences_no_other_and_each_line_is_accounted_for(host, weftd):
    daemon = weftd({})
    slots = {name: daemon.api.register(name) for name in ("noisy", "quiet")}

    def damage(name):
        address = slots[name]["host_ip"]
        host.run(["ip", "route", "del", address])
        poll_until(lambda: address in host.output(["ip", "route", "show", address]))

    def refuse(name):
        daemon.api.request("PUT", f"/v1/sandboxes/{name}", body={"nonsense": 1}).problem(400)

    for _ in range(7):
        damage("noisy")
    for _ in range(25):
        refuse("noisy")
    damage("quiet")
    refuse("quiet")
    daemon.stop()
    log = daemon.log()
    assert lines_of(log, "repaired", "quiet") == (1, 0), log
    assert lines_of(log, "control: change", "quiet") == (2, 0), log
    assert sum(lines_of(log, "repaired", "noisy")) == 7, log
    assert lines_of(log, "repaired", "noisy")[1], log
    assert sum(lines_of(log, "control: change", "noisy")) == 26, log
    assert " suppressed=" not in re.sub(r'.*msg="log lines suppressed".*', "", log)
