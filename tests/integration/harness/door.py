# SPDX-License-Identifier: GPL-2.0-or-later
"""A client of weftd's door socket, in HAProxy's place: headers of the PROXY protocol, good and bad ones, and refusals as they are read."""

import base64
import hashlib
import re
import socket
from typing import NamedTuple, Optional

import h2.config
import h2.connection
import h2.events

from .client import receive_all
from .wait import PATIENCE

CLIENT = ("203.0.113.7", 4711)  # whom a header names, unless it is told otherwise

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXY, LOCAL = 0x21, 0x20  # version 2 with a command
NOOP, UNIQUE_ID = 0x04, 0x05  # types of TLVs
UNSPECIFIED, OVER_IPV4, OVER_IPV6, OVER_UNIX = 0x00, 0x11, 0x21, 0x31


def tlv(kind, value):
    return bytes([kind]) + len(value).to_bytes(2, "big") + value


def unique_id(text):
    return tlv(UNIQUE_ID, text if isinstance(text, bytes) else text.encode())


def addresses(client):
    """The family of CLIENT, an address with a port, a path or None, and the block of addresses that names it."""
    if client is None:
        return UNSPECIFIED, b""
    if isinstance(client, str):
        return OVER_UNIX, client.encode().ljust(108, b"\0") * 2
    family = socket.AF_INET6 if ":" in client[0] else socket.AF_INET
    source = socket.inet_pton(family, client[0])
    ports = client[1].to_bytes(2, "big") + (443).to_bytes(2, "big")
    return OVER_IPV6 if len(source) == 16 else OVER_IPV4, source + source + ports


def header(*tlvs, client=CLIENT, command=PROXY, family=None, length=None):
    """A header with TLVS. FAMILY and LENGTH: others than the right ones."""
    own, block = addresses(client)
    rest = block + b"".join(tlvs)
    family = own if family is None else family
    length = len(rest) if length is None else length
    return SIGNATURE + bytes([command, family]) + length.to_bytes(2, "big") + rest


def token_hash(token):
    """The SHA-256 of a token, in base64: as it is registered, and as HAProxy hands it over."""
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def wanted(sandbox, port, kind="h", token=None):
    """The unique id of one who wants PORT of SANDBOX, its id or its name, and shows TOKEN."""
    shown = "" if token is None else token_hash(token)
    return f"{kind}/{sandbox}/{port}" + ("" if kind == "t" else f"/{shown}")


class Refusal(NamedTuple):
    reason: str
    limit: Optional[int] = None


def read_refusal(connection):
    """The whole of what comes, up to the end, is one refusal of HTTP/1.1."""
    text = receive_all(connection).decode()
    found = re.fullmatch(
        r"HTTP/1\.1 502 Bad Gateway\r\nWeft-Refused: ([a-z-]+)\r\n(?:Weft-Limit: (\d+)\r\n)?"
        r"Content-Length: 0\r\nConnection: close\r\n\r\n",
        text,
    )
    assert found, text
    return Refusal(found[1], found[2] and int(found[2]))


class Door:
    """The door of a daemon, at the default place in its host or at PATH."""

    def __init__(self, daemon, path=None):
        self.api = daemon.api
        self.path = path or daemon.host.file("/run/weft/door.sock")

    def connect(self, sent=b"", timeout=PATIENCE):
        """A connection on which SENT was sent."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(timeout)
        try:
            made.connect(self.path)
            made.sendall(sent)
        except BaseException:
            made.close()
            raise
        return made

    def visit(self, sandbox, port, kind="h", token=None, client=CLIENT, sent=b""):
        """A connection to PORT of SANDBOX, with its first bytes SENT."""
        return self.connect(header(unique_id(wanted(sandbox, port, kind, token)), client=client) + sent)

    def refused(self, sandbox, port, **options):
        """Why a client of HTTP is refused."""
        with self.visit(sandbox, port, **options) as connection:
            return read_refusal(connection)

    def status(self):
        return self.api.status()["door"]


class H2Client:
    """A client of HTTP/2 by prior knowledge on CONNECTION, judged by python-h2: what breaks the protocol raises."""

    def __init__(self, connection):
        self.connection = connection
        self.machine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.machine.initiate_connection()
        self.flush()

    def flush(self):
        self.connection.sendall(self.machine.data_to_send())

    def await_event(self, kind):
        """The first event of KIND, and all before it."""
        seen = []
        while True:
            data = self.connection.recv(65536)
            assert data, f"the stream ended before {kind.__name__}: {seen}"
            seen += self.machine.receive_data(data)
            self.flush()
            if any(isinstance(event, kind) for event in seen):
                return seen

    def post(self, wanted="", more=False):
        """Begins a request on a new stream, whose body is still to come if MORE. Returns the stream. WANTED: a field for a proxy."""
        stream = self.machine.get_next_available_stream_id()
        fields = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "guest"), ("x-wanted", wanted)]
        self.machine.send_headers(stream, [*fields, ("content-type", "application/grpc")], end_stream=not more)
        self.flush()
        return stream

    def send_window(self, stream):
        """As much of a body as the other side allows before it answers."""
        while size := min(self.machine.local_flow_control_window(stream), self.machine.max_outbound_frame_size):
            self.machine.send_data(stream, bytes(size))
            self.flush()

    def answer(self):
        """The fields of the answer."""
        seen = self.await_event(h2.events.ResponseReceived)
        answers = [event for event in seen if isinstance(event, h2.events.ResponseReceived)]
        assert len(answers) == 1, seen
        return {name.decode(): value.decode() for name, value in answers[0].headers}


def ended(connection):
    """Whether the connection ends, by a FIN or a reset, without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
