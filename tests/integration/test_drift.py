# SPDX-License-Identifier: GPL-2.0-or-later
"""Others change what weft made: each change is noticed, put back and reported, or reported as what cannot be put back."""

import pytest

from harness.client import await_guest
from harness.flow import Flow
from harness.wait import poll_until

HOST, INSIDE = "host", "inside"


def until(events, kind, **fields):
    """The next event of KIND with these FIELDS."""
    return next(one for one in events if one["type"] == kind and all(one.get(key) == fields[key] for key in fields))


def repaired(events, what):
    """The next repair that names WHAT among its parts; nothing else was reported as broken meanwhile, and the VM never as gone."""
    for one in events:
        assert one["type"] != "state", one
        if one["type"] == "repair":
            assert one["ok"], one
            if what in one["what"].split(", "):
                return
    raise AssertionError(what)


@pytest.fixture
def served(host, weftd, guest):
    """(daemon, a sandbox with a guest)."""
    daemon = weftd()
    sandbox = daemon.api.register("a", {"ports": [49983], "bandwidth": {"to_guest": {"rate": 20_000_000}}})
    guest(sandbox).serve("49983,http,a", "7,echo")
    daemon.api.wait("a", "attached")
    await_guest(host, sandbox)
    yield daemon, sandbox
    assert daemon.running()


# A command, where it is run, and the part that is reported.
DRIFT = [
    (HOST, "ip link set veth-1 mtu 1200", "MTU of the veth"),
    (HOST, "ip link set veth-1 address 02:00:00:00:00:01", "MAC of the veth"),
    (HOST, "ip link set veth-1 group 0", "group of the veth"),
    (HOST, "ip route del 10.12.0.2/31", "connected route of the veth"),
    (HOST, "ip neigh replace 10.12.0.3 lladdr 02:00:00:00:00:09 dev veth-1 nud permanent", "neighbour of the veth"),
    (INSIDE, "ip link set eth0 mtu 1200", "MTU of eth0"),
    (INSIDE, "ip link set eth0 address 02:00:00:00:00:02", "MAC of eth0"),
    (INSIDE, "ip link set tap0 mtu 1200", "MTU of tap0"),
    (INSIDE, "ip link set tap0 address 02:00:00:00:00:03", "MAC of tap0"),
    (INSIDE, "ip route del 169.254.0.20/30", "connected route of tap0"),
    (INSIDE, "ip neigh del 169.254.0.21 dev tap0", "neighbour of tap0"),
    (INSIDE, "sysctl -qw net.ipv4.conf.eth0.forwarding=0", "eth0 not forwarding"),
    (INSIDE, "tc qdisc del dev tap0 root", "limit of tap0"),
    (HOST, "ip link add br9 type bridge; ip link set veth-1 master br9", "bridge of the veth"),
    (INSIDE, "ip link add br9 type bridge; ip link set tap0 master br9", "bridge of tap0"),
    (HOST, "ip link set veth-1 name stolen group 0", "name of the veth"),
]


def test_each_change_is_noticed_put_back_and_reported(host, served):
    daemon, sandbox = served
    flow = Flow(host.connect(sandbox["host_ip"], 7))
    with daemon.api.news() as events:
        for where, command, part in DRIFT:
            (host if where == HOST else host.netns("ns-1")).run(["sh", "-c", command])
            repaired(events, part)
            flow.check()
            await_guest(host, sandbox)
        flow.close()
        for place in (host, host.netns("ns-1")):
            place.run(["ip", "link", "del", "br9"])
        # Had the last of them taken the VM, that would be told by now.
        daemon.api.patch("a", {"publish": [8080]})
        assert next(one for one in events if one["type"] in ("state", "published"))["type"] == "published"
    links = host.output(["ip", "-n", "ns-1", "-o", "link"]) + host.output(["ip", "-o", "link", "show", "group", "1874"])
    assert links.count("mtu 1500") == 3
    assert "02:fc:00:00:00:06" in links and "02:fc:01:00:00:01" in links and "02:fc:02:00:00:01" in links
    assert daemon.api.show("a")["state"] in ("attached", "ready")


# As after a question by the kernel while the TAP had that MAC. It would be an hour before the guest asks again.
LEARN = """
for one in /proc/sys/net/ipv4/neigh/*/base_reachable_time_ms; do
	echo 3600000 >$one
done
way=$(ip -o route get 169.254.0.22)
way=${way#*dev }
ip neigh replace 169.254.0.22 lladdr 02:00:00:00:00:03 nud reachable dev ${way%% *}
"""


def test_a_guest_that_learned_a_wrong_mac_is_told_the_right_one(host, weftd, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a", {"ports": [49983]})
    vm = guest(sandbox)
    vm.serve("49983,http,a", "7,echo")
    await_guest(host, sandbox)
    flow = Flow(host.connect(sandbox["host_ip"], 7))
    vm.run(["sh", "-c", LEARN])
    with daemon.api.news() as events:
        host.netns("ns-1").run(["ip", "link", "set", "tap0", "address", "02:00:00:00:00:03"])
        repaired(events, "MAC of tap0")
    flow.close()
    assert host.netns("ns-1").output(["sysctl", "-n", "net.ipv4.conf.tap0.arp_notify"]) == "0\n"


# What somebody puts in front of a route of weft's, how it ends, the route, and who it is.
RIVALS = [
    (
        HOST,
        "ip route add default dev lo table 77; ip rule add pref 90 to 10.11.0.0/16 lookup 77",
        "ip rule del pref 90; ip route flush table 77",
        "route of the host address",
        {"gateway": None, "device": "lo", "protocol": "boot", "table": 77, "rule": 90},
    ),
    (
        HOST,
        "ip addr add 10.11.0.1/32 dev lo",
        "ip addr del 10.11.0.1/32 dev lo",
        "route of the host address",
        {"gateway": None, "device": "lo", "protocol": "kernel", "table": 255, "rule": None},
    ),
    (
        HOST,
        "ip rule add pref 91 to 10.11.0.1 prohibit",
        "ip rule del pref 91",
        "route of the host address",
        {"gateway": None, "device": None, "protocol": "", "table": None, "rule": 91},
    ),
    (
        HOST,
        "ip rule add pref 92 to 10.11.0.1 lookup 4711; ip route add unreachable default table 4711",
        "ip rule del pref 92; ip route flush table 4711",
        "route of the host address",
        {"gateway": None, "device": None, "protocol": "boot", "table": 4711, "rule": 92},
    ),
    (
        INSIDE,
        "ip route add 169.254.0.21/32 dev lo",
        "ip route del 169.254.0.21/32 dev lo",
        "connected route of tap0",
        {"gateway": None, "device": "lo", "protocol": "boot", "table": 254, "rule": None},
    ),
]


def test_what_cannot_be_put_back_is_reported_once_and_its_end(host, served):
    daemon, sandbox = served
    for where, begin, end, what, by in RIVALS:
        place = host if where == HOST else host.netns("ns-1")
        with daemon.api.news() as events:
            place.run(["sh", "-c", begin])
            told = until(events, "repair", sandbox="a")
            assert (told["ok"], told["what"], told["by"]) == (False, what, by)
            said = daemon.api.get("/v1/sandboxes/a/diagnosis").expect(200)
            assert said["broken"] in ("route", "tap") and "another" in said["cause"], said
            place.run(["sh", "-c", end])
            told = until(events, "repair", sandbox="a")
            assert (told["ok"], told["what"]) == (True, what)
        await_guest(host, sandbox)
    assert daemon.api.metrics()["weft_repairs_total"] == 0


# What somebody leaves in the namespace, how it ends, and how it is named.
FOREIGN = [
    (
        "nft 'table netdev other { chain in { type filter hook ingress device tap0 priority 0; policy drop; }; }'",
        "nft delete table netdev other",
        "nft table netdev other",
    ),
    (
        "nft 'table ip other { chain out { type filter hook output priority 0; policy drop; }; }'",
        "nft delete table ip other",
        "nft table ip other",
    ),
    ("ip rule add pref 9 iif tap0 prohibit", "ip rule del pref 9", "policy rule 9"),
]


def test_what_takes_packets_in_the_namespace_is_named_and_not_the_guest(host, served):
    daemon, sandbox = served
    for begin, end, name in FOREIGN:
        host.netns("ns-1").run(["sh", "-c", begin])
        said = daemon.api.get("/v1/sandboxes/a/diagnosis").expect(200)
        assert said["broken"] in ("guest", "tcp", "kernel") and name in said["cause"], said
        host.netns("ns-1").run(["sh", "-c", end])
        await_guest(host, sandbox)


# What somebody does to the ranges, how it ends, the range, and who it is.
TAKEN = [
    (
        "ip route replace 10.11.0.0/16 dev lo",
        "ip route del 10.11.0.0/16 dev lo",
        "10.11.0.0/16",
        {"gateway": None, "device": "lo", "protocol": "boot", "table": 254, "rule": None},
    ),
    (
        "ip route add default dev lo table 77; ip rule add pref 90 to 10.12.0.0/16 lookup 77",
        "ip rule del pref 90; ip route flush table 77",
        "10.12.0.0/16",
        {"gateway": None, "device": "lo", "protocol": "boot", "table": 77, "rule": 90},
    ),
]


def test_another_way_to_addresses_without_a_sandbox_is_reported_once_and_its_end(host, weftd):
    daemon = weftd()
    for begin, end, cidr, by in TAKEN:
        with daemon.api.news() as events:
            host.run(["sh", "-c", begin])
            told = until(events, "repair", what=f"unreachable route of {cidr}")
            assert (told["ok"], told["by"], told["sandbox"]) == (False, by, None)
            host.run(["sh", "-c", end])
            told = until(events, "repair", what=f"unreachable route of {cidr}")
            assert told["ok"]
    routes = host.output(["ip", "route"])
    assert "unreachable 10.11.0.0/16" in routes and "unreachable 10.12.0.0/16" in routes


def test_what_changed_while_no_daemon_ran_is_put_back_under_the_vm(host, served):
    daemon, sandbox = served
    daemon.kill()
    host.run(["sh", "-c", "ip link set veth-1 group 0 mtu 1300; ip -n ns-1 link set tap0 mtu 1300"])
    daemon.start()
    daemon.wait_log("repaired.*sandbox=a.*MTU of tap0")
    daemon.api.wait("a", "attached")
    assert "mtu 1500" in host.output(["ip", "-o", "link", "show", "group", "1874"])
    assert "mtu 1500" in host.output(["ip", "-n", "ns-1", "-o", "link", "show", "tap0"])
    await_guest(host, sandbox)
