# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder alone, at full size: thousands of flows checked byte by byte, a thousand stalled, a thousand cut off."""

import os
import random
import re
import threading
import time

import pytest

from harness.client import accept_from, echoes, receive_exactly
from harness.daemon import build_dir
from harness.forwarder import SLOW
from harness.wait import poll_until

COUNT = 300 if SLOW else 1000
PAUSE_SECONDS = float(os.environ.get("WEFT_TEST_PAUSE", "0"))  # 60 and more for the long form


def forget_soon(guest):
    """Shortens how long the kernel keeps GUEST's unsent bytes after it vanishes: they would fill the memory for minutes.

    Not called earlier, as the limit also ends a socket that was closed in order, if the carrier of its last bytes stalls briefly.
    """
    guest.run(["sysctl", "-qw", "net.ipv4.tcp_orphan_retries=1"])


@pytest.fixture
def up(up):
    yield up
    if up.owner.process.poll() is None:
        forget_soon(up)


@pytest.fixture
def clients():
    made = []
    yield made
    for one in made:
        one.close()


@pytest.mark.timeout(600)
def test_thousands_of_random_flows_arrive_whole(host, forwarder, up):
    total = 1000 if SLOW else 4000
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    forwarder.tell("listen b a1 [::1]:20007 7")
    for address in ("127.0.0.1:20007", "[::1]:20007"):
        seed = random.randrange(1 << 31)
        program = os.path.join(build_dir(), "tests/forwarder/flows")
        done = host.run([program, address, total // 2, 64, seed], check=False, timeout=280)
        ends = [end for end in forwarder.ends() if end["reason"] != "done"]
        assert f"done={total // 2} " in done.stdout, (seed, done.stderr, ends)
    forwarder.wait_ended(done=total)
    assert forwarder.stats()["open"] == 0


# ---- Stalled ----


def kernel_bytes(netns, ports):
    """Memory in NETNS of established sockets with one of the local PORTS, or of all if there are none, overhead included."""
    only = [" or ".join(f"sport = :{port}" for port in ports)] if ports else []
    found = re.findall(r"skmem:\(r(\d+),.*?,w(\d+),", netns.output(["ss", "-tmnH", "state", "established", *only]))
    return sum(int(received) + int(sent) for received, sent in found), len(found)


def tcp_memory():
    """The machine's limit on memory of all TCP sockets."""
    with open("/proc/sys/net/ipv4/tcp_mem", encoding="ascii") as file:
        return int(file.read().split()[2]) * 4096


@pytest.mark.timeout(600)
def test_a_thousand_stalled_connections_hold_little_and_slow_nobody(host, forwarder, sandbox, up, clients):
    # A thousand under sanitizers too, as fewer may use more each. The peers' ends are on this machine too, and the kernel lets
    # them grow while there is room.
    stalled = min(1000, tcp_memory() // 2_000_000)
    up.serve("19,source", "7,echo")
    with up.listen(30) as listener:  # accepts, and never reads
        forwarder.tell("listen a a1 127.0.0.1:20019 19")
        forwarder.tell("listen b a1 127.0.0.1:20030 30")
        forwarder.tell("listen c a1 127.0.0.1:20007 7")
        for _ in range(stalled // 2):
            clients.append(host.connect("127.0.0.1", 20019))
        for _ in range(stalled // 2):
            one = host.connect("127.0.0.1", 20030)
            clients += [one, accept_from(listener, one)]
            one.setblocking(False)
            try:
                while True:
                    one.send(b"x" * (1 << 20))
            except BlockingIOError:
                pass
    forwarder.await_quiet(timeout=120)

    # The forwarder's own sockets, on both sides. The peers' are not limited.
    held = 0
    for netns, ports in ((host, (20019, 20030)), (sandbox.netns, ())):
        size, count = kernel_bytes(netns, ports)
        assert count == stalled // 2 * 2
        held += size
    assert held < stalled * 1200 * 1024
    assert held < tcp_memory() // 2
    memory = forwarder.memory_kib()
    with host.connect("127.0.0.1", 20007) as one:

        def echo_often():
            assert all(echoes(one) for _ in range(200))

        forwarder.rests(echo_often, limit=0.3)
    assert forwarder.memory_kib() < memory + 1000
    forwarder.wait_ended(done=1)
    assert forwarder.stats()["open"] == stalled // 2 * 2


# ---- Cut off ----


def end_of(client):
    """How a connection with unread bytes ends."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        return "reset"
    return "fin"


@pytest.mark.parametrize("how", ["the carrier is lost", "the namespace is deleted"])
def test_a_guest_that_vanishes_under_a_thousand_connections(host, forwarder, sandbox, up, clients, how):
    up.serve("19,source", "10,sink")
    forwarder.tell("listen a a1 127.0.0.1:20019 19")
    forwarder.tell("listen b a1 127.0.0.1:20010 10")
    host.run(["ip", "link", "add", "veth-1", "type", "veth", "peer", "name", "eth0", "netns", "ns-1"])
    clients += [host.connect("127.0.0.1", 20019) for _ in range(COUNT // 2)]
    for _ in range(COUNT // 2):
        clients.append(host.connect("127.0.0.1", 20010))
        clients[-1].sendall(b"x" * 50_000)
    poll_until(lambda: forwarder.values("routestats a1")["open"] == COUNT)
    forget_soon(up)
    up.kill()
    if how == "the carrier is lost":
        forwarder.tell("up a1 0")
        forwarder.wait_ended(carrier_lost=COUNT)
    else:
        host.run(["ip", "netns", "del", "ns-1"])
        forwarder.tell("namespace a1 -")
        forwarder.wait_ended(no_namespace=COUNT)
    forwarder.tell("unlisten a reset")
    forwarder.tell("unlisten b reset")
    forwarder.tell("close a1 0")
    forwarder.wait_event("closed a1")
    if how == "the carrier is lost":
        host.run(["ip", "netns", "del", "ns-1"])
    poll_until(lambda: "veth-1" not in host.links())
    assert {end_of(client) for client in clients} == {"reset"}
    assert forwarder.stats()["open"] == 0


# ---- Frozen ----


@pytest.mark.skipif(not PAUSE_SECONDS, reason="the long form: WEFT_TEST_PAUSE=60")
def test_a_long_pause_with_bytes_in_flight(host, forwarder, up, clients):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    clients += [host.connect("127.0.0.1", 20007, timeout=60) for _ in range(20)]
    assert all(echoes(client) for client in clients)
    up.freeze()
    for client in clients[::2]:
        client.sendall(b"late")
    forwarder.tell("pause a1")
    held = host.connect("127.0.0.1", 20007, timeout=60)
    clients.append(held)
    threading.Event().wait(PAUSE_SECONDS)
    used = forwarder.cpu_seconds()
    up.thaw()
    thawed = time.monotonic()
    forwarder.tell("resume a1 keep")
    for client in clients[:20:2]:
        assert receive_exactly(client, 4) == b"late"
    assert time.monotonic() - thawed < 2.0
    assert all(echoes(client) for client in clients)
    assert forwarder.cpu_seconds() - used < 0.5
