# SPDX-License-Identifier: GPL-2.0-or-later
"""The front door against reverse proxies: requests, connections, bulk, their cost, memory of idle clients, and clients that wait.

All run at once, in front of the same guest; forwarder.py says how a round goes.
"""

import contextlib
import os
import selectors
import subprocess
import threading
import time
from dataclasses import dataclass

from harness.daemon import build_dir
from harness.wait import Lines, TimedOut, poll_until

from door_peers import PEERS, NoProxy, WeftDoor
from forwarder import Load, bare_sockets_kib, measure_idle, run_rounds, serve_on_loopback
from measure import LoadFailed, raise_descriptor_limit
from peers import HTTP, LATE
from results import Results
from topology import Bench, TapGuest

SERVERS = (f"{HTTP},http,bench",)
KIND = "door"  # of results
CONFIG = {"door": {"socket": "/run/weft/door.sock"}}

LOADS = (
    Load("requests 1", "requests", HTTP, 1, 1e5, 0.2),
    Load("requests 16", "requests", HTTP, 16, 1e5, 0.2),
    Load("requests 256", "requests", HTTP, 256, 1e5, 0.3),
    Load("connections", "connections", HTTP, 16, 1e5, 200),
    Load("down", "get", HTTP, 1, 1e9, 4e7),
    Load("up", "post", HTTP, 1, 1e9, 4e7),
)


@dataclass(frozen=True)
class Plan:
    """Repetitions, durations and amounts."""

    rounds: dict
    seconds: float  # for each measurement
    idle: int  # clients whose memory is measured
    idle_rounds: int
    held: int  # clients that wait at the same time
    held_rounds: int

    @classmethod
    def full(cls):
        return cls(rounds={KIND: 5}, seconds=0.8, idle=4000, idle_rounds=3, held=200, held_rounds=5)

    @classmethod
    def quick(cls):
        return cls(rounds={KIND: 2}, seconds=0.25, idle=1000, idle_rounds=1, held=200, held_rounds=1)


def has_answer(door, port=HTTP):
    """Whether a request through DOOR gets the guest's answer."""
    host, number = door.address(port).rsplit(":", 1)
    with contextlib.suppress(OSError), door.host.connect(host, int(number), timeout=2) as probe:
        probe.sendall(f"GET /health HTTP/1.1\r\nHost: localhost\r\n{door.load_head(port)}Connection: close\r\n\r\n".encode())
        return probe.recv(12) == b"HTTP/1.1 200"
    return False


# ---- Memory of idle clients ----


def run_idle(plan, bench, sandbox, results, say):
    """Each is measured alone and freshly started: after a load it would keep memory and reuse it."""
    for number in range(plan.idle_rounds):
        say(f"  memory of {plan.idle} idle clients, {number + 1} of {plan.idle_rounds}")
        bare = bare_sockets_kib(bench, plan.idle)
        results.add(KIND, "two bare sockets", "idle kernel KiB", bare)
        for make in (WeftDoor, *PEERS):
            door = make(bench, sandbox)
            try:
                if make is WeftDoor:
                    bench.restart_weftd()
                door.start()
                poll_until(lambda door=door: has_answer(door), 10, what=f"an answer through {door.name}")
                for what, value in measure_idle(door, plan.idle, bare).items():
                    results.add(KIND, door.name, what, value)
            except (LoadFailed, TimedOut, RuntimeError) as error:
                results.fail(KIND, door.name, "idle", error)
            finally:
                door.stop()


# ---- Clients that come before the guest listens ----


class LateServer:
    """A server in a guest that begins to listen now, and answers one request on each connection."""

    def __init__(self, guest):
        self.listener = guest.listen(LATE)
        self.began = time.monotonic()
        self.open = True
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with selectors.DefaultSelector() as selector:
            self.listener.setblocking(False)
            selector.register(self.listener, selectors.EVENT_READ)
            while self.open:
                for key, _ in selector.select(0.05):
                    with contextlib.suppress(BlockingIOError, OSError):
                        self._turn(selector, key.fileobj)
            for key in list(selector.get_map().values()):
                key.fileobj.close()

    def _turn(self, selector, ready):
        if ready is self.listener:
            selector.register(ready.accept()[0], selectors.EVENT_READ)
        elif ready.recv(4096):
            ready.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!")
        else:
            selector.unregister(ready)
            ready.close()

    def close(self):
        self.open = False
        self.thread.join()


def measure_held(plan, door, guest):
    """[ms from the guest's listen() to the client's first byte], of the clients that got an answer."""
    client = door.host.popen(
        [f"{build_dir()}/tests/forwarder/load", "held", door.address(LATE), plan.held],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LOAD_HEAD": door.load_head(LATE)},
    )
    server = None
    try:
        lines = Lines(client.stdout)
        if lines.next(30) != "held":
            raise LoadFailed("the clients ended")
        time.sleep(1)  # a peer that gives up soon has done so
        server = LateServer(guest)
        answered = [float(one) for one in (lines.next(60) or "").split()]
        return [ms - server.began * 1000 for ms in answered if ms >= 0]
    finally:
        client.kill()
        client.wait()
        client.stdout.close()
        if server:
            server.close()


def run_held(plan, bench, results, say):
    say(f"  {plan.held} clients that come before the guest listens")
    late = TapGuest(bench, "late", {"ready_port": LATE}, ())
    for make in (WeftDoor, *PEERS):
        door = make(bench, late.sandbox)
        try:
            door.start()
            for _ in range(plan.held_rounds if make is WeftDoor else 1):
                bench.weftd.api.wait("late", "attached")
                waits = measure_held(plan, door, late.guest)
                results.add(KIND, door.name, "held served", len(waits))
                for wait in waits:
                    results.add(KIND, door.name, "held ms", wait)
                late.guest.close_tap()
                bench.weftd.api.wait("late", "detached")
                late.guest.open_tap()
        except (LoadFailed, TimedOut, OSError, RuntimeError) as error:
            results.fail(KIND, door.name, "held", error)
        finally:
            door.stop()
    late.vmm.close()


# ---- Everything ----


def run_loads(plan, bench, sandbox, results, say):
    doors = []
    try:
        for make in (WeftDoor, *PEERS, NoProxy):
            door = make(bench, sandbox)
            try:
                door.start()
                poll_until(lambda door=door: has_answer(door), 20, what=f"an answer through {door.name}")
            except (TimedOut, RuntimeError) as error:
                results.fail(KIND, door.name, "all", error)
                door.stop()
                continue
            doors.append(door)
        run_rounds(plan, KIND, doors, results, say, LOADS)
        return {door.name: door.note() for door in doors}
    finally:
        for door in doors:
            door.stop()


def run(plan, say):
    """Runs all measurements. Returns (results, {door: its setup})."""
    results = Results()
    raise_descriptor_limit()
    bench = Bench(CONFIG)
    try:
        bench.on_close(serve_on_loopback(bench))
        guest = TapGuest(bench, "tap", {"ready_port": HTTP}, SERVERS)
        bench.weftd.api.wait("tap", "ready")
        say("the front door")
        run_idle(plan, bench, guest.sandbox, results, say)
        run_held(plan, bench, results, say)
        notes = run_loads(plan, bench, guest.sandbox, results, say)
    finally:
        bench.close()
    return results, notes
