# SPDX-License-Identifier: GPL-2.0-or-later
"""Sandboxes that sleep: how soon those who wake one are served, how soon data flows again, and what thousands that sleep cost.

A manager in this process is asked by POST /wake and starts the guest again: a stand-in, whose port accepts from the moment at which its VMM reads
tap0 again. Clients come once a sleep, and it is over before TCP would send its SYN a second time, so only the kept packet, or the TAP's queue,
serves them in time.
"""

import random
import socket
import threading
import time
from dataclasses import dataclass

from harness.asleep import (
    CONFIG,
    ECHO,
    FIRST,
    HOST,
    HOW,
    NAT_UDP,
    STRANGERS,
    Client,
    Events,
    Flood,
    Sleeper,
    Way,
    route_world,
    tcp_info,
    ways_to,
)
from harness.client import receive_exactly
from harness.guests import Vmm
from harness.netns import Namespace
from harness.wait import TimedOut, poll_until
from harness.waker import Waker

from fabric import CALLERS, Caller, rest
from measure import LoadFailed, Processes, raise_descriptor_limit
from results import Results
from topology import Bench

_LONGEST = 0.4  # seconds of a sleep from its client's first packet on; TCP sends it again after one
_BACK = 180  # seconds in which data must be back
_BODY = '{"ports": [49983], "wake": {"ports": [49983, 8080, "5353/udp"], "min_awake_ms": 0}}'


@dataclass(frozen=True)
class Plan:
    """Repetitions, durations and amounts."""

    sleeps: int  # on each way, with the TAP open and closed
    silences: tuple  # seconds
    asleep: tuple  # how many sleep
    changes: int  # pauses and resumes that are measured beside them
    flood_s: float

    @classmethod
    def full(cls):
        return cls(sleeps=40, silences=(10, 60), asleep=(10, 1000, 4000), changes=50, flood_s=5)

    @classmethod
    def long(cls):
        return cls(sleeps=100, silences=(10, 60, 300), asleep=(10, 1000, 4000), changes=50, flood_s=20)

    @classmethod
    def quick(cls):
        return cls(sleeps=5, silences=(10,), asleep=(10, 200), changes=30, flood_s=2)


class WakeBench(Bench):
    """The host, the world beyond its uplink, weftd and a manager."""

    def __init__(self):
        super().__init__(lambda place: {**CONFIG, "wake": {"notify": place.file("waker.sock")}})
        try:
            route_world(self.host.world)
            self.waker = Waker(self.file("waker.sock")).start()
            self.on_close(self.waker.close)
            self.events = Events(self.weftd.api)
            self.on_close(self.events.end)
        except BaseException:
            self.close()
            raise

    def _boot(self, sandbox):
        vmm = Vmm(self.host, [sandbox["netns_path"]])
        self.on_close(vmm.close)
        return vmm.guests[0]

    def add(self, name, **body):
        made = Sleeper(self.weftd.api, self._boot, name, body)
        self.on_close(made.close)
        self.quicken(Namespace(self.host.file(made.sandbox["netns_path"])))
        return made


# ---- From the guest's port, which accepts, to a client that is served ----


class Datagram(threading.Thread):
    """One datagram, and when its answer came; `answered` is None if none did."""

    def __init__(self, way):
        super().__init__(daemon=True)
        self.socket = way.datagrams()
        self.answered = None
        self.start()

    def run(self):
        self.socket.settimeout(2)
        self.socket.send(b"once")
        try:
            self.socket.recv(100)
            self.answered = time.monotonic()
        except TimeoutError:
            pass

    def result(self):
        self.join()
        self.socket.close()


class Connecting(Client):
    """A client that is served when its connection is there."""

    def run(self):
        try:
            self.connection = self.connect()
            self.answered = time.monotonic()
        except OSError as error:
            self.error = error


def one_sleep(bench, sleeper, how, begin, results, who):
    """Puts SLEEPER to sleep, has a client come by BEGIN, and wakes it after less than a second."""
    accepts = []

    def resume(_):
        time.sleep(max(0.0, came + random.uniform(0.05, _LONGEST) - time.monotonic()))
        if how == "closed":
            sleeper.guest.open_tap()
        accepts.append(time.monotonic())
        sleeper.guest.thaw()
        bench.weftd.api.patch(sleeper.name, {"paused": False})

    bench.waker.resume[sleeper.name] = resume
    del bench.waker.heard[:]
    sleeper.sleep(how)
    events = len(bench.events.wakes(sleeper.name))
    came = time.monotonic()
    client = begin()
    bench.events.await_wake(sleeper.name, events + 1)
    said = next(at for at, event in reversed(bench.events.seen) if event["type"] == "wake")
    client.result()
    bench.weftd.api.wait(sleeper.name, "ready")
    results.add("first packet", who, "event ms", (said - came) * 1000)
    results.add("first packet", who, "request ms", (bench.waker.heard[0][0] - came) * 1000)
    if client.answered is None:
        results.add("served", who, "lost", 1)
    else:
        results.add("served", who, f"{how} ms", (client.answered - accepts[0]) * 1000)
    if getattr(client, "connection", None):
        client.connection.close()


def measure_wakes(plan, bench, sleeper, results, say):
    ways = {}
    for name, way in ways_to(bench.host, sleeper).items():
        # weftd itself accepts at its endpoints, so there the guest's answer counts.
        ways[f"TCP, {name}"] = lambda way=way: (Connecting if way.via == "kernel" else Client)(way.connect)
    for name, namespace, address in (
        ("host-local", bench.host, (sleeper.address, ECHO)),
        ("remote", bench.host.world, (sleeper.address, ECHO)),
        ("nat port, remote", bench.host.world, (HOST, NAT_UDP)),
        ("nat port, host-local", bench.host, (HOST, NAT_UDP)),
    ):
        ways[f"UDP, {name}"] = lambda way=Way(name, "kernel", namespace, address): Datagram(way)
    say(f"  {plan.sleeps} sleeps on each of {len(ways)} ways, with the TAP open and closed")
    for _ in range(plan.sleeps):
        for who, begin in ways.items():
            for how in HOW:
                try:
                    one_sleep(bench, sleeper, how, begin, results, who)
                except (TimedOut, OSError, AssertionError) as error:
                    results.fail("served", who, how, error)


# ---- Silence with data in flight ----


def silence(bench, sleepers, seconds, results):
    """Data is under way when they fall silent; the seconds until it is back.

    SLEEPERS: (one that is paused, and one whose VM stands still and weftd knows nothing of it).
    """
    paused, unknown = sleepers
    clients = {
        "kernel path, host-local": bench.host.connect(paused.address, ECHO, timeout=_BACK),
        "kernel path, remote": bench.host.world.connect(paused.address, ECHO, timeout=_BACK),
        "forwarder": bench.host.connect("127.0.0.1", paused.endpoint(), timeout=_BACK),
        "without these rules, host-local": bench.host.connect(unknown.address, ECHO, timeout=_BACK),
        "without these rules, remote": bench.host.world.connect(unknown.address, ECHO, timeout=_BACK),
    }
    for client in clients.values():
        client.sendall(b"!")
        receive_exactly(client, 1)
    paused.sleep("closed")  # an open TAP would keep what is sent first
    unknown.how = "closed"
    unknown.stop_vm()
    for client in clients.values():
        client.sendall(bytes(1000))
    time.sleep(seconds)
    for who, client in clients.items():
        info = tcp_info(client)
        results.add("silence", who, f"{seconds} s: timer s", info["rto_us"] / 1e6)
    resumed = time.monotonic()
    unknown.start_vm()
    paused.resume()

    def back(who, client):
        try:
            receive_exactly(client, 1000)
            results.add("silence", who, f"{seconds} s: back s", time.monotonic() - resumed)
        except (OSError, AssertionError) as error:
            results.fail("silence", who, f"{seconds} s", error)
        client.close()

    threads = [threading.Thread(target=back, args=one) for one in clients.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure_silences(plan, bench, results, say):
    say(f"  data in flight over silences of {', '.join(map(str, plan.silences))} s")
    pairs = {seconds: (bench.add(f"paused-{seconds}"), bench.add(f"unknown-{seconds}")) for seconds in plan.silences}
    threads = [threading.Thread(target=silence, args=(bench, pair, seconds, results)) for seconds, pair in pairs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---- Thousands ----


def measure_changes(plan, bench, sleeper, level, results):
    """The calls of PATCH that put one to sleep, and that end its sleep, as LEVEL others sleep."""
    api = bench.weftd.api
    for _ in range(plan.changes):
        for what, body in (
            ("pause", {"paused": True}),
            ("resume", {"paused": False}),
            ("pause", {"paused": True}),
            ("resume with reset", {"paused": False, "flows": "reset"}),
        ):
            began = time.monotonic()
            api.patch(sleeper.name, body)
            results.add("many", f"{level} asleep", f"{what} ms", (time.monotonic() - began) * 1000)
            time.sleep(0.05)  # nobody changes his mind at once


def flood(plan, bench, sleeper, level, results):
    """SYNs from a thousand sources for one that sleeps: events, weftd's processor and memory, and one who comes meanwhile."""
    bench.waker.resume.pop(sleeper.name, None)
    sleeper.sleep("closed")
    before = len(bench.events.wakes(sleeper.name))
    daemon = Processes([bench.weftd.pid])
    memory, cpu = daemon.memory_kib(), daemon.cpu_seconds()
    began = time.monotonic()
    made = Flood(bench.host.world, sleeper.address, ECHO, STRANGERS)
    try:
        time.sleep(plan.flood_s)
        client = Connecting(lambda: bench.host.connect(sleeper.address, ECHO))
        bench.events.await_wake(sleeper.name, before + 1)
        took = time.monotonic() - began
        name = f"{level} asleep"
        results.add("flood", name, "SYNs a second", made.sent / took)
        results.add("flood", name, "weftd's CPU, %", 100 * (daemon.cpu_seconds() - cpu) / took)
        results.add("flood", name, "more memory KiB", daemon.memory_kib() - memory)
        results.add("flood", name, "events", len(bench.events.wakes(sleeper.name)) - before)
    finally:
        made.stop()
    sleeper.start_vm()
    accepts = time.monotonic()
    bench.weftd.api.patch(sleeper.name, {"paused": False})
    client.result()
    results.add("flood", name, "client served ms", (client.answered - accepts) * 1000)
    client.connection.close()
    bench.weftd.api.wait(sleeper.name, "ready")


def measure_many(plan, bench, sleeper, results, say):
    caller = Caller(bench, prefix="m")
    there = 0
    for level in plan.asleep:
        say(f"  {level} asleep")
        first, _, _ = caller.add(level - there, 4, _BODY)
        caller.patch(first, level - there, '{"paused": true}', CALLERS)
        there = level
        rest(bench)
        results.add("many", f"{level} asleep", "daemon MiB", Processes([bench.weftd.pid]).memory_kib() / 1024)
        results.add("many", f"{level} asleep", "host rules", bench.host.output(["nft", "-a", "list", "table", "inet", "weft"]).count(" # handle "))
        measure_changes(plan, bench, sleeper, level, results)
        bench.weftd.api.wait(sleeper.name, "ready")
        flood(plan, bench, sleeper, level, results)
    caller.remove(1, there, CALLERS)


def run(plan, say):
    """Runs all measurements. Returns the results."""
    results = Results()
    raise_descriptor_limit()
    bench = WakeBench()
    try:
        sleeper = bench.add("one", **FIRST)
        for what, measure in (
            ("wakes", lambda: measure_wakes(plan, bench, sleeper, results, say)),
            ("silence", lambda: measure_silences(plan, bench, results, say)),
            ("many", lambda: measure_many(plan, bench, sleeper, results, say)),
        ):
            try:
                measure()
            except (LoadFailed, TimedOut, AssertionError, OSError) as error:
                results.fail("wake", "weft", what, error)
    finally:
        bench.close()
    return results
