# SPDX-License-Identifier: GPL-2.0-or-later
"""A connection that is never idle. It proves that nothing cut it, lost a byte or altered one during another event."""

import threading
import time
import zlib

from .wait import PATIENCE, poll_until

_CHUNK = 16384
_PATTERN = bytes((j * 31 + (j >> 8)) & 255 for j in range(65521)) * 3


class Flow:
    """Sends a pattern to an echo server without end, and compares every byte that returns."""

    def __init__(self, connection):
        self.connection = connection
        self.connection.settimeout(2 * PATIENCE)  # longer than check() waits: a silent connection must not end by itself
        self.bytes = 0
        self.longest_gap = 0.0
        self._problem = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _receive(self, length):
        got = b""
        while len(got) < length:
            more = self.connection.recv(length - len(got))
            if not more:
                raise ConnectionError("the echo server closed")
            got += more
        return got

    def _run(self):
        sent = received = 0
        last = time.monotonic()
        try:
            while not self._stop.is_set():
                start = self.bytes % 65521
                chunk = _PATTERN[start : start + _CHUNK]
                self.connection.sendall(chunk)
                sent = zlib.crc32(chunk, sent)
                received = zlib.crc32(self._receive(len(chunk)), received)
                if sent != received:
                    raise ValueError(f"wrong bytes came back, around byte {self.bytes}")
                self.bytes += len(chunk)
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - last)
                last = now
                self._stop.wait(0.002)  # a steady trickle, as others use the machine too
        except (OSError, ValueError) as error:
            self._problem = error

    def check(self, timeout=PATIENCE):
        """Fails unless bytes still move within TIMEOUT, all correct so far."""
        before = self.bytes
        poll_until(lambda: self._problem or self.bytes > before + _CHUNK, timeout, what="a flow to move")
        assert not self._problem, f"after {self.bytes} bytes: {self._problem!r}"

    def problem(self):
        """The error that ended it, or None while it runs."""
        return self._problem

    def close(self, timeout=PATIENCE):
        """Closes it; fails if any byte was lost."""
        self.check(timeout)
        self._stop.set()
        self._thread.join(3 * PATIENCE)
        self.connection.close()
        assert not self._problem, f"after {self.bytes} bytes: {self._problem!r}"
