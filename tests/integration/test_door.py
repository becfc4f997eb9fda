# SPDX-License-Identifier: GPL-2.0-or-later
"""The door socket, with a client that writes HAProxy's headers: who gets through, who waits, who is refused and how."""

import contextlib
import re
import socket

import h2.events
import pytest

from harness.client import echoes, pattern, receive_exactly
from harness.door import (
    CLIENT,
    LOCAL,
    NOOP,
    OVER_IPV6,
    Door,
    H2Client,
    ended,
    header,
    read_refusal,
    tlv,
    token_hash,
    unique_id,
)
from harness.faults import MEMORY, Faults
from harness.flow import Flow
from harness.proxies import fetch
from harness.wait import PATIENCE, one_of, poll_until, readable

GOOD = unique_id("h/one/7/")


class Scene:
    """A daemon, its door, and sandboxes whose guests echo on port 7 and are ready."""

    def __init__(self, host, weftd, guest, manager=None, **sections):
        self.host = host
        self.guest = guest
        self.daemon = weftd(sections, run=not manager)
        if manager:
            manager.start(self.daemon)
        self.api = self.daemon.api
        self.door = Door(self.daemon)

    def add(self, sandbox, *servers, **body):
        """A sandbox with a guest, once it is ready."""
        one = self.guest(self.api.register(sandbox, {"ready_port": 49983, **body}))
        one.serve("7,echo", "49983,echo", *servers)
        self.api.wait(sandbox, "ready")
        return one

    def connections(self, sandbox):
        return self.api.get(f"/v1/sandboxes/{sandbox}/connections").expect(200)["connections"]

    def await_held(self, count):
        poll_until(lambda: self.door.status()["held"] == count, what=lambda: self.door.status())


@pytest.fixture
def scene(host, weftd, guest):
    return lambda **sections: Scene(host, weftd, guest, **sections)


# ---- Who gets through ----


def test_a_client_reaches_the_guest_that_it_names(scene):
    """By id and by name, whatever it speaks; the API and the log name the real client. What follows the header is the guest's."""
    one = scene(daemon={"log_level": "debug"})
    one.add("one", "80,http,one", name="first")
    one.add("two", "80,http,two")
    for wanted, guest in (("one", b"one"), ("first", b"one"), ("two", b"two")):
        for kind in "hgt":
            with one.door.visit(wanted, 80, kind) as connection:
                assert b'"guest": "%s"' % guest in fetch(connection)[2]
    clients = {None: "unknown", "/run/somebody": "unknown", ("2001:db8::7", 9): "[2001:db8::7]:9", CLIENT: "203.0.113.7:4711"}
    for client, text in clients.items():
        with one.door.visit("one", 7, client=client, sent=b"first bytes") as connection:
            assert receive_exactly(connection, 11) == b"first bytes"
            (seen,) = (seen for seen in one.connections("one") if seen["state"] == "open")
            assert (seen["endpoint"], seen["client"], seen["direction"]) == ("door:7", text, "in")
        one.daemon.wait_log(rf'connection ended.*endpoint=door:7 client="?{re.escape(text)}"? reason=done')
        poll_until(lambda: not one.connections("one"))
    status = one.door.status()
    assert (status["served"], status["connections"], status["held"], status["broken"]) == (13, 0, 0, 0)
    metrics = one.api.metrics()
    assert metrics['weft_door_connections_total{reason="served"}'] == 13 and metrics["weft_door_held"] == 0


def test_a_header_may_come_in_any_pieces(scene):
    """Byte by byte, with the guest's first bytes in the same piece, and with TLVs that an administrator added."""
    one = scene()
    one.add("one")
    with one.door.connect() as connection:
        for byte in header(GOOD) + b"abc":
            connection.sendall(bytes([byte]))
        assert receive_exactly(connection, 3) == b"abc"
    whole = header(tlv(NOOP, b""), tlv(0x01, b"h2"), GOOD, tlv(0xE0, b"x" * 400))
    with one.door.connect(whole[:17]) as connection:
        connection.sendall(whole[17:])
        assert echoes(connection)


def test_bulk_passes_whole(scene):
    one = scene()
    one.add("one", "19,source,20000000", "10,sum")
    data = pattern(20_000_000)
    with one.door.visit("one", 19) as connection:
        assert receive_exactly(connection, len(data)) == data
    with one.door.visit("one", 10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert receive_exactly(connection, 9) == b"20000000 "


# ---- Bad input ----

BROKEN = {
    "another signature": b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n",
    "http": b"GET / HTTP/1.1\r\nHost: one\r\n\r\n",
    "version 1": header(GOOD, command=0x11),
    "version 3": header(GOOD, command=0x31),
    "local": header(GOOD, command=LOCAL),
    "local without addresses": header(client=None, command=LOCAL),
    "unknown command": header(GOOD, command=0x2F),
    "datagrams": header(GOOD, family=0x12),
    "addresses cut": header(client=("2001:db8::7", 9), length=20)[:36],
    "addresses of another family": header(GOOD, family=OVER_IPV6),
    "too long": header(GOOD, tlv(NOOP, bytes(600))),
    "longest there is": header(GOOD, length=0xFFFF),
    "none": header(),
    "two": header(GOOD, GOOD),
    "two different": header(GOOD, unique_id("h/two/7/")),
    "an empty one": header(unique_id("")),
    "id too long": header(unique_id("h/" + "o" * 65 + "/7/")),
    "unique id too long": header(unique_id("h/" + "o" * 150)),
    "a tlv cut": header(GOOD, b"\x04\0\x01"),
    "half a tlv": header(GOOD, b"\x04\0"),
    "a slash": header(unique_id("h/o/ne/7/")),
    "dots": header(unique_id("h/../7/")),
    "a nul": header(unique_id(b"h/one\0/7/")),
    "a nul in the port": header(unique_id(b"h/one/7\0/")),
    "a nul at the end": header(unique_id(b"h/one/7/\0")),
    "a line": header(unique_id("h/one\n/7/")),
    "another kind": header(unique_id("x/one/7/")),
    "no token field": header(unique_id("h/one/7")),
    "a token for bytes": header(unique_id("t/one/7/")),
    "port 0": header(unique_id("h/one/0/")),
    "port 65536": header(unique_id("h/one/65536/")),
    "port 07": header(unique_id("h/one/07/")),
    "a short token": header(unique_id("h/one/7/aGVsbG8=")),
    "a token's bits": header(unique_id("h/one/7/" + "A" * 42 + "B=")),
    "a token of another alphabet": header(unique_id("h/one/7/" + "A" * 41 + "-A=")),
}


def test_headers_that_are_not_understood(scene):
    """Each is closed without a byte, counted, and disturbs nobody."""
    one = scene()
    one.add("one")
    with one.door.visit("one", 7) as live:
        assert echoes(live)
        for count, (what, sent) in enumerate(BROKEN.items(), 1):
            with one.door.connect(sent) as connection:
                assert ended(connection), what
            assert one.door.status()["broken"] == count, what
        assert echoes(live)
    metrics = one.api.metrics()
    assert metrics['weft_door_connections_total{reason="broken"}'] == len(BROKEN)
    assert one.door.status()["served"] == 1 and not any(one.door.status()["refused"].values())
    one.daemon.wait_log("client at the door is not understood")


def test_one_who_says_nothing_is_closed(scene):
    """So is one who says half of a header, or leaves in the middle; others are served meanwhile."""
    one = scene()
    one.add("one")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(one.door.connect()) for _ in range(50)]
        silent += [stack.enter_context(one.door.connect(header(GOOD)[:size])) for size in (1, 15, 16, 17, 30)]
        one.door.connect(header(GOOD)[:20]).close()
        with one.door.visit("one", 7) as live:
            assert echoes(live)
            for connection in silent:
                assert ended(connection)
            assert echoes(live)
    poll_until(lambda: one.door.status()["broken"] == len(silent) + 1)


_CONNECT = "import socket; socket.socket(socket.AF_UNIX).connect('/run/weft/door.sock')"


def test_only_root_and_the_group_may_connect(scene):
    one = scene(door={"group": "daemon"})

    def connect_as(group):
        user = ["setpriv", "--reuid", "65534", "--regid", group, "--clear-groups"]
        return one.host.run([*user, "/usr/bin/python3", "-c", _CONNECT], check=False)

    assert connect_as("daemon").returncode == 0
    stranger = connect_as("nogroup")
    assert stranger.returncode and "PermissionError" in stranger.stderr
    one.door.connect().close()


# ---- Who waits ----


def test_a_client_is_held_until_its_guest_listens(scene, guest):
    """200 of them, of one that boots: none is refused, and each gets its own bytes back."""
    one = scene()
    sandbox = one.api.register("late")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(one.door.visit("late", 7, sent=b"%03d" % i)) for i in range(200)]
        one.await_held(200)
        assert one.api.metrics()["weft_door_held"] == 200
        gone = one.door.visit("late", 7)
        one.await_held(201)
        gone.close()
        one.await_held(200)
        guest(sandbox).serve("7,echo")
        for i, connection in enumerate(clients):
            assert receive_exactly(connection, 3) == b"%03d" % i
        status = one.door.status()
        assert (status["served"], status["connections"], status["held"]) == (200, 200, 0)
        assert not any(status["refused"].values()), status


def test_a_paused_sandbox_keeps_its_clients(scene):
    """Open ones stand still and new ones are held; both go on."""
    one = scene()
    one.add("one")
    with one.door.visit("one", 7) as live:
        assert echoes(live)
        one.api.patch("one", {"paused": True})
        live.sendall(b"later")
        with one.door.visit("one", 7, sent=b"new") as waiting:
            one.await_held(1)
            assert not readable(live.fileno(), 0.2)
            one.api.patch("one", {"paused": False, "flows": "keep"})
            assert receive_exactly(live, 5) == b"later"
            assert receive_exactly(waiting, 3) == b"new"


def test_the_grace_of_a_woken_guest_begins_anew(scene):
    """A client that was refused, and then waited in a pause for longer than the grace, has the whole grace again."""
    one = scene(forwarder={"refused_grace": "1s"})
    guest = one.add("one")
    ports = iter(range(1000, 1010))

    def attempt():
        port = next(ports)
        with one.door.visit("one", port, sent=b"early") as connection:
            poll_until(lambda: one.connections("one") or readable(connection.fileno(), 0))
            one.api.patch("one", {"paused": True})
            poll_until(lambda: all(seen["age_ms"] > 1500 for seen in one.connections("one")))
            one.api.patch("one", {"paused": False})
            guest.serve(f"{port},echo")
            return connection.recv(5)

    assert one_of(5, attempt, lambda got: got == b"early")


# ---- Who is refused ----


def test_refusals_say_why(scene):
    """Unknown, closed by the guest, starting at the deadline, paused at the deadline. A health check, which asks for nobody, is not counted."""
    one = scene(door={"hold": "300ms"}, forwarder={"refused_grace": "100ms"})
    one.add("one")
    one.api.register("boots")
    assert one.door.refused("nobody", 7).reason == "not-found"
    assert one.door.refused("weftdoorcheck", 7).reason == "not-found"
    assert one.door.refused("one", 8).reason == "port-closed"
    assert one.door.refused("boots", 7).reason == "starting"
    one.api.patch("one", {"paused": True})
    assert one.door.refused("one", 7).reason == "paused"
    refused = {reason: count for reason, count in one.door.status()["refused"].items() if count}
    assert refused == {"not-found": 1, "port-closed": 1, "starting": 1, "paused": 1}
    metrics = one.api.metrics()
    for reason, count in one.door.status()["refused"].items():
        assert metrics[f'weft_door_connections_total{{reason="{reason}"}}'] == count
    assert one.door.status()["connections"] == 0
    with one.door.visit("nobody", 22, "t") as connection:
        assert ended(connection)


def test_a_limit_is_told(scene):
    one = scene()
    one.add("one", limits={"connections": 2})
    with one.door.visit("one", 7) as first, one.door.visit("one", 7) as second:
        assert echoes(first) and echoes(second)
        assert one.door.refused("one", 7) == ("limit", 2)
        with one.door.visit("one", 7, "g") as connection:
            client = H2Client(connection)
            client.post()
            answer = client.answer()
            assert (answer["weft-refused"], answer["weft-limit"]) == ("limit", "2")
        assert echoes(first) and echoes(second)


def test_tokens(scene):
    """A private sandbox wants its token, but for envd's port; the rules of ports come first; zeroes are no token."""
    one = scene()
    door = {"public": False, "token_sha256": token_hash("secret"), "ports": {"80": "public", "81": "token", "82": "closed"}}
    one.add("one", "80,echo", "81,echo", "82,echo", "83,echo", door=door)
    for port, without, wrong, right in (
        (7, "token-missing", "token-invalid", None),
        (80, None, None, None),
        (81, "token-missing", "token-invalid", None),
        (82, "port-closed", "port-closed", "port-closed"),
        (49983, None, None, None),
    ):
        for token, reason in ((None, without), ("guess", wrong), ("secret", right)):
            if reason:
                assert one.door.refused("one", port, token=token).reason == reason, (port, token)
                continue
            with one.door.visit("one", port, token=token) as connection:
                assert echoes(connection), (port, token)
    with one.door.visit("one", 7, "t") as connection:
        assert ended(connection)
    zeroes = header(unique_id("h/one/7/" + "A" * 43 + "="))
    with one.door.connect(zeroes) as connection:
        assert read_refusal(connection).reason == "token-invalid"
    one.daemon.wait_log(r"connection ended.*sandbox=one .*reason=door-token")
    one.daemon.wait_log(r"connection ended.*sandbox=one .*reason=door-closed")


@pytest.mark.parametrize("size", [10_000, 50_000_000])
def test_a_refusal_arrives_in_the_middle_of_an_upload(scene, size):
    """The client sends all before it reads. Nothing resets it: what it sends is read, and thrown away."""
    one = scene()
    with one.door.visit("nobody", 80) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        connection.sendall(bytes(size))
        connection.shutdown(socket.SHUT_WR)
        assert read_refusal(connection).reason == "not-found"


def test_one_who_uploads_for_ever_is_closed(scene):
    one = scene()
    with one.door.visit("nobody", 80) as connection:
        assert read_refusal(connection).reason == "not-found"

        def is_closed():
            try:
                connection.sendall(b"more")
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True

        poll_until(is_closed, 2 * PATIENCE, interval=0.1)


def test_a_refusal_over_http2(scene):
    """python-h2 takes it for an answer that ends its stream, and the end of the connection; also while a body is being sent."""
    one = scene()
    for more in (False, True):
        with one.door.visit("nobody", 80, "g") as connection:
            client = H2Client(connection)
            # As HAProxy, it may wait for the other side's SETTINGS before it asks.
            client.await_event(h2.events.RemoteSettingsChanged)
            stream = client.post(more=more)
            if more:
                client.send_window(stream)
            assert client.answer() == {":status": "502", "weft-refused": "not-found", "content-length": "0"}
    with one.door.visit("nobody", 80, "g", sent=b"GET / HTTP/1.1\r\n\r\n") as connection:
        assert receive_exactly(connection, 9) == b"\0\0\0\4\0\0\0\0\0" and ended(connection)
    assert one.door.status()["refused"]["not-found"] == 3


HAPROXY = """
frontend here
  mode http
  bind 127.0.0.1:7001 proto h2
  bind 127.0.0.1:7002
  unique-id-format "%[var(txn.wanted)]"
  http-request set-var(txn.wanted) hdr(x-wanted)
  http-response set-header x-seen %[res.hdr(weft-refused)]
  use_backend grpc if { hdr(x-wanted) -m beg g/ }
  default_backend plain
backend grpc
  mode http
  server door unix@/run/weft/door.sock proto h2 send-proxy-v2 proxy-v2-options unique-id
backend plain
  mode http
  server door unix@/run/weft/door.sock send-proxy-v2 proxy-v2-options unique-id
"""


@pytest.mark.parametrize("kind", ["h", "g"])
def test_haproxy_understands_refusals(scene, proxy, kind):
    """Over both versions of HTTP. It asks nothing before it has SETTINGS."""
    one = scene()
    proxy.haproxy(HAPROXY, ports=(7001, 7002))
    with one.host.connect("127.0.0.1", 7001) as connection:
        client = H2Client(connection)
        client.post(wanted=f"{kind}/nobody/80/")
        fields = client.answer()
        assert (fields[":status"], fields["weft-refused"], fields["x-seen"]) == ("502", "not-found", "not-found")


@pytest.mark.parametrize("kind", ["h", "g"])
def test_haproxy_passes_refusals_on_in_the_middle_of_an_upload(scene, proxy, folder, kind):
    """It looks at the reply, and its client gets it before the body is sent."""
    one = scene()
    proxy.haproxy(HAPROXY, ports=(7001, 7002))
    with open(f"{folder}/body", "wb") as file:
        file.truncate(20_000_000)
    curl = ["curl", "-s", "-D", "-", "-o", f"{folder}/answer", "-T", f"{folder}/body", "-H", "Expect:"]
    for _ in range(10):
        told = one.host.output([*curl, "-H", f"X-Wanted: {kind}/nobody/80/", "http://127.0.0.1:7002/"], check=False)
        assert " 502 " in told and "weft-refused: not-found" in told and "x-seen: not-found" in told, told


# ---- What changes ----


def test_a_change_of_the_policy_ends_what_it_refuses(scene):
    """Open connections are reset and held ones get the reply; those that are still let in go on."""
    one = scene()
    one.add("one", "80,echo", door={"token_sha256": token_hash("secret")})
    one.api.register("boots", {"door": {"token_sha256": token_hash("secret")}})
    with contextlib.ExitStack() as stack:
        bare, shown, free, other = (
            stack.enter_context(one.door.visit("one", port, token=token))
            for port, token in ((7, None), (7, "secret"), (49983, None), (80, "secret"))
        )
        held, held_shown = (stack.enter_context(one.door.visit("boots", 7, token=token)) for token in (None, "secret"))
        assert all(echoes(connection) for connection in (bare, shown, free, other))
        one.await_held(2)
        policy = {"public": False, "token_sha256": token_hash("secret"), "ports": {"80": "closed"}}
        for name in ("one", "boots"):
            one.api.patch(name, {"door": policy})
        assert ended(bare) and ended(other)
        assert read_refusal(held).reason == "token-missing"
        assert echoes(shown) and echoes(free)
        one.await_held(1)
        policy["token_sha256"] = token_hash("another")
        for name in ("one", "boots"):
            one.api.patch(name, {"door": policy})
        assert ended(shown) and echoes(free)
        assert read_refusal(held_shown).reason == "token-invalid"
        assert one.door.refused("one", 7, token="secret").reason == "token-invalid"
        with one.door.visit("one", 7, token="another") as fresh:
            assert echoes(fresh)
    one.daemon.wait_log(r"connection ended.*endpoint=door:7 .*reason=door-token")
    one.daemon.wait_log(r"connection ended.*endpoint=door:80 .*reason=door-closed")


def test_unregistering_ends_all(scene):
    """Open connections are reset, held ones told; the next client does not find it, and another sandbox in its place is another."""
    one = scene()
    one.add("one")
    one.api.register("boots")
    with one.door.visit("one", 7) as live, one.door.visit("boots", 7) as held:
        assert echoes(live)
        one.await_held(1)
        one.api.unregister("one")
        assert ended(live)
        one.api.unregister("boots")
        assert read_refusal(held).reason == "not-found"
    assert one.door.refused("one", 7).reason == "not-found"
    one.add("two")
    assert one.door.refused("one", 7).reason == "not-found"
    with one.door.visit("two", 7) as connection:
        assert echoes(connection)


def test_a_rename_leads_new_clients_elsewhere(scene):
    """The id always leads there; connections that came by the former name go on. A name may go to another sandbox."""
    one = scene()
    one.add("one", "80,http,one", name="crawler")
    one.add("two", "80,http,two")
    with one.door.visit("crawler", 7) as live:
        assert echoes(live)
        one.api.patch("one", {"name": "spider"})
        assert echoes(live)
        assert one.door.refused("crawler", 7).reason == "not-found"
        one.api.patch("two", {"name": "crawler"})
        for wanted, guest in (("spider", b"one"), ("one", b"one"), ("crawler", b"two"), ("two", b"two")):
            with one.door.visit(wanted, 80) as connection:
                assert b'"guest": "%s"' % guest in fetch(connection)[2]
        one.api.patch("one", {"name": None})
        assert one.door.refused("spider", 7).reason == "not-found"
        assert echoes(live)


# ---- Shortages ----


def test_each_client_is_counted_once_without_memory(host, weftd, guest, folder):
    """Whatever fails, a client is served, refused or broken; and nothing of it is left."""
    faults = Faults(folder)
    daemon = weftd(run=False)
    faults.prepare(daemon)
    daemon.start()
    one = Scene(host, lambda sections, run: daemon, guest)
    one.add("one")
    clients = 0
    while clients < 100 or faults.met(MEMORY) < 50:
        wanted = ("one", "nobody")[clients % 2]
        with faults.on(MEMORY, 0.3), contextlib.suppress(ConnectionResetError, BrokenPipeError):
            with one.door.visit(wanted, 7, "hgt"[clients % 3], sent=b"abc") as connection:
                connection.recv(3)
        clients += 1

    def counted():
        status = one.door.status()
        return status["served"] + sum(status["refused"].values()) + status["broken"]

    poll_until(lambda: counted() == clients, what=lambda: (clients, one.door.status()))
    poll_until(lambda: one.door.status()["connections"] == 0, what=lambda: one.door.status())
    with one.door.visit("one", 7) as connection:
        assert echoes(connection)
    faults.close()


# ---- Restarts ----


@pytest.fixture
def kept(host, weftd, guest, manager):
    """A scene under the manager, and one sandbox."""
    made = Scene(host, weftd, guest, manager, door={"hold": "10m"}, forwarder={"connect_deadline": "10m"})
    made.add("one")
    return made


def test_clients_go_on_over_a_restart(kept, manager):
    """Open ones lose no byte, held ones are held on, with their kind and their token; one that comes in the gap is served."""
    kept.api.patch("one", {"door": {"token_sha256": token_hash("secret")}})
    kept.api.register("boots")
    with kept.door.visit("boots", 7) as held, kept.door.visit("boots", 7, "g") as held_h2:
        flow = Flow(kept.door.visit("one", 7, token="secret"))
        bare = kept.door.visit("one", 7)
        assert echoes(bare)
        kept.await_held(2)
        kept.daemon.stop()
        manager.settle()
        with kept.door.visit("one", 7, sent=b"in the gap") as waiting:
            manager.start(kept.daemon)
            assert receive_exactly(waiting, 10) == b"in the gap"
        flow.check()
        assert echoes(bare)
        kept.await_held(2)
        assert {seen["endpoint"] for seen in kept.connections("one")} == {"door:7"}
        assert {seen["client"] for seen in kept.connections("one")} == {"{}:{}".format(*CLIENT)}
        kept.api.patch("one", {"door": {"public": False, "token_sha256": token_hash("secret")}})
        assert ended(bare)
        flow.check()
        kept.api.unregister("boots")
        assert read_refusal(held).reason == "not-found"
        client = H2Client(held_h2)
        client.post()
        assert client.answer()["weft-refused"] == "not-found"
        flow.close()
        bare.close()


def test_a_crash_resets_clients_and_keeps_the_door(kept, manager):
    """The socket is the manager's too, so one that comes meanwhile waits and is served."""
    with kept.door.visit("one", 7) as live:
        assert echoes(live)
        kept.daemon.kill()
        manager.settle()
        with kept.door.visit("one", 7, sent=b"in the gap") as waiting:
            assert ended(live)
            manager.start(kept.daemon)
            assert receive_exactly(waiting, 10) == b"in the gap"
    assert kept.door.status()["served"] == 1
