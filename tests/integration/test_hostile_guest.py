# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that tries to break out. Each frame carries a token, and captures on all links around show where it arrived."""

import contextlib
import fcntl
import os
import socket
import struct

import pytest

from harness import packets
from harness.flow import Flow
from harness.netns import inside
from harness.packets import Wire, arp, ethernet, fragments, icmp, named_counters, tcp, tracked_flows, udp
from harness.wait import ATTEMPT, TimedOut, poll_until, tried

WORLD = "203.0.113.10"
HOST = "192.0.2.2"  # the host's own address, on the uplink
TOKEN = b"weft-hostile-guest"
V6 = bytes.fromhex("6000000000083aff") + b"\xfe\x80" + bytes(14) + b"\xff\x02" + bytes(13) + b"\x02" + TOKEN
LSRR = bytes([131, 7, 4, 10, 11, 0, 2, 0])


@pytest.fixture
def scene(host, weftd, guest):
    """Two sandboxes with guests on a host with an uplink: `Scene.wire` sends from the first."""
    with contextlib.ExitStack() as stack:
        yield Scene(host, weftd, guest, stack)


class Scene:
    def __init__(self, host, weftd, guest, stack, config=None):
        self.host = host
        self.world = host.add_uplink()
        self.world.add(f"{WORLD}/32")
        self.daemon = weftd(config)
        self.api = self.daemon.api
        self.one = self.api.register("one")
        self.two = self.api.register("two", {"ports": [8080]})
        self.guest, self.other = guest.many([self.one, self.two])
        self.other.serve("8080,echo")
        for name in ("one", "two"):
            self.api.wait(name, "attached")
        self.netns = host.netns("ns-1")
        # The kernel's own limits, per peer and for all the machine's namespaces together, are not under test here.
        for namespace in (host, self.netns):
            namespace.run(["sysctl", "-qw", "net.ipv4.icmp_ratemask=0"])
        self.tap = stack.enter_context(Wire(self.netns, "tap0"))
        self.wire = stack.enter_context(Wire(self.guest, "eth0"))
        self.beyond = [
            stack.enter_context(Wire(namespace, link))
            for namespace, link in (
                (host, "veth-1"),
                (host, "veth-2"),
                (host, "uplink0"),
                (host, "lo"),
                (host.netns("ns-2"), "tap0"),
                (self.other, "eth0"),
            )
        ]

    def send_all(self, frames):
        """Sends no faster than frames arrive, as a full queue loses them."""
        self.tap.forget()
        sent = 0
        for frame in frames:
            self.wire.send(frame)
            sent += 1
            if sent % 100 == 0:
                poll_until(lambda: self._arrived() >= sent, interval=0.001, what=f"{sent} frames to arrive")

    def settle(self):
        """Waits until all packets on their way to the guest have arrived: the answer to ARP comes last."""
        before = len(self._arp_replies())
        self.wire.send(ethernet(arp(), packets.ARP))
        poll_until(lambda: len(self._arp_replies()) > before, what="an answer to ARP")

    def _from_gateway(self, protocol):
        head = packets.mac(packets.TAP_MAC) + protocol.to_bytes(2, "big")
        return [frame for frame in self.wire.seen() if frame[6:14] == head]

    def _arp_replies(self):
        return self._from_gateway(packets.ARP)

    def answers(self):
        """The packets that the guest got from its gateway."""
        return self._from_gateway(packets.IPV4)

    def _arrived(self):
        return sum(frame[0:6] == packets.mac(packets.TAP_MAC) for frame in self.tap.seen())

    def denied(self, packet, port, counter, expected):
        """Sends a packet that must be counted once, in the namespace's COUNTER if there is one, and be answered as EXPECTED."""
        self.wire.forget()
        before, drops = named_counters(self.netns), self.drops()
        self.wire.send(ethernet(packet))
        poll_until(lambda: self.drops() == drops + 1, ATTEMPT, what=lambda: f"{drops} -> {self.drops()}")
        if counter:
            after = named_counters(self.netns)
            assert after[counter] == before[counter] + 1, f"{before} {after}"
        if expected:
            poll_until(
                lambda: packets.answers_to(self.wire, port) == expected,
                ATTEMPT,
                what=lambda: str(packets.answers_to(self.wire, port)),
            )

    def drops(self):
        return self.api.show("one")["counters"]["drops_total"]

    def nowhere(self, first=0):
        """No capture from the FIRST-th on has a frame with the token. veth-1 may have one, as an answer to the guest quotes it."""
        for wire in self.beyond[first:]:
            assert not wire.having(TOKEN), f"on {wire.name}: {wire.having(TOKEN)[0].hex(' ')}"


FORGED = {
    # name: (frame, the counter of the namespace that must count it)
    "a foreign MAC": (ethernet(udp(WORLD, 9, TOKEN), source="02:fc:00:00:00:07"), "netdev drop_mac"),
    "the gateway's MAC": (ethernet(udp(WORLD, 9, TOKEN), source=packets.TAP_MAC), "netdev drop_mac"),
    "a multicast source MAC": (ethernet(udp(WORLD, 9, TOKEN), source="01:00:5e:00:00:01"), "netdev drop_mac"),
    "ARP that claims the gateway": (ethernet(arp(packets.GATEWAY) + TOKEN, 0x0806), "netdev drop_arp"),
    "ARP for another's address": (ethernet(arp(target="10.11.0.2") + TOKEN, 0x0806), "netdev drop_arp"),
    "ARP with another's MAC inside": (
        ethernet(arp(sender_mac="02:fc:00:00:00:09") + TOKEN, 0x0806),
        "netdev drop_arp",
    ),
    "a gratuitous ARP": (
        ethernet(arp(target=packets.GUEST) + TOKEN, 0x0806, destination="ff:ff:ff:ff:ff:ff"),
        "netdev drop_arp",
    ),
    "IPv6": (ethernet(V6, 0x86DD), "netdev drop_ipv6"),
    "IPv6 multicast": (ethernet(V6, 0x86DD, destination="33:33:00:00:00:02"), "netdev drop_ipv6"),
    "LLDP": (ethernet(TOKEN * 3, 0x88CC, destination="01:80:c2:00:00:0e"), "netdev drop_protocol"),
    "a VLAN tag": (ethernet(b"\0\5\x08\0" + udp(WORLD, 9, TOKEN), 0x8100), "netdev drop_protocol"),
    "a priority tag": (ethernet(b"\0\0\x08\0" + udp(WORLD, 9, TOKEN), 0x8100), "netdev drop_protocol"),
    "two VLAN tags": (ethernet(b"\0\5\x81\0\0\6\x08\0" + udp(WORLD, 9, TOKEN), 0x88A8), "netdev drop_protocol"),
    "another sandbox's source": (ethernet(udp(WORLD, 9, TOKEN, source="10.11.0.2")), "netdev drop_source"),
    "its own host address as source": (ethernet(udp(WORLD, 9, TOKEN, source="10.11.0.1")), "netdev drop_source"),
    "the gateway's source": (ethernet(udp(WORLD, 9, TOKEN, source="169.254.0.22")), "netdev drop_source"),
    "a loopback source": (ethernet(udp(WORLD, 9, TOKEN, source="127.0.0.1")), "netdev drop_source"),
    "a world's source": (ethernet(tcp("10.11.0.2", 8080, TOKEN, source="8.8.8.8")), "netdev drop_source"),
    "DHCP": (
        ethernet(udp("255.255.255.255", 67, TOKEN, source="0.0.0.0"), destination="ff:ff:ff:ff:ff:ff"),
        "netdev drop_source",
    ),
    "broadcast": (
        ethernet(udp("255.255.255.255", 9, TOKEN), destination="ff:ff:ff:ff:ff:ff"),
        "netdev drop_multicast",
    ),
    "broadcast to the gateway's MAC": (ethernet(udp("255.255.255.255", 9, TOKEN)), "netdev drop_multicast"),
    "the link's broadcast": (
        ethernet(udp("169.254.0.23", 9, TOKEN), destination="ff:ff:ff:ff:ff:ff"),
        "netdev drop_multicast",
    ),
    "mDNS": (ethernet(udp("224.0.0.251", 5353, TOKEN), destination="01:00:5e:00:00:fb"), "netdev drop_multicast"),
    "multicast to the gateway's MAC": (ethernet(udp("239.1.2.3", 9, TOKEN)), "netdev drop_multicast"),
    "a reserved destination": (ethernet(udp("250.1.2.3", 9, TOKEN)), "netdev drop_multicast"),
    "another MAC as destination": (
        ethernet(udp(WORLD, 9, TOKEN), destination="02:fc:02:00:00:02"),
        "netdev drop_multicast",
    ),
    "loopback as destination": (ethernet(udp("127.0.0.1", 9, TOKEN)), "netdev drop_martian"),
    "another loopback address": (ethernet(tcp("127.8.9.1", 22, TOKEN)), "netdev drop_martian"),
    "no destination": (ethernet(udp("0.0.0.0", 9, TOKEN)), "netdev drop_martian"),
    "a source route": (ethernet(udp(HOST, 9, TOKEN, options=LSRR)), "netdev drop_malformed"),
    "a source route over the gateway": (ethernet(udp(packets.GATEWAY, 9, TOKEN, options=LSRR)), "netdev drop_malformed"),
    "IPv6 that says it is IPv4": (ethernet(V6), "netdev drop_source"),
    "another version": (ethernet(udp(WORLD, 9, TOKEN, version=5)), "netdev drop_malformed"),
    "a header cut short": (ethernet(udp(WORLD, 9)[:14]), "netdev drop_malformed"),
}


def test_what_is_forged_is_dropped_counted_and_seen_nowhere(scene):
    flows = tracked_flows(scene.netns), tracked_flows(scene.host)
    for name, (frame, counter) in FORGED.items():
        before, drops = named_counters(scene.netns)[counter], scene.drops()
        scene.wire.send(frame)
        poll_until(lambda: scene.drops() == drops + 1, what=lambda: f"{name}: {drops} -> {scene.drops()}")
        assert named_counters(scene.netns)[counter] == before + 1, f"{name}: {named_counters(scene.netns)}"
    scene.nowhere()
    # They are dropped before conntrack sees any of them.
    assert (tracked_flows(scene.netns), tracked_flows(scene.host)) == flows
    assert scene.api.show("two")["counters"]["drops_total"] == 0


def test_questions_for_a_router_of_ipv6_are_no_drops(scene):
    """A guest with IPv6 asks again and again; a drop would be a sign of mischief."""
    head = "6000000000083aff fe80000000000000 00fc00fffe000005 ff02000000000000 0000000000000002"
    question = bytes.fromhex(head + "85007b2f00000000")
    before = scene.drops()
    for _ in range(5):
        scene.wire.send(ethernet(question, packets.IPV6, destination="33:33:00:00:00:02"))
    poll_until(lambda: scene.api.metrics()["weft_router_solicitations_total"] >= 5)
    assert scene.drops() == before
    assert scene.api.metrics()['weft_denied_total{rule="ipv6"}'] == 0


def test_a_flood_of_junk_fills_no_table(scene):
    flows = tracked_flows(scene.netns), tracked_flows(scene.host)
    drops = scene.drops()
    scene.send_all(
        ethernet(udp(WORLD, i + 1, TOKEN, source=f"10.11.{i % 200}.{i % 250 + 1}", source_port=i + 1))
        for i in range(3000)
    )
    poll_until(lambda: scene.drops() == drops + 3000, what=lambda: str(scene.drops() - drops))
    assert (tracked_flows(scene.netns), tracked_flows(scene.host)) == flows
    scene.nowhere()


def test_a_flood_of_arp_is_limited(scene):
    def limited():
        """Works unless sending takes ten seconds, as a hundred a second pass."""
        drops = scene.drops()
        scene.send_all([ethernet(arp(), 0x0806)] * 2000)
        poll_until(lambda: scene.drops() > drops + 1000, ATTEMPT, what=lambda: str(scene.drops() - drops))

    tried(limited)


DENIED = {
    # name: (destination, the counter of the namespace; None: the host's own table denies it)
    "another sandbox": ("10.11.0.2", "inet denied_sandbox"),
    "itself": ("10.11.0.1", "inet denied_sandbox"),
    "a sandbox that is none": ("10.11.77.77", "inet denied_sandbox"),
    "another's veth, host end": ("10.12.0.4", "inet denied_sandbox"),
    "another's veth, namespace end": ("10.12.0.5", "inet denied_sandbox"),
    "its own veth, host end": ("10.12.0.2", "inet denied_sandbox"),
    "its own veth, namespace end": ("10.12.0.3", "inet denied_gateway"),
    "its gateway": (packets.GATEWAY, "inet denied_gateway"),
    "the link's broadcast address": ("169.254.0.23", "inet denied_gateway"),
    "the metadata service": ("169.254.169.254", "inet denied_private"),
    "link-local": ("169.254.9.9", "inet denied_private"),
    "10/8": ("10.0.0.1", "inet denied_private"),
    "172.16/12": ("172.17.0.1", "inet denied_private"),
    "192.168/16": ("192.168.1.1", "inet denied_private"),
    "100.64/10": ("100.64.0.1", "inet denied_private"),
    "the host's address": (HOST, None),
    "the host's address on the uplink's broadcast": ("192.0.2.255", None),
}


def test_what_policy_denies_is_answered_at_once_and_counted(scene):
    for port, (name, (destination, counter)) in enumerate(DENIED.items(), 41000):
        probes = (
            (tcp(destination, 22, flags=2, source_port=port, data=TOKEN), ["reset"]),
            (udp(destination, 53, TOKEN, source_port=port), ["prohibited"]),
            (icmp(destination, TOKEN), None),
        )
        for packet, expected in probes:
            if destination in ("169.254.0.23", "192.0.2.255"):
                expected = None  # a broadcast gets no answer
            try:
                tried(lambda: scene.denied(packet, port, counter, expected))  # pylint: disable=cell-var-from-loop
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
    assert scene.api.show("two")["counters"]["drops_total"] == 0
    scene.nowhere(first=1)
    # Its own veth shows only packets to the host's address, and the host's answers.
    for frame in scene.beyond[0].having(TOKEN):
        assert frame[26:30] == socket.inet_aton(HOST) or frame[30:33] == socket.inet_aton(HOST)[:3]


def test_fragments_are_judged_whole(scene):
    """Including fragments that hide the ports, and fragments that overlap."""
    for destination, counter in (("10.11.0.2", "inet denied_sandbox"), ("192.168.1.1", "inet denied_private")):
        for packet in (udp(destination, 8080, TOKEN * 4), tcp(destination, 8080, TOKEN * 4)):
            before = named_counters(scene.netns)[counter]
            for part in fragments(packet, 16):
                scene.wire.send(ethernet(part))
            poll_until(lambda: named_counters(scene.netns)[counter] == before + 1)
    overlapping = list(fragments(udp("10.11.0.2", 8080, TOKEN * 4), 24))
    other = list(fragments(udp("10.11.0.2", 8080, TOKEN * 4), 16))
    scene.send_all([ethernet(part) for part in (overlapping[0], other[1], *overlapping[1:])])
    scene.send_all([ethernet(part) for part in list(fragments(udp(WORLD, 9, TOKEN * 4), 16))[:-1]])  # never complete
    scene.send_all([ethernet(arp(), 0x0806)] * 100)  # after these, all frames before them have been handled
    scene.nowhere()


def test_packets_of_no_flow(scene):
    """RST, FIN, SYN+ACK and no flags at all, to a denied destination; and ICMP errors about flows of others."""
    for flags in (0, 1, 4, 18, 16, 0x29, 0x3F):
        drops = scene.drops()
        scene.wire.send(ethernet(tcp("10.11.0.2", 8080, TOKEN, flags=flags)))
        poll_until(lambda: scene.drops() == drops + 1, what=f"flags {flags:#x}")
    # A flow between the host and the other sandbox, of which the guest claims to have received packets.
    flow = Flow(scene.host.connect("10.11.0.2", 8080))
    port = flow.connection.getsockname()[1]
    about = (
        tcp("10.11.0.2", 8080, flags=16, source="10.12.0.4", source_port=port),
        tcp("10.12.0.4", port, flags=16, source="10.11.0.2", source_port=8080),
        tcp(packets.GUEST, 8080, flags=16, source="10.12.0.4", source_port=port),
    )
    for inner in about:
        for destination in ("10.12.0.4", "10.11.0.2", packets.GATEWAY, HOST):
            for kind, code in ((3, 1), (3, 4), (5, 1), (11, 0)):
                rest = 68 if (kind, code) == (3, 4) else 0
                frame = ethernet(icmp(destination, inner[:40] + TOKEN, kind, code, rest=rest))

                def dropped():
                    drops = scene.drops()
                    scene.wire.send(frame)
                    poll_until(lambda: scene.drops() > drops, ATTEMPT, what=f"ICMP {kind}, {code} to {destination}")

                tried(dropped)
    flow.check()
    flow.close()
    scene.nowhere(first=1)


def test_nothing_listens_for_guests_on_the_host(scene):
    """The daemon's own port, one on all the host's addresses, and the other sandbox's."""
    listener = scene.host.listen(2222, "0.0.0.0")
    port = scene.two["endpoints"][0]["listen"][0].rsplit(":", 1)[1]
    for address in (HOST, "10.12.0.2", "10.12.0.4", "10.11.0.2", "192.0.2.2"):
        for target in (2222, 8080, 49983, int(port)):
            with pytest.raises(ConnectionRefusedError):
                scene.guest.connect(address, target)
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()


def test_the_world_is_reached_and_replies_come_back(scene):
    scene.world.run(["ip", "link", "set", "lo", "up"])
    with scene.world.listen(80, WORLD) as listener, scene.guest.connect(WORLD, 80) as client:
        server, peer = listener.accept()
        assert peer[0] == HOST
        client.sendall(b"there")
        assert server.recv(10) == b"there"
        server.sendall(b"and back")
        assert client.recv(10) == b"and back"
        server.close()
    scene.guest.run(["ping", "-c", "1", "-w", "30", WORLD])  # seconds; one request a second until the first answer
    # Connections that others open to the guest are answered, although the answers go to a private address.
    with scene.host.connect("10.11.0.2", 8080) as client:
        client.sendall(b"echo")
        assert client.recv(10) == b"echo"


def test_answers_are_limited(scene):
    def limited():
        """True unless sending takes fourteen seconds, as a hundred a second are answered."""
        scene.wire.forget()
        drops = scene.drops()
        scene.send_all(ethernet(tcp("10.0.0.1", 22, source_port=1000 + i)) for i in range(2000))
        poll_until(lambda: scene.drops() == drops + 2000, what=lambda: str(scene.drops() - drops))
        scene.settle()
        assert len(scene.answers()) > 50
        return len(scene.answers()) < 1500

    assert any(limited() for _ in range(3))


def test_one_that_knocks_without_end_does_not_silence_the_answers_to_others(scene):
    """The others' packets are hand-made, so an unanswered one is not repeated. Both directions use veths, which lose some."""
    other, unanswered = scene.beyond[-1], 0
    for i in range(10):
        scene.send_all(ethernet(tcp(HOST, 22, source_port=1000 + 500 * i + j)) for j in range(500))
        other.send(ethernet(tcp(HOST, 22, source_port=30000 + i)))
        try:
            poll_until(lambda: packets.answers_to(other, 30000 + i) == ["reset"], ATTEMPT)  # pylint: disable=cell-var-from-loop
        except TimedOut:
            unanswered += 1
    assert unanswered <= 2
    scene.settle()
    assert 50 < len(scene.answers()) < 4500


def test_the_host_table_holds_where_the_namespace_has_none(scene):
    """The daemon is stopped, so that it does not restore the rules meanwhile."""
    scene.api.show("one")
    scene.daemon.stop()
    scene.netns.run(["nft", "flush", "ruleset"])
    frames = {
        "another sandbox, from its own address": udp("10.11.0.2", 8080, TOKEN, source="10.11.0.1"),
        "the host, from its own address": udp(HOST, 2222, TOKEN, source="10.11.0.1"),
        "the host's end": udp("10.12.0.2", 2222, TOKEN, source="10.11.0.1"),
        "another's veth": udp("10.12.0.5", 2222, TOKEN, source="10.11.0.1"),
        "metadata": udp("169.254.169.254", 80, TOKEN, source="10.11.0.1"),
        "private": udp("192.168.3.4", 80, TOKEN, source="10.11.0.1"),
        "as the guest": udp(WORLD, 80, TOKEN),
        "as another": udp(WORLD, 80, TOKEN, source="10.11.0.2"),
        "as another's veth": udp(WORLD, 80, TOKEN, source="10.12.0.5"),
        "as the host": udp("10.11.0.2", 8080, TOKEN, source=HOST),
        "as the world": udp(HOST, 8080, TOKEN, source=WORLD),
    }

    def dropped():
        return sum(count for name, count in named_counters(scene.host).items() if "ingress" not in name)

    with scene.host.socket(kind=socket.SOCK_DGRAM) as listener:
        listener.bind(("0.0.0.0", 2222))
        listener.setblocking(False)
        for name, packet in frames.items():

            def one_more():
                before = dropped()
                scene.wire.send(ethernet(packet))
                # The answer has no route there, and may come back and be dropped too.
                poll_until(lambda: dropped() > before, ATTEMPT, what=lambda: f"{name}: {named_counters(scene.host)}")

            tried(one_more)
        with pytest.raises(BlockingIOError):
            listener.recv(100)
    # Packets that came in by its veth got no further. The host's answers quote them, to this veth alone.
    scene.nowhere(first=1)
    before = scene.one["counters"]["drops_total"]
    scene.daemon.start()
    assert scene.api.show("one")["counters"]["drops_total"] >= before + len(frames)
    assert scene.api.show("two")["counters"]["drops_total"] == 0


def test_flows_of_a_guest_are_limited(scene):
    """8,192 at once: more are denied and reported as such, and ended flows make room for new ones."""
    for namespace in (scene.host, scene.netns):
        namespace.run(["sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=600"])  # longer than it takes to send them
    scene.send_all(
        ethernet(udp(f"198.51.{100 + i // 250 % 100}.{i % 250 + 1}", 9, source_port=1024 + i))
        for i in range(8192 + 300)
    )
    poll_until(lambda: scene.drops() >= 200, what=lambda: f"{scene.drops()}, {tracked_flows(scene.netns)}")
    assert tracked_flows(scene.netns) <= 8192 + 10
    assert tracked_flows(scene.host) <= 8192 + 10
    assert named_counters(scene.netns)["inet denied_connections"] >= 200


def open_tap(namespace):
    """The VMM's side of tap0. What is written to it begins with a virtio header of 10 bytes."""

    def opened():
        tap = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x5002))  # TUNSETIFF: IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
        return tap

    return inside(namespace.path, opened)


def offloaded(segment, token):
    """A frame of 60 KB that asks to be cut into segments of SEGMENT bytes."""
    header = struct.pack("=BBHHHH", 1, 1, 54, segment, 34, 16)  # needs a checksum, TCPv4
    return header + ethernet(tcp(WORLD, 9, token + bytes(60000), flags=16))


def test_a_frame_is_not_cut_into_tens_of_thousands(scene):
    """The guest says how many bytes each segment of a frame has. With one, 60 KB would leave as 60,000 packets."""
    three = scene.api.register("three")
    tap = open_tap(scene.host.netns(three["netns"]))
    try:
        scene.api.wait("three", "attached")
        with Wire(scene.host, three["veth"]) as veth:

            def leaves(segment, token):
                os.write(tap, offloaded(segment, token))
                os.write(tap, bytes(10) + ethernet(udp(WORLD, 9, token + b" behind")))
                poll_until(lambda: veth.having(token + b" behind"))
                return any(len(frame) > 60000 for frame in veth.having(token))

            assert not leaves(1, b"one byte")
            assert not leaves(8, b"eight bytes")
            assert leaves(88, b"the least that Linux sends")
            assert leaves(1460, b"as usual")
            # A limit, and its end, leave it as it was.
            scene.api.patch("three", {"bandwidth": {"from_guest": {"rate": 12500000}}})
            scene.api.patch("three", {"bandwidth": {"from_guest": {"rate": 0}}})
            assert not leaves(1, b"one byte again")
            # A sandbox of a weft that had none gets it.
            scene.host.netns(three["netns"]).run(["tc", "qdisc", "del", "dev", "eth0", "root"])
            scene.daemon.kill()
            scene.daemon.start()
            scene.api.wait("three", "attached")
            assert not leaves(1, b"one byte at last")
    finally:
        os.close(tap)


def test_the_world_reaches_no_sandbox(scene):
    """The world has routes of its own over the host, and uses foreign sources, too."""
    scene.world.run(["ip", "route", "add", "10.0.0.0/8", "via", "192.0.2.2"])
    link = scene.world.links()["eth0"]["address"], scene.host.links()["uplink0"]["address"]
    own = [scene.beyond[index] for index in (0, 1, 4, 5)]

    def dropped():
        return named_counters(scene.host)["inet denied_ingress"]

    with Wire(scene.world, "eth0") as wire:
        for destination in ("10.11.0.1", "10.11.0.2", "10.12.0.3", "10.12.0.5"):
            for source in ("192.0.2.1", WORLD, "10.11.0.2", "10.12.0.4", "10.1.2.3"):
                both = udp(destination, 9, TOKEN, source=source), tcp(destination, 8080, TOKEN, source=source)

                def denied():
                    before = dropped()
                    for packet in both:
                        wire.send(ethernet(packet, source=link[0], destination=link[1]))
                    # The kernel itself drops packets from one of its own addresses.
                    if source != "10.12.0.4":
                        poll_until(lambda: dropped() == before + 2, ATTEMPT, what=f"{source} to {destination}")

                tried(denied)
    with pytest.raises(socket.timeout):
        scene.world.connect("10.11.0.2", 8080, timeout=0.5)
    for wire in own:
        assert not wire.having(TOKEN), wire.name
