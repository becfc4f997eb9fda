# SPDX-License-Identifier: GPL-2.0-or-later
"""Listening sockets survive a restart in the service manager's store: no client is ever refused. Kills: test_listeners.py."""

import os
import random
import signal
import socket
import threading

import pytest

from harness.api import endpoint_port
from harness.client import RESET_ON_CLOSE, reset
from harness.netns import inside
from harness.threads import thread_of, thread_stopped
from harness.wait import PATIENCE, poll_until

DEFAULTS = 2  # 127.0.0.1:49983 and [::1]:49983
COUPLES = 5  # of queues, for ten thousand sockets


def sockets_of(daemon):
    """Inodes of the daemon's sockets."""
    return {int(what[8:-1]) for what in daemon.fds().values() if what.startswith("socket:[")}


def listening(host):
    """{(address, port): inode} of the TCP sockets that listen in the host."""
    return {(one.address, one.port): one.inode for one in host.bound_sockets() if one.protocol == "tcp"}


def is_adopting(daemon):
    try:
        return daemon.api.status()["state"] == "adopting"
    except (FileNotFoundError, ConnectionRefusedError):
        return False


def named_thread(daemon, name):
    try:
        return thread_of(daemon.pid, name)
    except (AssertionError, OSError):
        return None


class Knocker(threading.Thread):
    """Connects to random ports without end; counts, and keeps the first error.

    A stop resets what weftd has accepted and still holds when `stop_drain` is over, and this thread may be slow to notice that it
    is connected. So that has to be long: then only a listening socket that was closed can reset or refuse a client.
    """

    def __init__(self, host, ports):
        super().__init__(daemon=True)
        self.host = host
        self.ports = ports
        self.count = 0
        self.problem = None
        self.ending = threading.Event()

    def run(self):
        def knock():
            while not self.ending.is_set():
                family, address = random.choice([(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
                with socket.socket(family) as client:
                    client.settimeout(PATIENCE)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                    client.connect((address, random.choice(self.ports)))
                self.count += 1

        try:
            inside(self.host.path, knock)
        except OSError as error:
            self.problem = error

    def close(self):
        self.ending.set()
        self.join(PATIENCE + 10)
        assert not self.problem, f"after {self.count} connections: {self.problem!r}"


class EarlyClients:
    """Wait in the queues of some ports, of all couples, while no weftd is there to accept them."""

    def __init__(self, host, ports):
        self.clients = [host.connect(address, port) for port in ports for address in ("127.0.0.1", "::1")]
        for client in self.clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)

    def close(self):
        """None was reset; each is held by now, or is still in its queue."""
        for client in self.clients:
            client.setblocking(False)
            with client, pytest.raises(BlockingIOError):
                client.recv(1)


def stop(daemon, manager):
    """Stops it, and waits until its manager has read all messages about that."""
    manager.messages.clear()
    daemon.stop(60)
    manager.settle()


def spawn_adopting(daemon, manager):
    """Restarts it and sees it adopting, in one of a few attempts, as the test itself may stall meanwhile."""
    for _ in range(5):
        stop(daemon, manager)
        manager.messages.clear()
        manager.spawn(daemon)
        poll_until(lambda: is_adopting(daemon) or manager.said("READY"), 60, interval=0.001, what=daemon.log_tail)
        if not manager.said("READY"):
            return
    raise AssertionError("it never answered before the end of adopting")


@pytest.mark.timeout(300)
def test_ten_thousand_listeners_outlive_a_restart(host, weftd, manager):
    sandboxes, ports_each = 20, 250
    patient = {"stop_drain": "10m", "connect_deadline": "10m"}
    daemon = weftd({"ports": {"range": "20000-29999"}, "forwarder": patient}, run=False)
    manager.start(daemon)
    made = [
        daemon.api.register(f"s{n}", {"ports": list(range(1000, 1000 + ports_each))}, timeout=60)
        for n in range(sandboxes)
    ]
    before = listening(host)
    wanted = 2 * sandboxes * ports_each + DEFAULTS
    assert len(before) == wanted
    ports = [int(one["listen"][0].rsplit(":", 1)[1]) for sandbox in made for one in sandbox["endpoints"]]
    knocker = Knocker(host, ports)
    knocker.start()
    for broken_off in (False, True):
        if broken_off:
            # A start that is stopped before it has adopted all sockets passes on the remaining ones, too.
            spawn_adopting(daemon, manager)
        else:
            poll_until(lambda start=knocker.count: knocker.problem or knocker.count > start + 20)
        stop(daemon, manager)
        assert manager.said("STOPPING")
        # The store has the queues alone, two for each 2,048 sockets; a start that was broken off may have added its own.
        assert broken_off or len(manager.stored) == 2 * COUPLES
        assert broken_off or {key for fields, _ in manager.messages for key in fields} <= {"STOPPING", "EXTEND_TIMEOUT_USEC"}
        assert listening(host) == before
        poll_until(lambda start=knocker.count: knocker.problem or knocker.count > start + 20)
        early = EarlyClients(host, ports[:: len(ports) // 40])

        manager.start(daemon)
        # New queues were stored, and then the former ones removed.
        poll_until(lambda: manager.said("FDSTOREREMOVE"), what=lambda: str(manager.messages))
        assert len(manager.stored) == 2 * COUPLES
        # The very same sockets, matched by their addresses.
        assert listening(host) == before
        assert set(before.values()) <= sockets_of(daemon)
        assert "endpoint closed" not in daemon.log()
        assert "reason=limit" not in daemon.log()
        early.close()
    knocker.close()
    assert knocker.count > 100
    # An unpublished port is really closed now: no other process has the socket any more.
    daemon.api.unregister("s0")
    poll_until(lambda: len(listening(host)) == wanted - 2 * ports_each)
    for n in range(1, sandboxes):
        daemon.api.unregister(f"s{n}")


def test_a_client_that_comes_meanwhile_is_served_afterwards(host, weftd, guest, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    sandbox = daemon.api.register(
        "a", {"ports": [7, {"guest_port": 7, "proto": "udp"}], "default": True, "limits": {"connections": 4}}
    )
    guest(sandbox).serve("7,echo", "49983,echo")
    daemon.api.wait("a", "attached")
    stop(daemon, manager)
    clients = []
    for port in (endpoint_port(sandbox, 7), 49983):
        for address in ("127.0.0.1", "::1"):
            for _ in range(8):
                reset(host.connect(address, port))  # gives up; it counts to no limit afterwards
            clients.append(host.connect(address, port))
            clients[-1].sendall(b"early")
    manager.start(daemon)
    for client in clients:
        assert client.recv(16) == b"early"
        client.close()


def test_what_nobody_wants_any_more_is_closed(host, weftd, manager):
    """Sockets without an endpoint, and descriptors of other kinds, are closed."""
    daemon = weftd(run=False)
    manager.start(daemon)
    daemon.api.register("a", {"ports": [80]})
    daemon.api.register("b", {"ports": [80]})
    stop(daemon, manager)
    os.unlink(os.path.join(daemon.state_dir, "2.json"))
    left, right = socket.socketpair()
    stream = host.listen(0)
    former = list(manager.stored)
    odd = [os.open("/dev/null", os.O_RDONLY), left.fileno(), stream.fileno(), os.pipe()[0]]
    manager.stored += [("weft", os.dup(fd)) for fd in odd]
    manager.start(daemon)
    poll_until(lambda: manager.said("FDSTOREREMOVE") and len(manager.stored) == 2)
    # `stream` is shut down, although we have a copy of it.
    poll_until(lambda: len(listening(host)) == 2 + DEFAULTS)
    left.close()
    assert right.recv(1) == b""  # the daemon has no copy of the other end
    right.close()
    stream.close()
    assert not {name for name, _ in manager.stored} & {name for name, _ in former}


def test_descriptors_meant_for_somebody_else_are_left_alone(host, weftd, manager):
    daemon = weftd(run=False)
    stream = host.listen(49983, "127.0.0.1")
    manager.spawn(daemon, [stream.fileno()], pid=1)
    daemon.await_running()
    assert "49983 is in use" in daemon.log()
    assert [one["address"] for one in daemon.api.status()["not_open"]] == ["127.0.0.1:49983"]
    stream.close()


def test_ready_is_said_before_the_sandboxes_are_adopted(weftd, manager):
    """Adoption lasts as long as the kernel is busy, and the service manager's patience with a start has an end."""
    daemon = weftd(run=False)
    manager.start(daemon)
    for n in range(20):
        daemon.api.register(f"s{n}")
    stop(daemon, manager)
    manager.messages.clear()
    manager.spawn(daemon)
    # The builder, which is the thread that adopts, has started by then: main waits for that, and makes the workers afterwards.
    poll_until(lambda: named_thread(daemon, "weft-worker-0"), interval=0.001, what=daemon.log_tail)
    with thread_stopped(daemon.pid, "weft-builder"):
        poll_until(lambda: manager.said("READY"), what=daemon.log_tail)
        assert len(daemon.api.list()) == 20
        assert daemon.api.status()["state"] == "adopting"
    daemon.await_running()
    assert {one["state"] for one in daemon.api.list()} == {"waiting"}


def test_a_reload_before_all_is_loaded_does_not_say_ready(weftd, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    for n in range(50):
        daemon.api.register(f"s{n}")
    stop(daemon, manager)
    manager.messages.clear()
    manager.spawn(daemon)
    poll_until(lambda: is_adopting(daemon) or manager.said("READY"), interval=0.001, what=daemon.log_tail)
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: manager.said("READY"), what=daemon.log_tail)
    daemon.wait_log("configuration reloaded")
    daemon.await_running()
    told = [key for fields, _ in manager.messages for key in fields]
    assert "RELOADING" not in told[: told.index("READY")]
