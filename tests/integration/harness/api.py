# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of the control socket. It checks answers strictly, and can send requests that no real client should."""

import contextlib
import http.client
import json
import socket
import time
import urllib.parse

from .wait import PATIENCE


class Reply:
    """An answer: `status`, `headers`, `text`, and `body`, parsed where it is JSON."""

    def __init__(self, status, headers, text):
        self.status = status
        self.headers = headers
        self.text = text
        self.body = json.loads(text) if "json" in (headers.get("Content-Type") or "") and text.strip() else None

    def __repr__(self):
        return f"<{self.status} {self.text.strip()[:600]}>"

    def __getitem__(self, key):
        return self.body[key]

    def expect(self, *statuses):
        """Fails unless the status is one of these; returns the reply itself."""
        assert self.status in statuses, f"expected {statuses}: {self!r}"
        return self

    def problem(self, status, field=None):
        """Fails unless this is a problem+json with STATUS that names FIELD (None: any field). Returns its body."""
        self.expect(status)
        kind = self.headers.get("Content-Type") or ""
        assert kind.startswith("application/problem+json"), kind
        assert self.body["status"] == status
        assert self.body["title"] and self.body["type"]
        if field is not None:
            assert self.body.get("field") == field, self.body
        return self.body


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def connection_to(path, timeout):
    """An HTTP connection to the control socket at PATH, for an answer that is read piece by piece."""
    return _Connection(path, timeout)


def _quoted(name):
    return urllib.parse.quote(name, safe="")


class Api:
    """Calls of the control socket at PATH. Each request has a connection of its own."""

    def __init__(self, path):
        self.path = str(path)

    def request(self, method, target, body=None, headers=None, timeout=2 * PATIENCE):
        """Sends TARGET unchanged. BODY: bytes or str are sent as they are, anything else as JSON, None sends no body."""
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        with contextlib.closing(_Connection(self.path, timeout)) as connection:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read().decode())

    def get(self, target, **options):
        return self.request("GET", target, **options)

    def raw_socket(self, timeout=PATIENCE):
        """A bare connection, for bytes that are not HTTP."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(timeout)
        made.connect(self.path)
        return made

    def register(self, name, body=None, expect=(201,), **options):
        """PUT; returns the sandbox."""
        reply = self.request("PUT", f"/v1/sandboxes/{_quoted(name)}", body=body, **options)
        return reply.expect(*expect).body

    def show(self, name):
        return self.get(f"/v1/sandboxes/{_quoted(name)}").expect(200).body

    def list(self, query=""):
        return self.get("/v1/sandboxes" + query).expect(200).body["sandboxes"]

    def patch(self, name, body, expect=(200,)):
        return self.request("PATCH", f"/v1/sandboxes/{_quoted(name)}", body=body).expect(*expect).body

    def wait(self, name, state, timeout=30):
        """Long-polls until the sandbox is in STATE, and returns it."""
        target = f"/v1/sandboxes/{_quoted(name)}?wait={state}&timeout={timeout}"
        return self.get(target, timeout=timeout + 10).expect(200).body

    def unregister(self, name, drain=None, expect=None, **options):
        query = "" if drain is None else f"?drain={drain}"
        reply = self.request("DELETE", f"/v1/sandboxes/{_quoted(name)}{query}", **options)
        return reply.expect(*(expect or ((204,) if drain is None else (202,))))

    def status(self):
        return self.get("/v1/status").expect(200).body

    def metrics(self):
        """{'name{labels}': value} of the Prometheus text."""
        values = {}
        for line in self.get("/metrics").expect(200).text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    @contextlib.contextmanager
    def events(self, query="", timeout=PATIENCE):
        """The event stream, as an iterator of objects. Heartbeats are left out, as they come at any time.

        It raises socket.timeout if nothing comes for TIMEOUT seconds.
        """
        with contextlib.closing(_Connection(self.path, timeout)) as connection:
            connection.request("GET", "/v1/events" + query)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["Content-Type"].startswith("application/x-ndjson")

            def each():
                deadline = time.monotonic() + timeout
                while line := answer.readline():
                    event = json.loads(line)
                    if event["type"] != "heartbeat":
                        yield event
                        deadline = time.monotonic() + timeout
                    elif time.monotonic() > deadline:
                        raise socket.timeout(f"no event for {timeout} s")

            yield each()

    @contextlib.contextmanager
    def news(self):
        """The event stream behind its snapshot."""
        with self.events() as events:
            next(one for one in events if one["type"] == "snapshot-end")
            yield events


def endpoint_port(sandbox, guest_port=49983, family=4):
    """The port on FAMILY's loopback that leads to GUEST_PORT of a sandbox, given as the API's object."""
    for endpoint in sandbox["endpoints"]:
        if endpoint["guest_port"] == guest_port:
            for listen in endpoint["listen"]:
                if listen.startswith("[") == (family == 6):
                    return int(listen.rsplit(":", 1)[1])
    raise AssertionError(f"no endpoint for port {guest_port}, IPv{family}: {sandbox['endpoints']}")
