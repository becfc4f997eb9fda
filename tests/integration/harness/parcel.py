# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections that weftd left in the stand-in service manager's store, to be looked at and damaged: src/daemon/fd_parcel.h."""

import contextlib
import fcntl
import os
import socket
import struct

from .manager import MOST

NAME = "weft-connections"
_HEADER = struct.Struct("<8sHHHHQQIIII")  # src/daemon/fd_queue.c
_MAGIC, _FORMAT, _KIND, _BURDEN = b"weft-fds", 1, 2, 1
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_QUEUE_BYTES = 1 << 20


def _checksum(data):
    total = 2166136261
    for byte in data:
        total = ((total ^ byte) * 16777619) & 0xFFFFFFFF
    return total


def _header(connections, total, index, count):
    data = _HEADER.pack(_MAGIC, _FORMAT, _KIND, index, count, 7, connections, 0, total, 0, 0)[:-4]
    return data + struct.pack("<I", _checksum(data))


def is_there(manager):
    return any(name == NAME for name, _ in manager.stored)


def drop(manager):
    """As a service manager whose unit is not started again."""
    for name, fd in manager.stored:
        if name == NAME:
            os.close(fd)
    manager.stored = [one for one in manager.stored if one[0] != NAME]


class Parcel:
    """Takes the one parcel out of MANAGER's store, without its burden. `record` and `fds` may be changed; put() stores it again."""

    def __init__(self, manager):
        self.manager = manager
        (queue,) = [fd for name, fd in manager.stored if name == NAME]
        every = []
        with socket.socket(fileno=os.dup(queue)) as receiver, contextlib.suppress(BlockingIOError):
            while True:
                data, fds, _, _ = socket.recv_fds(receiver, 4096, MOST, socket.MSG_DONTWAIT)
                if not data:
                    break
                header = _HEADER.unpack(data)
                if header[2] == _BURDEN:
                    for fd in fds:
                        os.close(fd)
                    continue
                self.connections = header[6]
                every += fds
        drop(manager)
        self.memory, self.fds = every[0], every[1:]
        self.record = os.pread(self.memory, os.fstat(self.memory).st_size, 0)

    def put(self, seals=_SEALS, change=lambda data: data, messages=None):
        """CHANGE: what becomes of each message's bytes. MESSAGES: how many are sent, if not all."""
        with contextlib.closing(os.fdopen(os.memfd_create("parcel", os.MFD_ALLOW_SEALING), "wb")) as memory:
            memory.write(self.record)
            memory.flush()
            fcntl.fcntl(memory.fileno(), fcntl.F_ADD_SEALS, seals)
            every = [memory.fileno(), *self.fds]
            sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _QUEUE_BYTES)
            with sender:
                for index, start in list(enumerate(range(0, len(every), MOST)))[:messages]:
                    part = every[start : start + MOST]
                    socket.send_fds(sender, [change(_header(self.connections, len(every), index, len(part)))], part)
            self.manager.stored.append((NAME, receiver.detach()))
        self.close()

    def close(self):
        for fd in (self.memory, *self.fds):
            os.close(fd)
        self.fds = []
