# SPDX-License-Identifier: GPL-2.0-or-later
"""Bandwidth limits, measured as bytes over time. Others use the machine too, so nothing is expected to be exact."""

import contextlib
import threading
import time

import pytest

from harness.api import endpoint_port

WORLD = "203.0.113.10"
RATE = 4_000_000  # bytes a second
BURST = 200_000
SECONDS = 2.0


@pytest.fixture
def scene(host, weftd, guest):
    with contextlib.ExitStack() as stack:
        yield lambda bandwidth=None: Scene(host, weftd, guest, stack, bandwidth)


class Scene:
    def __init__(self, host, weftd, guest, stack, bandwidth):
        self.stack = stack
        self.host = host
        self.world = host.add_uplink()
        self.world.add(f"{WORLD}/32")
        self.daemon = weftd()
        self.api = self.daemon.api
        body = {"ports": [8080]}
        if bandwidth:
            body["bandwidth"] = bandwidth
        self.sandbox = self.api.register("one", body)
        self.guest = guest(self.sandbox)
        self.guest.serve("8080,http,one")
        self.api.wait("one", "attached")

    def to_guest(self, connect):
        with self.guest.listen(9000) as listener:
            return self._carry(listener, connect)

    def from_guest(self):
        with self.world.listen(9000, WORLD) as listener:
            return self._carry(listener, lambda: self.guest.connect(WORLD, 9000))

    def _carry(self, listener, connect):
        """Bytes per second that arrive at LISTENER from the one who connects and sends all it can."""
        with connect() as sender:
            receiver, _ = listener.accept()
            over = threading.Event()
            thread = threading.Thread(target=_send_all_the_time, args=(sender, over))
            thread.start()
            try:
                return measure(receiver)
            finally:
                over.set()
                receiver.close()
                thread.join()

    def download(self):
        """Bytes per second from the guest to a client of the forwarder."""
        with self.host.connect("127.0.0.1", endpoint_port(self.sandbox, 8080)) as client:
            client.sendall(b"GET /bytes/4000000000 HTTP/1.1\r\nHost: x\r\n\r\n")
            # The rule that limits what ends on tap0 lets a second's worth go ahead.
            return measure(client, ahead=RATE + RATE // 2)


def _send_all_the_time(connection, over):
    with contextlib.suppress(OSError):
        while not over.is_set():
            connection.sendall(bytes(1 << 16))


def measure(connection, ahead=RATE // 4):
    """Bytes per second, once those AHEAD, that a bucket holds at the start, have gone."""
    receive_all_of(connection, ahead)
    start = time.monotonic()
    count = 0
    while time.monotonic() - start < SECONDS:
        count += len(connection.recv(1 << 16))
    return count / (time.monotonic() - start)


def receive_all_of(connection, count):
    while count > 0:
        count -= len(connection.recv(1 << 16))


def is_about(rate, wanted):
    """Never more than a limit allows, bursts within the time apart; less, as far as a busy machine explains it."""
    assert 0.6 * wanted < rate < 1.15 * wanted + BURST / SECONDS, f"{rate / wanted:.2f} of what was asked for"


def is_unlimited(rate):
    assert rate > 5 * RATE, f"{rate / RATE:.2f}"


def test_to_the_guest(scene):
    one = scene({"to_guest": {"rate": RATE, "burst": BURST}})
    is_about(one.to_guest(lambda: one.host.connect(one.sandbox["host_ip"], 9000)), RATE)
    is_unlimited(one.from_guest())


def test_from_the_guest(scene):
    one = scene({"from_guest": {"rate": RATE, "burst": BURST}})
    is_about(one.from_guest(), RATE)
    # What goes to the forwarder ends on tap0, and counts too.
    is_about(one.download(), RATE)
    is_unlimited(one.to_guest(lambda: one.host.connect(one.sandbox["host_ip"], 9000)))


def test_through_the_forwarder_to_the_guest(scene):
    one = scene({"to_guest": {"rate": RATE, "burst": BURST}})
    one.api.patch("one", {"publish": [{"guest_port": 9000, "listen": "127.0.0.1:19000"}]})
    is_about(one.to_guest(lambda: one.host.connect("127.0.0.1", 19000)), RATE)


def test_a_limit_is_changed_and_lifted_while_it_runs(scene):
    one = scene()
    is_unlimited(one.from_guest())
    one.api.patch("one", {"bandwidth": {"from_guest": {"rate": RATE, "burst": BURST}, "to_guest": {"rate": RATE}}})
    assert one.api.show("one")["bandwidth"]["from_guest"] == {"rate": RATE, "burst": BURST}
    is_about(one.from_guest(), RATE)
    is_about(one.to_guest(lambda: one.host.connect(one.sandbox["host_ip"], 9000)), RATE)
    one.api.patch("one", {"bandwidth": {}})
    is_unlimited(one.from_guest())
    is_unlimited(one.to_guest(lambda: one.host.connect(one.sandbox["host_ip"], 9000)))


def test_one_sandboxs_limit_is_not_anothers(scene, guest):
    one = scene({"from_guest": {"rate": RATE // 4}})
    other = one.api.register("two")
    one.guest = guest(other)
    one.api.wait("two", "attached")
    is_unlimited(one.from_guest())
