# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder alone: the view that client and guest have of each other through it."""

import socket
import threading
import zlib

import pytest

from harness.client import PATTERN, RESET_ON_CLOSE, accept_from, pattern, receive_all
from harness.wait import PATIENCE, poll_until


def listen(forwarder, guest_port, port=None, *options):
    """Endpoints on both families for a guest's port, and their number."""
    port = port or 20000 + guest_port % 10000
    forwarder.tell(f"listen v4-{port} a1 127.0.0.1:{port} {guest_port} {' '.join(options)}".strip())
    forwarder.tell(f"listen v6-{port} a1 [::1]:{port} {guest_port} {' '.join(options)}".strip())
    return port


@pytest.fixture(params=["127.0.0.1", "::1"])
def address(request):
    return request.param


def test_a_request_and_its_answer(host, forwarder, up, address):
    up.serve("49983,http,a1")
    port = listen(forwarder, 49983)
    with host.connect(address, port) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b"}\n" not in answer:
            answer += client.recv(4096)
        assert b'"guest": "a1"' in answer
    forwarder.wait_ended(done=1)


@pytest.mark.parametrize("size", [1, 1000, 100_000, 30_000_000])
def test_what_a_guest_sends_arrives_whole(host, forwarder, up, address, size):
    up.serve(f"19,source,{size}")
    port = listen(forwarder, 19)
    with host.connect(address, port) as client:
        assert receive_all(client) == pattern(size)
    forwarder.wait_ended(done=1)


@pytest.mark.parametrize("size", [1, 1000, 100_000, 30_000_000])
def test_what_a_client_sends_arrives_whole(host, forwarder, up, address, size):
    up.serve("10,sum")
    port = listen(forwarder, 10)
    data = pattern(size)
    with host.connect(address, port) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == f"{size} {zlib.crc32(data):08x}\n".encode()
    forwarder.wait_ended(done=1)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_half_closed_client_gets_the_whole_answer(host, forwarder, up, address, size):
    up.serve("22,half,300")
    port = listen(forwarder, 22)
    with host.connect(address, port) as client:
        client.sendall(pattern(size))
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == pattern(size)
    forwarder.wait_ended(done=1)


def test_a_client_that_resets_is_a_reset_for_the_guest(host, forwarder, up, address):
    servers = up.serve("7,echo", report=True)
    port = listen(forwarder, 7)
    with host.connect(address, port) as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    assert servers.next_end(least=3)[1:] == (7, "reset", 3)
    forwarder.wait_ended(client_reset=1)


def test_a_guest_that_resets_is_a_reset_for_the_client(host, forwarder, up, address):
    up.serve("23,reset,3")
    port = listen(forwarder, 23)
    with host.connect(address, port) as client:
        client.sendall(b"abc")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    forwarder.wait_ended(guest_reset=1)


def test_a_reset_is_passed_on_although_the_way_is_blocked(host, forwarder, up):
    """The client reads nothing, so the forwarder reads nothing from the guest either when it resets."""
    listener = up.listen(30)
    port = listen(forwarder, 30)
    with host.connect("127.0.0.1", port) as client:
        served = accept_from(listener, client)
        served.settimeout(0.2)
        with pytest.raises(socket.timeout):
            while True:
                served.sendall(b"x" * 65536)
        served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        served.close()
        forwarder.wait_ended(guest_reset=1)
        with pytest.raises(ConnectionResetError):
            receive_all(client)


def test_a_client_is_held_until_the_guest_listens(host, forwarder, guest, address):
    port = listen(forwarder, 7)
    with host.connect(address, port) as client:
        client.sendall(b"early")
        poll_until(lambda: forwarder.values("routestats a1")["held"] == 1)
        one = guest("ns-1")
        forwarder.tell("up a1 1")
        assert forwarder.tell("list a1").split()[0] == "1"
        one.serve("7,echo")
        assert client.recv(5) == b"early"
    forwarder.wait_ended(done=1)


def test_a_held_client_is_reset_at_the_deadline(host, forwarder, address):
    forwarder.tell("limits a1 0 300 0 0 0")
    port = listen(forwarder, 7)
    # On a busy machine the reset may come before connect() returns.
    with pytest.raises(ConnectionResetError), host.connect(address, port) as client:
        client.recv(1)
    forwarder.wait_ended(connect_deadline=1)


def test_a_held_client_that_goes_is_not_held_any_more(host, forwarder, address):
    port = listen(forwarder, 7)
    host.connect(address, port).close()
    forwarder.wait_ended(done=1)
    with host.connect(address, port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    forwarder.wait_ended(client_reset=1)


def test_a_ready_guest_that_refuses_is_given_a_grace_only(host, forwarder, up, address):
    forwarder.tell("ready a1 1")
    port = listen(forwarder, 7)
    with pytest.raises(ConnectionResetError), host.connect(address, port) as client:
        client.recv(1)
    forwarder.wait_ended(guest_refused=1)


def test_a_lost_carrier_resets_the_connections(host, forwarder, up, address):
    up.serve("7,echo")
    port = listen(forwarder, 7)
    with host.connect(address, port) as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        forwarder.tell("up a1 0")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    forwarder.wait_ended(carrier_lost=1)


def test_a_closed_route_resets_its_connections_and_is_gone(host, forwarder, up):
    up.serve("7,echo")
    listen(forwarder, 7, 20007)
    with host.connect("127.0.0.1", 20007) as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        forwarder.tell("unlisten v4-20007 keep")
        forwarder.tell("unlisten v6-20007 keep")
        forwarder.tell("close a1 0")
        forwarder.wait_event("closed a1")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    forwarder.wait_ended(unregistered=1)


def test_a_paused_guest_keeps_its_connections(host, forwarder, up, address):
    up.serve("7,echo")
    port = listen(forwarder, 7)
    with host.connect(address, port) as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        forwarder.tell("pause a1")
        up.freeze()
        client.sendall(b"later")
        with host.connect(address, port) as late:
            late.sendall(b"late")
            poll_until(lambda: forwarder.values("routestats a1")["held"] == 1)
            up.thaw()
            forwarder.tell("resume a1 keep")
            assert client.recv(5) == b"later"
            assert late.recv(4) == b"late"
        forwarder.tell("pause a1")
        forwarder.tell("resume a1 reset")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    forwarder.wait_ended(paused_reset=1)


def test_the_default_endpoint_waits_for_a_sandbox(host, forwarder, up, address):
    up.serve("49983,echo")
    listen_on = "[::1]:49983" if ":" in address else "127.0.0.1:49983"
    forwarder.tell("wait 60000")
    forwarder.tell(f"listen default - {listen_on} 49983")
    with host.connect(address, 49983) as client:
        client.sendall(b"abc")
        forwarder.tell("default a1")
        assert client.recv(3) == b"abc"
    forwarder.tell("default -")
    forwarder.tell("wait 1000")
    with pytest.raises(ConnectionResetError), host.connect(address, 49983) as client:
        client.recv(1)  # held for default_wait
    forwarder.wait_ended(no_sandbox=1)


def test_a_probe_tells_when_the_guest_listens(forwarder, guest):
    forwarder.tell("probe a1 7")
    one = guest("ns-1")
    forwarder.tell("up a1 1")
    one.serve("7,echo")
    forwarder.wait_event("accepted a1 7")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_an_urgent_byte_neither_stalls_nor_spins(host, forwarder, up, address, direction):
    """splice() returns EAGAIN in front of an urgent byte for ever."""
    listener = up.listen(30)
    port = listen(forwarder, 30)
    client = host.connect(address, port)
    served = accept_from(listener, client)
    sender, receiver = (client, served) if direction == "up" else (served, client)
    reader = threading.Thread(target=lambda: received.append(receive_all(receiver)))
    received = []
    reader.start()
    sender.sendall(PATTERN * 20)
    sender.send(b"!", socket.MSG_OOB)
    sender.sendall(PATTERN * 20)
    sender.shutdown(socket.SHUT_WR)
    reader.join(2 * PATIENCE)
    assert not reader.is_alive()
    whole = PATTERN * 40
    where = next((i for i, (a, b) in enumerate(zip(received[0], whole)) if a != b), -1)
    assert received[0] == whole, f"{len(received[0])} of {len(whole)} bytes, first difference at {where}"
    receiver.close()
    sender.close()
    forwarder.wait_ended(done=1)


def test_one_line_tells_how_a_connection_ended(host, forwarder, up):
    up.serve("7,echo")
    port = listen(forwarder, 7)
    with host.connect("127.0.0.1", port) as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        name = "{}:{}".format(*client.getsockname())
    forwarder.wait_ended(done=1)
    (end,) = poll_until(forwarder.ends)
    assert end["level"] == "debug" and end["reason"] == "done" and end["sandbox"] == "a1"
    assert end["endpoint"] == f"127.0.0.1:{port}" and end["client"] == name
    assert (end["to_guest"], end["from_guest"]) == ("3", "3")
    assert int(end["connect_ms"]) >= 0 and int(end["duration_ms"]) >= int(end["connect_ms"])
