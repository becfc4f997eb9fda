# SPDX-License-Identifier: GPL-2.0-or-later
"""Hand-made frames, and captures of a link's traffic: for guests that do not play by the rules."""

import errno
import socket
import struct

from .wait import poll_until

TAP_MAC = "02:fc:00:00:00:06"
GUEST_MAC = "02:fc:00:00:00:05"
GUEST = "169.254.0.21"
GATEWAY = "169.254.0.22"

ETH_P_ALL = 3
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
ICMP, TCP, UDP = 1, 6, 17


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(payload, kind=IPV4, source=GUEST_MAC, destination=TAP_MAC):
    return mac(destination) + mac(source) + struct.pack("!H", kind) + payload


def arp(sender=GUEST, target=GATEWAY, operation=1, sender_mac=GUEST_MAC, target_mac="00:00:00:00:00:00"):
    return (
        struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
        + (mac(sender_mac) + socket.inet_aton(sender))
        + (mac(target_mac) + socket.inet_aton(target))
    )


def ipv4(payload, destination, proto, source=GUEST, options=b"", version=4, fragment=0):
    """OPTIONS: a multiple of four bytes. FRAGMENT: the header's field, 0x2000 for "more fragments", plus the offset / 8."""
    words = 5 + len(options) // 4

    def head(total):
        return struct.pack(
            "!BBHHHBBH4s4s",
            *(version << 4 | words, 0, 4 * words + len(payload), 77, fragment, 64, proto, total),
            *(socket.inet_aton(source), socket.inet_aton(destination)),
        )

    return head(checksum(head(0) + options)) + options + payload


def _transport(source, destination, proto, payload, place):
    """Puts the checksum, with the pseudo header's, into PAYLOAD at PLACE."""
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, proto, len(payload))
    return payload[:place] + struct.pack("!H", checksum(pseudo + payload)) + payload[place + 2 :]


def udp(destination, port, data=b"", source=GUEST, source_port=40000, **options):
    """A complete IPv4 packet."""
    payload = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    return ipv4(_transport(source, destination, UDP, payload, 6), destination, UDP, source, **options)


def tcp(destination, port, data=b"", flags=2, source=GUEST, source_port=40000, **options):
    """A complete IPv4 packet; by default a SYN."""
    payload = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, flags, 8192, 0, 0) + data
    return ipv4(_transport(source, destination, TCP, payload, 16), destination, TCP, source, **options)


def fragments(packet, size):
    """PACKET, without options, in fragments with SIZE bytes of payload each (a multiple of eight)."""
    payload, source, destination = packet[20:], socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    for place in range(0, len(payload), size):
        more = 0x2000 if place + size < len(payload) else 0
        yield ipv4(payload[place : place + size], destination, packet[9], source, fragment=more | place // 8)


def icmp(destination, data=b"", kind=8, code=0, source=GUEST, rest=0x70001, **options):
    """A complete IPv4 packet; by default an echo request. REST: the rest of the ICMP header."""
    payload = struct.pack("!BBHI", kind, code, 0, rest) + data
    payload = payload[:2] + struct.pack("!H", checksum(payload)) + payload[4:]
    return ipv4(payload, destination, ICMP, source, **options)


class Wire:
    """A raw socket on LINK of NAMESPACE: sends frames unchanged, and captures all frames of the link, both ways."""

    def __init__(self, namespace, link):
        self.name = f"{namespace.name}/{link}"
        self.socket = namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((link, ETH_P_ALL))
        self.socket.setblocking(False)
        self.frames = []

    def send(self, frame):
        """Waits while the link's queue is full."""

        def taken():
            try:
                return self.socket.send(frame)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                    raise
                return False

        poll_until(taken, what=f"room in the queue of {self.name}", interval=0.001)

    def seen(self):
        """All frames since it was opened or since forget()."""
        while True:
            try:
                self.frames.append(self.socket.recv(1 << 17))
            except BlockingIOError:
                return self.frames

    def forget(self):
        self.seen()
        self.frames = []

    def having(self, token):
        """The frames that contain TOKEN."""
        return [frame for frame in self.seen() if token in frame]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def answers_to(wire, port):
    """The answers to the guest's TCP PORT, ICMP errors included, in order: "reset", "prohibited", ..."""
    found = []
    for frame in wire.seen():
        if frame[12:14] != b"\x08\x00" or frame[30:34] != socket.inet_aton(GUEST):
            continue
        body = frame[14 + 4 * (frame[14] & 15) :]
        if frame[23] == TCP and body[2:4] == struct.pack("!H", port):
            found.append("reset" if body[13] & 4 else "accepted" if body[13] & 18 == 18 else "tcp")
        elif frame[23] == ICMP and body[0] == 3:
            inner = body[8:]
            if inner[4 * (inner[0] & 15) :][:2] == struct.pack("!H", port):
                found.append("prohibited" if body[1] == 13 else f"unreachable {body[1]}")
    return found


def tracked_flows(namespace):
    """The number of conntrack entries in NAMESPACE."""
    from .netns import inside

    def read():
        with open("/proc/sys/net/netfilter/nf_conntrack_count", encoding="ascii") as file:
            return int(file.read())

    return inside(namespace.path, read)


def named_counters(namespace):
    """{"inet drop_source": packets}: the counters of weft's tables in NAMESPACE."""
    found = {}
    for entry in namespace.json(["nft", "-j", "list", "counters"])["nftables"]:
        counter = entry.get("counter")
        if counter and counter["table"] == "weft":
            found[f"{counter['family']} {counter['name']}"] = counter["packets"]
    return found
