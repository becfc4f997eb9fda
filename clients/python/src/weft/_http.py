# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1.1 without a connection: makes requests, and reads an answer from bytes however they are cut.

The standard library's reader needs a blocking file; this one serves asyncio too. It knows what weftd sends: bodies with a length, in
chunks, or up to the end of the connection. Anything else is a ProtocolError.
"""

from __future__ import annotations

import json
from typing import Dict, Optional

from .errors import ProtocolError

_HEAD_MOST = 65536
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF")


def request(method: str, target: str, agent: str, body: Optional[object] = None) -> bytes:
    """The bytes of a request. BODY is sent as JSON; None sends none."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"User-Agent: {agent}", "Connection: close"]
    content = b""
    if body is not None:
        content = json.dumps(body, separators=(",", ":")).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + content


class Answer:
    """An answer that is fed with bytes as they come.

    `status` is 0 until the whole head was fed. Each feed() returns the bytes of the body that became known by it. `done` tells that the
    answer is whole.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: Dict[str, str] = {}
        """By name in lower case."""
        self.done = False
        self._pending = b""
        self._left: Optional[int] = None  # bytes of the body, or of its chunk; None: as many as come
        self._chunked = False
        self._chunk_end = False  # the line end behind a chunk is next
        self._trailer = False

    def feed(self, data: bytes) -> bytes:
        """Takes bytes of the connection. Raises ProtocolError if they are not an answer."""
        self._pending += data
        while not self.status:
            if not self._read_head():
                return b""
        return self._read_chunks() if self._chunked else self._read_plain()

    def end(self) -> bool:
        """The connection ended: whether the answer is whole."""
        if self.status and not self._chunked and self._left is None:
            self.done = True
        return self.done

    def _line(self) -> Optional[str]:
        line, found, rest = self._pending.partition(b"\r\n")
        if not found:
            if len(self._pending) > _HEAD_MOST:
                raise ProtocolError("the answer is not HTTP: it has an endless line")
            return None
        self._pending = rest
        return line.decode("latin-1")

    def _read_head(self) -> bool:
        """Whether the head is whole. That of an interim answer (1xx) is skipped."""
        head, found, rest = self._pending.partition(b"\r\n\r\n")
        if not self._pending.startswith(b"HTTP/1."[: len(self._pending)]):
            raise ProtocolError(f"the answer is not HTTP: {self._pending[:40]!r}")
        if not found:
            if len(self._pending) > _HEAD_MOST:
                raise ProtocolError("the answer is not weftd's: its head is endless")
            return False
        self._pending = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or len(words[1]) != 3 or not _DIGITS.issuperset(words[1]):
            raise ProtocolError(f"the answer has no status: {first!r}")
        status = int(words[1])
        if status < 200:
            return True
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                raise ProtocolError(f"the answer has a malformed header: {line!r}")
            self.headers[name.lower()] = value.strip(" \t")
        self.status = status
        self._begin_body()
        return True

    def _begin_body(self) -> None:
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._left = 0
        elif "transfer-encoding" in self.headers:
            if self.headers["transfer-encoding"].lower() != "chunked":
                raise ProtocolError(f"the answer is encoded: {self.headers['transfer-encoding']!r}")
            self._chunked = True
        elif length is not None:
            if not length or not _DIGITS.issuperset(length):
                raise ProtocolError(f"the answer has a malformed length: {length!r}")
            self._left = int(length)

    def _read_plain(self) -> bytes:
        body = self._pending if self._left is None else self._pending[: self._left]
        self._pending = self._pending[len(body) :]
        if self._left is not None:
            self._left -= len(body)
            self.done = self._left == 0
        return body

    def _read_chunks(self) -> bytes:
        body = b""
        while not self.done:
            if self._left:
                piece = self._pending[: self._left]
                self._pending = self._pending[len(piece) :]
                self._left -= len(piece)
                self._chunk_end = not self._left
                body += piece
                if self._left:
                    break
            line = self._line()
            if line is None:
                break
            self._read_chunk_line(line)
        return body

    def _read_chunk_line(self, line: str) -> None:
        """A line between chunks: the end of the former, the length of the next, or the trailer."""
        if self._chunk_end:
            if line:
                raise ProtocolError("the answer has a chunk that is too long")
            self._chunk_end = False
        elif self._trailer:
            self.done = not line
        else:
            size = line.partition(";")[0].strip()
            if not size or not _HEX.issuperset(size):
                raise ProtocolError(f"the answer has a malformed chunk: {line[:40]!r}")
            self._left = int(size, 16)
            self._trailer = not self._left
