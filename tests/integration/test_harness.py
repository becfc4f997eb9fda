# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests' own tools, checked for everything that the other tests rely on. No daemon takes part."""

import contextlib
import json
import os
import socket
import subprocess
import zlib

import pytest

from harness.client import PATTERN, ask, receive_all, reset
from harness.host import difference
from harness.wait import PATIENCE, Lines, poll_until

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@contextlib.contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def sandbox(host):
    """A namespace like a sandbox's, made with ip: tap0, and a veth to the host."""
    host.run(["ip", "netns", "add", "ns-1"])
    inner = host.netns("ns-1")
    inner.run(["ip", "link", "set", "lo", "up"])
    inner.run(["ip", "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr"])
    inner.run(["ip", "link", "set", "tap0", "address", "02:FC:00:00:00:06", "mtu", "1400", "up"])
    inner.run(["ip", "addr", "add", "169.254.0.22/30", "dev", "tap0"])
    return inner


def test_the_host_sees_only_its_own_namespaces_and_links(host, sandbox):
    assert host.netns_names() == ["ns-1"]
    assert list(host.links()) == ["lo"]
    assert set(sandbox.links()) == {"lo", "tap0"}


def test_carrier_comes_with_the_guest_and_goes_with_it(sandbox, guest):
    assert not sandbox.carrier("tap0")
    attached = guest("ns-1")
    assert sandbox.carrier("tap0")
    attached.kill()
    assert not sandbox.carrier("tap0")


def test_carrier_goes_and_comes_while_the_guest_lives_on(sandbox, guest):
    one = guest("ns-1")
    one.serve("7,echo")
    with sandbox.connect("169.254.0.21", 7) as connection:
        one.close_tap()
        assert not sandbox.carrier("tap0")
        connection.sendall(b"kept")
        one.open_tap()
        assert sandbox.carrier("tap0")
        assert connection.recv(16) == b"kept"


def test_a_frozen_guest_keeps_carrier_and_goes_on_when_it_thaws(sandbox, guest):
    one = guest("ns-1")
    one.serve("7,echo")
    with sandbox.connect("169.254.0.21", 7) as connection:
        one.freeze()
        assert sandbox.carrier("tap0")
        connection.sendall(b"later")
        connection.settimeout(0.3)
        with pytest.raises(socket.timeout):
            connection.recv(16)
        connection.settimeout(PATIENCE)
        one.thaw()
        assert connection.recv(16) == b"later"


def test_the_guest_has_the_snapshots_addresses(sandbox, guest):
    one = guest("ns-1")
    eth0 = one.links()["eth0"]
    assert eth0["address"] == "02:fc:00:00:00:05"
    assert eth0["mtu"] == 1400
    assert "169.254.0.21/30" in one.output(["ip", "-4", "addr", "show", "eth0"])
    assert "default via 169.254.0.22" in one.output(["ip", "route"])


def test_offloads_are_negotiated_on_both_sides(sandbox, guest):
    guest("ns-1")
    features = sandbox.output(["ethtool", "-k", "tap0"])
    assert "tx-checksum-ip-generic: on" in features
    assert "tcp-segmentation-offload: on" in features


def test_what_servers_send_and_count_is_whole(sandbox, guest):
    guest("ns-1").serve("19,source,3000000", "9,sink", "10,sum", "49983,http,a1")
    with sandbox.connect("169.254.0.21", 19) as source:
        assert receive_all(source) == (PATTERN * 46)[:3000000]
    for port, tail in ((9, b"1000000\n"), (10, f"1000000 {zlib.crc32(PATTERN[:62500] * 16):08x}\n".encode())):
        with sandbox.connect("169.254.0.21", port) as sink:
            sink.sendall(PATTERN[:62500] * 16)
            sink.shutdown(socket.SHUT_WR)
            assert receive_all(sink) == tail
    with sandbox.connect("169.254.0.21", 49983) as http:
        http.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nPUT /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde")
        seen = b""
        while seen.count(b"}") < 2:
            seen += http.recv(4096)
        assert b'{"guest": "a1", "port": 49983, "body": 0}' in seen
        assert b'"body": 5}' in seen


def test_servers_tell_how_a_client_ended(sandbox, guest):
    servers = guest("ns-1").serve("7,echo", "22,half,50", "23,reset,3", "24,silent", report=True)
    with sandbox.connect("169.254.0.21", 7) as echo:
        echo.sendall(b"abc")
        assert echo.recv(3) == b"abc"
    assert servers.next_end()[1:] == (7, "fin", 3)

    reset(sandbox.connect("169.254.0.21", 7))
    assert servers.next_end()[1:] == (7, "reset", 0)

    with sandbox.connect("169.254.0.21", 22) as half:
        half.sendall(b"whole")
        half.shutdown(socket.SHUT_WR)
        assert receive_all(half) == b"whole"
    assert servers.next_end()[1:] == (22, "fin", 5)

    with sandbox.connect("169.254.0.21", 23) as refused:
        refused.sendall(b"abc")
        with pytest.raises(ConnectionResetError):
            refused.recv(1)
    assert servers.next_end()[1:] == (23, "closed", 3)


def test_many_guests_in_one_process(host, guest):
    names = [f"ns-{n}" for n in range(1, 31)]
    for name in names:
        host.run(["ip", "netns", "add", name])
        inner = host.netns(name)
        inner.run(["ip", "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr"])
        inner.run(["ip", "link", "set", "tap0", "up"])
        inner.run(["ip", "addr", "add", "169.254.0.22/30", "dev", "tap0"])
    guests = guest.many(names)
    guests[0].owner.serve([(one, f"49983,http,{name}") for one, name in zip(guests, names)])
    for name in names:
        with host.netns(name).connect("169.254.0.21", 49983) as connection:
            assert json.loads(ask(connection))["guest"] == name
    guests[0].kill()
    poll_until(lambda: not host.netns("ns-30").carrier("tap0"))


def test_the_world_answers_behind_an_uplink(host):
    world = host.add_uplink(mtu=1450)
    world.add("203.0.113.10/32")
    with world.listen(80) as listener, host.connect("203.0.113.10", 80) as client:
        server, address = listener.accept()
        server.close()
        assert address[0] == "192.0.2.2"
        assert client.recv(1) == b""


def test_the_difference_of_two_states_names_what_is_left(host):
    before = host.state()
    assert difference(before, host.state()) == []
    host.run(["ip", "netns", "add", "ns-9"])
    host.run(["ip", "link", "add", "veth-9", "type", "veth", "peer", "name", "eth0", "netns", "ns-9"])
    host.run(["nft", "add", "table", "inet", "weft"])
    text = "\n".join(difference(before, host.state()))
    for expected in ("namespaces: left: ns-9", "links: left: veth-9", "nft: left: table inet weft", "mounts: left:"):
        assert expected in text


def test_the_agent_of_a_guest_without_users_refuses_as_envd_does(sandbox, folder):
    argv = ["/usr/bin/python3", f"{TESTS}/agent/agent.py", "--root", f"{folder}/root", "--users", folder]
    with ended(sandbox.popen(argv, stdout=subprocess.PIPE)) as agent:
        assert json.loads(Lines(agent.stdout).next(60))["listening"] == 49983
        answer = sandbox.output(["curl", "-sS", "-w", "%{http_code}", "http://127.0.0.1:49983/files?path=mine"])
        assert "invalid default user: 'root'" in answer
        assert answer.endswith("401")


@pytest.mark.vm
def test_a_real_vm_boots_and_serves(sandbox, vm):
    booted = vm("ns-1")
    booted.wait_serving()
    assert sandbox.carrier("tap0")
    health = sandbox.output(["curl", "-sS", "--max-time", PATIENCE, "http://169.254.0.21:49983/health"])
    assert '"status": "ok"' in health
    booted.kill()
    assert not sandbox.carrier("tap0")


@pytest.mark.vm
def test_a_real_vm_with_the_agent_serves_the_users_of_its_image(sandbox, vm, folder):
    vm("ns-1", agent=True).wait_serving()
    url = "http://169.254.0.21:49983"
    assert sandbox.output(["curl", "-sS", "--max-time", PATIENCE, "-w", "%{http_code}", f"{url}/health"]) == "204"
    sandbox.run(["curl", "-sS", "-F", "file=@/etc/hostname", f"{url}/files?path=/home/user/h"])
    with open("/etc/hostname", encoding="utf-8") as file:
        assert sandbox.output(["curl", "-sS", f"{url}/files?path=/home/user/h"]) == file.read()

    # As envd, it finds users in the guest's /etc/passwd and refuses all others.
    for given, home in ((), "/root"), (("-u", "user:"), "/home/user"):
        sandbox.run(["curl", "-sS", "--fail", *given, "-F", "file=@/etc/hostname", f"{url}/files?path=mine"])
        sandbox.run(["curl", "-sS", "--fail", "-o", f"{folder}/mine", f"{url}/files?path={home}/mine"])
    assert "invalid username: 'stranger'" in sandbox.output(["curl", "-sS", "-u", "stranger:", f"{url}/files?path=mine"])
