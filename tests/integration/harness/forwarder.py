# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder without the daemon (tests/forwarder/host.c), and a hand-made namespace of a sandbox."""

import os
import re
import subprocess
import time

from .daemon import build_dir, sanitized, sanitizer_problem
from .wait import PATIENCE, Lines, one_of, poll_until

GUEST = "169.254.0.21"
SLOW = sanitized()


class Sandbox:
    """A namespace like a sandbox's: tap0 with its address, and the guest as a permanent neighbour."""

    def __init__(self, host, name):
        self.name = name
        self.path = f"/run/netns/{name}"
        host.run(["ip", "netns", "add", name])
        self.netns = host.netns(name)
        for command in (
            "ip link set lo up",
            "ip tuntap add tap0 mode tap vnet_hdr",
            "ip link set tap0 address 02:FC:00:00:00:06 up",
            "ip addr add 169.254.0.22/30 dev tap0",
            f"ip neigh add {GUEST} lladdr 02:FC:00:00:00:05 dev tap0 nud permanent",
            "sysctl -qw net.ipv4.tcp_tw_reuse=1 net.ipv4.ip_local_port_range=1024\t65535 "
            "net.ipv4.tcp_rmem=4096\t131072\t4194304",
        ):
            self.netns.run(command.split(" "))


class Forwarder:
    """The forwarder in HOST. tell() sends a command and returns the words after "ok"."""

    def __init__(self, host, folder, workers=2, connections=0, nofile=None):
        self.log_path = os.path.join(folder, "forwarder.log")
        self.events = []
        argv = [os.path.join(build_dir(), "tests/forwarder/host"), workers, connections]
        if nofile:
            argv = ["prlimit", f"--nofile={nofile}:", *argv]
        with open(self.log_path, "ab") as log:
            self.process = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.lines = Lines(self.process.stdout)
        self.wait_event("running")

    @property
    def pid(self):
        return self.process.pid

    def _line(self, timeout=PATIENCE):
        line = self.lines.next(timeout)
        assert line is not None, f"the forwarder ended with {self.process.wait()}\n{self.log()[-3000:]}"
        return line

    def send(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        while True:
            line = self._line()
            if not line.startswith("event "):
                return line
            self.events.append(line[6:])

    def tell(self, command):
        self.send(command)
        line = self.answer()
        if not line.startswith("ok"):
            raise OSError(f"{command}: {line}")
        return line[3:]

    def wait_event(self, event, timeout=PATIENCE):
        while event not in self.events:
            line = self._line(timeout)
            assert line.startswith("event "), line
            self.events.append(line[6:])
        self.events.remove(event)

    def values(self, command):
        return {name: int(value) for name, value in (pair.split("=") for pair in self.tell(command).split())}

    def stats(self):
        return self.values("stats")

    def await_quiet(self, timeout):
        """Waits until no bytes move: the counters stand still for half a second."""

        def quiet():
            before = self.stats()
            for _ in range(5):
                time.sleep(0.1)
                if self.stats() != before:
                    return False
            return True

        poll_until(quiet, timeout=timeout, what=lambda: str(self.stats()))

    def wait_ended(self, **reasons):
        """Waits until the given number of connections has ended for each reason."""

        def ended():
            seen = self.stats()
            return all(seen[name.replace("_", "-")] >= count for name, count in reasons.items())

        poll_until(ended, what=lambda: f"{reasons}: {self.stats()}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def ends(self):
        """The log lines about ended connections, as {key: value}."""
        found = []
        for line in self.log().splitlines():
            if 'msg="connection ended"' in line:
                found.append({key: value.strip('"') for key, value in re.findall(r'(\w+)=("[^"]*"|\S+)', line)})
        return found

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rests(self, work, limit=0.1):
        """Fails if each of several runs of WORK, which takes some time, costs LIMIT seconds of CPU.

        A thread that spins does so each time. One run proves nothing, as a stalled virtual CPU counts as the thread's time.
        """

        def used():
            before = self.cpu_seconds()
            work()
            return self.cpu_seconds() - before

        one_of(10, used, lambda seconds: seconds < limit)

    def memory_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))

    def close(self):
        """Stops it in order: it must end by itself, without a sanitizer report."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        assert not sanitizer_problem(self.log()), sanitizer_problem(self.log())
        assert self.process.returncode == 0, f"ended with {self.process.returncode}\n{self.log()[-3000:]}"
