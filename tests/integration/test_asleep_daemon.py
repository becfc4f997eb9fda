# SPDX-License-Identifier: GPL-2.0-or-later
"""Pauses over restarts and under shortages, with clients that wait meanwhile."""

import contextlib
import socket

import pytest

from harness.api import endpoint_port
from harness.client import echoes, receive_exactly
from harness.faults import MEMORY, NETLINK, Faults
from harness.wait import poll_until

WAKE = {"ports": [7, "7/udp"], "min_awake_ms": 0}
PATIENT = {"forwarder": {"default_wait": "10m", "connect_deadline": "10m"}}


def wakes(api, sandbox, until):
    """The events `wake` of SANDBOX from now on, as a list that grows; UNTIL of them are waited for at the end."""
    stack = contextlib.ExitStack()
    events = stack.enter_context(api.events())
    for event in events:
        if event["type"] == "snapshot-end":
            break

    def rest():
        found = []
        with stack:
            for event in events:
                if event["type"] == "wake" and event["sandbox"] == sandbox:
                    found.append(event)
                if len(found) == until:
                    return found
        return found

    return rest


def asleep(daemon, guest, **body):
    """The sandbox a1, whose guest echoes on port 7, paused; it may be woken."""
    made = daemon.api.register("a1", {"ports": [7, {"guest_port": 7, "proto": "udp"}], "ready_port": 7, "wake": WAKE, **body})
    one = guest(made)
    one.serve("7,echo")
    daemon.api.wait("a1", "ready")
    daemon.api.patch("a1", {"paused": True})
    one.freeze()
    return made, one


def asked(daemon):
    return daemon.api.show("a1")["wake"]["asked_at"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_held_client_outlives_a_restart_and_wakes_its_guest(host, weftd, guest, manager, when):
    """It came before the restart, and its manager is asked once more; or after it, while nobody accepts."""
    daemon = weftd(PATIENT, run=False)
    manager.start(daemon)
    made, one = asleep(daemon, guest)
    with contextlib.ExitStack() as stack:
        client = None
        if when == "before":
            client = stack.enter_context(host.connect("127.0.0.1", endpoint_port(made, 7)))
            poll_until(lambda: asked(daemon))
        daemon.stop(60)
        manager.settle()
        if when == "after":
            client = stack.enter_context(host.connect("127.0.0.1", endpoint_port(made, 7)))
        manager.start(daemon)
        poll_until(lambda: asked(daemon))
        assert daemon.api.show("a1")["wake"]["by"] == "7/tcp from 127.0.0.1"
        client.sendall(b"early")
        one.thaw()
        daemon.api.patch("a1", {"paused": False})
        assert receive_exactly(client, 5) == b"early"
    assert asked(daemon) is None


def test_clients_of_one_that_was_killed_asleep_wake_it(host, weftd, guest):
    """Nothing is kept of the forwarder's clients then, but what wakes the sandbox is."""
    daemon = weftd(PATIENT)
    made, one = asleep(daemon, guest)
    daemon.kill()
    daemon.start()
    assert daemon.api.show("a1")["state"] == "paused" and asked(daemon) is None
    told = wakes(daemon.api, "a1", 1)
    with host.connect("127.0.0.1", endpoint_port(made, 7)) as client:
        assert [(event["via"], event["dest_port"], event["proto"]) for event in told()] == [("forwarder", 7, "tcp")]
        one.thaw()
        daemon.api.patch("a1", {"paused": False})
        assert echoes(client)


def test_a_datagram_that_came_while_it_slept_is_answered(host, daemon, guest):
    """At an endpoint: it stays in the socket, with those behind it, over the pause."""
    made, one = asleep(daemon, guest)
    port = next(port for port in made["endpoints"] if port["proto"] == "udp")["listen"][0].rsplit(":", 1)[1]
    with one.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, host.socket(kind=socket.SOCK_DGRAM) as client:
        server.bind(("", 7))
        client.connect(("127.0.0.1", int(port)))
        client.send(b"first")
        poll_until(lambda: asked(daemon))
        client.send(b"second")
        assert daemon.api.show("a1")["wake"]["by"] == "7/udp from 127.0.0.1"
        one.thaw()
        daemon.api.patch("a1", {"paused": False})
        server.settimeout(30)
        assert [server.recv(10) for _ in range(2)] == [b"first", b"second"]


@pytest.fixture
def short(weftd, folder):
    """A daemon whose calls may be made to fail, and by what."""
    faults = Faults(folder)
    daemon = weftd(PATIENT, run=False)
    faults.prepare(daemon)
    daemon.start()
    yield daemon, faults
    faults.close()


@pytest.mark.parametrize("fault", [NETLINK, MEMORY], ids=["netlink", "memory"])
def test_a_pause_in_a_shortage_is_one_all_the_same(host, short, guest, fault):
    """So is the resume; what the kernel lacks comes when the shortage is over."""
    daemon, faults = short
    made = daemon.api.register("a1", {"ports": [7], "ready_port": 7, "wake": WAKE})
    one = guest(made)
    one.serve("7,echo")
    daemon.api.wait("a1", "ready")
    inner = host.netns(made["netns"])
    awake = inner.nft()

    def turned(paused):
        """The request may lack memory itself, which its manager is told by 503, or by silence."""
        with contextlib.suppress(OSError):
            daemon.api.request("PATCH", "/v1/sandboxes/a1", body={"paused": paused}).expect(200, 503)
        return True

    with faults.on(fault, 1.0 if fault == NETLINK else 0.3):
        for _ in range(10):
            turned(True)
        if fault == NETLINK:
            assert daemon.api.show("a1")["state"] == "paused"
    daemon.api.patch("a1", {"paused": True})
    poll_until(lambda: inner.nft() != awake, what=inner.nft)
    poll_until(lambda: made["host_ip"] in host.nft(), what=host.nft)
    one.freeze()
    with host.connect("127.0.0.1", endpoint_port(made, 7)) as client:
        poll_until(lambda: asked(daemon))
        one.thaw()
        with faults.on(fault, 1.0 if fault == NETLINK else 0.3):
            for _ in range(10):
                turned(False)
        daemon.api.patch("a1", {"paused": False})
        poll_until(lambda: inner.nft() == awake, what=inner.nft)
        assert echoes(client)
    assert daemon.api.show("a1")["state"] == "ready"
