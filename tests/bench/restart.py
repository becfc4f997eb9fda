# SPDX-License-Identifier: GPL-2.0-or-later
"""A restart under load: what it costs clients that stay and clients that come, of weft and of its peers.

weft runs as a service of a real systemd and is restarted by `systemctl restart`, as a package's upgrade does it. HAProxy runs as its Debian unit runs
it (`-Ws`), and is reloaded by USR2 to its master and restarted; nginx likewise, by HUP. All are in one network namespace, in front of one guest.
"""

import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass
from types import SimpleNamespace

from harness.api import Api
from harness.daemon import build_dir, config_text
from harness.netns import Namespace
from harness.user_manager import UserManager, available
from harness.wait import Lines, poll_until

from measure import Processes, raise_descriptor_limit, terminate
from peers import HTTP, Haproxy, Weft
from results import Results
from topology import Place, TapGuest

_BACK = 60  # seconds that a forwarder may take to come back
_SYSCTLS = ("net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65000", "net.core.somaxconn=4096")


def _at_most():
    """The limit that peers are configured with: two descriptors a connection, and HAProxy reserves a pipe for each fourth."""
    return (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000) // 3


@dataclass(frozen=True)
class Plan:
    """How many connections stay, how often they ask together, and how often each forwarder is restarted."""

    connections: int
    requests_per_s: int
    restarts: int
    settle: float = 1.0  # seconds of load after each

    @classmethod
    def full(cls):
        return cls(connections=5000, requests_per_s=2500, restarts=20)

    @classmethod
    def quick(cls):
        return cls(connections=500, requests_per_s=1000, restarts=3)


class ManagedBench(Place):
    """A network namespace with a systemd in it that runs weftd."""

    def __init__(self):
        super().__init__(next_port=500)  # below the ports that clients get
        try:
            with open(self.file("weftd.conf"), "w", encoding="ascii") as file:
                file.write(config_text({"forwarder": {"default_listen": ""}}))
            self.manager = UserManager(os.path.join(build_dir(), "weftd"), self.folder, self.file("weftd.log"))
            self.on_close(self.manager.close)
            self.host = Namespace(f"/proc/{self.manager.process.pid}/ns/net", "host")
            # Paths of the service are those of its own mount namespace.
            self.host.file = lambda path: f"/proc/{self.manager.process.pid}/root{path}"
            self.weftd = SimpleNamespace(api=Api(self.file("control.sock")))
            self.manager.tell("systemctl", "start", "weftd")
            self.await_running()
            self.quicken(self.host)
        except BaseException:
            self.close()
            raise

    def await_running(self):
        poll_until(lambda: self.weftd.api.status()["state"] == "running", _BACK, what="weftd to run", interval=0.005)

    def quicken(self, namespace):
        namespace.run(["sysctl", "-qw", *_SYSCTLS])

    def file(self, name):
        return os.path.join(self.folder, name.replace(", ", "-"))  # a comma ends HAProxy's addresses


# ---- The forwarders, and how they are restarted ----


class ManagedWeft(Weft):
    name = "weft, restart"

    def renew(self):
        self.bench.manager.tell("systemctl", "restart", "weftd")
        self.bench.await_running()

    def processes(self):
        return Processes([])


class HaproxyReload(Haproxy):
    name = "haproxy, reload"

    def start(self):
        text = (
            f"global\n\tmaxconn {_at_most()}\n"
            f"\tstats socket {self.bench.file(self.name + '.sock')} mode 600 level admin expose-fd listeners\n"
            "defaults\n\tmode tcp\n\toption splice-auto\n"
            "\ttimeout connect 5s\n\ttimeout client 1h\n\ttimeout server 1h\n"
            f"listen p\n\tbind 127.0.0.1:{self.listen_port(HTTP)}\n\tserver guest {self.dial(HTTP)}\n"
        )
        self._run(self.host, ["haproxy", "-Ws", "-f", self._write(".cfg", text)])
        self.await_listening()

    def await_listening(self):
        wanted = f"127.0.0.1:{self.listen_port(HTTP)}"

        def listening():
            if self.started[0].poll() is not None:
                with open(self.bench.file(f"{self.name}.log"), encoding="utf-8") as file:
                    raise RuntimeError(f"{self.name} ended with {self.started[0].returncode}: {file.read()[-2000:]}")
            return any(line.split()[3] == wanted for line in self.host.output(["ss", "-Htnl"]).splitlines())

        poll_until(listening, _BACK, what=f"{self.name} to listen")

    def _end(self):
        """As the service manager stops it: TERM, and then KILL for what is left."""
        left = self.processes().pids()
        for process in self.started:
            terminate(process)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.started = []

    def stop(self):
        self._end()

    def _reload(self, number):
        before = set(self.processes().pids())
        os.kill(self.started[0].pid, number)
        poll_until(lambda: set(self.processes().pids()) - before, _BACK, what=f"a new worker of {self.name}")
        self.await_listening()

    def renew(self):
        self._reload(signal.SIGUSR2)


class HaproxyRestart(HaproxyReload):
    name = "haproxy, restart"

    def renew(self):
        self._end()
        self.start()


class NginxReload(HaproxyReload):
    name = "nginx, reload"

    def start(self):
        text = (
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
            f"worker_processes auto;\ndaemon off;\nuser root;\npid {self.bench.file('nginx.pid')};\n"
            f"error_log {self.bench.file('nginx.log')};\n\n"
            f"events {{ worker_connections {2 * _at_most()}; }}\n"
            "stream {\n\tproxy_half_close on;\n\tproxy_timeout 1h;\n"
            f"\tserver {{ listen 127.0.0.1:{self.listen_port(HTTP)} backlog=4096; proxy_pass {self.dial(HTTP)}; }}\n}}\n"
        )
        self._run(self.host, ["nginx", "-c", self._write(".conf", text)])
        self.await_listening()

    def renew(self):
        self._reload(signal.SIGHUP)


class NginxRestart(NginxReload):
    name = "nginx, restart"

    def renew(self):
        self._end()
        self.start()


SUBJECTS = (ManagedWeft, HaproxyReload, HaproxyRestart, NginxReload, NginxRestart)


# ---- The clients ----


class Steady:
    """tests/bench/steady, connected through a forwarder."""

    def __init__(self, forwarder, plan):
        address, port = forwarder.address(HTTP).rsplit(":", 1)
        period_ms = max(1, 1000 * plan.connections // plan.requests_per_s)
        self.process = forwarder.host.popen(
            [f"{build_dir()}/tests/bench/steady", address, port, plan.connections, period_ms],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.lines = Lines(self.process.stdout)
        if self.lines.next(120) != "ready":
            raise RuntimeError(f"the clients of {forwarder.name} ended with {self.process.wait()}")

    def _tell(self, command):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def begin(self):
        self._tell("begin")
        assert self.lines.next(_BACK) == "begun"

    def end(self):
        """({figure: value}, [milliseconds that each request which met the silence waited])."""
        self._tell("end")
        line = self.lines.next(_BACK)
        if line is None:
            raise RuntimeError(f"the clients ended with {self.process.wait()}")
        figures = {name: float(value) for name, value in (pair.split("=") for pair in line.split())}
        return figures, [float(word) for word in self.lines.next(_BACK).split()]

    def close(self):
        self.process.stdin.close()
        terminate(self.process)
        self.process.stdout.close()


def measure(forwarder, plan, results, say):
    """Restarts FORWARDER again and again under the clients."""
    steady = Steady(forwarder, plan)
    try:
        for number in range(plan.restarts):
            steady.begin()
            time.sleep(plan.settle / 4)
            begun = time.monotonic()
            forwarder.renew()
            took = time.monotonic() - begun
            time.sleep(plan.settle)
            figures, waits = steady.end()
            for name, value in figures.items():
                results.add("restart", forwarder.name, name, value)
            results.add("restart", forwarder.name, "took_ms", 1000 * took)
            for wait in waits:
                results.add("restart", forwarder.name, "met_ms", wait)
            if figures["lost"] or figures["wrong"]:
                say(f"  {forwarder.name}, {number + 1}: {figures['lost']:.0f} lost, {figures['wrong']:.0f} of them by a wrong byte")
        results.add("restart", forwarder.name, "processes", len(forwarder.processes().pids()))
    finally:
        steady.close()


def run(plan, say):
    """Runs all measurements. Returns the results."""
    results = Results()
    if not available():
        results.fail("restart", "all", "all", "no systemd, or no control groups of version 2")
        return results
    raise_descriptor_limit()
    bench = ManagedBench()
    try:
        guest = TapGuest(bench, "tap", {"ports": [HTTP]}, (f"{HTTP},echo",))
        bench.weftd.api.wait("tap", "attached")
        for make in SUBJECTS:
            say(f"{make.name}: {plan.connections} connections, {plan.restarts} times")
            forwarder = make(bench, guest.sandbox)
            try:
                forwarder.start()
                measure(forwarder, plan, results, say)
            except (AssertionError, OSError, RuntimeError) as error:
                results.fail("restart", make.name, "restart", error)
            finally:
                forwarder.stop()
    finally:
        bench.close()
    return results
