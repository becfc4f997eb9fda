# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder alone, against hostile peers, shortage, and guests that vanish."""

import itertools
import os
import random
import re
import resource
import socket
import subprocess
import threading
import time
import zlib

import pytest

from harness.client import accept_from, accept_heard, echoes, receive_all, receive_exactly, reset
from harness.daemon import build_dir
from harness.forwarder import SLOW, Forwarder, Sandbox
from harness.netns import inside
from harness.wait import PATIENCE, one_of, poll_until, readable


def is_reset(connect):
    """Whether the connection that CONNECT makes is reset before any byte."""
    try:
        with connect() as connection:
            connection.recv(1)
    except ConnectionResetError:
        return True
    return False


def read_some(connection, count):
    while count > 0:
        count -= len(connection.recv(1 << 20))


# ---- Integrity ----


def random_flow(one, seed, size):
    """Writes SIZE random bytes in random chunks with pauses; returns their checksum."""
    dice = random.Random(seed)
    left, crc = size, 0
    while left:
        chunk = dice.randbytes(min(left, dice.choice([1, 1, 7, 100, 1500, 9000, 70000, 1 << 20])))
        one.sendall(chunk)
        crc = zlib.crc32(chunk, crc)
        left -= len(chunk)
        if dice.random() < 0.02:
            time.sleep(dice.random() * 0.01)
    one.shutdown(socket.SHUT_WR)
    return crc


def random_reader(one, seed):
    dice = random.Random(seed)
    size = crc = 0
    while chunk := one.recv(dice.choice([1, 100, 4096, 65536, 1 << 20])):
        size += len(chunk)
        crc = zlib.crc32(chunk, crc)
        if dice.random() < 0.02:
            time.sleep(dice.random() * 0.01)
    return size, crc


def both_ways(client, served, seed):
    """Random bytes in both directions at once. The side that ends first half-closes."""
    dice = random.Random(seed)
    sizes = [dice.choice([0, 1, 50, 5000, 200_000, 2_000_000]) for _ in range(2)]
    results = {}

    def run(name, function):
        results[name] = function()

    jobs = [
        ("up", lambda: random_flow(client, seed + 1, sizes[0])),
        ("down", lambda: random_flow(served, seed + 2, sizes[1])),
        ("at the guest", lambda: random_reader(served, seed + 3)),
        ("at the client", lambda: random_reader(client, seed + 4)),
    ]
    threads = [threading.Thread(target=run, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results["at the guest"] == (sizes[0], results["up"]), f"seed {seed}, to the guest"
    assert results["at the client"] == (sizes[1], results["down"]), f"seed {seed}, from the guest"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_random_bytes_in_random_chunks_arrive_whole(host, forwarder, up, address):
    listener = up.listen(30)
    forwarder.tell("listen a a1 127.0.0.1:20030 30")
    forwarder.tell("listen b a1 [::1]:20030 30")
    seeds = range(40)
    problems = []

    def one_client(seed):
        try:
            both_ways(*pairs[seed], seed * 10)
        except BaseException as error:  # pylint: disable=broad-except
            problems.append(repr(error))

    pairs = []
    for _ in seeds:
        client = host.connect(address, 20030, timeout=60)
        served = accept_from(listener, client)
        served.settimeout(60)
        pairs.append((client, served))
    for first in range(0, len(pairs), 8):
        threads = [threading.Thread(target=one_client, args=(seed,)) for seed in seeds[first : first + 8]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    for pair in pairs:
        for one in pair:
            one.close()
    assert not problems, problems
    forwarder.wait_ended(done=len(pairs))
    assert forwarder.stats()["open"] == 0


def test_a_fin_with_the_last_bytes_is_seen(host, forwarder, up):
    """One edge reports both. Many tries vary the timing."""
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    for size in (1, 100, 16384, 16385, 40000):
        for _ in range(40):
            with host.connect("127.0.0.1", 20007) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                client.sendall(b"x" * size)
                client.shutdown(socket.SHUT_WR)
                assert len(receive_all(client)) == size
    forwarder.wait_ended(done=200)


def test_one_byte_segments_cost_no_stall(host, forwarder, up):
    up.serve("10,sum")
    forwarder.tell("listen a a1 127.0.0.1:20010 10")
    with host.connect("127.0.0.1", 20010) as client:
        client.sendall(b"y" * 200_000)  # so that it splices
        for _ in range(20_000):
            client.send(b"x")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client).startswith(b"220000 ")


# ---- Hostile peers ----


def test_a_storm_of_resets_leaves_nothing(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    before, start = forwarder.fds(), time.monotonic()
    with host.connect("127.0.0.1", 20007) as steady:
        for number in range(1000):
            one = host.connect("127.0.0.1", 20007)
            if number % 3:
                one.send(b"x" * (number % 5000))
            reset(one)
            if number % 100 == 0:
                assert echoes(steady)
    # The end of a connection is counted last.
    poll_until(lambda: sum(forwarder.stats()[reason] for reason in ("done", "client-reset")) == 1001, what=forwarder.stats)
    assert forwarder.stats()["open"] == forwarder.stats()["error"] == 0
    poll_until(lambda: forwarder.fds() <= before + 2 * 16 * 2)
    # 100 lines in 5 s from each of the two workers, plus those of clients that ended in order.
    allowed = 200 * (1 + (time.monotonic() - start) // 5) + forwarder.stats()["done"]
    assert len(forwarder.ends()) <= allowed, "a flood of resets must not flood the log"


def test_a_thousand_silent_clients_cost_no_cpu_and_stall_nobody(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    silent = [host.connect("127.0.0.1", 20007) for _ in range(300)]
    with host.connect("127.0.0.1", 20007) as one:
        poll_until(lambda: forwarder.values("routestats a1")["open"] == 301)

        def echo_for_a_second():
            start = time.monotonic()
            while time.monotonic() < start + 1:
                assert echoes(one)
                time.sleep(0.05)

        forwarder.rests(echo_for_a_second)
    # Two descriptors each, and no pipe.
    assert forwarder.fds() < 2 * 300 + 60
    for client in silent:
        client.close()
    forwarder.wait_ended(done=301)


def test_a_reader_that_stops_holds_the_writer_and_nothing_spins(host, forwarder, up):
    up.serve("19,source", "7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20019 19")
    forwarder.tell("listen b a1 127.0.0.1:20007 7")
    stalled = [host.connect("127.0.0.1", 20019) for _ in range(20)]
    forwarder.await_quiet(timeout=60)
    memory = forwarder.memory_kib()
    with host.connect("127.0.0.1", 20007) as one:

        def echo_now_and_then():
            for _ in range(20):
                assert echoes(one)
                time.sleep(0.02)

        forwarder.rests(echo_now_and_then)
    assert forwarder.memory_kib() < memory + 2000
    first = stalled[0]
    got = 0
    while got < 50_000_000:
        got += len(first.recv(1 << 20))
    for one in stalled:
        reset(one)
    forwarder.wait_ended(client_reset=20)


def kernel_bytes(netns, port):
    """Memory of the sockets in NETNS with local port PORT, or of all if it is 0: receive and send queues, overhead included."""
    command = ["ss", "-tmnH", "state", "established"] + ([f"sport = :{port}"] if port else [])
    found = re.findall(r"skmem:\(r(\d+),.*?,w(\d+),", netns.output(command))
    return sum(int(received) + int(sent) for received, sent in found), len(found)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_stalled_connection_holds_little_kernel_memory_after_it_ran_fast(host, forwarder, sandbox, up, direction):
    listener = up.listen(30)
    forwarder.tell("listen a a1 127.0.0.1:20030 30")
    pairs = []
    for _ in range(10):
        client = host.connect("127.0.0.1", 20030)
        served = accept_from(listener, client)
        sender, receiver = (served, client) if direction == "down" else (client, served)
        thread = threading.Thread(target=read_some, args=(receiver, 30_000_000))
        thread.start()
        sender.settimeout(1)
        stalled = False
        while not stalled:
            reads = thread.is_alive()
            try:
                sender.sendall(b"x" * (1 << 20))
            except TimeoutError:
                stalled = not reads
        thread.join()
        pairs += [client, served]
    for netns, port in ((host, 20030), (sandbox.netns, 0)):
        held, count = kernel_bytes(netns, port)
        assert count == 10
        assert held < count * 6 * 1024 * 1024  # while they are few; test_forwarder_full.py has a thousand
    for one in pairs:
        one.close()


def load(host, *arguments):
    return host.output([os.path.join(build_dir(), "tests/forwarder/load"), *arguments], timeout=500)


@pytest.mark.timeout(600)
def test_a_hundred_thousand_short_connections_all_succeed(host, forwarder, up):
    """More connections than a namespace has ports, if TIME_WAIT kept them. Fewer under a sanitizer, where they take too long."""
    total = 30_000 if SLOW else 100_000
    up.serve("49983,http,a1")
    forwarder.tell("listen a a1 127.0.0.1:20083 49983")
    host.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=1024 65535", "net.ipv4.tcp_tw_reuse=1"])
    assert f"done={total} failed=0 " in load(host, "connections", "127.0.0.1:20083", total, 64)
    forwarder.wait_ended(done=total)
    stats = forwarder.stats()
    assert stats["no-port"] == stats["error"] == stats["open"] == 0


def test_held_clients_by_the_thousand_are_served_when_the_guest_comes(host, forwarder, guest):
    forwarder.tell("limits a1 0 60000 0 0 0")
    forwarder.tell("listen a a1 127.0.0.1:20083 49983")
    clients = host.popen(
        [os.path.join(build_dir(), "tests/forwarder/load"), "connections", "127.0.0.1:20083", 1000, 1000],
        stdout=subprocess.PIPE,
        text=True,
    )
    poll_until(lambda: forwarder.values("routestats a1")["held"] == 1000)
    forwarder.rests(lambda: time.sleep(1))
    one = guest("ns-1")
    forwarder.tell("up a1 1")
    one.serve("49983,http,a1")
    out, _ = clients.communicate(timeout=120)
    assert "done=1000 failed=0 " in out


def test_a_held_client_is_served_soon_after_the_guest_listens(host, forwarder, up):
    forwarder.tell("listen a a1 127.0.0.1:20030 30")
    waits = []
    # TCP's own back-off would take at least half a second, each time. A busy machine is slow too, but not always.
    while len(waits) < 9 or (sorted(waits)[4] >= 0.1 and len(waits) < 60):
        with host.connect("127.0.0.1", 20030) as client:
            poll_until(lambda: forwarder.values("routestats a1")["held"] == 1)
            time.sleep(random.random() * 0.3)  # so that the guest is not in step with the retries
            started = time.monotonic()
            with up.listen(30) as listener:
                served = accept_from(listener, client)
                served.send(b"x")
                assert client.recv(1) == b"x"
                waits.append(time.monotonic() - started)
                served.close()
        poll_until(lambda: forwarder.stats()["open"] == 0)
    assert sorted(waits)[4] < 0.1, waits


# ---- Shortage ----


def test_without_descriptors_accepting_pauses_and_recovers(host, forwarder, up):
    """For a moment the process has none left: clients wait in the kernel's queue."""
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    limits = resource.prlimit(forwarder.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(forwarder.pid, resource.RLIMIT_NOFILE, (forwarder.fds() + 1, limits[1]))
    clients = [host.connect("127.0.0.1", 20007) for _ in range(100)]
    poll_until(lambda: forwarder.stats()["accept_pauses"] >= 1)
    # The limit is read again meanwhile.
    poll_until(lambda: forwarder.stats()["descriptor_limit"] < 100)
    forwarder.rests(lambda: time.sleep(0.5))
    assert forwarder.stats()["limit"] == 0
    resource.prlimit(forwarder.pid, resource.RLIMIT_NOFILE, limits)
    for client in clients:
        assert echoes(client)
        client.close()
    with host.connect("127.0.0.1", 20007) as client:
        assert echoes(client)
    assert forwarder.log().count("accepting paused") == 1


def test_more_connections_than_allowed_are_reset(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("limits a1 2 60000 0 0 0")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    clients = [host.connect("127.0.0.1", 20007) for _ in range(2)]
    assert all(echoes(one) for one in clients)
    assert is_reset(lambda: host.connect("127.0.0.1", 20007))
    forwarder.wait_ended(limit=1)
    clients.pop().close()
    forwarder.wait_ended(done=1)
    with host.connect("127.0.0.1", 20007) as third:
        assert echoes(third)
    clients.pop().close()


def test_the_limit_for_all_holds_too(host, start_forwarder, guest):
    forwarder = start_forwarder(connections=1)
    one = guest("ns-1")
    forwarder.tell("up a1 1")
    one.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007) as first:
        assert echoes(first)
        assert is_reset(lambda: host.connect("127.0.0.1", 20007))


def test_no_local_port_left_is_told_at_once(host, forwarder, sandbox, up):
    up.serve("7,echo")
    sandbox.netns.run(["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40001"])
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    clients = [host.connect("127.0.0.1", 20007) for _ in range(2)]
    assert all(echoes(one) for one in clients)
    assert is_reset(lambda: host.connect("127.0.0.1", 20007))
    forwarder.wait_ended(no_port=1)
    for one in clients:
        one.close()


def test_no_route_is_told_at_once(host, forwarder, sandbox, up):
    sandbox.netns.run(["ip", "route", "add", "unreachable", "169.254.0.21/32"])
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    assert is_reset(lambda: host.connect("127.0.0.1", 20007))
    forwarder.wait_ended(no_route=1)


def test_a_namespace_that_is_gone_is_told_at_once(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007) as client:
        assert echoes(client)
        forwarder.tell("namespace a1 -")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert is_reset(lambda: host.connect("127.0.0.1", 20007))
    forwarder.wait_ended(no_namespace=2)


# ---- Time limits ----


def outlives(busy, idle):
    """(whether BUSY goes on until IDLE has ended, the longest time between two of its bytes in seconds)."""
    last, longest = time.monotonic(), 0.0
    alive, patience = True, last + PATIENCE
    while alive and last < patience and not readable(idle.fileno(), 0.05):
        try:
            alive = echoes(busy)
        except ConnectionError:
            alive = False
        longest = max(longest, time.monotonic() - last)
        last = time.monotonic()
    return alive, longest


def test_an_idle_connection_ends_and_a_busy_one_does_not(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("limits a1 0 60000 2000 0 0")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    for _ in range(10):
        start = time.monotonic()
        with host.connect("127.0.0.1", 20007) as idle, host.connect("127.0.0.1", 20007) as busy:
            alive, longest = outlives(busy, idle)
            if not alive and longest > 1:
                continue  # the machine stalled, so that BUSY really was idle
            assert alive, longest
            assert time.monotonic() - start > 1.9
            with pytest.raises(ConnectionResetError):
                idle.recv(1)
        break
    else:
        raise AssertionError("no connection was busy")
    forwarder.wait_ended(idle=1, done=1)


def test_a_half_closed_connection_ends(host, forwarder, up):
    up.serve("22,half,20000")
    forwarder.tell("limits a1 0 60000 0 500 0")
    forwarder.tell("listen a a1 127.0.0.1:20022 22")
    with host.connect("127.0.0.1", 20022) as client:
        client.sendall(b"abc")
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    forwarder.wait_ended(half_closed=1)


def test_a_client_that_says_nothing_but_its_end_hears_the_guest(host, forwarder, up):
    up.serve("19,source,1000")
    forwarder.tell("listen a a1 127.0.0.1:20019 19")
    heard = late = 0
    while heard < 50:
        start = time.monotonic()
        with host.connect("127.0.0.1", 20019) as client:
            client.shutdown(socket.SHUT_WR)
            if len(receive_all(client)) == 1000:
                heard += 1
                continue
        # The forwarder does not wait for a guest that takes more than a second.
        late += 1
        assert time.monotonic() - start >= 1.0 and late < 20


# ---- Teardown ----


def flowing(host, count):
    """Connections with unread data in flight."""
    return [host.connect("127.0.0.1", 20019) for _ in range(count)]


def vanish(host, forwarder, name, guest):
    """Ends the GUEST of route NAME, in namespace NAME, under 200 connections; returns the seconds until the namespace is gone."""
    guest.serve("19,source", "10,sink")
    forwarder.tell(f"up {name} 1")
    forwarder.tell(f"listen a {name} 127.0.0.1:20019 19")
    forwarder.tell(f"listen b {name} 127.0.0.1:20010 10")
    clients = flowing(host, 100)
    for _ in range(100):
        one = host.connect("127.0.0.1", 20010)
        one.send(b"x" * 100_000)
        clients.append(one)
    for one in clients[100:]:
        one.shutdown(socket.SHUT_WR)
    host.run(["ip", "link", "add", "veth-1", "type", "veth", "peer", "name", "eth0", "netns", name])
    guest.kill()
    start = time.monotonic()
    forwarder.tell(f"up {name} 0")
    forwarder.tell("unlisten a reset")
    forwarder.tell("unlisten b reset")
    forwarder.tell(f"close {name} 0")
    forwarder.wait_event(f"closed {name}")
    closed = time.monotonic() - start
    host.run(["ip", "netns", "del", name])
    start = time.monotonic()  # without the time to start `ip`
    inside(host.path, lambda: poll_until(lambda: "veth-1" not in (name for _, name in socket.if_nameindex()), interval=0.001))
    for one in clients:
        one.close()
    return closed + time.monotonic() - start


def test_a_guest_that_vanishes_frees_its_namespace_within_a_second(host, forwarder, guest):
    """An orphan of TCP would hold it for more than a minute, each time. A busy machine is slow too, but not always."""
    names = (f"vanishes-{number}" for number in itertools.count())

    def once():
        name = next(names)
        forwarder.tell(f"route {name} {Sandbox(host, name).path}")
        return vanish(host, forwarder, name, guest(name))

    one_of(8, once, lambda seconds: seconds < 1.0)


def test_a_drained_route_lets_connections_end(host, forwarder, up):
    up.serve("22,half,300", "7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20022 22")
    forwarder.tell("listen b a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20022) as ending, host.connect("127.0.0.1", 20007) as staying:
        ending.sendall(b"abc")
        ending.shutdown(socket.SHUT_WR)
        assert echoes(staying)
        forwarder.tell("unlisten a keep")
        forwarder.tell("unlisten b keep")
        forwarder.tell("close a1 120000")
        assert receive_all(ending) == b"abc"
        assert echoes(staying)
        forwarder.tell("close a1 0")  # no more grace time
        with pytest.raises(ConnectionResetError):
            staying.recv(1)
    forwarder.wait_event("closed a1")
    forwarder.wait_ended(done=1, unregistered=1)


def test_a_drain_that_lasts_too_long_resets_what_is_left(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007) as staying:
        assert echoes(staying)
        forwarder.tell("unlisten a keep")
        forwarder.tell("close a1 500")
        with pytest.raises(ConnectionResetError):
            staying.recv(1)
    forwarder.wait_event("closed a1")
    forwarder.wait_ended(unregistered=1)


def test_an_unpublished_port_resets_its_own_connections_only(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    forwarder.tell("listen b a1 127.0.0.1:20008 7")
    with host.connect("127.0.0.1", 20007) as one, host.connect("127.0.0.1", 20008) as other:
        assert echoes(one) and echoes(other)
        forwarder.tell("unlisten a reset")
        with pytest.raises(ConnectionResetError):
            one.recv(1)
        with pytest.raises(ConnectionRefusedError):
            host.connect("127.0.0.1", 20007)
        assert echoes(other)


def test_a_drain_of_all_ends_with_the_last_connection(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007) as one:
        assert echoes(one)
        forwarder.tell("drain 600000")
        assert echoes(one)
    forwarder.wait_event("drained")


def test_what_is_open_at_the_end_is_reset(host, folder, sandbox, guest):
    forwarder = Forwarder(host, folder)
    forwarder.tell(f"route a1 {sandbox.path}")
    one = guest("ns-1")
    servers = one.serve("7,echo", report=True)
    forwarder.tell("up a1 1")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007) as client:
        assert echoes(client)
        forwarder.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert servers.next_end(least=3)[2] == "reset"
    assert [end["reason"] for end in forwarder.ends()] == ["shutdown"]


# ---- Pauses ----


def test_a_guest_frozen_before_the_pause_goes_on_within_two_seconds(host, forwarder, up):
    """Bytes are in flight to the frozen guest: TCP's own back-off must not delay their arrival."""
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007, timeout=30) as client:

        def once():
            assert echoes(client)
            up.freeze()
            client.sendall(b"late")
            forwarder.tell("pause a1")
            time.sleep(8)
            up.thaw()
            thawed = time.monotonic()
            forwarder.tell("resume a1 keep")
            assert receive_exactly(client, 4) == b"late"
            return time.monotonic() - thawed

        one_of(5, once, lambda seconds: seconds < 2.0)


def test_a_guest_paused_to_disk_keeps_its_connections(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with host.connect("127.0.0.1", 20007, timeout=30) as client:
        assert echoes(client)
        forwarder.tell("pause a1")
        up.close_tap()
        forwarder.tell("up a1 0")
        client.sendall(b"late")
        forwarder.tell("resume a1 keep")
        up.open_tap()
        forwarder.tell("up a1 1")
        assert client.recv(4) == b"late"


# ---- PROXY protocol ----


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_proxy_header_tells_who_connected(host, forwarder, up, address):
    listener = up.listen(30)
    forwarder.tell("listen a a1 127.0.0.1:20030 30 proxy")
    forwarder.tell("listen b a1 [::1]:20030 30 proxy")
    with host.connect(address, 20030) as client:
        client.sendall(b"hello")
        served = accept_heard(listener)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        ports = client.getsockname()[1].to_bytes(2, "big") + (20030).to_bytes(2, "big")
        body = packed + packed + ports
        expected = b"\r\n\r\n\0\r\nQUIT\n\x21" + (b"\x21" if ":" in address else b"\x11")
        expected += len(body).to_bytes(2, "big") + body + b"hello"
        assert receive_exactly(served, len(expected)) == expected
        served.close()
