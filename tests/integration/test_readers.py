# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers over TCP and users of the socket's group: none of them takes the event streams and the waits that others need."""

import contextlib
import http.client
import os
import socket
import subprocess

import pytest

from harness.api import Api, Reply
from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

PORT = 9090


class Reader:
    """A client of `[http] listen`. A stream stays open until close()."""

    def __init__(self, host, target, source="127.0.0.1"):
        self.connection = host.connect("127.0.0.1", PORT, source=source)
        self.connection.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\n\r\n".encode())
        self.answer = http.client.HTTPResponse(self.connection)
        self.answer.begin()
        self.status = self.answer.status

    def reply(self):
        with contextlib.closing(self):
            return Reply(self.status, self.answer.headers, self.answer.read().decode())

    def close(self):
        self.answer.close()
        self.connection.close()


@pytest.fixture
def readers(host):
    """readers(target, source) asks over TCP; what stays open is closed at the end."""
    made = []

    def read(target, source="127.0.0.1"):
        made.append(Reader(host, target, source))
        return made[-1]

    yield read
    for reader in made:
        reader.close()


@pytest.fixture
def api(host, folder):
    """The client of the socket of a control_harness that is read over TCP as well."""
    sock = os.path.join(folder, "c.sock")
    program = os.path.join(build_dir(), "tests", "control_harness")
    with open(os.path.join(folder, "log"), "wb") as log:
        served = host.popen(
            [program, sock, "--http", f"127.0.0.1:{PORT}"], stdin=subprocess.PIPE, stdout=log, stderr=log
        )

    def listening():
        with contextlib.suppress(ConnectionRefusedError):
            host.connect("127.0.0.1", PORT).close()
            return True

    poll_until(listening)
    yield Api(sock)
    served.terminate()
    assert served.wait(PATIENCE) == 0


def stream(api):
    """An event stream over the socket: (its status, its connection)."""
    connection = api.raw_socket()
    connection.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    return int(connection.recv(12).split()[1]), connection


def test_readers_over_tcp_have_their_own_few_streams(api, readers):
    held = [readers("/v1/events", f"127.0.0.{1 + i // 4}") for i in range(16)]
    assert [reader.status for reader in held] == [200] * 16
    refused = readers("/v1/events", "127.0.0.2").reply()
    refused.problem(429)
    assert "this address" in refused["detail"] and int(refused.headers["Retry-After"]) > 0
    readers("/v1/events", "127.0.0.9").reply().problem(429)

    # A client that closes, or sends no more, frees its place, although nothing is sent to it meanwhile.
    held[0].connection.shutdown(socket.SHUT_WR)
    with pytest.raises(http.client.IncompleteRead):
        held[0].answer.read()
    poll_until(lambda: readers("/v1/events", "127.0.0.9").status == 200)

    with contextlib.ExitStack() as stack:
        for _ in range(128):
            status, connection = stream(api)
            stack.enter_context(connection)
            assert status == 200
        status, connection = stream(api)
        stack.enter_context(connection)
        assert status == 503


def test_readers_over_tcp_do_not_wait(api, readers):
    api.register("a1")
    readers("/v1/sandboxes/a1?wait=ready&timeout=300").reply().problem(403, "wait")
    readers("/v1/sandboxes/nobody?wait=ready").reply().problem(403, "wait")
    readers("/v1/sandboxes/a1?wait=nonsense").reply().problem(400, "wait")
    readers("/v1/sandboxes/a1").reply().expect(200)


def test_a_diagnosis_over_tcp_is_the_last_one_made(weftd, readers):
    daemon = weftd({"http": {"listen": f"127.0.0.1:{PORT}"}})
    daemon.api.register("a1")
    last = lambda: readers("/v1/sandboxes/a1/diagnosis").reply().expect(200).body
    nothing = {"hops": [], "broken": None, "cause": None, "next_step": None, "measured_at": None}
    assert last() == nothing
    made = daemon.api.get("/v1/sandboxes/a1/diagnosis").expect(200).body
    assert made["broken"] == "tap" and made["measured_at"].endswith("Z")
    assert last() == made
    daemon.api.unregister("a1")
    readers("/v1/sandboxes/a1/diagnosis").reply().problem(404, "id")
    daemon.api.register("a1")
    assert last() == nothing


# Opens event streams as a user until one is refused, prints how many it holds, and holds them until its input ends.
HOLD = """
import os, socket, sys
path, uid = sys.argv[1], int(sys.argv[2])
os.setgroups([100])
os.setgid(uid)
os.setuid(uid)
held = []
def refused():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    s.sendall(b"GET /v1/events HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    held.append(s)
    return s.recv(12).split()[1] == b"503"
while not refused():
    pass
print(len(held) - 1, flush=True)
sys.stdin.read()
"""


def test_a_user_may_hold_half_of_what_is_not_roots(weftd, host):
    daemon = weftd({"daemon": {"socket_group": "users"}})
    os.chmod(daemon.folder, 0o755)

    def held_by(uid):
        holder = host.popen(
            ["/usr/bin/python3", "-c", HOLD, daemon.socket, str(uid)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        return holder, int(holder.stdout.readline())

    first, count = held_by(12345)
    second, more = held_by(12346)
    third, none = held_by(12347)
    try:
        assert (count, more, none) == (56, 56, 0)
        with daemon.api.events() as events:
            assert next(events)["type"] == "snapshot-end"
        first.communicate()
        poll_until(lambda: held_once(held_by, 12347) == 56)
    finally:
        for holder in (first, second, third):
            holder.kill()
            holder.communicate()


def held_once(held_by, uid):
    holder, count = held_by(uid)
    holder.communicate()
    return count
