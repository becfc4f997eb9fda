# SPDX-License-Identifier: GPL-2.0-or-later
"""The configurable parts of a sandbox's place on the host, and weft's coexistence with other users of the host."""

import os
import socket
import subprocess

import pytest

from harness.api import endpoint_port
from harness.client import PORT, health
from harness.daemon import OTHER_LAYOUT
from harness.wait import poll_until

CUSTOM = {
    **OTHER_LAYOUT,
    "forwarder": {"default_listen": "127.0.0.1:4000", "default_guest_port": 80},
    "ports": {"range": "25000-25001"},
}


def test_names_ranges_and_macs_are_as_configured(host, weftd):
    before = host.state()
    daemon = weftd(CUSTOM)
    sandbox = daemon.api.register("a1", {"ports": [PORT]})
    assert (sandbox["netns"], sandbox["veth"], sandbox["host_ip"]) == ("box.1", "wv1", "10.21.0.1")
    assert sandbox["endpoints"][0]["listen"] == ["127.0.0.1:25000", "[::1]:25000"]
    guest = sandbox["guest"]
    assert (guest["ip"], guest["prefix"], guest["gateway"]) == ("172.31.7.2", 24, "172.31.7.1")
    assert (guest["mac"], guest["mtu"]) == ("02:AA:00:00:00:02", 1400)
    assert guest["boot_arg"] == "ip=172.31.7.2::172.31.7.1:255.255.255.0:instance:eth0:off"
    assert host.netns_names() == ["box.1"]
    veth = host.links()["wv1"]
    assert (veth["group"], veth["mtu"]) == ("77", 1400)
    assert "10.22.0.2/31" in host.output(["ip", "addr", "show", "wv1"])
    inner = host.netns("box.1")
    tap = inner.links()["tap0"]
    assert (tap["mtu"], tap["address"]) == (1400, "02:aa:00:00:00:01")
    assert "172.31.7.1/24" in inner.output(["ip", "addr", "show", "tap0"])
    neighbour = inner.output(["ip", "neigh", "show", "dev", "tap0"])
    assert neighbour.split()[:3] == ["172.31.7.2", "lladdr", "02:aa:00:00:00:02"] and "PERMANENT" in neighbour
    for cidr in ("10.21.0.0/20", "10.22.0.0/20"):
        assert f"unreachable {cidr}" in host.output(["ip", "route"])
    assert "172.31.7.2" in inner.nft() and "77" in host.nft()
    assert ":4000" in host.output(["ss", "-Hltn"])
    daemon.api.unregister("a1")
    # These have another prefix and group, so none of them are ours.
    daemon.stop()
    assert daemon.run("--cleanup").returncode == 0
    host.await_state(before)


def test_the_mtu_is_the_uplinks(host, weftd):
    host.add_uplink(mtu=1380)
    sandbox = weftd().api.register("a1")
    assert sandbox["guest"]["mtu"] == 1380
    assert host.links()["veth-1"]["mtu"] == 1380
    inner = host.netns("ns-1").links()
    assert (inner["eth0"]["mtu"], inner["tap0"]["mtu"]) == (1380, 1380)


def test_mss_is_clamped_to_the_path(host, weftd, guest):
    host.add_uplink(mtu=1380)
    one = guest(weftd().api.register("a1"))
    # The stand-in's own link may be wider: the MSS it announces is lowered on the way.
    with one.listen(80) as listener, host.connect("10.11.0.1", 80) as client:
        served, _ = listener.accept()
        for end in (client, served):
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1340
        served.close()


def test_learned_macs(host, weftd, guest):
    daemon = weftd({"addresses": {"guest_mac": "learn"}})
    sandbox = daemon.api.register("a1", {"ports": [PORT]})
    assert sandbox["guest"]["mac"] is None or sandbox["guest"]["mac"] == ""
    assert host.netns("ns-1").output(["ip", "neigh", "show", "dev", "tap0"]) == ""
    one = guest(sandbox)
    one.run(["ip", "link", "set", "eth0", "address", "02:12:34:56:78:9a"])
    one.serve(f"{PORT},http,a1")
    assert health(host, "127.0.0.1", endpoint_port(sandbox))["guest"] == "a1"
    assert health(host, sandbox["host_ip"])["guest"] == "a1"
    assert "02:12:34:56:78:9a" in host.netns("ns-1").output(["ip", "neigh", "show", "dev", "tap0"])


def test_the_tap_belongs_to_its_owner(host, daemon):
    daemon.api.register("a1", {"tap_owner": {"uid": 12345, "gid": 54321}})
    data = host.netns("ns-1").links()["tap0"]["linkinfo"]["info_data"]
    assert (int(data["user"]), int(data["group"])) == (12345, 54321)

    def attach(uid, gid):
        code = (
            "import fcntl, os, struct\n"
            "fd = os.open('/dev/net/tun', os.O_RDWR)\n"
            f"os.setgroups([])\nos.setgid({gid})\nos.setuid({uid})\n"
            "fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'tap0', 0x5002))\n"
        )
        return host.netns("ns-1").run(["/usr/bin/python3", "-c", code], check=False)

    assert attach(12345, 54321).returncode == 0
    refused = attach(12346, 54322)
    assert refused.returncode and "PermissionError" in refused.stderr, refused


# ---- Others.


def test_a_drop_of_another_table_wins_over_our_accept_and_doctor_names_it(host, weftd, guest):
    """nftables drops a packet that any base chain drops. weft leaves foreign tables alone, and doctor names the table."""
    world = host.add_uplink()
    world.add("203.0.113.10/32")
    daemon = weftd()
    one = guest(daemon.api.register("a1", {"ports": [PORT]}))
    one.serve(f"{PORT},http,a1")

    def reaches_the_world():
        with world.listen(80):
            try:
                one.connect("203.0.113.10", 80, timeout=0.7).close()
                return True
            except OSError:
                return False

    poll_until(reaches_the_world)
    host.run(["nft", "add table inet firewall; add chain inet firewall forward { type filter hook forward priority 0; policy drop; }"])
    assert not reaches_the_world()
    # Traffic that is not forwarded still works: the two ways in from the host itself.
    assert health(host, "127.0.0.1", 20000)["guest"] == "a1"
    assert health(host, "10.11.0.1")["guest"] == "a1"
    done = daemon.ctl("doctor", "--config", daemon.config, check=False)
    assert done.returncode == 5 and "inet firewall" in done.stdout, done.stdout
    assert "policy drop" in host.nft()
    # The remedy that doctor suggests: accepts in that chain, by our link group.
    host.run(["nft", "add rule inet firewall forward iifgroup 1874 accept; add rule inet firewall forward oifgroup 1874 accept"])
    poll_until(reaches_the_world)
    assert "inet firewall" not in daemon.ctl("doctor", "--config", daemon.config, check=False).stdout
    host.run(["nft", "delete", "table", "inet", "firewall"])


def test_a_slot_whose_names_are_in_use_is_skipped_and_told(host, weftd):
    clean = host.state()
    host.run(["ip", "netns", "add", "ns-1"])
    host.run(["ip", "link", "add", "veth-2", "type", "veth", "peer", "name", "other"])
    with open(host.file("/run/netns/ns-3"), "w", encoding="utf-8"):
        pass
    daemon = weftd()
    assert daemon.api.register("a1")["slot"] == 4
    log = daemon.log()
    for name in ("ns-1", "veth-2", "ns-3"):
        assert name in log, log
    # Once they are gone, their numbers are free.
    host.run(["ip", "netns", "del", "ns-1"])
    host.run(["ip", "link", "del", "veth-2"])
    os.unlink(host.file("/run/netns/ns-3"))

    def are_free():
        slots = [daemon.api.register(f"b{n}")["slot"] for n in range(3)]
        if slots == [1, 2, 3]:
            return True
        for n in range(3):
            daemon.api.unregister(f"b{n}")
        return False

    poll_until(are_free, what=daemon.log_tail)
    daemon.before = clean


def test_a_veth_of_the_right_name_and_another_group_is_not_ours(host, weftd):
    host.run(["ip", "link", "add", "veth-1", "type", "veth", "peer", "name", "other"])
    host.run(["ip", "netns", "add", "ns-1"])
    before = host.state()
    daemon = weftd()
    daemon.stop()
    assert daemon.run("--cleanup").returncode == 0
    assert {"ns-1"} <= set(host.netns_names()) and "veth-1" in host.links()
    host.await_state(before)
    host.run(["ip", "netns", "del", "ns-1"])
    host.run(["ip", "link", "del", "veth-1"])
    daemon.before = host.state()


OPEN_TAP = """
import fcntl, os, struct
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tap0", 0x5002))
print("open", flush=True)
input()
"""


@pytest.mark.parametrize("script", [OPEN_TAP, "print('open', flush=True); input()"], ids=["tap", "namespace"])
def test_whoever_holds_tap_or_namespace_holds_nothing_up_and_is_named(host, daemon, script):
    before = host.state()
    daemon.api.register("a1", {"ports": [PORT]})
    holder = host.netns("ns-1").popen(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"open\n"
    daemon.api.unregister("a1")
    assert "veth-1" not in host.links() and host.netns_names() == []
    assert str(holder.pid) in daemon.wait_log("level=warning .*sandbox=a1 slot=1")
    holder.communicate(b"\n")
    host.await_state(before)
    assert daemon.api.register("a2")["slot"] == 1
