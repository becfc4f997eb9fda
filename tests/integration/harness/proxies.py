# SPDX-License-Identifier: GPL-2.0-or-later
"""Real proxies in a host: HAProxy, mitmproxy, and judge, a transparent one of the kind that E2B runs (tests/proxies)."""

import http.client
import os
import re
import subprocess

from .wait import PATIENCE, poll_until

_TESTS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSTALL_LIMIT = 900


def install():
    """The folder with their programs. On a machine that cannot install them, the test fails here."""
    done = subprocess.run(
        [os.path.join(_TESTS, "proxies", "install")], stdout=subprocess.PIPE, timeout=INSTALL_LIMIT, text=True, check=False
    )
    assert done.returncode == 0, "tests/proxies/install failed: see its output"
    return done.stdout.strip()


class Proxy:
    """One that runs in HOST. It listens when this returns: on PORTS, and on the unix sockets at PATHS."""

    def __init__(self, host, argv, log_path, ports=(), paths=(), env=None):
        self.host = host
        self.log_path = log_path
        with open(log_path, "ab") as log:
            self.process = host.popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            )
        self._await(ports, paths)

    def _await(self, ports, paths):
        def listens():
            assert self.process.poll() is None, f"{self.process.args}: exit {self.process.returncode}\n{self.log()}"
            open_ports = {bound.port for bound in self.host.bound_sockets() if bound.protocol == "tcp"}
            return set(ports) <= open_ports and all(os.path.exists(path) for path in paths)

        poll_until(listens, what=lambda: f"{self.process.args} to listen; its log:\n{self.log()}")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, pattern, timeout=PATIENCE):
        """Waits for PATTERN, a regular expression, in the log, and returns the match."""
        return poll_until(
            lambda: re.search(pattern, self.log()), timeout, what=lambda: f"{pattern!r} in its log:\n{self.log()}"
        )

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Kills it, as a crash would: its port is closed then."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Proxies:
    """Starts proxies in HOST with programs of FOLDER; their files go into PLACE."""

    def __init__(self, host, folder, place):
        self.host = host
        self.folder = folder
        self.place = place
        self.started = []

    def _start(self, name, *arguments, ports=(), paths=()):
        log = f"{self.place}/{name}-{len(self.started)}.log"
        argv = [os.path.join(self.folder, name), *map(str, arguments)]
        self.started.append(Proxy(self.host, argv, log, ports, paths))
        return self.started[-1]

    def judge(self, http_port, tls_port, other_port, deny=None):
        """Logs "VERDICT SOURCE DESTINATION NAME" for each connection; one that names DENY is closed."""
        arguments = ["-http", http_port, "-tls", tls_port, "-other", other_port]
        arguments += ["-deny", deny] if deny else []
        return self._start("judge", *arguments, ports=(http_port, tls_port, other_port))

    def mitmdump(self, port, *arguments):
        """mitmproxy on PORT of all addresses. ca() is the certificate that its clients must trust."""
        options = ["--set", f"confdir={self.place}/mitm", "--listen-host", "0.0.0.0", "--listen-port", port]
        return self._start("mitmdump", *options, *arguments, ports=(port,))

    def ca(self):
        return f"{self.place}/mitm/mitmproxy-ca-cert.pem"

    def haproxy(self, sections, ports=(), paths=()):
        """HAProxy in mode tcp with these SECTIONS of its configuration. Its log of connections is its output."""
        path = f"{self.place}/haproxy-{len(self.started)}.cfg"
        with open(path, "w", encoding="utf-8") as file:
            file.write("global\n  log stdout format raw local0\n  maxconn 200\n  nbthread 1\n")
            file.write("defaults\n  mode tcp\n  log global\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n")
            file.write(sections)
        return self._start("haproxy", "-db", "-f", path, ports=ports, paths=paths)

    def close(self):
        for proxy in self.started:
            proxy.stop()


def fetch(connection, path="/health", name="guest", method="GET"):
    """One request over CONNECTION, which the answer may close. Returns (status, headers, body)."""
    client = http.client.HTTPConnection(name)
    client.sock = connection
    client.request(method, path, headers={"Host": name})
    answer = client.getresponse()
    return answer.status, answer.headers, answer.read()
