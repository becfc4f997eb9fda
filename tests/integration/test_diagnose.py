# SPDX-License-Identifier: GPL-2.0-or-later
"""`weftctl diagnose`: each hop of a path is broken in turn, and the diagnosis must name it."""

import json
import os
import resource
import socket
import threading

import pytest

from harness.daemon import build_dir
from harness.wait import poll_until

ORDER = ["listen", "veth", "route", "rules", "tap", "guest", "tcp", "http", "kernel", "egress"]


@pytest.fixture
def ready(daemon, guest):
    """A sandbox whose guest answers."""
    daemon.api.register("a1", {"ports": [49983], "ready_port": 49983})
    vm = guest("ns-1")
    vm.serve("49983,http,a1")
    daemon.api.wait("a1", "ready")
    return vm


def diagnosis(api):
    return api.get("/v1/sandboxes/a1/diagnosis").expect(200)


def diagnosed(api, broken, words=""):
    """The diagnosis, once it ends at BROKEN with WORDS. Retries, as probes wait a second and a guest may stall for longer."""
    seen = []

    def right():
        seen[:] = [diagnosis(api)]
        return seen[0]["broken"] == broken and (not broken or words in detail(seen[0], broken))

    poll_until(right, what=lambda: f"broken {broken!r}, {words!r}: {seen[0].body}")
    return seen[0]


def broken_at(api, hop, words=""):
    """The diagnosis, which must end at HOP: hops before it are ok, hops after it are not judged."""
    said = diagnosed(api, hop, words)
    at = ORDER.index(hop)
    assert [one["hop"] for one in said["hops"]] == ["door", *ORDER]
    assert statuses(said) == ["ok"] * at + ["fail"] + ["skipped"] * (len(ORDER) - at - 1)
    assert said["cause"] and said["next_step"], said
    return said


def statuses(said):
    """Those of the hops in ORDER; the test's host has no front door, so that its hop is never tried."""
    assert (said["hops"][0]["status"], said["hops"][0]["detail"]) == ("skipped", "no front door is in use")
    return [one["status"] for one in said["hops"][1:]]


def detail(said, hop):
    return next(one["detail"] for one in said["hops"] if one["hop"] == hop)


def test_a_whole_path_is_whole(api, ready):
    said = diagnosed(api, None)
    assert said["cause"] is None and said["next_step"] is None
    # The host has no uplink, and so no way out for anybody.
    assert statuses(said) == ["ok"] * (len(ORDER) - 1) + ["skipped"], said.body
    assert "status 200" in detail(said, "http") and "no default route" in detail(said, "egress")


def test_a_sandbox_that_is_being_changed_is_not_blamed(api, ready):
    ended = threading.Event()

    def change():
        rate = 1000000
        while not ended.is_set():
            rate += 1
            api.patch("a1", {"bandwidth": {"from_guest": {"rate": rate}}})

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(20):
            said = api.get("/v1/sandboxes/a1/diagnosis").expect(200, 503).body
            assert "being changed" in said.get("detail", "") or said["broken"] != "rules", said
    finally:
        ended.set()
        changer.join()
    diagnosed(api, None)


def test_no_vm_is_named_as_no_carrier(api):
    api.register("a1", {"ports": [49983]})
    said = broken_at(api, "tap", "NO-CARRIER")
    assert "ns-1" in said["cause"]


def test_a_client_that_is_held_is_told(api, host):
    sandbox = api.register("a1", {"ports": [49983]})
    port = int(sandbox["endpoints"][0]["listen"][0].rsplit(":", 1)[1])
    with host.connect("127.0.0.1", port):
        poll_until(lambda: "1 connection held" in detail(diagnosis(api), "listen"))


# weftd repairs these within milliseconds, so it is killed first, and the diagnosis runs without it.
MENDED = {
    "a deleted veth": ("host", "ip link del veth-1", "veth", "veth-1 does not exist"),
    "the host's end down": ("host", "ip link set veth-1 down", "veth", "veth-1 is down"),
    "the host's end without address": ("host", "ip addr flush dev veth-1", "veth", "lacks its address 10.12.0.2"),
    "the host's end unmarked": ("host", "ip link set veth-1 group 0", "veth", "not in link group 1874"),
    "the other end down": ("ns", "ip link set eth0 down", "veth", "ns-1/eth0 is down"),
    "a deleted namespace": ("host", "umount /run/netns/ns-1 && rm /run/netns/ns-1", "veth", "ns-1 does not exist"),
    "the host's route": ("host", "ip route del 10.11.0.1", "route", "no route to 10.11.0.1"),
    "the default route inside": ("ns", "ip route del default", "route", "ns-1: no route to"),
    "the host's table": ("host", "nft flush ruleset", "rules", "host's table is missing or altered"),
    "a rule of the host's": ("host", "nft flush chain inet weft from_sandbox", "rules", "host's table is missing or altered"),
    "the table inside": ("ns", "nft flush ruleset", "rules", "table in ns-1 is missing or altered"),
    "a rule inside": ("ns", "nft insert rule inet weft forward drop", "rules", "table in ns-1 is missing or altered"),
    "a deleted TAP": ("ns", "ip link del tap0", "tap", "does not exist"),
    "the TAP down": ("ns", "ip link set tap0 down", "tap", "is down"),
    "the TAP without address": ("ns", "ip addr flush dev tap0", "tap", "lacks its address"),
}


@pytest.mark.parametrize("what", MENDED)
def test_what_weftd_would_mend_is_named(weftd, host, what):
    where, command, hop, said = MENDED[what]
    daemon = weftd()
    daemon.api.register("a1", {"ports": [49983]})
    daemon.kill()
    walk = [os.path.join(build_dir(), "tests/health_walk"), "1", "49983"]
    lines = [line.split(" ", 2) for line in host.output(walk).splitlines()][1:]  # without the door
    assert [line[1] for line in lines] == ["ok"] * 4 + ["fail"] + ["skipped"] * (len(ORDER) - 5), lines

    (host if where == "host" else host.netns("ns-1")).run(["sh", "-c", command])
    lines = [line.split(" ", 2) for line in host.output(walk).splitlines()][1:]  # without the door
    at = ORDER.index(hop)
    assert [line[0] for line in lines] == ORDER
    assert [line[1] for line in lines] == ["ok"] * at + ["fail"] + ["skipped"] * (len(ORDER) - at - 1), lines
    assert said in lines[at][2]
    # A link that lost its mark is not weft's any more, and so not weft's to remove.
    if "veth-1" in command:
        host.run(["ip", "link", "del", "veth-1"], check=False)
        host.run(["sh", "-c", "umount /run/netns/ns-1 && rm /run/netns/ns-1"])
    daemon.start()


def test_another_route_over_the_sandboxes_range_is_named(api, host, ready):
    host.run(["ip", "link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1"])
    host.run(["ip", "link", "set", "vpn0", "up"])
    host.run(["ip", "addr", "add", "192.0.2.77/32", "dev", "vpn0"])
    host.run(["ip", "route", "add", "10.11.0.1/32", "dev", "vpn0", "table", "77"])
    host.run(["ip", "rule", "add", "to", "10.11.0.0/16", "lookup", "77", "priority", "100"])
    broken_at(api, "route", "vpn0")
    host.run(["ip", "rule", "del", "priority", "100"])
    host.run(["ip", "link", "del", "vpn0"])


def test_a_guest_that_is_silent_is_named(api, guest):
    api.register("a1", {"ports": [49983]})
    vm = guest("ns-1")
    api.wait("a1", "ready")
    vm.freeze()
    broken_at(api, "guest", "no answer to ARP")
    vm.thaw()


def test_a_guest_with_another_mac_is_named(api, guest):
    mac = api.register("a1", {"ports": [49983]})["guest"]["mac"]
    guest("ns-1", "--mac", "02:FC:00:00:00:99")
    api.wait("a1", "ready")
    said = broken_at(api, "guest", "the rule mac denied")
    assert f"sends from another MAC than {mac.upper()} (" in said["cause"] and "denied, rule mac)" in said["cause"]
    assert "weftctl show a1 --firecracker" in said["next_step"]


def test_a_guest_with_another_address_is_named(api, guest):
    api.register("a1", {"ports": [49983]})
    vm = guest("ns-1", "--address", "169.254.0.23", "--gateway", "169.254.0.22")
    api.wait("a1", "ready")
    with vm.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
        speaker.sendto(b"x", ("169.254.0.22", 9))
    said = broken_at(api, "guest", "denied")
    # By which of its packets it is found, is the guest's kernel's choice.
    assert "another address than 169.254.0.21" in said["cause"]
    assert "weftctl show a1 --firecracker" in said["next_step"]


def test_a_link_of_another_program_is_named_with_its_remedy(weftd, host):
    daemon = weftd()
    daemon.api.register("a1", {"ports": [49983]})
    daemon.stop()
    host.run(["ip", "link", "delete", "veth-1"])
    host.run(["ip", "link", "add", "veth-1", "type", "veth", "peer", "name", "foreign"])
    daemon.start()
    poll_until(lambda: daemon.api.show("a1")["state"] == "failed")
    said = diagnosed(daemon.api, "veth")
    assert "veth-1 is not weft's own" in detail(said, "veth")
    assert "link veth-1 is not ours" in said["cause"] and "File exists" not in said["cause"]
    assert "ip -d link show dev veth-1" in said["next_step"]
    host.run(["ip", "link", "delete", "veth-1"])
    poll_until(lambda: daemon.api.show("a1")["state"] != "failed")


def test_a_port_that_nobody_listens_on_is_named(api, guest):
    api.register("a1", {"ports": [49983]})
    guest("ns-1")
    api.wait("a1", "ready")
    said = broken_at(api, "tcp", "refused")
    assert "nothing listens on 49983 in the guest: start its program" in said["cause"]


def test_an_agent_that_does_not_answer_is_named(api, guest):
    api.register("a1", {"ports": [49983], "ready_port": 49983})
    guest("ns-1").serve("49983,silent")
    api.wait("a1", "ready")
    broken_at(api, "http", "no answer")


def test_altered_rules_are_named(api, host, daemon, ready):
    """The patrol repairs them within about a second. Each is diagnosed right after the damage, so that a diagnosis sees it."""

    def altered():
        host.netns("ns-1").run(["nft", "insert", "rule", "inet", "weft", "forward", "drop"])
        said = diagnosis(api)
        return said if said["broken"] == "rules" else None

    said = poll_until(altered)
    assert "ns-1" in detail(said, "rules")
    poll_until(lambda: diagnosis(api)["broken"] is None)


def test_a_port_taken_while_weftd_was_away_is_named(weftd, host, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a1", {"ports": [49983]})
    port = int(sandbox["endpoints"][0]["listen"][0].rsplit(":", 1)[1])
    daemon.stop()
    with host.listen(port, host="127.0.0.1"):
        daemon.start()
        said = broken_at(daemon.api, "listen", f"127.0.0.1:{port}")
        assert f"(pid {os.getpid()})" in said["cause"], said.body


def test_a_shortage_of_weftds_says_nothing_about_the_sandbox(daemon, api):
    api.register("a1", {"ports": [49983]})
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    said = []
    try:
        for room in range(-2, 8):
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (len(daemon.fds()) + room, limits[1]))
            said.append(diagnosis(api))
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
    for one in said:
        assert one["broken"] == "tap" or "could not look" in one["cause"], one.body
        assert "stop the VM" not in one["next_step"], one.body
    assert any("Too many open files" in one["cause"] for one in said), [one.body for one in said]
    broken_at(api, "tap", "NO-CARRIER")


def test_a_paused_guest_is_not_spoken_to(api, ready):
    api.patch("a1", {"paused": True})
    said = diagnosis(api)
    assert said["broken"] is None
    assert [one["status"] for one in said["hops"]][-5:] == ["skipped"] * 5


def test_weftctl_says_it_for_people_and_exits_with_5(daemon, api):
    api.register("a1", {"ports": [49983]})
    said = daemon.ctl("diagnose", "a1", check=False)
    assert said.returncode == 5
    text = said.stdout if isinstance(said.stdout, str) else said.stdout.decode()
    assert "FAIL  tap" in text and "cause:" in text
    machine = daemon.ctl("diagnose", "a1", "--json", check=False)
    assert json.loads(machine.stdout)["broken"] == "tap"


def test_an_unknown_sandbox_is_404(api):
    api.get("/v1/sandboxes/nobody/diagnosis").problem(404)


def test_many_at_once_are_answered_or_refused(api, daemon):
    api.register("a1", {"ports": [49983]})
    sockets = [api.raw_socket() for _ in range(20)]
    for one in sockets:
        one.sendall(b"GET /v1/sandboxes/a1/diagnosis HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    statuses = []
    for one in sockets:
        answer = b""
        while chunk := one.recv(65536):
            answer += chunk
        statuses.append(int(answer.split()[1]))
        one.close()
    assert set(statuses) <= {200, 503} and 200 in statuses
    assert diagnosis(api)["broken"] == "tap"


def test_a_failed_sandbox_is_closed_for_the_reason_that_was_told(weftd, guest):
    daemon = weftd()
    daemon.api.register("a1", {"ports": [49983]})
    vm = guest("ns-1")
    daemon.api.wait("a1", "attached")
    daemon.kill()
    with open(os.path.join(daemon.state_dir, "1.json"), "w", encoding="utf-8") as file:
        file.write("garbage")
    daemon.start()
    (sandbox,) = daemon.api.list()
    assert sandbox["state"] == "failed"
    said = daemon.api.get(f"/v1/sandboxes/{sandbox['id']}/diagnosis").expect(200)
    assert said["broken"] == "listen" and sandbox["reason"] in said["cause"] and "unregister" in said["next_step"]
    assert statuses(said) == ["fail"] + ["skipped"] * (len(ORDER) - 1)
    vm.kill()
    daemon.api.unregister(sandbox["id"])


def test_another_namespace_under_the_name_is_told(weftd, guest, host):
    daemon = weftd()
    daemon.api.register("a1", {"ports": [49983]})
    guest("ns-1")
    daemon.api.wait("a1", "ready")
    with daemon.standing_still():
        host.run(["sh", "-c", "ip netns del ns-1 && ip netns add ns-1"])
    said = diagnosed(daemon.api, "veth")
    assert "another namespace" in said["cause"] and "program that bound ns-1" in said["next_step"]
    assert daemon.api.show("a1")["state"] == "ready"
    host.run(["ip", "netns", "delete", "ns-1"])
    poll_until(lambda: diagnosis(daemon.api)["broken"] != "veth")


def test_a_tap_that_was_deleted_under_its_vm_is_what_is_broken(daemon, api, guest, host):
    api.register("a1", {"ports": [49983]})
    guest("ns-1")
    api.wait("a1", "attached")
    host.netns("ns-1").run(["ip", "link", "del", "tap0"])
    poll_until(lambda: api.show("a1")["state"] == "failed")
    said = diagnosed(api, "tap")
    assert api.show("a1")["reason"] in said["cause"]


def test_a_guest_elsewhere_is_told_by_its_own_address(weftd, guest):
    daemon = weftd({"addresses": {"guest": "172.31.0.2/30", "tap": "172.31.0.1/30"}})
    daemon.api.register("a1", {"ports": [49983]})
    guest("ns-1", "--address", "172.31.0.2", "--gateway", "172.31.0.1")
    daemon.api.wait("a1", "ready")
    said = diagnosed(daemon.api, "tcp")
    assert "172.31.0.2" in said["cause"] and "169.254" not in said["cause"]
