# SPDX-License-Identifier: GPL-2.0-or-later
"""`failed` is proved, is a report and no act, and ends with its cause. What is not proved changes no state."""

import pytest

from harness.api import endpoint_port
from harness.client import await_guest
from harness.faults import few_descriptors
from harness.flow import Flow
from harness.wait import poll_until

RIVAL = ("via", "198.51.100.9", "dev", "lo", "onlink", "proto", "static")  # of a route to a host address


def serve(host, daemon, guest, count):
    """Ready sandboxes a0, a1 ..., whose guests return their names and echo on port 7."""
    made = [daemon.api.register(f"a{n}", {"ports": [49983, 7], "ready_port": 7}) for n in range(count)]
    guests = guest.many(made)
    services = [(its, f"49983,http,{one['id']}") for its, one in zip(guests, made)]
    guests[0].owner.serve(services + [(its, "7,echo") for its in guests])
    for one in made:
        daemon.api.wait(one["id"], "ready")
    host.await_names(daemon.api)
    return made


def flow_to(host, sandbox):
    return Flow(host.connect("127.0.0.1", endpoint_port(sandbox, 7)))


def until(events, kind, **members):
    """The next event of KIND with MEMBERS; no sandbox's state may change before, unless it is the event."""
    for event in events:
        if event["type"] == kind and all(event.get(key) == value for key, value in members.items()):
            return event
        assert event["type"] != "state", event
    raise AssertionError("the stream ended")


def test_a_shortage_of_descriptors_changes_no_state(host, weftd, guest):
    daemon = weftd()
    sandboxes = serve(host, daemon, guest, 3)
    flow = flow_to(host, sandboxes[0])
    with daemon.api.news() as events:
        with few_descriptors(daemon):
            for one in sandboxes:
                host.run(["ip", "route", "del", one["host_ip"]])
                until(events, "repair", sandbox=one["id"])
            flow.check()
        for one in sandboxes:
            await_guest(host, one)
        host.run(["ip", "route", "del", sandboxes[2]["host_ip"]])
        until(events, "repair", sandbox="a2", what="route of the host address")
    flow.close()
    assert [one["state"] for one in daemon.api.list()] == ["ready"] * 3


def test_sandboxes_that_are_taken_apart_piece_by_piece_all_come_back(host, weftd, guest):
    daemon = weftd()
    sandboxes = serve(host, daemon, guest, 10)
    each = [f"(ip netns del {one['netns']}; ip link del {one['veth']}; ip route del {one['host_ip']})" for one in sandboxes]
    for _ in range(3):
        host.run(["sh", "-c", " & ".join(each) + "; wait; true"])
        for one in sandboxes:
            await_guest(host, one)
    poll_until(lambda: len(host.netns_names()) == 10, what=host.netns_names)
    assert [one["state"] for one in daemon.api.list()] == ["ready"] * 10
    assert "slot failed" not in daemon.log()


def test_a_route_in_front_of_a_host_address_is_reported_and_no_failure(host, weftd, guest):
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    flow = flow_to(host, one)
    rival = [one["host_ip"], *RIVAL]
    with daemon.api.news() as events:
        host.run(["ip", "route", "prepend", *rival])
        event = until(events, "repair", sandbox="a0", ok=False)
        assert event["what"] == "route of the host address"
        assert event["by"] == {"gateway": "198.51.100.9", "device": "lo", "protocol": "static", "table": 254, "rule": None}
        assert one["veth"] in host.output(["ip", "route", "show", one["host_ip"]])
        flow.check()
        host.run(["ip", "route", "del", *rival[:5]])
        until(events, "repair", sandbox="a0", ok=True, what="route of the host address")
    await_guest(host, one)
    flow.close()
    assert daemon.api.show("a0")["state"] == "ready"
    assert daemon.api.metrics()["weft_repairs_total"] == 0


def test_a_route_or_an_address_that_came_later_does_not_keep_the_daemon_from_its_sandboxes(host, weftd, guest):
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    rival = [one["host_ip"], *RIVAL]
    host.run(["ip", "route", "prepend", *rival])
    host.run(["ip", "addr", "add", "10.11.77.7/32", "dev", "lo"])
    for end in (daemon.kill, daemon.stop):
        end()
        daemon.start()
        daemon.api.wait("a0", "ready")
        flow_to(host, one).close()
    checked = daemon.run("--check")
    assert checked.returncode == 69 and "10.11.77.7" in checked.stdout + checked.stderr, checked
    host.run(["ip", "addr", "del", "10.11.77.7/32", "dev", "lo"])
    host.run(["ip", "route", "del", *rival[:5]])
    await_guest(host, one)


def occupy(host, daemon, veth):
    """Puts a foreign link in the place of a veth."""
    with daemon.standing_still():
        host.run(["ip", "link", "delete", veth])
        host.run(["ip", "link", "add", veth, "type", "veth", "peer", "name", "foreign"])


def test_a_failure_is_a_report_and_ends_with_its_cause(host, weftd, guest):
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    flow = flow_to(host, one)
    with daemon.api.news() as events:
        occupy(host, daemon, one["veth"])
        failed = until(events, "state", sandbox="a0")
        assert (failed["from"], failed["to"]) == ("ready", "failed")
        shown = daemon.api.show("a0")
        assert one["veth"] in shown["reason"]
        # Endpoints stay open, connections go on, new ones are served.
        flow.check()
        flow_to(host, one).close()
        # It can be changed by `unpublish` alone.
        daemon.api.request("PUT", "/v1/sandboxes/a0", {"ports": [49983, 7], "ready_port": 7}).expect(409)
        daemon.api.request("PATCH", "/v1/sandboxes/a0", {"paused": True}).expect(409)
        daemon.api.request("PATCH", "/v1/sandboxes/a0", {"unpublish": [49983], "publish": [8]}).expect(409)
        daemon.api.patch("a0", {"unpublish": [49983]})
        said = daemon.api.get("/v1/sandboxes/a0/diagnosis").expect(200)
        assert shown["reason"] in said["cause"] and "unregister" not in said["next_step"]
        until(events, "unpublished")
        host.run(["ip", "link", "delete", one["veth"]])
        recovered = until(events, "state", sandbox="a0")
        assert (recovered["from"], recovered["to"], recovered["cause"]) == ("failed", "ready", "recovered")
    assert daemon.api.show("a0")["reason"] is None
    flow.check()
    flow.close()


def test_a_failed_sandbox_follows_its_vm(host, weftd, guest):
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    occupy(host, daemon, one["veth"])
    poll_until(lambda: daemon.api.show("a0")["state"] == "failed")
    with daemon.api.news() as events:
        guest.vmms[0].kill()
        host.run(["ip", "link", "delete", one["veth"]])
        assert until(events, "state", sandbox="a0")["to"] in ("detached", "ready")
    poll_until(lambda: daemon.api.show("a0")["state"] == "detached")


def await_failed(daemon, named):
    poll_until(lambda: daemon.api.show("a0")["state"] == "failed", what=daemon.log_tail)
    assert named in daemon.api.show("a0")["reason"]
    assert daemon.api.status()["state"] == "running"


def test_a_failure_that_a_start_finds_is_a_report_too(host, weftd, guest):
    """The slot's own namespace is taken over, so that its endpoints lead to its VM, whatever has the name of a part of it."""
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    daemon.kill()
    host.run(["sh", "-c", f"ip netns del {one['netns']} && ip netns add {one['netns']}"])
    daemon.start()
    await_failed(daemon, one["netns_path"])
    flow_to(host, one).close()
    with daemon.api.news() as events:
        host.run(["ip", "netns", "del", one["netns"]])
        assert until(events, "state", sandbox="a0")["cause"] == "recovered"
    daemon.api.wait("a0", "ready")
    await_guest(host, one)

    daemon.stop()
    foreign = ["ip", "link", "add", one["veth"], "type", "veth", "peer", "name", "foreign"]
    host.run(["ip", "link", "delete", one["veth"]])
    host.run(foreign)
    daemon.start()
    await_failed(daemon, one["veth"])
    flow_to(host, one).close()
    daemon.api.request("PATCH", "/v1/sandboxes/a0", {"paused": True}).expect(409)
    with daemon.api.news() as events:
        host.run(["ip", "link", "delete", one["veth"]])
        assert until(events, "state", sandbox="a0")["cause"] == "recovered"
    daemon.api.wait("a0", "ready")
    await_guest(host, one)

    daemon.stop()
    host.run(["ip", "link", "delete", one["veth"]])
    host.run(foreign)
    daemon.start()
    await_failed(daemon, one["veth"])
    # Its carrier is followed all the same.
    with daemon.api.news() as events:
        guest.vmms[0].kill()
        daemon.wait_log("the VM left the TAP")
        host.run(["ip", "link", "delete", one["veth"]])
        assert until(events, "state", sandbox="a0")["to"] == "detached"
    daemon.api.unregister("a0")
    poll_until(lambda: one["veth"] not in host.links())


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_tap_deleted_under_its_vm_is_a_failure_that_delete_alone_ends(host, weftd, guest, end):
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    host.run(["ip", "-n", one["netns"], "link", "delete", "tap0"])
    poll_until(lambda: daemon.api.show("a0")["state"] == "failed")
    reason = daemon.api.show("a0")["reason"]
    assert "tap0" in reason
    getattr(daemon, end)()
    daemon.start()
    poll_until(lambda: daemon.api.status()["state"] == "running")
    assert [daemon.api.show("a0")[key] for key in ("state", "reason")] == ["failed", reason]
    guest.vmms[0].kill()
    daemon.api.request("PATCH", "/v1/sandboxes/a0", {"paused": True}).expect(409)
    assert daemon.api.show("a0")["state"] == "failed"
    daemon.api.unregister("a0")
    assert daemon.api.register("a0", {"ports": [7]})["state"] == "waiting"


def restart_over_a_foreign_file(host, daemon, sandbox):
    """Kills and starts the daemon. Meanwhile a file takes the place of the namespace's name."""
    daemon.kill()
    host.run(["sh", "-c", f"ip netns del {sandbox['netns']} && echo foreign >{sandbox['netns_path']}"])
    daemon.start()


def test_a_slot_that_cannot_be_taken_over_is_tried_again(host, weftd, guest):
    """A file in the way of a namespace's name proves nothing: the sandbox has the state that it had, as its carrier is the same."""
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    since = daemon.api.show("a0")["since"]
    restart_over_a_foreign_file(host, daemon, one)
    with daemon.api.news() as events:
        shown = daemon.api.show("a0")
        assert (shown["state"], shown["reason"]) == ("ready", None)
        daemon.api.register("a0", {"ports": [49983, 7], "ready_port": 7}, expect=(200,))
        daemon.api.request("PATCH", "/v1/sandboxes/a0", {"paused": True}).expect(503)
        await_guest(host, one)
        host.run(["rm", one["netns_path"]])
        until(events, "repair", sandbox="a0", what="slot", ok=True)
    assert [daemon.api.show("a0")[key] for key in ("state", "since")] == ["ready", since]
    await_guest(host, one)
    flow_to(host, one).close()


def test_a_slot_that_was_never_taken_over_can_be_removed(host, weftd, guest):
    daemon = weftd()
    (one,) = serve(host, daemon, guest, 1)
    restart_over_a_foreign_file(host, daemon, one)
    daemon.api.unregister("a0")
    poll_until(lambda: one["veth"] not in host.links())
    host.run(["rm", one["netns_path"]])
    assert daemon.api.list() == []
