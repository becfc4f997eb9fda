# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that the kernel led have nobody but weftd who ends them, whatever has become of entries and programs meanwhile."""

import signal
import socket

import pytest

from harness.client import echoes, is_ended
from harness.loopback import DNS, ECHO, asked, led
from harness.wait import PATIENCE, poll_until

BOTH = ("127.0.0.1", "::1")


@pytest.fixture
def daemon(cgroup, weftd):
    return weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}})


@pytest.fixture
def box(boxes):
    made = boxes()
    made.await_path("kernel")
    return made


def asking(box, address="127.0.0.1"):
    """A socket that is connected to the guest's server of datagrams, past the forwarder."""
    client = box.host.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM, timeout=PATIENCE)
    client.connect(box.address(address, DNS))
    assert asked(client, b"abc") and box.datagrams.way() == "kernel"
    return client


def turn_off(daemon, cgroup, box):
    daemon.write_config({"forwarder": {"loopback": "forwarder", "cgroup": cgroup.path}})
    daemon.signal(signal.SIGHUP)
    box.await_path("forwarder", reason="off")


def test_a_lost_carrier_ends_clients_that_were_led_before_a_reload(cgroup, daemon, box):
    client = led(box)
    turn_off(daemon, cgroup, box)
    assert echoes(client)
    box.guest.close_tap()
    assert is_ended(client)


def test_clients_that_were_led_before_a_reload_are_waited_for_in_a_drain_and_then_ended(cgroup, daemon, box):
    client = led(box)
    turn_off(daemon, cgroup, box)
    daemon.api.unregister(box.name, drain=600)
    assert echoes(client) and daemon.api.show(box.name)["state"] == "draining"
    daemon.api.unregister(box.name)
    assert is_ended(client)


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("comes_back", [False, True])
def test_clients_of_a_guest_that_left_while_no_daemon_ran_are_ended(daemon, box, how, comes_back):
    client = led(box)
    getattr(daemon, how)()
    box.guest.close_tap()
    if comes_back:
        box.guest.open_tap()
    daemon.start()
    assert is_ended(client)
    if not comes_back:
        box.guest.open_tap()
    box.call()
    box.await_path("kernel", ECHO)
    led(box).close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_clients_of_a_guest_that_stayed_while_no_daemon_ran_go_on(daemon, box, how):
    client = led(box)
    getattr(daemon, how)()
    daemon.start()
    box.call()
    box.await_path("kernel", ECHO)
    assert echoes(client)


def test_a_guest_that_leaves_in_a_drain_ends_its_clients(daemon, box):
    client = led(box)
    daemon.api.unregister(box.name, drain=600)
    assert echoes(client)
    box.guest.kill()
    assert is_ended(client)
    poll_until(lambda: daemon.api.get(f"/v1/sandboxes/{box.name}").status == 404, what="the sandbox to go")


@pytest.mark.parametrize("address", BOTH)
@pytest.mark.parametrize("how", ["unregister", "unpublish"])
def test_sockets_that_are_connected_for_datagrams_are_ended(daemon, boxes, box, how, address):
    """The address is another sandbox's after a while, and their datagrams are not for that."""
    other = boxes("a2")
    other.await_path("kernel")
    client, kept = asking(box, address), asking(other, address)
    if how == "unregister":
        daemon.api.unregister(box.name)
    else:
        daemon.api.patch(box.name, {"unpublish": [DNS]})
    with pytest.raises(ConnectionAbortedError):
        client.recv(9)
    assert asked(kept, b"abc")


@pytest.mark.parametrize("how", ["stop", "kill", "reload"])
def test_unpublishing_ends_clients_of_a_table_that_is_gone(cgroup, daemon, box, how):
    client = led(box)
    if how == "reload":
        turn_off(daemon, cgroup, box)
        daemon.write_config({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}})
        daemon.signal(signal.SIGHUP)
    else:
        getattr(daemon, how)()
        daemon.start()
    box.call()
    box.await_path("kernel", ECHO)
    assert echoes(client)
    daemon.api.patch(box.name, {"unpublish": [ECHO]})
    assert is_ended(client)


@pytest.mark.parametrize("hook", ["connect4", "connect6", "sendmsg4", "getpeername4"])
def test_a_program_that_was_detached_is_attached_again(cgroup, daemon, box, hook):
    client, programs = led(box), cgroup.programs()
    before = client.getpeername()
    cgroup.detach(hook)
    assert hook not in cgroup.programs()
    poll_until(lambda: cgroup.programs() == programs, 4 * PATIENCE, what="the program to be attached again")
    box.await_path("kernel")
    led(box).close()
    assert echoes(client) and client.getpeername() == before
    assert f"{hook} was detached" in daemon.log()
