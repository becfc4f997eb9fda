# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests share: a program that listens in the place of weftd, and the asyncio client behind the face of the blocking one."""

import asyncio
import json
import os
import socket
import tempfile
import threading

import weft
from weft import _exchange

# A stand-in is never away for long.
_exchange.FIRST_PAUSE, _exchange.LONGEST_PAUSE = 0.001, 0.02


class Blocking:
    """weft.AsyncClient as if it were weft.Client, so that each test tries both."""

    def __init__(self, *arguments, **options):
        self._client = weft.AsyncClient(*arguments, **options)

    def __getattr__(self, name):
        return lambda *arguments, **options: asyncio.run(getattr(self._client, name)(*arguments, **options))

    def events(self, *arguments, **options):
        return _BlockingStream(self._client.events(*arguments, **options))


class _BlockingStream:
    def __init__(self, stream):
        self._stream = stream
        self._loop = asyncio.new_event_loop()

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._loop.run_until_complete(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    @property
    def position(self):
        return self._stream.position

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._stream.aclose())
            self._loop.close()


CLIENTS = {"blocking": weft.Client, "asyncio": Blocking}


def answer(status, body="", *headers, version=weft.API_VERSION):
    """The bytes of an answer, with a length."""
    kind = "application/problem+json" if status >= 400 else "application/json"
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Type: {kind}", f"Content-Length: {len(body.encode())}", *headers]
    if version:
        lines.append(f"Weft-Api-Version: {version}")
    return "\r\n".join([*lines, "", body]).encode()


def stream(*lines, version=weft.API_VERSION, end=True):
    """The bytes of a stream of events, each line a chunk."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nWeft-Api-Version: {version}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [f"{len(line) + 1:x}\r\n{line}\n\r\n" for line in lines]
    return (head + "".join(chunks) + ("0\r\n\r\n" if end else "")).encode()


class Standin:
    """Listens at `path`, and does on each connection what the next of REPLIES says: bytes are sent, and the connection is closed.

    None in the place of bytes: nothing is sent, and the connection stays open until the end. `requests` has what was asked, (method, target, body).
    """

    def __init__(self, *replies):
        self._folder = tempfile.TemporaryDirectory(prefix="weft-client-")
        self.path = os.path.join(self._folder.name, "control.sock")
        self.requests = []
        self._replies = list(replies)
        self._open = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        for reply in self._replies:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            asked = self._read(connection)
            if asked:
                self.requests.append(asked)
            if reply is not None:
                connection.sendall(reply)
                connection.close()

    @staticmethod
    def _read(connection):
        with connection.makefile("rb") as file:
            first = file.readline().decode()
            if not first:
                return None  # closed again
            method, target, _ = first.split(" ")
            length = 0
            while (line := file.readline().strip()):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            return method, target, file.read(length).decode()

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        for connection in self._open:
            connection.close()
        self._folder.cleanup()


SANDBOX = {
    "id": "a1", "name": None, "slot": 1, "state": "waiting", "since": "2026-01-14T09:37:00.25Z", "reason": None,
    "netns": "ns-1", "netns_path": "/run/netns/ns-1", "tap": "tap0", "veth": "veth-1", "host_ip": "10.11.0.1",
    "guest": {"ip": "169.254.0.21", "prefix": 30, "gateway": "169.254.0.22", "mac": None, "mtu": 1500, "dns": [], "boot_arg": "ip=x"},
    "endpoints": [{"guest_port": 80, "proto": "tcp", "via": "forwarder", "listen": ["127.0.0.1:20000", "[::1]:20000"], "open": True}],
    "default": False, "ready_port": None, "labels": {"k": "v"}, "tap_owner": {"uid": 1, "gid": 2},
    "egress": {"internet": True, "allow": ["203.0.113.0/24", {"cidr": "10.1.2.3/32", "proto": "tcp", "ports": [5432, "8000-8099"]}], "deny": []},
    "bandwidth": {"to_guest": {"rate": 5, "burst": 6}}, "limits": {"connections": 7},
    "door": {"public": True, "token_sha256": None, "ports": {"8080": "closed"}, "host_label": "a1"},
    "registered_at": "2026-01-14T09:37:00Z", "last_activity": None,
    "counters": dict.fromkeys(
        ("bytes_to_guest", "bytes_from_guest", "packets_to_guest", "packets_from_guest", "connections_total", "connections_open",
         "connections_held", "drops_total"), 0,
    ),
}  # fmt: skip


def sandbox(**changes):
    """A sandbox as weftd would describe it, as JSON."""
    return json.dumps({**SANDBOX, **changes})


def event(seq, kind, boot="b1", **members):
    """A line of the event stream."""
    return json.dumps({"seq": seq, "boot": boot, "time": "2026-01-14T09:37:00Z", "type": kind, "sandbox": None, **members})


def problem(status, detail="no", **members):
    """A refusal."""
    return answer(status, json.dumps({"type": "about:blank", "title": "Title", "status": status, "detail": detail, **members}))


def stopping():
    """The refusal of a weftd that stops."""
    return answer(503, '{"detail": "weftd is stopping"}', "Retry-After: 1")
