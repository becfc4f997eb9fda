# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands on a terminal of their own, and the lines that a person sees there."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from .wait import PATIENCE, TimedOut, readable

# Colours, the cursor's moves, the screen's modes.
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program on a terminal; `popen` starts it, as subprocess.Popen or host.popen do."""

    def __init__(self, popen, argv, columns=80, lines=24, env=None):
        self.master, slave = pty.openpty()
        self.child = None
        try:
            self.resize(columns, lines)
            self.child = popen(
                argv,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", "NO_COLOR": "", **(env or {})},
            )
        except BaseException:
            os.close(self.master)
            raise
        finally:
            os.close(slave)
        self.raw = ""

    def resize(self, columns, lines=24):
        """Gives it another size. It is not the program's controlling terminal, so the kernel sends it no signal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if self.child:
            self.child.send_signal(signal.SIGWINCH)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def read(self, until=None, timeout=PATIENCE):
        """Reads until UNTIL (a function of all output so far, or a text in it) or the end; returns the output so far."""
        met = until if callable(until) else lambda text: until is not None and until in text
        deadline = time.monotonic() + timeout
        while not met(self.raw):
            if not readable(self.master, max(0, deadline - time.monotonic())):
                raise TimedOut(f"not within {timeout} s on the terminal; so far:\n{self.text()}")
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # the other end is closed
                piece = b""
            if not piece:
                assert until is None, f"the program ended before; its output:\n{self.text()}"
                break
            self.raw += piece.decode(errors="replace")
        return self.raw

    def text(self):
        """All output so far, without escape sequences."""
        return _ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    def screen(self):
        """The last page of a program that draws whole ones, each after the home position."""
        return _ESCAPE.sub("", self.raw.rsplit("\x1b[H", 1)[-1]).replace("\r\n", "\n")

    def finish(self):
        """Awaits the program's end and returns its exit status."""
        self.read()
        return self.child.wait(timeout=PATIENCE)

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.master)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def width(line):
    """How many columns LINE takes."""
    wide = sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in line)
    return wide - sum(1 for one in line if unicodedata.combining(one))


def too_wide(text, columns):
    """The lines of TEXT that are wider than a screen of COLUMNS."""
    return [line for line in text.splitlines() if width(line) > columns]


def squeezed(text):
    return re.sub(r"\s+", "", text)


def is_shown(text, value):
    """Whether VALUE is in TEXT: whole, perhaps on several lines, or its beginning with an ellipsis."""
    return squeezed(value) in squeezed(text) or any(value[:end] + "\u2026" in text for end in range(len(value) - 1, 2, -1))
