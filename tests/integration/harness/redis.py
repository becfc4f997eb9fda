# SPDX-License-Identifier: GPL-2.0-or-later
"""Redis in a host: Debian's redis-server, a client of a few lines, and a server that only pretends to be one."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading

from .wait import PATIENCE, poll_until


class RedisError(Exception):
    """An answer that begins with '-'; its text."""


def packed(*words):
    """A command as it goes over the wire."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def read_command(file):
    """The next command from a client, as a list of texts; None at the end."""
    head = file.readline()
    if not head.startswith(b"*"):
        return None
    words = []
    for _ in range(int(head[1:])):
        length = int(file.readline()[1:])
        words.append(file.read(length + 2)[:-2].decode())
    return words


class Client:
    """One connection; client("GET", "key") returns str, int or None, or raises RedisError."""

    def __init__(self, connection):
        self.connection = connection
        self.file = connection.makefile("rb")

    def __call__(self, *words):
        self.connection.sendall(packed(*words))
        return self._answer()

    def _answer(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, text = line[:1], line[1:].decode(errors="replace")
        if kind == b"+":
            return text
        if kind == b"-":
            raise RedisError(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else self.file.read(int(text) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._answer() for _ in range(int(text))]
        raise ConnectionError(f"no answer: {line!r}")

    def close(self):
        self.file.close()
        self.connection.close()


class Redis:
    """redis-server on 127.0.0.1:PORT of HOST, and on the unix socket FOLDER/redis.sock; it keeps nothing on disk."""

    def __init__(self, host, folder, port=6379, *arguments):
        self.host = host
        self.folder = folder
        self.port = port
        self.path = os.path.join(folder, f"redis-{port}.sock")
        self.log = os.path.join(folder, f"redis-{port}.log")
        self.arguments = arguments
        self.password = None
        self.process = None
        self.start()

    def start(self):
        argv = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--unixsocket", self.path, "--save", ""]
        argv += ["--dir", self.folder, "--logfile", self.log, *self.arguments]
        self.process = self.host.popen([str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        poll_until(self._answers, what=f"{self.log} says why redis-server does not answer")

    def start_again(self, daemon):
        """Starts it, empty, under the eyes of DAEMON, which is not to be blamed for the new process."""
        daemon.before["processes"].pop(self.process.pid)
        self.start()
        daemon.before["processes"][self.process.pid] = self.host.processes()[self.process.pid]

    def _answers(self):
        assert self.process.poll() is None, f"redis-server ended; see {self.log}"
        with contextlib.suppress(OSError):
            return "redis_version" in self("INFO", "server")
        return False

    def client(self):
        """A connection of its own; the caller closes it."""
        made = Client(self.host.connect("127.0.0.1", self.port))
        if self.password:
            made("AUTH", self.password)
        return made

    def __call__(self, *words):
        with contextlib.closing(self.client()) as client:
            return client(*words)

    def commands(self):
        """{command: how often it was executed}, such as "set"."""
        return {name: int(calls) for name, calls in re.findall(r"cmdstat_(\w+):calls=(\d+)", self("INFO", "commandstats"))}

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Kills it, with all that it had."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


class FakeRedis:
    """Listens where Redis would. ANSWER(words) gives the bytes of each answer; None ends the connection, b"" is no answer.

    `commands` has all that was asked, and `connections` counts.
    """

    INFO = b"# Server\r\nredis_version:7.0.0\r\nrun_id:%b\r\n"

    def __init__(self, host, answer, port=6379):
        self.answer = answer
        self.commands = []
        self.connections = 0
        self.greeting = b""
        self.listener = host.listen(port, "127.0.0.1")
        self.open = set()
        self.closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    def info(cls, run_id=b"a" * 40):
        """A good answer to INFO."""
        text = cls.INFO % run_id
        return b"$%d\r\n%s\r\n" % (len(text), text)

    def _accept(self):
        self.listener.settimeout(None)
        with contextlib.suppress(OSError):
            while not self.closing:
                connection, _ = self.listener.accept()
                connection.settimeout(None)
                self.connections += 1
                self.open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as file:
            connection.sendall(self.greeting)
            while (words := read_command(file)) is not None:
                self.commands.append(words)
                answer = self.answer(words)
                if answer is None:
                    break
                connection.sendall(answer)
        self.open.discard(connection)

    def part(self):
        """Ends all connections."""
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.part()


def awaited(condition, what):
    """poll_until() at a pace that leaves a server in peace."""
    return poll_until(condition, PATIENCE, what=what, interval=0.05)
