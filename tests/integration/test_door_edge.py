# SPDX-License-Identifier: GPL-2.0-or-later
"""The edge (door/edge.cfg, door/edge.lua) before the doors of several hosts, which are stand-ins here, with Debian's HAProxy and Redis."""

import contextlib
import http.server
import json
import os
import signal
import subprocess
import threading

import pytest

from harness.edge import DOOR, NODE_PORT, PORT, Edge, ask, to
from harness.redis import Redis
from harness.wait import PATIENCE

NETWORK = "10.9.0.0/24"
ONE, TWO, AWAY, STRANGER, METADATA = "10.9.0.1", "10.9.0.2", "10.9.0.3", "10.8.0.1", "169.254.169.254"
HEALTH_PORT = 3003


class Doors:
    """Stands for the door at port 5007 of each address: it answers with what it got."""

    def __init__(self, host, addresses):
        self.seen = []
        self.servers = []
        for address in addresses:
            listener = host.listen(NODE_PORT, address)
            listener.settimeout(None)
            server = http.server.ThreadingHTTPServer((address, NODE_PORT), self._handler(address), bind_and_activate=False)
            server.socket.close()
            server.socket = listener
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.servers.append(server)

    def _handler(self, address):
        doors = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Tells the request that came, with status 503 for /busy."""

            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                told = {"at": address, "path": self.path, "headers": dict(self.headers), "body": body}
                doors.seen.append(told)
                text = json.dumps(told).encode()
                self.send_response(503 if self.path == "/busy" else 200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = serve

            def log_message(self, *arguments):
                pass

        return Handler

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def redis(host, folder):
    for address in (ONE, TWO, STRANGER, METADATA):
        host.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"])
    made = Redis(host, folder)
    yield made
    made.stop()


@pytest.fixture
def doors(host, redis):
    made = Doors(host, (ONE, TWO, STRANGER, METADATA, "127.0.0.1"))
    yield made
    made.close()


@pytest.fixture
def start_edge(host, folder, redis):
    started = []

    def start(networks=NETWORK, **settings):
        started.append(Edge(host, folder, networks, **settings))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def publish(redis, name, address, **more):
    entry = {"orchestrator_id": "one", "orchestrator_ip": address, "execution_id": "x", "sandbox_max_length_in_hours": 1, **more}
    redis("SET", f"sandbox:catalog:{name}", json.dumps(entry))


def test_each_request_goes_as_it_is_to_the_host_that_has_its_sandbox(host, redis, doors, start_edge):
    start_edge()
    publish(redis, "a1", ONE)
    publish(redis, "Web_1.x", TWO)
    ways = {
        ("/x?y=1", "localhost"): (to("a1", 80), ONE),
        ("/", "sandbox.box.example"): (to("Web_1.x", 80), TWO),
        ("/sandbox/Web_1.x/8080/x", "10.0.0.7:3002"): ({}, TWO),
        ("/y", "8080-a1-more.box.example"): ({}, ONE),
    }
    for (path, name), (headers, at) in ways.items():
        told = json.loads(ask(host, path, "POST", {**headers, "Host": name, "X-Other": "kept"}, body="z").body)
        assert (told["at"], told["path"], told["body"]) == (at, path, "z")
        sent = {key.lower(): value for key, value in told["headers"].items()}
        assert sent["host"] == name and sent["x-other"] == "kept"
        assert {key: sent.get(key.lower()) for key in headers} == headers


def test_what_names_no_sandbox_is_answered_as_the_door_does(host, redis, doors, start_edge):
    start_edge()
    wrong = [
        ({"Host": "localhost", "E2b-Sandbox-Id": "a1"}, "missing header\n"),
        ({"Host": "localhost"}, "Invalid host\n"),
        ({"Host": "8080.box.example"}, "Invalid host\n"),
        ({"Host": "8080-A1.box.example"}, "Invalid sandbox ID\n"),
        ({"Host": "localhost", **to("a1 x")}, "Invalid sandbox ID\n"),
        ({"Host": "localhost", **to('a"1')}, "Invalid sandbox ID\n"),
    ]
    for headers, text in wrong:
        answer = ask(host, headers=headers)
        assert (answer.status, answer.body) == (400, text), headers
    assert ask(host, "/sandbox/a1%0d%0aFLUSHALL/80/", headers={"Host": "localhost"}).status == 400
    assert set(redis.commands()) <= {"info", "get", "command"}
    assert not doors.seen


def test_a_sandbox_that_redis_does_not_have_is_not_found_as_e2b_says_it(host, redis, start_edge):
    start_edge()
    told = '{"sandboxId":"gone","message":"The sandbox was not found","code":502}'
    answer = ask(host, headers=to("gone"))
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (502, told, "application/json; charset=utf-8")
    page = ask(host, headers=to("gone", **{"User-Agent": "Mozilla/5.0"}))
    assert page.status == 502 and "<title>Sandbox Not Found</title>" in page.body


ENTRIES = {
    "forbidden": [STRANGER, METADATA, "127.0.0.1", "0", "0.0.0.0", "::1", "::ffff:7f00:1", "2002:0a09:0001::1", "fe80::1"],
    "unusable": ["::ffff:10.9.0.1", "localhost", "10.9.0.1:80", "10.9.0.1 127.0.0.1", "", "10.9.0.0/24"],
}


def test_no_entry_leads_the_edge_out_of_its_hosts_networks(host, redis, doors, start_edge):
    edge = start_edge(f"{NETWORK} 127.0.0.0/8 169.254.0.0/16")  # some are never allowed, whatever an operator says
    for reason, addresses in ENTRIES.items():
        for address in addresses:
            publish(redis, "a1", address)
            answer = ask(host, headers=to("a1"))
            assert answer.status == 503 and f"(catalogue: {reason})" in answer.body, address
            assert answer.headers["Retry-After"] == "1"
    for entry in ("", "nonsense", '{"other": "10.9.0.1"}', json.dumps({"x": '"orchestrator_ip":"10.9.0.1"'}), "x" * 9000):
        redis("SET", "sandbox:catalog:a1", entry)
        assert "(catalogue: unusable)" in ask(host, headers=to("a1")).body
    redis("DEL", "sandbox:catalog:a1")
    redis("HSET", "sandbox:catalog:a1", "a", "b")
    assert "(catalogue: unreachable)" in ask(host, headers=to("a1")).body
    assert not doors.seen
    edge.wait_log('sandbox=a1 host=127.0.0.1 reason="forbidden" status=503')


def test_an_address_may_have_blanks_around_it_and_may_be_of_ipv6(host, redis, doors, start_edge):
    host.run(["ip", "addr", "add", "2001:db8::5/128", "dev", "lo"])
    start_edge(f"{NETWORK} 2001:db8::/64")
    publish(redis, "a1", f" {TWO} ")
    assert json.loads(ask(host, headers=to("a1")).body)["at"] == TWO
    for address in ("2001:db8::5", "[2001:db8::5]"):
        publish(redis, "a1", address)
        assert ask(host, headers=to("a1")).body == "Failed to route request to sandbox\n"


def catalogue_is_lost(host):
    answer = ask(host, headers=to("a1"))
    assert answer.status == 503 and "(catalogue: unreachable)" in answer.body, answer
    health = ask(host, "/", port=HEALTH_PORT)
    assert (health.status, health.body) == (503, "unhealthy\n")


def is_served(host):
    return ask(host, headers=to("a1")).status == 200 and ask(host, "/", port=HEALTH_PORT).body == "healthy\n"


def test_a_catalogue_that_cannot_be_read_is_no_not_found(host, redis, doors, start_edge):
    start_edge()
    publish(redis, "a1", ONE)
    assert is_served(host)
    redis.signal(signal.SIGSTOP)
    catalogue_is_lost(host)
    redis.signal(signal.SIGCONT)
    assert is_served(host)
    redis.stop()
    catalogue_is_lost(host)
    redis.start()
    assert ask(host, headers=to("a1")).status == 502
    publish(redis, "a1", ONE)
    assert is_served(host)


def test_the_password_is_read_from_a_file(host, redis, doors, start_edge, folder):
    redis("CONFIG", "SET", "requirepass", "right one")
    redis.password = "right one"
    publish(redis, "a1", ONE)
    path = os.path.join(folder, "password")
    for words, good in (("right one\n", True), ("default\nright one\n", True), ("wrong\n", False)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(words)
        os.chmod(path, 0o600)
        edge = start_edge(redis_password_file=path)
        if good:
            assert is_served(host)
        else:
            catalogue_is_lost(host)
        edge.stop()
    start_edge()
    catalogue_is_lost(host)


def test_redis_may_be_at_a_unix_socket_and_keys_have_another_prefix(host, redis, doors, start_edge):
    os.chmod(redis.path, 0o777)
    start_edge(redis=f"unix@{redis.path}", key_prefix="boxes:")
    redis("SET", "boxes:a1", json.dumps({"orchestrator_ip": ONE}))
    assert is_served(host)


def test_a_host_that_does_not_answer_is_told_and_what_a_guest_says_passes(host, redis, doors, start_edge):
    start_edge()
    publish(redis, "a1", ONE)
    publish(redis, "a3", AWAY)
    assert json.loads(ask(host, "/busy", headers=to("a1")).body)["at"] == ONE
    assert ask(host, "/busy", headers=to("a1")).status == 503
    away = ask(host, headers=to("a3"))
    assert (away.status, away.body) == (502, "Failed to route request to sandbox\n")


def test_with_proxy_a_door_is_told_the_clients_address(host, redis, start_edge):
    start_edge(proxy="yes")
    publish(redis, "a1", ONE)
    with contextlib.closing(host.listen(NODE_PORT, ONE)) as listener:
        with contextlib.closing(host.connect("127.0.0.1", PORT, source=TWO)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 8080-a1.box.example\r\n\r\n")
            connection, _ = listener.accept()
            with contextlib.closing(connection):
                connection.settimeout(PATIENCE)
                head = connection.recv(28)
    assert head[:12] == b"\r\n\r\n\0\r\nQUIT\n" and head[16:20] == bytes(map(int, TWO.split(".")))


def test_without_its_hosts_networks_it_does_not_start(host, folder):
    env = {**os.environ, "WEFT_EDGE_LUA": os.path.join(DOOR, "edge.lua")}
    done = subprocess.run(
        [*host.enter_arguments(), "haproxy", "-c", "-f", os.path.join(DOOR, "edge.cfg")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "WEFT_EDGE_HOSTS is not set" in done.stdout
