# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader of the daemon's log that can stand still: the log goes through a small pipe and then to the file."""

import contextlib
import fcntl
import os
import threading

_F_SETPIPE_SZ = 1031
_ROOM = 4096  # bytes: the smallest pipe


class LogPipe:
    """Carries what DAEMON logs, in this and its later runs, until close()."""

    def __init__(self, daemon):
        self._path = daemon.log_path
        self._reading, daemon.log_fd = os.pipe()
        self._writing = daemon.log_fd
        fcntl.fcntl(self._reading, _F_SETPIPE_SZ, _ROOM)
        self._going = threading.Event()
        self._going.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with open(self._path, "ab", buffering=0) as log:
            while chunk := os.read(self._reading, _ROOM):
                log.write(chunk)
                self._going.wait()

    @contextlib.contextmanager
    def standing_still(self):
        """Nothing is read within this context but a last piece."""
        self._going.clear()
        try:
            yield
        finally:
            self._going.set()

    def close(self):
        """After the daemon's end: all that it logged is then in the file."""
        self._going.set()
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)
