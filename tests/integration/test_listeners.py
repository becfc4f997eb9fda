# SPDX-License-Identifier: GPL-2.0-or-later
"""The service manager has every listening socket from the moment it is opened, and none that was closed: kill -9 frees no port."""

import contextlib
import errno
import os
import random
import socket
import threading

import pytest

from harness.manager import MOST
from harness.netns import inside
from harness.wait import poll_until

HTTP = 9090
DEFAULT = 49983


def sockets(host):
    """{(protocol, port, family): inode} of the host's TCP sockets that listen, and of its bound UDP sockets."""
    return {(one.protocol, one.port, one.family): one.inode for one in host.bound_sockets()}


def bind_fails(host, protocol, port, family, reuse, wildcard):
    """The errno of a stranger's bind, and listen; None: it has the port."""

    def attempt():
        inet = socket.AF_INET6 if family == 6 else socket.AF_INET
        address = {(4, False): "127.0.0.1", (6, False): "::1", (4, True): "0.0.0.0", (6, True): "::"}[family, wildcard]
        with socket.socket(inet, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as one:
            if family == 6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in reuse:
                one.setsockopt(socket.SOL_SOCKET, option, 1)
            try:
                one.bind((address, port))
                if protocol == "tcp":
                    one.listen()
            except OSError as error:
                return error.errno
        return None

    return inside(host.path, attempt)


def steals(host, ports):
    """Those of PORTS that a stranger gets, by any means."""
    means = [(), (socket.SO_REUSEADDR,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)]
    return [
        (port, reuse, wildcard)
        for port in ports
        for reuse in means
        for wildcard in (False, True)
        if bind_fails(host, *port, reuse, wildcard) != errno.EADDRINUSE
    ]


def still(sandbox):
    """The sandbox's (protocol, port, family)."""
    return [
        (one["proto"], int(text.rsplit(":", 1)[1]), 6 if "[" in text else 4)
        for one in sandbox["endpoints"]
        for text in one["listen"]
    ]


def at_rest(manager):
    """Waits until the former run's descriptors are removed."""
    poll_until(lambda: len({name for name, _ in manager.stored}) == 1, what=lambda: str(manager.messages))


def test_no_stranger_gets_a_port_while_it_is_down(host, weftd, guest, manager):
    daemon = weftd({"http": {"listen": [f"127.0.0.1:{HTTP}"]}}, run=False)
    manager.start(daemon)
    body = {"ports": [7, {"guest_port": 7, "proto": "udp"}]}
    made = [daemon.api.register(f"s{n}", body) for n in range(20)]
    guest(made[0]).serve("7,echo")
    daemon.api.wait("s0", "attached")
    wanted = {one for sandbox in made for one in still(sandbox)} | {("tcp", HTTP, 4)}
    wanted |= {("tcp", DEFAULT, 4), ("tcp", DEFAULT, 6)}
    before = sockets(host)
    assert wanted <= set(before)
    daemon.kill()
    assert sockets(host) == before
    assert steals(host, wanted) == []
    # What clients send meanwhile is answered by the next run.
    early = [host.connect(f, port) for f in ("127.0.0.1", "::1") for _, port, _ in still(made[0])[:1]]
    for client in early:
        client.sendall(b"early")
    page = host.connect("127.0.0.1", HTTP)
    control = daemon.api.raw_socket()
    for client in (page, control):
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % HTTP)
    inode = os.stat(daemon.socket).st_ino
    manager.start(daemon)
    at_rest(manager)
    for client in early:
        assert client.recv(16) == b"early"
    for client in (page, control):
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    for client in (*early, page, control):
        client.close()
    assert sockets(host) == before and os.stat(daemon.socket).st_ino == inode
    # And as soon as a sandbox is gone its ports are anybody's.
    for sandbox in made:
        daemon.api.unregister(sandbox["id"])
        assert [bind_fails(host, *port, (), False) for port in still(sandbox)] == [None] * 4
    daemon.kill()
    assert set(sockets(host)) == {("tcp", HTTP, 4), ("tcp", DEFAULT, 4), ("tcp", DEFAULT, 6)}
    manager.start(daemon)


@pytest.mark.parametrize("kept", [True, False])
def test_a_port_is_free_when_the_answer_is_there(host, weftd, manager, kept):
    """By DELETE, by its form that drains, and by `unpublish`: with a service manager, and without."""
    daemon = weftd(run=False)
    if kept:
        manager.start(daemon)
    else:
        daemon.start()
    for step in range(12):
        sandbox = daemon.api.register("a", {"ports": [8080, {"guest_port": 53, "proto": "udp"}]})
        ports = still(sandbox)
        how = step % 3
        if how == 0:
            daemon.api.unregister("a")
        elif how == 1:
            daemon.api.unregister("a", drain=30)
        else:
            daemon.api.patch("a", {"unpublish": [port[1] and f"127.0.0.1:{port[1]}" for port in ports[::2]]})
        assert [bind_fails(host, *port, (), False) for port in ports] == [None] * 4, how
        daemon.api.unregister("a", expect=(204, 404))
    # Nobody can have it, and another sandbox can.
    taken = {"ports": [{"guest_port": 1, "listen": "127.0.0.1:18001", "proto": "udp"}]}
    for _ in range(5):
        daemon.api.register("a", taken)
        daemon.api.unregister("a")
    daemon.stop()


def test_a_registration_is_kept_when_it_is_answered(host, weftd, manager):
    daemon = weftd(run=False)
    for n in range(6):
        manager.start(daemon)
        sandbox = daemon.api.register(f"s{n}", {"ports": [80]})
        published = daemon.api.patch(f"s{n}", {"publish": [81]})
        daemon.kill()
        assert set(still(sandbox)) <= set(still(published)) <= set(sockets(host))
        assert steals(host, still(published)) == []
    manager.start(daemon)
    assert len(daemon.api.list()) == 6


def test_more_sockets_than_one_queue_holds(host, weftd, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    ports = list(range(1000, 1250))
    made = [daemon.api.register(f"s{n}", {"ports": ports}, timeout=60) for n in range(5)]
    assert len(manager.stored) == 4
    daemon.api.unregister("s1")
    del made[1]
    made.append(daemon.api.register("s5", {"ports": ports}, timeout=60))
    before = sockets(host)
    assert len(before) == 2500 + 2
    for _ in range(2):
        daemon.kill()
        assert sockets(host) == before
        manager.start(daemon)
        at_rest(manager)
        assert sockets(host) == before and len(manager.stored) == 4
    # The service manager heard of the queues, and of no socket.
    assert sum(count for fields, count in manager.messages if "FDSTORE" in fields) == 4


def test_a_start_that_is_killed_loses_nothing(host, weftd, manager):
    """At any instant: with the former run's queues, with both, and with its own alone."""
    daemon = weftd(run=False)
    manager.start(daemon)
    made = [daemon.api.register(f"s{n}", {"ports": [80, {"guest_port": 53, "proto": "udp"}]}) for n in range(5)]
    before = sockets(host)
    names = set()
    for step in range(12):
        daemon.kill()
        assert sockets(host) == before, step
        manager.settle()
        names.add(len({name for name, _ in manager.stored}))
        messages = len(manager.messages)
        manager.spawn(daemon)
        if step % 4 == 3:
            manager.settle()
            poll_until(lambda: daemon.api.status()["state"] == "running")
            at_rest(manager)
        elif step % 4:
            # Amid what it says to the service manager.
            poll_until(lambda: len(manager.messages) > messages, interval=0.0001)
            threading.Event().wait(random.random() * 0.004)
    poll_until(lambda: daemon.api.status()["state"] == "running")
    at_rest(manager)
    assert sockets(host) == before and [one["endpoints"] for one in daemon.api.list()] == [one["endpoints"] for one in made]


def test_a_sandbox_that_is_gone_meanwhile_keeps_no_port(host, weftd, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    made = [daemon.api.register(f"s{n}", {"ports": [80, {"guest_port": 53, "proto": "udp"}]}) for n in range(2)]
    daemon.kill()
    os.unlink(os.path.join(daemon.state_dir, "2.json"))
    manager.start(daemon)
    at_rest(manager)
    poll_until(lambda: [bind_fails(host, *port, (), False) for port in still(made[1])] == [None] * 4)
    assert steals(host, still(made[0])) == []
    daemon.kill()
    assert [bind_fails(host, *port, (), False) for port in still(made[1])] == [None] * 4
    manager.start(daemon)


def test_a_control_socket_whose_file_is_another_is_not_taken(host, weftd, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    daemon.kill()
    os.unlink(daemon.socket)
    manager.start(daemon)
    daemon.wait_log("a kept socket is not used")
    daemon.kill()
    # The next one is kept again.
    inode = os.stat(daemon.socket).st_ino
    manager.start(daemon)
    assert os.stat(daemon.socket).st_ino == inode


def test_of_several_control_sockets_with_one_path_the_files_own_is_taken(host, weftd, manager):
    daemon = weftd(run=False)
    # Older ones, of runs that were killed before they gave them up. Which of all comes first is the kernel's choice.
    older = [host.socket(family=socket.AF_UNIX) for _ in range(8)]
    for one in older:
        one.bind(daemon.socket)
        one.listen()
        os.unlink(daemon.socket)
    manager.start(daemon)
    daemon.kill()
    manager.settle()
    inode = os.stat(daemon.socket).st_ino
    manager.stored += [("older", one.detach()) for one in older]
    manager.start(daemon)
    assert os.stat(daemon.socket).st_ino == inode


def test_sockets_stored_one_by_one_are_taken_over(host, weftd, manager):
    """As by builds before the queues."""
    daemon = weftd({"forwarder": {"default_listen": ["127.0.0.1:49983"]}}, run=False)
    body = {"ports": [{"guest_port": 7, "listen": "127.0.0.1:18007"}, {"guest_port": 7, "listen": "127.0.0.1:18007", "proto": "udp"}]}
    manager.start(daemon)
    daemon.api.register("a", body)
    daemon.stop()
    manager.settle()
    for _, fd in manager.stored:
        os.close(fd)
    kinds = [(49983, socket.SOCK_STREAM), (18007, socket.SOCK_STREAM), (18007, socket.SOCK_DGRAM)]
    old = [host.socket(kind=kind) for _, kind in kinds]
    for one, (port, kind) in zip(old, kinds):
        one.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            one.listen()
    manager.stored = [("weft", one.detach()) for one in old]
    before = sockets(host)
    manager.start(daemon)
    at_rest(manager)
    assert sockets(host) == before and len(manager.stored) == 2
    daemon.api.unregister("a")
    assert set(sockets(host)) == {("tcp", 49983, 4)}


def garbled(manager, change):
    """Replaces what is stored by queues whose messages went through CHANGE(bytes)."""
    for index, (name, fd) in enumerate(manager.stored):
        sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with socket.socket(fileno=fd) as queue, sender:
            with contextlib.suppress(BlockingIOError):
                while True:
                    data, fds, _, _ = socket.recv_fds(queue, 4096, MOST, socket.MSG_DONTWAIT)
                    if not data:
                        break
                    socket.send_fds(sender, [change(data)], fds)
                    for one in fds:
                        os.close(one)
        manager.stored[index] = (name, receiver.detach())


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:8] + b"\2" + data[9:], lambda data: b"x" * len(data)],
    ids=["short", "long", "version", "foreign"],
)
def test_a_queue_of_an_unknown_kind_is_given_up(host, weftd, manager, change):
    daemon = weftd(run=False)
    manager.start(daemon)
    sandbox = daemon.api.register("a", {"ports": [80]})
    before = sockets(host)
    daemon.kill()
    manager.settle()
    garbled(manager, change)
    manager.start(daemon)
    at_rest(manager)
    # None of it was taken; the ports are free for it, as the queue is drained.
    daemon.wait_log("unknown kind")
    poll_until(lambda: set(sockets(host)) == set(before), 60, what=daemon.log_tail)
    assert not set(sockets(host).values()) & set(before.values())
    assert set(still(sandbox)) <= set(sockets(host))
