# SPDX-License-Identifier: GPL-2.0-or-later
"""A program: servers in a guest for the tests of the front door, under a NAME that their answers tell.

	front_door_guest.py NAME [CERTIFICATE KEY]

8080: HTTP/1.1 with keep-alive. /events is a stream that tells of each request for /next; /says/STATUS/HEADER/VALUE answers with a header; /drop and
/garbage give no answer or a wrong one; after /last, the next request on that connection finds it closed; everything else is answered with the
request as JSON. 8081: a WebSocket that echoes. 50051: gRPC. 8443: TLS with a certificate of the guest's own, if one is given. Until stdin ends.
"""

import asyncio
import json
import ssl
import sys
from concurrent import futures
from urllib.parse import unquote

import grpc
import websockets

NAME = sys.argv[1]
listeners = []  # queues of the streams that are open
told = 0


async def read_body(reader, headers):
    got = 0
    if headers.get("transfer-encoding") == "chunked":
        size = 1
        while size:
            size = int((await reader.readline()).split(b";")[0], 16)
            got += len(await reader.readexactly(size + 2)) - 2
    left = int(headers.get("content-length", 0))
    while left:
        more = len(await reader.read(min(left, 1 << 16)))
        if not more:
            raise asyncio.IncompleteReadError(b"", left)
        left, got = left - more, got + more
    return got


def answer(body, status="200 OK", kind="application/json", more=""):
    return f"HTTP/1.1 {status}\r\nX-Name: {NAME}\r\nContent-Type: {kind}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def stream(writer):
    queue = asyncio.Queue()
    listeners.append(queue)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    event = 0
    while event is not None:
        text = f"data: {event}\n\n".encode()
        writer.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
        await writer.drain()
        event = await queue.get()


async def one_request(reader, writer):
    """Whether another may follow."""
    global told  # pylint: disable=global-statement
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
    line, *rest = head.rstrip("\r\n").split("\r\n")
    lines = [one.split(": ", 1) for one in rest]
    headers = {name.lower(): value for name, value in lines}
    method, target, _ = line.split(" ", 2)
    words = target.split("?")[0].split("/")[1:]
    if headers.get("expect") == "100-continue" and words[0] != "early":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if words[0] == "events":
        await stream(writer)
    elif words[0] == "drop":
        return False
    elif words[0] == "garbage":
        writer.write(b"SSH-2.0-thing\r\n\r\n")
        return False
    elif words[0] == "early":
        writer.write(answer(b"no", "413 Too Much", more="Connection: close\r\n"))
        writer.write_eof()
        while await reader.read(1 << 16):  # else a reset would overtake the answer
            pass
        return False
    elif words[0] == "last":
        writer.write(answer(b"{}"))
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        return False
    elif words[0] == "says":
        writer.write(answer(b"own", f"{words[1]} My Own", "text/plain", f"{words[2]}: {unquote(words[3])}\r\nServer: guest\r\n"))
    else:
        if words[0] == "next":
            told += 1
            for queue in listeners:
                queue.put_nowait(told)
        got = await read_body(reader, headers)
        said = {"name": NAME, "method": method, "target": target, "headers": lines, "got": got}
        writer.write(answer(json.dumps(said).encode()))
    await writer.drain()
    return headers.get("connection") != "close"


async def serve(reader, writer):
    try:
        while await one_request(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def echo(socket, _path=None):
    async for message in socket:
        await socket.send(message if isinstance(message, bytes) else f"{NAME}: {message}")


class Grpc(grpc.GenericRpcHandler):
    """Messages are bytes as they are."""

    def service(self, handler_call_details):
        method = handler_call_details.method
        if method == "/door.Test/Echo":
            return grpc.unary_unary_rpc_method_handler(lambda request, _: NAME.encode() + b": " + request)
        if method == "/door.Test/Talk":
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: (NAME.encode() + b": " + one for one in requests))
        return None


async def main():
    await asyncio.start_server(serve, "0.0.0.0", 8080, backlog=1024)
    await websockets.serve(echo, "0.0.0.0", 8081)
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:])
        await asyncio.start_server(serve, "0.0.0.0", 8443, ssl=context)
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Grpc(),))
    server.add_insecure_port("0.0.0.0:50051")
    server.start()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.stop(0)


asyncio.run(main())
