# SPDX-License-Identifier: GPL-2.0-or-later
"""The two ways of `weftctl diagnose` past the forwarder: the kernel path from the host, and the way out from the guest's side."""

import contextlib
import subprocess

import pytest

from harness.wait import poll_until

@pytest.fixture
def out(host, weftd, guest):
    """A daemon on a host with an uplink, and the sandbox a1: its agent serves, and nobody listens on its port 8080."""
    return start_out(host, weftd, guest, {})


def start_out(host, weftd, guest, config):
    host.add_uplink()
    daemon = weftd(config)
    daemon.api.register("a1", {"ports": [49983, 8080], "ready_port": 49983})
    guest("ns-1").serve("49983,http,a1")
    daemon.api.wait("a1", "ready")
    return daemon


def diagnosed(api, broken, query="", sandbox="a1"):
    """The hops by name, and the diagnosis, once it breaks at BROKEN. Retries, as a busy guest may stall for longer than a probe."""
    seen = []

    def right():
        seen[:] = [api.get(f"/v1/sandboxes/{sandbox}/diagnosis{query}").expect(200).body]
        return seen[0]["broken"] == broken

    poll_until(right, what=lambda: f"broken {broken!r}: {seen[0]}")
    return {hop["hop"]: hop for hop in seen[0]["hops"]}, seen[0]


@contextlib.contextmanager
def rules(host, *lines):
    """A table of another program, as long as the block runs. The last line is its rule, or the whole of its chain."""
    host.run(["nft", "add table inet other; " + "; ".join(lines)])
    try:
        yield
    finally:
        host.run(["nft", "delete table inet other"])


def chain(hook, kind="filter", policy="accept"):
    return f"add chain inet other here {{ type {kind} hook {hook} priority -10; policy {policy}; }}"


def test_a_published_port_that_nobody_serves_is_idle_and_no_fault(out):
    hops, said = diagnosed(out.api, None)
    assert hops["tcp"]["status"] == "idle" and "nothing listens on 8080" in hops["tcp"]["detail"]
    assert "49983 accepts" in hops["tcp"]["detail"] and "8080" in hops["tcp"]["subject"]
    assert [hops[name]["status"] for name in ("http", "kernel", "egress")] == ["ok"] * 3, said
    assert hops["kernel"]["subject"] == "10.11.0.1:49983" and "accepts" in hops["kernel"]["detail"]
    assert hops["egress"]["detail"] == "leaves by uplink0 as 192.0.2.2"
    assert said["cause"] is None
    shown = out.ctl("diagnose", "a1", check=False)
    assert shown.returncode == 0 and "idle  tcp" in shown.stdout

    # The same where no port at all is served: each of the others is in order.
    out.api.register("b1", {"ports": [8080]})
    assert out.api.get("/v1/sandboxes/b1/diagnosis").expect(200)["broken"] == "tap"


def test_a_sandbox_without_any_served_port_is_whole(out, guest):
    out.api.register("b1", {"ports": [8080, 8081]})
    guest("ns-2")
    out.api.wait("b1", "ready")
    seen = {}

    def whole():
        seen.update(out.api.get("/v1/sandboxes/b1/diagnosis").expect(200).body)
        return seen["broken"] is None

    poll_until(whole, what=lambda: str(seen))
    hops = {hop["hop"]: hop for hop in seen["hops"]}
    assert hops["tcp"]["status"] == "idle" and hops["tcp"]["detail"] == "nothing listens on 8080, 8081"
    assert hops["kernel"]["status"] == "ok" and "refused, as on the guest's own link" in hops["kernel"]["detail"]
    assert hops["http"]["status"] == "skipped" and hops["egress"]["status"] == "ok"
    # As the default, its agent is expected.
    out.api.patch("b1", {"default": True})
    poll_until(lambda: out.api.get("/v1/sandboxes/b1/diagnosis").expect(200)["broken"] == "tcp")


def test_a_filter_of_another_program_on_the_way_out_is_named(out, host):
    with rules(host, chain("forward", policy="drop")):
        hops, said = diagnosed(out.api, "egress")
        assert hops["kernel"]["status"] == "ok"
        assert "table inet other, chain here, by its policy" in said["cause"] and "nft insert rule" in said["next_step"]
    # One that concerns datagrams alone, and one that drops after the routing.
    with rules(host, chain("forward"), "add rule inet other here meta l4proto udp drop"):
        assert "table inet other, chain here, by the rule with handle" in diagnosed(out.api, "egress")[1]["cause"]
    with rules(host, chain("postrouting"), "add rule inet other here oifname uplink0 drop"):
        assert "table inet other" in diagnosed(out.api, "egress")[1]["cause"]
    # A rule that no look from outside can judge.
    with rules(host, chain("forward"), "add rule inet other here ip ttl < 70 drop"):
        said = diagnosed(out.api, "egress")[1]
        assert "perhaps dropped" in said["cause"] and "other" in said["cause"]
    diagnosed(out.api, None)


def test_a_filter_or_redirect_on_the_kernel_path_is_named(out, host):
    with rules(host, chain("output"), "add rule inet other here ip daddr 10.11.0.0/16 drop"):
        hops, said = diagnosed(out.api, "kernel")
        assert "do not leave the host" in hops["kernel"]["detail"] and "chain here" in said["cause"]
        assert hops["egress"]["status"] == "skipped" and hops["egress"]["detail"] == "not tried"
    with rules(host, chain("input"), "add rule inet other here ip saddr 10.11.0.0/16 drop"):
        hops, said = diagnosed(out.api, "kernel")
        assert "on their way back" in hops["kernel"]["detail"] and "chain here" in said["cause"]
    # A transparent proxy: one that does not run, and one that answers in the sandbox's place.
    proxy = (chain("output", "nat"), "add rule inet other here tcp dport { 8080, 49983 } redirect to :3128")
    with rules(host, *proxy):
        hops, said = diagnosed(out.api, "kernel")
        assert "refused, although the guest accepts" in hops["kernel"]["detail"]
        assert "redirected in nftables table inet other" in said["cause"] and "exempt" in said["next_step"]
    with rules(host, *proxy), host.listen(3128, "0.0.0.0"):
        hops, said = diagnosed(out.api, "kernel")
        assert hops["kernel"]["detail"].startswith("redirected on the host, to ") and ":3128" in hops["kernel"]["detail"]
    diagnosed(out.api, None)


def test_each_served_port_is_tried_on_the_kernel_path(out, host, guest):
    """A rule of another program may concern one port, and that port need not be the sandbox's first."""
    out.api.register("b1", {"ports": [49983, 8080, 8081, 9090], "ready_port": 49983})
    guest("ns-2").serve("49983,http,b1", "8080,http,b1", "9090,http,b1")
    out.api.wait("b1", "ready")
    hops, said = diagnosed(out.api, None, sandbox="b1")
    kernel = hops["kernel"]
    assert kernel["subject"] == "10.11.0.2:49983, 8080, 9090" and kernel["status"] == "ok", said
    assert [part.split(" in ")[0] for part in kernel["detail"].split("; ")] == [f"{n} accepts" for n in (49983, 8080, 9090)]
    assert hops["tcp"]["status"] == "idle" and out.ctl("diagnose", "b1", check=False).returncode == 0

    redirect = (chain("output", "nat"), "add rule inet other here ip daddr 10.11.0.2 tcp dport 8080 redirect to :3128")
    with rules(host, *redirect), host.listen(3128, "0.0.0.0"):
        hops, said = diagnosed(out.api, "kernel", sandbox="b1")
        assert hops["kernel"]["detail"].startswith("port 8080: redirected on the host, to ")
        assert "to port 8080 of the sandbox are redirected in nftables table inet other" in said["cause"]
        assert "exempt" in said["next_step"]
        diagnosed(out.api, None)
    with rules(host, chain("output"), "add rule inet other here ip daddr 10.11.0.2 tcp dport 9090 drop"):
        hops, said = diagnosed(out.api, "kernel", sandbox="b1")
        assert "port 9090: no answer: the packets do not leave" in hops["kernel"]["detail"]
        assert "chain here, by the rule with handle" in said["cause"] and "nft insert rule" in said["next_step"]
    # Nobody serves 8081, so that there is nothing to lose.
    with rules(host, chain("output"), "add rule inet other here ip daddr 10.11.0.2 tcp dport 8081 drop"):
        diagnosed(out.api, None, sandbox="b1")


def test_another_table_in_the_namespace_is_told(out, host):
    inside = host.netns("ns-1")
    inside.run(["nft", "add table ip mine; add chain ip mine f { type filter hook forward priority 10; policy drop; }"])
    hops, said = diagnosed(out.api, "kernel")
    assert "do not come through ns-1" in hops["kernel"]["detail"] and "ip netns exec ns-1 nft" in said["next_step"]
    inside.run(["nft", "delete table ip mine"])
    inside.run(["nft", "add table ip mine; add chain ip mine o { type filter hook output priority 10; }; add rule ip mine o udp dport 9 drop"])
    hops, said = diagnosed(out.api, "egress")
    assert hops["egress"]["detail"] == "ns-1 drops it" and "another table in ns-1" in said["cause"]
    inside.run(["nft", "delete table ip mine"])


def test_what_policy_denies_is_skipped_with_its_rule(out, host):
    out.api.patch("a1", {"egress": {"internet": False, "allow": ["203.0.113.0/24"]}})
    hops, said = diagnosed(out.api, None)
    assert hops["egress"]["status"] == "skipped" and "denied by policy: rule internet" in hops["egress"]["detail"]
    assert "--to ADDR" in hops["egress"]["detail"]
    # Another destination, which the list allows; and one that no guest may reach.
    hops, said = diagnosed(out.api, None, "?to=203.0.113.10")
    assert hops["egress"]["subject"] == "10.11.0.1 -> 203.0.113.10:9/udp" and hops["egress"]["status"] == "ok", said
    hops, said = diagnosed(out.api, None, "?to=10.1.2.3")
    assert "rule private" in hops["egress"]["detail"]
    hops, said = diagnosed(out.api, None, "?to=192.0.2.2")
    assert "rule internet" in hops["egress"]["detail"], said
    out.api.patch("a1", {"egress": {"deny": ["198.51.100.0/24"]}})
    assert "rule deny" in diagnosed(out.api, None)[0]["egress"]["detail"]
    assert "rule host" in diagnosed(out.api, None, "?to=192.0.2.2")[0]["egress"]["detail"]

    shown = out.ctl("diagnose", "a1", "--to", "203.0.113.10", check=False)
    assert shown.returncode == 0 and "203.0.113.10:9/udp" in shown.stdout
    assert out.ctl("diagnose", "a1", "--to", "nowhere", check=False).returncode == 2
    for wrong in ("nowhere", "0.0.0.0", "1.2.3.4/24", ""):
        out.api.get(f"/v1/sandboxes/a1/diagnosis?to={wrong}").problem(400, "to")


def test_a_host_that_cannot_forward_says_why(out, host):
    host.run(["ip", "route", "add", "unreachable", "203.0.113.0/24"])
    hops, said = diagnosed(out.api, "egress", "?to=203.0.113.10")
    assert "no route on the host" in hops["egress"]["detail"] and "ip route get 203.0.113.10" in said["next_step"]
    host.run(["ip", "route", "del", "unreachable", "203.0.113.0/24"])
    host.run(["ip", "route", "del", "default"])
    hops, said = diagnosed(out.api, None)
    assert hops["egress"]["status"] == "skipped" and "no default route" in hops["egress"]["detail"]
    assert "no route on the host" in diagnosed(out.api, "egress", "?to=203.0.113.10")[0]["egress"]["detail"]
    host.run(["ip", "route", "add", "default", "via", "192.0.2.1"])


def test_forwarding_that_is_off_says_so(host, weftd, guest):
    """Where weftd may not turn it on. Its own links it turns on again, and the answers still come in by the uplink."""
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    daemon = start_out(host, weftd, guest, {"host": {"ip_forward": "require"}})
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    poll_until(lambda: host.output(["sysctl", "-n", "net.ipv4.conf.veth-1.forwarding"]) == "1\n")
    hops, said = diagnosed(daemon.api, "egress")
    assert "net.ipv4.conf.uplink0.forwarding is 0" in hops["egress"]["detail"] and "ip_forward=1" in said["next_step"]
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])


def test_a_guest_that_drops_the_hosts_addresses_is_told_from_a_broken_host(weftd, guest):
    """It answers its gateway, as the forwarder asks, and not the kernel path."""
    daemon = weftd()
    daemon.api.register("a1", {"ports": [49983], "ready_port": 49983})
    vm = guest("ns-1")
    vm.serve("49983,http,a1")
    daemon.api.wait("a1", "ready")
    vm.run(["nft", "add table ip own; add chain ip own in { type filter hook input priority 0; }; add rule ip own in ip saddr 10.0.0.0/8 drop"])
    hops, said = diagnosed(daemon.api, "kernel")
    assert hops["kernel"]["detail"] == "the guest got the packets and does not answer" and "firewall" in said["cause"]


def test_a_detached_sandbox_is_told_as_such(weftd, guest):
    daemon = weftd()
    daemon.api.register("a1", {"ports": [49983]})
    vm = guest("ns-1")
    daemon.api.wait("a1", "attached")
    hops, said = diagnosed(daemon.api, "tcp")
    assert f"(pid {vm.owner.process.pid})" in hops["tap"]["detail"]
    vm.kill()
    daemon.api.wait("a1", "detached")
    hops, said = diagnosed(daemon.api, "tap")
    assert "NO-CARRIER: the VM went away " in hops["tap"]["detail"] and "the VM went away " in said["cause"]
    assert "no VM is attached" not in said["cause"]
    assert daemon.ctl("diagnose", "a1", check=False).returncode == 5
    # It is so while it is paused, too; then the age of the state says nothing about it.
    daemon.api.patch("a1", {"paused": True})
    assert diagnosed(daemon.api, "tap")[0]["tap"]["detail"] == "NO-CARRIER: the VM went away"


def test_the_process_that_holds_a_tap_from_elsewhere_is_named(weftd, host):
    """A VMM that opened its TAP and runs in the host's namespace, as one does to which a manager passes the descriptor."""
    daemon = weftd()
    daemon.api.register("a1", {})
    daemon.api.register("b1", {})
    holder = host.popen(["python3", "-c", HOLDER, "/run/netns/ns-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline().strip() == b"open"
        daemon.api.wait("a1", "attached")
        hops = {hop["hop"]: hop for hop in daemon.api.get("/v1/sandboxes/a1/diagnosis").expect(200)["hops"]}
        assert f"open in python3 (pid {holder.pid})" in hops["tap"]["detail"], hops["tap"]
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()


HOLDER = """
import ctypes, fcntl, os, struct, sys
home = os.open("/proc/self/ns/net", os.O_RDONLY)
libc = ctypes.CDLL(None)
there = os.open(sys.argv[1], os.O_RDONLY)
assert libc.setns(there, 0) == 0
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"tap0", 0x5002))
assert libc.setns(home, 0) == 0
print("open", flush=True)
sys.stdin.read()
"""
