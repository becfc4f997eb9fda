# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients of 127.0.0.1 and ::1, of every kind, with entries in the kernel's table of loopback endpoints and without.

What a client sees is the same in both cases: its peer is the address that it asked for, and answers come from there. Which way it
went shows in the addresses that its socket really has, or in those that the guest sees.
"""

import contextlib
import ctypes
import errno
import socket

import pytest

from harness.cgroup import real_ends
from harness.client import PORT, ask, echoes, was_reset
from harness.loopback import DNS, ECHO, SHY, Box, asked
from harness.netns import Namespace
from harness.wait import ATTEMPT, PATIENCE, poll_until, tried

TCP_FASTOPEN_CONNECT = 30  # not in Python's socket
_libc = ctypes.CDLL(None)
BOTH = ("127.0.0.1", "::1")


@pytest.fixture(params=["kernel", "forwarder"])
def way(request):
    return request.param


@pytest.fixture
def daemon(cgroup, weftd, way):
    return weftd({"forwarder": {"loopback": way, "cgroup": cgroup.path}})


@pytest.fixture
def box(boxes, way):
    made = boxes()
    made.await_path(way)
    return made


@pytest.mark.parametrize("address", [*BOTH, "::ffff:127.0.0.1"])
def test_a_client_sees_the_address_that_it_asked_for(box, way, address):
    port = box.port(ECHO, 6 if address == "::1" else 4)
    with box.host.connect(address, port) as client:
        assert client.getpeername()[:2] == (address, port)
        assert client.getsockname()[0] == address
        assert echoes(client) and box.way(client, ECHO) == way
        assert client.getsockname()[1] == real_ends(box.host, client).own[1]


def test_the_guest_answers_both_kinds_of_clients_alike(box, way):
    for address in BOTH:
        with box.connect(address, PORT) as client:
            assert b'"a1"' in ask(client) and len(ask(client, "/bytes/300000")) == 300000
            assert box.way(client, PORT) == way


def test_a_socket_for_ipv6_alone_is_the_forwarders(box):
    """It cannot be connected to an IPv4 address, which the guest's is."""
    with box.host.socket(socket.AF_INET6) as client:
        client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        client.connect(box.address("::1", ECHO))
        assert echoes(client) and box.way(client, ECHO) == "forwarder"
        assert client.getpeername()[:2] == box.address("::1", ECHO)


@pytest.mark.parametrize("address", BOTH)
def test_a_socket_that_is_bound_to_loopback_is_the_forwarders(box, address):
    """A loopback address does not leave by a veth."""
    with box.connect(address, ECHO, source=address) as client:
        assert echoes(client) and box.way(client, ECHO) == "forwarder"
        assert client.getsockname()[0] == address


@pytest.mark.parametrize("address", BOTH)
def test_a_socket_that_is_bound_to_a_device_is_the_forwarders(box, address):
    with box.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        client.connect(box.address(address, ECHO))
        assert echoes(client) and box.way(client, ECHO) == "forwarder"


@pytest.mark.parametrize("address, source", [("127.0.0.1", "0.0.0.0"), ("::1", "::")])
def test_a_socket_that_is_bound_to_any_address_is_led(box, way, address, source):
    with box.connect(address, ECHO, source=source) as client:
        assert echoes(client) and box.way(client, ECHO) == way


@pytest.mark.parametrize("address", BOTH)
def test_a_socket_that_does_not_block_is_led(box, way, address):
    with box.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, timeout=0) as client:
        assert client.connect_ex(box.address(address, ECHO)) in (0, errno.EINPROGRESS)
        client.settimeout(PATIENCE)
        assert echoes(client) and box.way(client, ECHO) == way
        assert client.getpeername()[:2] == box.address(address, ECHO)


@pytest.mark.parametrize("address", BOTH)
@pytest.mark.parametrize("how", ["connect", "send"])
def test_a_socket_with_fast_open_is_led(box, way, address, how):
    with box.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        if how == "connect":
            client.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            client.connect(box.address(address, ECHO))
            assert echoes(client)
        else:
            client.settimeout(None)  # with a timeout Python's sockets do not block, and this would be in progress
            assert client.sendto(b"abc", socket.MSG_FASTOPEN, box.address(address, ECHO)) == 3
            assert client.recv(3, socket.MSG_WAITALL) == b"abc"
        assert box.way(client, ECHO) == way
        assert client.getpeername()[:2] == box.address(address, ECHO)


def test_a_socket_is_used_for_another_address_afterwards(box):
    """What it had asked for at first is not what it is told of then."""
    with box.host.listen(0, "127.0.0.1") as listener, box.host.socket() as client:
        client.connect(box.address("127.0.0.1", ECHO))
        assert echoes(client)
        assert _libc.connect(client.fileno(), bytes(16), 16) == 0  # AF_UNSPEC: not connected any more
        client.connect(listener.getsockname())
        assert client.getpeername() == listener.getsockname()


def test_a_port_that_never_answered_is_the_forwarders(box):
    """A guest that boots may yet listen there. Its clients are held for a while, and are not refused."""
    with box.host.socket() as client:
        with contextlib.suppress(ConnectionResetError):
            client.connect(box.address("127.0.0.1", SHY))
            assert was_reset(client)
    assert box.endpoint(SHY)["path"] == "forwarder"


def test_a_port_that_has_closed_refuses(box, way):
    box.servers.stop()
    with box.host.socket() as client:
        try:
            client.connect(box.address("127.0.0.1", ECHO))
            assert way == "forwarder" and was_reset(client)
        except ConnectionRefusedError:
            assert way == "kernel"


@pytest.mark.parametrize("address", [*BOTH, "::ffff:127.0.0.1"])
def test_a_connected_socket_of_datagrams_is_led(box, way, address):
    port = box.port(DNS, 6 if address == "::1" else 4)
    with box.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM, timeout=ATTEMPT) as client:
        client.connect((address, port))
        assert tried(lambda: asked(client, b"abc") or poll_until(lambda: asked(client, b"abc"), ATTEMPT))
        assert client.getpeername()[:2] == (address, port) and client.getsockname()[0] == address
        assert box.datagrams.way() == way


def sent(client, where, text=b"abc"):
    """Sends TEXT to WHERE until it is answered. Returns the answer's sender."""

    def attempt():
        client.sendto(text, where)
        answer, sender = client.recvfrom(65536)
        assert answer == b"re:" + text
        return sender[:2]

    client.settimeout(ATTEMPT)
    return tried(attempt)


@pytest.mark.parametrize("address", BOTH)
def test_a_datagram_is_answered_by_the_address_that_it_was_sent_to(box, way, address):
    """The kernel takes no mapped address for an unconnected socket of IPv6: these are always the forwarder's."""
    with box.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as client:
        where = box.address(address, DNS)
        assert sent(client, where) == where
        assert box.datagrams.way() == (way if address == "127.0.0.1" else "forwarder")


def test_one_socket_of_datagrams_is_led_by_turns(boxes, box, way):
    """To a sandbox with an entry, to one that needs the forwarder, and to a server of the host's own."""
    other = boxes("a2", {"limits": {"connections": 5}})
    other.await_path("forwarder", reason="limits" if way == "kernel" else "off")
    with box.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, box.host.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        for _ in range(3):
            for one, its_way in ((box, way), (other, "forwarder")):
                where = one.address("127.0.0.1", DNS)
                assert sent(client, where) == where and one.datagrams.way() == its_way
            client.sendto(b"abc", own.getsockname())
            own.sendto(b"re", own.recvfrom(100)[1])
            assert client.recvfrom(100) == (b"re", own.getsockname())


def test_a_client_of_another_namespace_is_none_of_wefts(box):
    """It is in the same cgroup, and its 127.0.0.1 is another one."""
    box.host.run(["ip", "netns", "add", "other"])
    try:
        other = box.host.netns("other")
        other.run(["ip", "link", "set", "lo", "up"])
        for address in BOTH:
            address, port = box.address(address, ECHO)
            with pytest.raises(ConnectionRefusedError):
                other.connect(address, port)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with other.listen(port, address, family) as listener, other.connect(address, port) as client:
                assert real_ends(other, client).other == (address, port)
                assert client.getpeername()[:2] == listener.getsockname()[:2]
    finally:
        box.host.run(["ip", "netns", "del", "other"])


def test_a_client_of_another_cgroup_is_the_forwarders_and_one_of_a_cgroup_below_is_led(cgroup, box, way):
    """A container of the host's network has a cgroup below the one that weft was given."""
    cgroup.child("container")
    with cgroup.outside(), box.connect("127.0.0.1", ECHO) as client:
        assert echoes(client) and box.way(client, ECHO) == "forwarder"
    with cgroup.inside("container"), box.connect("127.0.0.1", ECHO) as client:
        assert echoes(client) and box.way(client, ECHO) == way


def test_a_client_of_a_local_address_that_is_no_loopback_is_untouched(box):
    with box.host.listen(0, "127.0.0.2") as listener:
        where = listener.getsockname()
        with box.host.connect(*where) as client:
            assert real_ends(box.host, client).other == where == client.getpeername()


def test_the_host_address_leads_to_the_guest_as_ever(box):
    with box.host.connect(box.shown["host_ip"], ECHO) as client:
        assert echoes(client) and client.getpeername() == (box.shown["host_ip"], ECHO)


def test_the_namespace_of_a_sandbox_is_untouched(box):
    inner = Namespace(box.host.file(box.shown["netns_path"]))
    with pytest.raises(ConnectionRefusedError):
        inner.connect("127.0.0.1", box.port(ECHO))
