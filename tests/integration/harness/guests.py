# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-in guests (tests/guest/standin.c) and the servers that run in them (tests/guest/server.c)."""

import os
import signal
import subprocess

from .daemon import build_dir
from .netns import Namespace
from .wait import PATIENCE, Lines


class Guest(Namespace):
    """One guest: the namespace inside the VM, in which its programs run."""

    def __init__(self, owner, sandbox_path, guest_path):
        super().__init__(guest_path, f"guest of {sandbox_path}")
        self.owner = owner
        self.sandbox_path = sandbox_path

    def _tell(self, command):
        self.owner.tell(f"{command} {self.sandbox_path}")

    def close_tap(self):
        """The VMM closes tap0, and the guest lives on, as in a snapshot on disk."""
        self._tell("close")

    def open_tap(self):
        """A VMM opens tap0 again for the same guest."""
        self._tell("open")

    def freeze(self):
        """Freezes the guest with tap0 open, like a paused VM."""
        self._tell("freeze")

    def thaw(self):
        self._tell("thaw")

    def serve(self, *servers, report=False):
        """Starts servers in this guest: "49983,http,NAME", "7,echo" and so on. See tests/guest/server.c."""
        return self.owner.serve([(self, server) for server in servers], report=report)

    def kill(self):
        """Kills the VMM, as kill -9 does; all guests of the same process end with it."""
        self.owner.kill()


class Servers:
    """A process of servers; next_end() reads the lines of --report."""

    def __init__(self, process):
        self.process = process
        self.lines = Lines(process.stdout)
        if self.lines.next() != "ready":
            raise RuntimeError(f"tests/guest/server ended with {process.wait()}")

    def next_end(self, least=0, timeout=PATIENCE):
        """The next end of a connection: (namespace path, port, "fin", "reset" or "closed", bytes received).

        LEAST skips connections with fewer bytes: on a busy machine the forwarder may judge an answer as too late and dial
        again, and the guest sees its first connection reset before any byte.
        """
        while True:
            _, path, port, how, count = self.lines.next(timeout).split()
            if int(count) >= least:
                return path, int(port), how, int(count)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Vmm:
    """One stand-in process with a guest on tap0 of each namespace in PATHS, as the host sees them."""

    def __init__(self, host, paths, arguments=()):
        self.host = host
        self.servers = []
        self.process = host.popen(
            [os.path.join(build_dir(), "tests/guest/standin"), *arguments, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.lines = Lines(self.process.stdout)
        self.guests = []
        while True:
            line = self.lines.next(timeout=PATIENCE + 0.1 * len(paths))
            if line is None:
                raise RuntimeError(f"tests/guest/standin ended with {self.process.wait()}")
            if line == "ready":
                break
            _, sandbox_path, guest_path = line.split()
            self.guests.append(Guest(self, sandbox_path, guest_path))

    def tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        answer = self.lines.next()
        if answer != "ok":
            raise OSError(f"stand-in guest: {command}: {answer}")

    def serve(self, what, report=False):
        """WHAT: pairs of a guest and a server's text. One process serves all."""
        argv = [os.path.join(build_dir(), "tests/guest/server")]
        if report:
            argv.append("--report")
        argv += [f"{guest.path},{text}" for guest, text in what]
        process = self.host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        servers = Servers(process)
        self.servers.append(servers)
        return servers

    def signal(self, number):
        """STOP and CONT freeze all guests of the process."""
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        for servers in self.servers:
            servers.stop()


def serve_in(host, namespace, *texts):
    """Starts servers in any namespace; the caller stops them. See Guest.serve()."""
    program = os.path.join(build_dir(), "tests/guest/server")
    argv = [program, *(f"{namespace.path},{text}" for text in texts)]
    return Servers(host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
