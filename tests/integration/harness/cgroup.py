# SPDX-License-Identifier: GPL-2.0-or-later
"""A cgroup of the test's own, and a bpffs, both mounted in the mount namespace of the test's host.

A cgroup2 that is mounted anew shows the machine's one hierarchy, so a test makes a child of the root there, moves itself in, and binds
that child to where a host has its hierarchy. The daemon under test then finds it by itself, attaches its programs to it, and touches no
process but the test's own: those that the test starts, and the sockets that it makes.
"""

import contextlib
import ctypes
import glob
import os
import platform
import socket
import struct
from dataclasses import dataclass

from .netns import inside
from .wait import poll_until

UNIFIED = "/sys/fs/cgroup/unified"  # where hosts with both versions of cgroups have the second
BPFFS = "/sys/fs/bpf"

# The first hides the machine's mounts. `whole` is gone once the test holds it open.
_MOUNT = f"""
set -e
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/whole {UNIFIED}
mount -t cgroup2 cgroup2 /sys/fs/cgroup/whole
"""
_PREFIX = "weft-loopback-"  # other tests remove cgroups with other names

_SYSCALL = {"x86_64": 321, "aarch64": 280}
_MAP_GET_NEXT_KEY, _OBJ_GET, _PROG_QUERY, _LINK_DETACH = 4, 7, 16, 34
_TYPES = {
    **{"connect4": 10, "connect6": 11, "sendmsg4": 14, "sendmsg6": 15, "recvmsg4": 19, "recvmsg6": 20},
    **{"getpeername4": 29, "getpeername6": 30, "getsockname4": 31, "getsockname6": 32},
}

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command, attributes):
    """The system call; returns its result. ATTRIBUTES is a ctypes buffer."""
    result = _libc.syscall(_SYSCALL[platform.machine()], command, attributes, len(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), f"bpf command {command}")
    return result


def _open(path):
    """A descriptor of what is pinned at PATH."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return _bpf(_OBJ_GET, ctypes.create_string_buffer(struct.pack("QII", ctypes.addressof(name), 0, 0), 16))


def _keys(path):
    """All keys of the map that is pinned at PATH."""
    fd = _open(path)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            size = next(int(line.split()[1]) for line in file if line.startswith("key_size"))
        found, key, following = [], None, ctypes.create_string_buffer(size)
        while True:
            where = ctypes.addressof(key) if key else 0
            asked = struct.pack("IIQQQ", fd, 0, where, ctypes.addressof(following), 0)
            try:
                _bpf(_MAP_GET_NEXT_KEY, ctypes.create_string_buffer(asked, len(asked)))
            except FileNotFoundError:
                return found
            found.append(following.raw)
            key = ctypes.create_string_buffer(following.raw, size)
    finally:
        os.close(fd)


def pins(host):
    """Paths of all that is pinned in the bpffs of HOST's own, if it has one."""
    root = host.file(BPFFS)
    return sorted(path.removeprefix(root) for path in glob.glob(f"{root}/**", recursive=True) if path.rstrip("/") != root)


class Cgroup:
    """The test's cgroup. PATH is the one that the host's processes see. Unless ENTER is false, the test's process is in it."""

    path = UNIFIED

    def __init__(self, host, enter=True):
        self.host = host
        host.run(["sh", "-c", _MOUNT])
        self._whole = os.open(host.file("/sys/fs/cgroup/whole"), os.O_PATH | os.O_DIRECTORY)
        self._sweep()
        taken = len(glob.glob(f"{self._beneath('')}{_PREFIX}{os.getpid()}-*"))
        self.name = f"{_PREFIX}{os.getpid()}-{taken}"
        os.mkdir(self._beneath(self.name))
        with open("/proc/self/cgroup", encoding="ascii") as file:
            self._home = next(line.strip()[3:] for line in file if line.startswith("0::"))
        host.run(["mount", "--bind", f"/sys/fs/cgroup/whole/{self.name}", UNIFIED])
        host.run(["umount", "-l", "/sys/fs/cgroup/whole"])
        host.run(["mount", "-t", "bpf", "bpf", BPFFS])
        self.place = self.name if enter else self._home
        self._move(self.place, os.getpid())

    def _beneath(self, name):
        return f"/proc/self/fd/{self._whole}/{name.lstrip('/')}"

    def _move(self, name, pid):
        with open(f"{self._beneath(name)}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(f"{pid}\n")

    def _sweep(self):
        """Removes what tests that were killed have left."""
        for path in glob.glob(f"{self._beneath('')}{_PREFIX}*"):
            if not os.path.exists(f"/proc/{path.rsplit('-', 2)[1]}"):
                with contextlib.suppress(OSError):
                    os.rmdir(path)

    @contextlib.contextmanager
    def _at(self, name):
        before, self.place = self.place, name
        self._move(name, os.getpid())
        try:
            yield
        finally:
            self.place = before
            self._move(before, os.getpid())

    def outside(self):
        """For the time of the context the test is where it was before, and so are the sockets that it makes."""
        return self._at(self._home)

    def inside(self, name=""):
        """For the time of the context the test is in the cgroup, or in its child NAME."""
        return self._at(f"{self.name}/{name}")

    def child(self, name):
        """Makes a cgroup in this one, for a daemon that is to be told of it. Returns its path in the host."""
        os.mkdir(f"{self._beneath(self.name)}/{name}")
        return f"{UNIFIED}/{name}"

    def programs(self, name=""):
        """{hook: how many programs are attached} here or in the child NAME, of those that have any."""
        fd = os.open(f"{self._beneath(self.name)}/{name}", os.O_RDONLY | os.O_DIRECTORY)
        found = {}
        try:
            for hook, number in _TYPES.items():
                room = (ctypes.c_uint32 * 64)()
                asked = ctypes.create_string_buffer(struct.pack("IIIIQII", fd, number, 0, 0, ctypes.addressof(room), 64, 0), 32)
                _bpf(_PROG_QUERY, asked)
                count = struct.unpack_from("I", asked, 24)[0]
                if count:
                    found[hook] = count
        finally:
            os.close(fd)
        return found

    def detach(self, hook):
        """Detaches weftd's own program by force, as another one on the host may."""
        for path in glob.glob(self.host.file(f"{BPFFS}/weft/*/{hook}")):
            fd = _open(path)
            try:
                _bpf(_LINK_DETACH, ctypes.create_string_buffer(struct.pack("I", fd), 4))
            finally:
                os.close(fd)

    def entries(self):
        """How many entries the programs' map has; none where nothing is pinned."""
        return sum(len(_keys(path)) for path in glob.glob(self.host.file(f"{BPFFS}/weft/*/entries")))

    def close(self):
        """Moves all that still runs in it back, and removes it."""
        here = self._beneath(self.name)

        def removed():
            for path in (*glob.glob(f"{here}/*/cgroup.procs"), f"{here}/cgroup.procs"):
                with open(path, encoding="ascii") as file:
                    for pid in file.read().split():
                        with contextlib.suppress(ProcessLookupError):
                            self._move(self._home, pid)
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.dirname(path))
            return not os.path.exists(here)

        poll_until(removed, what=f"the cgroup {self.name} to be empty")
        os.close(self._whole)


@dataclass(frozen=True)
class Ends:
    """A TCP socket's two addresses as the kernel has them, whatever getsockname() and getpeername() say."""

    own: tuple
    other: tuple


def _address(text):
    words, port = text.split(":")
    raw = b"".join(struct.pack("=I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw), int(port, 16)


def real_ends(namespace, connection):
    """The Ends of CONNECTION, a TCP socket of NAMESPACE; None if it has none any more."""
    inode = str(os.fstat(connection.fileno()).st_ino)

    def look():
        for name in ("tcp", "tcp6"):
            with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
                for line in list(file)[1:]:
                    fields = line.split()
                    if fields[9] == inode:
                        return Ends(_address(fields[1]), _address(fields[2]))
        return None

    return inside(namespace.path, look)
