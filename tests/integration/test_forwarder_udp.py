# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP endpoints of the forwarder alone."""

import contextlib
import os
import signal
import socket
import threading

import pytest

from harness.forwarder import GUEST
from harness.wait import poll_until


SO_RCVBUFFORCE = 33  # not in Python's socket


@contextlib.contextmanager
def stopped(pid):
    """The process is stopped meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def asked(connection, text):
    """Whether TEXT is answered before the socket's timeout."""
    try:
        connection.send(text)
        return connection.recv(65536) == b"re:" + text
    except (TimeoutError, ConnectionRefusedError):
        return False


class Echo:
    """The guest's socket, and the address on tap0 of the flow that sent to it last."""

    def __init__(self, server):
        self.server = server
        self.client = None


@pytest.fixture
def echo(forwarder, sandbox, guest):
    """A guest that sends each datagram back with "re:" before it, except b"quiet"; b"stop" ends it."""
    one = guest("ns-1")
    forwarder.tell("up a1 1")
    server = one.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # a burst waits there until it is answered
    server.bind(("", 5300))
    echoing = Echo(server)

    def serve():
        while True:
            data, client_address = server.recvfrom(65536)
            if data == b"stop":
                return
            echoing.client = client_address
            if data != b"quiet":
                server.sendto(b"re:" + data, client_address)

    thread = threading.Thread(target=serve)
    thread.start()
    # A link drops packets for a moment after its carrier comes.
    with sandbox.netns.socket(socket.AF_INET, socket.SOCK_DGRAM, timeout=0.1) as first:
        first.connect((GUEST, 5300))
        poll_until(lambda: asked(first, b"first"))
    yield echoing
    with one.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
        last.sendto(b"stop", ("127.0.0.1", 5300))
    thread.join()
    server.close()


def client(host, address, port):
    made = host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.connect((address, port))
    return made


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_each_client_gets_its_own_answers(host, forwarder, echo, address):
    where = f"[{address}]" if ":" in address else address
    forwarder.tell(f"listen dns a1 {where}:5353 5300 udp")
    clients = [client(host, address, 5353) for _ in range(20)]
    for round_number in range(5):
        for number, one in enumerate(clients):
            one.send(f"{number}/{round_number}".encode())
        for number, one in enumerate(clients):
            assert one.recv(100) == f"re:{number}/{round_number}".encode()
    stats = forwarder.values("routestats a1")
    assert stats["total"] == stats["open"] == 20
    assert stats["to_guest"] == sum(len(f"{n}/0") for n in range(20)) * 5
    listed = forwarder.tell("list a1").split()
    assert listed[0] == "10" and listed[1].startswith(f"open/{where}:5353/")
    for one in clients:
        one.close()


@pytest.mark.parametrize(
    "everywhere, asked_at, source",
    [("0.0.0.0", ("127.0.0.7", "127.0.0.8"), "127.0.0.1"), ("[::]", ("fd00::7", "fd00::8"), "::1")],
)
def test_an_answer_leaves_from_the_address_that_was_asked(host, forwarder, echo, everywhere, asked_at, source):
    for address in asked_at if ":" in source else ():
        host.run(["ip", "addr", "add", f"{address}/128", "dev", "lo"])
    forwarder.tell(f"listen dns a1 {everywhere}:5353 5300 udp")
    with host.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((source, 40000))
        for round_number in range(2):
            for address in asked_at:
                one.sendto(f"{address}/{round_number}".encode(), (address, 5353))
            answers = dict(reversed([one.recvfrom(100), one.recvfrom(100)]))
            assert {data: peer[:2] for data, peer in answers.items()} == {
                f"re:{address}/{round_number}".encode(): (address, 5353) for address in asked_at
            }
    # One port of a client, and a flow for each address that it asked.
    assert forwarder.values("routestats a1")["total"] == 2


def test_a_burst_arrives_whole(host, forwarder, echo):
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    with client(host, "127.0.0.1", 5353) as one:
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        one.send(b"first")
        assert one.recv(100) == b"re:first"
        with stopped(forwarder.pid):
            for number in range(500):
                one.send(f"{number:04}".encode() + b"x" * 1000)
        poll_until(lambda: forwarder.values("routestats a1")["to_guest"] == 5 + 500 * 1004)
    before = echo.client
    with client(host, "127.0.0.1", 5353) as one:
        one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        poll_until(lambda: one.send(b"quiet") and echo.client != before)
        with stopped(forwarder.pid):
            for number in range(500):
                echo.server.sendto(f"{number:04}".encode() + b"x" * 1000, echo.client)
        assert [int(one.recv(2000)[:4]) for _ in range(500)] == list(range(500))
    assert forwarder.stats()["udp_lost"] == 0


def test_datagrams_that_find_no_room_are_counted(host, forwarder, echo):
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    with client(host, "127.0.0.1", 5353) as one:
        with stopped(forwarder.pid):
            for _ in range(300):
                one.send(b"x" * 60_000)

        def seen():
            stats = forwarder.values("routestats a1")
            return stats["to_guest"] // 60_000 + stats["udp_lost"]

        poll_until(lambda: seen() == 300, what=lambda: forwarder.tell("routestats a1"))
    lost = forwarder.values("routestats a1")["udp_lost"]
    assert 100 < lost < 250 and lost == forwarder.stats()["udp_lost"]


def test_large_datagrams_and_empty_ones_pass(host, forwarder, echo):
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    with client(host, "127.0.0.1", 5353) as one:
        for size in (0, 1, 1400, 9000, 60000):
            one.send(b"x" * size)
            assert one.recv(65536) == b"re:" + b"x" * size


def test_silence_ends_a_flow(host, forwarder, echo):
    forwarder.tell("limits a1 0 60000 1000 0 0")
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    with client(host, "127.0.0.1", 5353) as one:
        one.settimeout(2)  # an answer after more than a second has no client any more
        poll_until(lambda: asked(one, b"a"))
        forwarder.wait_ended(idle=1)
        poll_until(lambda: forwarder.values("routestats a1")["open"] == 0)
        poll_until(lambda: asked(one, b"b"))


def test_more_flows_than_allowed_get_no_answer(host, forwarder, echo):
    forwarder.tell("limits a1 2 60000 0 0 0")
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    clients = [client(host, "127.0.0.1", 5353) for _ in range(3)]
    for one in clients[:2]:
        one.send(b"a")
        assert one.recv(10) == b"re:a"
    clients[2].send(b"a")
    forwarder.wait_ended(limit=1)
    for one in clients:
        one.close()


def test_a_closed_endpoint_is_free_and_its_flows_end(host, forwarder, echo):
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    with pytest.raises(OSError, match="in use"):
        forwarder.tell("listen other a1 127.0.0.1:5353 5300 udp")
    with client(host, "127.0.0.1", 5353) as one:
        one.send(b"a")
        assert one.recv(10) == b"re:a"
        forwarder.tell("unlisten dns reset")
        forwarder.wait_ended(unregistered=1)

        def free():
            try:
                return forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp") == ""
            except OSError:
                return False

        poll_until(free)
        one.send(b"b")
        assert one.recv(10) == b"re:b"
    forwarder.tell("unlisten dns reset")
    forwarder.tell("close a1 0")
    forwarder.wait_event("closed a1")


def test_a_pause_keeps_the_flow(host, forwarder, echo):
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    with client(host, "127.0.0.1", 5353) as one:
        one.send(b"a")
        assert one.recv(10) == b"re:a"
        forwarder.tell("pause a1")
        one.send(b"lost")
        forwarder.tell("list a1")
        forwarder.tell("resume a1 keep")
        one.settimeout(0.1)
        poll_until(lambda: asked(one, b"b"))
    assert forwarder.values("routestats a1")["total"] == 1


# ---- Limits ----


class Sender:
    """A client with many ports: quiet() sends from each of PORTS something that is not answered."""

    def __init__(self, host, forwarder):
        self.host = host
        self.forwarder = forwarder

    def quiet(self, ports, source="127.0.0.1"):
        """The forwarder has seen each before the next ones come, so none is lost on the way."""
        before = self.seen()
        for sent, port in enumerate(ports, 1):
            with self.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind((source, port))
                one.sendto(b"quiet", ("127.0.0.1", 5353))
            if port % 50 == 0 or port == ports[-1] or len(ports) < 50:
                poll_until(lambda: self.seen() >= before + sent)  # pylint: disable=cell-var-from-loop

    def seen(self):
        return self.forwarder.values("routestats a1")["total"] + self.forwarder.stats()["udp_lost"]


@pytest.fixture
def sender(host, forwarder, echo):
    forwarder.tell("listen dns a1 127.0.0.1:5353 5300 udp")
    return Sender(host, forwarder)


def answered_clients(host, count, source="127.0.0.1"):
    made = []
    for _ in range(count):
        one = host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((source, 0))
        one.connect(("127.0.0.1", 5353))
        one.send(b"a")
        assert one.recv(10) == b"re:a"
        made.append(one)
    return made


def are_all_answered(clients, forwarder):
    """Whether each of CLIENTS is answered by the flow that it has."""
    total = forwarder.values("routestats a1")["total"]
    for one in clients:
        one.send(b"b")
        assert one.recv(10) == b"re:b"
    return forwarder.values("routestats a1")["total"] == total


def test_a_flood_of_ports_keeps_to_the_limit_of_its_address(host, forwarder, sender):
    others = answered_clients(host, 3, "127.0.0.2")
    own = answered_clients(host, 3)
    sender.quiet([40000], "127.0.0.3")
    before = forwarder.fds()
    sender.quiet(range(30000, 31100))
    stats = forwarder.stats()
    assert stats["open"] == 3 + 1 + 1024
    assert stats["limit"] == 3 + 1100 - 1024
    assert stats["descriptors"] <= forwarder.fds() <= before + 1100
    assert are_all_answered(others + own, forwarder)
    for one in others + own:
        one.close()


def test_where_all_flows_were_answered_a_new_one_gets_no_place(host, forwarder, sender):
    forwarder.tell("option udp_flows_per_client 5")
    clients = answered_clients(host, 5)
    sender.quiet([30000, 30001])
    stats = forwarder.stats()
    assert stats["open"] == 5 and stats["limit"] == stats["udp_lost"] == 2
    assert are_all_answered(clients, forwarder)
    # Another address has its own limit.
    clients += answered_clients(host, 1, "127.0.0.2")
    for one in clients:
        one.close()


def test_an_endpoint_has_a_limit_too(host, forwarder, sender):
    forwarder.tell("option udp_flows 6")
    clients = answered_clients(host, 3)
    for last in range(2, 12):
        sender.quiet([30000], f"127.0.0.{last}")
    assert forwarder.stats()["open"] == 6
    assert forwarder.stats()["limit"] == 7
    listed = forwarder.tell("list a1").split()[1:]
    assert {f"127.0.0.{last}:30000" for last in (9, 10, 11)} <= {entry.split("/")[2] for entry in listed}
    assert are_all_answered(clients, forwarder)
    for one in clients:
        one.close()


def test_what_nobody_takes_is_counted_as_lost(host, forwarder, sender):
    forwarder.tell("pause a1")
    with client(host, "127.0.0.1", 5353) as one:
        one.send(b"a")
        poll_until(lambda: forwarder.stats()["udp_lost"] == 1)
