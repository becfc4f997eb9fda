# SPDX-License-Identifier: GPL-2.0-or-later
"""No request at the front door ever reaches another sandbox than it names, while sandboxes come and go, HAProxy reloads and weftd ends."""

import contextlib
import json
import os
import random
import threading

import h2.events
import h2.exceptions
import pytest
from test_door_streams import H2

from harness.front_door import HTTP
from harness.wait import PATIENCE, poll_until

# In CI 20,000 requests in all; WEFT_LONG=1: a million.
REQUESTS = int(os.environ.get("WEFT_DOOR_REQUESTS") or (1_000_000 if os.environ.get("WEFT_LONG") else 20_000))
LIVES = 12
ALWAYS = {"haproxy.cfg": {"http-reuse never": "http-reuse always"}}
STAY = ("stay0", "stay1", "stay2")


def name_in(status, text):
    """The sandbox that an answer names: the guest's own, or that of a refusal."""
    assert status in (200, 409, 502, 503), (status, text)
    return json.loads(text)["guest" if status == 200 else "sandboxId"]


class Pipelined:
    """A client of HTTP/1.1 that sends many requests before it reads."""

    def __init__(self, host, tell):
        self.host = host
        self.tell = tell
        self.sock = None
        self.stream = None

    def connect(self):
        self.close()
        self.sock = self.host.connect("127.0.0.1", HTTP)
        self.stream = self.sock.makefile("rb")

    def ask(self, names):
        if not self.sock:
            self.connect()
        head = "GET /health HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: {}\r\nE2b-Sandbox-Port: 8080\r\n\r\n"
        try:
            self.sock.sendall("".join(head.format(name) for name in names).encode())
            for name in names:
                self.tell(name, *self.answer())
        except (ConnectionError, EOFError) as error:
            self.close()
            self.tell(None, 0, repr(error))

    def answer(self):
        first = self.stream.readline()
        if not first:
            raise EOFError
        length = 0
        while (line := self.stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        text = self.stream.read(length)
        if len(text) < length:
            raise EOFError
        return int(first.split()[1]), text

    def close(self):
        if self.sock:
            self.stream.close()
            self.sock.close()
        self.sock = None


class Multiplexed:
    """A client of HTTP/2 with many streams at once."""

    def __init__(self, host, tell):
        self.host = host
        self.tell = tell
        self.client = None

    def ask(self, names):
        headers = [(":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", "localhost"), ("e2b-sandbox-port", "8080")]
        try:
            if not self.client:
                self.client = H2(self.host)
            streams = {self.client.request([*headers, ("e2b-sandbox-id", name)]): (name, {}) for name in names}
            while streams:
                for event in self.client.events():
                    self.take(streams, event)
        except (ConnectionError, h2.exceptions.ProtocolError, AssertionError) as error:  # of the second kind: a frame after a GOAWAY
            self.close()
            self.tell(None, 0, repr(error))

    def take(self, streams, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            raise ConnectionError("GOAWAY")
        name, got = streams.get(getattr(event, "stream_id", None)) or (None, None)
        if name is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            got["status"] = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            got["text"] = got.get("text", b"") + event.data
        elif isinstance(event, h2.events.StreamEnded):
            del streams[event.stream_id]
            self.tell(name, got["status"], got["text"])
        elif isinstance(event, h2.events.StreamReset):
            del streams[event.stream_id]
            self.tell(None, 0, "reset")

    def close(self):
        if self.client:
            self.client.close()
        self.client = None


class Clients:
    """Threads with clients of both kinds, which ask all sandboxes that there ever were, mixed on each connection."""

    def __init__(self, host, names):
        self.host = host
        self.names = names  # grows
        self.lock = threading.Lock()
        self.answers = {}  # (name, status): count
        self.asked = 0
        self.cut = []  # requests without an answer
        self.wrong = []
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(kind, seed)) for seed, kind in enumerate((Pipelined, Multiplexed) * 2)]
        for one in self.threads:
            one.start()

    def tell(self, name, status, text):
        with self.lock:
            self.asked += 1
            if name is None:
                self.cut.append(text)
                return
            try:
                told = name_in(status, text)
            except (ValueError, KeyError, AssertionError) as error:
                told = repr(error)
            if told != name:
                self.wrong.append((name, status, text))
            self.answers[name, status] = self.answers.get((name, status), 0) + 1

    def run(self, kind, seed):
        client, chance = kind(self.host, self.tell), random.Random(seed)
        while not self.end.is_set():
            client.ask([chance.choice((*STAY, *self.names[-6:])) for _ in range(chance.choice((1, 5, 20)))])
        client.close()

    def await_asked(self, more):
        goal = self.asked + more
        poll_until(lambda: self.asked >= goal or self.wrong, timeout=PATIENCE + more / 100, what=lambda: f"{more} requests; {self.answers}")

    def close(self):
        self.end.set()
        for one in self.threads:
            one.join(2 * PATIENCE)
        assert not self.wrong, self.wrong[:5]


@pytest.mark.timeout(3600 if REQUESTS > 100_000 else 900)
@pytest.mark.parametrize("edit", [None, ALWAYS], ids=["never", "always"])
def test_no_request_reaches_another_sandbox(host, weftd, door, guest, edit):
    """Their slots and addresses are used again at once, and connections to them are kept, by each client and, in one run, by all."""
    daemon = weftd(config={"pool": {"size": 0, "quarantine": "0s"}, "door": {"hold": "100ms"}})
    front = door(edit=edit)
    stay(daemon, guest)
    names = ["none"]
    clients = Clients(host, names)
    slots = set()
    lives = 0
    try:
        while (clients.asked < REQUESTS // 2 or lives < LIVES) and not clients.wrong:
            name = f"life{lives}"
            sandbox = daemon.api.register(name, {"ready_port": 8080})
            slots.add(sandbox["slot"])
            one = guest(sandbox)
            one.serve(f"8080,http,{name}")
            names.append(name)
            daemon.api.wait(name, "ready")
            clients.await_asked(200)
            one.kill()
            daemon.api.unregister(name)
            lives += 1
            if lives % 5 == 0:
                front.reload()
    finally:
        clients.close()
    print(f"{clients.asked} requests, {lives} lives in {len(slots)} slots, {len(clients.cut)} without an answer: {clients.answers}")
    assert lives > len(slots), "no slot was used again"
    assert all(clients.answers[name, 200] > 0 for name in (*STAY, *names[1:]))


class Fresh(threading.Thread):
    """A connection for each request, one after the other: each must be answered by the guest."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host = host
        self.done = 0
        self.faults = []
        self.end = threading.Event()

    def run(self):
        while not self.end.is_set():
            name = STAY[self.done % len(STAY)]
            try:
                with self.host.connect("127.0.0.1", HTTP, timeout=2 * PATIENCE) as made:
                    made.sendall(f"GET /health HTTP/1.1\r\nHost: 8080-{name}.box.example\r\nConnection: close\r\n\r\n".encode())
                    got = b""
                    while more := made.recv(65536):
                        got += more
                if not (got.startswith(b"HTTP/1.1 200 ") and f"\"guest\": \"{name}\"".encode() in got):
                    self.faults.append(got)
            except OSError as error:
                self.faults.append(repr(error))
            self.done += 1

    def await_done(self, more=20):
        goal = self.done + more
        poll_until(lambda: self.done >= goal, 2 * PATIENCE)

    def close(self):
        self.end.set()
        self.join(2 * PATIENCE)


@contextlib.contextmanager
def load(host, count=3):
    threads = [Fresh(host) for _ in range(count)]
    for one in threads:
        one.start()
    try:
        yield threads
    finally:
        for one in threads:
            one.close()


def faults(threads):
    return [fault for one in threads for fault in one.faults]


def stay(daemon, guest):
    guests = guest.many([daemon.api.register(name, {"ready_port": 8080}) for name in STAY])
    guests[0].owner.serve([(one, f"8080,http,{name}") for one, name in zip(guests, STAY)])
    for name in STAY:
        daemon.api.wait(name, "ready")


def test_a_reload_fails_no_new_connection(host, weftd, door, guest):
    daemon = weftd()
    front = door()
    stay(daemon, guest)
    with load(host) as threads:
        for _ in range(4):
            threads[0].await_done()
            front.reload()
        threads[0].await_done()
    assert not faults(threads), faults(threads)[:5]


def test_a_restart_of_weftd_fails_no_request_and_its_death_next_to_none(host, weftd, door, guest, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    door()
    stay(daemon, guest)
    with load(host) as threads:
        for _ in range(2):
            threads[0].await_done()
            daemon.stop()
            manager.start(daemon)
        threads[0].await_done()
    assert not faults(threads), faults(threads)[:5]
    # A request that has no answer yet is sent again, as it may be. What is cut is an answer that was on its way: one of each client, at most.
    with load(host) as threads:
        for _ in range(3):
            threads[0].await_done()
            daemon.kill()
            manager.start(daemon)
        threads[0].await_done()
    assert len(faults(threads)) <= 3 * 3, faults(threads)


def test_the_death_of_a_worker_ends_the_door_for_its_service_manager(host, weftd, door, guest):
    daemon = weftd()
    front = door()
    stay(daemon, guest)
    os.kill(front.worker(), 9)
    assert front.process.wait(PATIENCE) == 137
    front.start()
    with load(host, 1) as threads:
        threads[0].await_done(3)
    assert not faults(threads)
