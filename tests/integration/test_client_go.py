# SPDX-License-Identifier: GPL-2.0-or-later
"""The client in Go against a real weftd. Its own tests, clients/go/real_test.go, run as a program, to which this is the operator."""

import os
import signal
import subprocess

import pytest

from harness.api import endpoint_port
from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

MODULE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "clients", "go")
pytestmark = pytest.mark.xdist_group("go")


@pytest.fixture(scope="module")
def programs():
    """The folder with the tests and the example, built with Debian's Go if it is there."""
    folder = os.path.join(build_dir(), "clients-go")
    go = "/usr/bin/go" if os.path.exists("/usr/bin/go") else "go"
    env = {"GOCACHE": os.path.join(build_dir(), "go-cache"), **os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOPROXY": "off"}
    for arguments in (["test", "-c", "-o", f"{folder}/tests", "."], ["build", "-o", f"{folder}/example", "./example"]):
        subprocess.run([go, *arguments], cwd=MODULE, env=env, check=True, timeout=600)
    return folder


class Operator:
    """Does what the tests ask for."""

    def __init__(self, weftd, guest):
        self.weftd = weftd
        self.guest = guest
        self.guests = []

    def serve(self, words):
        getattr(self, words[0])(*words[1:])

    def freeze(self):
        self.weftd.signal(signal.SIGSTOP)

    def kill(self):
        self.weftd.kill()
        self.weftd.start()

    def stop(self):
        self.weftd.signal(signal.SIGTERM)
        self.weftd.signal(signal.SIGCONT)
        self.weftd.stop()
        self.weftd.start()

    def attach(self, sandbox):
        self.guests.append(self.guest(self.weftd.api.show(sandbox)))


def test_the_clients_own_tests(programs, weftd, guest):
    daemon = weftd({"http": {"listen": "127.0.0.1:9100"}})
    operator, told = Operator(daemon, guest), []
    process = daemon.host.popen(
        [f"{programs}/tests", "-test.v", "-test.run", "^TestReal"],
        env={**os.environ, "WEFT_SOCKET": daemon.socket, "WEFT_HTTP": "http://127.0.0.1:9100"}, cwd=MODULE,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        for line in process.stdout:
            told.append(line)
            if line.startswith("PLEASE "):
                operator.serve(line.split()[1:])
                process.stdin.write("done\n")
                process.stdin.flush()
    finally:
        process.kill()
        code = process.wait()
    assert code == 0 and "--- SKIP" not in "".join(told), "".join(told)
    assert any("PASS: TestRealRestartInTheMidstOfEachCall " in line for line in told)
    assert daemon.api.list() == []


@pytest.fixture
def example(programs, daemon, host):
    """Starts the example."""
    started = []

    def start(*more):
        argv = [f"{programs}/example", "-socket", daemon.socket, *more]
        started.append(host.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_example_is_for_newcomers(example, daemon, guest):
    def registered():
        return [one for one in daemon.api.list() if one["state"] == "waiting"]

    process = example("-port", "80")
    sandbox = poll_until(registered)[0]
    again = example().communicate(timeout=PATIENCE)[0]
    assert "choose another -id" in again
    guest(sandbox).serve("80,echo")
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0, told
    assert f"slot {sandbox['slot']}" in told and f"at 127.0.0.1:{endpoint_port(sandbox, 80)}" in told
    assert told.endswith("hello is ready\nhello is unregistered\n"), told
    assert daemon.api.list() == []

    process = example()
    poll_until(registered)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0 and told.endswith("hello is unregistered\n"), told
    assert daemon.api.list() == []
