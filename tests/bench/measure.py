# SPDX-License-Identifier: GPL-2.0-or-later
"""Readings from processes and the kernel (processor time, memory, descriptors), and the client that makes load."""

import contextlib
import os
import resource
import signal
import statistics
import subprocess

from harness.daemon import build_dir

_TICK = os.sysconf("SC_CLK_TCK")

# Slab caches of sockets, files and processes. Others (kmalloc's) serve the whole kernel: the rest of the machine's use would
# drown a connection's share.
_CACHES = {
    *("TCP", "TCPv6", "request_sock_TCP", "tw_sock_TCP", "tcp_bind_bucket", "tcp_bind2_bucket", "sock_inode_cache", "nf_conntrack"),
    *("dentry", "filp", "lsm_file_cache", "lsm_inode_cache", "eventpoll_epi", "eventpoll_pwq", "ep_head"),
    *("skbuff_head_cache", "skbuff_fclone_cache", "skbuff_small_head"),
    *("task_struct", "mm_struct", "vm_area_struct", "vma_lock", "anon_vma", "anon_vma_chain", "maple_node", "files_cache"),
    *("fs_cache", "signal_cache", "sighand_cache", "cred", "cred_jar", "pid"),
}

# kmalloc holds a pipe's own structures: one of 192 bytes, and 16 slots of 40, which come as 1 KiB.
PIPE_KIB = (192 + 1024) / 1024


def median(values):
    return statistics.median(values) if values else None


def spread(values):
    """The distance between the extremes, as a share of the median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def percentile(values, share):
    """The smallest value that is at least as large as SHARE (0 to 1) of VALUES."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(-(-share * len(ordered) // 1)) - 1))]


def _children(pid):
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                for child in file.read().split():
                    found += [int(child), *_children(child)]
    return found


class Processes:
    """A forwarder as a user runs it: some processes and their current children."""

    def __init__(self, pids):
        self.roots = list(pids)

    def pids(self):
        return [one for root in self.roots for one in (root, *_children(root))]

    def cpu_seconds(self):
        """Time on a processor, in user mode and in the kernel, including ended children."""
        total = 0.0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                        total += int(file.read().split()[0]) / 1e9
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                total += (int(fields[13]) + int(fields[14])) / _TICK
        return total

    def memory_kib(self):
        """Proportional set size: memory that processes share counts once among them."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        return total

    def descriptors(self):
        """(all descriptors, those that are pipes)."""
        count = pipes = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    count += 1
                    with contextlib.suppress(OSError):
                        pipes += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("pipe:")
        return count, pipes


def kernel_memory_kib():
    """The kernel's memory for sockets, files and processes: objects in slab caches, kernel stacks, page tables, and pages of
    data in TCP's queues. Pipes come on top, by PIPE_KIB."""
    total = 0
    with open("/proc/slabinfo", encoding="ascii") as file:
        for line in file:
            fields = line.split()
            if fields[0] in _CACHES:
                total += int(fields[1]) * int(fields[3])
    total //= 1024
    with open("/proc/meminfo", encoding="ascii") as file:
        total += sum(int(line.split()[1]) for line in file if line.startswith(("KernelStack:", "PageTables:")))
    with open("/proc/net/sockstat", encoding="ascii") as file:
        words = next(line for line in file if line.startswith("TCP:")).split()
        total += int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return total


def raise_descriptor_limit(wanted=65536):
    """Raises this process's limit, and so its children's, as far as the machine allows. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (max(wanted, hard), hard):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return limit
    return hard


class LoadFailed(RuntimeError):
    """The client could not do its work; the text is its output."""


def _values(line):
    return {name: float(value) for name, value in (pair.split("=") for pair in line.split())}


def load(namespace, *arguments, head="", limit=40):
    """Runs tests/forwarder/load in NAMESPACE, HEAD in its requests, and returns its figures by name."""
    argv = [os.path.join(build_dir(), "tests/forwarder/load"), *map(str, arguments)]
    try:
        done = namespace.run(argv, check=False, timeout=limit, env={**os.environ, "LOAD_HEAD": head})
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"load {' '.join(argv[1:])}: not done within {limit} s") from None
    if done.returncode and "rate=" not in done.stdout:
        raise LoadFailed(f"load {' '.join(argv[1:])}: {done.stderr.strip()}")
    return _values(done.stdout)


def terminate(process, limit=10):
    """Ends a child process of ours, and waits for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
