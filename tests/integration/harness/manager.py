# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for systemd: takes a service's notifications, keeps the descriptors it stores, and passes them to its next run."""

import array
import contextlib
import os
import resource
import socket
import subprocess
import threading

from .wait import PATIENCE, poll_until

MOST = 253  # SCM_MAX_FD: the kernel's limit of descriptors in one message

# LISTEN_PID must be the pid of the program itself. The shell execs the program, so its own pid is right.
_EXEC = 'export LISTEN_PID="${PID:-$$}"; exec "$@"'


def _place(fds):
    """Moves FDS to 3 and up, and closes all others above 2. For a child before its exec."""
    now = {fd: index for index, fd in enumerate(fds)}  # current descriptor: place
    for index, fd in enumerate(fds):
        target = 3 + index
        if target == fd:
            os.set_inheritable(fd, True)
            continue
        if target in now:
            # Another descriptor has this number: move that one away.
            other = now.pop(target)
            fds[other] = os.dup(target)
            now[fds[other]] = other
            fd = fds[index]
        os.dup2(fd, target)
        os.close(fd)
        del now[fd]
        now[target] = index
    os.closerange(3 + len(fds), resource.getrlimit(resource.RLIMIT_NOFILE)[0])


class Manager:
    """Listens on FOLDER/notify. `messages` are [(fields, number of descriptors)], `stored` the descriptors by name."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.messages = []
        self.stored = []  # (name, descriptor)
        self.keeps = True  # False: as with FileDescriptorStoreMax=0
        self.before = []  # a command by which daemons are started
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._limits[1], self._limits[1]))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._settled = threading.Event()
        self._slow = None  # a word: messages with it wait for _go
        self._arrived = threading.Event()  # one of them
        self._go = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 1024))
            except OSError:
                return
            if data == b"end":
                return
            if data == b"settle":
                self._settled.set()
                continue
            assert not flags & socket.MSG_CTRUNC
            fds = array.array("i")
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds.frombytes(content)
            self._take(dict(line.split("=", 1) for line in data.decode().splitlines()), list(fds))

    def _take(self, fields, fds):
        if self._slow in fields:
            self._arrived.set()
            self._go.wait(PATIENCE)
        self.messages.append((fields, len(fds)))
        if "FDSTORE" in fields and self.keeps:
            self.stored += [(fields.get("FDNAME", "stored"), fd) for fd in fds]
            return
        if "FDSTOREREMOVE" in fields:
            for _, fd in (one for one in self.stored if one[0] == fields["FDNAME"]):
                os.close(fd)
            self.stored = [one for one in self.stored if one[0] != fields["FDNAME"]]
        for fd in fds:
            os.close(fd)  # a barrier's too: its sender waits for this

    def _tell(self, word):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(word, self.path)

    def settle(self):
        """Waits until everything sent so far is read: a service that died may have sent much at the last moment."""
        self._settled.clear()
        self._tell(b"settle")
        assert self._settled.wait(PATIENCE), "the manager's thread did not read all messages"

    @contextlib.contextmanager
    def slow(self, key):
        """In the context nothing is done about messages with KEY, nor about those after them. Yields what waits for the first."""
        self._go.clear()
        self._arrived.clear()
        self._slow = key
        try:
            yield lambda: self._arrived.wait(PATIENCE)
        finally:
            self._slow = None
            self._go.set()

    def said(self, key, value="1"):
        return any(fields.get(key) == value for fields, _ in self.messages)

    def count(self, key):
        """How many messages so far have KEY."""
        return sum(key in fields for fields, _ in self.messages)

    def spawn(self, daemon, fds=None, pid=None, watchdog=None):
        """Starts DAEMON with the stored descriptors, or FDS, as 3 and up. PID: a LISTEN_PID other than its own.

        WATCHDOG: the seconds without food that a watchdog would allow it.
        """
        self.settle()
        handed = list(fds if fds is not None else (fd for _, fd in self.stored))
        names = ":".join(name for name, _ in self.stored) if fds is None else ":".join(["other"] * len(handed))
        environment = daemon.whole_environment() | {"NOTIFY_SOCKET": self.path}
        if handed:
            environment |= {"LISTEN_FDS": str(len(handed)), "LISTEN_FDNAMES": names}
        if pid:
            environment["PID"] = str(pid)
        if watchdog:
            environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        with daemon.log_output() as log:
            daemon.process = subprocess.Popen(
                [*daemon.host.enter_arguments(), "sh", "-c", _EXEC, "sh", *self.before, *daemon.command("--foreground")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                close_fds=False,
                preexec_fn=lambda: _place(handed),
            )

    def start(self, daemon, fds=None, pid=None, watchdog=None):
        """As spawn(), and waits for READY=1, and until its sandboxes are adopted."""
        self.settle()
        self.messages.clear()
        self.spawn(daemon, fds, pid, watchdog)

        def ready():
            assert daemon.process.poll() is None, daemon.log_tail()
            return self.said("READY")

        poll_until(ready, 60, what=daemon.log_tail)
        return daemon.await_running()

    def close(self):
        self._tell(b"end")
        self._thread.join()
        self._socket.close()
        for _, fd in self.stored:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
