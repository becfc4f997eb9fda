# SPDX-License-Identifier: GPL-2.0-or-later
"""Shortages made for a running daemon, each a context that ends with the shortage.

Some the kernel makes: descriptors by a limit, socket buffers through a copy of the descriptor, disk by a full file system. Others
are made by tests/faults/faults.so, which fails calls of the daemon at a chance that may change while it runs.
"""

import contextlib
import ctypes
import itertools
import mmap
import os
import resource
import socket
import struct

from .daemon import SANITIZER_OPTIONS, build_dir
from .wait import poll_until

MEMORY, THREADS, NETLINK = range(3)  # tests/faults/faults.h: enum fault
CERTAIN = 65536

_SO_RCVBUFFORCE = 33
_PIDFD_GETFD = 438  # the system call's number, the same on all of Linux's newer ports

_libc = ctypes.CDLL(None, use_errno=True)


class Faults:
    """The page by which faults.so is commanded. prepare() the daemon before its start."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "faults")
        with open(self.path, "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(self.path, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def prepare(self, daemon):
        daemon.environment |= {
            "WEFT_FAULTS": self.path,
            "LD_PRELOAD": os.path.join(build_dir(), "tests/faults/faults.so"),
            "ASAN_OPTIONS": SANITIZER_OPTIONS["ASAN_OPTIONS"] + ":verify_asan_link_order=0",
        }

    def met(self, fault):
        """How often the daemon has met it so far."""
        return struct.unpack_from("=I", self._page, 8 * fault + 4)[0]

    def set(self, fault, chance):
        struct.pack_into("=I", self._page, 8 * fault, round(chance * CERTAIN))

    @contextlib.contextmanager
    def on(self, fault, chance=1.0):
        """CHANCE: how many of the calls fail, 0 to 1."""
        self.set(fault, chance)
        try:
            yield
        finally:
            self.set(fault, 0)

    def close(self):
        self._page.close()


@contextlib.contextmanager
def few_descriptors(daemon, left=1):
    """The running daemon may have LEFT more descriptors than it has now. It may take await_limit() until it knows of the end."""
    pid = daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # A new descriptor gets the lowest free number, and that must be below the limit.
    used = daemon.fds()
    free = (number for number in range(before[0]) if number not in used)
    limit = next(itertools.islice(free, left, None), before[0])
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def await_limit(daemon):
    """Waits until the daemon knows its limit of descriptors, which it looks at once a second."""
    limit = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)[0]
    poll_until(lambda: daemon.api.metrics()["process_max_fds"] == limit, what=f"weftd to learn of {limit} descriptors")


def _copy_of(pid, fd):
    """A descriptor of this process for the same open file."""
    pidfd = os.pidfd_open(pid)
    try:
        copy = _libc.syscall(_PIDFD_GETFD, pidfd, fd, 0)
        if copy < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), "pidfd_getfd")
        return copy
    finally:
        os.close(pidfd)


def netlink_sockets(daemon):
    """The daemon's netlink sockets, as sockets of this process."""
    found = []
    for fd, target in daemon.fds().items():
        if not target.startswith("socket:"):
            continue
        with contextlib.suppress(OSError):
            one = socket.socket(fileno=_copy_of(daemon.pid, fd))
            if one.family == socket.AF_NETLINK:
                found.append(one)
            else:
                one.close()
    return found


@contextlib.contextmanager
def small_netlink_buffers(daemon):
    """The netlink sockets that it has open get the smallest buffers, in which hardly one message fits."""
    sockets = netlink_sockets(daemon)
    assert sockets, "the daemon has no netlink socket"
    sizes = [one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for one in sockets]
    try:
        for one in sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        yield
    finally:
        for one, size in zip(sockets, sizes):
            one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size // 2)  # the kernel doubles it
            one.close()


@contextlib.contextmanager
def full_disk(folder):
    """FOLDER, on a small file system of the test's, has no byte left."""
    path = os.path.join(folder, "filler")
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        yield
    finally:
        os.unlink(path)


@contextlib.contextmanager
def no_inodes(folder):
    """FOLDER, on a small file system of the test's, has no inode left."""
    made = []
    try:
        with contextlib.suppress(OSError):
            while True:
                path = os.path.join(folder, f"filler-{len(made)}")
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                made.append(path)
        yield
    finally:
        for path in made:
            os.unlink(path)
