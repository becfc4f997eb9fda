# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls of the control socket on the real daemon, in each state of a sandbox and concurrently."""

import concurrent.futures
import itertools
import json
import re
import socket
import time

import pytest

from harness.api import Reply, endpoint_port
from harness.client import PORT, health, receive_all, was_reset
from harness.wait import poll_until, readable

READY = {"ports": [PORT], "ready_port": PORT}


class parked:
    """A GET ?wait= that the daemon has read and not answered yet: it shares a segment with a request that is answered."""

    def __init__(self, api, name, state, timeout=60):
        self.connection = api.raw_socket(timeout=timeout + 10)
        last = "Host: x\r\nConnection: close\r\n\r\n"
        target = f"/v1/sandboxes/{name}?wait={state}&timeout={timeout}"
        self.connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET {target} HTTP/1.1\r\n{last}".encode())
        self.data = b""
        while not self.data.endswith(b"ok\n"):
            self.data += self.connection.recv(1024)
        assert self.data.count(b"HTTP/1.1") == 1

    def waits(self, seconds=0):
        """Whether it is still unanswered after SECONDS."""
        return not readable(self.connection.fileno(), seconds)

    def result(self):
        with self.connection:
            head, _, text = receive_all(self.connection).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        return Reply(int(status.split()[1]), dict(line.split(": ", 1) for line in lines), text.decode())


# ---- Waiting.


def test_each_wait_has_its_documented_ends(host, api, guest):
    sandbox = api.register("a1", READY)
    for state in ("attached", "ready", "detached", "paused"):
        api.get(f"/v1/sandboxes/a1?wait={state}&timeout=0").problem(408)
    api.get("/v1/sandboxes/nobody?wait=ready&timeout=0").problem(404)
    waiting = {state: parked(api, "a1", state) for state in ("attached", "ready", "detached", "paused")}
    one = guest(sandbox)
    assert waiting["attached"].result().expect(200)["state"] in ("attached", "ready")
    servers = one.serve(f"{PORT},http,a1")
    assert waiting["ready"].result().expect(200)["state"] == "ready"
    assert api.get("/v1/sandboxes/a1?wait=attached&timeout=0").expect(200)["state"] == "ready"
    api.patch("a1", {"paused": True})
    assert waiting["paused"].result().expect(200)["state"] == "paused"
    api.patch("a1", {"paused": False})
    api.wait("a1", "ready")
    one.kill()
    servers.stop()
    assert waiting["detached"].result().expect(200)["state"] == "detached"

    # Unregistered during the wait: 409 while it drains, 410 if it is gone at once.
    gone = [parked(api, "a1", "ready") for _ in range(3)]
    assert all(one.waits() for one in gone)
    api.unregister("a1")
    for one in gone:
        reply = one.result()
        assert reply.status in (409, 410)
        reply.problem(reply.status)


def test_a_wait_for_what_drains_is_refused_and_ends(host, api, guest):
    sandbox = api.register("a1", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        waiting = parked(api, "a1", "detached")
        assert waiting.waits()
        reply = api.unregister("a1", drain=60)
        assert reply["state"] == "draining" and reply["id"] == "a1"
        waiting.result().problem(409)
        api.get("/v1/sandboxes/a1?wait=ready").problem(409)
        # No change is accepted any more, and the id is still taken.
        api.request("PATCH", "/v1/sandboxes/a1", body={"default": True}).problem(409)
        api.request("PUT", "/v1/sandboxes/a1", body={"ports": [7]}).problem(409)
        assert [one["state"] for one in api.list()] == ["draining"]
        assert api.list("?state=draining")[0]["id"] == "a1"
        client.sendall(b"y")
        assert client.recv(1) == b"y"
        with pytest.raises(ConnectionRefusedError):
            host.connect("127.0.0.1", endpoint_port(sandbox, 7))
        # A second DELETE that drains gets the same answer; one without drain ends it.
        api.unregister("a1", drain=60)
        api.unregister("a1")
        assert was_reset(client)
    api.get("/v1/sandboxes/a1").problem(404)


def test_a_drain_ends_with_its_last_connection_or_its_deadline(host, api, guest):
    for how in ("last", "deadline"):
        sandbox = api.register("a1", {"ports": [7]})
        one = guest(sandbox)
        one.serve("7,echo")
        api.wait("a1", "ready")
        client = host.connect("127.0.0.1", endpoint_port(sandbox, 7))
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        api.unregister("a1", drain=60 if how == "last" else 1)
        if how == "last":
            client.close()
        poll_until(lambda: api.get("/v1/sandboxes/a1").status == 404)
        assert how == "last" or was_reset(client)
        client.close()
        one.owner.close()


# ---- Registering.


def test_a_retry_is_told_what_is_there_and_anything_else_is_refused(api):
    body = {"ports": [PORT, {"guest_port": 8080}], "default": True, "labels": {"a": "b"}}
    made = api.register("a1", body)
    assert api.register("a1", body, expect=(200,))["endpoints"] == made["endpoints"]
    same = {"ports": [{"guest_port": PORT, "proto": "tcp", "via": "forwarder"}, 8080], "default": True, "labels": {"a": "b"},
            "ready_port": None}
    reply = api.request("PUT", "/v1/sandboxes/a1", body=same)
    assert reply.status in (200, 400)  # null is no port: either answer is right, a second sandbox is not
    del same["ready_port"]
    api.register("a1", same, expect=(200,))
    for other in ({}, {**body, "default": False}, {**body, "labels": {}}, {**body, "ports": [PORT]}, {**body, "ready_port": 1}):
        api.request("PUT", "/v1/sandboxes/a1", body=other).problem(409, "id")
    # PATCH updates the state that a retry is compared with.
    api.patch("a1", {"labels": {"c": "d"}, "default": False})
    api.request("PUT", "/v1/sandboxes/a1", body=body).problem(409, "id")
    api.register("a1", {**body, "labels": {"c": "d"}, "default": False}, expect=(200,))
    assert len(api.list()) == 1


def test_two_requests_for_one_id_that_differ_make_one(host, api):
    for _ in range(5):
        bodies = [{"ports": [1]}, {"ports": [2]}] * 4
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda body: api.request("PUT", "/v1/sandboxes/a1", body=body), bodies))
        assert sorted(one.status for one in replies) == [200] * 3 + [201] + [409] * 4, replies
        assert host.netns_names() == ["ns-1"]
        api.unregister("a1")


def test_a_second_default_is_refused(api):
    api.register("a1", {"default": True})
    assert "a1" in api.request("PUT", "/v1/sandboxes/a2", body={"default": True}).problem(409, "/default")["detail"]
    api.register("a2", {})
    api.request("PATCH", "/v1/sandboxes/a2", body={"default": True}).problem(409, "/default")
    assert [one["default"] for one in api.list()] == [True, False]
    api.patch("a1", {"default": False})
    api.patch("a2", {"default": True})
    assert [one["default"] for one in api.list()] == [False, True]
    with api.events() as events:
        api.patch("a1", {"default": "take"})
        assert [one["default"] for one in api.list()] == [True, False]
        told = [event for event in itertools.islice(iter(events), 5) if event["type"] == "default"]
    assert [(event["sandbox"], event["default"]) for event in told] == [("a2", False), ("a1", True)]
    assert (told[0]["taken_by"], told[1]["taken_from"]) == ("a1", "a2")
    api.patch("a1", {"default": "take"})
    api.patch("a2", {"default": "take"})
    assert [one["default"] for one in api.list()] == [False, True]
    api.unregister("a2")
    api.patch("a1", {"default": True})


def test_without_a_slot_or_a_port_it_is_503(weftd):
    daemon = weftd({"addresses": {"host_cidr": "10.11.0.0/29"}, "ports": {"range": "20000-20002"}})
    api = daemon.api
    api.register("p1", {"ports": [1, 2, 3]})
    api.request("PUT", "/v1/sandboxes/p2", body={"ports": [4]}).problem(503)
    assert [one["id"] for one in api.list()] == ["p1"]
    api.unregister("p1")
    for n in range(6):
        api.register(f"s{n}")
    api.request("PUT", "/v1/sandboxes/more", body={}).problem(503)
    assert len(api.list()) == 6
    api.unregister("s2")
    assert api.register("more")["slot"] == 3


def test_privileged_and_foreign_addresses_need_their_options(weftd, host):
    host.add_uplink()
    daemon = weftd({"ports": {"allow_privileged": "yes", "allow_address": "192.0.2.0/24"}})
    made = daemon.api.register(
        "a1", {"ports": [{"guest_port": 80, "listen": "127.0.0.1:80"}, {"guest_port": 81, "listen": ["192.0.2.2:8081", "[::1]:8081"]}]}
    )
    assert [one["listen"] for one in made["endpoints"]] == [["127.0.0.1:80"], ["192.0.2.2:8081", "[::1]:8081"]]
    # The kernel lets a socket be bound to the broadcast address of a link.
    for listen in ("0.0.0.0:8082", "198.51.100.1:8082", "[::]:8082", "192.0.2.255:8082", "127.255.255.255:8082"):
        body = {"ports": [{"guest_port": 82, "listen": listen}]}
        daemon.api.request("PUT", "/v1/sandboxes/a2", body=body).problem(400, "/ports/0/listen")


def test_automatic_ports_step_over_what_others_listen_on(host, api):
    with host.listen(20000, "127.0.0.1"), host.listen(20001, "::1", family=socket.AF_INET6):
        made = api.register("a1", {"ports": [1, 2]})
    assert [one["listen"] for one in made["endpoints"]] == [
        ["127.0.0.1:20002", "[::1]:20002"], ["127.0.0.1:20003", "[::1]:20003"],
    ]


# ---- Changing.


def test_a_patch_is_all_or_nothing(host, api):
    api.register("other", {"ports": [{"guest_port": 1, "listen": "127.0.0.1:18080"}]})
    before = api.register("a1", {"ports": [PORT, {"guest_port": 8080, "listen": "127.0.0.1:18081"}], "labels": {"a": "b"}})
    seen = host.settled_state(api)

    def refused(body, status, field):
        problem = api.request("PATCH", "/v1/sandboxes/a1", body=body).problem(status, field)
        after = api.show("a1")
        assert {**after, "counters": 0, "idle_ms": 0} == {**before, "counters": 0, "idle_ms": 0}, problem
        return problem

    fine = {"labels": {"c": "d"}, "unpublish": [8080]}
    refused({**fine, "publish": [1, {"guest_port": 2, "listen": "127.0.0.1:18080"}]}, 409, "/publish/1/listen")
    with host.listen(18090, "127.0.0.1"):
        refused({**fine, "publish": [1, {"guest_port": 2, "listen": "127.0.0.1:18090"}]}, 409, "/publish/1/listen")
    refused({**fine, "publish": [{"guest_port": 0}]}, 400, "/publish/0/guest_port")
    refused({**fine, "publish": [{"guest_port": 1, "listen": "10.99.0.2:1"}]}, 400, "/publish/0/listen")
    refused({**fine, "unpublish": [8081]}, 409, "/unpublish/0")
    refused({**fine, "nosuch": 1}, 400, "/nosuch")
    refused({**fine, "default": "yes"}, 400, "/default")
    refused({**fine, "flows": "keep"}, 400, "/flows")
    host.await_state(seen)


def test_publishing_and_unpublishing(host, api, guest):
    sandbox = api.register("a1", {"ports": [PORT]})
    guest(sandbox).serve(f"{PORT},http,a1", "8080,http,more")
    more = api.patch("a1", {"publish": [8080, {"guest_port": 8080, "listen": "127.0.0.1:18080"}]})
    assert [one["guest_port"] for one in more["endpoints"]] == [PORT, 8080, 8080]
    assert health(host, "127.0.0.1", 18080)["guest"] == health(host, "::1", 20001)["guest"] == "more"
    api.patch("a1", {"unpublish": ["127.0.0.1:18080"]})
    with pytest.raises(ConnectionRefusedError):
        host.connect("127.0.0.1", 18080)
    assert health(host, "127.0.0.1", 20001)["guest"] == "more"
    # One is unpublished and another published in the same change.
    last = api.patch("a1", {"unpublish": [8080], "publish": [{"guest_port": 8080, "listen": "127.0.0.1:18081"}]})
    assert [one["listen"] for one in last["endpoints"]] == [["127.0.0.1:20000", "[::1]:20000"], ["127.0.0.1:18081"]]
    assert health(host, "127.0.0.1", 18081)["guest"] == "more"


def test_a_port_lost_over_a_restart_is_no_fault_of_another_change_and_comes_back(host, daemon, guest):
    sandbox = daemon.api.register("a1", {"ports": [PORT, 8080]})
    guest(sandbox).serve(f"{PORT},http,a1")
    daemon.stop()
    with host.listen(20000, "127.0.0.1"):
        daemon.start()
        assert "127.0.0.1:20000" in daemon.log()
        daemon.api.patch("a1", {"labels": {"a": "b"}, "publish": [9]})
        assert [one["guest_port"] for one in daemon.api.show("a1")["endpoints"]] == [PORT, 8080, 9]
    poll_until(lambda: "endpoint open again" in daemon.log())
    assert health(host, "127.0.0.1", 20000)["guest"] == "a1"


def test_changes_from_everywhere_at_once_leave_a_whole(host, daemon):
    """Many clients register, patch and delete a few ids: each answer is documented, and the end is consistent."""
    api = daemon.api
    before = host.state()

    def storm(n):
        name, seen = f"s{n % 3}", set()
        for turn in range(8):
            calls = [
                ("PUT", "", {"ports": [n % 2 + 1]}), ("PATCH", "", {"publish": [100 + turn]}), ("PATCH", "", {"unpublish": [100 + turn]}),
                ("DELETE", "", None), ("GET", "", None), ("PATCH", "", {"default": True}), ("DELETE", "?drain=0", None),
                ("PATCH", "", {"paused": True}), ("PATCH", "", {"paused": False}),
            ]
            method, query, body = calls[(turn * 5 + n) % len(calls)]
            reply = api.request(method, f"/v1/sandboxes/{name}{query}", body=body)
            seen.add(reply.status)
        return seen

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        seen = set().union(*pool.map(storm, range(24)))
    assert seen <= {200, 201, 202, 204, 400, 404, 409}, seen
    poll_until(lambda: not [one for one in api.list() if one["state"] in ("creating", "draining")])
    left = api.list()
    poll_until(lambda: host.netns_names() == sorted(one["netns"] for one in left), what=host.netns_names)
    listening = host.output(["ss", "-Hltn"])
    for one in left:
        for endpoint in one["endpoints"]:
            assert all(listen in listening for listen in endpoint["listen"])
    for one in left:
        api.unregister(one["id"])
    host.await_state(before)


# ---- Holding: the fate of a client in each state.


def connections(daemon, reason):
    return [line for line in daemon.log().splitlines() if f"reason={reason}" in line]


def test_holding_at_each_state(host, weftd, guest):
    daemon = weftd({"daemon": {"log_level": "debug"}})
    api = daemon.api
    sandbox = api.register("a1", {"ports": [PORT], "ready_port": PORT, "limits": {"connect_deadline_ms": 2000}})
    patient = api.register("a2", {"ports": [PORT, 9], "ready_port": PORT})  # only the tested reasons end a held connection
    port, closed = endpoint_port(patient), endpoint_port(patient, 9)

    def held(number):
        """How long a client is held for which there is no server."""
        start = time.monotonic()
        with host.connect("127.0.0.1", number) as client:
            client.sendall(b"x")
            assert was_reset(client)
        return time.monotonic() - start

    def logged(reason, count):
        poll_until(lambda: len(connections(daemon, reason)) >= count, what=daemon.log_tail)
        assert len(connections(daemon, reason)) == count

    assert held(endpoint_port(sandbox)) > 1.9  # waiting: no carrier
    logged("connect-deadline", 1)
    _, one = guest.many([sandbox, patient])
    api.wait("a1", "attached")
    assert held(endpoint_port(sandbox)) > 1.9  # attached: refused, until the deadline
    logged("connect-deadline", 2)
    one.serve(f"{PORT},http,a2")
    api.wait("a2", "ready")
    assert held(closed) > 0.9  # ready: the grace alone, and another reason
    logged("guest-refused", 1)
    assert health(host, "127.0.0.1", port)["guest"] == "a2"
    poll_until(lambda: connections(daemon, "done"))
    api.patch("a2", {"paused": True})
    with host.connect("127.0.0.1", port) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        poll_until(lambda: api.show("a2")["counters"]["connections_held"] == 1)
        api.patch("a2", {"paused": False})
        assert b"a2" in client.recv(4096)
    for reason, name in (("done", "a2"), ("guest-refused", "a2"), ("connect-deadline", "a1")):
        assert all(f"sandbox={name}" in line for line in connections(daemon, reason))


def test_ready_without_a_ready_port_holds_to_the_deadline(host, api, guest):
    sandbox = api.register("a1", {"ports": [PORT]})
    one = guest(sandbox)
    api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as early:
        early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        # Past the grace of one second, it is still held.
        assert parked(api, "a1", "detached").waits(1.3)
        assert api.show("a1")["counters"]["connections_held"] == 1
        one.serve(f"{PORT},http,a1")
        assert b"a1" in early.recv(4096)


def test_one_line_for_each_connection_says_how_it_ended(host, weftd, guest):
    daemon = weftd({"daemon": {"log_level": "debug"}})
    sandbox = daemon.api.register("a1", {"ports": [7]})
    one = guest(sandbox)
    one.serve("7,echo")
    daemon.api.wait("a1", "ready")
    port = endpoint_port(sandbox, 7)

    def ended(reason, act):
        with host.connect("127.0.0.1", port) as client:
            client.sendall(b"abc")
            assert client.recv(3) == b"abc"
            act(client)
            line = daemon.wait_log(f"reason={reason}( |$)")
        assert re.search(r"sandbox=a1", line) and re.search(r"to_guest=3\b", line) and "client=" in line, line
        assert len(connections(daemon, reason)) == 1

    ended("done", lambda client: client.shutdown(socket.SHUT_WR))
    ended("client-reset", lambda client: client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0") or client.close())
    ended("carrier-lost", lambda client: one.close_tap())
    one.open_tap()
    daemon.api.wait("a1", "ready")
    ended("unregistered", lambda client: daemon.api.unregister("a1"))


def test_json_logs_are_objects(weftd, host):
    daemon = weftd({"daemon": {"log_format": "json"}, "forwarder": {"connect_deadline": "100ms"}})
    sandbox = daemon.api.register("a1", {"ports": [7]})
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
        assert was_reset(client)
    daemon.wait_log("connect-deadline")
    lines = [json.loads(line) for line in daemon.log().splitlines()]
    assert [one for one in lines if one.get("sandbox") == "a1" and one.get("reason") == "connect-deadline"]


def test_a_tap_that_flaps_does_not_flood_the_log(daemon, api, guest):
    api.register("a1")
    one = guest("ns-1")
    api.wait("a1", "ready")  # else a carrier that comes and goes unseen would not count
    with api.events() as events:
        for _ in range(25):
            one.close_tap()
            api.wait("a1", "detached")
            one.open_tap()
            api.wait("a1", "ready")
        told = 0
        while told < 50:
            told += next(events)["type"] == "state"
    lines = [line for line in daemon.log().splitlines() if "cause=carrier" in line or "the TAP" in line]
    assert 20 <= len(lines) <= 30, lines


def test_policy_of_a_sandbox_that_comes_and_goes_is_no_fault(api):
    seen = set()

    def come_and_go(_):
        api.register("a1")
        api.unregister("a1")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        changes = pool.submit(lambda: [come_and_go(n) for n in range(5)])
        while not changes.done():
            reply = api.get("/v1/sandboxes/a1/reach?dest=198.51.100.1")
            seen.add(reply.status)
            assert reply.status in (200, 404) or "still being made" in reply.problem(503)["detail"], reply
        changes.result()
    assert 503 in seen
