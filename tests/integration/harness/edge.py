# SPDX-License-Identifier: GPL-2.0-or-later
"""The edge: HAProxy with door/edge.cfg and edge.lua, before the doors of many hosts. And requests to it and to doors."""

import http.client
import os
import socket

from .proxies import Proxy

DOOR = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))), "door")
PORT = 3002
NODE_PORT = 5007  # of a host's door


class Edge(Proxy):
    """The edge in HOST, for weft hosts in the NETWORKS. SETTINGS are WEFT_EDGE_..., by the words behind that, in small letters."""

    def __init__(self, host, folder, networks, port=PORT, **settings):
        env = {f"WEFT_EDGE_{name.upper()}": str(value) for name, value in settings.items()}
        env.update({"WEFT_EDGE_HOSTS": networks, "WEFT_EDGE_LUA": os.path.join(DOOR, "edge.lua")})
        argv = ["haproxy", "-db", "-f", os.path.join(DOOR, "edge.cfg")]
        super().__init__(host, argv, os.path.join(folder, "edge.log"), ports=(port,), env=env)


class Answer:
    """Of one request."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def ask(host, path="/health", method="GET", headers=None, body=None, address="127.0.0.1", port=PORT, timeout=60):
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("localhost", port, timeout=timeout)
    connection.sock = host.connect(address, port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode(errors="replace"))
    finally:
        connection.close()


def to(sandbox, port=49983, **more):
    """The headers of a request to PORT of a sandbox, by its id or name."""
    return {"E2b-Sandbox-Id": sandbox, "E2b-Sandbox-Port": str(port), **more}


def status_of(*arguments, **options):
    """The status of one request, or the error in place of an answer."""
    try:
        return ask(*arguments, **options).status
    except (ConnectionError, socket.timeout, http.client.HTTPException) as error:
        return type(error).__name__
