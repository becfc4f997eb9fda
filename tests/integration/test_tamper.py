# SPDX-License-Identifier: GPL-2.0-or-later
"""An outsider deletes, alters or occupies objects of weft: it notices, repairs or reports, and touches no foreign objects."""

import itertools
import json
import os
import select
import shutil
import socket
import threading

import pytest

from harness.client import await_guest
from harness.flow import Flow
from harness.guests import serve_in
from harness.netns import enter
from harness.wait import poll_until


def served(host, guest, api, name, body=None):
    """A sandbox with a guest that returns the sandbox's name."""
    sandbox = api.register(name, body)
    guest(sandbox).serve(f"49983,http,{name}", "7,echo")
    api.wait(name, "attached")
    await_guest(host, sandbox)
    return sandbox


def inode_of(path):
    """The file's inode; None while there is no such file."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None


def await_inode(path, inode):
    """Waits for INODE at PATH. The file over which a namespace is bound exists before the namespace does."""
    poll_until(lambda: inode_of(path) == inode, what=lambda: f"{path} with inode {inode}, not {inode_of(path)}")


@pytest.fixture
def two(host, weftd, guest):
    """(daemon, a sandbox that is tampered with, its neighbour, which must stay undisturbed)."""
    daemon = weftd()
    first = served(host, guest, daemon.api, "a")
    other = served(host, guest, daemon.api, "b")
    flow = Flow(host.connect(other["host_ip"], 7))
    flow.check()
    host.await_names(daemon.api)
    yield daemon, first, other
    flow.close()
    assert daemon.api.wait("b", "ready")
    assert daemon.running()


# ---- the kernel's objects, while the daemon runs ----


def test_the_name_of_a_namespace_comes_back(host, two):
    daemon, first, _ = two
    inode = os.stat(host.netns("ns-1").path).st_ino
    host.run(["ip", "netns", "del", "ns-1"])
    daemon.wait_log("repaired.*sandbox=a.*name of the namespace")
    await_inode(host.netns("ns-1").path, inode)
    assert host.netns_names() == ["ns-1", "ns-2"]
    await_guest(host, first)


def test_a_veth_comes_back(host, two):
    daemon, first, _ = two
    host.run(["ip", "link", "del", "veth-1"])
    await_guest(host, first)
    daemon.wait_log("repaired.*sandbox=a")
    daemon.api.wait("a", "ready")


@pytest.mark.parametrize(
    "damage",
    [
        ["ip", "link", "set", "veth-1", "down"],
        ["ip", "route", "del", "10.11.0.1/32"],
        ["ip", "addr", "del", "10.12.0.2/31", "dev", "veth-1"],
        ["ip", "neigh", "flush", "dev", "veth-1", "nud", "permanent"],
    ],
    ids=["down", "route", "address", "neighbour"],
)
def test_the_hosts_end_is_put_right(host, two, damage):
    daemon, first, _ = two
    host.run(damage)
    await_guest(host, first)
    if "neigh" not in damage:
        daemon.wait_log("repaired.*sandbox=a")


@pytest.mark.parametrize(
    "damage",
    [
        ["ip", "link", "set", "eth0", "down"],
        ["ip", "link", "set", "tap0", "down"],
        ["ip", "addr", "del", "169.254.0.22/30", "dev", "tap0"],
        ["ip", "addr", "del", "10.12.0.3/31", "dev", "eth0"],
        ["ip", "route", "del", "default"],
        ["nft", "flush", "ruleset"],
        ["nft", "delete", "table", "inet", "weft"],
        ["sysctl", "-q", "-w", "net.ipv4.conf.tap0.forwarding=0"],
        ["ip", "link", "set", "lo", "down"],
    ],
    ids=["eth0-down", "tap0-down", "tap0-address", "eth0-address", "route", "flush", "table", "forwarding", "lo"],
)
def test_the_inside_is_put_right(host, two, damage):
    daemon, first, _ = two
    host.netns("ns-1").run(damage)
    daemon.wait_log("repaired.*sandbox=a")
    await_guest(host, first)
    daemon.api.wait("a", "ready")


class Callers(threading.Thread):
    """Begins a connection to ADDRESS each millisecond until close(), and keeps all of them."""

    def __init__(self, host, address):
        super().__init__(daemon=True)
        self.path = host.path
        self.address = address
        self.begun = []
        self._end = threading.Event()
        self.start()

    def run(self):
        enter(self.path)
        while not self._end.wait(0.001):
            self.begun.append(socket.socket())
            self.begun[-1].setblocking(False)
            self.begun[-1].connect_ex(self.address)

    def stop(self):
        self._end.set()
        self.join()

    def unserved(self):
        """How many of them are not connected yet."""
        waiting = select.poll()
        for one in self.begun:
            waiting.register(one, select.POLLOUT)
        return len(self.begun) - len(waiting.poll(0))

    def close(self):
        self.stop()
        for one in self.begun:
            one.close()


def test_what_was_begun_without_rules_is_served_with_them(host, two):
    """A first packet that is tracked without its translation would be the way of all others that are sent for the same connection."""
    daemon, first, _ = two
    old = Flow(host.connect(first["host_ip"], 7))
    old.check()
    callers = Callers(host, (first["host_ip"], 7))
    try:
        for _ in range(3):
            begun = len(callers.begun)
            host.netns("ns-1").run(["nft", "flush", "ruleset"])
            daemon.wait_log("repaired.*sandbox=a.*table")
            poll_until(lambda: len(callers.begun) > begun + 100, what="more callers")  # pylint: disable=cell-var-from-loop
        callers.stop()
        poll_until(lambda: callers.unserved() == 0, what=lambda: f"{callers.unserved()} of {len(callers.begun)} to be served")
    finally:
        callers.close()
    old.close()


def retransmissions(connection):
    """How often the kernel has sent the oldest segment again since the last acknowledgement: tcpi_retransmits of tcp(7)."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)[2]


def goes_on_after_a_flush(daemon, connection, namespace, device):
    """CONNECTION to a sink, whose acknowledgements come over DEVICE of NAMESPACE: they are lost, and then all tables with them.

    The kernel learns a flow's sequence numbers anew after a flush, here from a segment that the sink has acknowledged long ago.
    """
    chain = f"{{ type filter hook ingress device {device} priority -500; policy drop; }}"
    namespace.run(["nft", f"add table netdev deaf; add chain netdev deaf in {chain}"])
    connection.sendall(bytes(8192))
    poll_until(lambda: retransmissions(connection) > 0, what="a segment to be sent again")
    with daemon.api.events() as events:
        namespace.run(["nft", "flush", "ruleset"])
        assert next(one for one in events if one["type"] == "repair")["ok"]
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(100) == b"8192\n"
    connection.close()


def test_a_flow_to_a_sandbox_goes_on_after_a_flush_inside(host, weftd, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a")
    guest(sandbox).serve("9,sink")
    daemon.api.wait("a", "attached")
    goes_on_after_a_flush(daemon, host.connect(sandbox["host_ip"], 9), host.netns("ns-1"), "tap0")


def test_a_flow_from_a_sandbox_goes_on_after_a_flush_on_the_host(host, weftd, guest):
    world = host.add_uplink()
    world.add("203.0.113.10/32")
    daemon = weftd()
    vm = guest(daemon.api.register("a"))
    daemon.api.wait("a", "attached")
    server = serve_in(host, world, "9,sink")
    goes_on_after_a_flush(daemon, vm.connect("203.0.113.10", 9), host, "uplink0")
    server.stop()


def test_a_tap_deleted_without_a_vm_is_made_anew(host, weftd, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a")
    host.netns("ns-1").run(["ip", "link", "del", "tap0"])
    daemon.wait_log("repaired.*sandbox=a.*tap0")
    guest(sandbox).serve("49983,http,a")
    daemon.api.wait("a", "attached")
    await_guest(host, sandbox)


def test_a_tap_deleted_under_its_vm_is_reported(host, two):
    daemon, _, _ = two
    host.netns("ns-1").run(["ip", "link", "del", "tap0"])
    poll_until(lambda: daemon.api.show("a")["state"] == "failed", what=lambda: f"{daemon.api.show('a')}\n{daemon.log_tail()}")
    assert "tap0" in daemon.api.show("a")["reason"]
    daemon.api.unregister("a")
    poll_until(lambda: "veth-1" not in host.links())


def test_a_sandbox_that_cannot_be_taken_apart_is_unregistered_again(host, two):
    daemon, _, _ = two
    host.run(["mount", "-o", "remount,ro", "/run/netns"])
    daemon.api.unregister("a", expect=(500,))
    assert daemon.api.show("a")["state"] == "failed"
    host.run(["mount", "-o", "remount,rw", "/run/netns"])
    daemon.api.unregister("a")
    poll_until(lambda: host.netns_names() == ["ns-2"], what=host.netns_names)


@pytest.mark.parametrize("how", ["flush ruleset", "delete table inet weft", "flush table inet weft"])
def test_the_hosts_table_comes_back_with_published_ports(host, weftd, guest, how):
    daemon = weftd({"ports": {"allow_address": "127.0.0.1"}})
    sandbox = served(host, guest, daemon.api, "a")
    before = host.nft().count("\n")
    with daemon.api.events() as events:
        host.run(["nft", *how.split()])
        assert next(one for one in events if one["type"] == "repair")["what"]
    poll_until(lambda: host.nft().count("\n") == before, what=lambda: host.nft())
    await_guest(host, sandbox)
    daemon.api.wait("a", "ready")


def test_the_ranges_never_leak_to_the_uplink_for_long(host, two):
    daemon, _, _ = two
    before = [line for line in host.output(["ip", "route"]).splitlines() if line.startswith("unreachable")]
    assert len(before) == 2
    for line in before:
        host.run(["ip", "route", "del", *line.split()])
    poll_until(
        lambda: [line for line in host.output(["ip", "route"]).splitlines() if line.startswith("unreachable")]
        == before
    )
    assert daemon.running()


def test_the_pools_slots_are_replaced_when_somebody_plays_with_them(host, weftd, guest):
    daemon = weftd({"pool": {"size": 2}})
    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 2)
    host.run(["ip", "link", "del", "veth-1"])
    host.netns("ns-2").run(["ip", "link", "del", "tap0"])

    def whole():
        links, names = host.links(), host.netns_names()
        try:
            return len(names) == 2 and all(
                f"veth-{name[3:]}" in links and "tap0" in host.netns(name).links() for name in names
            )
        except AssertionError:  # the namespace was removed after it was listed
            return False

    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 2 and whole(), what=daemon.log_tail)
    served(host, guest, daemon.api, "a")


# ---- the kernel's objects, while the daemon does not run ----


@pytest.mark.parametrize(
    "damage",
    [
        ["ip", "link", "set", "veth-1", "down"],
        ["ip", "route", "del", "10.11.0.1/32"],
        ["nft", "flush", "ruleset"],
        ["ip", "netns", "exec", "ns-1", "nft", "flush", "ruleset"],
        ["ip", "netns", "exec", "ns-1", "ip", "addr", "del", "169.254.0.22/30", "dev", "tap0"],
        ["ip", "netns", "del", "ns-1"],
    ],
    ids=["veth-down", "route", "host-table", "table", "address", "name"],
)
def test_what_broke_while_it_was_away_is_repaired_under_the_vm(host, two, damage):
    daemon, first, _ = two
    inode = os.stat(host.netns("ns-1").path).st_ino
    daemon.stop()
    host.run(damage)
    daemon.start()
    await_guest(host, first)
    daemon.api.wait("a", "ready")
    await_inode(host.netns("ns-1").path, inode)


def test_a_slot_that_vanished_while_it_was_away_is_made_anew(host, weftd, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a")
    daemon.stop()
    host.run(["ip", "netns", "del", "ns-1"])
    poll_until(lambda: "veth-1" not in host.links())
    daemon.start()
    daemon.wait_log("repaired.*sandbox=a")
    guest(sandbox).serve("49983,http,a")
    daemon.api.wait("a", "attached")
    await_guest(host, sandbox)


def test_a_namespace_that_lost_its_veth_is_known_by_its_stored_inode(host, two):
    """With the veth went the mark; device and inode of the namespace are stored with the slot."""
    daemon, first, _ = two
    inode = os.stat(host.netns("ns-1").path).st_ino
    daemon.stop()
    host.run(["ip", "link", "del", "veth-1"])
    daemon.start()
    await_guest(host, first)
    daemon.api.wait("a", "ready")
    assert os.stat(host.netns("ns-1").path).st_ino == inode


def test_a_vm_whose_slot_lost_veth_and_name_is_found_by_its_stored_inode(host, two):
    daemon, first, _ = two
    inode = os.stat(host.netns("ns-1").path).st_ino
    daemon.stop()
    host.run(["sh", "-c", "ip link del veth-1 && ip netns del ns-1"])
    daemon.start()
    await_guest(host, first)
    daemon.api.wait("a", "ready")
    await_inode(host.netns("ns-1").path, inode)


def test_a_foreign_namespace_in_the_place_of_ours_is_a_failure_until_it_goes(host, two):
    """It is left alone, and so is the VM in the namespace that had the name."""
    daemon, first, _ = two
    inode = os.stat(host.netns("ns-1").path).st_ino
    daemon.stop()
    host.run(["sh", "-c", "ip netns del ns-1 && ip netns add ns-1"])
    foreign = os.stat(host.netns("ns-1").path).st_ino
    daemon.start()
    shown = daemon.api.show("a")
    assert shown["state"] == "failed" and "ns-1" in shown["reason"]
    assert os.stat(host.netns("ns-1").path).st_ino == foreign
    await_guest(host, first)
    host.run(["ip", "netns", "del", "ns-1"])
    poll_until(lambda: daemon.api.show("a")["state"] == "ready", what=lambda: daemon.api.show("a"))
    await_inode(host.netns("ns-1").path, inode)
    await_guest(host, first)


def test_a_foreign_namespace_alone_is_left_alone(host, two):
    """Neither a veth in our group nor the stored inode proves it ours."""
    daemon, first, _ = two
    daemon.kill()
    with open(state_file(daemon), encoding="utf-8") as file:
        stored = json.load(file)
    stored["netns_inode"] = 1
    with open(state_file(daemon), "w", encoding="utf-8") as file:
        json.dump(stored, file)
    inode = os.stat(host.netns("ns-1").path).st_ino
    host.run(["ip", "link", "del", "veth-1"])
    daemon.start()
    shown = daemon.api.show("a")
    assert shown["state"] == "failed" and "ns-1" in shown["reason"]
    daemon.api.unregister("a")
    assert os.stat(host.netns("ns-1").path).st_ino == inode
    assert daemon.api.register("c")["slot"] == 3
    host.run(["ip", "netns", "del", "ns-1"])


# ---- foreign objects ----


def foreign_namespace(host):
    host.run(["ip", "netns", "add", "ns-1"])
    return lambda: host.run(["ip", "netns", "del", "ns-1"])


def foreign_link(host):
    host.run(["ip", "link", "add", "veth-1", "type", "bridge"])
    return lambda: host.run(["ip", "link", "del", "veth-1"])


def foreign_veth(host):
    host.run(["ip", "link", "add", "veth-1", "type", "veth", "peer", "name", "other"])
    return lambda: host.run(["ip", "link", "del", "veth-1"])


def foreign_file(host):
    with open(host.file("/run/netns/ns-1"), "w", encoding="ascii") as file:
        file.write("mine")
    return lambda: os.unlink(host.file("/run/netns/ns-1"))


def foreign_symlink(host):
    os.symlink("/etc/passwd", host.file("/run/netns/ns-1"))
    return lambda: os.unlink(host.file("/run/netns/ns-1"))


def foreign_directory(host):
    os.mkdir(host.file("/run/netns/ns-1"))
    return lambda: os.rmdir(host.file("/run/netns/ns-1"))


FOREIGN = [foreign_namespace, foreign_link, foreign_veth, foreign_file, foreign_symlink, foreign_directory]


def known(state):
    return {key: state[key] for key in ("namespaces", "links", "mounts")}


@pytest.mark.parametrize(
    "make, pool",
    [(one, 0) for one in FOREIGN] + [(foreign_namespace, 2), (foreign_link, 2)],
    ids=lambda one: getattr(one, "__name__", one),
)
@pytest.mark.parametrize("when", ["before", "while"])
def test_what_has_our_names_but_is_not_ours_is_skipped(host, weftd, make, when, pool):
    daemon = weftd({"pool": {"size": pool}}, run=False)
    if when == "before":
        remove = make(host)
        theirs = known(host.state())
        daemon.start()
    else:
        daemon.start()
        if pool:
            poll_until(lambda: daemon.api.status()["pool"]["ready"] == 2)
            daemon.stop()
            assert daemon.run("--cleanup").returncode == 0
        remove = make(host)
        theirs = known(host.state())
        if pool:
            daemon.start()
    assert daemon.api.register("a")["slot"] == 2
    assert daemon.api.register("b")["slot"] == 3
    daemon.wait_log("slot skipped|not ours")
    daemon.kill()
    daemon.start()
    assert [one["state"] for one in daemon.api.list()] == ["waiting", "waiting"]
    daemon.api.unregister("a")
    daemon.api.unregister("b")
    daemon.stop()
    done = daemon.run("--cleanup")
    assert done.returncode == 0, done.stderr
    poll_until(lambda: known(host.state()) == theirs, what=lambda: f"{theirs}, not {known(host.state())}")
    remove()


def test_names_that_only_look_like_ours_are_nobodys_business(host, weftd):
    for name in ("ns-0", "ns-01", "ns-1x", "ns-99999", "ns-", "other"):
        host.run(["ip", "netns", "add", name])
    for name in ("veth-0", "veth-01", "veth-99999", "veth-x"):
        host.run(["ip", "link", "add", name, "type", "bridge"])
        host.run(["ip", "link", "set", name, "group", 1874])
    daemon = weftd()
    before = known(host.state())
    assert daemon.api.register("a")["slot"] == 1
    daemon.kill()
    daemon.start()
    daemon.api.unregister("a")
    poll_until(lambda: known(host.state()) == before, what=lambda: str(known(host.state())))


# ---- the state directory ----


def state_file(daemon, slot=1):
    return os.path.join(daemon.state_dir, f"{slot}.json")


def parsed(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return None


def delete(path):
    os.unlink(path)


def corrupt(path):
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"version": 1, "id": "a"')


def truncate(path):
    os.truncate(path, 0)


def future(path):
    stored = parsed(path)
    stored["version"] = 9
    with open(path, "w", encoding="utf-8") as file:
        json.dump(stored, file)


def symlink(path):
    shutil.move(path, path[: -len(".json")] + ".elsewhere")
    os.symlink(path[: -len(".json")] + ".elsewhere", path)


def mode(path):
    os.chmod(path, 0o666)


def fifo(path):
    os.unlink(path)
    os.mkfifo(path)


def foreign_owner(path):
    os.chown(path, 1234, 1234)


def another_slot(path):
    stored = parsed(path)
    stored["slot"] = 77
    with open(path, "w", encoding="utf-8") as file:
        json.dump(stored, file)


DAMAGES = [delete, corrupt, truncate, future, symlink, mode, fifo, foreign_owner, another_slot]


@pytest.mark.parametrize("damage", DAMAGES, ids=[one.__name__ for one in DAMAGES])
def test_a_state_file_is_written_again_while_the_daemon_runs(host, two, damage):
    daemon, _, _ = two
    path = state_file(daemon)
    before = parsed(path)
    with daemon.api.events("?sandbox=a") as events:
        with daemon.standing_still():
            damage(path)
        repair = next(one for one in events if one["type"] == "repair")
    assert "state" in repair["what"] and repair["sandbox"] == "a"

    def right():
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        found = parsed(path) if status.st_mode == 0o100600 and status.st_uid == 0 else None
        return found and found["id"] == "a" and found["request"] == before["request"]

    poll_until(right)
    daemon.kill()
    if damage is symlink:
        os.unlink(path[: -len(".json")] + ".elsewhere")
    daemon.start()
    daemon.api.wait("a", "ready")


@pytest.mark.parametrize("damage", DAMAGES, ids=[one.__name__ for one in DAMAGES])
def test_a_vm_outlives_the_loss_of_its_state_file(host, two, damage):
    """It is kept as failed, its traffic untouched, under the name in its alias, and only DELETE removes it."""
    daemon, first, _ = two
    flow = Flow(host.connect(first["host_ip"], 7))
    flow.check()
    daemon.stop()
    damage(state_file(daemon))
    for _ in range(2):
        daemon.start()
        shown = daemon.api.show("a")
        assert shown["state"] == "failed" and shown["slot"] == 1 and shown["reason"]
        if damage is not delete:
            daemon.wait_log("1.json")
        flow.check()
        daemon.kill()
    daemon.start()
    flow.check()
    daemon.api.request("PUT", "/v1/sandboxes/a").expect(409)
    daemon.api.request("PATCH", "/v1/sandboxes/a", {"paused": True}).expect(409)
    assert daemon.api.register("c")["slot"] == 3
    flow.check()
    daemon.api.unregister("a")
    with pytest.raises((OSError, AssertionError)):
        flow.close(10)
    poll_until(lambda: "veth-1" not in host.links())
    assert not os.path.lexists(state_file(daemon))
    assert daemon.api.register("d")["slot"] == 1


def test_a_vm_without_file_and_name_is_kept_by_its_number(host, two):
    daemon, first, _ = two
    daemon.stop()
    delete(state_file(daemon))
    host.run(["ip", "link", "set", "veth-1", "alias", ""])
    daemon.start()
    assert daemon.api.show("slot-1")["state"] == "failed"
    await_guest(host, first)
    daemon.api.unregister("slot-1")
    daemon.api.request("GET", "/v1/sandboxes/slot-1").expect(404)


@pytest.mark.parametrize("damage", DAMAGES, ids=[one.__name__ for one in DAMAGES])
@pytest.mark.parametrize("pool", [0, 2])
def test_a_slot_without_vm_and_state_file_is_removed(host, weftd, damage, pool):
    daemon = weftd({"pool": {"size": pool}})
    slot = daemon.api.register("a")["slot"]
    daemon.api.register("b")
    daemon.stop()
    path = state_file(daemon, slot)
    damage(path)
    kept = None if damage is delete else os.lstat(path)
    daemon.start()
    if not pool:
        poll_until(lambda: host.netns_names() == ["ns-2"] and "veth-1" not in host.links())
    assert [one["id"] for one in daemon.api.list()] == ["b"]
    # An unreadable file is left as it is, and no sandbox gets its slot.
    if damage is not delete:
        assert daemon.api.register("c")["slot"] not in (slot, 2)
        status = os.lstat(path)
        assert (status.st_ino, status.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
        # Until the file is removed.
        os.unlink(path)
        if damage is symlink:
            os.unlink(path[: -len(".json")] + ".elsewhere")
        daemon.wait_log(f"slot is free.*slot={slot}")
    if not pool:
        names = (f"n{n}" for n in itertools.count())
        poll_until(lambda: daemon.api.register(next(names))["slot"] == slot, interval=0.2)


def test_litter_in_the_state_directory_is_reported_and_left_alone(host, weftd):
    daemon = weftd()
    daemon.api.register("a")
    daemon.stop()
    for name in ("notes.txt", "0.json", "01.json", "99999.json", "-1.json", "1.json.bak"):
        with open(os.path.join(daemon.state_dir, name), "w", encoding="ascii") as file:
            file.write("{}")
    os.mkdir(os.path.join(daemon.state_dir, "5.json"))
    with open(os.path.join(daemon.state_dir, "7.json.new"), "w", encoding="ascii") as file:
        file.write("{}")
    daemon.start()
    names = set(os.listdir(daemon.state_dir))
    assert {"notes.txt", "0.json", "01.json", "99999.json", "-1.json", "1.json.bak", "5.json"} <= names
    assert "7.json.new" not in names  # our own, from an interrupted write
    daemon.wait_log("notes.txt")
    assert [one["id"] for one in daemon.api.list()] == ["a"]
    # A directory in place of a slot's file: the slot is not assigned.
    assert [daemon.api.register(f"n{n}")["slot"] for n in range(5)] == [2, 3, 4, 6, 7]


def test_two_files_that_name_one_sandbox(host, weftd):
    daemon = weftd()
    daemon.api.register("a")
    daemon.api.register("b")
    daemon.stop()
    stored = parsed(state_file(daemon, 2))
    stored["id"] = "a"
    with open(state_file(daemon, 2), "w", encoding="utf-8") as file:
        json.dump(stored, file)
    daemon.start()
    assert [(one["id"], one["slot"]) for one in daemon.api.list()] == [("a", 1)]
    daemon.wait_log("2.json")


def swap(daemon):
    os.rename(daemon.state_dir, daemon.state_dir + ".old")
    os.mkdir(daemon.state_dir, 0o700)


def remove(daemon):
    shutil.rmtree(daemon.state_dir)


def move(daemon):
    os.rename(daemon.state_dir, daemon.state_dir + ".old")


def open_to_all(daemon):
    os.chmod(daemon.state_dir, 0o777)


@pytest.mark.parametrize("damage", [swap, remove, move, open_to_all], ids=lambda one: one.__name__)
def test_the_state_directory_is_filled_again(two, damage):
    daemon, _, _ = two
    with daemon.standing_still():
        damage(daemon)
    poll_until(lambda: parsed(state_file(daemon, 1)) and parsed(state_file(daemon, 2)), what=daemon.log_tail)
    poll_until(lambda: os.stat(daemon.state_dir).st_mode == 0o40700)
    daemon.wait_log("repaired.*state directory")
    daemon.api.patch("a", {"labels": {"after": "it"}})
    assert parsed(state_file(daemon))["request"]["labels"] == {"after": "it"}
    # The new directory is locked as the first one was.
    second = daemon.run("--cleanup")
    assert second.returncode != 0 and f"pid {daemon.pid}" in second.stderr
    daemon.kill()
    daemon.start()
    daemon.api.wait("a", "ready")


def test_a_link_in_the_place_of_the_state_directory_is_not_followed(two):
    daemon, _, _ = two
    elsewhere = daemon.state_dir + ".elsewhere"
    os.mkdir(elsewhere, 0o700)
    with daemon.standing_still():
        os.rename(daemon.state_dir, daemon.state_dir + ".old")
        os.symlink(elsewhere, daemon.state_dir)
    daemon.wait_log("state directory not in order.*symbolic link")
    daemon.api.patch("a", {"labels": {"after": "it"}})
    assert os.listdir(elsewhere) == []
    daemon.stop()
    refused = daemon.run("--foreground")
    assert refused.returncode == 69 and "symbolic link" in refused.stderr
    os.unlink(daemon.state_dir)
    os.rename(daemon.state_dir + ".old", daemon.state_dir)
    daemon.start()
    assert daemon.api.show("a")["labels"] == {"after": "it"}


@pytest.mark.parametrize("wrong", ["mode", "owner", "file"])
def test_a_state_directory_that_others_may_write_is_refused(weftd, wrong):
    daemon = weftd(run=False)
    if wrong == "file":
        with open(daemon.state_dir, "w", encoding="ascii"):
            pass
    else:
        os.mkdir(daemon.state_dir, 0o700)
    if wrong == "mode":
        os.chmod(daemon.state_dir, 0o770)
    if wrong == "owner":
        os.chown(daemon.state_dir, 1234, 1234)
    done = daemon.run("--foreground")
    assert done.returncode == 69 and daemon.state_dir in done.stderr, done.stderr
    if wrong == "file":
        os.unlink(daemon.state_dir)
    else:
        os.rmdir(daemon.state_dir)
