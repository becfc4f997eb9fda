# SPDX-License-Identifier: GPL-2.0-or-later
"""The front door in a host: HAProxy with the files that weft-door installs, over weftd's /run/weft/door.sock."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

from .wait import PATIENCE, Lines, poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
FILES = os.path.join(TOP, "door")
SOCKET = "/run/weft/door.sock"
HTTP, HTTPS, SNI = 3002, 443, 9443
HAPROXY = os.environ.get("WEFT_HAPROXY") or "/usr/sbin/haproxy"  # another version, for a test by hand

# Programs of the guest, harness/front_door_guest.py.
APP, SOCKETS, GRPC, TLS = 8080, 8081, 50051, 8443


def _edit(path, changes):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


class Door:
    """It serves when this returns. EDIT: {file: {old: new}} for the texts of files; FILES: those to switch on, such as "door-tls.cfg"."""

    def __init__(self, host, folder, files=(), edit=None, env=None):
        self.host = host
        self.log_path = f"{folder}/haproxy.log"
        self.certs = f"{folder}/tls"
        os.makedirs(self.certs, exist_ok=True)
        # Where weftd's socket is, as workers are not root, and the test's own folder is root's.
        self.run = "/run/weft/door"
        os.makedirs(host.file(self.run), exist_ok=True)
        os.chmod(host.file(self.run), 0o755)
        place = f"{folder}/door"
        shutil.copytree(FILES, place, dirs_exist_ok=True)
        for name, changes in (edit or {}).items():
            _edit(f"{place}/{name}", changes)
        self.files = [f"{place}/{name}" for name in ("haproxy.cfg", *files)]
        self.env = {**os.environ, "RUNTIME_DIRECTORY": self.run, "WEFT_DOOR_CERTS": self.certs, "WEFT_DOOR_LOG": "all", **(env or {})}
        self.process = None

    def start(self):
        argv = [HAPROXY, "-Ws", *(word for name in self.files for word in ("-f", name))]
        with open(self.log_path, "ab") as log:
            self.process = self.host.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        poll_until(self._serves, what=lambda: f"HAProxy to start:\n{self.log()}")
        return self

    def _serves(self):
        assert self.process.poll() is None, f"HAProxy ended with {self.process.returncode}:\n{self.log()}"
        with contextlib.suppress(OSError):
            return self.admin("show info")
        return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, *words):
        """The first line with all of WORDS."""

        def found():
            return next((line for line in self.log().splitlines() if all(word in line for word in words)), None)

        return poll_until(found, what=lambda: f"a line with {words}:\n{self.log()}")

    def admin(self, command):
        """The answer of the worker's stats socket."""
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(PATIENCE)
            made.connect(self.host.file(f"{self.run}/admin.sock"))
            made.sendall(command.encode() + b"\n")
            answer = b""
            while more := made.recv(65536):
                answer += more
        return answer.decode()

    def worker(self):
        """The pid of the worker that serves now."""
        return int(next(line for line in self.admin("show info").splitlines() if line.startswith("Pid:")).split()[1])

    def reload(self):
        before = self.worker()
        self.process.send_signal(signal.SIGUSR2)

        def changed():
            assert self.process.poll() is None, self.log()
            with contextlib.suppress(OSError, StopIteration):
                return self.worker() != before
            return False

        poll_until(changed, what=lambda: f"another worker:\n{self.log()}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()  # the master ends its workers
            self.process.wait(PATIENCE)
        self.process = None


def certificate(folder, *names, issuer=None):
    """Makes a key and a self-signed certificate for NAMES; returns the paths of both."""
    os.makedirs(folder, exist_ok=True)
    key, cert = f"{folder}/privkey.pem", f"{folder}/fullchain.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "7", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        + ["-subj", f"/CN={issuer or names[0]}", "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)]
        + ["-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return cert, key


class Programs:
    """harness/front_door_guest.py in a guest, under a name: its answers tell it."""

    def __init__(self, guest, name, *arguments):
        program = os.path.join(os.path.dirname(__file__), "front_door_guest.py")
        self.process = guest.popen([sys.executable, program, name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert Lines(self.process.stdout).next() == "ready"

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Answer:
    """Of an HTTP request: `status`, `reason`, `headers` (lower case), `text`, `body` if it is JSON, `version`."""

    def __init__(self, raw):
        head, _, body = raw.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin1").split("\r\n")
        self.version, _, rest = first.partition(" ")
        self.status, _, self.reason = rest.partition(" ")
        self.status = int(self.status)
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.text = body.decode("latin1")
        self.body = json.loads(self.text) if "json" in self.headers.get("content-type", "") else None

    def __repr__(self):
        return f"<{self.version} {self.status} {self.reason} {self.headers} {self.text[:400]!r}>"


def curl(host, *arguments, check=True):
    """curl in the host: the Answer."""
    done = host.run(["curl", "-sS", "--noproxy", "*", "-i", "-m", str(PATIENCE), *arguments], check=check)
    return Answer(done.stdout.encode().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def to(sandbox, port):
    """E2B's headers for curl."""
    return ["-H", f"E2b-Sandbox-Id: {sandbox}", "-H", f"E2b-Sandbox-Port: {port}"]


def ask(host, text, port=HTTP, address="127.0.0.1"):
    """Sends TEXT as it is on a connection of its own, and returns all that comes back until the other side closes."""
    with host.connect(address, port) as made:
        made.sendall(text.encode() if isinstance(text, str) else text)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := made.recv(65536):
                answer += more
    return answer
