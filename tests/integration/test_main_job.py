# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job: a test for each fault of the bridge that weft replaces, and the whole job fifty times."""

import concurrent.futures
import os
import socket
import time

import pytest

from harness.api import endpoint_port
from harness.client import GUEST, PORT, ask, health, pattern, receive_all, receive_exactly, reset, was_reset
from harness.host import difference, tracked
from harness.netns import Namespace
from harness.wait import one_of, poll_until

READY = {"ports": [PORT], "ready_port": PORT}


def serve(guest, name, *more, report=False):
    return guest.serve(f"{PORT},http,{name}", *more, report=report)


# ---- Registering makes everything, or reports the failure and leaves nothing behind.


def test_registering_makes_the_whole_path(host, api):
    sandbox = api.register("a1", READY)
    assert (sandbox["slot"], sandbox["state"], sandbox["netns"]) == (1, "waiting", "ns-1")
    assert (sandbox["host_ip"], sandbox["veth"], sandbox["tap"]) == ("10.11.0.1", "veth-1", "tap0")

    veth = host.links()["veth-1"]
    assert veth["address"] == "02:fc:01:00:00:01"
    assert veth["group"] == "1874" and "UP" in veth["flags"]
    assert "10.12.0.2/31" in host.output(["ip", "addr", "show", "veth-1"])
    assert "dev veth-1" in host.output(["ip", "route", "get", "10.11.0.1"])

    inner = host.netns("ns-1")
    links = inner.links()
    assert links["eth0"]["address"] == "02:fc:02:00:00:01"
    assert links["tap0"]["address"] == "02:fc:00:00:00:06"
    assert "10.12.0.3/31" in inner.output(["ip", "addr", "show", "eth0"])
    assert "169.254.0.22/30" in inner.output(["ip", "addr", "show", "tap0"])
    assert "default via 10.12.0.2" in inner.output(["ip", "route"])
    tap = links["tap0"]["linkinfo"]["info_data"]
    assert tap["type"] == "tap" and tap["vnet_hdr"] and tap["persist"] and not tap["pi"]
    assert "table inet weft" in inner.nft()
    assert host.output(["ip", "netns", "exec", "ns-1", "ip", "-o", "link"]).count("\n") == 3


def test_no_ipv6_on_veth_and_tap(host, api):
    api.register("a1")
    assert host.output(["ip", "-6", "addr", "show", "veth-1"]) == ""
    for link in ("eth0", "tap0"):
        assert host.netns("ns-1").output(["ip", "-6", "addr", "show", link]) == ""


def test_a_failed_registration_names_the_step_and_leaves_nothing(host, daemon):
    daemon.api.register("a1", READY)
    before = host.settled_state(daemon.api)
    host.run(["mount", "-o", "remount,ro", "/run/netns"])
    reply = daemon.api.request("PUT", "/v1/sandboxes/a2", body=READY)
    assert "/run/netns/ns-2" in reply.problem(500)["detail"]
    assert [one["id"] for one in daemon.api.list()] == ["a1"]
    host.run(["mount", "-o", "remount,rw", "/run/netns"])
    host.await_state(before)
    assert daemon.api.register("a2", READY)["slot"] == 2


def test_what_is_not_ours_is_neither_used_nor_removed(host, api):
    host.run(["ip", "netns", "add", "ns-1"])
    host.run(["ip", "link", "add", "veth-2", "type", "veth", "peer", "name", "other"])
    host.run(["ip", "route", "add", "10.11.0.3/32", "dev", "lo"])
    assert api.register("a1")["slot"] == 4
    api.unregister("a1")
    assert host.netns_names() == ["ns-1"]
    assert "veth-2" in host.links()
    assert "10.11.0.3 dev lo" in host.output(["ip", "route"])
    host.run(["ip", "route", "del", "10.11.0.3/32", "dev", "lo"])
    host.run(["ip", "netns", "del", "ns-1"])
    host.run(["ip", "link", "del", "veth-2"])


# ---- No child processes; an address that the host lacks is refused by name.


def test_a_bind_address_that_the_host_lacks_is_refused_at_start(weftd):
    daemon = weftd({"forwarder": {"default_listen": "10.99.0.2:49983"}}, run=False)
    assert daemon.refuses() == 78
    assert "10.99.0.2" in daemon.log()
    daemon.write_config({})


def test_a_bind_address_that_the_host_lacks_is_refused_at_registration(weftd):
    daemon = weftd({"ports": {"allow_address": "10.99.0.2"}})
    reply = daemon.api.request("PUT", "/v1/sandboxes/a1", body={"ports": [{"guest_port": 80, "listen": "10.99.0.2:8080"}]})
    assert reply.status in (400, 409), reply
    assert "10.99.0.2" in reply.problem(reply.status, "/ports/0/listen")["detail"]
    assert daemon.api.list() == []


def test_no_child_process_ever(daemon, api, guest, host):
    serve(guest(api.register("a1", READY)), "a1")
    assert health(host, "127.0.0.1")["guest"] == "a1"
    assert daemon.children() == []


def test_a_forwarded_connection_is_not_tracked_and_one_by_the_kernel_path_is(host, api, guest):
    sandbox = api.register("a1", READY)
    serve(guest(sandbox), "a1")
    api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as client:
        assert ask(client)
        assert tracked(host, 1) == 0
        with host.connect(sandbox["host_ip"], PORT) as direct:
            assert ask(direct)
            assert tracked(host, 1) == 1


# ---- A client that comes while the guest boots is held, or gets an answer.


def test_a_client_that_comes_before_the_vm_is_held_and_then_served(host, api, guest):
    sandbox = api.register("a1", READY)
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as early:
        early.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        poll_until(lambda: api.show("a1")["counters"]["connections_held"] == 1)
        one = guest(sandbox)
        api.wait("a1", "attached")
        serve(one, "a1")
        assert b'"guest": "a1"' in early.recv(4096)
    assert api.wait("a1", "ready")["state"] == "ready"


def test_at_the_deadline_the_client_is_reset_and_the_log_says_why(host, weftd):
    daemon = weftd({"forwarder": {"connect_deadline": "300ms"}})
    sandbox = daemon.api.register("a1", READY)

    def held():
        start = time.monotonic()
        with host.connect("127.0.0.1", endpoint_port(sandbox)) as early:
            assert was_reset(early)
        return time.monotonic() - start

    assert one_of(5, held, lambda seconds: seconds < 2) > 0.25
    assert "sandbox=a1" in daemon.wait_log("connect-deadline")


def test_a_guest_that_refuses_by_icmp_is_one_that_refuses(host, weftd, guest):
    """As from a firewall in the guest with a REJECT rule."""
    daemon = weftd({"forwarder": {"refused_grace": "100ms"}})
    sandbox = daemon.api.register("a1", {"ports": [PORT, 7000], "ready_port": PORT})
    one = guest(sandbox)
    rules = "table ip t { chain i { type filter hook input priority 0; tcp dport 7000 reject; }; }"
    Namespace(one.path).run(["nft", rules])
    serve(one, "a1")
    daemon.api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7000)) as client:
        assert was_reset(client)
    assert "sandbox=a1" in daemon.wait_log("guest-refused")


# ---- Carrier is an event, and the diagnosis names the first broken hop.


def test_states_follow_the_vm(host, api, guest):
    sandbox = api.register("a1", READY)
    assert sandbox["state"] == "waiting"
    one = guest(sandbox)
    assert api.wait("a1", "attached")["state"] == "attached"
    servers = serve(one, "a1")
    assert api.wait("a1", "ready")["state"] == "ready"
    one.kill()
    servers.stop()
    assert api.wait("a1", "detached")["state"] == "detached"
    serve(guest(sandbox), "again")
    assert api.wait("a1", "ready")["state"] == "ready"
    assert health(host, "127.0.0.1")["guest"] == "again"


def test_carrier_is_known_without_polling(host, api, guest):
    sandbox = api.register("a1", READY)
    times = []
    while len(times) < 5 or max(times[-5:]) >= 0.5:  # five in a row, as the machine may be busy now and then
        assert len(times) < 40, times
        one = guest(sandbox)
        api.wait("a1", "attached")
        start = time.monotonic()
        one.kill()
        api.wait("a1", "detached")
        times.append(time.monotonic() - start)


def await_whole(api, name):
    """Waits until the diagnosis finds no fault. It may need several, as a guest that answers after a second counts as silent."""
    seen = {}

    def whole():
        seen.update(api.get(f"/v1/sandboxes/{name}/diagnosis").expect(200).body)
        return seen["broken"] is None and all(hop["status"] == "ok" for hop in seen["hops"] if hop["hop"] not in ("door", "egress"))

    poll_until(whole, what=lambda: str(seen))


def test_the_diagnosis_names_the_first_broken_hop(api, guest):
    sandbox = api.register("a1", READY)
    diagnosis = api.get("/v1/sandboxes/a1/diagnosis").expect(200).body
    assert diagnosis["broken"] == "tap" and diagnosis["cause"] and diagnosis["next_step"]
    status = {hop["hop"]: hop["status"] for hop in diagnosis["hops"]}
    assert status["tap"] == "fail" and status["tcp"] == "skipped"

    serve(guest(sandbox), "a1")
    api.wait("a1", "ready")
    await_whole(api, "a1")


# ---- The manager, or weftd itself, may lose its state: the kernel does not.


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_keeps_sandboxes_and_live_connections_through_nat(host, daemon, guest, how):
    sandbox = daemon.api.register("a1", READY)
    daemon.api.register("a2", READY)
    serve(guest(sandbox), "a1")
    daemon.api.wait("a1", "ready")
    with host.connect("10.11.0.1", PORT) as connection:
        assert b"a1" in ask(connection)
        getattr(daemon, how)()
        assert b"a1" in ask(connection)
        daemon.start()
        assert b"a1" in ask(connection)
    again = daemon.api.wait("a1", "ready")
    for key in ("slot", "host_ip", "endpoints", "registered_at"):
        assert again[key] == sandbox[key]
    assert [one["id"] for one in daemon.api.list()] == ["a1", "a2"]
    assert health(host, "127.0.0.1", endpoint_port(sandbox))["guest"] == "a1"


# ---- The host reaches every port of a guest by its address; the guest sees the client's address, and reaches the internet.


def test_every_port_answers_on_the_host_address(host, api, guest):
    one = guest(api.register("a1"))
    with one.listen(22) as tcp, one.socket(kind=socket.SOCK_DGRAM) as udp:
        with host.connect("10.11.0.1", 22) as client:
            served, address = tcp.accept()
            assert address[0] == "10.12.0.2"
            served.sendall(b"tcp")
            assert client.recv(8) == b"tcp"
            served.close()
        udp.bind(("", 5353))
        with host.socket(kind=socket.SOCK_DGRAM) as client:
            client.sendto(b"ask", ("10.11.0.1", 5353))
            question, address = udp.recvfrom(64)
            assert question == b"ask"
            udp.sendto(b"told", address)
            assert client.recvfrom(64) == (b"told", ("10.11.0.1", 5353))
    assert host.run(["ping", "-c1", "-w30", "10.11.0.1"], check=False).returncode == 0


def test_the_guest_reaches_the_world_by_the_hosts_address(host, weftd, guest):
    world = host.add_uplink()
    world.add("203.0.113.10/32")
    daemon = weftd()
    one = guest(daemon.api.register("a1"))
    with world.listen(80) as listener, one.connect("203.0.113.10", 80) as client:
        served, address = listener.accept()
        assert address[0] == "192.0.2.2"
        served.sendall(b"hello")
        assert client.recv(8) == b"hello"
        served.close()


def test_an_address_without_a_slot_does_not_leave_by_the_uplink(host, weftd):
    host.add_uplink()
    weftd()
    for address in ("10.11.0.77", "10.12.0.99"):
        assert host.run(["ip", "route", "get", address], check=False).returncode != 0


# ---- One localhost:49983, and a stable port for each.


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1"])
def test_localhost_leads_to_the_default_sandbox(host, api, guest, loopback):
    first, second = api.register("a1", READY), api.register("a2", {**READY, "default": True})
    one, two = guest.many([first, second])
    one.owner.serve([(one, f"{PORT},http,a1"), (two, f"{PORT},http,a2")])
    assert health(host, loopback)["guest"] == "a2"
    api.patch("a2", {"default": False})
    api.patch("a1", {"default": True})
    assert health(host, loopback)["guest"] == "a1"
    family = 6 if ":" in loopback else 4
    assert health(host, loopback, endpoint_port(second, family=family))["guest"] == "a2"


def test_the_only_sandbox_is_the_default(host, api, guest):
    serve(guest(api.register("a1")), "a1")
    assert health(host, "127.0.0.1")["guest"] == "a1"


def test_with_no_default_a_client_is_reset_after_a_while(host, weftd):
    daemon = weftd({"forwarder": {"default_wait": "200ms"}})
    with host.connect("127.0.0.1", PORT) as client:
        assert was_reset(client)
    daemon.wait_log("no-sandbox")


# ---- Streams.


@pytest.mark.parametrize("loopback", ["127.0.0.1", "::1"])
def test_streams_are_whole_in_both_directions(host, api, guest, loopback):
    sandbox = api.register("a1", {"ports": [19, 10, 22, 7]})
    guest(sandbox).serve("19,source,20000000", "10,sink", "22,half,1500", "7,echo")
    family = 6 if ":" in loopback else 4

    def connect(port):
        return host.connect(loopback, endpoint_port(sandbox, port, family))

    with connect(19) as down:
        assert receive_all(down) == pattern(20000000)
    with connect(10) as up:
        up.sendall(pattern(20000000))
        up.shutdown(socket.SHUT_WR)
        assert receive_all(up) == b"20000000\n"
    with connect(22) as half:
        half.sendall(b"request")
        half.shutdown(socket.SHUT_WR)
        assert receive_all(half) == b"request"
    with connect(7) as echo:
        for size in (1, 100, 70000):
            echo.sendall(pattern(size))
            assert receive_exactly(echo, size) == pattern(size)


def test_resets_pass_both_ways(host, api, guest):
    sandbox = api.register("a1", {"ports": [7, 23]})
    servers = guest(sandbox).serve("7,echo", "23,reset,1", report=True)
    with host.connect("127.0.0.1", endpoint_port(sandbox, 23)) as client:
        client.sendall(b"x")
        assert was_reset(client)
    assert servers.next_end(least=1)[1:3] == (23, "closed")

    client = host.connect("127.0.0.1", endpoint_port(sandbox, 7))
    client.sendall(b"abc")
    assert receive_exactly(client, 3) == b"abc"
    reset(client)
    assert servers.next_end(least=3)[1:] == (7, "reset", 3)


# ---- The whole job, fifty times, with nothing left behind.


COUNT = 50
PIPES_KEPT = 16  # by each worker, one for each processor: forwarder/worker.h


def names_that_answer(host, sandboxes):
    """{id: (name behind its port on IPv4, on IPv6, behind its host address)}"""
    return {
        one["id"]: (
            health(host, "127.0.0.1", endpoint_port(one))["guest"],
            health(host, "::1", endpoint_port(one, family=6))["guest"],
            health(host, one["host_ip"])["guest"],
        )
        for one in sandboxes
    }


def descriptors(daemon):
    """(descriptors that are no pipes, pipes). Each worker may keep pipes that were empty at a connection's end, for the next one."""
    names = list(daemon.fds().values())
    pipes = sum(name.startswith("pipe:") for name in names)
    return len(names) - pipes, pipes


def test_fifty_sandboxes_each_answer_as_themselves_and_leave_nothing(host, daemon, guest):
    api = daemon.api
    api.register("first")  # from then on, the descriptors that weftd opens only once are open
    api.unregister("first")
    before = host.state()
    others, pipes = descriptors(daemon)
    most = pipes + 2 * PIPES_KEPT * os.cpu_count()
    sandboxes = [api.register(f"s{n}", {**READY, "ports": [PORT, 19]}) for n in range(COUNT)]
    assert [one["slot"] for one in sandboxes] == list(range(1, COUNT + 1))
    assert host.nft().splitlines() == before["nft"]  # the host's rules do not depend on the number of sandboxes
    guests = guest.many(sandboxes)
    guests[0].owner.serve([(one, f"{PORT},http,s{n}") for n, one in enumerate(guests)] + [(one, "19,source") for one in guests])
    for one in sandboxes:
        api.wait(one["id"], "ready")
    assert names_that_answer(host, sandboxes) == {one["id"]: (one["id"],) * 3 for one in sandboxes}

    # Now with connections open and data in flight, on both ways in.
    open_now = [host.connect("127.0.0.1", endpoint_port(one, 19)) for one in sandboxes]
    open_now += [host.connect(one["host_ip"], 19) for one in sandboxes]
    for connection in open_now:
        receive_exactly(connection, 100000)
    with concurrent.futures.ThreadPoolExecutor(COUNT) as pool:
        list(pool.map(lambda one: api.unregister(one["id"]), sandboxes))
    for connection in open_now[:COUNT]:
        assert was_reset(connection)
    for connection in open_now:
        connection.close()
    guests[0].owner.close()

    left = []

    def nothing_left():
        left[:] = difference(before, host.state())
        others_now, pipes_now = descriptors(daemon)
        return not left and others_now <= others and pipes_now <= most

    poll_until(nothing_left, what=lambda: f"{left} {others} descriptors before, {pipes} of pipes: {daemon.fds()}", interval=0.1)
    assert host.output(["ip", "neigh"]) == ""
    assert api.list() == []
    assert api.register("next")["slot"] == 1


def without_counts(ruleset):
    return [line.split(" counter")[0] for line in ruleset.splitlines()]


def test_the_hosts_ruleset_reads_back(host, api):
    for n in range(3):
        api.register(f"s{n}", READY)
    host.await_names(api)
    for namespace in (host, host.netns("ns-2")):
        text = namespace.nft()
        assert text
        namespace.run(["nft", "-c", "-f", "-"], input=text)
        namespace.run(["nft", "-f", "-"], input="flush ruleset\n" + text)
        poll_until(lambda: without_counts(namespace.nft()) == without_counts(text), what=namespace.nft)  # pylint: disable=cell-var-from-loop


def test_guests_reach_neither_each_other_nor_the_host(host, api, guest):
    one, two = guest.many([api.register("a1"), api.register("a2")])
    two.serve("80,http,two")
    with host.listen(8080):
        for address, port in (("10.11.0.2", 80), ("10.12.0.2", 8080), ("10.12.0.4", 8080), ("169.254.0.22", 8080)):
            with pytest.raises(OSError):
                one.connect(address, port, timeout=0.5)
    assert health(host, "10.11.0.2", 80)["guest"] == "two"
    assert GUEST in one.output(["ip", "addr", "show", "eth0"])
