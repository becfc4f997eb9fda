# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces from Python: sockets made inside them, and commands run inside them."""

import ctypes
import json
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY

from .wait import PATIENCE

CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), "setns")


def enter(path):
    """Takes the calling thread into the namespace at PATH, for the rest of its life."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd)
    finally:
        os.close(fd)


def inside(path, function):
    """Calls FUNCTION in a thread of its own in the namespace at PATH, and returns its result.

    The thread ends with the call, so that no other code ever runs in the wrong namespace.
    """
    result = []

    def body():
        try:
            enter(path)
            result.append((function(), None))
        except BaseException as error:  # pylint: disable=broad-except
            result.append((None, error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    value, error = result[0]
    if error:
        raise error
    return value


@dataclass(frozen=True)
class Bound:
    """A TCP socket that listens, or a UDP socket that is bound."""

    protocol: str
    family: int  # 4 or 6
    address: str  # as /proc/net has it: hexadecimal, each word in the machine's order
    port: int
    inode: int


def _bound_sockets():
    found = []
    for protocol, state in (("tcp", "0A"), ("udp", "07")):
        for family, suffix in ((4, ""), (6, "6")):
            with open(f"/proc/thread-self/net/{protocol}{suffix}", encoding="ascii") as file:
                for line in list(file)[1:]:
                    fields = line.split()
                    if fields[3] == state:
                        address, port = fields[1].split(":")
                        found.append(Bound(protocol, family, address, int(port, 16), int(fields[9])))
    return found


class Namespace:
    """A network namespace, by the path of its file as this process sees it."""

    def __init__(self, path, name=None):
        self.path = str(path)
        self.name = name or self.path

    def enter_arguments(self):
        return ["nsenter", f"--net={self.path}", "--"]

    def popen(self, argv, **options):
        """As subprocess.Popen, inside. The child's pid is the command's own, as nsenter execs it."""
        return subprocess.Popen([*self.enter_arguments(), *map(str, argv)], **options)

    def run(self, argv, check=True, timeout=60, **options):
        """As subprocess.run inside, with text captured. A failure reports the command's output."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        done = subprocess.run(
            [*self.enter_arguments(), *map(str, argv)], check=False, timeout=timeout, text=True, **options
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def output(self, argv, **options):
        return self.run(argv, **options).stdout

    def json(self, argv, **options):
        """The output of a command that prints JSON; no output counts as an empty list, as from `ip -j`."""
        return json.loads(self.output(argv, **options) or "[]")

    def socket(self, family=AF_INET, kind=SOCK_STREAM, proto=0, timeout=PATIENCE):
        """A socket that belongs to this namespace."""
        made = inside(self.path, lambda: socket.socket(family, kind, proto))
        made.settimeout(timeout)
        return made

    def connect(self, host, port, timeout=PATIENCE, source=None):
        """A connected TCP socket with TCP_NODELAY. HOST is a literal address, IPv4 or IPv6."""
        family = AF_INET6 if ":" in host else AF_INET
        made = self.socket(family, timeout=timeout)
        try:
            made.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            if source:
                made.bind((source, 0))
            made.connect((host, port))
        except BaseException:
            made.close()
            raise
        return made

    def listen(self, port, host="", family=AF_INET, backlog=1024, timeout=PATIENCE):
        """A listening TCP socket; port 0 for any."""
        made = self.socket(family, timeout=timeout)
        try:
            made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            made.bind((host, port))
            made.listen(backlog)
        except BaseException:
            made.close()
            raise
        return made

    def bound_sockets(self):
        return inside(self.path, _bound_sockets)

    def links(self):
        """{name: the link's object of `ip -d -j link`}."""
        return {link["ifname"]: link for link in self.json(["ip", "-d", "-j", "link", "show"])}

    def carrier(self, link):
        """Whether LINK has carrier. A TAP has it while a process has it open."""
        return "LOWER_UP" in self.links()[link]["flags"]

    def nft(self):
        """The ruleset without its counters' values."""
        return self.output(["nft", "-s", "list", "ruleset"])
