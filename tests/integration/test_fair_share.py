# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors are scarce: a flood of one sandbox's clients leaves the others theirs."""

import contextlib
import itertools
import re
import resource
import socket

import pytest

from harness.api import endpoint_port
from harness.client import echoes
from harness.forwarder import Sandbox
from harness.wait import poll_until, readable

FEW = 300  # descriptors: 75 are the reserve, and 56 of the rest are a quarter


def limit_descriptors(pid, soft):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))


def connected(host, port):
    """A client; or None if it is refused, which it may learn from connect() already."""
    with contextlib.suppress(ConnectionResetError):
        return host.connect("127.0.0.1", port)
    return None


def is_refused(client):
    if client is None:
        return True
    with client, contextlib.suppress(TimeoutError):
        client.settimeout(0.1)
        try:
            client.recv(1)
        except ConnectionResetError:
            return True
    return False


@contextlib.contextmanager
def flood(host, port, count, settled):
    """COUNT clients that say nothing, once SETTLED: those that were not refused at once."""
    with contextlib.ExitStack() as stack:
        clients = [client for _ in range(count) if (client := connected(host, port))]
        for client in clients:
            stack.enter_context(client)
        poll_until(settled)
        yield [client for client in clients if not readable(client.fileno(), 0)]


def settled(forwarder, count):
    """Whether COUNT connections of the flood are open, or refused by a limit."""
    return lambda: forwarder.stats()["open"] + forwarder.stats()["limit"] == count


@pytest.fixture
def start_two(host, start_forwarder, guest):
    """Starts a forwarder with so many descriptors; 20007 leads to a1, which no guest answers, and 20008 to b1, which echoes."""

    def start(descriptors):
        forwarder = start_forwarder(nofile=descriptors)
        forwarder.tell(f"route b1 {Sandbox(host, 'ns-2').path}")
        forwarder.tell("listen a a1 127.0.0.1:20007 7")
        forwarder.tell("listen b b1 127.0.0.1:20008 7")
        guest("ns-2").serve("7,echo")
        forwarder.tell("up b1 1")
        return forwarder

    return start


@pytest.fixture
def two(start_two):
    return start_two(FEW)


def all_served(host, count):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(host.connect("127.0.0.1", 20008)) for _ in range(count)]
        return all(echoes(client) for client in clients)


def test_a_flood_of_one_sandbox_stops_no_other(host, two):
    with flood(host, 20007, 200, settled(two, 200)) as clients:
        stats = two.stats()
        assert stats["limit"] >= 100
        assert {end["reason"] for end in two.ends()} == {"limit"}
        assert len(clients) == stats["open"], "each was refused, or is held"
        assert two.fds() < 2 * stats["open"] + 60
        assert all_served(host, 10)
        # Another one that is flooded leaves room as well.
        two.tell("route c1 -")
        two.tell("listen c c1 127.0.0.1:20009 7")
        with flood(host, 20009, 100, settled(two, 300)):
            assert two.values("routestats c1")["held"] >= 10
            assert two.stats()["limit"] > stats["limit"]
            assert all_served(host, 3)
        assert two.stats()["accept_pauses"] == 0


def test_however_many_are_flooded_each_sandbox_has_a_little(host, two):
    with contextlib.ExitStack() as stack:
        for number in range(6):
            two.tell(f"route c{number} -")
            two.tell(f"listen c{number} c{number} 127.0.0.1:{21000 + number} 7")
            stack.enter_context(flood(host, 21000 + number, 80, settled(two, 80 * (number + 1))))
            assert two.values(f"routestats c{number}")["held"] >= 2
        assert all_served(host, 2)
        assert two.stats()["accept_pauses"] == 0
        assert two.fds() < FEW


def test_a_flooded_sandbox_gets_no_flows_either(host, two):
    two.tell("listen u a1 127.0.0.1:5353 53 udp")
    two.tell("up a1 1")
    two.tell("pause a1")
    with contextlib.ExitStack() as stack:
        # One refusal and no more: each worker writes twenty lines about them a minute, and that of the flow is to be among these.
        for count in itertools.count(1):
            if client := connected(host, 20007):
                stack.enter_context(client)
            poll_until(settled(two, count))
            if two.stats()["limit"]:
                break
        two.tell("resume a1 keep")
        refused = two.stats()["limit"]
        with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", ("127.0.0.1", 5353))
            poll_until(lambda: two.stats()["udp_lost"] == 1)
        assert two.stats()["limit"] == refused + 1
        poll_until(lambda: re.search(r"flow ended.* sandbox=a1 proto=udp .*reason=limit", two.log()), what=two.log)


def test_the_limit_is_read_each_second(host, two):
    with flood(host, 20007, 150, settled(two, 150)):
        few = two.values("routestats a1")["held"]
        assert few < 100
        limit_descriptors(two.pid, 1000)
        poll_until(lambda: two.stats()["descriptor_limit"] == 1000)

        poll_until(lambda: not is_refused(connected(host, 20007)))


def test_without_a_reserve_the_others_are_served_too(host, start_two):
    forwarder = start_two(128)
    with flood(host, 20007, 150, settled(forwarder, 150)):
        assert all_served(host, 5)
        assert forwarder.stats()["accept_pauses"] == 0


def test_the_default_endpoint_counts_for_its_sandbox(host, two):
    two.tell("default a1")
    two.tell("listen d - 127.0.0.1:20010 7")
    with flood(host, 20010, 200, settled(two, 200)):
        assert two.stats()["limit"] >= 100
        # Two questions, between which a dial may end.
        poll_until(lambda: two.values("routestats a1")["held"] == two.stats()["open"] > 0)
        assert all_served(host, 10)


def test_each_descriptor_is_counted(host, start_forwarder, guest):
    forwarder = start_forwarder()
    one = guest("ns-1")
    one.serve("7,echo", "19,source")

    def agrees():
        return forwarder.stats()["descriptors"] == forwarder.fds()

    def check():
        poll_until(agrees, what=lambda: f"{forwarder.stats()['descriptors']} counted, {forwarder.fds()} open")

    check()
    forwarder.tell("up a1 1")
    for number in range(5):
        forwarder.tell(f"listen a{number} a1 127.0.0.1:{20007 + number} {19 if number == 1 else 7}")
    forwarder.tell("listen u a1 127.0.0.1:5353 53 udp")
    check()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(host.connect("127.0.0.1", 20007)) for _ in range(20)]
        assert all(echoes(client) for client in clients)
        flow = stack.enter_context(host.socket(socket.AF_INET, socket.SOCK_DGRAM))
        flow.sendto(b"x", ("127.0.0.1", 5353))
        poll_until(lambda: forwarder.stats()["open"] == 21)
        check()
        # A stream that nobody reads keeps its pipe.
        stack.enter_context(host.connect("127.0.0.1", 20008))
        forwarder.await_quiet(timeout=60)
        check()
    forwarder.tell("unlisten u reset")
    poll_until(lambda: forwarder.stats()["open"] == 0)
    check()
    forwarder.tell("close a1 0")
    forwarder.wait_event("closed a1")
    check()


def test_a_limit_for_sandboxes_without_one(host, start_forwarder):
    forwarder = start_forwarder()
    forwarder.tell("option sandbox_connections 2")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    forwarder.tell("route b1 -")
    forwarder.tell("limits b1 3 60000 0 0 0")
    forwarder.tell("listen b b1 127.0.0.1:20008 7")
    with contextlib.ExitStack() as stack:
        for port in [20007, 20008] * 5:
            if client := connected(host, port):
                stack.enter_context(client)
        poll_until(settled(forwarder, 10))
        poll_until(lambda: [forwarder.values(f"routestats {one}1")["held"] for one in "ab"] == [2, 3])
        forwarder.tell("option sandbox_connections 0")
        stack.enter_context(host.connect("127.0.0.1", 20007))
        poll_until(lambda: forwarder.values("routestats a1")["held"] == 3)


def test_a_flood_harms_neither_sandboxes_nor_waits(host, weftd, guest):
    daemon = weftd({"forwarder": {"default_listen": ""}})
    api = daemon.api
    flooded, other = (api.register(name, {"ports": [7], "ready_port": 7}) for name in ("a1", "b1"))
    guest(other).serve("7,echo")
    api.wait("b1", "ready")
    poll_until(lambda: abs(api.metrics()["process_open_fds"] - len(daemon.fds())) <= 8)
    limit_descriptors(daemon.pid, FEW)
    poll_until(lambda: api.metrics()["process_max_fds"] == FEW)

    with contextlib.ExitStack() as stack:

        def done():
            seen = api.metrics()
            return seen["weft_connections_open"] + seen['weft_connections_total{reason="limit"}'] >= 200

        stack.enter_context(flood(host, endpoint_port(flooded, 7), 200, done))
        waits = [stack.enter_context(api.raw_socket()) for _ in range(80)]
        for wait in waits:
            wait.sendall(b"GET /v1/sandboxes/a1?wait=ready&timeout=60 HTTP/1.1\r\nHost: weft\r\n\r\n")
        for _ in range(10):
            with host.connect("127.0.0.1", endpoint_port(other, 7)) as client:
                assert echoes(client)
        assert api.register("c1", {"ports": [7]})["state"] == "waiting"
        assert {one["id"]: one["state"] for one in api.list()} == {"a1": "waiting", "b1": "ready", "c1": "waiting"}
        now = api.metrics()
        assert now["weft_accept_pauses_total"] == 0
        assert now["weft_client_descriptors_free"] < now["weft_client_descriptors_limit"] / 4  # as WeftDescriptorsScarce asks
        assert not any(readable(wait.fileno(), 0) for wait in waits)
        api.unregister("a1")
        assert {wait.recv(12) for wait in waits} == {b"HTTP/1.1 409"}, "each wait lived until its sandbox went"


def test_no_limit_given_is_the_configured_one(weftd, host):
    daemon = weftd({"forwarder": {"default_listen": "", "sandbox_connections": 1}})
    sandbox = daemon.api.register("a1", {"ports": [7]})
    daemon.api.register("a1", {"ports": [7], "limits": {"connections": 0}}, expect=(200,))
    assert daemon.api.show("a1")["limits"]["connections"] == 0
    port = endpoint_port(sandbox, 7)
    with host.connect("127.0.0.1", port):
        poll_until(lambda: daemon.api.show("a1")["counters"]["connections_held"] == 1)
        assert is_refused(connected(host, port))
        daemon.api.patch("a1", {"limits": {"connections": 2}})
        with host.connect("127.0.0.1", port):
            poll_until(lambda: daemon.api.show("a1")["counters"]["connections_held"] == 2)
