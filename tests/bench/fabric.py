# SPDX-License-Identifier: GPL-2.0-or-later
"""The fabric: the cost of making and removing sandboxes, compared with the ways people use without weft, and at scale.

Small numbers first, in rounds, each on one host: claims from a pool, cold slots, bursts, the script, the CNI plugins. Then one
host grows: each level measures claims, cold slots, removals, rules and memory. The top level also measures restarts, the kernel
path of all sandboxes at once, and the removal of all sandboxes while others are registered.
"""

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from dataclasses import dataclass
from functools import partial

from harness.api import Api
from harness.daemon import build_dir
from harness.guests import Vmm
from harness.netns import inside
from harness.wait import poll_until

from measure import LoadFailed, Processes, load, median, percentile, raise_descriptor_limit
from results import Results
from topology import Bench, TapGuest

BODY = '{"ports": [49983]}'
CALLERS = 32
PROBE_PORT = 49983
_SO_RCVBUFFORCE = 33  # missing in Python's socket module
_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slot-script")


@dataclass(frozen=True)
class Plan:
    """Amounts and repetitions."""

    rounds: int
    claims: int  # from the pool, by one caller and by many
    cold: int
    lots: int  # removed by many callers at once
    slow: int  # slots of the script and of the plugins, one by one
    levels: tuple  # numbers of live sandboxes

    @classmethod
    def full(cls):
        return cls(rounds=5, claims=500, cold=48, lots=128, slow=8, levels=(10, 100, 1000, 3000, 4000))

    @classmethod
    def quick(cls):
        return cls(rounds=1, claims=100, cold=16, lots=64, slow=3, levels=(10, 100, 300))


class Caller:
    """Calls on one daemon's control socket by tests/bench/callers. No sandbox number is used twice."""

    def __init__(self, bench, prefix="b"):
        self.bench = bench
        self.prefix = prefix
        self.next = 1

    def _call(self, method, first, count, at_once, body=""):
        argv = [os.path.join(build_dir(), "tests/bench/callers"), self.bench.weftd.socket, method, self.prefix]
        argv += [str(first), str(count), str(at_once), body]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise LoadFailed(f"{method} of {count}, {at_once} at once: {done.stdout[:60]} {done.stderr[-300:]}")
        summary, samples = done.stdout.splitlines()
        return float(summary.rsplit("=", 1)[1]), [float(sample) / 1000 for sample in samples.split()]

    def add(self, count, at_once=1, body=BODY):
        """(first number, seconds for all, [ms of each])."""
        first = self.next
        self.next += count
        return (first, *self._call("PUT", first, count, at_once, body))

    def patch(self, first, count, body, at_once=1):
        """(seconds for all, [ms of each])."""
        return self._call("PATCH", first, count, at_once, body)

    def remove(self, first, count, at_once=1):
        """(seconds for all, [ms of each])."""
        return self._call("DELETE", first, count, at_once)

    def settle(self, ready, limit=60):
        """Waits until the pool has READY slots and all teardown is done."""

        def quiet():
            pool = self.bench.weftd.api.status()["pool"]
            return pool["ready"] >= ready and not pool["deleting"] and not pool["quarantined"]

        poll_until(quiet, limit, what=lambda: f"the pool to settle: {self.bench.weftd.api.status()}")


def config(pool):
    return {"pool": {"size": pool, "quarantine": "100ms"}, "forwarder": {"default_listen": ""}}


def set_pool(bench, size):
    """Reloads by HUP, as an operator would."""
    bench.weftd.write_config(config(size))
    bench.weftd.signal(1)  # SIGHUP
    poll_until(lambda: bench.weftd.api.status()["pool"]["target"] == size, 10, what=f"a pool of {size}")
    Caller(bench).settle(size)


def attempt(results, what, function, *arguments):
    """Calls FUNCTION. If it cannot be measured, the results note that, and the other measurements go on."""
    try:
        function(*arguments)
    except (LoadFailed, AssertionError, OSError, subprocess.SubprocessError) as error:
        results.fail("fabric", what, function.__name__, error)


# ---- Small numbers, in rounds ----


def slots_of_others(host, folder, way, verb, count, how, first):
    """Milliseconds of each slot (HOW: "one"), or of all together ("all"), made or removed by WAY: "script" or "cni"."""
    env = {**os.environ, "SLOT_FOLDER": folder}
    done = host.run([_SCRIPT, way, verb, first, count, how], env=env, timeout=120)
    return [int(line) / 1000 for line in done.stdout.split()]


def round_of_weft(plan, warm, cold, results):
    caller = warm.caller
    for at_once in (1, CALLERS):
        caller.settle(plan.claims)
        first, seconds, samples = caller.add(plan.claims, at_once)
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            results.add("claim", "weft", f"{at_once} at once {name} ms", percentile(samples, share))
        results.add("claim", "weft", f"{at_once} at once each ms", seconds * 1000 / plan.claims)
        caller.remove(first, plan.claims, CALLERS)

    caller = cold.caller
    first, _, samples = caller.add(plan.cold)
    results.add("one slot", "weft", "cold ms", median(samples))
    _, samples = caller.remove(first, plan.cold)
    results.add("one slot", "weft", "remove ms", median(samples))
    first, _, _ = caller.add(plan.lots, 4)
    seconds, _ = caller.remove(first, plan.lots, CALLERS)
    results.add("one slot", "weft", "remove in lots ms", seconds * 1000 / plan.lots)
    first, seconds, _ = caller.add(20, 20)
    results.add("burst", "weft cold", "20 at once ms", seconds * 1000)
    caller.remove(first, 20, 20)
    caller.settle(0)


def round_of_bursts(bench, results):
    """Bursts from a pool of 32, full before each."""
    caller = bench.caller
    for count in (20, 100):
        caller.settle(32)
        first, seconds, _ = caller.add(count, count)
        results.add("burst", "weft, pool of 32", f"{count} at once ms", seconds * 1000)
        caller.remove(first, count, CALLERS)


def round_of_others(plan, bench, results):
    for way in ("script", "cni"):
        made = slots_of_others(bench.host, bench.folder, way, "add", plan.slow, "one", 1)
        gone = slots_of_others(bench.host, bench.folder, way, "del", plan.slow, "one", 1)
        results.add("one slot", way, "cold ms", median(made))
        results.add("one slot", way, "remove ms", median(gone))
        made = slots_of_others(bench.host, bench.folder, way, "add", 20, "all", 101)
        gone = slots_of_others(bench.host, bench.folder, way, "del", 20, "all", 101)
        results.add("burst", way, "20 at once ms", made[0])
        results.add("one slot", way, "remove in lots ms", gone[0] / 20)


def run_small(plan, results, say):
    with contextlib.ExitStack() as stack:
        benches = []
        for pool in (plan.claims, 0, 32, None):
            bench = Bench(config(pool or 0), daemon=pool is not None)
            bench.caller = Caller(bench)
            stack.callback(bench.close)
            benches.append(bench)
        warm, cold, burst, others = benches
        for number in range(plan.rounds):
            say(f"  round {number + 1} of {plan.rounds}")
            attempt(results, "weft", round_of_weft, plan, warm, cold, results)
            attempt(results, "weft, pool of 32", round_of_bursts, burst, results)
            attempt(results, "script and cni", round_of_others, plan, others, results)


# ---- One host that grows ----


def rules_on_host(bench):
    return sum("rule" in item for item in bench.host.json(["nft", "-j", "list", "ruleset"]).get("nftables", []))


def measure_path(bench, guest, level, results):
    """A request and its answer over the kernel path, and the first packets of new connections, one at a time."""
    address = f"{guest.sandbox['host_ip']}:{PROBE_PORT}"
    for _ in range(7):  # the scheduler's placement of the four processes involved matters more than the network
        seen = load(bench.host, "requests", address, 0.3, 1)
        results.add("scale", f"{level} live", "kernel path us", seen["p500_us"])
        seen = load(bench.host, "connections", address, 500, 1)
        results.add("scale", f"{level} live", "new connection us", seen["p500_us"])


def rest(bench):
    """Waits until the daemon has finished the work after making many slots: it looks at each once more."""
    daemon = Processes([bench.weftd.pid])
    used = [daemon.cpu_seconds()]

    def idle():
        used.append(daemon.cpu_seconds())
        return used[-1] - used[-2] < 0.025

    poll_until(idle, 60, what="weftd to be at rest", interval=0.5)


def measure_level(bench, caller, live, level, results):
    name = f"{level} live"
    there = sum(bench.weftd.api.status()["sandboxes"].values())
    if there < level:
        live.add(level - there, 4)
    rest(bench)
    results.add("scale", name, "daemon MiB", Processes([bench.weftd.pid]).memory_kib() / 1024)
    results.add("scale", name, "host rules", rules_on_host(bench))
    # On its first time with so many, the kernel takes memory that was never touched, which costs as much as a slot again.
    for what in ("cold, new memory ms", "cold ms"):
        first, _, samples = caller.add(32)
        results.add("scale", name, what, median(samples))
        if what != "cold ms":
            caller.remove(first, 32, CALLERS)
            rest(bench)
    _, samples = caller.remove(first, 16)
    results.add("scale", name, "remove ms", median(samples))
    seconds, _ = caller.remove(first + 16, 16, 16)
    results.add("scale", name, "remove in lots ms", seconds * 1000 / 16)
    set_pool(bench, 64)
    rest(bench)
    first, _, samples = caller.add(64)
    results.add("scale", name, "claim p50 ms", percentile(samples, 0.5))
    results.add("scale", name, "claim p99 ms", percentile(samples, 0.99))
    caller.remove(first, 64, CALLERS)
    set_pool(bench, 0)


def measure_restart(bench, level, results, how):
    """From the program's start to an answer on its socket, and until all live sandboxes are adopted."""
    weftd = bench.weftd
    (weftd.kill if how == "killed" else weftd.stop)()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(weftd.socket)
    begun = time.monotonic()
    weftd.spawn()
    poll_until(lambda: _answers(weftd.api), 30, what="the socket to answer", interval=0.001)
    results.add("restart", f"{how}, {level} live", "socket answers ms", (time.monotonic() - begun) * 1000)
    poll_until(lambda: weftd.api.status()["state"] == "running", 60, what="adoption", interval=0.005)
    results.add("restart", f"{how}, {level} live", "all adopted s", time.monotonic() - begun)
    live = sum(weftd.api.status()["sandboxes"].values())
    if live != level:
        results.fail("restart", how, "adopted", f"{live} of {level} sandboxes are left")


def _answers(api: Api):
    try:
        return api.get("/healthz").status == 200
    except OSError:
        return False


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_round(bench, addresses, limit=10):
    """Sends each address one ICMP echo request, and returns (how many answered, seconds until the last did)."""
    raw = inside(bench.host.path, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    with raw:
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        raw.settimeout(0.5)
        missing = set(addresses)
        begun = last = time.monotonic()

        def receive():
            nonlocal last
            while missing and time.monotonic() < begun + limit:
                with contextlib.suppress(socket.timeout):
                    packet, sender = raw.recvfrom(2048)
                    if packet[20] == 0 and sender[0] in missing:
                        missing.discard(sender[0])
                        last = time.monotonic()

        receiver = threading.Thread(target=receive)
        receiver.start()
        for number, address in enumerate(addresses):
            head = struct.pack("!BBHHH", 8, 0, 0, 1, number & 0xFFFF)
            raw.sendto(struct.pack("!BBHHH", 8, 0, _checksum(head), 1, number & 0xFFFF), (address, 0))
        receiver.join()
    return len(addresses) - len(missing), last - begun


def _ready(api, wanted):
    return api.status()["sandboxes"].get("ready", 0) >= wanted


def measure_all_answer(bench, level, results, say):
    """A guest behind every sandbox, and one round of echo requests to all of them."""
    sandboxes = [one for one in bench.weftd.api.list() if one["state"] == "waiting"]
    say(f"  {len(sandboxes)} guests")
    paths = [bench.host.file(one["netns_path"]) for one in sandboxes]
    vmm = Vmm(bench.host, paths, ["--gateway-mac", "02:FC:00:00:00:06"])
    try:
        everyone = [one["host_ip"] for one in bench.weftd.api.list()]
        wanted = len(everyone)
        all_ready = partial(_ready, bench.weftd.api, wanted)
        poll_until(all_ready, 60, what=f"{wanted} carriers to be seen", interval=0.1)
        say("  one round of echo requests to all")
        echo_round(bench, everyone, 3)  # the kernel lets packets through a link a moment after its carrier
        answered, seconds = echo_round(bench, everyone)
        results.add("scale", f"{level} live", "answered share", answered / wanted)
        results.add("scale", f"{level} live", "all answered s", seconds)
    finally:
        vmm.close()


def measure_removal_of_all(bench, caller, live, level, results):
    """Removes all sandboxes by 32 callers at once, while one more caller registers."""
    set_pool(bench, 64)
    outcome = []
    remover = threading.Thread(target=lambda: outcome.append(live.remove(1, live.next - 1, CALLERS)))
    remover.start()
    time.sleep(0.1)  # well into the removal
    claimed, _, samples = caller.add(48)
    remover.join()
    caller.remove(claimed, 48, CALLERS)
    if not outcome:
        raise LoadFailed("the removal of all failed")
    results.add("scale", f"{level} live", "claim while all go, worst ms", max(samples))
    results.add("scale", f"{level} live", "remove all, each ms", outcome[0][0] * 1000 / (live.next - 1))


def run_scale(plan, results, say):
    top = plan.levels[-1]
    bench = Bench(config(0))
    try:
        caller, live = Caller(bench), Caller(bench, "live")
        results.add("scale", "0 live", "daemon MiB", Processes([bench.weftd.pid]).memory_kib() / 1024)
        guest = TapGuest(bench, "probe", {"ports": [PROBE_PORT]}, (f"{PROBE_PORT},http,probe",))
        results.add("scale", "0 live", "host rules", rules_on_host(bench))
        measure_path(bench, guest, 1, results)
        for level in plan.levels:
            say(f"  {level} live")
            attempt(results, f"{level} live", measure_level, bench, caller, live, level, results)
        measure_path(bench, guest, top, results)
        say("  restarts")
        for how in ("stopped", "killed"):
            measure_restart(bench, top, results, how)
        attempt(results, f"{top} live", measure_all_answer, bench, top, results, say)
        say("  all go")
        attempt(results, f"{top} live", measure_removal_of_all, bench, caller, live, top, results)
        guest.vmm.close()
        bench.weftd.api.unregister("probe")
        set_pool(bench, 0)
        bench.weftd.stop()
        done = bench.weftd.run("--cleanup", timeout=120)
        links = [name for name in bench.host.links() if name.startswith("veth-")]
        left = len(bench.host.netns_names()) + len(links) + bool(done.returncode)
        results.add("scale", f"{top} live", "left behind", left)
    finally:
        bench.close()


def run(plan, say):
    """Runs all measurements: {measurement: {subject or level: {figure: [values]}}}."""
    raise_descriptor_limit()
    results = Results()
    say("a few sandboxes")
    run_small(plan, results, say)
    say("many sandboxes on one host")
    run_scale(plan, results, say)
    return results
