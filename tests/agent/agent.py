# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for envd, the agent inside a sandbox that E2B's SDKs talk to: enough of it for create, commands and files.

    agent.py [--port 49983] [--root DIR] [--users DIR]

It speaks HTTP/1.1 on plain TCP: /health, /files, and Connect RPC with JSON. Streams are chunked application/connect+json, each
event one small write. One thread serves one connection. --root puts all paths of clients into DIR, so that agents that share a
file system, as stand-in guests do, still have files of their own. --users takes passwd and group from DIR and not from /etc.

It needs only python3-minimal and json of Python, and runs in the test VM. /agent/streams is not envd's: it reports the open
streams, and when clients left streams early.
"""

import json
import os
import socket
import sys
import threading
import traceback

import files
import filesystem
import process
import users
from http1 import Connection, Gone
from rpc import RpcError, serve_stream, serve_unary

HANDLERS = {**process.HANDLERS, **filesystem.HANDLERS}
STREAMS = {**process.STREAMS, **filesystem.STREAMS}


def answer(connection, request):
    """Serves one request. Afterwards its body has been read, or the connection will close."""
    if request.method == "POST" and request.path in HANDLERS:
        serve_unary(connection, request, HANDLERS[request.path])
    elif request.method == "POST" and request.path in STREAMS:
        serve_stream(connection, request, STREAMS[request.path])
    elif request.path == "/files" and request.method in ("GET", "POST"):
        files.serve(connection, request)
    elif request.path == "/health":
        connection.answer(204)
    elif request.path == "/init":
        request.read_all()
        connection.answer(204)
    elif request.path == "/agent/streams":
        connection.answer_json(200, process.streams())
    else:
        request.read_all()
        connection.answer_json(404, {"code": 404, "message": f"no such path: {request.path}"})


def serve(client):
    connection = Connection(client)
    try:
        while request := connection.next_request():
            users.enter(request)
            try:
                answer(connection, request)
            except (RpcError, Gone):
                raise
            except Exception as error:  # pylint: disable=broad-except
                traceback.print_exc()
                connection.answer_json(500, {"code": 500, "message": str(error)})
            request.read_all()
    except (Gone, OSError):
        pass
    finally:
        connection.close()


def listen(port):
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", port))
    listener.listen(socket.SOMAXCONN)
    return listener


def keep_alive(client):
    """Sets the socket's options as envd does: no Nagle, and a probe every 15 s."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)


def main(arguments):
    port = 49983
    while arguments:
        option, value, *arguments = arguments
        if option == "--port":
            port = int(value)
        elif option == "--root":
            filesystem.set_root(value)
        elif option == "--users":
            users.read_from(value)
        else:
            sys.exit(f"agent: what is {option}?")
    if users.look_up(users.DEFAULT):
        filesystem.make_home()
    threading.stack_size(256 * 1024)  # each connection has a thread, in a small VM
    listener = listen(port)
    print(json.dumps({"listening": port}), flush=True)
    while True:
        client, _ = listener.accept()
        keep_alive(client)
        threading.Thread(target=serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1:])
