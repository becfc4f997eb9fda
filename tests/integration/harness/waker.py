# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for a manager of VMs that listens for weftd's POST /wake on a unix socket, and resumes the sandbox that it names.

It reads requests strictly, and what breaks HTTP/1.1 or the API's description is a problem that close() raises. Its manners may be bad:

    "answers"  it answers with `status`, 204 unless it is told otherwise
    "hangs"    it takes the request and never answers
    "half"     half an answer, and the connection's end
    "hangs-up" the connection's end without a byte
"""

import contextlib
import json
import os
import socket
import threading
import time

from .wait import PATIENCE, poll_until

_HALF = b"HTTP/1.1 200 OK\r\nContent-Le"


class Waker:
    """Listens on PATH from start() on. `heard`: [(time, object)]; resume[id](object) is called for each, or `otherwise`."""

    def __init__(self, path):
        self.path = path
        self.manners = "answers"
        self.status = 204
        self.resume = {}
        self.otherwise = lambda said: None
        self.heard = []
        self.open = 0  # connections now
        self.most_open = 0
        self._lock = threading.Lock()
        self._problems = []
        self._listener = None
        self._threads = []
        self._over = threading.Event()

    def start(self):
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._begin(self._accept, self._listener)
        return self

    def stop(self):
        """Nobody listens any more; a start() may follow."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            os.unlink(self.path)

    def _begin(self, function, *arguments):
        thread = threading.Thread(target=self._guarded, args=(function, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, function, *arguments):
        try:
            function(*arguments)
        except Exception as error:  # pylint: disable=broad-except
            self._problems.append(f"{type(error).__name__}: {error}")

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._begin(self._serve, connection)

    def _serve(self, connection):
        with self._lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            with connection, contextlib.suppress(ConnectionError):  # weftd may be killed at any time
                connection.settimeout(PATIENCE)
                if (text := self._read(connection)) is not None:
                    self._answer(connection, text)
        finally:
            with self._lock:
                self.open -= 1

    @staticmethod
    def _read(connection):
        """The object of one request; None if the client ended before it was whole."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(4096)):
                return None
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        line, *rest = head.decode("ascii").split("\r\n")
        assert line == "POST /wake HTTP/1.1", line
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in rest)}
        assert headers.get("host") is not None, headers
        assert headers["content-type"].startswith("application/json"), headers
        while len(body) < int(headers["content-length"]):
            if not (more := connection.recv(4096)):
                return None
            body += more
        assert len(body) == int(headers["content-length"]), body
        return json.loads(body)

    def _answer(self, connection, said):
        with self._lock:
            self.heard.append((time.monotonic(), said))
        manners = self.manners
        if manners == "hangs":
            while not self._over.wait(0.05):
                with contextlib.suppress(BlockingIOError):
                    if not connection.recv(1, socket.MSG_DONTWAIT):
                        return  # weftd gave up
            return
        if manners == "half":
            connection.sendall(_HALF)
        if manners == "answers":
            connection.sendall(f"HTTP/1.1 {self.status} Heard\r\nContent-Length: 0\r\n\r\n".encode())
        if manners == "answers" and 200 <= self.status < 300:
            self.resume.get(said["sandbox"], self.otherwise)(said)

    def told(self, sandbox=None):
        """The objects that it heard so far, of SANDBOX or of all."""
        with self._lock:
            return [said for _, said in self.heard if sandbox in (None, said["sandbox"])]

    def await_told(self, sandbox, count=1, timeout=PATIENCE):
        """Waits until weftd has asked COUNT times for SANDBOX; all that it said."""
        poll_until(lambda: len(self.told(sandbox)) >= count, timeout, what=lambda: f"{count} requests for {sandbox}: {self.heard}")
        return self.told(sandbox)

    def close(self):
        self._over.set()
        self.stop()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        assert not self._problems, self._problems
