# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for what must become so. Tests never sleep a fixed time."""

import os
import select
import time

# Seconds: far beyond what anything takes that others wait for, on a busy machine and under sanitizers. Only a failure waits so long.
PATIENCE = 30.0

# The same for one of several attempts.
ATTEMPT = 10.0


class TimedOut(AssertionError):
    """A condition did not come about; the text says which, and what was seen last."""


def poll_until(condition, timeout=PATIENCE, what=None, interval=0.01):
    """Calls CONDITION until its result is true, and returns that. WHAT: a text, or a function that says what is seen now."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            seen = what() if callable(what) else what or getattr(condition, "__name__", "condition")
            raise TimedOut(f"not within {timeout} s: {seen}")
        time.sleep(interval)


def tried(attempt, times=3):
    """The result of ATTEMPT, which is made again when it times out: for what a busy machine may spoil now and then.

    For packets above all that nobody sends again: the queue that all the veths of a CPU share is short, and drops what does not fit.
    """
    for left in reversed(range(times)):
        try:
            return attempt()
        except (TimedOut, TimeoutError):
            if not left:
                raise


def one_of(times, measured, is_right):
    """The first result of MEASURED that IS_RIGHT, of TIMES calls at most; fails with all of them if none is.

    For what is prompt, or as fast as it should be, but where the machine stands still: what is wrong is so each time.
    """
    seen = []
    while not seen or not is_right(seen[-1]):
        assert len(seen) < times, f"none of {seen}"
        seen.append(measured())
    return seen[-1]


def readable(fd, timeout):
    """Whether FD has something to read, or its end, within TIMEOUT seconds."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


class Lines:
    """Lines that a child prints, each waited for no longer than a deadline. No thread, no buffering in between."""

    def __init__(self, stream):
        self.fd = stream.fileno()
        self.pending = b""

    def next(self, timeout=PATIENCE):
        """The next line without its end; None at the end of the stream."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0 or not readable(self.fd, left):
                raise TimedOut(f"no line within {timeout} s; so far {self.pending!r}")
            chunk = os.read(self.fd, 65536)
            if not chunk:
                return None
            self.pending += chunk
        line, self.pending = self.pending.split(b"\n", 1)
        return line.decode(errors="replace")
