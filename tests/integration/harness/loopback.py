# SPDX-License-Identifier: GPL-2.0-or-later
"""A sandbox whose clients on loopback may be connected by the kernel, and which way each of them went."""

import contextlib
import socket
import threading

from .api import endpoint_port
from .cgroup import real_ends
from .client import PORT, echoes
from .wait import ATTEMPT, poll_until, tried

ECHO, SHY, DNS = 7, 8, 53
TAP = "169.254.0.22"


class Datagrams:
    """The guest's UDP server: sends each datagram back with "re:" before it. `came_from` is where the last one came from."""

    def __init__(self, guest, port):
        self.socket = guest.socket(socket.AF_INET, socket.SOCK_DGRAM, timeout=0.1)
        self.socket.bind(("", port))
        self.came_from = None
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self):
        while not self.ending.is_set():
            with contextlib.suppress(OSError):  # none came, or the guest was killed
                data, self.came_from = self.socket.recvfrom(65536)
                self.socket.sendto(b"re:" + data, self.came_from)

    def way(self):
        return "forwarder" if self.came_from[0] == TAP else "kernel"

    def close(self):
        self.ending.set()
        self.thread.join()
        self.socket.close()


class Box:
    """Sandbox NAME with a guest, whose ports have answered: 49983 over HTTP, 7 echoes, and so does 53 over UDP. Nobody listens at 8."""

    def __init__(self, host, daemon, guest, name="a1", body=None):
        self.host, self.daemon, self.name = host, daemon, name
        ports = [PORT, ECHO, SHY, {"guest_port": DNS, "proto": "udp"}]
        self.shown = daemon.api.register(name, {"ports": ports, "ready_port": PORT, **(body or {})})
        self.guest = guest(self.shown)
        self.servers = self.guest.serve(f"{PORT},http,{name}", f"{ECHO},echo")
        self.datagrams = Datagrams(self.guest, DNS)
        daemon.api.wait(name, "ready")
        self.call()
        with host.socket(socket.AF_INET, socket.SOCK_DGRAM, timeout=ATTEMPT / 10) as client:
            client.connect(("127.0.0.1", self.port(DNS)))
            poll_until(lambda: asked(client, b"first"))

    def call(self):
        """One client of each TCP port that is served: a daemon that was started anew may not know that they answer."""
        for port in (PORT, ECHO):
            tried(lambda: self.connect("127.0.0.1", port).close())  # pylint: disable=cell-var-from-loop

    def port(self, guest_port, family=4):
        return endpoint_port(self.shown, guest_port, family)

    def endpoint(self, guest_port):
        shown = self.daemon.api.show(self.name)
        return next(one for one in shown["endpoints"] if one["guest_port"] == guest_port)

    def await_path(self, wanted, *guest_ports, reason=None):
        """Waits until clients of GUEST_PORTS go that way; None for all but the one at which nobody listens."""
        for port in guest_ports or (PORT, ECHO, DNS):
            poll_until(
                lambda: self.endpoint(port)["path"] == wanted and (not reason or self.endpoint(port)["path_reason"] == reason),
                what=lambda: f"{wanted} for port {port}: {self.endpoint(port)}",
            )  # pylint: disable=cell-var-from-loop

    def address(self, address, guest_port):
        return address, self.port(guest_port, 6 if address == "::1" else 4)

    def connect(self, address, guest_port, **options):
        return self.host.connect(*self.address(address, guest_port), **options)

    def way(self, client, guest_port):
        """Which way CLIENT, which is connected to GUEST_PORT's endpoint, was led; None if its connection has ended meanwhile."""
        ends = real_ends(self.host, client)
        return ends and ("kernel" if ends.other == (self.shown["host_ip"], guest_port) else "forwarder")

    def close(self):
        self.datagrams.close()


def led(box, guest_port=ECHO, address="127.0.0.1"):
    """A client that the kernel connected to the guest."""
    client = box.connect(address, guest_port)
    assert echoes(client) and box.way(client, guest_port) == "kernel"
    return client


def asked(client, text):
    """Whether TEXT, sent to where CLIENT is connected, is answered from there before its timeout."""
    try:
        client.send(text)
        return client.recv(65536) == b"re:" + text
    except (TimeoutError, ConnectionRefusedError):
        return False
