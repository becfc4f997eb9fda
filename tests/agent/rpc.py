# SPDX-License-Identifier: GPL-2.0-or-later
"""Connect RPC with JSON: unary calls, and calls whose answer is a stream of enveloped messages."""

import json
import struct

from http1 import Gone

STATUS = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "unimplemented": 501,
    "not_found": 404,
    "already_exists": 409,
    "internal": 500,
    "failed_precondition": 400,
}

END_OF_STREAM = 2


class RpcError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code

    def as_json(self):
        return {"code": self.code, "message": str(self)}


def _parsed(text):
    try:
        return json.loads(text or b"{}")
    except ValueError as error:
        raise RpcError("invalid_argument", f"not JSON: {error}") from None


def _guarded(function, *arguments):
    """Calls FUNCTION; a refusal by the system becomes the error that envd sends."""
    try:
        return function(*arguments)
    except FileNotFoundError as error:
        raise RpcError("not_found", str(error)) from None
    except FileExistsError as error:
        raise RpcError("already_exists", str(error)) from None
    except (NotADirectoryError, IsADirectoryError, PermissionError, KeyError, ValueError) as error:
        raise RpcError("invalid_argument", f"{type(error).__name__}: {error}") from None


def serve_unary(connection, request, handler):
    try:
        connection.answer_json(200, _guarded(handler, _parsed(request.read_all())) or {})
    except RpcError as error:
        connection.answer_json(STATUS.get(error.code, 500), error.as_json())


def _envelope(flags, value):
    body = json.dumps(value).encode()
    return struct.pack(">BI", flags, len(body)) + body


class Stream:
    """The stream that a handler gets: send() sends a message, wait() waits until there is more to send."""

    def __init__(self, connection, request):
        self.connection = connection
        self.keepalive = float(request.headers.get("keepalive-ping-interval", "90"))

    def send(self, message):
        self.connection.chunk(_envelope(0, message))

    def wait(self, fd, timeout=None):
        self.connection.wait(fd, timeout)


def serve_stream(connection, request, handler):
    body = request.read_all()
    connection.begin_chunks({"Content-Type": "application/connect+json"})
    end = {}
    try:
        if len(body) < 5:
            raise RpcError("invalid_argument", "no message in the request")
        length = struct.unpack(">I", body[1:5])[0]
        _guarded(handler, _parsed(body[5 : 5 + length]), Stream(connection, request))
    except RpcError as error:
        end = {"error": error.as_json()}
    except Gone:
        raise
    connection.chunk(_envelope(END_OF_STREAM, end))
    connection.end_chunks()
