# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarders that are compared: weft, its peers as Debian ships them, and the kernel alone.

All dial the guest at GUEST_PORTS. The peers reach it by one of two paths. "host" dials the sandbox's host address, through the
veth and the kernel's DNAT, which is their usual deployment. "inside" opens the guest side in the sandbox's namespace, as weft
does: HAProxy by its `namespace` keyword; nginx and systemd-socket-proxyd run there, with a listening socket that is passed to
them. This shortens the path, and costs a process, or a line of configuration, for each sandbox.
"""

import contextlib
import os
import resource
import subprocess

from harness.api import endpoint_port
from harness.cgroup import real_ends
from harness.wait import poll_until

from measure import Processes, terminate

HTTP, SINK, SOURCE, LATE = 49983, 7000, 7001, 7002
GUEST_PORTS = (HTTP, SINK, SOURCE, LATE)
GUEST = "169.254.0.21"
INSIDE = " inside"  # suffix of a peer's name for this path


def connections_at_most():
    """The limit that peers are configured with: two descriptors a connection, and a pipe where it is spliced."""
    return min(20000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1000) // 4)


class Forwarder:
    """One forwarder in front of one sandbox, between start() and stop()."""

    name = None

    def __init__(self, bench, sandbox, path="host"):
        if path == "inside":
            self.name += INSIDE
        self.bench = bench
        self.host = bench.host
        self.sandbox = sandbox
        self.path = path
        self.started = []
        self.base = bench.take_ports(len(GUEST_PORTS))

    def start(self):
        """Starts it, and returns when it listens."""

    def stop(self):
        for process in self.started:
            terminate(process)
        self.started = []

    def address(self, guest_port):
        """Its address for clients of GUEST_PORT."""
        return f"127.0.0.1:{self.listen_port(guest_port)}"

    def listen_port(self, guest_port):
        return self.base + GUEST_PORTS.index(guest_port)

    def listen_ports(self):
        return [self.listen_port(port) for port in GUEST_PORTS]

    def clients(self):
        """The context in which its clients are started."""
        return contextlib.nullcontext()

    def load_head(self, guest_port):  # pylint: disable=unused-argument
        """What a client has to add to the heads of its requests."""
        return ""

    def dial(self, guest_port):
        """The guest's address on this path."""
        return f"{GUEST if self.path == 'inside' else self.sandbox['host_ip']}:{guest_port}"

    def place(self):
        """The host or namespace in which a peer without support for namespaces runs."""
        return self.host.netns(self.sandbox["netns"]) if self.path == "inside" else self.host

    def processes(self):
        return Processes(process.pid for process in self.started)

    def note(self):
        """Its setup, in a few words."""
        return ""

    def _run(self, place, argv, **options):
        log = open(self.bench.file(f"{self.name}.log"), "ab")
        try:
            process = place.popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        finally:
            log.close()
        self.started.append(process)
        return process

    def _listener(self, guest_port):
        return self.host.listen(self.listen_port(guest_port), "127.0.0.1", backlog=4096)

    def _write(self, suffix, text):
        path = self.bench.file(self.name + suffix)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def _wait_listening(self):
        """Whether it listens. Asks the kernel, as a connection would reach the guest and be counted."""
        wanted = set(self.listen_ports())

        def listening():
            for process in self.started:
                if process.poll() is not None:
                    with open(self.bench.file(f"{self.name}.log"), encoding="utf-8") as file:
                        raise RuntimeError(f"{self.name} ended with {process.returncode}: {file.read()[-2000:]}")
            lines = self.host.output(["ss", "-Htnl"]).splitlines()
            return wanted <= {int(line.split()[3].rsplit(":", 1)[1]) for line in lines}

        poll_until(listening, 10, what=f"{self.name} to listen")


class Weft(Forwarder):
    name = "weft"

    def address(self, guest_port):
        return f"127.0.0.1:{endpoint_port(self.sandbox, guest_port)}"

    def processes(self):
        return Processes([self.bench.weftd.pid])

    def note(self):
        return "weftd with its defaults, a published port for each of the guest's"


class WeftKernel(Weft):
    """The same ports of the same daemon. Only the clients differ: they are in the cgroup that has weft's programs."""

    name = "weft, kernel"

    def start(self):
        for port in (HTTP, SINK, SOURCE):
            with self.host.connect("127.0.0.1", int(self.address(port).rsplit(":", 1)[1])):
                poll_until(lambda: self._path(port) == "kernel", 10, what=f"the kernel's path to port {port}")  # pylint: disable=W0640
            with self.clients(), self.host.connect("127.0.0.1", int(self.address(port).rsplit(":", 1)[1])) as client:
                ends = real_ends(self.host, client)
            if ends.other != (self.sandbox["host_ip"], port):
                raise RuntimeError(f"a client of {self.address(port)} was connected to {ends.other}")

    def _path(self, guest_port):
        shown = self.bench.weftd.api.show(self.sandbox["id"])
        return next(one["path"] for one in shown["endpoints"] if one["guest_port"] == guest_port)

    def clients(self):
        return self.bench.cgroup.inside()

    def note(self):
        return "the same ports, [forwarder] loopback = kernel"


class KernelDnat(Forwarder):
    """The upper bound: weft's own kernel path, by the sandbox's host address. No process takes part."""

    name = "kernel DNAT"

    def address(self, guest_port):
        return f"{self.sandbox['host_ip']}:{guest_port}"

    def processes(self):
        return None

    def note(self):
        return "the sandbox's host address, translated by nftables in its namespace"


class Haproxy(Forwarder):
    name = "haproxy"

    def start(self):
        inside = f" namespace {self.sandbox['netns']}" if self.path == "inside" else ""
        text = (
            f"global\n\tmaxconn {connections_at_most()}\n"
            "defaults\n\tmode tcp\n\toption splice-auto\n"
            "\ttimeout connect 5s\n\ttimeout client 1h\n\ttimeout server 1h\n"
        )
        for port in GUEST_PORTS:
            text += f"listen p{port}\n\tbind 127.0.0.1:{self.listen_port(port)}\n\tserver guest {self.dial(port)}{inside}\n"
        self._run(self.host, ["haproxy", "-db", "-f", self._write(".cfg", text)])
        self._wait_listening()

    def note(self):
        return "mode tcp, option splice-auto, a thread for each core"


class Nginx(Forwarder):
    name = "nginx"

    def start(self):
        servers = ""
        for port in GUEST_PORTS:
            servers += (
                f"\tserver {{ listen 127.0.0.1:{self.listen_port(port)} backlog=4096; proxy_pass {self.dial(port)}; }}\n"
            )
        text = (
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
            f"worker_processes auto;\ndaemon off;\nuser root;\npid {self.bench.file('nginx.pid')};\n"
            f"error_log {self.bench.file('nginx.log')};\n\n"
            f"events {{ worker_connections {2 * connections_at_most()}; }}\n"
            f"stream {{\n\tproxy_half_close on;\n\tproxy_timeout 1h;\n{servers}}}\n"
        )
        listeners = [self._listener(port) for port in GUEST_PORTS] if self.path == "inside" else []
        fds = [listener.fileno() for listener in listeners]
        environment = {**os.environ, "NGINX": "".join(f"{fd};" for fd in fds)} if fds else dict(os.environ)
        self._run(self.place(), ["nginx", "-c", self._write(".conf", text)], pass_fds=fds, env=environment)
        for listener in listeners:
            listener.close()
        self._wait_listening()

    def note(self):
        return "stream module, a worker for each core, proxy_half_close on"


class SocketProxyd(Forwarder):
    name = "socket-proxyd"

    def start(self):
        for port in GUEST_PORTS:
            listener = self._listener(port)
            command = (
                f"exec 3<&{listener.fileno()}; [ {listener.fileno()} = 3 ] || exec {listener.fileno()}<&-; "
                "export LISTEN_PID=$$ LISTEN_FDS=1; "
                f"exec /usr/lib/systemd/systemd-socket-proxyd --connections-max=65536 {self.dial(port)}"
            )
            self._run(self.place(), ["bash", "-c", command], pass_fds=[listener.fileno()])
            listener.close()
        self._wait_listening()

    def note(self):
        return "systemd-socket-proxyd, a service for each port"


class Socat(Forwarder):
    """The setup that weft replaces: a socat on the host, and another in the namespace."""

    name = "socat x2"

    def start(self):
        between = f"10.12.0.{2 * self.sandbox['slot'] + 1}"
        inner = self.host.netns(self.sandbox["netns"])
        for port in GUEST_PORTS:
            listen = "reuseaddr,fork,nodelay,backlog=4096"
            self._run(
                inner, ["socat", f"TCP4-LISTEN:{port},bind={between},{listen}", f"TCP4:{GUEST}:{port},nodelay"]
            )
            self._run(
                self.host,
                ["socat", f"TCP4-LISTEN:{self.listen_port(port)},bind=127.0.0.1,{listen}", f"TCP4:{between}:{port},nodelay"],
            )
        self._wait_listening()

    def note(self):
        return "a socat on the host to one in the namespace, each with fork and nodelay"


PEERS = (Haproxy, Nginx, SocketProxyd, Socat)
MOVABLE = (Haproxy, Nginx, SocketProxyd)  # these support both paths
