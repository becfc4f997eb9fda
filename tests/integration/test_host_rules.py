# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's table against a namespace whose own table protects nothing."""

import contextlib
import re
import socket
import sys

import pytest

from harness import packets
from harness.wait import poll_until, tried

WORLD, HOST = "192.0.2.1", "192.0.2.2"
PORT_UNREACHABLE, TOO_BIG = (3, 3), (3, 4)


@pytest.fixture
def scene(host, weftd, guest):
    return lambda config=None: Scene(host, weftd, guest, config)


class Scene:
    """A host with an uplink and two sandboxes, with guests."""

    def __init__(self, host, weftd, guest, config):
        self.host = host
        self.world = host.add_uplink()
        self.daemon = weftd(config)
        self.api = self.daemon.api
        self.sandboxes = [self.api.register(name) for name in ("one", "two")]
        self.guests = guest.many(self.sandboxes)
        for name in ("one", "two"):
            self.api.wait(name, "attached")

    def counted(self, name):
        return packets.named_counters(self.host)[f"inet {name}"]

    def flow_to(self, address, port):
        """A connected datagram socket of the host's, whose flow has begun."""
        made = self.host.socket(kind=socket.SOCK_DGRAM)
        made.connect((address, port))
        made.send(b"begin")
        return contextlib.closing(made)

    def forges(self, netns, flow, error):
        """From inside NETNS: an ICMP error about what the socket FLOW sent, until the host has seen it."""
        source, (there, port) = flow.getsockname(), flow.getpeername()
        quoted = packets.udp(there, port, b"begin", source=source[0], source_port=source[1])
        own = self.sandboxes[0]["host_ip"] if netns == "ns-1" else self.sandboxes[1]["host_ip"]
        forged = packets.icmp(source[0], quoted, *error, source=own, rest=600)
        before = self.counted("drop_error")

        def send():
            with self.host.netns(netns).socket(kind=socket.SOCK_RAW, proto=socket.IPPROTO_RAW) as raw:
                raw.sendto(forged, (source[0], 0))
            poll_until(lambda: self.counted("drop_error") > before, timeout=2)

        tried(send, times=10)

    def mtu_to(self, address):
        found = re.search(r"mtu (\d+)", self.host.output(["ip", "route", "get", address]))
        return found and int(found.group(1))


def test_no_error_about_flows_of_others_comes_out_of_a_namespace(scene):
    one = scene()
    one.host.netns("ns-1").run(["nft", "flush", "ruleset"])
    for listener, address in ((one.world, WORLD), (one.guests[1], "10.11.0.2")):
        with listener.socket(kind=socket.SOCK_DGRAM) as heard:
            heard.bind(("", 9999))
            with one.flow_to(address, 9999) as flow:
                for error in (TOO_BIG, PORT_UNREACHABLE):
                    one.forges("ns-1", flow, error)
                    assert flow.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                    assert one.mtu_to(address) is None
    poll_until(lambda: one.api.show("one")["counters"]["drops_total"] >= 4)
    assert one.api.show("two")["counters"]["drops_total"] == 0


def test_a_guest_refuses_a_datagram_of_the_host(scene):
    """Its own errors come out: through the kernel path a closed port is known at once."""
    one = scene()

    def refused():
        with one.flow_to("10.11.0.1", 9999) as flow:
            flow.settimeout(5)
            with pytest.raises(ConnectionRefusedError):
                flow.recv(1)

    tried(refused, times=5)
    assert one.counted("drop_error") == 0


def connects(host, user, address="10.11.0.1", port=9999):
    """How an attempt of USER to connect ends: "ok", or the name of the error."""
    script = (
        f"import os, socket\nos.setgid({user})\nos.setuid({user})\ntry:\n"
        f"    socket.create_connection(({address!r}, {port}), 30).close()\n"
        "except OSError as error:\n    print(type(error).__name__)\nelse:\n    print('ok')\n"
    )
    return host.output([sys.executable, "-c", script]).strip()


def test_local_users(scene):
    """Those who are named, and root, reach the guests' host addresses; others are refused at once. Loopback stays open."""
    one = scene({"ingress": {"local_users": ["daemon", "4000-4001", "%bin"]}})
    with one.guests[0].listen(9999):
        assert [connects(one.host, user) for user in (0, 1, 4000, 4001)] == ["ok"] * 4
        assert connects(one.host, 2) == "ok"  # bin, by its group
        assert [connects(one.host, user) for user in (3, 4002)] == ["ConnectionRefusedError"] * 2
        assert one.counted("denied_local") >= 2
        endpoint = one.api.patch("one", {"publish": [9999]})["endpoints"][0]["listen"][0]
        assert connects(one.host, 4002, *endpoint.split(":")) == "ok"
    # A repair puts it back.
    one.host.run(["nft", "flush", "chain", "inet", "weft", "local_users"])
    poll_until(lambda: "4000-4001" in one.host.output(["nft", "list", "chain", "inet", "weft", "local_users"]))


ACCOUNTS = {
    "passwd": "alice:x:5001:5001::/:/bin/sh\ncarol:x:5003:5003::/:/bin/sh\n",
    "group": "boxes:x:5900:alice,nobody-of-that-name\n",
}


def test_members_of_a_group_are_local_users(host, folder, scene):
    """A member counts by its own number: the kernel knows no other groups of a socket's owner. The group is read at each start."""
    for name, lines in ACCOUNTS.items():
        with open(f"/etc/{name}", encoding="utf-8") as file:
            lines = file.read() + lines
        with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
            file.write(lines)
        host.run(["mount", "--bind", f"{folder}/{name}", f"/etc/{name}"])
    one = scene({"ingress": {"local_users": ["%boxes"]}})
    with one.guests[0].listen(9999):
        assert [connects(host, user) for user in (5001, 5900)] == ["ok"] * 2
        assert connects(host, 5003) == "ConnectionRefusedError"
        with open(f"{folder}/group", "r+", encoding="utf-8") as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace(":alice,", ":carol,"))
        one.daemon.stop()
        one.daemon.start()
        assert [connects(host, user) for user in (5001, 5003)] == ["ConnectionRefusedError", "ok"]


def test_unknown_local_users_are_mistakes(weftd):
    one = weftd({"ingress": {"local_users": ["root", "nobody-of-that-name", "%no-such-group", "5-3"]}}, run=False)
    done = one.run("--check")
    said = done.stderr
    assert done.returncode == 78
    one.write_config({})  # to clean up with
    assert "[ingress] local_users = nobody-of-that-name: no such user" in said
    assert "[ingress] local_users = %no-such-group: no such group" in said
    assert "[ingress] local_users = 5-3: ends before it begins" in said
