# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket under bad input and bad clients: each gets its documented answer, and no other client waits for it.

Most tests run over control_harness, the socket with a daemon that only pretends; those at the end run over the real one.
"""

import concurrent.futures
import json
import os
import select
import signal
import socket
import subprocess
import time

import pytest

from harness.api import Api
from harness.client import receive_all
from harness.daemon import build_dir, timed
from harness.wait import PATIENCE, one_of, poll_until, readable

DEADLINE = 10.0  # of a request
PROMPT = 2.0  # seconds, at most, that another client waits, unless the machine stalls
ATTEMPTS = 5  # for steps that a stalled machine can spoil


class Served:
    """A running control_harness."""

    def __init__(self, folder, *arguments):
        self.socket = os.path.join(folder, "c.sock")
        self.log_path = os.path.join(folder, "log")
        program = os.path.join(build_dir(), "tests", "control_harness")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [program, self.socket, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"},  # for the assertions about its memory
            )
        self.api = Api(self.socket)
        poll_until(self._answers, what=self.log)

    def _answers(self):
        assert self.process.poll() is None, self.log()
        try:
            return self.api.get("/healthz", timeout=5).status == 200
        except OSError:
            return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None

    def stop(self):
        if self.process is None:
            return
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log()
        assert "Sanitizer" not in self.log() and "runtime error" not in self.log(), self.log()
        assert not os.path.exists(self.socket)
        self.process = None


@pytest.fixture
def serve(folder):
    started = []

    def start(*arguments):
        started.append(Served(folder, *arguments))
        return started[-1]

    yield start
    for made in started:
        made.stop()


@pytest.fixture
def served(serve):
    return serve()


def read_all(connection, timeout=DEADLINE + PATIENCE):
    """All bytes until the end; a reset counts as an end."""
    connection.settimeout(timeout)
    data = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not chunk:
            return data
        data += chunk


def answer_to(api, request, half_close=True):
    """(status, head, body) of the answer to these bytes."""
    connection = api.raw_socket()
    with connection:
        connection.sendall(request)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        data = read_all(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def prompt(api):
    """Another client is served at once. If the machine stalls, one of the next clients must be."""

    def waited():
        _, seconds = timed(lambda: api.get("/v1/status", timeout=DEADLINE + PATIENCE).expect(200))
        return seconds

    one_of(ATTEMPTS, waited, lambda seconds: seconds < PROMPT)


BAD_BODIES = [
    b"{",
    b"[]",
    b'"text"',
    b"{}{}",
    b'{"ports": [8080],}',
    b'{"ports": [8080], "ports": [8081]}',
    b'{"nonsense": 1}',
    b'{"ports": "8080"}',
    b'{"ports": [0]}',
    b'{"ports": [65536]}',
    b'{"ports": [-1]}',
    b'{"ports": [80.5]}',
    b'{"default": "yes"}',
    b'{"labels": {"a": 1}}',
    b'{"labels": {"a": "\\u0000"}}',
    b'{"ports": [{"guest_port": 80, "listen": "0.0.0.0:8080"}]}',
    b'{"ports": [{"guest_port": 80, "listen": "127.0.0.1:80"}]}',
    b"\xff\xfe",
    b'{"a"' + b":[" * 5000,
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:30]))
def test_a_bad_body_is_refused_and_changes_nothing(served, body):
    served.api.request("PUT", "/v1/sandboxes/a1", body=body).problem(400)
    assert served.api.list() == []


def test_the_field_to_blame_is_named(served):
    put = lambda body: served.api.request("PUT", "/v1/sandboxes/a1", body=body)
    put({"nonsense": 1}).problem(400, "/nonsense")
    put({"ports": [8080, "x"]}).problem(400, "/ports/1")
    put({"ready_port": 0}).problem(400, "/ready_port")


BAD_IDS = ["a b", "a%20b", "a%2Fb", "a%00", "%00", "..", "%2e%2e", "-a", ".a", "_a", "a" * 65, "a%", "a%zz", "ä", "%C3%A4", ""]


@pytest.mark.parametrize("name", BAD_IDS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_bad_id_is_refused_by_name(served, name, method):
    request = f"{method} /v1/sandboxes/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    status, head, body = answer_to(served.api, request)
    assert status == 400, head
    assert b"application/problem+json" in head
    assert json.loads(body)["field"] == "id"
    assert served.api.list() == []


@pytest.mark.parametrize("target", ["/v1", "/v2/sandboxes", "/v1/sandboxes/a/b", "/v1/sandboxes/a/diagnosis/", "//", "*", "/../etc/passwd"])
def test_an_unknown_path_is_not_found(served, target):
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    status, _head, body = answer_to(served.api, request)
    assert status == 404
    assert json.loads(body)["status"] == 404


@pytest.mark.parametrize(
    "target, field",
    [
        ("/v1/sandboxes?nonsense=1", "nonsense"),
        ("/v1/sandboxes?state=asleep", "state"),
        ("/v1/sandboxes?state=ready&state=ready", "state"),
        ("/v1/sandboxes?label=novalue", "label"),
        ("/v1/sandboxes?label=%00", "label"),
        ("/v1/sandboxes/a1?wait=creating", "wait"),
        ("/v1/sandboxes/a1?wait=ready&timeout=301", "timeout"),
        ("/v1/sandboxes/a1?wait=ready&timeout=-1", "timeout"),
        ("/v1/sandboxes/a1?timeout=5", "timeout"),
        ("/v1/sandboxes/a1/reach", "dest"),
        ("/v1/sandboxes/a1/reach?dest=1.2.3", "dest"),
        ("/v1/sandboxes/a1/reach?dest=1.2.3.4&port=0", "port"),
        ("/v1/sandboxes/a1/reach?dest=1.2.3.4&proto=nosuch", "proto"),
        ("/v1/events?since=1", "since"),
        ("/v1/events?sandbox=..", "sandbox"),
        ("/healthz?x", "x"),
    ],
)
def test_a_bad_query_parameter_is_refused_by_name(served, target, field):
    served.api.get(target).problem(400, field)


def test_the_method_is_checked(served):
    for method, target, allow in [
        ("POST", "/v1/sandboxes", "GET, HEAD"),
        ("PUT", "/v1/status", "GET, HEAD"),
        ("POST", "/v1/sandboxes/a1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("OPTIONS", "/v1/sandboxes/a1", "GET, HEAD, PUT, PATCH, DELETE"),
        ("BREW", "/healthz", "GET, HEAD"),
        ("HEAD", "/v1/events", "GET"),
    ]:
        reply = served.api.request(method, target)
        assert reply.status == 405
        assert reply.headers["Allow"] == allow


def test_head_is_get_without_the_body(served):
    served.api.register("a1")
    full = served.api.get("/v1/sandboxes/a1")
    bare = served.api.request("HEAD", "/v1/sandboxes/a1")
    assert bare.status == 200 and bare.text == ""
    assert bare.headers["Content-Length"] == full.headers["Content-Length"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"hello\r\n",
        b"\x00\x00\x00\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"G" * 100,
    ],
)
def test_what_is_not_http_gets_a_bare_400_at_once(served, request_bytes):
    # At the deadline it would be closed without an answer.
    status, head, body = answer_to(served.api, request_bytes, half_close=False)
    assert status == 400 and body == b"" and b"\r\nContent-Type:" not in head


@pytest.mark.parametrize(
    "lines, status",
    [
        ("", 400),  # no Host
        ("Host: x\r\nHost: y\r\n", 400),
        ("Host: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n", 400),
        ("Host: x\r\nContent-Length: two\r\n", 400),
        ("Host: x\r\nContent-Length: -1\r\n", 400),
        ("Host: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Host: x\r\nTransfer-Encoding: gzip\r\n", 400),
        ("Host: x\r\nno colon\r\n", 400),
        ("Host: x\r\nA : b\r\n", 400),
        ("Host: x\r\nA: b\r\n folded\r\n", 400),
        ("Host: x\r\nA: \x01\r\n", 400),
        ("Host: x\r\nExpect: tea\r\n", 400),
        ("Host: x\r\nContent-Encoding: gzip\r\n", 415),
        ("Host: x\r\nContent-Length: 65537\r\n", 413),
        ("Host: x\r\nContent-Length: 999999999999999999\r\n", 413),
        ("Host: x\r\n" + "A: b\r\n" * 200, 431),
        ("Host: x\r\nA: " + "b" * 20000 + "\r\n", 431),
        ("Host: x\r\nA: " + "b" * 2000000, 431),
    ],
)
def test_a_head_that_cannot_be_served_is_refused_as_a_problem(served, lines, status):
    request = f"PUT /v1/sandboxes/a1 HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    got, head, body = answer_to(served.api, request)
    assert got == status, head
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert served.api.list() == []


def test_the_authority_of_an_absolute_target_decides_on_both_listeners(host, weftd):
    """Host is ignored then, also by the checks against pages of other sites."""
    daemon = weftd({"http": {"listen": "127.0.0.1:9477"}})
    browser = "User-Agent: Mozilla/5.0\r\n"

    def over_socket(authority, field, more=""):
        return answer_to(
            daemon.api, f"GET http://{authority}/v1/sandboxes HTTP/1.1\r\nHost: {field}\r\n{more}\r\n".encode()
        )[0]

    def over_tcp(authority, field):
        with host.connect("127.0.0.1", 9477) as client:
            client.sendall(
                f"GET http://{authority}/healthz HTTP/1.1\r\nHost: {field}\r\nConnection: close\r\n\r\n".encode()
            )
            return int(receive_all(client).split()[1])

    assert over_socket("weft", "x") == 200
    assert over_socket("localhost", "evil.example", browser) == 200
    assert over_socket("evil.example", "localhost", browser) == 403
    assert over_tcp("127.0.0.1:9477", "evil.example") == 200
    assert over_tcp("evil.example", "127.0.0.1:9477") == 403


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_refused_and_not_kept(served, chunked):
    body = b"x" * 10_000_000
    if chunked:
        length, body = b"Transfer-Encoding: chunked", b"989680\r\n" + body + b"\r\n0\r\n\r\n"
    else:
        length = b"Content-Length: 10000000"
    before = memory_kib(served.process.pid)
    status, _head, answer = answer_to(served.api, b"PUT /v1/sandboxes/a1 HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n" + body)
    assert status == 413 and json.loads(answer)["status"] == 413
    assert memory_kib(served.process.pid) - before < 4000
    prompt(served.api)


def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def test_a_chunked_body_and_100_continue_work(served):
    with served.api.raw_socket() as connection:
        connection.sendall(
            b"PUT /v1/sandboxes/a1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for piece in (b"8;ext=1\r\n{\"ports\"\r\n", b"8\r\n: [8080]\r\n", b"1\r\n}\r\n0\r\nTrailer: x\r\n\r\n"):
            for byte in piece:
                connection.sendall(bytes([byte]))
        assert connection.recv(100).startswith(b"HTTP/1.1 201 ")
    assert served.api.show("a1")["endpoints"][0]["guest_port"] == 8080


def test_requests_in_one_segment_are_answered_in_order(served):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with served.api.raw_socket() as connection:
        connection.sendall(request * 50 + last)
        data = read_all(connection)
    assert data.count(b"HTTP/1.1 200 OK") == 50
    assert data.count(b"HTTP/1.1 404 Not Found") == 1
    assert data.rindex(b"200 OK") < data.index(b"404")


def test_a_body_of_get_is_no_second_request(served):
    smuggled = b"DELETE /v1/sandboxes/a1 HTTP/1.1\r\nHost: x\r\n\r\n"
    served.api.register("a1")
    with served.api.raw_socket() as connection:
        head = f"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(smuggled)}\r\n\r\n"
        connection.sendall(head.encode() + smuggled)
        assert read_all(connection).count(b"HTTP/1.1 ") == 1
    served.api.show("a1")


def test_a_client_that_sends_no_more_still_gets_its_reply(served):
    served.api.register("a1")
    with served.api.raw_socket() as connection:
        connection.sendall(b"GET /v1/sandboxes/a1?wait=ready&timeout=120 HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        prompt(served.api)
        served.api.patch("a1", {"labels": {"state": "ready"}})
        data = read_all(connection)
    assert data.startswith(b"HTTP/1.1 200 OK") and b'"state":"ready"' in data


def test_waiting_has_its_documented_ends(served):
    served.api.register("a1")
    get = lambda query: served.api.get(f"/v1/sandboxes/a1?{query}")
    get("wait=ready&timeout=0").problem(408)
    served.api.get("/v1/sandboxes/nobody?wait=ready").problem(404, "id")
    attached = parked(served, "GET /v1/sandboxes/a1?wait=attached&timeout=120")
    paused = parked(served, "GET /v1/sandboxes/a1?wait=paused&timeout=120")
    served.api.patch("a1", {"labels": {"state": "ready"}})
    status, body = attached.answer()
    assert status == 200 and body["state"] == "ready"
    served.api.patch("a1", {"labels": {"state": "failed"}})
    assert paused.answer()[0] == 409
    get("wait=ready").problem(409)
    served.api.patch("a1", {"labels": {"state": "waiting"}})
    gone = parked(served, "GET /v1/sandboxes/a1?wait=ready&timeout=120")
    served.api.unregister("a1")
    assert gone.answer()[0] == 410


class parked:
    """A request that the daemon has read and not answered yet: it shares a segment with a request that is answered."""

    def __init__(self, served, request_line):
        self.connection = served.api.raw_socket()
        last = "Host: x\r\nConnection: close\r\n\r\n"
        request = f"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{request_line} HTTP/1.1\r\n{last}"
        self.connection.sendall(request.encode())
        self.data = b""
        while not self.data.endswith(b"ok\n"):
            self.data += self.connection.recv(1024)
        assert self.data.count(b"HTTP/1.1") == 1

    def answered(self):
        """Whether any byte of an answer arrived so far."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def answer(self):
        with self.connection:
            head, _, body = read_all(self.connection).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    def close(self):
        self.connection.close()


def connections(served):
    found = 0
    for fd in os.listdir(f"/proc/{served.process.pid}/fd"):
        try:
            found += os.readlink(f"/proc/{served.process.pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            continue
    return found - 1  # the listener


def test_the_thousand_and_first_that_waits_is_refused(served):
    served.api.register("a1")
    request = b"GET /v1/sandboxes/a1?wait=ready&timeout=300 HTTP/1.1\r\nHost: x\r\n\r\n"
    waiting = []
    try:
        for _ in range(1000):
            waiting.append(served.api.raw_socket())
            waiting[-1].sendall(request)
        poll_until(lambda: served.api.get("/v1/sandboxes/a1?wait=ready&timeout=0").status == 503)
        served.api.get("/v1/sandboxes/a1?wait=ready&timeout=5").problem(503)
        prompt(served.api)
        waiting.pop().close()
        poll_until(lambda: served.api.get("/v1/sandboxes/a1?wait=ready&timeout=0").status == 408)
        served.api.patch("a1", {"labels": {"state": "ready"}})
        for connection in waiting:
            assert connection.recv(20).startswith(b"HTTP/1.1 200 ")
    finally:
        for connection in waiting:
            connection.close()


def test_slow_and_silent_clients_are_closed_at_the_deadline_and_keep_nobody_waiting(served):
    api = served.api
    before = served.descriptors()
    start = time.monotonic()
    silent = [api.raw_socket() for _ in range(400)]
    half = api.raw_socket()
    half.sendall(b"PUT /v1/sandboxes/a1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    slow = api.raw_socket()
    request = iter(b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 10000)  # enough for half an hour
    closed = None
    while closed is None:
        prompt(api)
        try:
            slow.sendall(bytes([next(request)]))
        except (BrokenPipeError, ConnectionResetError):
            closed = time.monotonic() - start
        assert time.monotonic() - start < DEADLINE + PATIENCE
        time.sleep(0.2)  # the test needs one byte at a time
    assert closed > DEADLINE - 1
    for connection in [*silent, half]:
        assert read_all(connection) == b""
        connection.close()
    slow.close()
    assert api.list() == []
    poll_until(lambda: served.descriptors() <= before, what=served.descriptors)


def test_beyond_the_cap_the_oldest_silent_client_makes_room(serve):
    for _ in range(ATTEMPTS):
        served = serve()
        silent, told = [], served.log().count("too many connections")
        start = time.monotonic()
        try:
            for _ in range(700):
                silent.append(served.api.raw_socket())
            poll_until(lambda: prompt(served.api) or served.descriptors() < 600, what=served.descriptors)  # pylint: disable=cell-var-from-loop
            assert readable(silent[0].fileno(), PATIENCE) and silent[0].recv(1) == b""
            newest_is_there = not readable(silent[-1].fileno(), 0)
            if time.monotonic() - start < DEADLINE:  # else its own deadline may have ended it, not the crowd
                assert newest_is_there
                assert served.log().count("too many connections") - told <= 20  # of close to 200, as the log takes ten in ten seconds
                return
        finally:
            for connection in silent:
                connection.close()
        served.stop()
    raise AssertionError(f"each of {ATTEMPTS} attempts took longer than a request may")


def test_two_hundred_clients_at_once_are_all_served(served):
    def one(number):
        served.api.register(f"s{number}", {"ports": [8080]})
        return served.api.show(f"s{number}")["slot"]

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        slots = list(pool.map(one, range(200)))
    assert sorted(slots) == list(range(1, 201))
    assert len(served.api.list()) == 200


def test_without_descriptors_clients_are_still_served(serve):
    start = time.monotonic()
    served = serve("--descriptors", "0")
    for _ in range(20):
        prompt(served.api)
    idle = [served.api.raw_socket() for _ in range(30)]
    for _ in range(5):
        prompt(served.api)
    for connection in idle:
        connection.close()
    assert served.log().count("cannot accept") <= 2 + (time.monotonic() - start) / 10


def test_a_client_that_goes_away_leaves_nothing(served):
    served.api.register("a1")
    before = served.descriptors()
    for request in (
        b"GET /v1/sandboxes/a1?wait=ready HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /v1/sandboxes/a2 HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
        b"GET /v1/sand",
        b"\x00",
    ):
        for _ in range(20):
            with served.api.raw_socket() as connection:
                connection.sendall(request)
    poll_until(lambda: served.descriptors() <= before, what=served.descriptors)
    start = served.cpu_seconds()
    prompt(served.api)
    assert served.cpu_seconds() - start < 0.5
    assert [sandbox["id"] for sandbox in served.api.list()] == ["a1"]


def test_mistakes_do_not_flood_the_log(served):
    start = time.monotonic()
    for _ in range(300):
        answer_to(served.api, b"hello\r\n")
        served.api.request("PUT", "/v1/sandboxes/..", body=b"{")
    assert len(served.log().splitlines()) < 60 + 3 * (time.monotonic() - start)  # the log takes thirty in ten seconds


def test_the_socket_is_ours_to_replace_only_when_nobody_answers(serve, folder):
    served = serve()
    status = os.stat(served.socket)
    assert status.st_mode & 0o777 == 0o660
    program = os.path.join(build_dir(), "tests", "control_harness")
    second = subprocess.run([program, served.socket], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert second.returncode == 69 and "another weftd" in second.stderr
    assert f"(pid {served.process.pid}) answers on {served.socket}" in second.stderr
    prompt(served.api)
    served.kill()
    assert os.path.exists(served.socket)
    serve()  # replaces it
    plain = os.path.join(folder, "plain")
    with open(plain, "w", encoding="utf-8") as file:
        file.write("mine")
    third = subprocess.run([program, plain], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert third.returncode == 69 and "is not a socket" in third.stderr
    with open(plain, encoding="utf-8") as file:
        assert file.read() == "mine"


def test_changes_wait_for_the_adoption_and_reads_do_not(serve):
    served = serve("--adopting")
    assert served.api.get("/v1/sandboxes").body == {"sandboxes": [], "adopting": True}
    served.api.request("PUT", "/v1/sandboxes/a1", body=b"{").problem(400)
    change = parked(served, "PUT /v1/sandboxes/a1")
    parked(served, "PUT /v1/sandboxes/a2").close()
    poll_until(lambda: connections(served) == 1, what=lambda: connections(served))
    assert served.api.list() == []
    served.process.send_signal(signal.SIGUSR1)
    assert change.answer()[0] == 201
    assert [sandbox["id"] for sandbox in served.api.list()] == ["a1"]
    assert "adopting" not in served.api.show("a1")


def test_while_the_files_are_read_nobody_is_told_that_a_sandbox_does_not_exist(serve):
    served = serve("--loading")
    held = [
        (parked(served, "GET /v1/sandboxes/left"), 200),
        (parked(served, "GET /v1/sandboxes/none"), 404),
        (parked(served, "GET /v1/sandboxes"), 200),
        (parked(served, "GET /v1/sandboxes/left?wait=paused&timeout=0"), 408),
        (parked(served, "GET /v1/sandboxes/left/diagnosis"), 200),
        (parked(served, "GET /v1/sandboxes/left/connections"), 200),
    ]
    metrics = parked(served, "GET /metrics")
    parked(served, "GET /v1/sandboxes/left").close()
    change = parked(served, "DELETE /v1/sandboxes/left")
    # Requests that need no sandbox are answered all the time, and after the deferred ones too.
    assert served.api.get("/healthz").status == 200
    assert served.api.status()["state"] == "adopting"
    served.api.request("GET", "/v1/sandboxes/left?wait=nonsense").problem(400)
    assert [one.answered() for one in [*(one for one, _ in held), metrics, change]] == [False] * 8
    served.process.send_signal(signal.SIGUSR1)
    answers = [(one.answer(), wanted) for one, wanted in held]
    assert [status for (status, _), _ in answers] == [wanted for _, wanted in answers]
    assert answers[0][0][1]["id"] == "left"
    assert [one["id"] for one in answers[2][0][1]["sandboxes"]] == ["left"]
    with metrics.connection as connection:
        assert b"weft_build_info" in read_all(connection)
    assert served.api.show("left")["adopting"] and not change.answered()
    served.process.send_signal(signal.SIGUSR1)
    with change.connection as connection:
        assert read_all(connection).startswith(b"HTTP/1.1 204 ")
    assert served.api.list() == []


def test_policy_is_asked_for_when_the_slot_is_taken_over(serve):
    served = serve("--loading")
    early = parked(served, "GET /v1/sandboxes/left/reach?dest=192.0.2.1")
    served.process.send_signal(signal.SIGUSR1)
    assert served.api.show("left")["adopting"]
    late = parked(served, "GET /v1/sandboxes/left/reach?dest=192.0.2.1")
    assert not early.answered() and not late.answered()
    served.process.send_signal(signal.SIGUSR1)
    assert early.answer()[0] == late.answer()[0] == 200


def test_who_is_held_while_the_files_are_read_hears_of_a_stop(serve):
    served = serve("--loading")
    held = parked(served, "GET /v1/sandboxes/left")
    served.process.terminate()
    assert held.answer()[0] == 503
    assert served.process.wait(60) == 0


def test_who_waits_when_the_daemon_stops_is_told(serve):
    served = serve("--adopting")
    change = parked(served, "PUT /v1/sandboxes/a1")
    served.process.send_signal(signal.SIGUSR1)
    assert change.answer()[0] == 201
    wait = parked(served, "GET /v1/sandboxes/a1?wait=ready&timeout=120")
    served.process.terminate()
    assert wait.answer()[0] == 503
    assert served.process.wait(60) == 0


def test_each_change_is_logged_with_the_caller(served):
    served.api.register("a1")
    line = next(line for line in served.log().splitlines() if "/v1/sandboxes/a1" in line)
    assert f"uid={os.getuid()}" in line and f"pid={os.getpid()}" in line and "status=201" in line


# ---- events ----


def test_events_begin_with_what_is_and_go_on_with_what_changes(served):
    served.api.register("a1")
    with served.api.events() as events:
        first, end = next(events), next(events)
        assert (first["type"], first["sandbox"], first["object"]["state"]) == ("snapshot", "a1", "waiting")
        assert end["type"] == "snapshot-end"
        served.api.patch("a1", {"labels": {"state": "ready"}})
        change = next(events)
        assert (change["type"], change["from"], change["to"]) == ("state", "waiting", "ready")
        assert change["previous_ms"] >= 0 and change["cause"] == "label" and change["boot"] == end["boot"]
        served.api.unregister("a1")
        assert next(events)["type"] == "unregistered"
    with served.api.events(f"?since={end['seq']}&boot={end['boot']}") as events:
        assert next(events) == change
    with served.api.events(f"?since={end['seq']}&boot=another") as events:
        assert next(events)["type"] == "snapshot-end"
    with served.api.events(f"?since={end['seq'] + 1000}&boot={end['boot']}") as events:
        assert next(events)["type"] == "snapshot-end"


def test_events_of_one_sandbox_alone(served):
    served.api.register("a1")
    served.api.register("a2")
    with served.api.events("?sandbox=a2") as events:
        assert [next(events)["type"] for _ in range(2)] == ["snapshot", "snapshot-end"]
        served.api.patch("a1", {"labels": {"state": "ready"}})
        served.api.patch("a2", {"labels": {"state": "ready"}})
        assert next(events)["sandbox"] == "a2"


def test_a_slow_reader_of_events_is_cut_off_with_overflow(served):
    with served.api.raw_socket() as slow:
        slow.sendall(b"GET /v1/events HTTP/1.0\r\n\r\n")
        poll_until(lambda: connections(served) == 1)
        prompt(served.api)
        before = memory_kib(served.process.pid)
        served.process.send_signal(signal.SIGUSR2)
        prompt(served.api)
        assert memory_kib(served.process.pid) - before < 16000
        lines = [json.loads(line) for line in read_all(slow).partition(b"\r\n\r\n")[2].splitlines()]
    assert lines[-1]["type"] == "overflow"
    sequence = [line["seq"] for line in lines if line["type"] == "repair"]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    with served.api.events(f"?since={sequence[0]}&boot={lines[0]['boot']}") as events:
        assert next(events)["type"] == "snapshot-end"  # too old


def test_a_big_snapshot_arrives_whole(served):
    for number in range(300):
        served.api.register(f"s{number}")
    with served.api.events() as events:
        told = []
        for event in events:
            if event["type"] == "snapshot-end":
                break
            told.append(event["sandbox"])
    assert told == [f"s{number}" for number in range(300)]


# ---- TCP ----


@pytest.mark.parametrize("listen", ["127.0.0.1:9090", "0.0.0.0:9090"])
def test_tcp_is_read_only_and_knows_its_own_name(host, folder, listen):
    program = os.path.join(build_dir(), "tests", "control_harness")
    with open(os.path.join(folder, "log"), "wb") as log:
        served = host.popen(
            [program, os.path.join(folder, "c.sock"), "--http", listen], stdin=subprocess.PIPE, stdout=log, stderr=log
        )

    def ask(head):
        with host.connect("127.0.0.1", 9090) as connection:
            connection.sendall(f"{head}\r\n\r\n".encode())
            return int(read_all(connection).split()[1])

    def get(name, target="/metrics", method="GET"):
        return ask(f"{method} {target} HTTP/1.1\r\nHost: {name}\r\nConnection: close")

    def listening():
        try:
            return get("127.0.0.1:9090")
        except ConnectionRefusedError:
            return False

    poll_until(listening)
    assert get("127.0.0.1:9090") == get("localhost:9090") == get("127.0.0.1:9090", "/") == 200
    assert get("evil.example:9090") == get("evil.example") == get("127.0.0.1:9091") == get("0.0.0.0") == 403
    # A load balancer's health check. A browser sends a Host, and one that is longer than any name is none.
    assert ask("GET /healthz HTTP/1.0") == 200
    assert ask("GET /healthz HTTP/1.0\r\nHost: evil.example:9090") == get("a." * 120 + "example:9090") == 403
    assert get("a." * 200 + "example:9090") == 400
    assert ask(f"GET /healthz HTTP/1.0\r\n{BROWSER}Origin: http://evil.example:9090") == 403
    assert get("127.0.0.1:9090", "/v1/sandboxes/a1", "PUT") == 405
    assert get("127.0.0.1:9090", "/v1/sandboxes/a1", "DELETE") == 405
    served.terminate()
    assert served.wait(60) == 0


FOREIGN = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n"
LINK = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n"
OWN = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nOrigin: http://localhost:9090\r\n"
BROWSER = "User-Agent: Mozilla/5.0\r\n"


def sent(api, line, host="localhost:9090", fields=""):
    """The status and the head of the answer to the request LINE."""
    status, head, _body = answer_to(api, f"{line} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n".encode())
    return status, head.decode().lower()


def test_a_page_of_another_site_may_not_ask(served):
    api = served.api
    api.register("a1")
    for fields in (FOREIGN, "Origin: http://evil.example\r\n", "Origin: null\r\n", "Origin: http://localhost:3000\r\n"):
        for line in ("GET /v1/status", "GET /v1/events", "PUT /v1/sandboxes/a2", "DELETE /v1/sandboxes/a1", "GET /nosuch"):
            assert sent(api, line, fields=fields)[0] == 403, (line, fields)
    assert [one["id"] for one in api.list()] == ["a1"]
    # A link leads to the page, and to nothing else.
    assert sent(api, "GET /", fields=LINK)[0] == 200
    assert sent(api, "GET /v1/status", fields=LINK)[0] == 403
    # A name that somebody made lead here (DNS rebinding). Programs may say what they like.
    for fields in (BROWSER, "Origin: http://evil.example:9090\r\n", "Sec-Fetch-Site: same-origin\r\n"):
        assert sent(api, "PUT /v1/sandboxes/a2", "evil.example:9090", fields)[0] == 403, fields
    assert sent(api, "GET /v1/status", "anything")[0] == 200
    # The page's own browser, and one that its user sent here.
    for fields in (OWN, BROWSER, "Sec-Fetch-Site: none\r\n"):
        assert sent(api, "GET /v1/status", fields=fields)[0] == 200
    assert sent(api, "PUT /v1/sandboxes/a2", fields=OWN)[0] == 201


def test_every_answer_says_how_a_browser_is_to_treat_it(served):
    served.api.register("a1")
    for line, status in (("GET /v1/status", 200), ("HEAD /v1/status", 200), ("GET /", 200), ("GET /nosuch", 404), ("BREW /", 405),
                         ("DELETE /v1/sandboxes/a1", 204), ("GET /x\r\nContent-Length: y", 400)):
        found, head = sent(served.api, line)
        assert found == status
        for field in ("x-content-type-options: nosniff", "cache-control: no-store", "frame-ancestors 'none'",
                      "cross-origin-resource-policy: same-origin"):
            assert field in head, (line, field, head)
        assert ("script-src" in head) == (line == "GET /")
    with served.api.raw_socket() as stream:
        stream.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"nosniff" in stream.recv(4096)


# ---- the real daemon ----


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:30]))
def test_weftd_refuses_a_bad_body_and_goes_on(api, body):
    api.request("PUT", "/v1/sandboxes/a1", body=body).problem(400)
    assert api.list() == []


def test_weftd_serves_others_beside_bad_clients(daemon, api):
    silent = [api.raw_socket() for _ in range(400)]
    half = api.raw_socket()
    half.sendall(b"PUT /v1/sandboxes/a1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    big = b"PUT /v1/sandboxes/a1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000
    for number in range(10):
        prompt(api)
        assert answer_to(api, big)[0] == 413
        api.register(f"s{number}")
    for number in range(10):
        api.unregister(f"s{number}")
    for connection in [*silent, half]:
        assert read_all(connection) == b""
        connection.close()
    assert api.list() == []


def test_weftd_registers_for_many_clients_at_once(api):
    def one(number):
        made = api.register(f"s{number}", {"ports": [8080]}, timeout=120)
        api.unregister(f"s{number}", timeout=120)
        return made["slot"]

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(200)))
    assert api.list() == []


def test_weftd_registering_the_same_at_once_makes_one(api):
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda _: api.request("PUT", "/v1/sandboxes/a1", body={"ports": [8080]}), range(20)))
    assert sorted(reply.status for reply in replies) == [200] * 19 + [201]
    assert len({json.dumps(reply["endpoints"]) for reply in replies}) == 1
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: api.request("DELETE", "/v1/sandboxes/a1"), range(8)))
    assert {reply.status for reply in replies} <= {204, 404} and 204 in {reply.status for reply in replies}
    assert api.list() == []


def test_weftd_serves_reads_over_tcp_where_it_is_told_to(host, weftd):
    weftd({"http": {"listen": "127.0.0.1:9090"}}).api.register("a1")
    for target, expected in (("/metrics", b"weft_sandboxes{"), ("/v1/sandboxes", b'"a1"'), ("/", b"<title>weft</title>")):
        with host.connect("127.0.0.1", 9090) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost:9090\r\nConnection: close\r\n\r\n".encode())
            assert expected in read_all(connection)
