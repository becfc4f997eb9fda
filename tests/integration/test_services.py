# SPDX-License-Identifier: GPL-2.0-or-later
"""Services of the host behind [egress] allow_host = ADDR:PORT=...: real proxies, and targets that refuse, hang or are none."""

import contextlib
import errno
import os
import socket
import threading

import pytest

from harness.client import echoes, receive_all, receive_exactly, was_reset
from harness.flow import Flow
from harness.guests import serve_in
from harness.proxies import fetch
from harness.wait import ATTEMPT, one_of, poll_until, readable

SERVICE = "192.0.2.1"  # in the tests it is the gateway, so it exists elsewhere
METADATA = "169.254.169.254"  # exists elsewhere, too
WORLD = "203.0.113.10"


class Scene:
    """Guests "one" and "two", and a world that answers at the addresses of the services, too."""

    def __init__(self, host, weftd, guest, stack, services, egress=None, manager=None, **sections):
        self.host = host
        self.world = host.add_uplink()
        for address in (METADATA, WORLD):
            self.world.add(f"{address}/32")
        self.elsewhere = stack.enter_context(self.world.listen(80, "0.0.0.0"))
        self.daemon = weftd({"egress": {"allow_host": services, **(egress or {})}, **sections}, run=not manager)
        if manager:
            manager.start(self.daemon)
        self.api = self.daemon.api
        self.sandboxes = [self.api.register(name, {}) for name in ("one", "two")]
        self.one, self.two = guest.many(self.sandboxes)
        for name in ("one", "two"):
            self.api.wait(name, "attached")

    def ended(self, reason):
        """How many connections ended for REASON."""
        return self.api.metrics().get(f'weft_connections_total{{reason="{reason}"}}', 0)

    def connections(self, sandbox):
        return self.api.get(f"/v1/sandboxes/{sandbox}/connections").expect(200)["connections"]

    def open_to(self, sandbox, endpoint):
        """The connection of SANDBOX to ENDPOINT that is open; one before it may still be ending."""
        return next(seen for seen in self.connections(sandbox) if (seen["endpoint"], seen["state"]) == (endpoint, "open"))


@pytest.fixture
def scene(host, weftd, guest):
    with contextlib.ExitStack() as stack:
        yield lambda services, **sections: Scene(host, weftd, guest, stack, services, **sections)


HAPROXY = """
frontend over-tcp
  bind 127.0.0.1:7001 accept-proxy
  log-format "tcp %[fc_pp_unique_id] %[src] %[dst]:%[dst_port] end"
  default_backend world
frontend over-unix
  bind unix@{folder}/proxy.sock accept-proxy
  log-format "unix %[fc_pp_unique_id] %[src] %[dst]:%[dst_port] end"
  default_backend world
frontend without
  bind 127.0.0.1:7002
  log-format "plain %[src] end"
  default_backend world
backend world
  server world {world}:80
"""


def test_haproxy_is_told_who_asks(scene, proxy, folder):
    """Over TCP and over a unix socket: the sandbox, its source, and the address that was asked; without proxy-v2 it is told nothing."""
    one = scene(
        [
            f"{SERVICE}:80=127.0.0.1:7001,proxy-v2",
            f"{SERVICE}:81=unix:{folder}/proxy.sock,proxy-v2",
            f"{METADATA}:80=127.0.0.1:7002",
        ],
        daemon={"log_level": "debug"},
    )
    one.elsewhere.close()
    servers = serve_in(one.host, one.world, "80,http,world")
    try:
        haproxy = proxy.haproxy(
            HAPROXY.format(folder=folder, world=WORLD), ports=(7001, 7002), paths=[f"{folder}/proxy.sock"]
        )
        for guest, name, source in ((one.one, "one", "10.11.0.1"), (one.two, "two", "10.11.0.2")):
            for port, how in ((80, "tcp"), (81, "unix")):
                with guest.connect(SERVICE, port) as connection:
                    status, _, body = fetch(connection)
                    assert status == 200 and b"world" in body
                    seen = one.open_to(name, f"{SERVICE}:{port}")
                    assert seen["direction"] == "out"
                    assert seen["client"].startswith(f"{source}:") and seen["bytes_from_guest"] and seen["bytes_to_guest"]
                haproxy.wait_log(rf"{how} {name} {source} {SERVICE}:{port} end")
        with one.one.connect(METADATA, 80) as connection:
            assert fetch(connection)[0] == 200
        haproxy.wait_log(r"plain 127\.0\.0\.1 end")
    finally:
        servers.stop()
    line = one.daemon.wait_log(r"connection ended.*direction=out.*:81 ")
    assert f"target=unix:{folder}/proxy.sock" in line and "sandbox=one" in line and "reason=done" in line


def test_mitmproxy_as_a_service(scene, proxy):
    """An explicit proxy on the host's loopback, which a guest without internet uses by HTTP_PROXY's ways, GET and CONNECT."""
    one = scene([f"{SERVICE}:3128=127.0.0.1:8080"])
    one.elsewhere.close()
    servers = serve_in(one.host, one.world, "80,http,world", "22,echo")
    try:
        one.api.patch("one", {"egress": {"internet": False}})
        mitm = proxy.mitmdump(8080, "--modify-headers", "/~s/X-Opened-By/mitmproxy")
        with one.one.connect(SERVICE, 3128) as connection:
            status, headers, body = fetch(connection, f"http://{WORLD}/health", name=WORLD)
        assert (status, headers["X-Opened-By"], b"world" in body) == (200, "mitmproxy", True)
        with one.one.connect(SERVICE, 3128) as connection:
            connection.sendall(f"CONNECT {WORLD}:80 HTTP/1.1\r\nHost: {WORLD}:80\r\n\r\n".encode())
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += receive_exactly(connection, 1)
            assert b" 200 " in head
            assert fetch(connection)[0] == 200
        mitm.wait_log(r"127\.0\.0\.1:\d+: GET http://")
    finally:
        servers.stop()


def test_a_port_of_the_host_sees_the_sandbox(scene):
    """=PORT: in the kernel, several ports and several addresses; and both families of a target of the forwarder."""
    one = scene([f"{SERVICE}:80=5010", f"{SERVICE}:111=5012", f"{METADATA}:80=5010", f"{SERVICE}:81=[::1]:5013"])
    with one.host.listen(5010, "0.0.0.0") as web, one.host.listen(5012, "0.0.0.0") as mapper:
        for listener, address, port in ((web, SERVICE, 80), (mapper, SERVICE, 111), (web, METADATA, 80)):
            for guest, source in ((one.one, "10.11.0.1"), (one.two, "10.11.0.2")):
                with guest.connect(address, port) as client:
                    served, peer = listener.accept()
                    assert peer[0] == source
                    served.sendall(b"hello")
                    served.close()
                    assert client.recv(100) == b"hello"
        # No other way leads to these ports, nor to others of the services' addresses.
        for address, port in ((SERVICE, 5010), ("192.0.2.2", 5010), ("10.12.0.2", 5010), (METADATA, 81), (METADATA, 111)):
            with pytest.raises(ConnectionRefusedError):
                one.one.connect(address, port)
        assert not readable(web.fileno(), 0) and not readable(mapper.fileno(), 0)
    with one.host.listen(5013, "::1", socket.AF_INET6) as listener, one.one.connect(SERVICE, 81) as client:
        served, peer = listener.accept()
        assert peer[0] == "::1"
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(served) == b"request"
        served.sendall(b"answer")
        served.close()
        assert receive_all(client) == b"answer"
    assert not readable(one.elsewhere.fileno(), 0)


def is_reset(guest, port):
    """Whether a connection to PORT of the service is reset, which connect() itself may tell."""
    try:
        with guest.connect(SERVICE, port) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            return was_reset(connection)
    except ConnectionResetError:
        return True


def bad_targets(folder, host):
    """{port: (target, the word of its error)}, for targets that nobody can connect to; and what is to be closed at the end."""
    with open(f"{folder}/file", "w", encoding="ascii") as file:
        file.write("no socket")
    os.mkdir(f"{folder}/directory")
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.bind(f"{folder}/datagrams")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(f"{folder}/stale")
    stale.close()
    host.run(["ip", "route", "add", "unreachable", "198.51.100.0/24"])
    return {
        80: ("127.0.0.1:7009", "refused"),
        81: (f"unix:{folder}/absent", "No such file"),
        82: (f"unix:{folder}/file", "refused"),
        83: (f"unix:{folder}/directory", "refused"),
        84: (f"unix:{folder}/datagrams", "wrong type"),
        85: (f"unix:{folder}/stale", "refused"),
        86: (f"unix:{folder}/file/below", "Not a directory"),
        87: ("198.51.100.1:80", "No route"),
    }, datagrams


def test_targets_that_are_none(scene, folder, host):
    """Each ends by a reset with reason proxy-refused, and the log names the target and the cause. No other way is tried."""
    targets, datagrams = bad_targets(folder, host)
    one = scene([f"{SERVICE}:{port}={target},proxy-v2" for port, (target, _) in targets.items()])
    before = one.ended("proxy-refused")
    ends = {}

    def end_of(port):
        ends[port] = is_reset(one.one, port)

    threads = [threading.Thread(target=end_of, args=[port]) for port in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    datagrams.close()
    assert ends == {port: True for port in targets}
    for port, (target, error) in targets.items():
        line = one.daemon.wait_log(rf"connection ended.*endpoint={SERVICE}:{port} ")
        assert "reason=proxy-refused" in line and f"target={target}" in line and error in line, line
    assert one.ended("proxy-refused") == before + len(targets)
    assert not readable(one.elsewhere.fileno(), 0)
    one.api.patch("one", {"name": "crawler"})
    # A service that comes up within the moment of grace is found, and is told who asks.
    told = one_of(5, lambda: header_of_a_late_service(one, 80, 7009), bool)
    assert told == ("one", "crawler", "10.11.0.1", f"{SERVICE}:80")


def header_of_a_late_service(one, port, listens):
    """The guest asks before the service listens: what read_header() then reads; None: the service came too late."""
    with one.one.connect(SERVICE, port) as connection:
        asked = f"{SERVICE}:{port}"
        poll_until(lambda: readable(connection.fileno(), 0) or any(seen["endpoint"] == asked for seen in one.connections("one")))
        with one.host.listen(listens, "127.0.0.1") as listener:
            if not readable(listener.fileno(), ATTEMPT):
                return None
            with listener.accept()[0] as served:
                return read_header(served)


def read_header(connection):
    """Reads a header of the PROXY protocol, version 2, over IPv4. Returns the sandbox's id and name, source, and destination."""
    head = receive_exactly(connection, 16)
    assert head[:14] == b"\r\n\r\n\0\r\nQUIT\n\x21\x11", head
    rest = receive_exactly(connection, int.from_bytes(head[14:], "big"))
    source, destination = (socket.inet_ntoa(rest[at : at + 4]) for at in (0, 4))
    values, at = {}, 12
    while at < len(rest):
        length = int.from_bytes(rest[at + 1 : at + 3], "big")
        values[rest[at]] = rest[at + 3 : at + 3 + length].decode()
        at += 3 + length
    return values[0x05], values[0xE0], source, f"{destination}:{int.from_bytes(rest[10:12], 'big')}"


def test_a_target_that_hangs_and_one_that_dies(scene, folder):
    """Full queues hold the guest until its deadline; a target that ends resets it; a target that never reads holds nobody else up."""
    one = scene(
        [f"{SERVICE}:80=127.0.0.1:7001", f"{SERVICE}:81=unix:{folder}/full", f"{SERVICE}:82=127.0.0.1:7003"],
        forwarder={"connect_deadline": "1s"},
    )
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(one.host.listen(7001, "127.0.0.1", backlog=0))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        unix.bind(f"{folder}/full")
        unix.listen(0)
        for _ in range(2):
            filler = stack.enter_context(one.host.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", 7001))
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            filler.connect_ex(f"{folder}/full")
        good = stack.enter_context(one.host.listen(7003, "127.0.0.1"))
        live = stack.enter_context(one.two.connect(SERVICE, 82))
        served = stack.enter_context(good.accept()[0])
        for port in (80, 81):
            assert is_reset(one.one, port)
            line = one.daemon.wait_log(rf"connection ended.*endpoint={SERVICE}:{port} ")
            assert "reason=proxy-refused" in line, line
        assert full and not readable(one.elsewhere.fileno(), 0)
        # The others went on meanwhile. Then their service dies.
        live.sendall(b"ping")
        assert receive_exactly(served, 4) == b"ping"
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        served.close()
        assert was_reset(live)


def connects(namespace, address, port):
    """errno of a connection, or 0 if it is established and stays so for a moment."""
    with namespace.socket(timeout=ATTEMPT) as connection:
        error = connection.connect_ex((address, port))
        if error or not readable(connection.fileno(), 0.1):
            return error
        return errno.ECONNRESET if was_reset(connection) else errno.EPIPE


def test_the_listener_of_weftd_is_for_redirected_connections_alone(scene):
    """Not for the host's own programs, nor the world, nor a guest that finds its port, nor a source that is no sandbox."""
    one = scene([f"{SERVICE}:80=127.0.0.1:7001"])
    port = 5382
    assert any(bound.port == port for bound in one.host.bound_sockets())
    with one.host.listen(7001, "127.0.0.1") as listener:
        for namespace, address in (
            (one.host, "127.0.0.1"),
            (one.host, "10.12.0.2"),
            (one.world, "192.0.2.2"),
            (one.one, "192.0.2.2"),
            (one.one, "10.12.0.2"),
            (one.one, "10.12.0.4"),
        ):
            assert connects(namespace, address, port), f"{namespace.name} to {address}"
        assert not readable(listener.fileno(), 0)
        with one.one.connect(SERVICE, 80) as connection:
            served, _ = listener.accept()
            served.close()
            assert receive_all(connection) == b""


def test_a_restart_withdraws_services(scene, manager):
    """A connection to a service that is configured no more ends, although another service has the same address; others go on."""
    lines = [f"{SERVICE}:7=127.0.0.1:7001", f"{SERVICE}:8=127.0.0.1:7001"]
    one = scene(lines, manager=manager)
    servers = serve_in(one.host, one.host, "7001,echo")
    try:
        withdrawn, kept = one.one.connect(SERVICE, 7), one.one.connect(SERVICE, 8)
        assert echoes(withdrawn) and echoes(kept)
        one.daemon.stop()
        one.daemon.write_config({"egress": {"allow_host": lines[1:]}})
        manager.start(one.daemon)
        assert was_reset(withdrawn) and echoes(kept)
        assert [seen["endpoint"] for seen in one.connections("one")] == [f"{SERVICE}:8"]
        one.daemon.wait_log(rf"connection ended.*endpoint={SERVICE}:7 .*reason=unregistered")
        withdrawn.close()
        kept.close()
    finally:
        servers.stop()


def test_services_share_the_life_of_their_sandbox(scene, manager):
    """They have a limit of their own, and outlive a restart. Paused, they stand still; isolated or unregistered, they end."""
    one = scene([f"{SERVICE}:7=127.0.0.1:7001"], egress={"connections": 2}, manager=manager)
    servers = serve_in(one.host, one.host, "7001,echo")
    try:
        kept, gone, other = (guest.connect(SERVICE, 7) for guest in (one.one, one.one, one.two))
        flow = Flow(other)
        assert echoes(kept) and echoes(gone)
        assert is_reset(one.one, 7)
        assert one.ended("limit") == 1
        one.daemon.stop()
        manager.start(one.daemon)
        poll_until(lambda: len(one.connections("one")) == 2)
        assert echoes(kept) and {seen["direction"] for seen in one.connections("one")} == {"out"}
        flow.check()
        one.api.patch("one", {"paused": True})
        gone.sendall(b"held")
        assert not readable(gone.fileno(), 0.3)
        assert {seen["state"] for seen in one.connections("one")} == {"paused"}
        one.api.patch("one", {"paused": False})
        assert receive_exactly(gone, 4) == b"held"
        one.api.patch("one", {"egress": {"isolated": True}})
        with pytest.raises(ConnectionResetError):
            kept.sendall(b"after")
            kept.recv(10)
        with pytest.raises(ConnectionRefusedError):
            one.one.connect(SERVICE, 7)
        flow.check()
        one.api.patch("one", {"egress": {"isolated": False}})
        with one.one.connect(SERVICE, 7) as last:
            assert echoes(last)
            one.api.unregister("one")
        flow.check()
        assert len(one.connections("two")) == 1
        flow.close()
        kept.close()
        gone.close()
    finally:
        servers.stop()
