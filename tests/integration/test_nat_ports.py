# SPDX-License-Identifier: GPL-2.0-or-later
"""Ports published on addresses of the host by the kernel's own translation, TCP and UDP."""

import contextlib
import json
import socket

import pytest

from harness.flow import Flow
from harness.wait import poll_until

HOST = "192.0.2.2"
ALLOWED = {"ports": {"allow_address": ["0.0.0.0/32", "192.0.2.0/24"]}}


def nat(guest_port, listen, proto="tcp"):
    return {"guest_port": guest_port, "listen": listen, "proto": proto, "via": "nat"}


@pytest.fixture
def scene(host, weftd, guest):
    return lambda config=ALLOWED: Scene(host, weftd, guest, config)


class Scene:
    """A host with an uplink, and guests with an HTTP server each that returns the guest's name."""

    def __init__(self, host, weftd, guest, config):
        self.host = host
        self.world = host.add_uplink()
        self.daemon = weftd(config)
        self.api = self.daemon.api
        self.factory = guest

    def add(self, name, *ports):
        sandbox = self.api.register(name, {"ports": list(ports)})
        attached = self.factory(sandbox)
        attached.serve(f"8080,http,{name}", "7,echo")
        self.api.wait(name, "attached")
        return attached

    def name_at(self, port, address=HOST, namespace=None):
        """The name that answers there."""
        with (namespace or self.world).connect(address, port) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return json.loads(client.recv(4096).split(b"\r\n\r\n", 1)[1])["guest"]

    def closed(self, port, address=HOST, namespace=None):
        try:
            (namespace or self.world).connect(address, port).close()
        except ConnectionRefusedError:
            return True
        return False


def test_from_outside_and_from_the_host(scene):
    one = scene()
    one.add("a", nat(8080, "0.0.0.0:30888"))
    one.add("b", nat(8080, f"{HOST}:30889"))
    for namespace in (one.world, one.host):
        assert one.name_at(30888, namespace=namespace) == "a"
        assert one.name_at(30889, namespace=namespace) == "b"
    # A wildcard means all addresses of the host, and no others.
    one.host.run(["ip", "addr", "add", "192.0.2.77/24", "dev", "uplink0"])
    assert one.name_at(30888, "192.0.2.77") == "a"
    assert one.closed(30889, "192.0.2.77")
    one.host.run(["ip", "addr", "del", "192.0.2.77/24", "dev", "uplink0"])
    one.world.add("203.0.113.10/32")
    assert one.closed(30888, "203.0.113.10", namespace=one.host)
    shown = one.api.show("a")["endpoints"]
    assert [(end["via"], end["proto"], end["listen"]) for end in shown] == [("nat", "tcp", ["0.0.0.0:30888"])]


def test_the_guest_sees_who_asks(scene):
    one = scene()
    attached = one.add("a", nat(9000, "0.0.0.0:30888"))
    with attached.listen(9000) as listener, one.world.connect(HOST, 30888) as client:
        server, peer = listener.accept()
        assert peer[0] == "192.0.2.1"
        server.sendall(b"hello")
        assert client.recv(10) == b"hello"
        server.close()


def test_udp(scene):
    one = scene()
    attached = one.add("a", nat(53, "0.0.0.0:30053", "udp"), nat(8080, "0.0.0.0:30053"))
    with attached.socket(kind=socket.SOCK_DGRAM) as server:
        server.bind(("", 53))
        # The same number for TCP is another port. It is tested first, as a link drops packets for a moment after its carrier comes.
        assert one.name_at(30053) == "a"
        for namespace in (one.world, one.host):
            with namespace.socket(kind=socket.SOCK_DGRAM) as client:
                client.connect((HOST, 30053))
                client.send(b"question")
                question, peer = server.recvfrom(100)
                server.sendto(b"answer", peer)
                assert (question, client.recv(100)) == (b"question", b"answer")
        # The port is removed, and so is its flow: the next datagram of the flow gets no answer.
        with one.world.socket(kind=socket.SOCK_DGRAM) as client:
            client.connect((HOST, 30053))
            client.send(b"before")
            assert server.recv(100) == b"before"
            one.api.unregister("a")
            with pytest.raises(ConnectionRefusedError):
                for _ in range(100):
                    client.send(b"after")
                    client.settimeout(0.1)
                    with contextlib.suppress(socket.timeout):
                        client.recv(100)


def test_refused_unless_the_configuration_allows_the_address(scene):
    one = scene({"ports": {"allow_address": "192.0.2.2/32"}})
    for listen in ("0.0.0.0:30888", "192.0.2.77:30888", "127.0.0.1:30888", "[::]:30888"):
        reply = one.api.request("PUT", "/v1/sandboxes/a", body={"ports": [nat(8080, listen)]})
        assert reply.problem(400)["field"].startswith("/ports/0/listen"), reply
    reply = one.api.request("PUT", "/v1/sandboxes/a", body={"ports": [nat(8080, f"{HOST}:80")]})
    reply.problem(400)  # a privileged port
    assert one.api.list() == []
    one.add("a", nat(8080, f"{HOST}:30888"))
    assert one.name_at(30888) == "a"


def test_refused_by_default(scene):
    one = scene(None)
    for listen in ("0.0.0.0:30888", f"{HOST}:30888"):
        for via in ("nat", "forwarder"):
            body = {"ports": [{"guest_port": 8080, "listen": listen, "via": via}]}
            one.api.request("PUT", "/v1/sandboxes/a", body=body).problem(400)
    assert one.closed(30888)


def test_published_and_unpublished_while_it_runs(scene):
    one = scene()
    one.add("a")
    assert one.closed(30888)
    one.api.patch("a", {"publish": [nat(8080, "0.0.0.0:30888"), nat(7, f"{HOST}:30007")]})
    assert one.name_at(30888) == "a"
    flow = Flow(one.world.connect(HOST, 30007))
    one.api.patch("a", {"unpublish": ["0.0.0.0:30888"]})
    assert one.closed(30888)
    flow.check()
    flow.close()
    # A policy's change leaves ports alone, and vice versa.
    one.api.patch("a", {"publish": [nat(8080, "0.0.0.0:30888")], "egress": {"internet": False}})
    one.api.patch("a", {"egress": {"internet": True}})
    assert one.name_at(30888) == "a"


def test_gone_when_unregistered_and_never_anothers(scene):
    one = scene()
    one.add("a", nat(8080, "0.0.0.0:30888"))
    one.add("b", nat(8080, "0.0.0.0:30889"))
    assert one.name_at(30888) == "a"
    for listen in ("0.0.0.0:30889", f"{HOST}:30889"):
        reply = one.api.request("PATCH", "/v1/sandboxes/a", body={"publish": [nat(8080, listen)]})
        assert "b" in reply.problem(409)["detail"], reply
    one.api.unregister("a")
    assert one.closed(30888) and one.name_at(30889) == "b"
    # The next tenant of slot 1 inherits none of it.
    one.add("c")
    assert one.api.show("c")["slot"] == 1
    assert one.closed(30888) and one.name_at(30889) == "b"
    maps = one.host.output(["nft", "list", "map", "inet", "weft", "published_anywhere"])
    assert "10.11.0.1" not in maps and "10.11.0.2" in maps


def test_a_live_connection_ends_with_its_sandbox(scene):
    one = scene()
    one.add("a", nat(7, "0.0.0.0:30007"))
    flow = Flow(one.world.connect(HOST, 30007))
    flow.check()
    one.api.unregister("a")
    one.add("b", nat(7, "0.0.0.0:30007"))
    moved = flow.bytes
    fresh = Flow(one.world.connect(HOST, 30007))
    fresh.check()
    fresh.close()
    # The old flow did not resume with the next tenant of the slot.
    assert flow.bytes == moved
    flow.connection.close()


def test_no_way_from_one_sandbox_to_another(scene):
    one = scene()
    attached = one.add("a", nat(8080, "0.0.0.0:30888"))
    one.add("b", nat(8080, f"{HOST}:30889"))
    for port in (30888, 30889):
        for address in (HOST, "10.12.0.2", "10.12.0.4"):
            assert one.closed(port, address, namespace=attached)


def test_kept_over_a_restart_and_a_flush(scene):
    one = scene()
    one.add("a", nat(8080, "0.0.0.0:30888"), nat(7, f"{HOST}:30007"))
    flow = Flow(one.world.connect(HOST, 30007))
    one.daemon.kill()
    assert one.name_at(30888) == "a"
    one.daemon.start()
    flow.check()
    assert one.name_at(30888) == "a"
    one.host.run(["nft", "flush", "ruleset"])
    poll_until(lambda: "30888" in one.host.nft() and "30007" in one.host.nft(), what=one.host.nft)
    assert one.name_at(30888) == "a"
    # The kernel may lose connections that were translated when the rules were flushed: without rules, it tracks no flows.
    flow.connection.close()


def test_rules_do_not_grow_with_ports(scene):
    one = scene()
    one.add("a")
    rules = one.host.output(["nft", "-a", "list", "ruleset"]).count(" # handle ")
    one.api.patch("a", {"publish": [nat(8080, f"0.0.0.0:{port}") for port in range(31000, 31100)]})
    text = one.host.output(["nft", "-a", "list", "ruleset"])
    assert "31099" in text
    assert text.count(" # handle ") == rules
    assert one.name_at(31050) == "a"
