# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1.1 on one connection: requests with bodies of either framing, answers at once or chunked."""

import json
import select
import urllib.parse
import zlib

HEAD_LIMIT = 65536
CHUNK = 262144

REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    409: "Conflict",
    500: "Internal Server Error",
    501: "Not Implemented",
}


class Gone(Exception):
    """The client left, or does not speak HTTP."""


class Request:
    """A request. Its body is read later, in pieces by body() or at once by read_all()."""

    def __init__(self, connection, method, target, headers):
        self.connection = connection
        self.method = method
        parts = urllib.parse.urlsplit(target)
        self.path = parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.headers = headers
        self._pieces = self._body()

    def _raw(self):
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while True:
                left = int(self.connection.read_line().split(b";")[0], 16)
                if not left:
                    while self.connection.read_line():
                        pass
                    return
                while left:
                    piece = self.connection.read_some(left)
                    left -= len(piece)
                    yield piece
                self.connection.read_line()
        left = int(self.headers.get("content-length", "0"))
        while left:
            piece = self.connection.read_some(left)
            left -= len(piece)
            yield piece

    def _body(self):
        if self.headers.get("expect", "").lower() == "100-continue":
            self.connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.headers.get("content-encoding", "").lower() != "gzip":
            yield from self._raw()
            return
        inflate = zlib.decompressobj(wbits=31)
        for piece in self._raw():
            yield inflate.decompress(piece)
        yield inflate.flush()

    def body(self):
        """The unread pieces, without their framing."""
        yield from self._pieces

    def read_all(self):
        return b"".join(self._pieces)


class Connection:
    def __init__(self, client):
        self.client = client
        self.pending = b""

    def close(self):
        self.client.close()

    def _fill(self):
        try:
            data = self.client.recv(CHUNK)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self.pending += data

    def read_line(self):
        while b"\r\n" not in self.pending:
            if len(self.pending) > HEAD_LIMIT:
                raise Gone
            self._fill()
        line, self.pending = self.pending.split(b"\r\n", 1)
        return line

    def read_some(self, limit):
        if not self.pending:
            self._fill()
        piece, self.pending = self.pending[:limit], self.pending[limit:]
        return piece

    def next_request(self):
        """The next request; None at the end of the connection."""
        try:
            line = self.read_line().decode("latin-1")
        except Gone:
            return None
        method, target, _ = line.split(" ", 2)
        headers = {}
        while line := self.read_line().decode("latin-1"):
            key, value = line.split(":", 1)
            headers[key.strip().lower()] = value.strip()
        return Request(self, method, target, headers)

    def send(self, data):
        try:
            self.client.sendall(data)
        except OSError as error:
            raise Gone from error

    def _head(self, status, headers):
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
        lines += [f"{key}: {value}" for key, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def answer(self, status, body=b"", headers=None):
        headers = dict(headers or {})
        if status != 204:
            headers["Content-Length"] = len(body)
        self.send(self._head(status, headers) + body)

    def answer_json(self, status, value):
        self.answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def answer_file(self, file, size, headers):
        self.send(self._head(200, {**headers, "Content-Length": size}))
        try:
            self.client.sendfile(file)
        except OSError as error:
            raise Gone from error

    def begin_chunks(self, headers):
        self.send(self._head(200, {**headers, "Transfer-Encoding": "chunked"}))

    def chunk(self, data):
        """Sends by one write to the socket, so that the data leaves as one segment."""
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end_chunks(self):
        self.send(b"0\r\n\r\n")

    def wait(self, fd, timeout):
        """Waits for FD to be readable. Raises Gone at the client's FIN or reset, by which clients cancel calls."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not self.pending:
            poll.register(self.client, select.POLLIN | select.POLLRDHUP)
        for ready, events in poll.poll(None if timeout is None else timeout * 1000):
            if ready == fd:
                continue
            if events & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
                raise Gone
            self._fill()
