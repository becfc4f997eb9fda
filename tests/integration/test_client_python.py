# SPDX-License-Identifier: GPL-2.0-or-later
"""clients/python against weftd: each call, for both clients, and what a restart in the midst of each does to it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from harness.wait import PATIENCE, Lines, poll_until

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "clients", "python")
sys.path[:0] = [os.path.join(CLIENT, "src"), os.path.join(CLIENT, "tests")]

import weft  # noqa: E402
from standin import CLIENTS  # noqa: E402


def both(daemon, **options):
    options = {"timeout": 2 * PATIENCE, "patience": 2 * PATIENCE, **options}
    return {name: kind(daemon.socket, **options) for name, kind in CLIENTS.items()}


def until(events, kind):
    """The events up to the first of this type, in which nothing may be lost on the way."""
    seen = []
    while not seen or seen[-1].type != kind:
        seen.append(next(events))
    return seen


def life(client, name, guest):
    """The whole life of a sandbox, by way of all calls."""
    asked = weft.Registration(
        ports=[7, weft.Port(53, proto="udp"), weft.Port(8080, listen="localhost:18080", proxy_protocol="v2")],
        ready_port=7,
        tap_owner=weft.TapOwner(1, 2),
        egress=weft.Egress(internet=False, allow=["198.51.100.0/24", weft.EgressRule("203.0.113.7/32", "tcp", [5432, "8000-8099"])], deny=[]),
        bandwidth=weft.Bandwidth(to_guest=weft.Rate(10**9, 10**6)),
        limits=weft.Limits(connections=100, idle_ms=60000),
        labels={"template": "base", "of": name},
        name=f"{name}-name",
    )
    with client.events() as events:
        until(events, "snapshot-end")
        made = client.register(name, asked)
        assert (made.id, made.name, made.state, made.labels) == (name, f"{name}-name", "waiting", asked.labels)
        assert (made.tap_owner, made.limits.connections) == (asked.tap_owner, 100)
        assert (made.egress.internet, made.egress.allow, made.bandwidth.to_guest) == (False, asked.egress.allow, asked.bandwidth.to_guest)
        assert made.endpoint(8080).addresses == [("127.0.0.1", 18080), ("::1", 18080)]
        assert client.register(name, asked).registered_at == made.registered_at
        with pytest.raises(weft.Conflict, match="ready_port"):
            client.register(name)
        assert [one.id for one in client.list(state="waiting", labels={"of": name, "template": "base"})] == [name]
        assert client.list(labels={"of": "nobody"}) == []

        with pytest.raises(weft.WaitTimeout):
            client.wait(name, "attached", timeout=0)
        vmm = guest(made.netns)
        vmm.serve("7,echo")
        assert client.wait(f"{name}-name", "ready", PATIENCE).id == name
        seen = until(events, "state")
        while seen[-1].to != "ready":
            seen += until(events, "state")
        assert {one.sandbox for one in seen} == {name} and "registered" in {one.type for one in seen}

        diagnosis = client.diagnose(name, destination="203.0.113.1")
        assert {hop.hop: hop.status for hop in diagnosis.hops}["tap"] == "ok"
        assert client.diagnose(name, last=True).measured_at == diagnosis.measured_at
        assert client.reach(name, "203.0.113.7", 8001, "tcp").allowed
        assert not client.reach(name, "203.0.113.7", 8001, 17).allowed
        assert client.connections(name) == []
        assert client.rates(sandbox=name).interval_ms > 0
        assert client.rates(since=1).points > 0

        assert client.patch(name, weft.Patch(paused=True)).state == "paused"
        assert client.patch(name, weft.Patch(paused=False, flows="reset", publish=[9], unpublish=["53/udp"], name="")).name is None
        until(events, "renamed")
        with pytest.raises(weft.BadRequest) as caught:
            client.patch(name, weft.Patch(publish=[0]))
        assert caught.value.field == "/publish/0"
        changed = client.patch(name, weft.Patch(egress=weft.Egress(isolated=True, dscp=8)))
        assert (changed.egress.isolated, changed.egress.dscp, client.reach(name, "203.0.113.7", 8001).rule) == (True, 8, "isolated")
        assert changed.endpoint(9) and not changed.endpoint(53, "udp")
        asleep = client.patch(name, weft.Patch(paused=True, wake=weft.Wake(["53/udp"], min_awake_ms=0), idle_report_ms=60000))
        assert (asleep.state, asleep.wake.ports, asleep.wake.asked_at, asleep.idle_report_ms) == ("paused", ["53/udp"], None, 60000)
        assert client.wake(name).wake.by == "api"
        assert until(events, "wake")[-1].via == "api"
        assert [one.id for one in client.list(wake="asked")] == [name]
        assert client.patch(name, weft.Patch(wake=weft.NEVER, paused=False)).wake is None
        with pytest.raises(weft.Conflict):
            client.wake(name)
        assert client.status().sandboxes["ready"] + client.status().sandboxes["attached"] >= 1
        assert client.status().api == weft.API_VERSION
        assert client.health() == "ok\n"
        assert f'weft_sandbox_info{{sandbox="{name}"' in client.metrics() or "weft_sandboxes" in client.metrics()
        assert "ip_forward" in {finding.check for finding in client.doctor().findings}
        assert client.doctor(last=True).measured_at is not None

        assert client.unregister(name, drain=0.5).state == "draining"
        until(events, "unregistered")
        with pytest.raises(weft.NotFound) as caught:
            client.get(name)
        assert (caught.value.status, caught.value.field) == (404, "id")


def test_every_call_of_both_clients(daemon, host, guest):
    for name, client in both(daemon).items():
        life(client, name, lambda netns: guest(netns))


class Caller(threading.Thread):
    """Makes calls until it is told to end; `error` is what made it end before."""

    def __init__(self, name, call):
        super().__init__(name=name)
        self.call = call
        self.done = 0
        self.error = None
        self._ends = threading.Event()
        self.start()

    def run(self):
        try:
            while not self._ends.is_set():
                self.call(self.done)
                self.done += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def went_on(self, since):
        assert self.error is None, f"{self.name}: {self.error!r}"
        return self.done > since

    def end(self):
        self._ends.set()
        self.join(4 * PATIENCE)
        assert self.error is None, f"{self.name}: {self.error!r}"


def callers(client, kind):
    """A caller for each kind of call, with a sandbox of its own where it changes one."""
    own = f"{kind}-own"
    client.register(own, weft.Registration(labels={"n": "0"}))

    def patch(n):
        assert client.patch(own, weft.Patch(labels={"n": str(n)})).labels == {"n": str(n)}

    def come_and_go(_n):
        client.register(f"{kind}-short", weft.Registration(ports=[7]))
        client.unregister(f"{kind}-short")

    calls = {
        "register": lambda n: client.register(f"{kind}-{n % 3}", weft.Registration(name=f"{kind}-name-{n % 3}")),
        "patch": patch,
        "come and go": come_and_go,
        "list": lambda _n: client.list()[0].id,
        "get": lambda _n: client.get(own).id,
        "diagnose": lambda _n: client.diagnose("waited"),  # one that is being changed could be answered with 503
        "reach": lambda _n: client.reach("waited", "198.51.100.1"),
        "status": lambda _n: client.status(),
    }
    return [Caller(f"{kind}: {name}", call) for name, call in calls.items()]


def test_a_restart_in_the_midst_of_each_call_is_not_noticed(weftd, guest):
    daemon = weftd(config={"pool": {"size": 4, "quarantine": "0s"}})
    clients = both(daemon)
    made = clients["blocking"].register("waited", weft.Registration(ports=[7]))
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(client.events("waited")) for client in clients.values()]
        boots = [until(stream, "snapshot-end")[-1].boot for stream in streams]
        started = []
        for kind, client in clients.items():
            started += callers(client, kind)
            started.append(Caller(f"{kind}: wait", lambda n, one=client: n or one.wait("waited", "attached", 4 * PATIENCE)))
        try:
            for end in (daemon.stop, daemon.kill):
                before = [one.done for one in started]
                poll_until(lambda: all(one.went_on(done) for one, done in zip(started, before) if "wait" not in one.name), 2 * PATIENCE)
                end()
                daemon.start()
            before = [one.done for one in started]
            poll_until(lambda: all(one.went_on(done) for one, done in zip(started, before) if "wait" not in one.name), 2 * PATIENCE)
            guest(made.netns)
            poll_until(lambda: all(one.went_on(0) for one in started), 2 * PATIENCE)
        except BaseException:
            daemon.api.request("DELETE", "/v1/sandboxes/waited")  # lets those that wait go
            raise
        finally:
            for one in started:
                one.end()
        for stream, boot in zip(streams, boots):
            seen = until(stream, "snapshot")
            # The stream was not read meanwhile, so the snapshot may be of the last run, and say so itself.
            while seen[-1].to != "attached" and (seen[-1].object is None or seen[-1].object.state not in ("attached", "ready")):
                seen.append(next(stream))
            assert seen[-1].boot != boot and seen[-1].sandbox == "waited"
    for kind, client in clients.items():
        assert {one.id for one in client.list() if one.id.startswith(kind)} >= {f"{kind}-own", f"{kind}-0"}


def test_weftd_is_away_and_says_so(daemon, folder):
    os.chmod(daemon.socket, 0)
    for client in both(daemon, patience=0).values():
        client.register("a1")
    for kind in CLIENTS.values():
        with pytest.raises(weft.Unreachable):
            kind(f"{folder}/weftd.conf", patience=0).status()
        with pytest.raises(weft.Unreachable):
            kind(f"{folder}/none", patience=0).status()


def test_a_wait_ends_with_its_sandbox(daemon):
    for name, client in both(daemon).items():
        client.register(name)
        error = []

        def waiting(client=client, name=name, error=error):
            try:
                client.wait(name, "ready", PATIENCE)
            except weft.WeftError as caught:
                error.append(caught)

        thread = threading.Thread(target=waiting)
        thread.start()
        client.unregister(name)
        thread.join()
        assert isinstance(error[0], (weft.Gone, weft.NotFound, weft.Conflict))


def test_it_is_installed_by_pip_and_the_example_runs(daemon, folder, guest):
    source, target = f"{folder}/source", f"{folder}/site"
    shutil.copytree(CLIENT, source, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index", "--target", target, source],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert os.path.exists(f"{target}/weft/py.typed")
    seen = []

    @contextlib.contextmanager
    def example(*options):
        argv = [sys.executable, f"{source}/example.py", "--socket", daemon.socket, *options]
        environment = {**os.environ, "PYTHONPATH": target, "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        said = Lines(process.stdout)

        def until_said(text):
            while text not in (line := said.next()):
                seen.append(line)

        try:
            yield process, until_said
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    with example("--port", "7", "ex1") as (process, until_said):
        until_said("Start the VM")
        guest("ns-1").serve("7,echo")
        until_said("ex1 is ready")
        daemon.stop()
        daemon.start()
        daemon.api.patch("ex1", {"paused": True})
        until_said("is paused")
        process.send_signal(signal.SIGINT)
        until_said("ex1 is gone")
        assert process.wait(PATIENCE) == 0
    assert daemon.api.list() == [] and any("has tap0 in /run/netns/ns-1" in line for line in seen)
    with example("--patience", "0", "ex2") as (process, until_said):
        until_said("No guest yet.")
        until_said("no VM is attached")
        for _ in range(2):  # however often it is asked
            process.send_signal(signal.SIGTERM)
        until_said("ex2 is gone")
        assert process.wait(PATIENCE) == 0
    assert daemon.api.list() == []
