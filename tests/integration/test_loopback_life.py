# SPDX-License-Identifier: GPL-2.0-or-later
"""When entries of the kernel's table of loopback endpoints come and go, and what becomes of the clients that they led.

An entry that outlives its guest leads clients to nobody: their connect() hangs. Tests therefore go on connecting while the guest is
away, and a client that hangs ends the test.
"""

import contextlib
import signal
import socket
import threading

import pytest

from harness.cgroup import pins
from harness.client import PORT, ask, echoes, is_ended, receive_exactly
from harness.loopback import DNS, ECHO, SHY, Box, led
from harness.wait import PATIENCE, poll_until, readable

BOTH = ("127.0.0.1", "::1")


@pytest.fixture
def daemon(cgroup, weftd):
    return weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}})


@pytest.fixture
def box(boxes):
    made = boxes()
    made.await_path("kernel")
    return made


def is_held(box, guest_port=ECHO, address="127.0.0.1"):
    """A new client, which the forwarder holds: connected at once, and without an answer. The caller closes it."""
    client = box.connect(address, guest_port)
    client.sendall(b"abc")
    assert box.way(client, guest_port) == "forwarder"
    return client


def reload(daemon, cgroup, loopback, **more):
    daemon.write_config({"forwarder": {"loopback": loopback, "cgroup": cgroup.path, **more}})
    daemon.signal(signal.SIGHUP)


# ---- What ends entries, and clients ----


def test_a_lost_carrier_ends_entries_and_clients_and_new_ones_are_held(cgroup, box):
    clients = [led(box, address=address) for address in BOTH]
    direct = box.host.connect(box.shown["host_ip"], ECHO)
    assert echoes(direct)
    box.guest.close_tap()
    assert all(is_ended(client) for client in (*clients, direct))
    box.await_path("forwarder", PORT, ECHO, DNS, reason="waiting")
    assert cgroup.entries() == 0
    with is_held(box) as held, is_held(box, address="::1") as held6:
        box.guest.open_tap()
        assert receive_exactly(held, 3) == receive_exactly(held6, 3) == b"abc"
        box.await_path("kernel", PORT, ECHO)
        led(box).close()
        assert echoes(held) and echoes(held6)


def test_a_killed_vmm_ends_entries_and_clients(cgroup, box):
    client = led(box)
    box.guest.kill()
    assert is_ended(client)
    box.await_path("forwarder", PORT, ECHO, DNS)
    assert cgroup.entries() == 0


def test_a_pause_ends_entries_and_no_client(cgroup, box):
    client = led(box)
    box.daemon.api.patch(box.name, {"paused": True})
    assert cgroup.entries() == 0  # once it is answered
    box.await_path("forwarder", PORT, ECHO, DNS, reason="paused")
    with is_held(box) as held:
        assert not readable(held.fileno(), 0) and not readable(client.fileno(), 0)
        box.daemon.api.patch(box.name, {"paused": False, "flows": "keep"})
        assert receive_exactly(held, 3) == b"abc"
    assert echoes(client)
    box.await_path("kernel", PORT, ECHO)


def test_flows_that_are_reset_are_reset_for_the_client_too(box):
    client = led(box)
    box.daemon.api.patch(box.name, {"paused": True})
    box.daemon.api.patch(box.name, {"paused": False, "flows": "reset"})
    assert is_ended(client)
    box.call()  # a guest that was rolled back may have nobody at its ports, so they have to answer anew
    box.await_path("kernel", PORT, ECHO)
    led(box).close()


def test_unregistering_ends_all_clients(cgroup, boxes, box):
    other = boxes("a2")
    other.await_path("kernel")
    kept, clients = led(other), [led(box, address=address) for address in BOTH]
    count = cgroup.entries()
    box.daemon.api.unregister(box.name)
    assert all(is_ended(client) for client in clients)
    assert 0 < cgroup.entries() < count
    with pytest.raises(ConnectionRefusedError):
        box.connect("127.0.0.1", ECHO)
    assert echoes(kept)


def test_unpublishing_ends_the_clients_of_that_endpoint(cgroup, box):
    others = [box.connect(address, PORT) for address in BOTH]
    clients = [led(box, address=address) for address in BOTH]
    assert all(ask(other) for other in others)
    count = cgroup.entries()
    box.daemon.api.patch(box.name, {"unpublish": [ECHO]})
    assert all(is_ended(client) for client in clients)
    assert cgroup.entries() == count - 2
    with pytest.raises(ConnectionRefusedError):
        box.connect("127.0.0.1", ECHO)
    assert all(ask(other) for other in others)


def test_draining_ends_entries_and_clients_go_on(cgroup, box):
    client = led(box)
    box.daemon.api.unregister(box.name, drain=60)
    poll_until(lambda: cgroup.entries() == 0, what="no entries")
    assert echoes(client)
    client.close()
    poll_until(lambda: box.daemon.api.get(f"/v1/sandboxes/{box.name}").status == 404, what="the sandbox to go")


def test_the_default_endpoint_follows_the_default_at_once(cgroup, boxes, box):
    """And no client is ended by that: a request that is under way belongs to the sandbox that it came to."""
    other = boxes("a2")
    others = {box.name: box, other.name: other}

    def answer_of(address, wanted):
        client = box.host.connect(address, PORT)
        name = "a1" if b'"a1"' in ask(client) else "a2"
        assert name == wanted and client.getpeername()[:2] == (address, PORT)
        return client, others[name].way(client, PORT)

    for address in BOTH:
        clients = []
        for wanted in ("a1", "a2", "a1"):
            box.daemon.api.patch(wanted, {"default": "take"})
            clients.append(answer_of(address, wanted)[0])
            poll_until(lambda: answer_of(address, wanted)[1] == "kernel", what=f"{address} to lead to {wanted}")  # pylint: disable=W0640
            assert all(ask(client) for client in clients)
        box.daemon.api.patch("a1", {"default": False})
    count = cgroup.entries()
    box.daemon.api.patch("a1", {"default": True})
    poll_until(lambda: cgroup.entries() == count + 2)


# ---- What asks for the forwarder ----


@pytest.mark.parametrize(
    "body, reason",
    [
        ({"limits": {"connections": 9}}, "limits"),
        ({"limits": {"idle_ms": 60000}}, "limits"),
        ({"limits": {"half_closed_ms": 60000}}, "limits"),
        ({"ports": [PORT, ECHO, SHY, {"guest_port": DNS, "proto": "udp"}, {"guest_port": 9, "proxy_protocol": "v2"}]}, None),
    ],
    ids=["connections", "idle", "half-closed", "proxy"],
)
def test_what_the_kernel_cannot_do_is_the_forwarders(boxes, body, reason):
    box = boxes("a1", body)
    if reason:
        box.await_path("forwarder", reason=reason)
    else:
        box.await_path("kernel")
        box.await_path("forwarder", 9, reason="proxy-protocol")
    with box.connect("127.0.0.1", ECHO) as client:
        assert echoes(client) and box.way(client, ECHO) == ("forwarder" if reason else "kernel")


def test_limits_that_come_and_go_take_entries_along(cgroup, box):
    box.daemon.api.patch(box.name, {"limits": {"connections": 9}})
    box.await_path("forwarder", reason="limits")
    assert cgroup.entries() == 0
    box.daemon.api.patch(box.name, {"limits": {"connections": 0}})
    box.await_path("kernel")


def test_local_users_are_told_apart_by_the_forwarder_alone(cgroup, weftd, host, guest):
    daemon = weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}, "ingress": {"local_users": ["0", "4000"]}})
    with contextlib.closing(Box(host, daemon, guest)) as box:
        box.await_path("forwarder", reason="local-users")
        assert cgroup.entries() == 0


def test_auto_is_for_the_ready_port_and_the_default_endpoint(cgroup, weftd, host, guest):
    daemon = weftd({"forwarder": {"cgroup": cgroup.path}})
    with contextlib.closing(Box(host, daemon, guest, body={"ready_port": ECHO, "default": True})) as box:
        box.await_path("kernel", ECHO)
        box.await_path("forwarder", PORT, DNS, reason="not-ready-port")
        led(box).close()

        def default_is_led():
            with host.connect("127.0.0.1", PORT) as client:
                return ask(client) and box.way(client, PORT) == "kernel"

        poll_until(default_is_led, what="the default endpoint to be led")


# ---- The daemon's life ----


def test_a_stop_takes_all_away_and_clients_go_on(host, cgroup, daemon, boxes, box):
    assert cgroup.programs() and cgroup.entries()
    client, ports = led(box), [box.address(address, ECHO) for address in BOTH]
    daemon.stop()
    assert not cgroup.programs() and not cgroup.entries() and not [one for one in pins(host) if "weft" in one]
    assert echoes(client)
    assert client.getpeername() == (box.shown["host_ip"], ECHO)  # nobody translates it any more
    for address, port in ports:  # another program has the port now, and gets its clients
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with host.listen(port, address, family) as listener, host.connect(address, port) as stranger:
            served = listener.accept()[0]
            served.sendall(b"mine")
            assert receive_exactly(stranger, 4) == b"mine"
            served.close()
    daemon.start()
    box.call()
    box.await_path("kernel", PORT, ECHO)
    assert echoes(client) and client.getpeername() in ((box.shown["host_ip"], ECHO), box.address("127.0.0.1", ECHO))
    led(box).close()


def test_a_reload_takes_all_away_and_brings_it_again(host, cgroup, daemon, box):
    client = led(box)
    reload(daemon, cgroup, "forwarder")
    box.await_path("forwarder", reason="off")
    assert not cgroup.programs() and not [one for one in pins(host) if "weft" in one]
    assert echoes(client)
    with box.connect("127.0.0.1", ECHO) as other:
        assert echoes(other) and box.way(other, ECHO) == "forwarder"
        reload(daemon, cgroup, "kernel")
        box.await_path("kernel")
        led(box).close()
        assert echoes(other) and echoes(client)
    reload(daemon, cgroup, "auto")
    box.await_path("forwarder", ECHO, DNS, reason="not-ready-port")
    box.await_path("kernel", PORT)


def test_a_killed_daemon_leads_clients_on_and_the_next_one_takes_over(cgroup, daemon, box):
    programs, entries, client = cgroup.programs(), cgroup.entries(), led(box)
    daemon.kill()
    assert cgroup.programs() == programs and cgroup.entries() == entries
    led(box).close()
    led(box, address="::1").close()
    daemon.start()
    box.await_path("kernel", PORT, ECHO)
    assert cgroup.programs() == programs
    assert echoes(client)
    led(box).close()


def test_a_sandbox_that_goes_while_the_daemon_is_dead_leaves_no_entry(cgroup, manager, weftd, host, guest):
    daemon = weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}}, run=False)
    manager.start(daemon)
    with contextlib.closing(Box(host, daemon, guest)) as gone, contextlib.closing(Box(host, daemon, guest, "a2")) as stays:
        for box in (gone, stays):
            box.await_path("kernel")
        both, clients = cgroup.entries(), [led(gone), led(stays)]
        daemon.kill()
        assert cgroup.entries() == both  # stale ones
        gone.guest.kill()
        host.run(["ip", "netns", "del", gone.shown["netns"]])
        manager.start(daemon)  # READY=1 was said
        stays.await_path("kernel", PORT, ECHO)
        assert cgroup.entries() <= both / 2
        with gone.host.socket() as client:  # held, or refused, and in no case on its way to nobody
            client.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionError):
                client.connect(gone.address("127.0.0.1", ECHO))
                assert gone.way(client, ECHO) == "forwarder"
        assert echoes(clients[1])
        led(stays).close()


def test_a_killed_daemon_that_is_not_started_again_leads_nobody_astray(host, cgroup, daemon, box):
    """Its lease runs out, and whoever has the port then is reached."""
    port = box.port(ECHO)
    daemon.kill()
    with host.listen(port, "127.0.0.1"):
        led(box).close()  # not yet

        def reached():
            with host.connect("127.0.0.1", port) as client:
                return box.way(client, ECHO) == "forwarder"

        poll_until(reached, 2 * PATIENCE + 30, what="the lease to end", interval=0.5)
    assert cgroup.programs()  # they are there, and let everybody through
    daemon.start()


def test_cleanup_leaves_nothing_pinned(host, cgroup, daemon, box):
    daemon.kill()
    assert [one for one in pins(host) if "weft" in one] and cgroup.programs()
    box.guest.kill()
    done = daemon.run("--cleanup")
    assert done.returncode == 0, done.stderr
    assert not [one for one in pins(host) if "weft" in one] and not cgroup.programs()


def test_a_restart_under_a_manager_takes_entries_away_and_brings_them_again(cgroup, manager, weftd, host, guest):
    """Clients that come meanwhile wait at the listener that the manager keeps, and the successor serves them."""
    daemon = weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.path}}, run=False)
    manager.start(daemon)
    with contextlib.closing(Box(host, daemon, guest)) as box:
        box.await_path("kernel")
        client = led(box)
        daemon.stop()
        assert not cgroup.programs() and not cgroup.entries()
        with is_held(box) as waiting:
            manager.start(daemon)
            assert receive_exactly(waiting, 3) == b"abc"
        box.await_path("kernel", PORT, ECHO)
        led(box).close()
        assert echoes(client)


def test_a_host_without_bpffs_is_served_by_the_forwarder(host, weftd, guest):
    daemon = weftd({"forwarder": {"loopback": "kernel"}})
    with contextlib.closing(Box(host, daemon, guest)) as box:
        box.await_path("forwarder", reason="not-there")
        with box.connect("127.0.0.1", ECHO) as client:
            assert echoes(client)
    assert sum("loopback" in line for line in daemon.log().splitlines() if "level=error" not in line) >= 1
    assert "level=error" not in daemon.log()


def test_only_processes_of_the_cgroup_that_it_was_told_are_concerned(cgroup, weftd, host, guest):
    daemon = weftd({"forwarder": {"loopback": "kernel", "cgroup": cgroup.child("mine")}})
    assert cgroup.programs("mine") and not cgroup.programs()
    with contextlib.closing(Box(host, daemon, guest)) as box:
        box.await_path("kernel")
        with box.connect("127.0.0.1", ECHO) as client:
            assert echoes(client) and box.way(client, ECHO) == "forwarder"
        with cgroup.inside("mine"):
            led(box).close()


# ---- Churn ----


class Restless(threading.Thread):
    """Connects again and again by both families, and tells how often. A client may be refused or reset, and none may hang."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.count, self.led, self.problem = box, 0, 0, None
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.is_set():
                for address in BOTH:
                    with contextlib.suppress(ConnectionError):
                        with self.box.connect(address, ECHO) as client:
                            self.led += self.box.way(client, ECHO) == "kernel"
                    self.count += 1
        except Exception as error:  # pylint: disable=broad-except
            self.problem = error

    def await_more(self, count):
        """Waits until it has made COUNT further connections. The guest may be away meanwhile, so one that hangs is not helped."""
        wanted = self.count + count

        def made():
            assert not self.problem, self.problem
            return self.count >= wanted

        poll_until(made, what=lambda: f"more than {self.count} connections, {self.led} by the kernel", interval=0.002)


def test_no_client_hangs_while_a_carrier_comes_and_goes(cgroup, box):
    restless = Restless(box)
    restless.start()
    for _ in range(100):
        box.guest.close_tap()
        restless.await_more(4)
        box.guest.open_tap()
        before = restless.led
        poll_until(lambda: restless.led > before + 1, what=lambda: f"clients to be led again: {box.endpoint(ECHO)}")  # pylint: disable=W0640
    restless.ending.set()
    restless.join(PATIENCE)
    assert not restless.problem and not restless.is_alive()
    box.await_path("kernel", PORT, ECHO)
    entries = cgroup.entries()
    box.guest.close_tap()
    box.await_path("forwarder", PORT, ECHO, DNS)
    assert entries and cgroup.entries() == 0
