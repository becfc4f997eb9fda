# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a condition. Tests never sleep a fixed time."""

import os
import select
import time

# Seconds: far more than any awaited step takes on a busy machine, under sanitizers. Only a failure waits so long.
PATIENCE = 30.0

# The same for one of several attempts.
ATTEMPT = 10.0


class TimedOut(AssertionError):
    """A condition was not met in time; the text names it, and the last state seen."""


def poll_until(condition, timeout=PATIENCE, what=None, interval=0.01):
    """Calls CONDITION until its result is true, and returns that. WHAT: a text, or a function that describes the current state."""
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
    """Calls ATTEMPT again when it times out, and returns its result: for steps that a busy machine may spoil now and then.

    Packets above all, which nobody sends again: all veths of a CPU share one short queue, and it drops the excess.
    """
    for left in reversed(range(times)):
        try:
            return attempt()
        except (TimedOut, TimeoutError):
            if not left:
                raise


def one_of(times, measured, is_right):
    """The first result of MEASURED for which IS_RIGHT is true, of at most TIMES calls; fails with all results if none is.

    For speed and promptness on a machine that sometimes stalls: a real fault shows in every call.
    """
    seen = []
    while not seen or not is_right(seen[-1]):
        assert len(seen) < times, f"none of {seen}"
        seen.append(measured())
    return seen[-1]


def readable(fd, timeout):
    """Whether FD becomes readable, or reaches its end, within TIMEOUT seconds."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


class Lines:
    """A child's lines, each awaited with a deadline, without a thread or another layer of buffering."""

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
