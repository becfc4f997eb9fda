# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder against its peers: throughput, requests, connections, their cost, and how long a held client waits.

All forwarders run at once, in front of the same guest. A round measures each of them under each kind of load, one at a time, and
starts with a different forwarder each time, so that other work on the machine affects all alike. A first, short round that does
not count gives the rates, from which the amounts are set so that all measurements take about as long.
"""

import contextlib
import os
import random
import select
import subprocess
import time
from dataclasses import dataclass

from harness.daemon import build_dir
from harness.wait import Lines, TimedOut, poll_until

import loopback
from measure import PIPE_KIB, LoadFailed, kernel_memory_kib, load, raise_descriptor_limit
from peers import HTTP, LATE, MOVABLE, PEERS, SINK, SOURCE, KernelDnat, Weft, WeftKernel
from results import Results
from topology import Bench, TapGuest, VethGuest

SERVERS = (f"{HTTP},http,bench", f"{SINK},sink", f"{SOURCE},source")


@dataclass(frozen=True)
class Plan:
    """Durations and repetitions."""

    rounds: dict  # by kind of guest
    seconds: float  # for each measurement
    idle: int  # connections whose memory is measured
    idle_rounds: int
    held: int  # clients held, one after the other
    connects: int  # calls of connect() in a measurement
    losses: int  # of a carrier

    @classmethod
    def full(cls):
        rounds = {"tap": 5, loopback.KIND: 9, "veth": 2}
        return cls(rounds=rounds, seconds=0.6, idle=2000, idle_rounds=3, held=30, connects=1_000_000, losses=30)

    @classmethod
    def quick(cls):
        rounds = {"tap": 2, loopback.KIND: 3}
        return cls(rounds=rounds, seconds=0.25, idle=400, idle_rounds=1, held=5, connects=200_000, losses=5)


@dataclass(frozen=True)
class Load:
    """One kind of load: NAME is the column; UNIT is the amount to which its cost refers."""

    name: str
    mode: str
    port: int
    at_once: int
    unit: float
    first: float  # the amount in the round that does not count


LOADS = (
    Load("down 1", "down", SOURCE, 1, 1e9, 4e7),
    Load("down 8", "down", SOURCE, 8, 1e9, 4e7),
    Load("up 1", "up", SINK, 1, 1e9, 4e7),
    Load("up 8", "up", SINK, 8, 1e9, 4e7),
    Load("requests 1", "requests", HTTP, 1, 1e5, 0.2),
    Load("requests 16", "requests", HTTP, 16, 1e5, 0.2),
    Load("requests 256", "requests", HTTP, 256, 1e5, 0.3),
    Load("connections", "connections", HTTP, 16, 1e5, 200),
)
LATENCIES = ("p500_us", "p990_us", "p999_us")


def measure_load(forwarder, kind_of_load, amount):
    """Runs one load. Returns {figure: value}: the rate, latencies, and the forwarder's processor time a unit."""
    processes = forwarder.processes()
    per_stream = int(amount / kind_of_load.at_once) if kind_of_load.unit == 1e9 else amount
    before = processes.cpu_seconds() if processes else 0
    head = forwarder.load_head(kind_of_load.port)
    with forwarder.clients():
        seen = load(forwarder.host, kind_of_load.mode, forwarder.address(kind_of_load.port), per_stream, kind_of_load.at_once, head=head)
    moved = seen.get("bytes", seen.get("done", 0))
    if not moved or seen.get("failed"):
        raise LoadFailed(f"{int(moved)} done, {int(seen.get('failed', 0))} failed")
    found = {kind_of_load.name: moved / seen["seconds"]}
    if kind_of_load.mode == "requests":
        found.update({f"{kind_of_load.name} {name}": seen[name] for name in LATENCIES})
    if processes:
        found[f"cpu {kind_of_load.name}"] = (processes.cpu_seconds() - before) / moved * kind_of_load.unit
    return found


def amount_of(kind_of_load, rate, seconds):
    """The amount that takes SECONDS at RATE."""
    return seconds if kind_of_load.mode == "requests" else max(kind_of_load.at_once, int(rate * seconds))


def run_rounds(plan, kind, forwarders, results, say, loads=LOADS):
    rates = {}
    for number in range(plan.rounds[kind] + 1):
        say(f"  round {number} of {plan.rounds[kind]}" if number else "  a round to warm up")
        for kind_of_load in loads:
            for i in range(len(forwarders)):
                forwarder = forwarders[(i + number) % len(forwarders)]
                key = (forwarder.name, kind_of_load.name)
                if number and key not in rates:
                    continue  # it failed in the first round
                amount = amount_of(kind_of_load, rates[key], plan.seconds) if number else kind_of_load.first
                try:
                    found = measure_load(forwarder, kind_of_load, amount)
                except LoadFailed as error:
                    results.fail(kind, forwarder.name, kind_of_load.name, error)
                    continue
                rates.setdefault(key, found[kind_of_load.name])
                for what, value in found.items() if number else ():
                    results.add(kind, forwarder.name, what, value)


# ---- Memory of idle connections ----


@contextlib.contextmanager
def kept_connections(namespace, address, count, head=""):
    """Keeps COUNT connections to ADDRESS open for the time of the context. Each has had an answer, to a request with HEAD."""
    process = namespace.popen(
        [f"{build_dir()}/tests/forwarder/load", "kept", address, count],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LOAD_HEAD": head},
    )
    try:
        if Lines(process.stdout).next(60) != "kept":
            raise LoadFailed(f"{count} idle connections: the client ended")
        yield
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


def settled(read, tolerance):
    """READ's result, once two readings in a row are within TOLERANCE: the kernel frees memory in the background."""
    seen = [read()]

    def steady():
        seen.append(read())
        return abs(seen[-1] - seen[-2]) <= tolerance

    with contextlib.suppress(TimedOut):
        poll_until(steady, 5, interval=0.3)
    return seen[-1]


def bare_sockets_kib(bench, count):
    """The kernel's memory for one connection on the host's loopback, both its ends."""
    before = settled(kernel_memory_kib, 100)
    with kept_connections(bench.host, f"127.0.0.1:{bench.loopback_http}", count):
        held = settled(kernel_memory_kib, 100)
    return (held - before) / count


def measure_idle(forwarder, count, bare):
    """{figure: a connection's share}. The kernel's share is the growth, less the cost of client and guest alone."""
    processes = forwarder.processes()
    kernel = settled(kernel_memory_kib, 100)
    user = processes.memory_kib()
    descriptors, pipes = processes.descriptors()
    with kept_connections(forwarder.host, forwarder.address(HTTP), count, forwarder.load_head(HTTP)):
        kernel = settled(kernel_memory_kib, 100) - kernel
        user = processes.memory_kib() - user
        after, pipes_after = processes.descriptors()
    pipe_ends = (pipes_after - pipes) / count
    found = {
        "idle user KiB": user / count,
        "idle kernel KiB": kernel / count - bare + pipe_ends / 2 * PIPE_KIB,
        "idle descriptors": (after - descriptors) / count,
        "idle pipes": pipe_ends / 2,
    }
    found["idle KiB"] = found["idle user KiB"] + found["idle kernel KiB"]
    return found


def run_idle(plan, bench, sandbox, results, say):
    """Measures each forwarder alone and freshly started: after a load it would keep memory and reuse it."""
    for number in range(plan.idle_rounds):
        say(f"  memory of idle connections, {number + 1} of {plan.idle_rounds}")
        bare = bare_sockets_kib(bench, plan.idle)
        results.add("tap", "two bare sockets", "idle kernel KiB", bare)
        for make in (Weft, *PEERS):
            forwarder = make(bench, sandbox)
            try:
                if make is Weft:
                    bench.restart_weftd()
                forwarder.start()
                count = plan.idle // 5 if make.name == "socat x2" else plan.idle
                for what, value in measure_idle(forwarder, count, bare).items():
                    results.add("tap", make.name, what, value)
            except (LoadFailed, TimedOut) as error:
                results.fail("tap", make.name, "idle", error)
            finally:
                forwarder.stop()


# ---- Clients that come before the guest listens ----


def listen_late(guest, client, delay):
    """The guest begins to listen after DELAY seconds and sends one byte to each connection; a probe may connect and leave, too.
    Returns the seconds from listen() to that byte at CLIENT, or None if the client's connection ended instead."""
    time.sleep(delay)
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(guest.listen(LATE))
        begun = time.monotonic()
        while time.monotonic() < begun + 5:
            ready, _, _ = select.select([listener, client], [], [], 5)
            if client in ready:
                with contextlib.suppress(OSError):
                    return time.monotonic() - begun if client.recv(1) else None
                return None
            if listener in ready:
                accepted = opened.enter_context(listener.accept()[0])
                with contextlib.suppress(OSError):
                    accepted.send(b"!")
    return None


def run_held(plan, bench, results, say):
    """Weft holds its clients while the sandbox is not ready. The peers get the same clients, and each result says how it ended."""
    say("  clients that come before the guest listens")
    late = TapGuest(bench, "late", {"ports": [HTTP, SINK, SOURCE, LATE], "ready_port": LATE}, ())
    chance = random.Random(1)
    weft = Weft(bench, late.sandbox)
    for _ in range(plan.held):
        bench.weftd.api.wait("late", "attached")
        with bench.host.connect("127.0.0.1", int(weft.address(LATE).rsplit(":", 1)[1])) as client:
            seconds = listen_late(late.guest, client, chance.uniform(0.05, 0.3))
        if seconds is None:
            results.fail("tap", "weft", "held", "the client was not held")
        else:
            results.add("tap", "weft", "held ms", seconds * 1000)
        late.guest.close_tap()
        bench.weftd.api.wait("late", "detached")
        late.guest.open_tap()
    for make in PEERS:
        forwarder = make(bench, late.sandbox)
        try:
            forwarder.start()
            with bench.host.connect("127.0.0.1", forwarder.listen_port(LATE)) as client:
                seconds = listen_late(late.guest, client, 0.2)
            if seconds is not None:
                results.add("tap", make.name, "held ms", seconds * 1000)
        except (OSError, RuntimeError) as error:
            results.fail("tap", make.name, "held", error)
        finally:
            forwarder.stop()
    late.vmm.close()


# ---- Everything ----


def wait_reachable(forwarder, port):
    def answers():
        with contextlib.suppress(OSError), forwarder.host.connect("127.0.0.1", port, timeout=2) as probe:
            probe.send(b"GET /health HTTP/1.1\r\n\r\n")
            return bool(probe.recv(1))
        return False

    poll_until(answers, 10, what=f"an answer through {forwarder.name}")


def run(plan, say):
    """Runs all measurements. Returns (results, {forwarder: its setup})."""
    results = Results()
    raise_descriptor_limit()
    bench = Bench(loopback=True)
    try:
        bench.on_close(serve_on_loopback(bench))
        body = {"ports": [HTTP, SINK, SOURCE, LATE], "ready_port": HTTP}
        guest = TapGuest(bench, "tap", body, SERVERS)
        bench.weftd.api.wait("tap", "ready")
        say("behind a TAP")
        run_idle(plan, bench, guest.sandbox, results, say)
        run_held(plan, bench, results, say)
        notes = run_kind(plan, bench, guest, results, say)
        loopback.run(run_rounds, plan, bench, guest, results, say)
        if "veth" in plan.rounds:
            say("behind a veth")
            guest = VethGuest(bench, "veth", body, SERVERS)
            bench.weftd.api.wait("veth", "ready")
            run_kind(plan, bench, guest, results, say)
    finally:
        bench.close()
    return results, notes


def run_kind(plan, bench, guest, results, say):
    forwarders = []
    kinds = [(make, "host") for make in (Weft, *PEERS, KernelDnat)]
    if guest.kind == "tap":
        kinds += [(WeftKernel, "host"), *((make, "inside") for make in MOVABLE)]
    try:
        for make, path in kinds:
            forwarder = make(bench, guest.sandbox, path)
            forwarders.append(forwarder)
            forwarder.start()
            if make is not KernelDnat:
                wait_reachable(forwarder, int(forwarder.address(HTTP).rsplit(":", 1)[1]))
        run_rounds(plan, guest.kind, forwarders, results, say)
        return {forwarder.name: forwarder.note() for forwarder in forwarders}
    finally:
        for forwarder in forwarders:
            forwarder.stop()


def serve_on_loopback(bench):
    """An HTTP server on the host itself, for comparison. Returns the function that ends it."""
    bench.loopback_http = bench.take_ports(1)
    process = bench.host.popen(
        [f"{build_dir()}/tests/guest/server", f"{bench.host.path},{bench.loopback_http},http,host"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    if Lines(process.stdout).next() != "ready":
        raise RuntimeError("tests/guest/server does not start")

    def end():
        process.stdin.close()
        process.stdout.close()
        process.wait(10)

    return end
