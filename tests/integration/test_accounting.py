# SPDX-License-Identifier: GPL-2.0-or-later
"""A sandbox's counters never go back, whatever happens to the daemon and to the kernel's tables."""

import datetime
import socket

import pytest

from harness.api import endpoint_port
from harness.client import receive_all, receive_exactly
from harness.packets import Wire, ethernet, udp
from harness.wait import poll_until

COUNTERS = (
    *("bytes_to_guest", "bytes_from_guest", "packets_to_guest", "packets_from_guest"),
    *("connections_total", "drops_total"),
)


@pytest.fixture
def scene(host, weftd, guest):
    return lambda config=None: Scene(host, weftd, guest, config)


class Scene:
    def __init__(self, host, weftd, guest, config):
        self.host = host
        host.add_uplink()
        self.daemon = weftd(config)
        self.api = self.daemon.api
        self.factory = guest
        self.sandbox = self.api.register("one", {"ports": [7]})
        self.attach()

    def attach(self):
        self.guest = self.factory(self.sandbox)
        self.guest.serve("7,echo")
        self.api.wait(self.sandbox["id"], "attached")

    def counters(self):
        found = self.api.show(self.sandbox["id"])["counters"]
        return {name: found[name] for name in COUNTERS}

    def traffic(self, size=200_000):
        """SIZE bytes there and back by each of the two ways in, and one packet of each kind that is dropped."""
        for address, port in ((self.sandbox["host_ip"], 7), ("127.0.0.1", endpoint_port(self.sandbox, 7))):
            with self.host.connect(address, port) as client:
                for _ in range(size // 10_000):
                    client.sendall(bytes(10_000))
                    receive_exactly(client, 10_000)
                client.shutdown(socket.SHUT_WR)
                assert receive_all(client) == b""
        # A closed connection's last packet, after its conntrack entry is gone, would count as dropped.
        poll_until(lambda: not self.guest.output(["ss", "-tnH", "state", "connected"]))
        with Wire(self.guest, "eth0") as wire:
            wire.send(ethernet(udp("10.1.2.3", 9)))  # dropped by the namespace's rules
            wire.send(ethernet(udp("192.0.2.2", 9)))  # dropped by the host's
            wire.send(ethernet(udp("203.0.113.1", 9, source="1.2.3.4")))  # dropped before either

    def moved(self, before):
        """Waits until the counters have grown from BEFORE by one traffic(), and returns their new values."""
        poll_until(lambda: self.counters()["drops_total"] >= before["drops_total"] + 3, what=lambda: str(self.counters()))
        poll_until(lambda: self.counters()["connections_total"] > before["connections_total"])
        for name in ("bytes_to_guest", "bytes_from_guest"):
            poll_until(lambda: self.counters()[name] >= before[name] + 400_000, what=name)  # pylint: disable=cell-var-from-loop
        after = self.counters()
        for name in ("bytes_to_guest", "bytes_from_guest"):
            assert after[name] - before[name] < 800_000, f"{name}: {before} {after}"
        for name in ("packets_to_guest", "packets_from_guest"):
            assert 40 <= after[name] - before[name] < 2000, f"{name}: {before} {after}"
        assert after["drops_total"] == before["drops_total"] + 3
        return after


def not_less(after, before):
    for name in COUNTERS:
        assert after[name] >= before[name], f"{name}: {before} {after}"


def test_both_ways_in_count_both_directions(scene):
    one = scene()
    before = one.counters()
    one.traffic()
    one.moved(before)


def test_never_back_over_stops_and_kills(scene):
    one = scene()
    for end in ("stop", "kill", "stop"):
        before = one.counters()
        one.traffic()
        before = one.moved(before)
        getattr(one.daemon, end)()
        one.daemon.start()
        after = one.counters()
        not_less({**after, "connections_total": before["connections_total"]}, before)
        if end == "stop":
            not_less(after, before)


def test_never_back_over_repair(scene):
    """Each table in turn, and all of them at once, while the daemon runs and while it does not."""
    one = scene()
    inner = one.host.netns("ns-1")

    def check(flush, there):
        before = one.counters()
        one.traffic()
        before = one.moved(before)
        if not there:
            one.daemon.stop()
        flush()
        if not there:
            one.daemon.start()
        not_less(one.counters(), before)
        poll_until(lambda: "drop_malformed" in inner.nft() and "sandbox_drops" in one.host.nft())
        poll_until(lambda: "guest_egress" in inner.nft())
        not_less(one.counters(), before)

    for there in (True, False):
        check(lambda: inner.run(["nft", "delete", "table", "inet", "weft"]), there)
        check(lambda: inner.run(["nft", "delete", "table", "netdev", "weft"]), there)
        check(lambda: one.host.run(["nft", "delete", "table", "inet", "weft"]), there)
        check(lambda: [space.run(["nft", "flush", "ruleset"]) for space in (inner, one.host)], there)
    before = one.counters()
    one.traffic()
    one.moved(before)


def test_the_hosts_listing_can_be_loaded_again_with_what_it_counted(scene):
    one = scene()
    before = one.counters()
    one.traffic()
    before = one.moved(before)
    listing = one.host.output(["nft", "list", "ruleset"])
    assert "veth-1" in listing and "denied_host_ports" in listing
    one.host.run(["nft", "-f", "-"], input="flush ruleset\n" + listing)
    not_less(one.counters(), before)
    one.traffic()
    one.moved(before)
    assert "repaired" not in one.daemon.log()


@pytest.mark.parametrize("recycled", [False, True])
def test_the_next_tenant_of_the_slot_begins_at_nothing(scene, recycled):
    """In a newly built slot, and in the same slot from the pool."""
    one = scene({"pool": {"size": 3, "refill": 1, "quarantine": "0s"}} if recycled else None)
    link = one.host.links()["veth-1"]["ifindex"]
    before = one.counters()
    one.traffic()
    one.moved(before)
    one.guest.kill()
    one.api.wait("one", "detached")
    if recycled:
        one.daemon.widen_pool()
    one.api.unregister("one")
    poll_until(lambda: one.api.status()["pool"]["quarantined"] == 0)
    one.sandbox = one.daemon.register_at(1, {"ports": [7]})
    assert (one.host.links()["veth-1"]["ifindex"] == link) == recycled
    assert set(one.counters().values()) == {0}
    assert one.api.show(one.sandbox["id"])["last_activity"] is None
    one.attach()
    before = one.counters()
    assert before["drops_total"] == 0
    one.traffic()
    one.moved(before)


def seconds_of(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.mark.parametrize("way", ["forwarder", "kernel"])
def test_last_activity(scene, way):
    one = scene()
    address, port = ("127.0.0.1", endpoint_port(one.sandbox, 7)) if way == "forwarder" else (one.sandbox["host_ip"], 7)
    with one.host.connect(address, port) as client:
        last = 0.0
        for _ in range(2):
            client.sendall(b"x")
            assert client.recv(10) == b"x"
            now = poll_until(lambda: seconds_of(one.api.show("one")["last_activity"] or "1970-01-01T00:00:00Z"))

            def later():
                client.sendall(b"x")
                client.recv(10)
                return seconds_of(one.api.show("one")["last_activity"]) > now

            poll_until(later, interval=0.1)
            assert now >= last
            last = now


def test_a_lost_datagram_is_a_drop_of_its_sandbox(host, weftd):
    """Of an endpoint whose guest is not there yet; another sandbox's counter stays."""
    daemon = weftd()
    api = daemon.api
    made = api.register("one", {"ports": [{"guest_port": 53, "proto": "udp"}]})
    api.register("two", {"ports": [{"guest_port": 53, "proto": "udp"}]})
    with host.socket(kind=socket.SOCK_DGRAM) as client:
        for _ in range(3):
            client.sendto(b"lost", ("127.0.0.1", endpoint_port(made, 53)))

    def drops(name):
        return api.show(name)["counters"]["drops_total"]

    poll_until(lambda: drops("one") == 3, what=lambda: str(drops("one")))
    assert drops("two") == 0
    daemon.stop()
    daemon.start()
    assert drops("one") == 3
