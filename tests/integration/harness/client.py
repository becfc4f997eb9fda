# SPDX-License-Identifier: GPL-2.0-or-later
"""Short helpers for the client's side of a connection."""

import contextlib
import json
import socket

from .wait import PATIENCE, poll_until

PORT = 49983
GUEST = "169.254.0.21"

# tests/guest/server sends this pattern: byte i of any stream is PATTERN[i % 65521].
PATTERN = bytes((j * 31 + (j >> 8)) & 255 for j in range(65521))

RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"


def pattern(length):
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


def receive_all(connection):
    """All bytes up to the other side's FIN."""
    chunks = []
    while chunk := connection.recv(1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def receive_exactly(connection, count):
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        assert chunk, f"the stream ended after {len(data)} of {count} bytes"
        data += chunk
    return data


def accept_heard(listener):
    """The first connection at LISTENER that becomes readable; nothing is read from it.

    On a busy machine the forwarder may judge an answer as too late and dial again: the guest then sees its first
    connection reset before any byte.
    """
    while True:
        served, _ = listener.accept()
        served.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            if served.recv(1, socket.MSG_PEEK):
                return served
        served.close()


def accept_from(listener, client):
    """The connection at LISTENER that CLIENT was connected to. CLIENT sends one byte, which is read here."""
    client.sendall(b"!")
    served = accept_heard(listener)
    assert receive_exactly(served, 1) == b"!"
    return served


def echoes(connection, text=b"abc"):
    """Whether the other side echoes its input."""
    connection.sendall(text)
    return receive_exactly(connection, len(text)) == text


def ask(connection, path="/health"):
    """One request on a connection that stays open; returns the answer's body."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = connection.recv(4096)
        assert chunk, f"the stream ended in the head: {head!r}"
        head += chunk
    head, body = head.split(b"\r\n\r\n", 1)
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        chunk = connection.recv(1 << 16)
        assert chunk, f"the stream ended in the body: {len(body)} of {length}"
        body += chunk
    return body


def health(namespace, address, port=PORT, timeout=PATIENCE):
    """GET /health on a new connection from NAMESPACE; returns the JSON object of the guest's server."""
    with namespace.connect(address, port, timeout=timeout) as connection:
        return json.loads(ask(connection))


def await_guest(host, sandbox):
    """Waits until the guest of SANDBOX, which returns its name, answers at its host address."""

    def answers():
        try:
            return health(host, sandbox["host_ip"], timeout=3)["guest"] == sandbox["id"]
        except (OSError, AssertionError):
            return False

    poll_until(answers, what=f"{sandbox['id']} to answer")


def was_reset(connection):
    """Whether the connection ends by a reset rather than a FIN; earlier bytes are discarded."""
    try:
        while connection.recv(1 << 16):
            pass
        return False
    except ConnectionResetError:
        return True


def is_ended(client):
    """Waits for the end of a connection, and returns whether it was by an error, which no client takes for the end of what was sent."""
    client.settimeout(PATIENCE)
    try:
        return client.recv(1) != b"" and is_ended(client)
    except (ConnectionResetError, ConnectionAbortedError):
        return True


def is_refused_by_reset(connect, *where):
    """Whether CONNECT(*WHERE) comes to a reset: of the connection, or, where that was quicker, of the connecting itself."""
    try:
        return was_reset(connect(*where))
    except ConnectionResetError:
        return True


def reset(connection):
    """Closes a connection with a reset, as an aborting client does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    connection.close()
