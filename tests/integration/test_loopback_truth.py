# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators are told of clients that the kernel connects to guests: counters, lists of connections, doctor and diagnose."""

import contextlib
import json
import socket

import pytest

from harness.client import PORT, ask, echoes
from harness.loopback import DNS, ECHO, Box
from harness.wait import poll_until

BOTH = ("127.0.0.1", "::1")


@pytest.fixture
def daemon(cgroup, weftd):
    return weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}})


@pytest.fixture
def box(boxes):
    made = boxes()
    made.await_path("kernel")
    return made


def name_of(end):
    """("::1", 7, ...) as [::1]:7."""
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def listed(box):
    """Without the forwarder's flow of datagrams."""
    flow = box.address("127.0.0.1", DNS)
    found = box.daemon.api.get(f"/v1/sandboxes/{box.name}/connections").expect(200)["connections"]
    return [one for one in found if one["endpoint"] != name_of(flow)]


def total(box):
    return box.daemon.api.show(box.name)["counters"]["connections_total"]


def test_connections_lists_them_by_the_address_that_they_asked_for(box):
    poll_until(lambda: not listed(box), what=lambda: f"no connections: {listed(box)}")
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(box.connect(address, ECHO)) for address in BOTH]
        direct = opened.enter_context(box.host.connect(box.shown["host_ip"], ECHO))
        assert all(echoes(client) for client in (*clients, direct))
        seen = {one["endpoint"]: one for one in listed(box)}
        assert len(seen) == 3 and {one["path"] for one in seen.values()} == {"kernel"}, seen
        for client in clients:
            one = seen[name_of(client.getpeername())]
            assert one["client"].endswith(f":{client.getsockname()[1]}") and one["direction"] == "in" and one["state"] == "open"
            assert one["bytes_to_guest"] >= 3 and one["bytes_from_guest"] >= 3
        assert name_of(direct.getpeername()) in seen
        ids = {one["id"] for one in seen.values()}
        assert len(ids) == 3 and ids == {one["id"] for one in listed(box)}
        shown = box.daemon.ctl("connections", box.name).stdout
        assert "kernel" in shown and name_of(clients[1].getpeername()) in shown
    poll_until(lambda: not listed(box), what=lambda: f"no connections: {listed(box)}")


def test_connections_lists_both_kinds_beside_each_other(box):
    with box.connect("127.0.0.1", ECHO) as led, box.connect("127.0.0.1", ECHO, source="127.0.0.1") as bound:
        assert echoes(led) and echoes(bound)
        assert sorted(one["path"] for one in listed(box)) == ["forwarder", "kernel"]
        assert len({one["endpoint"] for one in listed(box)}) == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_connections_are_counted_over_all_ends(box, end):
    poll_until(lambda: total(box) >= 3, what=lambda: f"two connections and a flow of the forwarder's: {total(box)}")
    before = total(box)
    for _ in range(5):
        for address in BOTH:
            with box.connect(address, ECHO) as client:
                assert echoes(client)
    poll_until(lambda: total(box) == before + 10, what=lambda: f"{before} and ten more: {total(box)}")
    getattr(box.daemon, end)()
    box.daemon.start()
    box.call()
    box.await_path("kernel", PORT, ECHO)
    with box.connect("127.0.0.1", ECHO) as client:
        assert echoes(client)
    # Entries outlive a kill, and so do their counts; what the forwarder had counted itself may be lost.
    least = 11 + (before if end == "stop" else 0)
    poll_until(lambda: total(box) >= least, what=lambda: f"{before} and {least}: {total(box)}")
    box.guest.close_tap()
    box.await_path("forwarder", PORT, ECHO, DNS)
    assert total(box) >= least


def test_bytes_are_counted_by_the_kernels_counters(box):
    before = box.daemon.api.show(box.name)["counters"]
    with box.connect("127.0.0.1", PORT) as client:
        assert len(ask(client, "/bytes/1000000")) == 1000000

    def grown():
        now = box.daemon.api.show(box.name)["counters"]
        return now["bytes_from_guest"] >= before["bytes_from_guest"] + 1000000

    poll_until(grown, what=lambda: str(box.daemon.api.show(box.name)["counters"]))


def test_the_way_and_the_reason_are_shown(boxes, box):
    other = boxes("a2", {"limits": {"connections": 7}})
    for one, path, reason in ((box, "kernel", None), (other, "forwarder", "limits")):
        endpoint = one.endpoint(ECHO)
        assert (endpoint["path"], endpoint["path_reason"], endpoint["via"]) == (path, reason, "forwarder")
        shown = one.daemon.ctl("show", one.name).stdout
        assert path in shown and (reason or "") in shown
    status = box.daemon.api.status()["loopback"]
    assert status["open"] and status["ipv6"] and status["mode"] == "kernel" and status["error"] is None
    assert status["entries"] == status["wanted"] > 0


def test_doctor_tells_where_the_programs_are(cgroup, box):
    def finding():
        done = box.daemon.ctl("doctor", "--json", check=False)
        return next(one for one in json.loads(done.stdout) if one["check"] == "loopback")

    seen = finding()
    assert seen["status"] == "ok" and cgroup.path in seen["detail"], seen


def test_doctor_says_that_a_host_has_no_bpffs(host, weftd, guest):
    daemon = weftd({"forwarder": {"loopback": "kernel"}})
    done = daemon.ctl("doctor", "--json", check=False)
    [seen] = [one for one in json.loads(done.stdout) if one["check"] == "loopback"]
    assert seen["status"] == "warn" and "bpf" in " ".join((seen["detail"], seen["why"], seen["fix"])).lower(), seen


def test_doctor_has_nothing_to_say_of_a_daemon_that_leads_nobody(cgroup, weftd):
    daemon = weftd({"forwarder": {"loopback": "forwarder", "cgroup": cgroup.path}})
    done = daemon.ctl("doctor", "--json", check=False)
    found = [one for one in json.loads(done.stdout) if one["check"] == "loopback"]
    assert all(one["status"] in ("ok", "skipped") for one in found), found


def test_diagnose_says_which_way_a_client_goes(box):
    def hop():
        said = box.daemon.api.get(f"/v1/sandboxes/{box.name}/diagnosis").expect(200).body
        return next(one for one in said["hops"] if one["hop"] == "listen")

    assert "kernel" in hop()["detail"], hop()
    box.daemon.api.patch(box.name, {"limits": {"connections": 9}})
    box.await_path("forwarder")
    assert "kernel" not in hop()["detail"] or "limits" in hop()["detail"], hop()


def test_datagrams_are_no_connections(box):
    poll_until(lambda: total(box) >= 3, what=lambda: f"two connections and a flow of the forwarder's: {total(box)}")
    before = total(box)
    with box.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(box.address("127.0.0.1", DNS))
        client.send(b"abc")
        assert client.recv(100) == b"re:abc"
    assert total(box) == before


def test_auto_is_what_a_box_has_by_default(cgroup, weftd, host, guest):
    daemon = weftd()
    with contextlib.closing(Box(host, daemon, guest)) as box:
        box.await_path("kernel", PORT)
        status = daemon.api.status()["loopback"]
        assert status["mode"] == "auto" and status["cgroup"] == cgroup.path
