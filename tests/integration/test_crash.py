# SPDX-License-Identifier: GPL-2.0-or-later
"""kill -9 at any instant, under load: the next start finishes or undoes half-done work, and loses and leaves nothing.

The service manager, a stand-in here, has every socket that listens meanwhile, and none that was closed.

WEFT_KILLS sets the number of kills (24 by default; a thousand take about twenty minutes), WEFT_SEED repeats a run's choices.
"""

import os
import random
import re
import statistics
import threading
import time

import pytest

from harness.flow import Flow
from harness.wait import poll_until

KILLS = int(os.environ.get("WEFT_KILLS", "24"))
SEED = int(os.environ.get("WEFT_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
WORKERS = 4
IDS_A_WORKER = 3
POOL = 4
BURST = 0.25  # seconds at most between a start and the next kill


class Expected:
    """The known state of one sandbox: certain after an answer, one of several if no answer came."""

    def __init__(self, name):
        self.name = name
        self.present = False  # True, False, or None: either
        self.versions = set()  # its label "v" is one of these, if it is there
        self.paused = {False}
        self.fixed = None  # slot and automatic ports, which never change

    def learn(self, shown):
        """Checks the daemon's view after a start against the possible states, and takes it as known from now on."""
        if shown is None:
            assert self.present is not True, f"{self.name} was registered, and is lost"
            self.__init__(self.name)
            return
        assert self.present is not False, f"{self.name} was unregistered, and is back: {shown}"
        version, paused = shown["labels"]["v"], shown["state"] == "paused"
        fixed = fixed_of(shown)
        assert version in self.versions, f"{self.name}: {version} was never asked for, but {self.versions}"
        assert paused in self.paused, f"{self.name}: paused is {paused}, but {self.paused}: {shown}"
        assert self.fixed in (None, fixed), f"{self.name}: {self.fixed} has become {fixed}"
        self.present, self.versions, self.paused, self.fixed = True, {version}, {paused}, fixed


def fixed_of(shown):
    first = next(one for one in shown["endpoints"] if one["guest_port"] == 49983)
    return shown["slot"], tuple(first["listen"])


class Worker(threading.Thread):
    """Registers, patches and unregisters sandboxes of its own, one request at a time, whether or not a daemon answers."""

    def __init__(self, api, number, seed):
        super().__init__(daemon=True)
        self.api = api
        self.number = number
        self.random = random.Random(seed)
        self.expected = [Expected(f"w{number}-{n}") for n in range(IDS_A_WORKER)]
        self.version = 0
        self.answered = 0
        self.problem = None
        self.gate = threading.Lock()  # held during a request, and by Quiet
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.is_set():
                with self.gate:
                    self.step(self.random.choice(self.expected))
                self.ending.wait(0.001)  # gives Quiet its chance
        except Exception as error:  # pylint: disable=broad-except
            self.problem = error

    def call(self, method, one, body=None):
        """The reply; None if the daemon ended before it answered."""
        try:
            reply = self.api.request(method, f"/v1/sandboxes/{one.name}", body=body, timeout=60)
        except (OSError, EOFError):
            return None
        except Exception as error:
            # The connection broke within the answer.
            assert type(error).__module__ == "http.client", error
            return None
        self.answered += 1
        return reply

    def step(self, one):
        self.version += 1
        kind = self.random.random()
        if one.present is False or kind < 0.2:
            self.register(one, str(self.version))
        elif kind < 0.7:
            self.patch(one, str(self.version))
        else:
            self.unregister(one)

    def register(self, one, version):
        ports = [49983, {"guest_port": 80, "listen": self.address(one), "via": "nat"}]
        egress = {"internet": self.random.random() < 0.5, "allow": ["203.0.113.0/24"], "deny": []}
        before = one.present
        paused = set(one.paused)
        if before is not True:
            # It may be a new one in place of one whose removal had no answer, and then it is not paused.
            one.present = None
            one.versions.add(version)
            one.paused.add(False)
        reply = self.call("PUT", one, {"ports": ports, "egress": egress, "labels": {"v": version}})
        if reply is None or reply.status == 503:
            return
        assert reply.status in (200, 201, 409), reply
        if reply.status == 409:
            assert before is not False, reply
            one.paused = paused
            if before is not True:
                one.versions.discard(version)
            return
        fixed = fixed_of(reply.body)
        if reply.status == 201:
            assert before is not True, f"{one.name} was lost: {reply}"
        else:
            assert one.fixed in (None, fixed), (one.name, one.fixed, fixed)
        one.present, one.versions, one.paused, one.fixed = True, {version}, {False}, fixed

    def address(self, one):
        return f"192.0.2.2:{30000 + self.number * 10 + self.expected.index(one)}"

    def patch(self, one, version):
        body = {"labels": {"v": version}}
        choice = self.random.random()
        if choice < 0.3:
            body["paused"] = self.random.random() < 0.5
        elif choice < 0.6:
            body["egress"] = {"internet": True, "deny": [f"198.51.{self.random.randrange(100)}.0/24"]}
        elif choice < 0.8:
            body["publish"] = [8080]
        paused = set(one.paused)
        one.versions.add(version)
        if "paused" in body:
            one.paused.add(body["paused"])
        reply = self.call("PATCH", one, body)
        if reply is None or reply.status == 503:
            return
        assert reply.status in (200, 404, 409), reply
        if reply.status == 200:
            one.present, one.versions = True, {version}
            if "paused" in body:
                one.paused = {body["paused"]}
            return
        if reply.status == 404:
            assert one.present is not True, reply
        one.versions.discard(version)
        one.paused = paused

    def unregister(self, one):
        before, one.present = one.present, None
        one.fixed = None  # if it may be gone, a new one may take its place
        reply = self.call("DELETE", one)
        if reply is None or reply.status == 503:
            return
        assert reply.status in (204, 404), reply
        assert reply.status == 204 or before is not True, f"{one.name} was lost: {reply}"
        one.__init__(one.name)


class Ports:
    """The host's TCP sockets that listen on loopback, by the kernel's table."""

    def __init__(self, host):
        self.host = host
        self.lives = {}  # of sandboxes that no worker touches: {port: inode}

    def now(self):
        """{port: inode} on 127.0.0.1."""
        bound = self.host.bound_sockets()
        return {one.port: one.inode for one in bound if (one.protocol, one.address) == ("tcp", "0100007F")}

    def keep(self, sandboxes):
        now = self.now()
        self.lives = {port: now[port] for one in sandboxes for port in loopback_ports(one)}

    def check(self):
        """While the daemon is down."""
        now = self.now()
        assert {port: now.get(port) for port in self.lives} == self.lives, "another socket, or none, has a live sandbox's port"

    def check_all(self, sandboxes):
        """While it is down, and was at rest before: just those of SANDBOXES, and the default endpoint, are open."""
        self.check()
        wanted = {port for one in sandboxes for port in loopback_ports(one)} | {49983}
        assert set(self.now()) == wanted


def loopback_ports(sandbox):
    return [
        int(text.rsplit(":", 1)[1])
        for endpoint in sandbox["endpoints"]
        for text in endpoint["listen"]
        if text.startswith("127.0.0.1:")
    ]


class Quiet:
    """A context without requests in progress."""

    def __init__(self, workers, daemon):
        self.workers = workers
        self.daemon = daemon

    def __enter__(self):
        for worker in self.workers:
            worker.gate.acquire()
        for worker in self.workers:
            if worker.problem:
                raise AssertionError(f"{self.daemon.log_tail(3000)}\nWEFT_SEED={SEED}") from worker.problem

    def __exit__(self, *_):
        for worker in self.workers:
            worker.gate.release()


def first_answer(daemon, started):
    """(seconds until the socket of a newly spawned daemon answers, the state it reports)."""

    def answer():
        assert daemon.process.poll() is None, daemon.log_tail()
        try:
            return daemon.api.get("/v1/status", timeout=60).expect(200).body["state"]
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    state = poll_until(answer, 60, interval=0.002)
    return time.monotonic() - started, state


def leftovers(host, daemon):
    """Inconsistencies in the host, as lines; empty if there are none. The daemon must be at rest."""
    status = daemon.api.status()
    sandboxes = daemon.api.list()
    lines = []
    if status["pool"] != {"ready": POOL, "target": POOL, "quarantined": 0, "deleting": 0}:
        lines.append(f"pool: {status['pool']}")
    for one in sandboxes:
        if one["state"] not in ("waiting", "paused", "ready"):
            lines.append(f"{one['id']}: {one['state']} {one['reason']}")
    names = host.netns_names()
    slots = {int(name.removeprefix("ns-")) for name in names}
    if len(slots) != len(sandboxes) + POOL or not {one["slot"] for one in sandboxes} <= slots:
        lines.append(f"namespaces {names} for {sorted(one['slot'] for one in sandboxes)} and a pool of {POOL}")
    veths = {int(name.removeprefix("veth-")) for name in host.links() if name.startswith("veth-")}
    routes = {int(n) for n in re.findall(r"^10\.11\.0\.(\d+) via", host.output(["ip", "route"]), re.MULTILINE)}
    for what, found in (("links", veths), ("routes", routes)):
        if found != slots:
            lines.append(f"{what} {sorted(found)} for the slots {sorted(slots)}")
    files = {name for name in os.listdir(daemon.state_dir) if name not in ("lock", "marks.json")}
    if files != {f"{one['slot']}.json" for one in sandboxes}:
        lines.append(f"files {sorted(files)} for {sorted(one['slot'] for one in sandboxes)}")
    published = {
        int(listen.rsplit(":", 1)[1])
        for one in sandboxes
        for endpoint in one["endpoints"]
        if endpoint["via"] == "nat"
        for listen in endpoint["listen"]
    }
    listed = host.output(["nft", "list", "map", "inet", "weft", "published"])
    if {int(port) for port in re.findall(r"192\.0\.2\.2 \. tcp \. (\d+) :", listed)} != published:
        lines.append(f"published {listed} for {sorted(published)}")
    return lines


def settle(host, daemon):
    """Waits until everything that a start has to finish is finished."""
    seen = []

    def rest():
        seen[:] = leftovers(host, daemon)
        return not seen

    poll_until(rest, 60, what=lambda: "\n".join(seen + [daemon.log_tail()]), interval=0.05)


def survivors(host, daemon, guest):
    """Two sandboxes that no worker touches, each with a flow on its kernel path."""
    names = ["live-1", "live-2"]
    sandboxes = [daemon.api.register(name, {"ports": [7], "labels": {"v": "0"}}) for name in names]
    guests = guest.many(sandboxes)
    guests[0].owner.serve([(one, "7,echo") for one in guests])
    for name in names:
        daemon.api.wait(name, "attached")
    return sandboxes, [Flow(host.connect(one["host_ip"], 7)) for one in sandboxes]


def kill_and_spawn(daemon, manager, ports):
    daemon.kill()
    ports.check()
    manager.spawn(daemon)


@pytest.mark.timeout(120 + 5 * KILLS)
def test_killed_at_any_instant(host, weftd, guest, manager):
    print(f"WEFT_SEED={SEED}")
    choose = random.Random(SEED)
    host.add_uplink()
    daemon = weftd(
        {
            "pool": {"size": POOL, "refill": 100, "quarantine": "50ms"},
            "ports": {"allow_address": "192.0.2.2"},
            "forwarder": {"stop_drain": "100ms"},
        },
        run=False,
    )
    manager.start(daemon)
    ports = Ports(host)
    lives, flows = survivors(host, daemon, guest)
    ports.keep(lives)
    workers = [Worker(daemon.api, n, choose.random()) for n in range(WORKERS)]
    answers = []
    states = []
    for worker in workers:
        worker.start()
    for kill in range(KILLS):
        threading.Event().wait(choose.random() * BURST)  # any instant
        kill_and_spawn(daemon, manager, ports)
        started = time.monotonic()
        if choose.random() < 0.3:
            # And once more, at any instant of the start itself.
            threading.Event().wait(choose.random() * 0.2)
            kill_and_spawn(daemon, manager, ports)
            started = time.monotonic()
        seconds, state = first_answer(daemon, started)
        answers.append(seconds)
        states.append(state)
        for flow in flows:
            flow.check()
        if kill % 3:
            continue  # the next kill meets a daemon that is still busy after this one
        with Quiet(workers, daemon):
            poll_until(lambda: daemon.api.status()["state"] == "running", 60)
            settle(host, daemon)
            listed = {one["id"]: one for one in daemon.api.list()}
            for worker in workers:
                for one in worker.expected:
                    one.learn(listed.pop(one.name, None))
            for one in lives:
                shown = listed.pop(one["id"])
                assert shown["state"] == "ready" and shown["endpoints"] == one["endpoints"], shown
            assert not listed
            if kill % 2:
                # Everything was answered: what is open now is what the answers said.
                shown = daemon.api.list()
                daemon.kill()
                ports.check_all(shown)
                manager.spawn(daemon)
    with Quiet(workers, daemon):
        for worker in workers:
            worker.ending.set()
    for flow in flows:
        flow.close()
    answers.sort()
    print(
        f"{KILLS} kills, {sum(worker.answered for worker in workers)} requests answered; the socket answered after "
        f"{statistics.median(answers) * 1000:.0f} ms (median), {answers[-1] * 1000:.0f} ms (worst); "
        f"{states.count('adopting')} of the first answers came while adopting; longest gap of a flow "
        f"{max(flow.longest_gap for flow in flows) * 1000:.0f} ms"
    )
    daemon.stop()
    manager.start(daemon)
    for one in daemon.api.list():
        # A sandbox that was draining at the stop is removed by this start, perhaps just before this call.
        daemon.api.unregister(one["id"], expect=(204, 404) if one["state"] == "draining" else (204,))
    settle(host, daemon)
    assert daemon.api.list() == []


def test_a_sandbox_without_answer_is_whole_or_not_there(host, weftd):
    """One registration, killed at each of many instants: a second PUT gets 200 or 201, and then no trace of the kill is left."""
    daemon = weftd()
    seen = set()
    for step in range(12):
        worker = Worker(daemon.api, 0, step)
        thread = threading.Thread(target=worker.call, args=("PUT", worker.expected[0], {"ports": [8080]}))
        thread.start()
        threading.Event().wait(step * 0.0015)
        daemon.kill()
        thread.join()
        daemon.start()
        reply = daemon.api.request("PUT", "/v1/sandboxes/w0-0", body={"ports": [8080]}).expect(200, 201)
        seen.add(reply.status)
        assert reply["slot"] == 1 and reply["state"] == "waiting"
        assert host.netns_names() == ["ns-1"]
        daemon.api.unregister("w0-0")
        poll_until(lambda: host.netns_names() == [] and "veth-1" not in host.links())
    assert 201 in seen or 200 in seen


def test_a_removal_without_answer_is_finished(host, weftd):
    daemon = weftd()
    for step in range(10):
        worker = Worker(daemon.api, 0, step)
        daemon.api.register("w0-0")
        thread = threading.Thread(target=worker.call, args=("DELETE", worker.expected[0]))
        thread.start()
        threading.Event().wait(step * 0.002)
        daemon.kill()
        thread.join()
        daemon.start()
        daemon.api.request("DELETE", "/v1/sandboxes/w0-0").expect(204, 404)
        poll_until(lambda: host.netns_names() == [] and "veth-1" not in host.links())
        assert daemon.api.list() == []


def test_connections_of_a_killed_daemon_hold_nothing_up(host, weftd, guest):
    """A dead daemon's connections inside a namespace must not keep namespace and veth alive when the sandbox is removed."""
    daemon = weftd()
    sandbox = daemon.api.register("a", {"ports": [{"guest_port": 24, "listen": "127.0.0.1:18024"}]})
    attached = guest(sandbox)
    attached.serve("24,silent")
    daemon.api.wait("a", "attached")
    clients = [host.connect("127.0.0.1", 18024) for _ in range(20)]
    for client in clients:
        client.setblocking(False)
        client.send(b"x" * 100000)
    connections = f"/v1/sandboxes/{sandbox['id']}/connections"
    poll_until(lambda: len(daemon.api.get(connections).expect(200).body["connections"]) == 20)
    inode = os.stat(host.netns("ns-1").path).st_ino
    daemon.kill()
    attached.close_tap()
    daemon.start()
    daemon.api.unregister("a")
    poll_until(lambda: "veth-1" not in host.links())
    for client in clients:
        client.close()
    # The kernel itself has freed the namespace.
    host.run(["ip", "netns", "add", "probe"])
    poll_until(lambda: f"net:[{inode}]" not in host.output(["lsns", "-t", "net", "-n", "-o", "NS"]))
    host.run(["ip", "netns", "del", "probe"])
