# SPDX-License-Identifier: GPL-2.0-or-later
"""weftd under test, started in a host with the test's configuration. It must leave nothing behind."""

import contextlib
import os
import re
import signal
import subprocess
import time

from .api import Api
from .host import LOOPBACK, difference
from .wait import PATIENCE, TimedOut, poll_until

_REPORT = re.compile(r"ERROR: (Address|Leak|Thread|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:")

def sanitizer_problem(log):
    """The sanitizer report in LOG, or None."""
    match = _REPORT.search(log)
    return log[max(0, match.start() - 200) : match.start() + 6000] if match else None


SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1",
}


# Names and addresses that differ from the default ones in every part.
OTHER_LAYOUT = {
    "names": {"netns_prefix": "box.", "veth_prefix": "wv", "link_group": 77},
    "addresses": {
        "host_cidr": "10.21.0.0/20",
        "veth_cidr": "10.22.0.0/20",
        "guest": "172.31.7.2/24",
        "tap": "172.31.7.1/24",
        "guest_mac": "02:AA:00:00:00:02",
        "tap_mac": "02:AA:00:00:00:01",
        "mtu": 1400,
    },
}


def sanitized():
    """Whether the daemon is built with a sanitizer. Its memory size then means nothing: freed memory and shadows count."""
    with open(os.path.join(build_dir(), "weftd"), "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def build_dir():
    """The folder of the programs under test: WEFT_BUILD, by default build/ at the top of the source."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    return os.environ.get("WEFT_BUILD") or os.path.join(top, "build")


def config_text(sections):
    """Renders {"pool": {"size": 0, "KEY": [a list repeats the key]}} as weftd.conf(5) text."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for key, value in options.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            lines += [f"{key} = {one}" for one in values]
    return "\n".join(lines) + "\n"


class Weftd:
    """One daemon in HOST with its files in FOLDER. start() may be called again after stop() or kill()."""

    def __init__(self, host, folder, config=None, arguments=()):
        self.host = host
        self.folder = str(folder)
        self.socket = os.path.join(self.folder, "control.sock")
        self.state_dir = os.path.join(self.folder, "state")
        self.config = os.path.join(self.folder, "weftd.conf")
        self.log_path = os.path.join(self.folder, "weftd.log")
        self.arguments = list(arguments)
        self.environment = {}  # added to that of each run of the daemon itself
        self.log_fd = None  # where it logs to; None: straight into log_path
        self.program = os.path.join(build_dir(), "weftd")
        self.api = Api(self.socket)
        self.process = None
        self.before = host.state()
        self.write_config(config or {})

    def write_config(self, sections):
        if LOOPBACK and not isinstance(sections, str):
            own = {"loopback": LOOPBACK, "cgroup": self.host.cgroup.path}
            sections = {**sections, "forwarder": {**own, **sections.get("forwarder", {})}}
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(sections if isinstance(sections, str) else config_text(sections))

    def widen_pool(self):
        """Makes room in the pool for the next releases: a slow machine may have refilled it, and a full pool takes nothing back."""
        size = self.api.status()["pool"]["target"] + 20
        self.write_config({"pool": {"size": size, "refill": 1, "quarantine": "0s"}})
        self.signal(signal.SIGHUP)
        poll_until(lambda: self.api.status()["pool"]["target"] == size)

    def register_at(self, slot, body):
        """Registers sandboxes until one gets SLOT, which is free; returns that sandbox."""
        for i in range(30):
            sandbox = self.api.register(f"next-{i}", body)
            if sandbox["slot"] == slot:
                return sandbox
        raise AssertionError(f"none of thirty got slot {slot}")

    def command(self, *more):
        return [
            *(self.program, "--config", self.config, "--socket", self.socket, "--state-dir", self.state_dir),
            *(*self.arguments, *more),
        ]

    def spawn(self, *more):
        """Starts it without waiting, for tests in which it refuses to start."""
        with self.log_output() as log:
            self.process = self.host.popen(
                self.command("--foreground", *more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.whole_environment(),
            )
        return self.process

    def whole_environment(self):
        return {**os.environ, **SANITIZER_OPTIONS, **self.environment}

    def log_output(self):
        """What its stderr is to be, as a file; it is closed after the start."""
        return open(self.log_path, "ab") if self.log_fd is None else os.fdopen(os.dup(self.log_fd), "wb")

    def start(self, *more, timeout=PATIENCE):
        """Starts it, and waits until the control socket answers and a predecessor's sandboxes are adopted."""
        self.spawn(*more)
        return self.await_running(timeout)

    def await_running(self, timeout=PATIENCE):
        poll_until(self._answers, timeout, what=lambda: f"weftd is not running; its log:\n{self.log_tail()}")
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"weftd ended with {self.process.returncode}; its log:\n{self.log_tail()}")
        try:
            return self.api.status()["state"] == "running"
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def refuses(self, *more, timeout=PATIENCE):
        """Starts it, expects it to end by itself, and returns its exit status."""
        code = self.spawn(*more).wait(timeout)
        self.process = None
        return code

    def run(self, *more, check=False, timeout=2 * PATIENCE):
        """Runs it to its end, as for --check and --cleanup, and returns subprocess.run's result."""
        env = {**os.environ, **SANITIZER_OPTIONS}
        return self.host.run(self.command(*more), check=check, timeout=timeout, env=env)

    def ctl(self, *arguments, check=True, timeout=2 * PATIENCE, **options):
        """weftctl on this daemon's socket. A machine that stalls may make the daemon miss the usual deadline."""
        program = os.path.join(build_dir(), "weftctl")
        argv = [program, "--deadline", str(int(PATIENCE)), arguments[0], "--socket", self.socket, *arguments[1:]]
        env = {**os.environ, **SANITIZER_OPTIONS, **options.pop("env", {})}
        return self.host.run(argv, check=check, timeout=timeout, env=env, **options)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])

    def wait_log(self, pattern, timeout=PATIENCE):
        """Waits for a log line that matches PATTERN, a regular expression, and returns the first such line."""

        def found():
            return next((line for line in self.log().splitlines() if re.search(pattern, line)), None)

        return poll_until(found, timeout, what=lambda: f"a log line {pattern!r}; the log:\n{self.log_tail()}")

    def fds(self):
        """{descriptor: its target} of the daemon now."""
        found = {}
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                found[int(fd)] = os.readlink(f"/proc/{self.pid}/fd/{fd}")
            except FileNotFoundError:
                continue
        return found

    def children(self):
        """Pids of the child processes of all its threads; there should be none, ever."""
        found = []
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(pid) for pid in file.read().split()]
        return found

    def memory_kib(self):
        """Resident set size, KiB."""
        return self._status_number("VmRSS")

    def _status_number(self, key):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(key + ":"))

    def cpu_seconds(self):
        """Its user and system time so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def standing_still(self):
        """Stops the daemon by a signal for the time of the context. To the daemon, all changes made here come at once."""

        def stopped():
            return all(state == "T" for state in self._thread_states())

        self.signal(signal.SIGSTOP)
        try:
            poll_until(stopped, what="all threads of weftd to stop")
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _thread_states(self):
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{self.pid}/task/{thread}/stat", encoding="ascii") as file:
                    yield file.read().rsplit(")", 1)[1].split()[0]

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout=PATIENCE):
        """Sends TERM; it must end with status 0 within TIMEOUT."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise TimedOut(f"weftd did not stop within {timeout} s; its log:\n{self.log_tail()}") from None
        finally:
            code, self.process = self.process.returncode, None
        assert code == 0, f"weftd ended with {code}; its log:\n{self.log_tail()}"

    def kill(self):
        """Kills it, as a crash would."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def assert_no_sanitizer_report(self):
        log = self.log() if os.path.exists(self.log_path) else ""
        match = _REPORT.search(log)
        assert not match, f"a sanitizer reported:\n{log[max(0, match.start() - 200):match.start() + 6000]}"

    def assert_nothing_left(self, timeout=PATIENCE):
        """Compares the host with its state before the daemon first started. The kernel deletes links with some delay."""
        left = []

        def same():
            left[:] = difference(self.before, self.host.state())
            return not left

        poll_until(same, timeout, what=lambda: "left behind:\n" + "\n".join(left), interval=0.05)

    def finish(self):
        """Ends the test: stops the daemon, removes sandboxes that are still registered, and checks that nothing is left."""
        problems = []
        for step in (self.stop, self._cleanup, self.assert_no_sanitizer_report, self.assert_nothing_left):
            try:
                step()
            except (AssertionError, OSError, subprocess.SubprocessError) as error:
                problems.append(str(error))
        assert not problems, "\n".join(problems)

    def _cleanup(self):
        done = self.run("--cleanup")
        if "another weftd" in done.stderr:
            return  # this daemon refused to start beside another one, whose end is checked
        assert done.returncode == 0, f"weftd --cleanup: exit {done.returncode}\n{done.stdout}{done.stderr}"


def timed(function):
    """(result, seconds)."""
    start = time.monotonic()
    result = function()
    return result, time.monotonic() - start
