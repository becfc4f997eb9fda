# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes through the front door for longer than a request: streams of events, WebSockets, gRPC, connections that are kept."""

import asyncio
import http.client
import json
import subprocess
import sys

import h2.config
import h2.connection
import h2.events
import websockets

from harness.front_door import GRPC, HTTP, SOCKETS, TOP, curl, to
from harness.wait import PATIENCE, Lines, poll_until

UPGRADE = [
    word
    for line in ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    for word in ("-H", line)
]
APP_HOST = "8080-open.box.example"


def events_of(host, version):
    """curl on a stream of events, and its lines."""
    argv = ["curl", "-sSN", "--noproxy", "*", version, "-H", f"Host: {APP_HOST}", "http://127.0.0.1:3002/events"]
    process = host.popen(argv, stdout=subprocess.PIPE)
    return process, Lines(process.stdout)


def next_event(lines):
    line = ""
    while not line.startswith("data: "):
        line = lines.next()
    return int(line.split()[1])


def test_events_arrive_one_by_one(host, weftd, door):
    daemon = weftd()
    door()
    door.guest(daemon, "open")
    streams = [events_of(host, version) for version in ("--http1.1", "--http2-prior-knowledge")]
    try:
        for _, lines in streams:
            assert next_event(lines) == 0
        for number in range(1, 6):  # each only once the one before has arrived
            curl(host, f"http://127.0.0.1:3002/next", "-H", f"Host: {APP_HOST}")
            for _, lines in streams:
                assert next_event(lines) == number
    finally:
        for process, _ in streams:
            process.kill()
            process.wait()
            process.stdout.close()


async def talk(made, count):
    async with websockets.connect(f"ws://{SOCKETS}-open.box.example:{HTTP}/", sock=made, open_timeout=PATIENCE) as client:
        for number in range(count):
            await client.send(f"{number}")
            assert await asyncio.wait_for(client.recv(), PATIENCE) == f"open: {number}"
        await client.send(bytes(1 << 19))
        assert await asyncio.wait_for(client.recv(), PATIENCE) == bytes(1 << 19)
        await (await client.ping())


def test_a_websocket_talks(host, weftd, door):
    daemon = weftd()
    door()
    door.guest(daemon, "open")
    for _ in range(2):
        asyncio.run(talk(host.connect("127.0.0.1", HTTP), 50))
    # Refused before the upgrade, as any other request.
    answer = curl(host, "http://127.0.0.1:3002/", *to("none", SOCKETS), *UPGRADE)
    assert answer.status == 502 and answer.body["message"] == "The sandbox was not found"


class H2:
    """A client of HTTP/2 by prior knowledge, on a connection of HOST."""

    def __init__(self, host, port=HTTP):
        self.sock = host.connect("127.0.0.1", port)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.flush()

    def flush(self):
        self.sock.sendall(self.connection.data_to_send())

    def request(self, headers, end=True):
        stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def events(self):
        got = self.sock.recv(1 << 16)
        assert got, "the door closed the connection"
        found = self.connection.receive_data(got)
        for event in found:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return found

    def close(self):
        self.sock.close()


def test_a_websocket_inside_http2(host, weftd, door):
    """As browsers make it (RFC 8441); the guest gets an upgrade of HTTP/1.1."""
    daemon = weftd()
    door()
    door.guest(daemon, "open")
    client = H2(host)
    authority = f"{SOCKETS}-open.box.example"
    headers = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"), (":authority", authority)]
    poll_until(lambda: client.events() and client.connection.remote_settings.enable_connect_protocol)
    stream = client.request([*headers, ("sec-websocket-version", "13")], end=False)
    answered = []
    while not answered:
        answered = [one for one in client.events() if isinstance(one, h2.events.ResponseReceived)]
    assert dict(answered[0].headers)[":status"] == "200"
    # A masked frame of text, "hi".
    client.connection.send_data(stream, b"\x81\x82\0\0\0\0hi")
    client.flush()
    data = b""
    while data != b"\x81\x08open: hi":
        data += b"".join(one.data for one in client.events() if isinstance(one, h2.events.DataReceived))
    client.close()


# A client of gRPC, in the host: "METHOD ID" on each line, and the answers as JSON.
CALLER = """
import grpc, json, queue, sys
channel = grpc.insecure_channel("127.0.0.1:3002")
for line in sys.stdin:
    method, name, *token = line.split()
    metadata = [("e2b-sandbox-id", name), ("e2b-sandbox-port", "50051"), *(("e2b-traffic-access-token", one) for one in token)]
    sent = queue.Queue()
    try:
        if method == "Echo":
            said = channel.unary_unary("/door.Test/Echo")(b"hi", metadata=metadata, timeout=30).decode()
        else:  # each message only once the one before was answered
            heard = channel.stream_stream("/door.Test/Talk")(iter(sent.get, None), metadata=metadata, timeout=30)
            said = []
            for number in range(20):
                sent.put(b"%d" % number)
                said.append(next(heard).decode())
            sent.put(None)
            assert list(heard) == []
        print(json.dumps(["OK", said]), flush=True)
    except grpc.RpcError as error:
        sent.put(None)
        print(json.dumps([error.code().name, error.details()]), flush=True)
"""


class Caller:
    def __init__(self, host):
        self.process = host.popen([sys.executable, "-c", CALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = Lines(self.process.stdout)

    def __call__(self, *words):
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.lines.next(2 * PATIENCE)))

    def close(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


def test_grpc_talks_and_is_told_why_not(host, weftd, door):
    daemon = weftd(config={"door": {"hold": "300ms"}, "forwarder": {"stop_drain": "0s"}})
    door()
    door.guest(daemon, "open")
    door.guest(daemon, "closed", {"door": {"ports": {str(GRPC): "closed"}}})
    token = "0MBPSxlR5K6q7IIj7SA55ULzqugFpvp/bXlOWv/10nI="  # of "sesame"
    door.guest(daemon, "secret", {"door": {"public": False, "token_sha256": token}})
    daemon.api.register("boot")
    caller = Caller(host)
    try:
        for _ in range(3):
            assert caller("Echo", "open") == ("OK", "open: hi")
            assert caller("Talk", "open") == ("OK", [f"open: {number}" for number in range(20)])
            # On the same connection of the client, one sandbox after the other.
            assert caller("Echo", "none") == ("UNAVAILABLE", "The sandbox was not found")
            assert caller("Echo", "closed") == ("UNAVAILABLE", "The sandbox is running but port is not open")
            # A stream that the client has not ended: HAProxy 2.6 resets it with CANCEL after the answer, 3.0 with NO_ERROR.
            assert caller("Talk", "none")[0] in ("UNAVAILABLE", "CANCELLED")
            assert caller("Echo", "secret", "sesame") == ("OK", "secret: hi")
        assert caller("Echo", "boot") == ("UNAVAILABLE", "The sandbox is still transitioning. Try again in a moment.")
        code, words = caller("Echo", "secret")
        assert code == "PERMISSION_DENIED" and words.endswith("is missing")
        code, words = caller("Echo", "secret", "wrong")
        assert code == "PERMISSION_DENIED" and words.endswith("is invalid")
        assert caller("Echo", "a,b") == ("INVALID_ARGUMENT", "Invalid sandbox ID")
        daemon.stop()
        assert caller("Echo", "open") == ("UNAVAILABLE", "The front door does not reach weftd on this host. Try again in a moment.")
        daemon.start()
        daemon.api.wait("open", "ready")
        assert caller("Echo", "open") == ("OK", "open: hi")
    finally:
        caller.close()


def client(host):
    made = http.client.HTTPConnection("127.0.0.1", HTTP)
    made.sock = host.connect("127.0.0.1", HTTP)
    return made


def sent(made, method, path="/", name="open", data=None):
    made.request(method, path, data, {"Host": f"8080-{name}.box.example"})
    answer = made.getresponse()
    return answer.status, json.loads(answer.read())


def test_a_guest_that_closes_what_it_kept_fails_no_request(host, weftd, door):
    """At the moment of the next request: a safe one is sent again, and one that is not had a new connection."""
    daemon = weftd()
    door()
    door.guest(daemon, "open")
    for method, data in (("GET", None), ("HEAD", None), ("POST", b"once"), ("PUT", b"once"), ("DELETE", None)):
        made = client(host)
        for _ in range(3):
            assert sent(made, "GET", "/last")[0] == 200
            if method == "HEAD":
                made.request("HEAD", "/", headers={"Host": APP_HOST})
                answer = made.getresponse()
                answer.read()
                assert answer.status == 200
            else:
                status, said = sent(made, method, data=data)
                assert (status, said["method"], said["got"]) == (200, method, len(data or b""))
        made.close()
    # Connections are kept all the same.
    made = client(host)
    before = daemon.api.status()["door"]["served"]
    for _ in range(20):
        assert sent(made, "GET")[0] == 200
    assert daemon.api.status()["door"]["served"] == before + 1
    made.close()


def test_a_client_that_gives_up_frees_its_place(host, weftd, door):
    daemon = weftd()
    door()
    daemon.api.register("boot")
    held = [host.connect("127.0.0.1", HTTP) for _ in range(10)]
    for one in held:
        one.sendall(b"GET / HTTP/1.1\r\nHost: 8080-boot.box.example\r\n\r\n")
    poll_until(lambda: daemon.api.status()["door"]["held"] == 10)
    for one in held:
        one.close()
    poll_until(lambda: daemon.api.status()["door"]["held"] == 0)


def test_h2load_by_prior_knowledge(host, weftd, door):
    daemon = weftd()
    door()
    door.guest(daemon, "open")
    done = host.run(["h2load", "-n", "1000", "-c", "4", "-m", "20", "-H", f":authority: {APP_HOST}", "http://127.0.0.1:3002/"], timeout=120)
    assert "1000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


def test_the_files_are_read_without_a_word(host, folder):
    """By the HAProxy that is here: each warning is one too many."""
    host.run(["mkdir", "-p", f"{folder}/tls"])
    host.run(["sh", "-c", f"cd {TOP}/door && WEFT_DOOR_CERTS={folder}/tls haproxy -c -q -f haproxy.cfg"])
