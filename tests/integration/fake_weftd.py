# SPDX-License-Identifier: GPL-2.0-or-later
"""A control socket that sends the answers a test scripts, byte for byte, and records the requests."""

import contextlib
import copy
import json
import os
import socket
import threading

SANDBOX = {
    "id": "a1",
    "slot": 110,
    "state": "waiting",
    "since": "2026-01-14T09:37:00Z",
    "reason": None,
    "netns": "ns-110",
    "netns_path": "/run/netns/ns-110",
    "tap": "tap0",
    "veth": "veth-110",
    "host_ip": "10.11.0.110",
    "guest": {
        "ip": "169.254.0.21",
        "prefix": 30,
        "gateway": "169.254.0.22",
        "mac": "02:FC:00:00:00:05",
        "mtu": 1500,
        "dns": [],
        "boot_arg": "ip=169.254.0.21::169.254.0.22:255.255.255.252:instance:eth0:off",
    },
    "endpoints": [
        {"guest_port": 49983, "proto": "tcp", "via": "forwarder", "listen": ["127.0.0.1:20000", "[::1]:20000"]}
    ],
    "default": True,
    "ready_port": 49983,
    "labels": {},
    "egress": {"internet": True, "allow": ["203.0.113.0/24"], "deny": []},
    "registered_at": "2026-01-14T09:37:00Z",
    "last_activity": None,
    "counters": {
        "bytes_to_guest": 0,
        "bytes_from_guest": 0,
        "packets_to_guest": 0,
        "packets_from_guest": 0,
        "connections_total": 0,
        "connections_open": 0,
        "connections_held": 0,
        "drops_total": 0,
    },
}


def sandbox(**changes):
    made = copy.deepcopy(SANDBOX)
    made.update(changes)
    return made


def http(status, body=None, kind="application/json", more=""):
    """A complete answer. MORE: fields of its head, each with its end."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def problem(status, detail, field=None, more=""):
    body = {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    if field is not None:
        body["field"] = field
    return http(status, body, "application/problem+json", more)


def stopping():
    """The answer of a daemon that stops."""
    return problem(503, "weftd is stopping", more="Retry-After: 1\r\n")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class FakeWeftd:
    """Answers one request a connection with the next of `answers`: bytes, or a function that gets the connection."""

    def __init__(self, path):
        self.path = path
        self.requests = []  # (method, target, body)
        self.answers = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        while len(body) < int(fields.get("content-length", 0)):
            piece = connection.recv(65536)
            if not piece:
                return
            body += piece
        method, target, _ = lines[0].split(" ")
        self.requests.append((method, target, json.loads(body) if body else None))
        answer = self.answers.pop(0)
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(answer)

    def close(self):
        # accept() does not wake up when its socket is closed, only when it is shut down.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        os.unlink(self.path)
