# SPDX-License-Identifier: GPL-2.0-or-later
"""[names] and [addresses] change between two runs: a live slot keeps what it was made with, and nothing of it is ever left behind."""

import json
import os
import re

import pytest

from harness.api import endpoint_port
from harness.client import PORT, health
from harness.daemon import OTHER_LAYOUT
from harness.wait import poll_until

FORMER = {"pool": {"size": 2}}
LATER = {
    **OTHER_LAYOUT,
    "pool": {"size": 2},
}
KEPT = ("slot", "netns", "netns_path", "veth", "tap", "host_ip", "guest", "endpoints")


def marks(daemon):
    """The link groups that marks.json lists."""
    with open(os.path.join(daemon.state_dir, "marks.json"), encoding="utf-8") as file:
        return [mark["link_group"] for mark in json.load(file)["marks"]]


def rules_of(host, sandbox):
    text = host.netns(sandbox["netns"]).nft()
    return re.sub(r"packets \d+ bytes \d+", "packets N bytes N", re.sub(r" (expires|count|last used) \S+", "", text))


def answers_both_ways(host, sandbox, name):
    assert health(host, sandbox["host_ip"])["guest"] == name
    assert health(host, "127.0.0.1", endpoint_port(sandbox))["guest"] == name


def settle(one, sandbox):
    """Gives the stand-in guest the addresses of a sandbox that has not the usual ones."""
    guest = sandbox["guest"]
    one.run(["ip", "addr", "flush", "dev", "eth0"])
    one.run(["ip", "link", "set", "eth0", "down"])
    mac = ["address", guest["mac"]] if guest["mac"] else []
    one.run(["ip", "link", "set", "eth0", *mac, "mtu", str(guest["mtu"]), "up"])
    one.run(["ip", "addr", "add", f"{guest['ip']}/{guest['prefix']}", "dev", "eth0"])
    one.run(["ip", "route", "replace", "default", "via", guest["gateway"]])


def restart_with(daemon, config):
    daemon.stop()
    daemon.write_config(config)
    return daemon.start()


def test_a_live_slot_keeps_its_layout_and_new_ones_get_the_new(host, weftd, guest):
    world = host.add_uplink()
    world.add("203.0.113.10/32")
    daemon = weftd(FORMER)
    old = daemon.api.register("old", {"ports": [PORT]})
    old_guest = guest(old)
    old_guest.serve(f"{PORT},http,old")
    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 2)
    assert marks(daemon) == [1874]
    rules, inode = rules_of(host, old), os.stat(host.netns(old["netns"]).path).st_ino
    answers_both_ways(host, old, "old")

    daemon.stop()
    daemon.write_config(LATER)
    check = daemon.run("--check")
    assert re.search(r"1 sandboxes keep .*veth-N, group 1874, 10\.11\.0\.0/16", check.stdout), check
    daemon.start()
    daemon.wait_log(r"sandboxes=1 theirs=.*veth-N.* new=.*wvN")
    kept = daemon.api.show("old")
    assert {key: kept[key] for key in KEPT} == {key: old[key] for key in KEPT}
    assert rules_of(host, old) == rules and os.stat(host.netns(old["netns"]).path).st_ino == inode
    assert sorted(marks(daemon)) == [77, 1874]
    assert [layout["link_group"] for layout in daemon.api.status()["uses"]["layouts"]] == [77, 1874]
    answers_both_ways(host, old, "old")
    with world.listen(80):
        old_guest.connect("203.0.113.10", 80, timeout=5).close()

    # The pool's slots, which nobody has, are made anew.
    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 2)
    poll_until(lambda: sorted(name for name in host.links() if name.startswith("veth-")) == ["veth-1"])
    new = daemon.api.register("new", {"ports": [PORT]})
    assert new["slot"] != old["slot"]
    assert (new["netns"], new["veth"]) == (f"box.{new['slot']}", f"wv{new['slot']}")
    assert (new["host_ip"], new["guest"]["ip"]) == (f"10.21.0.{new['slot']}", "172.31.7.2")
    new_guest = guest(new)
    settle(new_guest, new)
    new_guest.serve(f"{PORT},http,new")
    answers_both_ways(host, new, "new")
    answers_both_ways(host, old, "old")

    # Neither reaches the other, nor the host.
    for one, other in ((old_guest, new), (new_guest, old)):
        with pytest.raises(OSError):
            one.connect(other["host_ip"], PORT, timeout=0.5)
    routes = host.output(["ip", "route"])
    assert all(f"unreachable {cidr}" in routes for cidr in ("10.11.0.0/16", "10.12.0.0/16", "10.21.0.0/20", "10.22.0.0/20"))

    # What others break is put back by the slot's own layout.
    host.run(["nft", "delete", "table", "inet", "weft"])
    host.run(["ip", "route", "del", f"{old['host_ip']}/32"])
    poll_until(lambda: "iifgroup 1874" in host.nft() and "iifgroup 77" in host.nft())
    poll_until(lambda: f"{old['host_ip']} via" in host.output(["ip", "route"]))
    answers_both_ways(host, old, "old")
    os.unlink(os.path.join(daemon.state_dir, "marks.json"))
    poll_until(lambda: os.path.exists(os.path.join(daemon.state_dir, "marks.json")))
    assert sorted(marks(daemon)) == [77, 1874]

    # With the last slot of a layout goes all that was there for it.
    daemon.api.unregister("old")
    poll_until(lambda: marks(daemon) == [77], what=daemon.log_tail)
    routes = host.output(["ip", "route"])
    assert "10.11.0.0" not in routes and "10.12.0.0" not in routes and "unreachable 10.21.0.0/20" in routes
    assert "ifgroup 1874" not in host.nft() and "10.11.0.0" not in host.nft()
    assert "repaired" not in "".join(line for line in daemon.log().splitlines() if "host's table" in line and "1874" in line)
    answers_both_ways(host, new, "new")


def test_ranges_that_overlap_those_of_live_slots_are_refused(host, weftd, guest):
    daemon = weftd()
    guest(daemon.api.register("old", {"ports": [PORT]}))
    daemon.stop()
    for addresses, words in (
        ({"host_cidr": "10.11.128.0/17"}, ("host_cidr = 10.11.128.0/17", "host_cidr 10.11.0.0/16")),
        ({"host_cidr": "10.21.0.0/16", "veth_cidr": "10.11.0.0/16"}, ("veth_cidr = 10.11.0.0/16", "host_cidr 10.11.0.0/16")),
    ):
        daemon.write_config({"addresses": addresses})
        check = daemon.run("--check")
        assert check.returncode == 78 and all(word in check.stderr for word in (*words, "old")), check
        assert daemon.refuses() == 78
        assert all(word in daemon.log() for word in words), daemon.log_tail()
    # Ranges of the same addresses are the same slots'.
    daemon.write_config({"names": {"netns_prefix": "box.", "veth_prefix": "wv"}})
    daemon.start()
    assert daemon.api.register("new")["host_ip"] == "10.11.0.2"
    daemon.api.unregister("old")
    daemon.stop()
    # Once nobody has them, they are free.
    daemon.write_config({"addresses": {"host_cidr": "10.12.0.0/16", "veth_cidr": "10.11.0.0/16"}})
    assert daemon.refuses() == 78
    daemon.write_config({"names": {"netns_prefix": "box.", "veth_prefix": "wv"}})
    daemon.start().api.unregister("new")
    daemon.stop()
    daemon.write_config({"addresses": {"host_cidr": "10.12.0.0/16", "veth_cidr": "10.11.0.0/16"}})
    assert daemon.start().api.register("third")["host_ip"] == "10.12.0.1"


@pytest.mark.parametrize("mac", ["02:FC:00:00:00:05", "learn"])
def test_a_state_file_of_before_has_its_layout_from_the_kernel(host, weftd, guest, mac):
    daemon = weftd({"addresses": {"guest_mac": mac, "tap": "169.254.0.26/30", "guest": "169.254.0.25/30"}})
    old = daemon.api.register("old", {"ports": [PORT]})
    one = guest(old)
    settle(one, old)
    one.serve(f"{PORT},http,old")
    host.await_names(daemon.api)
    daemon.stop()
    path = os.path.join(daemon.state_dir, f"{old['slot']}.json")
    with open(path, encoding="utf-8") as file:
        stored = json.load(file)
    assert stored.pop("layout")["veth_prefix"] == "veth-" and stored["version"] == 1
    stored["of_a_later_weftd"] = {"kept": [1, 2]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(stored, file)
    os.unlink(os.path.join(daemon.state_dir, "marks.json"))
    daemon.write_config(LATER)
    daemon.start()
    kept = daemon.api.show("old")
    assert {key: kept[key] for key in KEPT} == {key: old[key] for key in KEPT}
    answers_both_ways(host, old, "old")

    def rewritten():
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
        return "layout" in stored and stored

    stored = poll_until(rewritten)
    assert stored["layout"]["host_cidr"] == "10.11.0.0/16" and stored["layout"]["guest_mac"] == mac
    assert stored["of_a_later_weftd"] == {"kept": [1, 2]} and stored["version"] == 1


@pytest.mark.parametrize("lost", ["nothing", "marks", "state", "all"])
def test_cleanup_leaves_a_bare_host_whatever_the_history(host, weftd, guest, lost):
    before = host.state()
    daemon = weftd({"names": {"link_group": 99, "veth_prefix": "xv"}, "addresses": {"host_cidr": "10.31.0.0/16"}})
    guests = [guest(daemon.api.register("first", {"ports": [PORT]}))]
    restart_with(daemon, LATER)
    guests.append(guest(daemon.api.register("second")))
    # Of the defaults only the name of the namespace differs.
    restart_with(daemon, {"names": {"netns_prefix": "only-"}})
    daemon.api.register("third")
    host.await_names(daemon.api)
    # No sandbox has this one, so that only its slot's own MAC and table tell whose it is.
    restart_with(daemon, {"names": {"veth_prefix": "spare", "link_group": 55}, "pool": {"size": 1}})
    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 1)
    daemon.stop()
    for name in os.listdir(daemon.state_dir):
        if (name == "marks.json" and lost in ("marks", "all")) or (name[0].isdigit() and lost in ("state", "all")):
            os.unlink(os.path.join(daemon.state_dir, name))
    # A configuration that knows none of the three.
    daemon.write_config({"names": {"link_group": 5, "netns_prefix": "q-"}, "addresses": {"host_cidr": "10.99.0.0/16"}})
    for run in range(3):
        done = daemon.run("--cleanup")
        assert done.returncode == 0, done
        count = int(re.search(r"(\d+) removed, nothing left", done.stdout)[1])
        assert count == done.stdout.count("removed ") and (count == 0) == (run > 0), done
        assert not set(host.links()) & {"xv1", "wv2", "veth-3", "spare4"}
    assert host.nft() == "" and "unreachable" not in host.output(["ip", "route"])
    assert [name for name in os.listdir(daemon.state_dir) if name != "lock"] == []
    for one in guests:
        one.kill()
    host.await_state(before)
