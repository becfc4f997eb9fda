# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for E2B's API: the calls about sandboxes that its SDKs make, answered by weft and by guests of a test.

    POST /v2/sandboxes, /sandboxes                 create; `network.allowPublicTraffic: false` gives it a token, `autoResume` has weftd ask
                                                   for it while it is paused
    GET /v2/sandboxes, /sandboxes                  list, one page
    GET, DELETE /sandboxes/ID                      get, kill
    POST /sandboxes/ID/pause, /timeout             pause, set the timeout, which is only kept
    POST /v2/sandboxes/ID/connect, .../resume      connect, which wakes a paused one

It is the manager of these sandboxes, as an orchestrator would be: it registers each at weftd's control socket, and starts its guest.
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import secrets
import string
import threading
from datetime import datetime, timedelta, timezone

KEY = "e2b_0123456789abcdef0123456789abcdef01234567"
ENVD = "99.99.99"  # what the SDKs suppose in their local mode, for which tests/agent is made
_LETTERS = string.digits + string.ascii_lowercase


def new_id():
    """An id as E2B makes them: "i" and twenty letters or digits."""
    return "i" + "".join(secrets.choice(_LETTERS) for _ in range(20))


class Failed(Exception):
    """An answer that is an error of the API."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Sandbox:
    """One sandbox: what the client asked for, and what it got."""

    def __init__(self, name, request, domain):
        self.id = name
        self.request = request
        self.domain = domain
        self.token = None
        if (request.get("network") or {}).get("allowPublicTraffic") is False:
            self.token = secrets.token_hex(16)
        self.started = datetime.now(timezone.utc)
        self.timeout = request.get("timeout") or 300
        self.box = None
        self.paused = False

    def registration(self):
        """The body for weftd."""
        body = {"ready_port": 49983}
        if (self.request.get("autoResume") or {}).get("enabled"):
            body["wake"] = {"ports": "any", "min_awake_ms": 0}
        if self.token:
            digest = base64.b64encode(hashlib.sha256(self.token.encode()).digest()).decode()
            body["door"] = {"public": False, "token_sha256": digest}
        return body

    def short(self):
        """As create and connect answer it."""
        found = {"templateID": self.request["templateID"], "sandboxID": self.id, "clientID": "weft", "envdVersion": ENVD}
        return {**found, "domain": self.domain, "trafficAccessToken": self.token}

    def whole(self):
        """As get and list answer it."""
        return {
            **{"templateID": self.request["templateID"], "sandboxID": self.id, "clientID": "weft", "envdVersion": ENVD},
            **{"domain": self.domain, "metadata": self.request.get("metadata") or {}},
            **{"startedAt": self.started.isoformat(), "endAt": (self.started + timedelta(seconds=self.timeout)).isoformat()},
            **{"cpuCount": 1, "memoryMB": 512, "diskSizeMB": 1024, "state": "paused" if self.paused else "running"},
        }


class E2bApi:
    """The API on LISTENER, a listening socket. WEFT is the client of weftd's control socket, MAKE_BOX(sandbox) makes a guest that
    boot(), pause(), resume() and kill() are called of. DOMAIN is told to clients as that of their sandboxes, which get their ids of IDS."""

    def __init__(self, listener, weft, make_box, domain=None, ids=()):
        self.weft = weft
        self.make_box = make_box
        self.domain = domain
        self.ids = list(ids)
        self.sandboxes = {}
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(listener.getsockname(), _handler(self), bind_and_activate=False)
        self.server.socket.close()
        self.server.socket = listener
        listener.settimeout(None)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        """Ends the API; the sandboxes' guests are the test's to end."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def find(self, name):
        if name not in self.sandboxes:
            raise Failed(404, f"sandbox {name} not found")
        return self.sandboxes[name]

    # ---- The calls: each returns (status, body) ----

    def create(self, request):
        made = Sandbox(self.ids.pop(0) if self.ids else new_id(), request, self.domain)
        made.box = self.make_box(self.weft.register(made.id, made.registration()))
        made.box.boot()
        self.sandboxes[made.id] = made
        return 201, made.short()

    def list(self):
        return 200, [one.whole() for one in self.sandboxes.values()]

    def get(self, name):
        return 200, self.find(name).whole()

    def kill(self, name):
        one = self.find(name)
        one.box.kill()
        self.weft.unregister(name)
        del self.sandboxes[name]
        return 204, None

    def pause(self, name):
        one = self.find(name)
        if one.paused:
            raise Failed(409, f"sandbox {name} is paused")
        self.weft.patch(name, {"paused": True})
        one.box.pause()
        one.paused = True
        return 204, None

    def connect(self, name):
        one = self.find(name)
        if not one.paused:
            return 200, one.short()
        one.box.resume()
        self.weft.patch(name, {"paused": False})
        one.paused = False
        return 201, one.short()

    def wake(self, said):
        """What weftd asks for by POST /wake is done as a client's connect()."""
        with self.lock:
            if said["sandbox"] in self.sandboxes:
                self.connect(said["sandbox"])

    def set_timeout(self, name, request):
        self.find(name).timeout = request["timeout"]
        return 204, None

    def answer(self, method, path, request):
        """(status, body) of one call."""
        _, name, call = re.fullmatch(r"(/v2)?/sandboxes(?:/([a-z0-9]+)(?:/([a-z]+))?)?", path).groups()
        calls = {
            ("POST", False, None): lambda: self.create(request),
            ("GET", False, None): self.list,
            ("GET", True, None): lambda: self.get(name),
            ("DELETE", True, None): lambda: self.kill(name),
            ("POST", True, "pause"): lambda: self.pause(name),
            ("POST", True, "connect"): lambda: self.connect(name),
            ("POST", True, "resume"): lambda: self.connect(name),
            ("POST", True, "timeout"): lambda: self.set_timeout(name, request),
        }
        with self.lock:
            return calls[method, name is not None, call]()


def _handler(api):
    class Handler(http.server.BaseHTTPRequestHandler):
        """Reads a request and writes the answer. Errors have the form of E2B's."""

        protocol_version = "HTTP/1.1"

        def read_body(self):
            """Of a length, or in chunks, as JavaScript's SDK sends it."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def serve(self):
            body = self.read_body()
            try:
                if self.headers.get("X-API-Key") != KEY:
                    raise Failed(401, "no such key")
                status, answer = api.answer(self.command, self.path.split("?")[0], json.loads(body) if body else {})
            except Failed as failed:
                status, answer = failed.code, {"code": failed.code, "message": str(failed)}
            except Exception as error:  # pylint: disable=broad-except
                status, answer = 500, {"code": 500, "message": f"{type(error).__name__}: {error}"}
            text = b"" if answer is None else json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                if answer is not None:
                    self.send_header("Content-Type", "application/json")
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        do_GET = do_POST = do_DELETE = serve

        def log_message(self, *arguments):
            pass

    return Handler
