# SPDX-License-Identifier: GPL-2.0-or-later
"""Sandboxes that sleep and are woken: their guests, those who want something of them, and what weftd says about it."""

import contextlib
import errno
import http.client
import selectors
import socket
import struct
import threading
import time

from .api import endpoint_port
from .client import receive_exactly
from .door import Door
from .netns import enter
from .packets import TCP, UDP, tcp
from .wait import ATTEMPT, PATIENCE, poll_until
from .waker import Waker

WORLD, HOST = "192.0.2.1", "192.0.2.2"
ECHO = 7  # the guests' port for TCP and for UDP
OTHER = 8  # another one that they serve, and that wakes nobody
NAT, NAT_UDP = 30007, 30008  # the host's ports that lead to ECHO
HOW = ("open", "closed")  # the TAP while the guest sleeps: a VM that is stopped, or a snapshot on disk

# The world may come in, and the default endpoint leads to ECHO.
CONFIG = {
    "forwarder": {"default_listen": f"127.0.0.1:{ECHO}", "default_guest_port": ECHO},
    "ingress": {"allow": ["192.0.2.0/24", "198.18.0.0/16"]},
    "ports": {"allow_address": ["192.0.2.0/24"]},
    "door": {"socket": "/run/weft/door.sock"},
}
PORTS = [
    ECHO,
    {"guest_port": ECHO, "listen": f"{HOST}:{NAT}", "via": "nat"},
    {"guest_port": ECHO, "listen": f"{HOST}:{NAT_UDP}", "via": "nat", "proto": "udp"},
]
FIRST = {"ports": PORTS, "default": True}  # of the first sandbox
STRANGERS = [f"198.18.{i // 250}.{i % 250 + 1}" for i in range(1000)]  # addresses beyond the uplink
WAKE = {"ports": [ECHO, f"{ECHO}/udp"], "min_awake_ms": 0}


class Events:
    """All events of a daemon behind its snapshot, read in a thread of its own."""

    def __init__(self, api):
        self.seen = []
        self._ready = threading.Event()
        self._over = False
        self._api = api
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    def _run(self):
        with contextlib.suppress(OSError, ValueError), self._api.events(timeout=3 * PATIENCE) as events:
            for event in events:
                if event["type"] == "snapshot-end":
                    self._ready.set()
                elif self._ready.is_set():
                    self.seen.append((time.monotonic(), event))
                if self._over:
                    return

    def of(self, kind, sandbox):
        return [event for _, event in list(self.seen) if event["type"] == kind and event.get("sandbox") == sandbox]

    def wakes(self, sandbox):
        return self.of("wake", sandbox)

    def await_wake(self, sandbox, count=1, timeout=PATIENCE):
        """Waits for COUNT events `wake` of SANDBOX, and returns them all."""
        poll_until(lambda: len(self.wakes(sandbox)) >= count, timeout, what=lambda: f"{count} wakes of {sandbox}: {self.seen[-20:]}")
        return self.wakes(sandbox)

    def end(self):
        self._over = True


class UdpEcho:
    """A server in a guest that sends each datagram back."""

    def __init__(self, guest, port=ECHO):
        self.socket = guest.socket(kind=socket.SOCK_DGRAM)
        self.socket.bind(("", port))
        self.socket.settimeout(0.1)
        self.over = False
        self.got = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over:
            with contextlib.suppress(TimeoutError):
                data, peer = self.socket.recvfrom(65536)
                self.got.append(data)
                with contextlib.suppress(OSError):
                    self.socket.sendto(data, peer)

    def close(self):
        self.over = True
        self.thread.join()
        self.socket.close()


class Sleeper:
    """A sandbox and its stand-in guest, which echoes TCP at ECHO and OTHER and UDP at ECHO."""

    def __init__(self, api, factory, name, body):
        self.api = api
        self.name = name
        self.factory = factory
        self.sandbox = api.register(name, {"ready_port": ECHO, "ports": [ECHO], "wake": WAKE, **body})
        self.address = self.sandbox["host_ip"]
        self.how = None
        self.sleeps = False
        self.lock = threading.Lock()  # its manager does one thing at a time
        self.guest = self.udp = None
        self._boot()
        api.wait(name, "ready")

    def _boot(self):
        self.guest = self.factory(self.sandbox)
        self.guest.serve(f"{ECHO},echo", f"{OTHER},echo")
        self.udp = UdpEcho(self.guest)

    def replace_vm(self):
        """Another VM in its place, which knows nothing of the first one's connections."""
        self.udp.close()
        self.guest.kill()
        self._boot()

    def sleep(self, how="closed"):
        """As a manager puts it to sleep: weftd first, then the VM. HOW: the TAP meanwhile."""
        self.how = how
        self.api.wait(self.name, "ready")  # its manager may still be at the last resume
        with self.lock:
            self.api.patch(self.name, {"paused": True})
            self.stop_vm()
            self.sleeps = True
        return self

    def stop_vm(self):
        self.guest.freeze()
        if self.how == "closed":
            self.guest.close_tap()
            poll_until(lambda: not self.guest.owner.host.netns(self.sandbox["netns"]).carrier(self.sandbox["tap"]))

    def start_vm(self):
        if self.how == "closed":
            self.guest.open_tap()
        self.guest.thaw()

    def resume(self, _said=None, flows="keep"):
        """The VM runs first, and then weftd is told, again and again if it does not run. Who is asked twice for one sleep does so once."""

        def told():
            with contextlib.suppress(OSError, http.client.HTTPException):
                return self.api.patch(self.name, {"paused": False, "flows": flows})
            return None

        with self.lock:
            if self.sleeps:
                self.start_vm()
                poll_until(told, what="weftd to be told of a resume")
                self.sleeps = False
        return self

    def endpoint(self):
        """The port on loopback that leads to ECHO."""
        return endpoint_port(self.sandbox, ECHO)

    def wake(self):
        """What the API says of it."""
        return self.api.show(self.name)["wake"]

    def asked(self):
        """Since when its manager is asked to resume it, or None."""
        return self.wake()["asked_at"]

    def close(self):
        self.udp.close()


# ---- Those who want something of it ----


class Client(threading.Thread):
    """One who connects in a thread, sends TEXT, waits as long as it takes, and wants it back, or WANTED. result() raises what went wrong."""

    def __init__(self, connect, text=b"hello", wanted=None):
        super().__init__(daemon=True)
        self.connect = connect
        self.text = text
        self.wanted = wanted or text
        self.answered = None  # when
        self.error = None
        self.connection = None
        self.start()

    def run(self):
        try:
            self.connection = self.connect()
            self.connection.settimeout(3 * PATIENCE)
            self.connection.sendall(self.text)
            assert receive_exactly(self.connection, len(self.wanted)) == self.wanted
            self.answered = time.monotonic()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def waits(self):
        """It has neither an answer nor an error."""
        return self.is_alive()

    def result(self, timeout=3 * PATIENCE):
        self.join(timeout)
        assert not self.is_alive(), "a client still waits"
        if self.error:
            raise self.error
        return self.connection

    def close(self):
        self.result().close()


class Way:
    """A way to a sleeper: who comes from where. `via` is what the event says."""

    def __init__(self, name, via, namespace, address, source=None):
        self.name = name
        self.via = via
        self.namespace = namespace
        self.address = address  # (host, port), or a function that connects
        self.source = source

    def connect(self, timeout=3 * PATIENCE):
        if callable(self.address):
            return self.address()
        return self.namespace.connect(*self.address, timeout=timeout)

    def datagrams(self):
        """A connected UDP socket."""
        made = self.namespace.socket(kind=socket.SOCK_DGRAM)
        made.connect(self.address)
        return made


def one_datagram(way, text):
    """Whether a single datagram is answered, once whatever sleeps there is awake."""
    with way.datagrams() as made:
        made.send(text)
        made.settimeout(ATTEMPT)
        return made.recv(65536) == text


def keep_alive(connection, each=1):
    """A keepalive each EACH seconds, and no end for want of answers."""
    for option, value in ((socket.TCP_KEEPIDLE, each), (socket.TCP_KEEPINTVL, each), (socket.TCP_KEEPCNT, 127)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def connect_without_waiting(namespace, address, port):
    """A TCP socket that does not block, and has sent its first SYN."""
    made = namespace.socket()
    made.setblocking(False)
    assert made.connect_ex((address, port)) in (0, errno.EINPROGRESS)
    return made


def how_it_ends(connecting, timeout=3 * PATIENCE):
    """The error of a connect() under way, 0 if it succeeds; None if it is not done in TIMEOUT."""
    with selectors.DefaultSelector() as selector:
        selector.register(connecting, selectors.EVENT_WRITE)
        if not selector.select(timeout):
            return None
    return connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


# ---- Packets made by hand, which nobody sends a second time ----


def send_raw(namespace, packet, address):
    with namespace.socket(kind=socket.SOCK_RAW, proto=socket.IPPROTO_RAW) as raw:
        raw.sendto(packet, (address, 0))


def send_syn(namespace, source, source_port, address, port, **options):
    """A single SYN that no socket will send again."""
    send_raw(namespace, tcp(address, port, source=source, source_port=source_port, **options), address)


def transport(frame):
    """(protocol, source, source port, destination, destination port, flags or 0) of a frame with IPv4; None for others."""
    if frame[12:14] != b"\x08\x00":
        return None
    proto, body = frame[23], frame[14 + 4 * (frame[14] & 15) :]
    if proto not in (TCP, UDP) or len(body) < 8:
        return None
    ports = struct.unpack("!HH", body[:4])
    flags = body[13] if proto == TCP else 0
    return proto, socket.inet_ntoa(frame[26:30]), ports[0], socket.inet_ntoa(frame[30:34]), ports[1], flags


def syn_acks(wire, address, port, to_port):
    """How many SYN-ACKs the WIRE has seen from ADDRESS and PORT to the port of a client."""
    wanted = (TCP, address, port, to_port, 0x12)
    found = [one for one in map(transport, wire.seen()) if one]
    return sum((kind, source, source_port, dest_port, flags & 0x17) == wanted for kind, source, source_port, _, dest_port, flags in found)


def tcp_info(connection):
    """{"backoff", "rto_us", "retransmits", "unacked"} of a socket."""
    raw = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
    rto, = struct.unpack_from("=I", raw, 8)
    unacked, = struct.unpack_from("=I", raw, 24)
    return {"retransmits": raw[2], "backoff": raw[4], "rto_us": rto, "unacked": unacked}


class Flood:
    """SYNs to one port from COUNT sources, each as fast as it goes, in a thread of its own in NAMESPACE, until stop()."""

    def __init__(self, namespace, address, port, sources, rate=None):
        self.sent = 0
        self._packets = [tcp(address, port, source=source, source_port=1024 + i % 60000) for i, source in enumerate(sources)]
        self._over = threading.Event()
        self._address = address
        self._rate = rate
        self._thread = threading.Thread(target=self._run, args=(namespace.path,), daemon=True)
        self._thread.start()

    def _run(self, path):
        enter(path)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            while not self._over.is_set():
                for packet in self._packets:
                    with contextlib.suppress(OSError):
                        raw.sendto(packet, (self._address, 0))
                        self.sent += 1
                    if self._over.is_set():
                        return
                if self._rate:
                    self._over.wait(len(self._packets) / self._rate)

    def stop(self):
        self._over.set()
        self._thread.join(PATIENCE)
        return self.sent


@contextlib.contextmanager
def scenes(host, weftd, guest, folder):
    """Makes scenes, and ends them."""
    made = []

    def make(**options):
        made.append(Scene(host, weftd, guest, folder, **options))
        return made[-1]

    try:
        yield make
    finally:
        for one in made:
            one.close()


class Scene:
    """A host with an uplink, the world beyond it that may come in, weftd, and a manager that it wakes sandboxes by."""

    def __init__(self, host, weftd, guest, folder, config=None, notify=True):
        self.host = host
        self.world = host.add_uplink()
        route_world(self.world)
        self.factory = guest
        self.waker = Waker(f"{folder}/waker.sock").start()
        self.sleepers = {}
        sections = {**CONFIG, **(config or {})}
        if notify:
            sections["wake"] = {"notify": self.waker.path, **sections.get("wake", {})}
        self.daemon = weftd(sections)
        self.sections = sections
        self.api = self.daemon.api
        self.door = Door(self.daemon)
        self.events = Events(self.api)

    def add(self, name="one", **body):
        """A sleeper, still awake; the first one has the nat ports and is the default."""
        made = self.sleepers[name] = Sleeper(self.api, self.factory, name, {**({} if self.sleepers else FIRST), **body})
        self.waker.resume[name] = made.resume
        return made

    def listen_again(self):
        """A new stream of events, as a restart ended the last one."""
        self.events = Events(self.api)

    def close(self):
        self.waker.close()
        for one in self.sleepers.values():
            one.close()


def route_world(world):
    """The world knows the way to the sandboxes' addresses on the host."""
    world.run(["ip", "route", "add", "10.11.0.0/16", "via", HOST])


def ways_to(host, sleeper, door=None):
    """The ways of TCP to ECHO of SLEEPER, the default one, by name."""
    found = [
        Way("host-local", "kernel", host, (sleeper.address, ECHO)),
        Way("remote", "kernel", host.world, (sleeper.address, ECHO), WORLD),
        Way("nat port, remote", "kernel", host.world, (HOST, NAT), WORLD),
        Way("nat port, host-local", "kernel", host, (HOST, NAT)),
        Way("endpoint", "forwarder", host, ("127.0.0.1", sleeper.endpoint())),
        Way("default endpoint", "forwarder", host, ("127.0.0.1", ECHO)),
    ]
    if door:
        found.append(Way("front door", "front-door", host, lambda: door.visit(sleeper.name, ECHO)))
    return {way.name: way for way in found}
