# SPDX-License-Identifier: GPL-2.0-or-later
"""Stops single threads of a process, which only ptrace(2) can."""

import contextlib
import ctypes
import os

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000  # waitpid(2): __WALL

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) < 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x} of {tid}")


def thread_of(pid, name):
    """The id of the process's thread of that name."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8") as file:
            if file.read().strip() == name:
                return int(tid)
    raise AssertionError(f"{pid} has no thread {name}")


def stop_thread(tid):
    """Has the thread stop, which it does soon."""
    _ptrace(_SEIZE, tid)
    _ptrace(_INTERRUPT, tid)


def let_thread_go(tid):
    """Whether a thread goes on that was told to stop, or has ended; False if it has not stopped yet."""
    with contextlib.suppress(OSError):
        os.waitpid(tid, os.WNOHANG | _WALL)
    try:
        _ptrace(_DETACH, tid)
    except OSError:
        return not os.path.exists(f"/proc/{tid}")
    return True


@contextlib.contextmanager
def thread_stopped(pid, name):
    """In the context the thread of that name stands still, and the others go on."""
    tid = thread_of(pid, name)
    stop_thread(tid)
    os.waitpid(tid, _WALL)
    try:
        yield
    finally:
        let_thread_go(tid)
