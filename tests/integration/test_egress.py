# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections that guests may open, according to policy, `reach` and real packets; and who may connect to them."""

import contextlib
import errno
import json
import socket
import threading

import pytest

from harness.flow import Flow
from harness.guests import serve_in
from harness.packets import ICMP, Wire, checksum, ethernet, ipv4
from harness.wait import ATTEMPT, poll_until, tried

INTERNET = ("203.0.113.10", "203.0.113.20", "198.51.100.5")
GRE = 47
PRIVATE = ("10.99.0.53", "10.1.2.3", "192.168.7.7", "172.20.0.1", "169.254.169.254", "100.64.1.1")


@pytest.fixture
def scene(host, weftd, guest):
    with contextlib.ExitStack() as stack:
        yield lambda config=None, egress=None: Scene(host, weftd, guest, stack, config, egress)


class Scene:
    """One guest, and a world that listens on ports 80, 443 and 53 of many addresses, private ones too."""

    def __init__(self, host, weftd, guest, stack, config, egress):
        self.host = host
        self.world = host.add_uplink()
        for address in INTERNET + PRIVATE:
            self.world.add(f"{address}/32")
        servers = serve_in(host, self.world, "80,echo", "443,echo", "53,echo")
        stack.callback(servers.stop)
        self.daemon = weftd(config)
        self.api = self.daemon.api
        self.sandbox = self.api.register("one", {"egress": egress} if egress else {})
        self.guest = guest(self.sandbox)
        self.guest.serve("7,echo")
        self.api.wait("one", "attached")
        # The kernel limits ICMP errors itself, partly across all namespaces of the machine. These tests are not about that.
        for namespace in (host, host.netns("ns-1"), self.world):
            namespace.run(["sysctl", "-qw", "net.ipv4.icmp_ratemask=0"])

    def opens(self, address, port=80):
        """Whether a connection is established. A denied one is refused at once, never silently dropped."""
        try:
            self.guest.connect(address, port).close()
            return True
        except ConnectionRefusedError:
            return False

    def reach(self, address, port=80, proto="tcp"):
        at = "" if port is None else f"&port={port}"
        return self.api.get(f"/v1/sandboxes/one/reach?dest={address}{at}&proto={proto}").expect(200).body

    def agrees(self, address, port, allowed, rule):
        """Policy, `reach` and packets agree."""
        answer = self.reach(address, port)
        assert (answer["allowed"], answer["rule"]) == (allowed, rule), f"{address}:{port}: {answer}"
        assert self.opens(address, port) == allowed, f"{address}:{port}"

    def datagram(self, address, port):
        """The ICMP error for a datagram: EHOSTUNREACH means prohibited. Only the test itself repeats a lost one."""

        def attempt():
            client.send(b"x")
            client.recv(10)

        with self.guest.socket(kind=socket.SOCK_DGRAM, timeout=ATTEMPT) as client:
            client.connect((address, port))
            with pytest.raises(OSError) as caught:
                tried(attempt)
        return caught.value.errno


def test_the_default_is_the_internet_and_nothing_private(scene):
    one = scene()
    for address in INTERNET:
        one.agrees(address, 80, True, "internet")
    for address in PRIVATE:
        one.agrees(address, 80, False, "private")
    one.agrees("10.11.0.1", 7, False, "sandbox")
    one.agrees("10.11.0.9", 80, False, "sandbox")
    one.agrees("169.254.0.22", 80, False, "gateway")
    one.agrees("192.0.2.2", 22, False, "host")
    assert one.reach("192.0.2.1")["allowed"]


def test_lists_and_internet(scene):
    one = scene(
        egress={
            "internet": False,
            "allow": [
                "203.0.113.0/28",
                {"cidr": "203.0.113.20/32", "proto": "tcp", "ports": [22, "440-445"]},
                {"cidr": "198.51.100.0/24", "proto": "udp"},
                "10.0.0.0/8",
            ],
        }
    )
    one.agrees("203.0.113.10", 80, True, "allow")
    one.agrees("203.0.113.20", 443, True, "allow")
    one.agrees("203.0.113.20", 80, False, "internet")
    one.agrees("198.51.100.5", 80, False, "internet")
    assert one.reach("198.51.100.5", 80, "udp")["allowed"]
    assert one.datagram("198.51.100.5", 9999) == errno.ECONNREFUSED  # it got there, and the world's port is closed
    assert one.datagram("203.0.113.20", 9999) == errno.EHOSTUNREACH
    # The built-in denials take precedence over allow.
    one.agrees("10.1.2.3", 80, False, "private")


def test_allow_wins_over_deny(scene):
    one = scene(
        egress={
            "deny": ["203.0.113.0/24", {"cidr": "198.51.100.0/24", "proto": "tcp", "ports": [80]}],
            "allow": ["203.0.113.10/32"],
        }
    )
    one.agrees("203.0.113.10", 80, True, "allow")
    one.agrees("203.0.113.20", 80, False, "deny")
    one.agrees("198.51.100.5", 80, False, "deny")
    one.agrees("198.51.100.5", 443, True, "internet")


def test_open_makes_exceptions_and_policy_rules_within_them(scene):
    one = scene({"egress": {"open": ["10.1.0.0/16", "192.168.7.7/32"]}}, {"deny": ["192.168.7.0/24"]})
    one.agrees("10.1.2.3", 80, True, "open")
    one.agrees("10.99.0.53", 80, False, "private")
    one.agrees("192.168.7.7", 80, False, "deny")
    one.api.patch("one", {"egress": {"internet": False, "allow": ["192.168.7.7/32"]}})
    one.agrees("192.168.7.7", 80, True, "allow")
    one.agrees("10.1.2.3", 80, False, "internet")


def test_internet_off_by_configuration(scene):
    one = scene({"egress": {"internet": "no"}})
    one.agrees(INTERNET[0], 80, False, "internet")
    one.api.patch("one", {"egress": {"internet": True}})
    one.agrees(INTERNET[0], 80, True, "internet")


def test_dns_is_told_and_reached_although_private(scene):
    one = scene({"addresses": {"dns": ["10.99.0.53", "203.0.113.20"]}}, {"internet": False})
    assert one.sandbox["guest"]["dns"] == ["10.99.0.53", "203.0.113.20"]
    assert "10.99.0.53" in one.sandbox["guest"]["boot_arg"]
    one.agrees("10.99.0.53", 53, True, "dns")
    one.agrees("203.0.113.20", 53, True, "dns")
    one.agrees("10.99.0.53", 80, False, "private")
    assert one.reach("10.99.0.53", 53, "udp")["allowed"]
    with one.world.socket(kind=socket.SOCK_DGRAM) as server, one.guest.socket(kind=socket.SOCK_DGRAM) as client:
        server.bind(("10.99.0.53", 53))
        client.connect(("10.99.0.53", 53))
        server.settimeout(ATTEMPT)
        client.settimeout(ATTEMPT)

        def asked():
            client.send(b"question")
            question, peer = server.recvfrom(100)
            server.sendto(b"answer", peer)
            return question, client.recv(100)

        assert tried(asked) == (b"question", b"answer")


def test_flows_by_configuration(scene):
    """As many flows as are allowed: the next one is refused, DNS goes on, and what is denied anyhow is so for its own reason."""
    one = scene({"egress": {"flows": "3"}, "addresses": {"dns": ["10.99.0.53"]}})
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(one.guest.connect(INTERNET[0], 80))
        assert not one.opens(INTERNET[1])
        one.agrees("10.99.0.53", 53, True, "dns")
        one.agrees("10.1.2.3", 80, False, "private")
    poll_until(lambda: one.opens(INTERNET[1]))


def test_services_of_the_host(scene, host):
    """One at the host's own address, one at a virtual address that is translated to the same port of the host."""
    one = scene(
        {"egress": {"allow_host": ["192.0.2.2:8125", "169.254.169.253:9000", "10.99.0.53:443"]}}, {"internet": False}
    )
    with host.listen(8125, "0.0.0.0") as real, host.listen(9000, "0.0.0.0") as virtual, host.listen(9001) as other:
        for listener, address, port in ((real, "192.0.2.2", 8125), (virtual, "169.254.169.253", 9000)):
            assert one.reach(address, port)["rule"] == "allow_host"
            with one.guest.connect(address, port) as client:
                server, peer = listener.accept()
                assert peer[0] == "10.11.0.1"  # the service sees which sandbox connects
                client.sendall(b"metric")
                assert server.recv(100) == b"metric"
                server.sendall(b"ok")
                assert client.recv(100) == b"ok"
                server.close()
        # Neither another port of the same address nor the virtual service's port at the host's own address is a service.
        for address, port in (("192.0.2.2", 9001), ("192.0.2.2", 9000), ("169.254.169.253", 9001), ("10.12.0.2", 9000)):
            assert not one.reach(address, port)["allowed"]
            assert not one.opens(address, port), f"{address}:{port}"
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_tightening_cuts_what_it_forbids_and_nothing_else(scene):
    one = scene()
    kept, cut = (one.guest.connect(address, 80) for address in INTERNET[:2])
    kept = Flow(kept)
    inward = Flow(one.host.connect(one.sandbox["host_ip"], 7))
    cut.sendall(b"before")
    assert cut.recv(100) == b"before"
    one.api.patch("one", {"egress": {"deny": [INTERNET[1] + "/32"]}})
    with pytest.raises(ConnectionResetError):
        cut.sendall(b"after")
        cut.recv(100)
    cut.close()
    kept.check()
    inward.check()
    # Then all of the internet is denied; connections from the host stay.
    one.api.patch("one", {"egress": {"internet": False}})
    poll_until(kept.problem)
    inward.check()
    inward.close()
    kept.connection.close()
    one.api.patch("one", {"egress": {"internet": True}})
    assert one.opens(INTERNET[1])


def test_a_change_is_atomic(scene):
    """One destination is denied before and after each of many changes, and is never open in between."""
    one = scene(egress={"deny": [INTERNET[0] + "/32"]})
    opened, tries, over = [], [0], threading.Event()

    def knock():
        while not over.is_set():
            tries[0] += 1
            if one.opens(INTERNET[0]):
                opened.append(tries[0])

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        for i in range(20):
            more = [f"198.18.{j}.0/24" for j in range(i % 7 * 20)]
            one.api.patch("one", {"egress": {"deny": ["203.0.113.0/29", INTERNET[0] + "/32", *more]}})
            assert one.opens(INTERNET[2])
        poll_until(lambda: tries[0] > 20)
    finally:
        over.set()
        thread.join()
    assert not opened


class Flood:
    """Datagrams at full speed from COUNT sockets of the guest to one destination; records whether any arrived."""

    def __init__(self, one, count):
        self.sink = one.world.socket(kind=socket.SOCK_DGRAM)
        self.sink.bind((INTERNET[0], 9))
        self.sink.setblocking(False)
        self.clients = [one.guest.socket(kind=socket.SOCK_DGRAM) for _ in range(count)]
        self.over = threading.Event()
        self.rounds = 0
        self.arrived = False
        self.thread = threading.Thread(target=self._send)

    def _send(self):
        while not self.over.is_set():
            for client in self.clients:
                client.sendto(b"x", (INTERNET[0], 9))
            self.rounds += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        with contextlib.suppress(BlockingIOError):
            self.arrived = self.sink.recv(10) == b"x"
        for one in (self.sink, *self.clients):
            one.close()


def entry(kind, cidr):
    return {"all": cidr, "proto": {"cidr": cidr, "proto": "udp"}, "port": {"cidr": cidr, "proto": "udp", "ports": [9]}}[
        kind
    ]


@pytest.mark.parametrize("kind", ["all", "proto", "port"])
@pytest.mark.parametrize("listed", ["deny", "allow"])
def test_no_packet_meets_half_a_policy(scene, listed, kind):
    """Policies follow each other: a destination that all of them deny never opens, and one that all allow is never denied."""
    denies = listed == "deny"

    def policy(i):
        others = [entry(kind, f"198.18.{j}.0/24") for j in range(i % 7 * 20)]
        return {"internet": denies, listed: [entry(kind, INTERNET[0] + "/32"), *others]}

    one = scene(egress=policy(0))
    with Flood(one, 50) as flood:
        for i in range(100):
            before = flood.rounds
            one.api.patch("one", {"egress": policy(i + 1)})
            poll_until(lambda: flood.rounds > before + 1)
    assert flood.arrived != denies
    if not denies:
        assert one.api.metrics()['weft_denied_total{rule="internet"}'] == 0


SET = "{ type ipv4_addr; flags interval; }"


@pytest.mark.parametrize("alteration", ["add set inet weft policy_deny2 {SET}", "add rule inet weft forward counter"])
@pytest.mark.parametrize("listed", ["deny", "allow"])
def test_no_packet_meets_half_a_repair(scene, listed, alteration):
    """A kill within a change, or an outsider, altered tables: a start and a running daemon each repair them."""
    denies = listed == "deny"
    one = scene(egress={"internet": denies, listed: [INTERNET[0] + "/32"]})
    inside = one.host.netns("ns-1")
    original = inside.output(["nft", "-s", "list", "chain", "inet", "weft", "forward"])

    def whole():
        rules = inside.output(["nft", "-s", "list", "chain", "inet", "weft", "forward"])
        return rules == original and ("policy_deny2" in inside.nft()) + ("set policy_deny {" in inside.nft()) == denies

    def denied():
        """The count now, including the counts from before a repair."""
        show = ["nft", "list", "counter", "inet", "weft"]
        listings = [inside.output([*show, name]) for name in ("denied_internet", "drop_earlier")]
        return sum(int(text.split("packets")[1].split()[0]) for text in listings)

    with Flood(one, 20) as flood:
        for i in range(20):
            if i % 2:
                one.daemon.kill()
            # The side that is not active.
            side = "policy_deny" if "policy_deny2" in inside.nft() else "policy_deny2"
            inside.run(["nft", alteration.replace("policy_deny2", side).replace("{SET}", SET)])
            if i % 2:
                one.daemon.start()
            poll_until(whole)
    assert flood.arrived != denies
    if not denies:
        assert denied() == 0


def test_caps_and_mistakes_change_nothing(scene):
    one = scene(egress={"deny": [INTERNET[0] + "/32"]})
    before = one.api.show("one")["egress"]
    many = [f"198.{18 + i // 256 // 256}.{i // 256 % 256}.{i % 256}/32" for i in range(1025)]
    crossing = [{"cidr": "198.18.0.0/15", "proto": "tcp", "ports": [f"{k + i * 99}-{k + i * 99}" for i in range(64)]}
                for k in (1, 4, 7, 11)]
    crossing += [{"cidr": one, "proto": "tcp", "ports": ["1-65535"]} for one in many[:90]]
    one.api.request("PUT", "/v1/sandboxes/two", body={"egress": {"deny": crossing}}).problem(400, "/egress")
    one.api.get("/v1/sandboxes/two").problem(404, "id")
    for egress, field in (
        ({"allow": crossing}, "/egress"),
        ({"allow": many}, "/egress/allow"),
        ({"deny": many}, "/egress/deny"),
        ({"deny": ["2001:db8::/32"]}, "/egress/deny/0"),
        ({"deny": ["198.51.100.0/33"]}, "/egress/deny/0"),
        ({"allow": [{"cidr": "198.51.100.0/24", "ports": [80]}]}, "/egress/allow/0"),
        ({"allow": [{"cidr": "198.51.100.0/24", "proto": "tcp", "ports": [0]}]}, "/egress/allow/0/ports/0"),
        ({"allow": [{"cidr": "198.51.100.0/24", "proto": "tcp", "ports": ["90-80"]}]}, "/egress/allow/0/ports/0"),
        ({"allow": [{"cidr": "198.51.100.0/24", "proto": "tcp", "ports": [80, "70-90"]}]}, "/egress/allow/0/ports/1"),
        ({"allow": [{"cidr": "198.51.100.0/24", "proto": "gre", "ports": [80]}]}, "/egress/allow/0/ports"),
        ({"allow": [{"cidr": "198.51.100.0/24", "proto": 256}]}, "/egress/allow/0/proto"),
        ({"internet": "yes"}, "/egress/internet"),
    ):
        reply = one.api.request("PATCH", "/v1/sandboxes/one", body={"egress": egress})
        assert reply.problem(400)["field"].startswith(field), reply
    assert one.api.show("one")["egress"] == before
    one.agrees(INTERNET[0], 80, False, "deny")
    # The maximum number of entries, with ports, works and fits the body's limit.
    one.api.patch("one", {"egress": {"deny": many[:1024]}})
    one.agrees(INTERNET[0], 80, True, "internet")
    assert one.reach("198.18.3.255")["rule"] == "deny"
    assert one.reach("198.18.4.1")["rule"] == "internet"


def test_denials_are_told_as_events(scene):
    one = scene(egress={"deny": [INTERNET[0] + "/32", {"cidr": INTERNET[1] + "/32", "proto": "udp", "ports": [9]}]})
    with one.api.events("?sandbox=one") as events:
        assert not one.opens(INTERNET[0], 80)
        assert not one.opens("169.254.169.254", 80)
        assert not one.opens("10.11.0.2", 22)
        assert not one.opens("169.254.0.22", 49983)
        assert not one.opens("192.0.2.2", 22)
        one.datagram(INTERNET[1], 9)
        one.guest.run(["ping", "-c", "1", "-W", "1", "10.1.2.3"], check=False)
        wanted = {
            ("deny", "tcp", INTERNET[0], 80),
            ("private", "tcp", "169.254.169.254", 80),
            ("sandbox", "tcp", "10.11.0.2", 22),
            ("gateway", "tcp", "169.254.0.22", 49983),
            ("host", "tcp", "192.0.2.2", 22),
            ("deny", "udp", INTERNET[1], 9),
            ("private", "icmp", "10.1.2.3", 0),
        }
        for event in events:
            if event["type"] == "denied":
                assert event["sandbox"] == "one"
                wanted.discard((event["rule"], event["proto"], event["destination"], event["port"]))
            if not wanted:
                break


def test_denials_are_in_the_metrics(scene):
    one = scene(egress={"deny": [INTERNET[0] + "/32"]})
    rules = {"deny": INTERNET[0], "private": "10.1.2.3", "sandbox": "10.11.0.2", "gateway": "169.254.0.22"}
    rules["host"] = "192.0.2.2"

    def denied():
        metrics = one.api.metrics()
        return {rule: metrics[f'weft_denied_total{{rule="{rule}"}}'] for rule in rules}

    assert set(denied().values()) == {0}
    # UDP, as TCP would retransmit when the answer is late, and be counted twice.
    with one.guest.socket(kind=socket.SOCK_DGRAM) as client:

        def counted():
            for rule, count in denied().items():
                if not count:
                    client.sendto(b"x", (rules[rule], 80))
            poll_until(lambda: all(denied().values()), what=lambda: str(denied()))

        tried(counted)
    assert set(denied().values()) == {1}
    # They are sums of the host, and include removed sandboxes.
    one.api.unregister("one")
    assert set(denied().values()) == {1}


def test_protocols_leave_only_by_name(scene):
    """GRE and IP in IP, which carry whole packets, stay inside with `internet`; a rule with `proto` lets one of them out."""
    one = scene()
    with Wire(one.guest, "eth0") as guest, Wire(one.world, "eth0") as world, one.api.events("?sandbox=one") as events:

        def leaves(proto, token):
            """The frame with TOKEN, or else the next one of ICMP, which is always let out, is what arrives."""
            for number, data in ((proto, token), (ICMP, b"\x08\0\0\0\0\1\0\1" + token[::-1])):
                if number == ICMP:
                    data = data[:2] + checksum(data).to_bytes(2, "big") + data[4:]
                guest.send(ethernet(ipv4(data, INTERNET[0], number)))
            poll_until(lambda: world.having(token[::-1]))
            return bool(world.having(token))

        assert not leaves(GRE, b"\0\0\x08\0 gre denied")
        assert not leaves(4, b"an ipip that is denied")
        told = (event for event in events if event["type"] == "denied")
        assert {(event["rule"], event["proto"]) for event in (next(told), next(told))} == {
            ("protocol", "gre"),
            ("protocol", "4"),
        }
        assert one.reach(INTERNET[0], proto="gre", port=None)["rule"] == "protocol"
        ctl = one.daemon.ctl
        assert "of protocols other than" in ctl("reach", "one", INTERNET[0], "--proto", "gre").stdout
        ctl("policy", "one", "--allow", INTERNET[0] + ":gre", "--allow", INTERNET[1] + ":253")
        assert one.api.show("one")["egress"]["allow"] == [
            {"cidr": INTERNET[0] + "/32", "proto": "gre"},
            {"cidr": INTERNET[1] + "/32", "proto": 253},
        ]
        shown = ctl("policy", "one").stdout.split()
        assert shown[2:] == ["allow", "203.0.113.10/32", "gre", "allow", "203.0.113.20/32", "253"]
        assert one.reach(INTERNET[0], proto="47", port=None)["rule"] == "allow"
        assert leaves(GRE, b"\0\0\x08\0 gre allowed")
        one.daemon.kill()
        one.daemon.start()
        assert one.api.show("one")["egress"]["allow"][1] == {"cidr": INTERNET[1] + "/32", "proto": 253}
        assert leaves(GRE, b"\0\0\x08\0 gre once more")
        assert not leaves(4, b"an ipip, still denied")


def test_weftctl_shows_and_changes_the_policy(scene):
    one = scene()
    ctl = one.daemon.ctl
    assert ctl("policy", "one").stdout.split() == ["internet", "yes"]
    ctl("policy", "one", "--deny", "203.0.113.0/24", "--allow", "203.0.113.10/32:tcp:80,400-450", "--internet", "yes")
    assert one.api.show("one")["egress"] == {
        "internet": True,
        "allow": [{"cidr": "203.0.113.10/32", "proto": "tcp", "ports": [80, "400-450"]}],
        "deny": ["203.0.113.0/24"],
        "dscp": 0,
        "isolated": False,
    }
    assert json.loads(ctl("policy", "one", "--json").stdout) == one.api.show("one")["egress"]
    assert ctl("policy", "one").stdout.split() == [
        *("internet", "yes", "allow", "203.0.113.10/32", "tcp", "80,400-450", "deny", "203.0.113.0/24")
    ]
    one.agrees("203.0.113.10", 443, True, "allow")
    one.agrees("203.0.113.20", 80, False, "deny")
    answer = json.loads(ctl("reach", "one", "203.0.113.20:80", "--json").stdout)
    assert (answer["allowed"], answer["rule"], answer["set"]) == (False, "deny", "policy_deny 203.0.113.0-203.0.113.255")
    assert "denied" in ctl("reach", "one", "192.0.2.2:22").stdout
    assert "allowed" in ctl("reach", "one", "198.51.100.5:80").stdout
    # Shut, and open again with the lists as they were, over a restart.
    ctl("policy", "one", "--isolated", "yes", "--dscp", "46")
    one.agrees("203.0.113.10", 443, False, "isolated")
    one.daemon.kill()
    one.daemon.start()
    shut = one.api.show("one")["egress"]
    assert (shut["isolated"], shut["dscp"], shut["deny"]) == (True, 46, ["203.0.113.0/24"])
    one.agrees("203.0.113.10", 443, False, "isolated")
    ctl("policy", "one", "--isolated", "no")
    one.agrees("203.0.113.10", 443, True, "allow")
    one.agrees("203.0.113.20", 80, False, "deny")


@pytest.mark.parametrize("source, opens", [("192.0.2.1", True), ("203.0.113.10", False)])
def test_ingress(scene, source, opens):
    """Hosts of a listed network may open connections to the sandbox's address; other outside hosts may not."""
    one = scene({"ingress": {"allow": "192.0.2.0/24"}})
    one.world.run(["ip", "route", "add", "10.11.0.0/16", "via", "192.0.2.2"])
    if opens:
        with one.world.connect("10.11.0.1", 7, source=source) as client:
            client.sendall(b"in")
            assert client.recv(10) == b"in"
    else:
        with pytest.raises(socket.timeout):
            one.world.connect("10.11.0.1", 7, source=source, timeout=1)
        poll_until(lambda: one.api.metrics()['weft_denied_total{rule="ingress"}'] >= 1)


def test_policy_survives_a_restart_and_a_flush(scene):
    one = scene(egress={"deny": [INTERNET[0] + "/32"]})
    one.daemon.kill()
    assert not one.opens(INTERNET[0]) and one.opens(INTERNET[1])
    one.daemon.start()
    one.agrees(INTERNET[0], 80, False, "deny")
    one.host.netns("ns-1").run(["nft", "flush", "ruleset"])
    poll_until(lambda: "chain guest_egress" in one.host.netns("ns-1").nft())
    poll_until(lambda: one.opens(INTERNET[1]))
    one.agrees(INTERNET[0], 80, False, "deny")
