# SPDX-License-Identifier: GPL-2.0-or-later
"""A sandbox that sleeps is woken by the first packet for it, on whatever way it comes, and that packet is not lost."""

import pytest

from harness.asleep import (
    ECHO,
    HOST,
    HOW,
    NAT,
    NAT_UDP,
    WORLD,
    Client,
    Way,
    connect_without_waiting,
    how_it_ends,
    one_datagram,
    scenes,
    send_syn,
    syn_acks,
    ways_to,
)
from harness.client import echoes, receive_exactly
from harness.front_door import HTTP, curl, to
from harness.packets import Wire
from harness.wait import ATTEMPT, poll_until, tried


@pytest.fixture
def scene(host, weftd, guest, folder):
    with scenes(host, weftd, guest, folder) as make:
        yield make


def is_about(said, sleeper, way, proto, attempt=1):
    """Whether SAID, an event or a request to the manager, is about a packet for ECHO that came that WAY."""
    wanted = {"type": "wake", "sandbox": sleeper.name, "dest_port": ECHO, "proto": proto, "via": way.via, "attempt": attempt}
    assert {key: said.get(key) for key in wanted} == wanted, said
    if way.source:
        assert said["source"] == way.source, said
    return True


# ---- On each way ----


@pytest.mark.parametrize("how", HOW)
def test_a_client_on_any_way_wakes_it_and_goes_on(scene, how):
    """One event and one request to the manager for each sleep, which say who came and how; the client knows of nothing."""
    one = scene()
    sleeper = one.add()
    for number, way in enumerate(ways_to(one.host, sleeper, one.door).values(), 1):
        sleeper.sleep(how)
        client = Client(way.connect)
        events = one.events.await_wake("one", number)
        told = one.waker.await_told("one", number)
        with client.result() as connection:
            assert echoes(connection), way.name
        assert is_about(events[-1], sleeper, way, "tcp") and is_about(told[-1], sleeper, way, "tcp")
        one.api.wait("one", "ready")
        assert (len(one.events.wakes("one")), len(one.waker.told("one"))) == (number, number), way.name
    assert sleeper.asked() is None


@pytest.mark.parametrize("how", HOW)
def test_a_datagram_on_any_way_wakes_it_and_is_answered(scene, how):
    """A single one, which nobody sends again."""
    one = scene()
    sleeper = one.add()
    ways = [
        Way("host-local", "kernel", one.host, (sleeper.address, ECHO)),
        Way("remote", "kernel", one.world, (sleeper.address, ECHO), WORLD),
        Way("nat port, remote", "kernel", one.world, (HOST, NAT_UDP), WORLD),
        Way("nat port, host-local", "kernel", one.host, (HOST, NAT_UDP)),
    ]
    for way in ways:

        def woken(way=way):
            before = len(one.events.wakes("one"))
            sleeper.sleep(how)
            assert one_datagram(way, way.name.encode())
            assert is_about(one.events.await_wake("one", before + 1)[-1], sleeper, way, "udp")

        tried(woken)


@pytest.mark.parametrize("way", ["host-local", "remote", "nat port, remote", "nat port, host-local"])
def test_a_syn_that_is_never_sent_again_is_answered(scene, way):
    """By the copy that weftd kept: it goes to what the client had asked for, so that the answer comes from there."""
    one = scene()
    sleeper = one.add()
    way = ways_to(one.host, sleeper)[way]
    source = way.namespace.json(["ip", "-j", "route", "get", way.address[0]])[0]["prefsrc"]
    ports = iter(range(41000, 41100))

    def answered():
        sleeper.sleep("closed")
        port = next(ports)
        with Wire(way.namespace, "eth0" if way.namespace is one.world else f"veth-{sleeper.sandbox['slot']}") as wire:
            send_syn(way.namespace, source, port, *way.address)
            # On the host's own veth the answer is seen before it is translated back.
            answers_from = way.address if way.namespace is one.world else (sleeper.address, ECHO)
            poll_until(lambda: syn_acks(wire, *answers_from, port), ATTEMPT, what=lambda: one.daemon.log_tail(10))
        one.api.wait("one", "ready")

    tried(answered)


def test_a_frozen_guest_gets_nothing_twice(scene):
    """With the TAP open its queue kept the packet: a second copy would be two datagrams to the guest."""
    one = scene()
    sleeper = one.add()

    def woken():
        del sleeper.udp.got[:]
        sleeper.sleep("open")
        assert one_datagram(Way("host-local", "kernel", one.host, (sleeper.address, ECHO)), b"once")
        one.api.wait("one", "ready")  # when a copy is sent
        assert one_datagram(Way("host-local", "kernel", one.host, (sleeper.address, ECHO)), b"after")
        assert sleeper.udp.got == [b"once", b"after"]

    tried(woken)


@pytest.mark.parametrize("how", HOW)
def test_a_client_that_does_not_wait_is_not_refused(scene, how):
    """connect() without waiting, as event loops do: the guest answers before weftd is told that it is awake, and no error comes between."""
    one = scene()
    sleeper = one.add()
    one.waker.resume["one"] = lambda said: sleeper.start_vm()
    for round_number, namespace in enumerate((one.host, one.world), 1):
        sleeper.sleep(how)
        with connect_without_waiting(namespace, sleeper.address, ECHO) as connecting:
            one.waker.await_told("one", round_number)
            if how == "open":  # the queue of the TAP had the packet
                assert how_it_ends(connecting) == 0
                connecting.setblocking(True)
                connecting.sendall(b"early")
            one.api.patch("one", {"paused": False})
            assert how_it_ends(connecting) == 0
            connecting.settimeout(60)
            if how == "open":
                assert receive_exactly(connecting, 5) == b"early"
            assert echoes(connecting)


def test_many_wait_and_all_are_served(scene):
    """Forty of each way; one event, and no client is refused or forgotten."""
    one = scene()
    sleeper = one.add()
    ways = ways_to(one.host, sleeper, one.door).values()
    sleeper_wakes = one.waker.resume.pop("one")
    sleeper.sleep("closed")
    clients = [Client(way.connect, b"%d" % number) for number in range(10) for way in ways]
    one.waker.await_told("one")
    poll_until(lambda: sum(client.waits() for client in clients) == len(clients))
    sleeper_wakes()
    for client in clients:
        client.close()
    assert len(one.events.wakes("one")) == 1


def test_the_front_door_wakes_it_for_a_request(scene, door):
    """HAProxy and a request of HTTP, in place of a client of the socket."""
    one = scene()
    sleeper = one.add(wake={"ports": [8080], "min_awake_ms": 0})
    sleeper.guest.serve("8080,http,one")
    door()
    sleeper.sleep("closed")
    answer = curl(one.host, *to("one", 8080), f"http://127.0.0.1:{HTTP}/health")
    assert (answer.status, answer.body["guest"]) == (200, "one")
    (event,) = one.events.await_wake("one")
    assert (event["via"], event["dest_port"], event["proto"]) == ("front-door", 8080, "tcp")
