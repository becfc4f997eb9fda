# SPDX-License-Identifier: GPL-2.0-or-later
"""[egress] allow_host with a target: weftd connects guests to addresses and unix sockets of the host, and to nothing else."""

import os
import re
import socket
import struct

import pytest

from harness.client import is_refused_by_reset, receive_all, receive_exactly, was_reset
from harness.wait import PATIENCE, poll_until

ASKED = "192.0.2.9"  # of nobody
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
EVENTS, PORT, WHO, ABSENT, NO_SOCKET = 80, 81, 82, 83, 84
TARGET_PORT = 5010


class Scene:
    """Guests "one" and "two" of a host with services: an echo at a unix socket and at a port, and one that wants to know who asks."""

    def __init__(self, host, weftd, guest, folder, run=True):
        self.host, self.folder = host, folder
        host.add_uplink()
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        self.services = []
        self.events = self.listen_at("events")
        self.who = self.listen_at("who")
        self.port = host.listen(TARGET_PORT, "127.0.0.1")
        services = [
            f"{ASKED}:{EVENTS}=unix:{self.path('events')}",
            f"{ASKED}:{PORT}=127.0.0.1:{TARGET_PORT}",
            f"{ASKED}:{WHO}=unix:{self.path('who')},proxy-v2",
            f"{ASKED}:{ABSENT}=unix:{self.path('absent')}",
            f"{ASKED}:{NO_SOCKET}=unix:{self.path('file')}",
        ]
        self.daemon = weftd({"egress": {"allow_host": services, "internet": "no"}}, run=run)
        self.make_guest = guest

    def path(self, name):
        return f"{self.folder}/{name}"

    def listen_at(self, name):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path(name))
        listener.listen(64)
        listener.settimeout(PATIENCE)
        return listener

    def start(self):
        self.api = self.daemon.api
        self.sandboxes = [self.api.register(name, {"ports": [7]}) for name in ("one", "two")]
        self.one, self.two = self.make_guest.many(self.sandboxes)
        for name in ("one", "two"):
            self.api.wait(name, "attached")
        return self

    def ask(self, port, guest=None):
        """The guest's connection, and the service's end of it."""
        listener = {EVENTS: self.events, PORT: self.port, WHO: self.who}[port]
        asking = (guest or self.one).connect(ASKED, port)
        served, _ = listener.accept()
        served.settimeout(PATIENCE)
        return asking, served

    def listed(self, name="one"):
        return self.api.get(f"/v1/sandboxes/{name}/connections").expect(200).body["connections"]

    def ended(self, target):
        """The fields of the line about the connection to TARGET that ended."""
        line = self.daemon.wait_log(f"target={target} ")
        return dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))


@pytest.fixture
def scene(host, weftd, guest, folder):
    made = []

    def make(**options):
        made.append(Scene(host, weftd, guest, folder, **options))
        return made[-1]

    yield make
    for one in made:
        for listener in (one.events, one.who, one.port):
            listener.close()


def passes(one, other):
    one.sendall(b"ping")
    assert receive_exactly(other, 4) == b"ping"
    other.sendall(b"pong")
    assert receive_exactly(one, 4) == b"pong"


def read_header(served):
    """What a PROXY header says: the ends, and the values behind them by type."""
    assert receive_exactly(served, 12) == SIGNATURE
    version, family, size = struct.unpack("!BBH", receive_exactly(served, 4))
    assert (version, family) == (0x21, 0x11)
    rest = receive_exactly(served, size)
    ends = [socket.inet_ntoa(rest[:4]), socket.inet_ntoa(rest[4:8]), *struct.unpack("!HH", rest[8:12])]
    values, at = {}, 12
    while at < size:
        kind, length = struct.unpack_from("!BH", rest, at)
        values[kind] = rest[at + 3 : at + 3 + length].decode()
        at += 3 + length
    return ends, values


def test_guests_are_connected_to_services_and_to_nothing_else(scene, host):
    scene = scene().start()
    api, one = scene.api, scene.one

    # Both kinds of targets, in both directions, with an end in order.
    for port in (EVENTS, PORT):
        asking, served = scene.ask(port)
        passes(asking, served)
        (row,) = scene.listed()
        assert (row["direction"], row["endpoint"], row["state"]) == ("out", f"{ASKED}:{port}", "open")
        assert row["client"].startswith(f"{scene.sandboxes[0]['host_ip']}:")
        assert (row["bytes_to_guest"], row["bytes_from_guest"]) == (4, 4)
        asking.shutdown(socket.SHUT_WR)
        assert receive_all(served) == b""
        served.sendall(b"the rest")
        served.close()
        assert receive_all(asking) == b"the rest"
        poll_until(lambda: not scene.listed())

    # A service learns who asks: by id, and by name once there is one.
    api.patch("two", {"name": "ip5a2vh1q14ne170jpah6"})
    for guest, sandbox, values in (
        (one, scene.sandboxes[0], {0x05: "one"}),
        (scene.two, scene.sandboxes[1], {0x05: "two", 0xE0: "ip5a2vh1q14ne170jpah6"}),
    ):
        asking, served = scene.ask(WHO, guest)
        (source, asked, source_port, port), told = read_header(served)
        assert (source, asked, port) == (sandbox["host_ip"], ASKED, WHO)
        assert source_port and told == values
        passes(asking, served)
        for end in (asking, served):
            end.close()

    # The listener itself is for nobody: no guest, and no program of the host or beyond.
    host_end = f"10.12.0.{2 * scene.sandboxes[0]['slot']}"
    for address in (host_end, "192.0.2.2"):
        with pytest.raises(OSError):
            one.connect(address, 5382, timeout=2)
    with pytest.raises((OSError, AssertionError)):
        with host.connect("127.0.0.1", 5382, timeout=2) as stranger:
            stranger.sendall(b"x")
            assert receive_exactly(stranger, 1)

    # What is not there resets the guest; each time the log names the target and the fault.
    for port, name in ((ABSENT, "absent"), (NO_SOCKET, "file")):
        assert is_refused_by_reset(one.connect, ASKED, port)
        fields = scene.ended(f"unix:{scene.path(name)}")
        assert fields["reason"] == "proxy-refused"
        assert fields["direction"] == "out" and fields["sandbox"] == "one"
        assert (fields["endpoint"], fields["target"]) == (f"{ASKED}:{port}", f"unix:{scene.path(name)}")
        assert fields["error"] in ('"No such file or directory"', '"Connection refused"')
    # An end is counted right behind its line.
    poll_until(lambda: api.metrics()['weft_connections_total{reason="proxy-refused"}'] == 2)

    # Isolation ends what is open.
    asking, served = scene.ask(PORT)
    passes(asking, served)
    api.patch("one", {"egress": {"isolated": True}})
    assert was_reset(served)
    with pytest.raises(OSError):
        one.connect(ASKED, PORT)
    api.patch("one", {"egress": {}})

    # A pause freezes it, and with the sandbox it is gone.
    asking, served = scene.ask(EVENTS)
    passes(asking, served)
    api.patch("one", {"paused": True})
    served.sendall(b"late")
    assert scene.listed()[0]["state"] == "paused"
    asking.settimeout(0.3)
    with pytest.raises(TimeoutError):
        asking.recv(1)
    api.patch("one", {"paused": False})
    asking.settimeout(PATIENCE)
    assert receive_exactly(asking, 4) == b"late"
    api.unregister("one")
    assert receive_all(served) == b""
    assert scene.ended(f"unix:{scene.path('events')}")["reason"] == "unregistered"


def test_a_taken_port_is_told_and_opened_once_it_is_free(scene, host):
    with host.listen(5382) as other:
        scene = scene().start()
        (told,) = scene.api.status()["not_open"]
        assert (told["address"], told["what"]) == ("0.0.0.0:5382", "[egress] service_port")
        other.close()
        poll_until(lambda: not scene.api.status()["not_open"])
    passes(*scene.ask(EVENTS))


def unit_capabilities():
    """Those of weftd's unit, as setpriv has them."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(top, "systemd/weftd.service.in"), encoding="utf-8") as file:
        line = next(line for line in file if line.startswith("CapabilityBoundingSet="))
    return ",".join(["-all"] + ["+" + one[4:].lower() for one in line.split("=")[1].split()])


def test_doctor_finds_a_socket_that_weftd_may_not_connect_to(scene):
    """weftd has the capabilities of its unit, which do not override the modes of files."""
    scene = scene(run=False)
    daemon, command = scene.daemon, scene.daemon.command
    daemon.command = lambda *more: ["setpriv", "--bounding-set", unit_capabilities(), *command(*more)]
    daemon.start()
    daemon.command = command
    scene.start()
    passes(*scene.ask(EVENTS))
    os.chown(scene.path("events"), 1234, 1234)
    told = f"weftd may have no right to connect to {scene.path('events')}, for"
    for mode, fits in ((0o755, False), (0o666, True)):
        os.chmod(scene.path("events"), mode)
        assert (told in daemon.ctl("doctor", check=False).stdout) != fits
        if fits:
            passes(*scene.ask(EVENTS))
        else:
            assert is_refused_by_reset(scene.one.connect, ASKED, EVENTS)
            assert scene.ended(f"unix:{scene.path('events')}")["error"] == '"Permission denied"'


def test_a_service_that_is_started_anew_loses_no_guest(scene):
    scene = scene().start()
    scene.events.close()
    os.unlink(scene.path("events"))
    asking = scene.one.connect(ASKED, EVENTS)
    poll_until(lambda: scene.listed() and scene.listed()[0]["state"] == "held")
    scene.events = scene.listen_at("events")
    served, _ = scene.events.accept()
    passes(asking, served)


def test_what_guests_have_open_outlives_a_restart(scene, manager):
    scene = scene(run=False)
    manager.start(scene.daemon)
    scene.start()
    asking, served = scene.ask(EVENTS)
    half, half_served = scene.ask(PORT)
    half.shutdown(socket.SHUT_WR)
    assert receive_all(half_served) == b""
    before = {row["id"] for row in scene.listed()}
    scene.daemon.stop(60)
    manager.settle()
    early = scene.one.connect(ASKED, EVENTS)
    manager.start(scene.daemon)
    poll_until(lambda: scene.daemon.api.status()["handover"], what=scene.daemon.log_tail)
    assert scene.daemon.api.status()["handover"]["lost"] == 0
    passes(asking, served)
    half_served.sendall(b"whole")
    half_served.close()
    assert receive_all(half) == b"whole"
    # A guest that asks while weftd is away is served by the next one.
    early_served, _ = scene.events.accept()
    early_served.settimeout(PATIENCE)
    passes(early, early_served)
    assert {row["id"] for row in scene.listed()} & before
