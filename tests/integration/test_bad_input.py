# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad requests: each gets its documented status; none changes state, delays another client or stops the daemon."""

import concurrent.futures
import json
import os
import resource
import threading
import time

import pytest

from harness.client import PORT, ask
from harness.wait import PATIENCE, poll_until, readable

DEADLINE = 10  # seconds within which a request must be complete
ATTEMPTS = 5  # for steps that a stalled machine can spoil


@pytest.fixture
def unchanged(daemon, host):
    """Registers one sandbox. After the test, sandbox and host are unchanged, and the daemon still answers."""
    daemon.api.register("there", {"ports": [PORT, {"guest_port": 8080, "listen": "127.0.0.1:18080"}]})
    before, sandboxes = host.settled_state(daemon.api), daemon.api.list()
    yield daemon.api
    assert daemon.running()
    assert [{**one, "idle_ms": 0} for one in daemon.api.list()] == [{**one, "idle_ms": 0} for one in sandboxes]
    host.await_state(before)


def put(api, body, name="new"):
    return api.request("PUT", f"/v1/sandboxes/{name}", body=body)


@pytest.mark.parametrize(
    "name", ["%2F", "a%2Fb", "a%20b", "a%00b", "..", "%2e%2e", ".hidden", "-dash", "a" * 65, "%C3%A4", "a%0Ab", "a%25"]
)
def test_ids_that_are_none(unchanged, name):
    reply = unchanged.request("PUT", f"/v1/sandboxes/{name}", body={})
    assert reply.status in (400, 404) if name in ("..", "%2e%2e") else reply.status == 400, reply
    assert reply.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "1", '"x"', "nul", '{"ports": [1,]}', '{"a": 1}{', '{"ports": [NaN]}', '{"id": "\ud800"}'.encode("utf-8", "surrogatepass")]
    + ["[" * 5000, b"\xff\xfe{}", b'{"labels": {"a": "\x00"}}'],
)
def test_bodies_that_are_no_json_object(unchanged, text):
    put(unchanged, text).problem(400)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"nosuch": 1}', "/nosuch"),
        ('{"ports": [{"guest_port": 80, "nosuch": 1}]}', "/ports/0/nosuch"),
        ('{"ports": {}}', "/ports"),
        ('{"ports": ["80"]}', "/ports/0"),
        ('{"ports": [80.5]}', "/ports/0"),
        ('{"ports": [0]}', "/ports/0"),
        ('{"ports": [65536]}', "/ports/0"),
        ('{"ports": [-1]}', "/ports/0"),
        ('{"ports": [{"guest_port": 0}]}', "/ports/0/guest_port"),
        ('{"ports": [{"listen": "127.0.0.1:8081"}]}', "/ports/0/guest_port"),
        ('{"ports": [{"guest_port": 80, "listen": "127.0.0.1:0"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "listen": "127.0.0.1:65536"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "listen": "localhost"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "listen": "example.org:80"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "listen": "127.0.0.1:80"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "listen": "0.0.0.0:8081"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "listen": "192.0.2.1:8081"}]}', "/ports/0/listen"),
        ('{"ports": [{"guest_port": 80, "proto": "sctp"}]}', "/ports/0/proto"),
        ('{"default": "yes"}', "/default"),
        ('{"default": "take"}', "/default"),
        ('{"ready_port": 70000}', "/ready_port"),
        ('{"tap_owner": {"uid": -1, "gid": 0}}', "/tap_owner/uid"),
        ('{"tap_owner": {"uid": 1}}', "/tap_owner/gid"),
        ('{"labels": {"a": 1}}', "/labels/a"),
        ('{"labels": []}', "/labels"),
        ('{"wake": true}', "/wake"),
        ('{"wake": {"ports": []}}', "/wake/ports"),
        ('{"wake": {"ports": "all"}}', "/wake/ports"),
        ('{"wake": {"ports": [0]}}', "/wake/ports/0"),
        ('{"wake": {"ports": [80, "53/sctp"]}}', "/wake/ports/1"),
        ('{"wake": {"ports": [80, "80/tcp"]}}', "/wake/ports/1"),
        ('{"wake": {"ports": [%s]}}' % ", ".join(map(str, range(1, 66))), "/wake/ports"),
        ('{"wake": {"timeout_ms": 999}}', "/wake/timeout_ms"),
        ('{"wake": {"asked_at": null}}', "/wake/asked_at"),
        ('{"idle_report_ms": -1}', "/idle_report_ms"),
    ],
)
def test_bodies_whose_member_is_to_blame(unchanged, body, field):
    put(unchanged, body).problem(400, field)


def test_a_key_given_twice(unchanged):
    put(unchanged, '{"default": true, "default": true}').problem(400)


def test_a_port_that_is_taken_says_by_whom(unchanged, host):
    problem = put(unchanged, {"ports": [{"guest_port": 1, "listen": "127.0.0.1:18080"}]}).problem(409, "/ports/0/listen")
    assert "there" in problem["detail"]
    with host.listen(18090, "127.0.0.1"):
        problem = put(unchanged, {"ports": [1, {"guest_port": 1, "listen": "127.0.0.1:18090"}]}).problem(409, "/ports/1/listen")
    assert str(os.getpid()) in problem["detail"] or "python" in problem["detail"], problem


def test_the_same_port_twice_in_one_body(unchanged):
    one = {"guest_port": 1, "listen": "127.0.0.1:18091"}
    assert put(unchanged, {"ports": [one, one]}).status in (400, 409)


def test_otherwise_than_registered(unchanged):
    body = {"ports": [PORT, {"guest_port": 8080, "listen": "127.0.0.1:18080"}]}
    put(unchanged, body, "there").expect(200)
    told = put(unchanged, {"ports": [PORT]}, "there").problem(409, "id")["detail"]
    assert told.startswith("sandbox there is registered otherwise: ports is [") and "; " not in told
    told = put(unchanged, {}, "there").problem(409, "id")["detail"]
    assert told.endswith(", and none was given"), told
    told = put(unchanged, {**body, "default": True, "limits": {"idle_ms": 7}, "labels": {"ü": "x" * 200}}, "there").problem(409)["detail"]
    for difference in ("default is false, not true", "limits.idle_ms is 0, not 7", 'labels is {}, not {"\\u00FC": "xxx'):
        assert difference in told, told
    assert "ports is" not in told


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/v1/sandboxes/nobody", 404),
        ("DELETE", "/v1/sandboxes/nobody", 404),
        ("PATCH", "/v1/sandboxes/nobody", 404),
        ("GET", "/v1/nosuch", 404),
        ("GET", "/v1/sandboxes/there/nosuch", 404),
        ("POST", "/v1/sandboxes", 405),
        ("POST", "/v1/sandboxes/there", 405),
        ("POST", "/v1/sandboxes/there/wake", 409),
        ("POST", "/v1/sandboxes/nobody/wake", 404),
        ("GET", "/v1/sandboxes/there/wake", 405),
        ("GET", "/v1/sandboxes?wake=soon", 400),
        ("PUT", "/v1/status", 405),
        ("BREW", "/v1/status", 405),
        ("GET", "/v1/sandboxes?nosuch=1", 400),
        ("GET", "/v1/sandboxes?state=nosuch", 400),
        ("GET", "/v1/sandboxes/there?wait=nosuch", 400),
        ("GET", "/v1/sandboxes/there?wait=ready&timeout=301", 400),
        ("GET", "/v1/sandboxes/there?wait=ready&timeout=x", 400),
        ("DELETE", "/v1/sandboxes/there?drain=-1", 400),
    ],
)
def test_calls_that_are_none(unchanged, method, target, status):
    unchanged.request(method, target).problem(status)


def test_a_wait_that_is_not_met(unchanged):
    unchanged.get("/v1/sandboxes/there?wait=attached&timeout=0").problem(408)


def test_a_body_of_ten_megabytes(unchanged):
    connection = unchanged.raw_socket()
    with connection:
        connection.sendall(b"PUT /v1/sandboxes/big HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
        try:
            connection.sendall(b"x" * 10000000)
        except (BrokenPipeError, ConnectionResetError):
            pass
        try:
            head = connection.recv(4096)
        except ConnectionResetError:
            return  # it answered early, and closed on the rest
        assert head.startswith(b"HTTP/1.1 413")


def test_a_head_without_end(unchanged):
    with unchanged.raw_socket() as connection:
        try:
            connection.sendall(b"GET /v1/status HTTP/1.1\r\nX: " + b"y" * 200000)
            assert connection.recv(4096)[:12] in (b"HTTP/1.1 431", b"HTTP/1.1 400")
        except (BrokenPipeError, ConnectionResetError):
            pass


@pytest.mark.parametrize("text", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HELO there\r\n\r\n", b"\0" * 100 + b"\r\n\r\n"])
def test_what_is_not_http(unchanged, text):
    with unchanged.raw_socket() as connection:
        connection.sendall(text)
        assert connection.recv(4096)[:12] in (b"HTTP/1.1 400", b"HTTP/1.0 400")


@pytest.mark.parametrize(
    "head",
    [
        b"PUT /v1/sandboxes/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"PUT /v1/sandboxes/x HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}",
        b"PUT /v1/sandboxes/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    ],
)
def test_lengths_that_contradict_each_other(unchanged, head):
    with unchanged.raw_socket() as connection:
        connection.sendall(head)
        assert connection.recv(4096)[:12] == b"HTTP/1.1 400"


def test_a_request_cut_off_half_way_changes_nothing(unchanged):
    for text in (b"PUT /v1/sandboxes/cut HT", b"PUT /v1/sandboxes/cut HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"):
        with unchanged.raw_socket() as connection:
            connection.sendall(text)
    assert unchanged.status()["state"] == "running"


def test_silent_and_slow_clients_are_closed_at_the_deadline(unchanged):
    start = time.monotonic()
    with unchanged.raw_socket(DEADLINE + PATIENCE) as silent, unchanged.raw_socket(DEADLINE + PATIENCE) as slow:
        for byte in b"GET /v1/status HTTP/1.1\r\nX: " + b"y" * (DEADLINE + int(PATIENCE)):  # one byte a second: never complete
            try:
                slow.sendall(bytes([byte]))
                if readable(slow.fileno(), 1):
                    assert slow.recv(4096)[:12] in (b"", b"HTTP/1.1 408")
                    break
            except (BrokenPipeError, ConnectionResetError):
                break
        else:
            raise AssertionError("each byte gave the slow client more time")
        assert time.monotonic() - start > DEADLINE - 1
        assert silent.recv(4096)[:12] in (b"", b"HTTP/1.1 408")


def test_four_hundred_silent_clients_keep_nobody_waiting(unchanged):
    for _ in range(ATTEMPTS):
        crowd = []
        start = time.monotonic()
        try:
            for _ in range(400):
                crowd.append(unchanged.raw_socket())
            assert unchanged.status()["state"] == "running"
            if time.monotonic() - start < DEADLINE:
                return  # the answer did not wait for any of them to be closed
        finally:
            for connection in crowd:
                connection.close()
    raise AssertionError("answered only after the silent clients were closed")


def test_two_hundred_clients_at_once(unchanged):
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        replies = list(pool.map(lambda _: unchanged.get("/v1/sandboxes"), range(200)))
    assert {reply.status for reply in replies} == {200}


def test_one_id_registered_by_many_at_once(host, api):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: put(api, {"ports": [PORT]}, "same"), range(8)))
    assert sorted({reply.status for reply in replies} | {200}) == [200, 201]
    assert [reply.status for reply in replies].count(201) == 1
    assert len({json.dumps(reply.body["endpoints"]) for reply in replies}) == 1
    assert host.netns_names() == ["ns-1"]
    api.unregister("same")


def test_deleting_while_creating(host, api):
    before = host.state()
    for _ in range(10):
        maker = threading.Thread(target=lambda: put(api, {"ports": [PORT]}, "brief"))
        maker.start()
        poll_until(lambda: api.request("DELETE", "/v1/sandboxes/brief").status == 204)
        maker.join()
    assert api.list() == []
    host.await_state(before)


def exchange(connection, text):
    """Sends TEXT, a request, on CONNECTION, and returns the status of the answer and its body, which is an object."""
    connection.sendall(text.encode())
    answer = b""
    while b"\r\n\r\n" not in answer or not answer.endswith(b"}"):
        piece = connection.recv(65536)
        assert piece, answer
        answer += piece
    return int(answer.split(b" ", 2)[1]), json.loads(answer.split(b"\r\n\r\n", 1)[1])


def test_descriptors_exhausted(weftd, host):
    daemon = weftd()
    daemon.api.register("a1", {"ports": [PORT]})
    host.await_names(daemon.api)  # waits for the work after the reply
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    body = json.dumps({"ports": [PORT]})
    with daemon.api.raw_socket() as connection:
        assert exchange(connection, "GET /v1/status HTTP/1.1\r\nHost: weft\r\n\r\n")[0] == 200
        # With all spare descriptors above the limit, too, not one can be opened.
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        status, problem = exchange(
            connection, f"PUT /v1/sandboxes/a2 HTTP/1.1\r\nHost: weft\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        assert status >= 500, problem
        assert exchange(connection, "GET /v1/sandboxes HTTP/1.1\r\nHost: weft\r\n\r\n")[1]["sandboxes"][0]["id"] == "a1"
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
    poll_until(lambda: host.netns_names() == ["ns-1"], what=host.netns_names)
    daemon.api.register("a2", {"ports": [PORT]})
    assert [one["id"] for one in daemon.api.list()] == ["a1", "a2"]
    assert len(daemon.log().splitlines()) < 200


DAMAGE = ["", "{", "[]", '{"version": 99}', "\0\0\0", '{"id": "../x"}']


def damage_state(daemon, slot, text):
    daemon.stop()
    with open(f"{daemon.state_dir}/{slot}.json", "w", encoding="utf-8") as file:
        file.write(text)
    daemon.start()


@pytest.mark.parametrize("text", DAMAGE)
def test_a_corrupt_state_without_a_vm_is_told_and_its_slot_removed(weftd, host, text):
    daemon = weftd()
    daemon.api.register("good", {"ports": [PORT]})
    daemon.api.register("bad", {"ports": [PORT]})
    damage_state(daemon, 2, text)
    assert [one["id"] for one in daemon.api.list()] == ["good"]
    poll_until(lambda: host.netns_names() == ["ns-1"], what=host.netns_names)
    assert "2.json" in daemon.log()


@pytest.mark.parametrize("text", DAMAGE[:2])
def test_a_corrupt_state_with_a_vm_keeps_the_vm_and_its_traffic(weftd, host, guest, text):
    daemon = weftd()
    daemon.api.register("good", {"ports": [PORT]})
    sandbox = daemon.api.register("bad", {"ports": [PORT], "ready_port": PORT})
    guest(sandbox).serve(f"{PORT},http,bad")
    daemon.api.wait("bad", "ready")
    poll_until(lambda: host.links()["veth-2"].get("ifalias"))
    with host.connect(sandbox["host_ip"], PORT) as connection:
        assert b"bad" in ask(connection)
        damage_state(daemon, 2, text)
        assert b"bad" in ask(connection)
    kept = daemon.api.show("bad")
    assert (kept["state"], kept["slot"]) == ("failed", 2) and kept["reason"]
    daemon.api.register("bad", {}, expect=(409,))
    daemon.api.unregister("bad")
    assert host.netns_names() == ["ns-1"]


def test_a_socket_that_somebody_answers_on_is_not_taken(weftd):
    first = weftd()
    second = weftd(run=False)
    second.socket = first.socket
    assert second.refuses() == 69
    assert first.api.status()["state"] == "running"


def test_a_stale_socket_is_replaced(daemon):
    daemon.kill()
    assert os.path.exists(daemon.socket)
    daemon.start()
    assert daemon.api.status()["state"] == "running"
