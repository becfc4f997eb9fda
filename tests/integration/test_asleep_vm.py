# SPDX-License-Identifier: GPL-2.0-or-later
"""A real virtual machine that sleeps as a snapshot on disk: QEMU ends, and another one goes on with what it saved."""

import hashlib
import socket
import threading
import time

import pytest

from harness.asleep import CONFIG, Client, Events, route_world
from harness.client import receive_all
from harness.vm import BOOT_LIMIT
from harness.wait import PATIENCE, poll_until, tried
from harness.waker import Waker

pytestmark = pytest.mark.vm

AGENT, SHELL, FILES, UDP = 49983, 2323, 8080, 5300

ECHO = """python3 -c '
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 5300))
while True:
    data, peer = s.recvfrom(2000)
    s.sendto(b"re:" + data, peer)
' &
httpd -p 8080 -h /www
"""


class Shell:
    """A session with the guest's shell."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.settimeout(4 * PATIENCE)
        self.stream = connection.makefile("rb")

    def send(self, command):
        self.connection.sendall(command.encode() + b"\n")

    def line(self):
        return self.stream.readline().decode().strip()

    def run(self, command):
        """The first line that COMMAND prints."""
        self.send(command)
        return self.line()

    def close(self):
        self.stream.close()
        self.connection.close()


class Sender(threading.Thread):
    """Sends a numbered datagram again and again from one port, until stop(); `answered` is the number of the last answer."""

    def __init__(self, namespace, address):
        super().__init__(daemon=True)
        self.socket = namespace.socket(kind=socket.SOCK_DGRAM)
        self.socket.connect((address, UDP))
        self.socket.settimeout(0.1)
        self.sent = 0
        self.answered = 0
        self.over = False
        self.start()

    def run(self):
        while not self.over:
            self.sent += 1
            try:
                self.socket.send(b"%d" % self.sent)
                self.answered = max(self.answered, int(self.socket.recv(100)[3:]))
                time.sleep(0.05)
            except (TimeoutError, ConnectionRefusedError):
                pass

    def await_answer(self):
        """Waits until a datagram that is sent from now on is answered."""
        begin = self.sent + 1
        poll_until(lambda: self.answered >= begin, 2 * PATIENCE, what=lambda: f"{self.answered} of {self.sent}")

    def stop(self):
        self.over = True
        self.join()
        self.socket.close()


class SleepingVm:
    """A sandbox with a VM, and the manager that wakes it from its last snapshot, or from the one that it is told."""

    def __init__(self, api, boot, folder):
        self.api = api
        self.boot = boot
        self.folder = folder
        wake = {"ports": [SHELL, FILES, f"{UDP}/udp"], "min_awake_ms": 0}
        # Half a megabyte a second, so that the download is under way for seconds.
        self.sandbox = api.register("one", {"ready_port": AGENT, "wake": wake, "bandwidth": {"from_guest": {"rate": 500_000, "burst": 200_000}}})
        self.address = self.sandbox["host_ip"]
        self.runs = 0
        self.machine = self._start()
        api.wait("one", "ready", timeout=BOOT_LIMIT)

    def _start(self, saved=None):
        self.runs += 1
        return self.boot(self.sandbox, agent=True, shell=SHELL, monitor=f"{self.folder}/monitor-{self.runs}", saved=saved)

    def sleep(self):
        """The path of the snapshot."""
        path = f"{self.folder}/saved-{self.runs}"
        self.api.patch("one", {"paused": True})
        self.machine.snapshot(path)
        return path

    def resume(self, saved, flows="keep"):
        self.machine = self._start(saved).go_on()
        self.api.patch("one", {"paused": False, "flows": flows})


def download(host, address):
    """(the connection, on which a file of 4 MB was asked for)."""
    made = host.connect(address, FILES, timeout=4 * PATIENCE)
    made.sendall(b"GET /blob HTTP/1.0\r\n\r\n")
    return made


def test_a_snapshot_is_woken_by_a_packet_and_its_connections_go_on(host, weftd, vm, folder):
    """A shell, a download and a sender of datagrams live through it; a datagram and a SYN wake it; a roll-back resets what it never knew."""
    world = host.add_uplink()
    route_world(world)
    waker = Waker(f"{folder}/waker.sock").start()
    daemon = weftd({**CONFIG, "wake": {"notify": waker.path}})
    api, events = daemon.api, Events(daemon.api)
    one = SleepingVm(api, vm, folder)
    shell = Shell(host.connect(one.address, SHELL))
    assert shell.run("echo $((6*7))") == "42"
    shell.send(ECHO)
    sha = shell.run("cat /www/blob.sha256")
    sender = Sender(world, one.address)
    try:
        sender.await_answer()
        poll_until(lambda: shell.run("nc -w 1 127.0.0.1 8080 </dev/null >/dev/null && echo yes || echo no") == "yes")
        loading = download(world, one.address)
        begin = loading.recv(1000)
        shell.send("sleep 3; echo spoken")  # by the guest's clock, which stands still meanwhile

        saved = one.sleep()
        shell.send("echo $((7*7))")
        waited = sender.sent + 5
        poll_until(lambda: sender.sent > waited)
        assert api.show("one")["state"] == "paused" and not events.wakes("one")  # nothing new came

        waker.resume["one"] = lambda said: one.resume(saved)

        def one_datagram():
            with world.socket(kind=socket.SOCK_DGRAM, timeout=PATIENCE) as made:
                made.connect((one.address, UDP))
                made.send(b"wake up")
                assert made.recv(100) == b"re:wake up"

        tried(one_datagram)
        assert events.await_wake("one")[0]["proto"] == "udp"
        api.wait("one", "ready", timeout=BOOT_LIMIT)
        assert (shell.line(), shell.line()) == ("spoken", "49")
        sender.await_answer()
        body = (begin + receive_all(loading)).split(b"\r\n\r\n", 1)[1]
        assert hashlib.sha256(body).hexdigest() == sha

        # A SYN wakes it as well, from where it went to sleep now.
        assert shell.run("touch /tmp/later; echo done") == "done"
        latest = one.sleep()
        waker.resume["one"] = lambda said: one.resume(latest)
        second = Client(lambda: host.connect(one.address, SHELL), b"ls /tmp\n", b"later\n")
        assert events.await_wake("one", 2)[-1]["proto"] == "tcp"
        second.close()
        assert shell.run("echo still here") == "still here"

        # Rolled back to the first snapshot, and all flows reset: what came later never was.
        one.sleep()
        one.resume(saved, flows="reset")
        api.wait("one", "ready", timeout=BOOT_LIMIT)
        with pytest.raises((ConnectionResetError, ConnectionAbortedError)):
            shell.line()
        shell.close()
        shell = Shell(host.connect(one.address, SHELL))
        assert shell.run("test -e /tmp/later || echo gone") == "gone"
        sender.await_answer()
    finally:
        sender.stop()
        shell.close()
        events.end()
        waker.close()
