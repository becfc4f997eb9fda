# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections on the kernel's path that live when their sandbox is put to sleep: kept, or reset, as its manager says at the resume."""

import difflib
import re
import socket
import struct

import pytest

from harness.asleep import ECHO, HOW, Client, connect_without_waiting, how_it_ends, keep_alive, scenes, tcp_info, ways_to
from harness.client import echoes, pattern, receive_exactly
from harness.wait import ATTEMPT, PATIENCE, poll_until, readable

SERVED = 9  # a port of the guest's at which the test itself accepts
ENDED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


@pytest.fixture
def scene(host, weftd, guest, folder):
    with scenes(host, weftd, guest, folder) as make:
        yield make


def retransmissions(connection):
    """How often segments of a socket were sent again so far."""
    return struct.unpack_from("=I", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232), 100)[0]


def tables(namespace):
    """The rules of a namespace, in whatever order its tables were made, without the sandbox's name and what marks the flows of a pause."""
    text = re.sub(r"\n\tchain sandbox \{[^}]*\}\n", "", namespace.nft())
    return sorted(re.sub(r"ct mark (!= |set )?0x[0-9a-f]+", r"ct mark \1MARK", text).split("\ntable "))


def difference(before, after):
    return "\n".join(difflib.unified_diff("\n".join(before).splitlines(), "\n".join(after).splitlines(), lineterm="", n=1))


def ways_in(one, sleeper):
    """Connections on the kernel's path to ECHO, by name. The nat port is the first sleeper's."""
    first = sleeper.sandbox["slot"] == 1
    ways = {name: way for name, way in ways_to(one.host, sleeper).items() if way.via == "kernel" and (first or "nat" not in name)}
    return {name: way.connect() for name, way in ways.items()}


def pairs_in(one, sleeper):
    """[(name, the client's end, the guest's end)] of connections that the test holds on both ends."""
    found = []
    with sleeper.guest.listen(SERVED) as listener:
        for name, namespace in (("host-local", one.host), ("remote", one.world)):
            client = namespace.connect(sleeper.address, SERVED)
            served, _ = listener.accept()
            served.settimeout(3 * PATIENCE)
            client.sendall(b"!")
            assert served.recv(1) == b"!"
            found.append((name, client, served))
    return found


# ---- Kept ----


def test_senders_do_not_fall_silent_while_it_sleeps(scene):
    """Each is told that the host is unreachable for now, so it tries on every second or two at the least, and is not ended.

    Eight retransmissions take 9 s then, or less; with its usual back-off a sender would take 50 s for them.
    """
    one = scene()
    sleepers = {how: one.add(how) for how in HOW}
    live = {(how, name): made for how, sleeper in sleepers.items() for name, made in ways_in(one, sleeper).items()}
    for connection in live.values():
        assert echoes(connection)
    for how, sleeper in sleepers.items():
        sleeper.sleep(how)
    for connection in live.values():
        connection.sendall(b"later" * 200)
    for way, connection in live.items():
        poll_until(lambda: retransmissions(connection) >= 8, what=lambda: f"{way}: {tcp_info(connection)}")  # pylint: disable=cell-var-from-loop
        assert tcp_info(connection)["backoff"] <= 4, way
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):  # no error, which would end it
            connection.recv(1)
        connection.settimeout(PATIENCE)
    assert not one.events.wakes("open") and not one.events.wakes("closed")
    for sleeper in sleepers.values():
        sleeper.resume()
    for way, connection in live.items():
        assert receive_exactly(connection, 1000) == b"later" * 200, way
        connection.close()


def test_bulk_in_flight_arrives_whole(scene):
    """Half a megabyte each way is under way when it is put to sleep; every byte is compared."""
    one = scene()
    sleeper = one.add()
    text = pattern(3_000_000)
    for how in HOW:
        connections = [one.host.connect(sleeper.address, ECHO), one.world.connect(sleeper.address, ECHO)]
        clients = [Client(lambda connection=connection: connection, text) for connection in connections]
        sleeper.sleep(how)
        assert all(client.waits() or client.answered for client in clients)
        sleeper.resume()
        for client in clients:
            client.close()


def test_a_guest_that_speaks_first_meets_the_policy_of_before(scene):
    """With no way to anywhere of its own, it goes on with the flows that others opened, and opens none."""
    one = scene()
    one.world.add("203.0.113.10/32")
    sleeper = one.add(egress={"internet": False})
    for how in HOW:
        pairs = pairs_in(one, sleeper)
        sleeper.sleep(how)
        sleeper.resume()
        for name, client, served in pairs:
            served.sendall(b"first")
            assert receive_exactly(client, 5) == b"first", name
            client.sendall(b"then")
            assert receive_exactly(served, 4) == b"then", name
            client.close()
            served.close()
        with one.world.listen(4000) as listener, sleeper.guest.socket(timeout=ATTEMPT) as refused:
            with pytest.raises(OSError):
                refused.connect(("203.0.113.10", 4000))
            assert not readable(listener.fileno(), 0)


def test_a_connection_of_the_guests_own_goes_on(scene):
    one = scene()
    one.world.add("203.0.113.10/32")
    sleeper = one.add(egress={"internet": True})
    for how in HOW:
        with one.world.listen(4000) as listener, sleeper.guest.connect("203.0.113.10", 4000) as own:
            served, _ = listener.accept()
            sleeper.sleep(how)
            served.sendall(b"from outside")
            assert not readable(own.fileno(), 0.2)
            sleeper.resume()
            assert receive_exactly(own, 12) == b"from outside"
            own.sendall(b"from inside")
            assert receive_exactly(served, 11) == b"from inside"
            served.close()


# ---- Reset ----


def how_it_ended(connection):
    """Sends and receives until the connection's end: the error's name, or "fin". A connection that lives on answers, and is told so."""
    try:
        connection.sendall(b"are you there?")
        return "fin" if not connection.recv(1) else "it lives"
    except ENDED as error:
        return type(error).__name__


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("first", ["client", "guest"])
def test_reset_means_that_no_end_goes_on(scene, how, first):
    """Whoever speaks first is reset with its first segment; and then the other one. What is new goes on as ever."""
    one = scene()
    sleeper = one.add()
    pairs = pairs_in(one, sleeper)
    sleeper.sleep(how)
    sleeper.resume(flows="reset")
    one.api.wait("one", "ready")
    for name, client, served in pairs:
        ends = (client, served) if first == "client" else (served, client)
        for end in ends:
            assert how_it_ended(end) in ("ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError"), (name, end is client)
            end.close()
    for way, connection in ways_in(one, sleeper).items():
        assert echoes(connection), way
        sleeper.sleep(how)
        sleeper.resume()
        assert echoes(connection), way
        connection.close()


def test_a_client_of_the_host_is_told_at_once_of_a_reset(scene):
    """It need not send a thing. Other sandboxes' clients have nothing to do with it."""
    one = scene()
    sleeper, other = one.add("one"), one.add("two")
    mine, theirs = one.host.connect(sleeper.address, ECHO), one.host.connect(other.address, ECHO)
    assert echoes(mine) and echoes(theirs)
    sleeper.sleep("closed")
    sleeper.resume(flows="reset")
    with pytest.raises(ENDED):
        mine.recv(1)
    assert echoes(theirs)
    mine.close()
    theirs.close()


def test_a_guest_of_before_the_connection_is_not_confused(scene):
    """Rolled back: the guest is one that never knew the connection; its client is reset, and the next one is served."""
    one = scene()
    sleeper = one.add()
    live = [one.host.connect(sleeper.address, ECHO), one.world.connect(sleeper.address, ECHO)]
    assert all(map(echoes, live))
    one.api.patch("one", {"paused": True})
    sleeper.replace_vm()
    one.api.patch("one", {"paused": False, "flows": "reset"})
    one.api.wait("one", "ready")
    for connection in live:
        assert how_it_ended(connection) in ("ConnectionResetError", "ConnectionAbortedError")
        connection.close()
    for connection in ways_in(one, sleeper).values():
        assert echoes(connection)
        connection.close()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("first", ["guest", "weftd"])
def test_a_reset_is_none_for_those_who_woke_it(scene, how, first):
    """No guest of before knows of their connections, be it that the VM runs before weftd is told or after."""
    one = scene()
    sleeper = one.add()
    one.waker.resume["one"] = lambda said: None
    former = [one.host.connect(sleeper.address, ECHO), one.world.connect(sleeper.address, ECHO)]
    assert all(map(echoes, former))
    sleeper.sleep(how)
    waking = [connect_without_waiting(namespace, sleeper.address, ECHO) for namespace in (one.host, one.world)]
    one.events.await_wake("one")
    resume = [sleeper.start_vm, lambda: one.api.patch("one", {"paused": False, "flows": "reset"})]
    for step in resume if first == "guest" else reversed(resume):
        step()
        if first == "guest":
            assert [how_it_ends(connecting) for connecting in waking] == [0, 0]
    for connecting in waking:
        assert how_it_ends(connecting) == 0
        connecting.settimeout(PATIENCE)
        assert echoes(connecting)
        connecting.close()
    for connection in former:
        assert how_it_ended(connection) != "it lives"
        connection.close()


def test_a_reset_at_a_resume_after_the_tables_were_lost(scene):
    """The namespace's table is put back with what a reset put there."""
    one = scene()
    sleeper = one.add()
    pairs = pairs_in(one, sleeper)
    sleeper.sleep("open")
    sleeper.resume(flows="reset")
    inner = one.host.netns(sleeper.sandbox["netns"])
    before = tables(inner)
    inner.run(["nft", "flush", "ruleset"])
    poll_until(lambda: tables(inner) == before, what=lambda: difference(before, tables(inner)))
    for name, client, served in pairs:
        assert how_it_ended(client) != "it lives", name
        assert how_it_ended(served) != "it lives", name
        client.close()
        served.close()


def test_asleep_outlives_a_restart_and_a_flush_in_its_namespace(scene):
    """What answers kept flows is put back, and a restart finds nothing to repair."""
    one = scene()
    sleeper = one.add()
    live = one.world.connect(sleeper.address, ECHO)
    assert echoes(live)
    sleeper.sleep("closed")
    inner = one.host.netns(sleeper.sandbox["netns"])
    before = tables(inner)
    one.daemon.kill()
    one.daemon.start()
    assert tables(inner) == before and "msg=repaired" not in one.daemon.log()
    inner.run(["nft", "flush", "ruleset"])
    poll_until(lambda: tables(inner) == before, what=lambda: difference(before, tables(inner)))
    live.sendall(b"later")
    poll_until(lambda: retransmissions(live) >= 7, what=lambda: tcp_info(live))
    assert tcp_info(live)["backoff"] <= 4
    sleeper.resume()
    assert receive_exactly(live, 5) == b"later"
    live.close()


# ---- Idle ----


def test_idle_is_what_neither_way_moves_anything_for(scene):
    """A silent connection that is kept alive is idle; bytes on either way are not. The event comes once."""
    one = scene()
    sleeper = one.add(idle_report_ms=1000)
    silent = one.host.connect(sleeper.address, ECHO)
    keep_alive(silent)
    assert echoes(silent, bytes(100))
    idle = lambda: one.api.show("one")["idle_ms"]

    def await_idle(least):
        poll_until(lambda: idle() >= least, 2 * PATIENCE, what=lambda: f"idle for {idle()} ms")

    await_idle(5000)
    poll_until(lambda: one.events.of("idle", "one"))
    await_idle(8000)
    assert len(one.events.of("idle", "one")) == 1
    for number, connection in enumerate((one.host.connect("127.0.0.1", ECHO), silent), 2):
        assert echoes(connection, bytes(100))
        poll_until(lambda: idle() < 2000, what=lambda: f"idle for {idle()} ms")
        await_idle(2000)
        poll_until(lambda: len(one.events.of("idle", "one")) == number, what=lambda: one.events.seen)  # pylint: disable=cell-var-from-loop
        connection.close()
