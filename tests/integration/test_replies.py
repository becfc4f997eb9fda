# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies of the control socket, byte by byte: the status line, the headers and their order, the body, the end.

Each exchange of EXCHANGES must match the file of its name in replies/. Placeholders of the same length replace dates, times and
the name of a boot.
"""

import os
import re
import select
import socket
import subprocess

import pytest

from harness.api import Api
from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

FOLDER = os.path.join(os.path.dirname(__file__), "replies")
PLACEHOLDERS = (
    (rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", b"Day, 00 Mon 0000 00:00:00 GMT"),
    (rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", b"0000-00-00T00:00:00"),
    (rb"(?<=00:00:00)\.\d{3}Z", b".000Z"),
    (rb'"boot":"[0-9a-f]{16}"', b'"boot":"0000000000000000"'),
)

HOST = b"Host: x\r\n"
NOT_HTTP = b"hello\r\n"
PUT = b"PUT /v1/sandboxes/a1 HTTP/1.1\r\n" + HOST + b"Content-Length: 17\r\n\r\n" + b'{"ports": [8080]}'
EXCHANGES = {
    "200": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "201": PUT,
    "204": b"DELETE /v1/sandboxes/a1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "204-close": b"DELETE /v1/sandboxes/a1 HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "400": b"PUT /v1/sandboxes/a1 HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n[]",
    "400-bare": NOT_HTTP,
    "400-head": b"GET /healthz HTTP/1.1\r\n\r\n",
    "404": b"GET /v1/sandboxes/none HTTP/1.1\r\n" + HOST + b"\r\n",
    "405": b"POST /v1/sandboxes HTTP/1.1\r\n" + HOST + b"\r\n",
    "413": b"PUT /v1/sandboxes/a1 HTTP/1.1\r\n" + HOST + b"Content-Length: 65537\r\n\r\n",
    "431": b"GET /healthz HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 100 + b"\r\n",
    "close": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "head": b"HEAD /v1/sandboxes HTTP/1.1\r\n" + HOST + b"\r\n",
    "head-404": b"HEAD /v1/sandboxes/none HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "http-1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "http-1.0-head": b"HEAD /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "http-1.0-204": b"DELETE /v1/sandboxes/a1 HTTP/1.0\r\n\r\n",
    "http-1.0-404": b"GET /nowhere HTTP/1.0\r\n\r\n",
    "pipeline": b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\nGET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n" + NOT_HTTP,
}
STREAMS = {
    "stream": b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n",
    "stream-close": b"GET /v1/events HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "stream-http-1.0": b"GET /v1/events HTTP/1.0\r\n\r\n",
}


@pytest.fixture
def served(folder):
    path = os.path.join(folder, "c.sock")
    with subprocess.Popen(
        [os.path.join(build_dir(), "tests", "control_harness"), path], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        served = Api(path)
        served.process = process

        def answers():
            assert process.poll() is None
            try:
                return served.get("/healthz").status == 200
            except OSError:
                return False

        poll_until(answers)
        yield served
        process.stdin.close()
        assert process.wait(60) == 0


def read_all(connection):
    data = b""
    while True:
        assert select.select([connection], [], [], PATIENCE)[0], data
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece


def read_until(connection, end):
    data = b""
    while not data.endswith(end):
        assert select.select([connection], [], [], PATIENCE)[0], data
        data += connection.recv(65536)
    return data


def recorded(name):
    with open(os.path.join(FOLDER, name), "rb") as file:
        return file.read()


def plain(data):
    """DATA with placeholders, for comparison."""
    for pattern, placeholder in PLACEHOLDERS:
        data = re.sub(pattern, placeholder, data)
    return data


def send(connection, request, split):
    for piece in [request] if not split else [request[i : i + 1] for i in range(len(request))]:
        connection.sendall(piece)


def exchange(served, request, split):
    """The answer to REQUEST until the end of the connection. The client closes its side, unless the daemon closes by itself."""
    with served.raw_socket() as connection:
        send(connection, request, split)
        if not request.endswith(NOT_HTTP):
            connection.shutdown(socket.SHUT_WR)
        return plain(read_all(connection))


@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", sorted(EXCHANGES))
def test_a_reply_is_what_it_was(served, name, split):
    if b"DELETE" in EXCHANGES[name]:
        served.register("a1", {"ports": [8080]})
    assert exchange(served, EXCHANGES[name], split) == recorded(name)


@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytes"])
def test_a_client_that_waits_for_100_gets_what_it_got(served, split):
    head, _, body = PUT.replace(HOST, HOST + b"Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    with served.raw_socket() as connection:
        send(connection, head + b"\r\n\r\n", split)
        data = read_until(connection, b"\r\n\r\n")
        send(connection, body, split)
        connection.shutdown(socket.SHUT_WR)
        data += read_all(connection)
    assert plain(data) == recorded("continue")


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_is_what_it_was(served, name):
    served.register("a1", {"ports": [8080]})
    ends = b"\n" if "1.0" in name else b"\n\r\n"
    with served.raw_socket() as connection:
        connection.sendall(STREAMS[name])
        data = read_until(connection, b'"sandbox":null}' + ends)
        served.unregister("a1")
        data += read_until(connection, ends)
        served.process.stdin.close()  # which ends it
        data += read_all(connection)
    assert plain(data) == recorded(name)
