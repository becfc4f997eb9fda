# SPDX-License-Identifier: GPL-2.0-or-later
"""E2B's own SDKs (tests/sdk), one process each, driven by tests; and guests with the agent (tests/agent) in them."""

import itertools
import json
import os
import subprocess
import threading
import time

from .guests import Vmm
from .vm import VirtualMachine
from .wait import PATIENCE, Lines, TimedOut, poll_until

_TESTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_AGENT = os.path.join(_TESTS, "agent", "agent.py")
USERS = os.path.join(_TESTS, "guest/vm/etc")  # of the VM's image

SDKS = ("python", "javascript")
PORT = 49983
GUEST_URL = f"http://169.254.0.21:{PORT}"  # from inside a sandbox's namespace, past weft
INSTALL_LIMIT = 900


def install():
    """The folder with both SDKs. On a machine that cannot install them, the test fails here."""
    program = os.path.join(_TESTS, "sdk", "install")
    done = subprocess.run([program], stdout=subprocess.PIPE, timeout=INSTALL_LIMIT, text=True, check=False)
    assert done.returncode == 0, "tests/sdk/install failed: see its output"
    return done.stdout.strip()


def versions(folder):
    """{SDK: its installed version}."""
    with open(os.path.join(folder, "node_modules/e2b/package.json"), encoding="utf-8") as file:
        javascript = json.load(file)["version"]
    code = "import importlib.metadata as m; print(m.version('e2b'))"
    argv = [os.path.join(folder, "venv/bin/python"), "-c", code]
    return {"python": subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip(), "javascript": javascript}


class CallFailed(Exception):
    """The SDK raised. `told_ms`: when the SDK noticed the connection's failure; newer ones then ask for the sandbox's health."""

    def __init__(self, call, answer):
        super().__init__(f"{call}: {answer['error']}: {answer['message']} (after {answer['ms']:.0f} ms)")
        self.error = answer["error"]
        self.message = answer["message"]
        self.ms = answer["ms"]
        self.told_ms = answer["told_ms"]
        self.exit_code = answer["exit_code"]


class Pending:
    """A call in progress."""

    def __init__(self, call):
        self.call = call
        self.events = []  # (milliseconds since the call began, event)
        self.answer = None
        self.done = threading.Event()
        self.heard = threading.Condition()

    def hear(self, message):
        if "event" in message:
            with self.heard:
                self.events.append((message["ms"], message["event"]))
                self.heard.notify_all()
        else:
            self.answer = message
            self.done.set()
            with self.heard:
                self.heard.notify_all()

    def running(self):
        return not self.done.is_set()

    def wait_events(self, count, timeout=60.0):
        """Waits for COUNT events of the stream, and returns all events so far."""
        with self.heard:
            if not self.heard.wait_for(lambda: len(self.events) >= count or self.done.is_set(), timeout):
                raise TimedOut(f"{count} events of {self.call} within {timeout} s; so far {self.events}")
        assert len(self.events) >= count, f"{self.call} ended early: {self.answer}"
        return self.events

    def result(self, timeout=120.0):
        if not self.done.wait(timeout):
            raise TimedOut(f"no answer within {timeout} s: {self.call}")
        if not self.answer["ok"]:
            raise CallFailed(self.call, self.answer)
        return self.answer["result"]

    def failure(self, timeout=120.0):
        """Waits for the call to fail, and returns the failure."""
        try:
            result = self.result(timeout)
        except CallFailed as failed:
            return failed
        raise AssertionError(f"{self.call} should have failed: {result}")

    @property
    def ms(self):
        return self.answer["ms"]


class Sdk:
    """One process of an SDK in NAMESPACE, whose sandbox object uses URL (None: localhost:49983, as in local mode).

    With E2B_API_KEY in ENV it is not in local mode: it creates a sandbox by E2B's API, with OPTIONS of that call.
    """

    def __init__(self, folder, kind, namespace, url=None, env=None, **options):
        self.kind = kind
        argv = [os.path.join(folder, "venv/bin/python"), os.path.join(_TESTS, "sdk/driver.py")]
        if kind == "javascript":
            argv = ["node", os.path.join(_TESTS, "sdk/driver.mjs"), folder]
        clean = {key: value for key, value in os.environ.items() if "proxy" not in key.lower() and not key.startswith("E2B_")}
        self.process = namespace.popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**clean, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        )
        self.calls = {}
        self.ids = itertools.count(1)
        self.lock = threading.Lock()
        assert json.loads(Lines(self.process.stdout).next(60)) == {"ready": True}
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.created = self.begin("create", url=url, full="E2B_API_KEY" in (env or {}), **options)
        self.created.result(60)

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            self.calls[message["id"]].hear(message)
        for pending in list(self.calls.values()):
            if pending.running():
                gone = {"ok": False, "error": "DriverGone", "message": "the SDK's process ended"}
                pending.hear({**gone, "ms": 0, "told_ms": 0, "exit_code": None})

    def begin(self, name, **arguments):
        """Starts a call, and returns at once."""
        pending = Pending(f"{self.kind} {name} {arguments}")
        with self.lock:
            number = next(self.ids)
            self.calls[number] = pending
            self.process.stdin.write(json.dumps({"id": number, "call": name, **arguments}).encode() + b"\n")
            self.process.stdin.flush()
        return pending

    def call(self, name, timeout=120.0, **arguments):
        return self.begin(name, **arguments).result(timeout)

    def timed(self, name, **arguments):
        """(result, milliseconds as measured in the SDK's process)."""
        pending = self.begin(name, **arguments)
        return pending.result(), pending.ms

    def run(self, cmd, **arguments):
        """Runs a command in the foreground; returns its output."""
        return self.call("run", cmd=cmd, **arguments)["stdout"]

    def sockets(self):
        """The number of sockets that the process has open, which are its SDK's kept connections."""
        count = 0
        for fd in os.listdir(f"/proc/{self.process.pid}/fd"):
            try:
                count += os.readlink(f"/proc/{self.process.pid}/fd/{fd}").startswith("socket:")
            except FileNotFoundError:
                continue
        return count

    def wait_disconnected(self, timeout=PATIENCE):
        """Waits until the SDK has noticed the reset of its kept connections: a call before that would be sent on one of them."""
        poll_until(lambda: self.sockets() == 0, timeout, what=lambda: f"{self.kind} to close its {self.sockets()} sockets")

    def kill(self):
        """Kills the client: the kernel closes its connections."""
        self.process.kill()
        self.process.wait()

    def close(self):
        self.kill()
        self.reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


class StandinBox:
    """A stand-in guest with the agent in it, in a pid namespace, so that the agent's children die with it."""

    def __init__(self, host, sandbox, folder, users=USERS):
        self.host = host
        self.sandbox = sandbox
        self.folder = folder
        self.users = users
        self.vmm = None
        self.agent = None

    def power_on(self):
        """The VMM opens the TAP; nothing answers yet."""
        self.vmm = Vmm(self.host, [f"/run/netns/{self.sandbox['netns']}"])

    def serve(self):
        """The guest has booted: its agent listens."""
        argv = ["unshare", "--pid", "--fork", "--kill-child=KILL", "/usr/bin/python3", _AGENT]
        argv += ["--root", self.folder, "--users", self.users]
        self.agent = self.vmm.guests[0].popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert json.loads(Lines(self.agent.stdout).next(60))["listening"] == PORT

    def boot(self):
        self.power_on()
        self.serve()
        return self

    def pause(self):
        self.vmm.guests[0].freeze()

    def resume(self):
        self.vmm.guests[0].thaw()

    def kill(self):
        """As kill -9 of a VMM: no connection is closed in order."""
        if self.vmm:
            self.vmm.close()
            self.vmm = None
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self.agent.stdout.close()
            self.agent = None


class VmBox:
    """A real VM with the agent, or envd, in it."""

    def __init__(self, host, sandbox, folder, image, memory=512):
        self.host = host
        self.sandbox = sandbox
        self.folder = folder
        self.image = image
        self.memory = memory
        self.machine = None
        self.boots = 0

    def power_on(self):
        self.boots += 1
        console = f"{self.folder}/console-{self.boots}"
        self.machine = VirtualMachine(self.host, self.image, console, self.sandbox, memory=self.memory)

    def serve(self):
        self.machine.wait_serving()

    def boot(self):
        self.power_on()
        self.serve()
        return self

    def pause(self):
        os.kill(self.machine.pid, 19)

    def resume(self):
        os.kill(self.machine.pid, 18)

    def kill(self):
        if self.machine:
            self.machine.kill()
            self.machine = None


def agent_streams(host, sandbox):
    """The agent's report on its streams, requested inside the sandbox's namespace."""
    with host.netns(sandbox["netns"]).connect("169.254.0.21", PORT, timeout=60) as connection:
        connection.sendall(b"GET /agent/streams HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = b""
        while b"\r\n\r\n" not in seen or len(seen.split(b"\r\n\r\n", 1)[1]) < _length(seen):
            more = connection.recv(65536)
            assert more, f"the agent ended in its answer: {seen!r}"
            seen += more
    return json.loads(seen.split(b"\r\n\r\n", 1)[1])


def _length(head):
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1])
    raise AssertionError(f"no length: {head!r}")


def wait_streams(host, sandbox, count, timeout=PATIENCE, interval=0.005):
    """Waits until the agent has COUNT open streams, and returns the seconds it took. Each look is a request of its own."""
    began = time.monotonic()
    poll_until(
        lambda: agent_streams(host, sandbox)["open"] == count,
        timeout,
        what=lambda: f"{count} open streams; the agent says {agent_streams(host, sandbox)}",
        interval=interval,
    )
    return time.monotonic() - began
