# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder alone: its workers accept by themselves, while main opens, closes and pauses the listening sockets."""

import contextlib
import os
import signal
import socket
import threading
import time

import pytest

from harness.client import echoes
from harness.daemon import build_dir
from harness.forwarder import SLOW
from harness.wait import PATIENCE, one_of, poll_until

LOAD = os.path.join(build_dir(), "tests/forwarder/load")


def cpu_by_thread(forwarder):
    """CPU seconds of each thread but main: the workers, and a sanitizer's own."""
    used = []
    for thread in sorted(os.listdir(f"/proc/{forwarder.pid}/task"), key=int):
        if int(thread) == forwarder.pid:
            continue
        with open(f"/proc/{forwarder.pid}/task/{thread}/schedstat", encoding="ascii") as file:
            used.append(int(file.read().split()[0]) / 1e9)
    return used


def are_shared(forwarder, work):
    """Fails unless both workers have a part in WORK in one of several runs, as a busy machine may stall one of them for long."""

    def shares():
        before = cpu_by_thread(forwarder)
        work()
        return sorted(after - earlier for after, earlier in zip(cpu_by_thread(forwarder), before))[-2:]

    one_of(5, shares, lambda used: used[0] > 0.2 * sum(used))


def test_connections_that_come_together_are_spread_over_the_workers(host, forwarder, up):
    up.serve("49983,http,a1")
    forwarder.tell("listen b a1 127.0.0.1:20083 49983")

    def load():
        poll_until(lambda: forwarder.stats()["open"] == 0)
        assert "failed=0 " in host.output([LOAD, "requests", "127.0.0.1:20083", 1, 16], timeout=60)

    are_shared(forwarder, load)


def test_connections_that_come_one_by_one_are_spread_over_the_workers(host, forwarder, up):
    """Clients come while all workers wait: the kernel wakes the same worker each time."""
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    clients = []
    for _ in range(16):
        clients.append(host.connect("127.0.0.1", 20007))
        assert echoes(clients[-1])

    def echo_all():
        for _ in range(200):
            for client in clients:
                client.sendall(b"x")
            for client in clients:
                assert client.recv(1) == b"x"

    are_shared(forwarder, echo_all)
    for client in clients:
        client.close()


def served(connect, text=b"abc"):
    """Whether the peer that CONNECT connects to answers. It may refuse, reset or end instead."""
    try:
        with connect() as client:
            client.sendall(text)
            return client.recv(len(text)) == text
    except ConnectionError:
        return False


def is_answered(client):
    """The same for a client that is connected already, and stays so."""
    try:
        return echoes(client)
    except ConnectionError:
        return False


class Crowd:
    """Clients that connect again and again to each of PORTS until the context ends. A client that hangs is a problem."""

    def __init__(self, host, ports):
        self.host = host
        self.served = self.turned_away = 0
        self.problems = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(port,)) for port in ports]

    def _run(self, port):
        try:
            while not self.stop.is_set():
                if served(lambda: self.host.connect("127.0.0.1", port, timeout=2 * PATIENCE)):
                    self.served += 1
                else:
                    self.turned_away += 1
        except BaseException as error:  # pylint: disable=broad-except
            self.problems.append(repr(error))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(3 * PATIENCE)
        assert not self.problems, self.problems


def test_endpoints_and_routes_come_and_go_under_clients(host, forwarder, sandbox, up):
    """A connection that is accepted just before the end of its endpoint, or of its route, ends with it."""
    up.serve("7,echo")
    with Crowd(host, [20007, 20007, 20008, 20008]) as crowd:
        for number in range(40 if SLOW else 120):
            forwarder.tell(f"route b{number} {sandbox.path}")
            forwarder.tell(f"listen a b{number} 127.0.0.1:20007 7")
            forwarder.tell(f"listen b b{number} 127.0.0.1:20008 7")
            forwarder.tell(f"up b{number} 1")
            if number % 2:
                before = crowd.served
                poll_until(lambda: crowd.served > before)  # pylint: disable=cell-var-from-loop
            forwarder.tell(f"limits b{number} 0 60000 0 0 0")
            forwarder.tell("unlisten a reset")
            forwarder.tell("unlisten b keep")
            forwarder.tell(f"up b{number} 0")
            forwarder.tell(f"close b{number} 0")
            forwarder.wait_event(f"closed b{number}")
        poll_until(lambda: crowd.turned_away)
    assert crowd.served >= 20
    poll_until(lambda: forwarder.stats()["open"] == 0)
    with pytest.raises(ConnectionRefusedError):
        host.connect("127.0.0.1", 20007)


def main_goes_first(forwarder):
    """Puts all threads on one processor, with main before the workers. Returns the function that undoes it."""
    threads = [int(thread) for thread in os.listdir(f"/proc/{forwarder.pid}/task")]
    processors = os.sched_getaffinity(forwarder.pid)

    def set_all(allowed, policy):
        for thread in threads:
            os.sched_setaffinity(thread, allowed)
            if thread != forwarder.pid:
                os.sched_setscheduler(thread, policy, os.sched_param(0))

    set_all({min(processors)}, os.SCHED_IDLE)
    return lambda: set_all(processors, os.SCHED_OTHER)


@contextlib.contextmanager
def closed_over(host, forwarder, count):
    """COUNT clients that wait at port 20007, accepted by the kernel but by no worker, when `unlisten a keep` arrives."""
    with contextlib.ExitStack() as clients:
        all_alike = main_goes_first(forwarder)
        os.kill(forwarder.pid, signal.SIGSTOP)
        try:
            opened = [clients.enter_context(host.connect("127.0.0.1", 20007)) for _ in range(count)]
            forwarder.send("unlisten a keep")
        finally:
            os.kill(forwarder.pid, signal.SIGCONT)
        assert forwarder.answer() == "ok"
        all_alike()
        yield opened


def test_clients_that_nobody_accepted_yet_outlive_a_drained_endpoint(host, forwarder, up):
    """The kernel would reset them when the socket is closed."""
    up.serve("7,echo")
    for _ in range(5):
        forwarder.tell("listen a a1 127.0.0.1:20007 7")
        with closed_over(host, forwarder, 100) as clients:
            assert all(echoes(client) for client in clients)
            with pytest.raises(ConnectionRefusedError):
                host.connect("127.0.0.1", 20007)
    forwarder.wait_ended(done=500)


def test_the_last_clients_of_an_endpoint_count_against_the_limits(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("limits a1 10 20000 0 0 0")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with closed_over(host, forwarder, 30) as clients:
        forwarder.wait_ended(limit=20)
        assert sum(served(lambda: client) for client in clients) == 10  # pylint: disable=cell-var-from-loop
    forwarder.wait_ended(limit=20, done=10)
    forwarder.tell("close a1 0")  # it would wait for a count that was left too high
    forwarder.wait_event("closed a1")


def test_the_last_clients_of_an_endpoint_get_no_more_than_its_share(host, start_forwarder, guest):
    """Each of them needs a second descriptor, for its guest."""
    forwarder = start_forwarder(nofile=300)
    guest("ns-1").serve("7,echo")
    forwarder.tell("up a1 1")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    with closed_over(host, forwarder, 200) as clients:
        assert sum(is_answered(client) for client in clients) >= 50
        assert forwarder.fds() < 250
        stats = forwarder.stats()
        assert stats["accept_pauses"] == 0
        assert stats["open"] + stats["limit"] == 200
    poll_until(lambda: forwarder.stats()["open"] == 0)


def test_the_default_endpoint_leads_on_under_clients(host, forwarder, sandbox, up):
    up.serve("7,echo")
    forwarder.tell("listen a - 127.0.0.1:20007 7")
    with Crowd(host, [20007, 20007, 20007]) as crowd:
        for number in range(30 if SLOW else 100):
            forwarder.tell(f"route b{number} {sandbox.path}")
            forwarder.tell(f"up b{number} 1")
            forwarder.tell(f"default b{number}")
            before = crowd.served
            poll_until(lambda: crowd.served > before)  # pylint: disable=cell-var-from-loop
            if number % 2:
                forwarder.tell("default -")
            forwarder.tell(f"close b{number} 0")
            forwarder.wait_event(f"closed b{number}")
        forwarder.tell("default a1")
        before = crowd.served
        poll_until(lambda: crowd.served > before + 20)
    poll_until(lambda: forwarder.stats()["open"] == 0)
    assert forwarder.values("routestats a1")["total"] >= 20


def test_the_default_endpoint_keeps_to_its_routes_limit(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("limits a1 3 60000 0 0 0")
    forwarder.tell("default a1")
    forwarder.tell("listen a - 127.0.0.1:20007 7")
    clients = [host.connect("127.0.0.1", 20007) for _ in range(3)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    assert not served(lambda: host.connect("127.0.0.1", 20007))
    forwarder.wait_ended(limit=1)
    for client in clients:
        client.close()
    forwarder.wait_ended(done=3)
    assert served(lambda: host.connect("127.0.0.1", 20007))


def test_a_limit_is_exact_when_many_come_at_once(host, forwarder, up):
    """The limit holds however many workers accept."""
    up.serve("7,echo")
    forwarder.tell("limits a1 10 60000 0 0 0")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    clients = []
    for _ in range(100):
        try:
            clients.append(host.connect("127.0.0.1", 20007))
        except ConnectionError:  # reset right after it was established
            pass
    answered = 0
    for client in clients:
        try:
            client.sendall(b"x")
            answered += len(client.recv(1))
        except ConnectionError:
            pass
    assert answered == 10
    forwarder.wait_ended(limit=90)
    for client in clients:
        client.close()


def test_after_the_drain_began_nobody_is_accepted(host, forwarder, up):
    up.serve("7,echo")
    forwarder.tell("listen a a1 127.0.0.1:20007 7")
    assert served(lambda: host.connect("127.0.0.1", 20007))
    forwarder.wait_ended(done=1)
    forwarder.tell("drain 0")
    forwarder.wait_event("drained")
    with host.connect("127.0.0.1", 20007) as client:
        client.settimeout(0.5)
        client.sendall(b"x")

        def wait_in_vain():
            with pytest.raises(socket.timeout):
                client.recv(1)

        forwarder.rests(wait_in_vain)
    assert forwarder.stats()["open"] == 0


def open_and_close(forwarder, count):
    """(seconds that COUNT endpoints take to open, and to close; the memory that they take, KiB)."""
    before, start = forwarder.memory_kib(), time.monotonic()
    for number in range(count):
        forwarder.tell(f"listen n{number} a1 127.1.{number >> 8}.{number & 255}:20007 7")
    opened, taken = time.monotonic(), forwarder.memory_kib() - before
    for number in range(count):
        forwarder.tell(f"unlisten n{number} keep")
    return opened - start, time.monotonic() - opened, taken


def test_endpoints_by_the_thousand_open_and_close_quickly(host, forwarder):
    count = 1000 if SLOW else 4000
    tries = []
    while not tries or max(tries[-1]) >= 10:  # a busy machine is slow too, but not always
        assert len(tries) < 4, tries
        *took, memory = open_and_close(forwarder, count)
        assert tries or memory < count * (4 if SLOW else 2)
        tries.append(took)
