# SPDX-License-Identifier: GPL-2.0-or-later
"""[egress] redirect: the guests' TCP is handed to real proxies of the host, and never passes one by."""

import contextlib
import errno
import os
import socket
import ssl
import subprocess
import threading

import pytest

from harness.client import ask, echoes, receive_all, receive_exactly, was_reset
from harness.flow import Flow
from harness.guests import serve_in
from harness.proxies import fetch
from harness.wait import ATTEMPT, poll_until, readable, tried

WORLD, OTHER = "203.0.113.10", "198.51.100.5"
PRIVATE = "10.99.0.53"
METADATA = "169.254.169.254"
SERVICE = "192.0.2.9"  # of nobody
REDIRECT = ("80:5016", "443:5017", "*:5018")


class Scene:
    """Guests "one" and "two", and a world with servers on ports 80, 443 and 22 of several addresses."""

    def __init__(self, host, weftd, guest, stack, redirect=REDIRECT, services=()):
        self.host = host
        self.world = host.add_uplink()
        for address in (WORLD, OTHER, PRIVATE, METADATA):
            self.world.add(f"{address}/32")
        servers = serve_in(host, self.world, "80,http,world", "443,echo", "22,echo")
        stack.callback(servers.stop)
        self.daemon = weftd({"egress": {"redirect": redirect, "allow_host": services}})
        self.api = self.daemon.api
        self.sandboxes = [self.api.register(name, {}) for name in ("one", "two")]
        self.one, self.two = guest.many(self.sandboxes)
        for name in ("one", "two"):
            self.api.wait(name, "attached")
        # The kernel limits ICMP errors itself, partly across all namespaces of the machine. These tests are not about that.
        for namespace in (host, host.netns("ns-1"), self.world):
            namespace.run(["sysctl", "-qw", "net.ipv4.icmp_ratemask=0"])

    def reach(self, address, port, proto="tcp"):
        return self.api.get(f"/v1/sandboxes/one/reach?dest={address}&port={port}&proto={proto}").expect(200).body

    def refused(self, address, port):
        """Whether the guest's connection is refused by a reset."""
        try:
            self.one.connect(address, port).close()
            return False
        except ConnectionRefusedError:
            return True

    def ask_datagram(self, address, port):
        """The errno of the ICMP error that answers a datagram; None: there was none, but it arrived."""
        with self.world.socket(kind=socket.SOCK_DGRAM) as server, self.one.socket(kind=socket.SOCK_DGRAM) as client:
            server.bind((address, port))
            server.settimeout(ATTEMPT)
            client.settimeout(ATTEMPT)
            client.connect((address, port))

            def attempt():
                client.send(b"x")
                if readable(client.fileno(), 0.2):
                    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                server.recv(10)
                return None

            return tried(attempt)


@pytest.fixture
def scene(host, weftd, guest):
    with contextlib.ExitStack() as stack:
        yield lambda **options: Scene(host, weftd, guest, stack, **options)


def hello(name):
    """The first bytes of a TLS client that wants NAME."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def test_a_proxy_as_e2b_runs_it(scene, proxy):
    """It finds the sandbox and the destination of each connection, judges by name, and weft judges the rest."""
    one = scene(services=[f"{SERVICE}:80=5010", f"{SERVICE}:111"])
    judge = proxy.judge(5016, 5017, 5018, deny="evil.example")

    # Port 80, from two sandboxes: the source tells which, the name is the first request's.
    for number, guest in ((1, one.one), (2, one.two)):
        with guest.connect(WORLD, 80) as connection:
            assert fetch(connection, name="api.example.com")[0] == 200
        judge.wait_log(rf"allowed 10\.11\.0\.{number} {WORLD}:80 api\.example\.com\n")
    with one.one.connect(WORLD, 80) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    judge.wait_log(rf"denied 10\.11\.0\.1 {WORLD}:80 evil\.example\n")

    # Port 443: by SNI; the bytes pass as they are.
    with one.one.connect(OTHER, 443) as connection:
        first = hello("pypi.org")
        connection.sendall(first)
        assert receive_exactly(connection, len(first)) == first
    judge.wait_log(rf"allowed 10\.11\.0\.1 {OTHER}:443 pypi\.org\n")

    # Another port: nothing is read. Half-close passes.
    with one.one.connect(WORLD, 22) as connection:
        connection.sendall(b"SSH-2.0")
        connection.shutdown(socket.SHUT_WR)
        assert receive_all(connection) == b"SSH-2.0"
    judge.wait_log(rf"allowed 10\.11\.0\.1 {WORLD}:22 -\n")
    assert "error" not in judge.log()

    # A service comes before the redirection of its port, and a service at the same port before that of all.
    for port, listens in ((80, 5010), (111, 111)):
        with one.host.listen(listens, "0.0.0.0") as listener, one.one.connect(SERVICE, port) as client:
            served, peer = listener.accept()
            assert peer[0] == "10.11.0.1"
            served.sendall(b"service")
            served.close()
            assert client.recv(100) == b"service"

    # The proxy judges TCP alone; the lists and `internet` judge the rest.
    one.api.patch("one", {"egress": {"internet": False, "allow": [f"{OTHER}/32"]}})
    with one.one.connect(WORLD, 80) as connection:
        assert b"world" in ask(connection)
    assert one.reach(WORLD, 80)["allowed"] and one.reach(WORLD, 80)["rule"] == "redirect"
    assert one.ask_datagram(WORLD, 9999) == errno.EHOSTUNREACH
    assert one.ask_datagram(OTHER, 9999) is None
    answer = one.reach(WORLD, 9999, "udp")
    assert (answer["allowed"], answer["rule"]) == (False, "internet")

    # Isolated: what is redirected too, at once, and services.
    with one.one.connect(WORLD, 22) as live, one.two.connect(WORLD, 22) as others:
        assert echoes(live) and echoes(others)
        one.api.patch("one", {"egress": {"isolated": True}})
        with pytest.raises(ConnectionResetError):
            live.sendall(b"after")
            live.recv(10)
        for address, port in ((WORLD, 80), (OTHER, 443), (WORLD, 22), (SERVICE, 80), (SERVICE, 111)):
            assert one.refused(address, port), f"{address}:{port}"
            answer = one.reach(address, port)
            assert (answer["allowed"], answer["rule"]) == (False, "isolated")
        assert one.ask_datagram(OTHER, 9999) == errno.EHOSTUNREACH
        assert echoes(others)
    one.api.patch("one", {"egress": {"isolated": False}})
    with one.one.connect(WORLD, 22) as again:
        assert echoes(again)


def test_what_the_proxy_never_gets(scene, proxy):
    """Private ranges, other sandboxes and the host itself stay denied, and the proxy's own port is no way to it."""
    one = scene()
    judge = proxy.judge(5016, 5017, 5018)
    cases = [(PRIVATE, 80, "private"), (METADATA, 80, "private"), ("10.11.0.2", 80, "sandbox"), ("169.254.0.22", 5016, "gateway")]
    cases += [("192.0.2.2", port, "host") for port in (22, 80, 443, 5016, 5018)] + [("10.12.0.2", 5016, "sandbox")]
    for address, port, rule in cases:
        answer = one.reach(address, port)
        assert (answer["allowed"], answer["rule"]) == (False, rule), f"{address}:{port}: {answer}"
        assert one.refused(address, port), f"{address}:{port}"
    assert judge.log() == "ready\n"
    # From the host and from the world it is as if weft were not there.
    with one.world.connect("192.0.2.2", 5018) as connection:
        assert connection
    with one.one.connect(WORLD, 22) as connection:
        assert echoes(connection)


class TlsServer(threading.Thread):
    """Answers each connection at LISTENER with "SNI: LINE" over TLS, by a certificate of its own."""

    def __init__(self, listener, folder):
        super().__init__(daemon=True)
        key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
        made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.example.com -keyout".split()
        subprocess.run([*made, key, "-out", certificate], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.sni_callback = self._told
        self.listener = listener
        self.name = None
        self.start()

    def _told(self, _socket, name, _context):
        self.name = name

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with contextlib.suppress(OSError), self.context.wrap_socket(connection, server_side=True) as served:
                    request = served.recv(4096)
                    body = f"{self.name}: {request.split(b' ')[1].decode()}".encode()
                    served.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_mitmproxy_opens_http_and_tls(scene, proxy, folder):
    """Transparent mode, unchanged: it finds the destination itself, and guests that trust its certificate see it in every answer."""
    one = scene(redirect=["80:5016", "8443:5016"])
    mitm = proxy.mitmdump(5016, "--mode", "transparent", "--ssl-insecure", "--modify-headers", "/~s/X-Opened-By/mitmproxy")
    with one.one.connect(WORLD, 80) as connection:
        status, headers, body = fetch(connection, name="api.example.com")
    assert (status, headers["X-Opened-By"], b"world" in body) == (200, "mitmproxy", True)
    mitm.wait_log(r"10\.11\.0\.1:\d+: GET http://")

    with one.world.listen(8443, OTHER) as listener:
        server = TlsServer(listener, folder)
        poll_until(lambda: os.path.exists(proxy.ca()))
        trusting = ssl.create_default_context(cafile=proxy.ca())
        with trusting.wrap_socket(one.two.connect(OTHER, 8443), server_hostname="api.example.com") as connection:
            status, headers, body = fetch(connection, "/secret", name="api.example.com")
        assert (status, headers["X-Opened-By"], body) == (200, "mitmproxy", b"api.example.com: /secret")
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
    mitm.wait_log(r"10\.11\.0\.2:\d+: GET https://")

    # A port without a redirection goes its own way.
    with one.one.connect(WORLD, 22) as connection:
        assert echoes(connection)
    assert ":22" not in mitm.log()


def test_haproxy_dials_the_original_destination(scene, proxy):
    """Behind a redirection that guests get in the midst of their lives. The kernel has all of it, whatever weftd does."""
    one = scene(redirect=[])
    direct, idle = Flow(one.one.connect(WORLD, 22)), one.one.connect(OTHER, 22)
    direct.check()
    assert echoes(idle)
    haproxy = proxy.haproxy(
        'frontend all\n  bind 0.0.0.0:5018\n  log-format "from %[src] to %[dst]:%[dst_port] end %ts"\n'
        "  default_backend original\nbackend original\n  server any 0.0.0.0:0\n",
        ports=[5018],
    )
    one.daemon.stop()
    one.daemon.write_config({"egress": {"redirect": "*:5018"}})
    one.daemon.start()
    # What the proxy has not judged ends, as with every change of policy.
    assert isinstance(poll_until(direct.problem), ConnectionResetError)
    idle.sendall(b"after")
    assert was_reset(idle)
    flow = Flow(one.one.connect(WORLD, 22))
    with one.two.connect(OTHER, 80) as connection:
        assert fetch(connection)[0] == 200
    haproxy.wait_log(rf"from 10\.11\.0\.2 to {OTHER}:80 end ")
    flow.check()
    one.daemon.stop()
    flow.check()
    one.daemon.start()
    one.api.patch("one", {"egress": {"internet": False}})
    flow.check()
    flow.close()
    haproxy.wait_log(rf"from 10\.11\.0\.1 to {WORLD}:22 end ")


def await_none(listeners, seconds=0.3):
    """Fails if a connection comes to one of LISTENERS within a moment."""
    for listener in listeners:
        assert not readable(listener.fileno(), seconds), f"a connection came to {listener.getsockname()}"


def opened(guest, address, port, timeout=ATTEMPT):
    """None if a connection is established within TIMEOUT, else its errno."""
    with guest.socket(timeout=timeout) as connection:
        try:
            connection.connect((address, port))
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno
    return None


def test_without_its_proxy_nothing_passes(scene, proxy):
    """The proxy is not there, hangs, or is killed: the guest's connection is refused or waits, and the world hears nothing."""
    one = scene()
    with one.world.listen(8080, WORLD) as listener, one.world.listen(25, OTHER) as mail:
        # Not there, as on a host that boots.
        for address, port in ((WORLD, 80), (OTHER, 443), (WORLD, 8080), (OTHER, 25)):
            assert opened(one.one, address, port) == errno.ECONNREFUSED, f"{address}:{port}"
        await_none([listener, mail])
        # It accepts nothing.
        with one.host.listen(5018, "0.0.0.0") as hanging, one.one.connect(WORLD, 8080) as connection:
            connection.sendall(b"hello")
            assert readable(hanging.fileno(), ATTEMPT)
            await_none([listener, mail])
        # Killed with connections open: they are reset, and new ones refused.
        judge = proxy.judge(5016, 5017, 5018)
        with one.one.connect(WORLD, 8080) as connection:
            served, _ = listener.accept()
            served.sendall(b"ready")
            assert connection.recv(10) == b"ready"
            judge.stop()
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(10) == b""
            served.close()
        assert opened(one.one, WORLD, 8080) == errno.ECONNREFUSED
        await_none([listener, mail])


MASQUERADE = "table ip foreign { chain out { type nat hook postrouting priority 100; oifname uplink0 masquerade; }; }\n"


def test_when_others_flush_the_rules_nothing_passes_the_proxy(scene, proxy):
    """`nft flush ruleset` beside somebody's masquerade, while weftd stands still: what the proxy was to judge does not pass unjudged,
    nor does what was for a service of the host at an address that others have too."""
    one = scene(services=[f"{METADATA}:80=5010", f"{OTHER}:80", f"{METADATA}:111=127.0.0.1:5010"])
    judge = proxy.judge(5016, 5017, 5018)
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(one.host.listen(5010, "0.0.0.0"))
        listeners = [
            stack.enter_context(one.world.listen(port, address))
            for address, port in ((WORLD, 8080), (OTHER, 8081), (METADATA, 111), (METADATA, 8080))
        ]
        live = stack.enter_context(one.one.connect(WORLD, 8080))
        served, _ = listeners[0].accept()
        stack.callback(served.close)
        live.sendall(b"before")
        assert receive_exactly(served, 6) == b"before"
        with one.daemon.standing_still():
            one.host.run(["nft", "flush", "ruleset"])
            one.host.run(["nft", "-f", "-"], input=MASQUERADE)
            stack.callback(one.host.run, ["nft", "delete", "table", "ip", "foreign"])
            said = judge.log()
            live.sendall(b"meanwhile")
            for address, port in ((WORLD, 8080), (OTHER, 8081), (WORLD, 80), (OTHER, 80), (METADATA, 80), (METADATA, 111), (METADATA, 8080)):
                assert opened(one.one, address, port, timeout=1.0), f"{address}:{port} was reached past the host's rules"
            await_none([*listeners, service])
            assert judge.log() == said
        # All is put back, and goes on.
        poll_until(lambda: opened(one.one, OTHER, 22) is None)
        judge.wait_log(rf"allowed 10\.11\.0\.1 {OTHER}:22 -\n")
        live.sendall(b"after")
        assert receive_exactly(served, 14) == b"meanwhileafter"
        with one.one.connect(METADATA, 80), service.accept()[0]:
            pass
