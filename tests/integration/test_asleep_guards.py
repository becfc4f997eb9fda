# SPDX-License-Identifier: GPL-2.0-or-later
"""What wakes no sandbox, what wakes it once, and a daemon, tables and a manager that fail while it sleeps."""

import os
import random
import signal
import socket
import time

import pytest

from harness.asleep import (
    ECHO,
    HOST,
    HOW,
    NAT,
    OTHER,
    STRANGERS,
    WAKE,
    WORLD,
    Client,
    Flood,
    keep_alive,
    scenes,
    send_raw,
    send_syn,
    syn_acks,
    ways_to,
)
from harness.client import echoes
from harness.daemon import sanitized
from harness.packets import Wire, icmp, tcp, udp
from harness.wait import poll_until, readable, tried

FIN, SYN, RST, ACK = 1, 2, 4, 16
LONG = bool(os.environ.get("WEFT_LONG"))


@pytest.fixture
def scene(host, weftd, guest, folder):
    with scenes(host, weftd, guest, folder) as make:
        yield make


def is_woken_by(one, sleeper, act):
    """Puts it to sleep and does ACT; the events of this sleep, once a packet that wakes it, to the last, has come and it is awake again.

    Events keep their order: whatever woke it before that packet stands before it.
    """
    before = len(one.events.wakes(sleeper.name))
    sleeper.sleep("closed")
    act()
    with Client(lambda: one.host.connect(sleeper.address, ECHO)).result():
        one.api.wait(sleeper.name, "ready")
    return one.events.wakes(sleeper.name)[before:]


# ---- What wakes nobody ----


def test_only_first_packets_to_its_ports_wake_it(scene):
    """Neither other ports, nor RST, ACK, FIN, data and keepalives of flows that are kept, nor ICMP, nor another sandbox's packets."""
    one = scene()
    sleeper, other = one.add("one"), one.add("two")
    kept = [namespace.connect(sleeper.address, ECHO) for namespace in (one.host, one.world)]
    datagrams = one.world.socket(kind=socket.SOCK_DGRAM)
    datagrams.connect((sleeper.address, ECHO))

    def begun():
        datagrams.settimeout(2)
        datagrams.send(b"begun")
        return datagrams.recv(10)

    assert all(map(echoes, kept)) and tried(begun) == b"begun"
    for connection in kept:
        keep_alive(connection)

    def harmless():
        for flags in (RST, ACK, FIN | ACK, SYN | ACK, RST | SYN, 0):
            send_raw(one.world, tcp(sleeper.address, ECHO, flags=flags, source=WORLD), sleeper.address)
        send_syn(one.world, WORLD, 40001, sleeper.address, OTHER)
        send_syn(one.world, WORLD, 40001, other.address, ECHO)
        send_raw(one.world, udp(sleeper.address, OTHER, b"x", source=WORLD), sleeper.address)
        send_raw(one.world, icmp(sleeper.address, b"x", source=WORLD), sleeper.address)
        for connection in kept:
            connection.send(b"data")
        ends = time.monotonic() + 2.5  # keepalives too
        poll_until(lambda: time.monotonic() > ends)
        assert sleeper.asked() is None

    events = is_woken_by(one, sleeper, harmless)
    assert [(event["dest_port"], event["proto"]) for event in events] == [(ECHO, "tcp")]
    assert not one.events.wakes("two")
    for connection in kept:
        assert connection.recv(4) == b"data"
        connection.close()
    datagrams.close()


def test_those_who_are_to_be_ignored_wake_nobody(scene):
    """A checker of health, on the kernel's path and at an endpoint; others wake it, from the same place by another address."""
    one = scene(config={"wake": {"ignore": ["192.0.2.7/32", "127.0.0.7/32"]}})
    one.world.run(["ip", "addr", "add", "192.0.2.7/24", "dev", "eth0"])
    sleeper = one.add()

    def ignored():
        for address, port in ((sleeper.address, ECHO), (HOST, NAT)):
            send_syn(one.world, "192.0.2.7", 40001, address, port)
        send_raw(one.world, udp(sleeper.address, ECHO, b"x", source="192.0.2.7"), sleeper.address)
        with one.host.connect("127.0.0.1", sleeper.endpoint(), source="127.0.0.7"):
            poll_until(lambda: one.api.show("one")["counters"]["connections_held"] == 1)
        assert sleeper.asked() is None, sleeper.wake()

    assert len(is_woken_by(one, sleeper, ignored)) == 1


def test_who_is_ignored_may_change_while_it_sleeps(scene):
    """By a reload, on the kernel's path and at an endpoint."""
    one = scene()
    sleeper = one.add()

    def reload(ignore):
        done = one.daemon.log().count("configuration reloaded")
        one.daemon.write_config({**one.sections, "wake": {**one.sections["wake"], "ignore": ignore}})
        one.daemon.signal(signal.SIGHUP)
        poll_until(lambda: one.daemon.log().count("configuration reloaded") > done, what=one.daemon.log_tail)

    def ignored():
        reload([f"{WORLD}/32", "127.0.0.0/8"])
        send_syn(one.world, WORLD, 40001, sleeper.address, ECHO)
        with one.host.connect("127.0.0.1", sleeper.endpoint()):
            poll_until(lambda: one.api.show("one")["counters"]["connections_held"] == 1)
        assert sleeper.asked() is None

    assert len(is_woken_by(one, sleeper, ignored)) == 1
    sleeper.sleep("closed")
    client = Client(lambda: one.host.connect("127.0.0.1", sleeper.endpoint()))
    poll_until(lambda: one.api.show("one")["counters"]["connections_held"] == 1)
    assert sleeper.asked() is None
    reload([])
    client.close()


@pytest.mark.parametrize("wake, wakes, sleeps", [("any", (ECHO, OTHER), ()), ("published", (ECHO,), (OTHER,)), ([OTHER], (OTHER,), (ECHO,))])
def test_which_ports_wake_it(scene, wake, wakes, sleeps):
    one = scene()
    sleeper = one.add(wake={"ports": wake, "min_awake_ms": 0}, ready_port=ECHO)
    sleeper.sleep("open")
    for port in sleeps:
        send_syn(one.world, WORLD, 40001, sleeper.address, port)
    for number, port in enumerate(wakes, 1):
        if number > 1:
            sleeper.sleep("open")
        Client(lambda port=port: one.host.connect(sleeper.address, port)).close()
        assert [event["dest_port"] for event in one.events.await_wake("one", number)] == list(wakes[:number])
        one.api.wait("one", "ready")


def test_nothing_wakes_it_at_once(scene):
    """The manager's own last probes must not: min_awake_ms after its pause, and after its resume."""
    one = scene()
    sleeper = one.add(wake={**WAKE, "min_awake_ms": 1500})

    def waited():
        began = time.monotonic()
        sleeper.sleep("closed")
        before = len(one.events.wakes("one"))
        client = Client(lambda: one.host.connect(sleeper.address, ECHO))
        one.events.await_wake("one", before + 1)
        woken = time.monotonic() - began
        client.close()
        one.api.wait("one", "ready")
        return woken

    assert waited() >= 1.5
    assert waited() >= 1.5


# ---- What wakes it once ----


def test_it_is_said_again_only_while_packets_come(scene):
    """Each timeout_ms, with the number of the attempt. A client at an endpoint is reset then, for the reason `asleep`."""
    one = scene(config={"daemon": {"log_level": "debug"}})
    sleeper = one.add(wake={**WAKE, "timeout_ms": 1000})
    one.waker.resume.clear()
    sleeper.sleep("closed")
    client = Client(lambda: one.host.connect(sleeper.address, ECHO))
    events = one.events.await_wake("one", 3)
    assert [event["attempt"] for event in events] == [1, 2, 3]
    one.waker.await_told("one", 3)
    sleeper.resume()
    client.close()
    one.api.wait("one", "ready")
    sleeper.sleep("closed")
    held = Client(lambda: one.host.connect("127.0.0.1", ECHO))
    with pytest.raises(ConnectionResetError):
        held.result()
    one.daemon.wait_log("connection ended.*reason=asleep")
    sleeper.resume()


def test_a_flood_of_first_packets_is_one_wake(scene):
    """SYNs from a thousand sources: one event, one request, and no more is kept than is allowed. Those who really come are served."""
    one = scene()
    sleeper = one.add()
    resume = one.waker.resume.pop("one")
    sleeper.sleep("closed")
    memory = one.daemon.memory_kib()
    flood = Flood(one.world, sleeper.address, ECHO, STRANGERS)
    try:
        one.waker.await_told("one")
        poll_until(lambda: flood.sent >= 30000, what=lambda: flood.sent)
        client = Client(lambda: one.host.connect(sleeper.address, ECHO))
        poll_until(lambda: flood.sent >= 40000, what=lambda: flood.sent)
        assert len(one.events.wakes("one")) == 1 and len(one.waker.told("one")) == 1
        if not sanitized():
            assert one.daemon.memory_kib() < memory + 2048
    finally:
        flood.stop()
    resume()
    client.close()
    one.api.wait("one", "ready")
    assert len(one.events.wakes("one")) == 1


def test_two_sleep_and_each_is_woken_for_itself(scene):
    one = scene()
    sleepers = [one.add(name) for name in ("one", "two")]
    for sleeper in sleepers:
        sleeper.sleep("closed")
    Client(lambda: one.host.connect(sleepers[1].address, ECHO)).close()
    one.api.wait("two", "ready")
    assert one.api.show("one")["state"] == "paused" and not one.events.wakes("one")
    Client(lambda: one.host.connect(sleepers[0].address, ECHO)).close()
    one.api.wait("one", "ready")
    assert len(one.events.wakes("one")) == len(one.events.wakes("two")) == 1


# ---- What fails meanwhile ----


def test_a_daemon_that_was_killed_wakes_it_all_the_same(scene):
    """The rules stay, and the client that came while nobody listened is heard by its next packet."""
    one = scene()
    sleeper = one.add()
    sleeper.sleep("closed")
    one.daemon.kill()
    client = Client(lambda: one.host.connect(sleeper.address, ECHO))
    one.daemon.start()
    one.listen_again()
    one.waker.await_told("one")
    client.close()
    one.api.wait("one", "ready")


def test_an_asked_one_is_asked_for_again_after_a_restart(scene):
    """Who asked and when is kept, and a manager that restarted finds it."""
    one = scene()
    sleeper = one.add()
    resume = one.waker.resume.pop("one")
    sleeper.sleep("closed")
    client = Client(lambda: one.host.connect(sleeper.address, ECHO))
    one.waker.await_told("one")
    asked = poll_until(lambda: sleeper.asked() and sleeper.wake())
    assert [found["id"] for found in one.api.list("?wake=asked")] == ["one"]
    one.daemon.kill()
    one.daemon.start()
    assert (sleeper.wake()["asked_at"], sleeper.wake()["by"]) == (asked["asked_at"], asked["by"])
    assert [found["id"] for found in one.api.list("?wake=asked")] == ["one"]
    resume()
    client.close()
    one.api.wait("one", "ready")
    assert one.api.list("?wake=asked") == [] and sleeper.asked() is None


@pytest.mark.parametrize("harm", ["flush ruleset", "delete table inet weft"])
def test_tables_that_were_taken_away_come_back_with_what_wakes_it(scene, harm):
    one = scene()
    sleeper = one.add()
    ways = ways_to(one.host, sleeper)
    for number, name in enumerate(("host-local", "nat port, remote"), 1):
        sleeper.sleep("closed")
        one.host.run(["nft", *harm.split()])
        if "nat" in name:  # until then the port is closed
            poll_until(lambda: str(NAT) in one.host.nft())
        client = Client(ways[name].connect)
        one.events.await_wake("one", number)
        client.close()
        one.api.wait("one", "ready")


@pytest.mark.parametrize("manners", ["hangs", "half", "hangs-up", 500, 404, "gone"])
def test_a_manager_that_does_not_hear_is_asked_again(scene, manners):
    """One request at a time, until one is answered; the event comes all the same."""
    one = scene()
    sleeper = one.add()
    if manners == "gone":
        one.waker.stop()
    elif isinstance(manners, int):
        one.waker.status = manners
    else:
        one.waker.manners = manners
    sleeper.sleep("closed")
    client = Client(lambda: one.host.connect(sleeper.address, ECHO))
    one.events.await_wake("one")
    if manners == "gone":
        one.waker.start()
    else:
        one.waker.await_told("one", 2)
        assert one.waker.most_open == 1
        one.waker.manners, one.waker.status = "answers", 200
    client.close()
    one.api.wait("one", "ready")
    assert len(one.events.wakes("one")) == 1


def test_none_is_asked_for_any_more_when_it_is_gone(scene):
    """Unregistered while its manager is asked for it: nothing is sent again, and the next tenant of the slot sleeps."""
    one = scene(config={"pool": {"size": 0, "quarantine": "0s"}})
    one.waker.manners = "hangs"
    sleeper = one.add()
    sleeper.sleep("closed")
    client = Client(lambda: one.host.connect(sleeper.address, ECHO, timeout=1))
    one.waker.await_told("one")
    one.api.unregister("one")
    with pytest.raises(OSError):
        client.result()
    poll_until(lambda: one.waker.open == 0)
    one.waker.manners = "answers"
    told = len(one.waker.told())
    again = one.daemon.register_at(sleeper.sandbox["slot"], {"ready_port": ECHO})
    one.api.patch(again["id"], {"paused": True})
    send_syn(one.world, WORLD, 40001, again["host_ip"], ECHO)
    second = one.add("second")
    assert len(is_woken_by(one, second, lambda: None)) == 1
    assert [said["sandbox"] for said in one.waker.told()[told:]] == ["second"]
    assert not one.events.wakes(again["id"])


def test_wake_and_unregister_at_once(scene):
    """Whatever comes first: no event of a sandbox that is gone, and nothing is left."""
    one = scene()
    for number in range(6):
        name = f"brief-{number}"
        sleeper = one.add(name)
        sleeper.sleep("closed")
        send_syn(one.world, WORLD, 40001, sleeper.address, ECHO)
        one.waker.resume[name] = lambda said: None
        one.api.unregister(name)
        kinds = [event["type"] for _, event in list(one.events.seen) if event.get("sandbox") == name]
        assert "wake" not in kinds[kinds.index("unregistered") :] if "unregistered" in kinds else True


# ---- What is changed while it sleeps ----


def test_a_port_that_is_the_sandboxs_no_more_gets_no_copy(scene):
    """Neither the sandbox nor what has the host's port since is connected to by the copy; the client may try again."""
    one = scene()
    sleeper = one.add()
    one.waker.resume["one"] = lambda said: None
    sleeper.sleep("closed")
    send_syn(one.world, WORLD, 40001, HOST, NAT)
    send_syn(one.world, WORLD, 40002, sleeper.address, ECHO)
    poll_until(lambda: len(one.events.wakes("one")) == 1)
    one.api.patch("one", {"unpublish": [f"{HOST}:{NAT}"]})
    with one.host.listen(NAT, HOST) as listener, Wire(one.world, "eth0") as wire:
        sleeper.resume()
        one.api.wait("one", "ready")
        poll_until(lambda: syn_acks(wire, sleeper.address, ECHO, 40002))
        assert not syn_acks(wire, HOST, NAT, 40001)
        assert not readable(listener.fileno(), 0)


def test_its_ports_may_be_changed_while_it_sleeps(scene):
    one = scene()
    sleeper = one.add(wake={"ports": [OTHER], "min_awake_ms": 0})

    def changed():
        one.api.patch("one", {"wake": {"ports": [ECHO], "min_awake_ms": 0}})
        send_syn(one.world, WORLD, 40001, sleeper.address, OTHER)

    assert [event["dest_port"] for event in is_woken_by(one, sleeper, changed)] == [ECHO]
    sleeper.sleep("closed")
    one.api.patch("one", {"wake": None})
    assert sleeper.wake() is None
    one.api.request("POST", "/v1/sandboxes/one/wake").expect(409)
    client = Client(lambda: one.host.connect(sleeper.address, ECHO))
    one.api.patch("one", {"wake": WAKE})
    one.events.await_wake("one", 2)
    client.close()


def test_what_is_published_while_it_sleeps_wakes_it(scene):
    one = scene()
    sleeper = one.add(wake={"ports": "published", "min_awake_ms": 0}, ports=[ECHO])

    def published():
        one.api.patch("one", {"publish": [{"guest_port": OTHER, "listen": f"{HOST}:30099", "via": "nat"}]})

    sleeper.sleep("closed")
    published()
    Client(lambda: one.world.connect(HOST, 30099)).close()
    assert [event["dest_port"] for event in one.events.await_wake("one")] == [OTHER]
    one.api.wait("one", "ready")

    def unpublished():
        one.api.patch("one", {"unpublish": [f"{HOST}:30099"]})
        send_syn(one.world, WORLD, 40001, sleeper.address, OTHER)

    assert [event["dest_port"] for event in is_woken_by(one, sleeper, unpublished)] == [ECHO]


# ---- By the API ----


def test_the_api_wakes_it(scene):
    """202 and an event `by: api`; 409 unless it is paused and something may wake it; 404 for none."""
    one = scene()
    sleeper, deep = one.add("one"), one.add("deep", wake=None)
    post = lambda name: one.api.request("POST", f"/v1/sandboxes/{name}/wake")
    post("nobody").expect(404)
    post("one").expect(409)
    deep.sleep()
    post("deep").expect(409)
    sleeper.sleep()
    post("one").expect(202)
    (event,) = one.events.await_wake("one")
    assert event["via"] == "api"
    one.api.wait("one", "ready")
    assert len(one.waker.told("one")) == 1 and not one.waker.told("deep")
    Client(lambda: one.host.connect(sleeper.address, ECHO)).close()


def test_weftctl_puts_to_sleep_and_wakes(scene):
    one = scene()
    sleeper = one.add("one", wake=None)
    one.daemon.ctl("pause", "one", "--wake", f"{ECHO},5353/udp")
    sleeper.how = "closed"
    sleeper.stop_vm()
    sleeper.sleeps = True
    assert sorted(map(str, sleeper.wake()["ports"])) == sorted([str(ECHO), "5353/udp"])
    assert "asleep" in one.daemon.ctl("ls").stdout
    one.daemon.ctl("wake", "one")
    one.api.wait("one", "ready")
    assert one.events.await_wake("one")[0]["via"] == "api"


# ---- For long ----


@pytest.mark.skipif(not LONG, reason="takes ten minutes: WEFT_LONG=1 runs it")
def test_keepalives_of_many_never_wake_it(scene):
    """A hundred kept flows, of the host and of others, for ten minutes; then all of them go on."""
    one = scene()
    sleeper = one.add()
    kept = [namespace.connect(sleeper.address, ECHO) for namespace in (one.host, one.world) for _ in range(50)]
    assert all(map(echoes, kept))
    for connection in kept:
        keep_alive(connection, each=6)  # after 127 without an answer a connection ends

    def silence():
        ends = time.monotonic() + 600
        poll_until(lambda: time.monotonic() > ends, 700, interval=1)
        assert sleeper.asked() is None

    assert len(is_woken_by(one, sleeper, silence)) == 1
    for connection in kept:
        assert echoes(connection)
        connection.close()


def flush(one):
    one.host.run(["nft", "flush", "ruleset"])


def take_link_down(one):
    """And waits for its return: without it nobody has a route to the sandbox, and is told so."""
    link = one.sleepers["one"].sandbox["veth"]
    one.host.run(["ip", "link", "set", link, "down"])
    poll_until(lambda: one.host.carrier(link) and one.host.run(["ip", "route", "get", one.sleepers["one"].address], check=False).returncode == 0)


HARM = {
    "nothing": lambda one: None,
    "kill": lambda one: (one.daemon.kill(), one.daemon.start(), one.listen_again()),
    "restart": lambda one: (one.daemon.stop(), one.daemon.start(), one.listen_again()),
    "flush": flush,
    "deaf": lambda one: (one.waker.stop(), one.waker.start()),
    "link": take_link_down,
}


def test_it_is_woken_whatever_happens_meanwhile(scene):
    """Kills, restarts, tables and links that are taken away, in any order, with a client on each way: each is served in the end."""
    seed = int(os.environ.get("WEFT_SEED", time.time_ns() % 100000))
    print(f"WEFT_SEED={seed}")
    dice = random.Random(seed)
    one = scene(config={"pool": {"size": 0}})
    sleeper = one.add()
    for _ in range(300 if LONG else 8):
        name, how = dice.choice(list(HARM)), dice.choice(HOW)
        before = name == "link" or dice.random() < 0.5
        # A client of an endpoint or the door would be lost with the daemon, and at a port of the host it is refused while there are no tables.
        ways = [way for way in ways_to(one.host, sleeper).values() if way.via == "kernel" and not (name == "flush" and "nat" in way.name)]
        print(name, how, "before" if before else "after")
        sleeper.sleep(how)
        if before:
            HARM[name](one)
        clients = [Client(way.connect) for way in dice.sample(ways, 2)]
        if not before:
            HARM[name](one)
        for client in clients:
            client.close()
        one.api.wait("one", "ready")
        poll_until(lambda: str(NAT) in one.host.nft())
