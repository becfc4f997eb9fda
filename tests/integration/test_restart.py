# SPDX-License-Identifier: GPL-2.0-or-later
"""Stop and start: every sandbox is kept unchanged, and traffic that passes the daemon by is not disturbed."""

import concurrent.futures
import json
import os
import re
import signal
import socket
import time

import pytest

from harness.api import endpoint_port
from harness.flow import Flow
from harness.host import difference
from harness.wait import poll_until

KEPT = (
    *("id", "name", "slot", "netns", "veth", "tap", "host_ip", "guest", "endpoints", "default", "ready_port", "labels"),
    *("registered_at", "tap_owner", "egress", "bandwidth", "limits"),
)


def kept(sandboxes):
    """The properties of each sandbox that must stay the same."""
    return {one["id"]: {key: one.get(key) for key in KEPT} for one in sandboxes}


def links_of(host, sandbox):
    """The kernel's identifiers of a sandbox's objects; they differ if any object was made anew."""
    veth = host.links()[sandbox["veth"]]
    inner = host.netns(sandbox["netns"])
    return veth["ifindex"], veth["address"], os.stat(inner.path).st_ino, inner.links()["tap0"]["ifindex"]


def rules_of(host, sandbox):
    """The namespace's rules without their counters."""
    text = host.netns(sandbox["netns"]).nft()
    return re.sub(r"packets \d+ bytes \d+", "packets N bytes N", re.sub(r" (expires|count|last used) \S+", "", text))


@pytest.fixture(params=["stop", "kill"])
def end(request):
    """Ways to end a run of the daemon."""
    return lambda daemon: getattr(daemon, request.param)()


def populate(api):
    """Registers sandboxes of all kinds."""
    return [
        api.register("plain", {"name": "plain-1"}),
        api.register("ports", {"ports": [8080, {"guest_port": 22, "listen": "127.0.0.1:18022"}, 7], "default": True}),
        api.register(
            "policy",
            {
                "egress": {"internet": False, "allow": ["203.0.113.0/24"], "deny": ["203.0.113.9/32"]},
                "labels": {"template": "base"},
                "tap_owner": {"uid": 123, "gid": 100},
                "limits": {"connections": 17},
                "bandwidth": {"to_guest": {"rate": 12500000, "burst": 1000000}},
            },
        ),
        api.register("paused", {"ports": [49983]}),
    ]


def first_answers(daemon, target):
    """Sends TARGET from the moment the daemon's socket exists, again and again until it runs; returns the statuses."""
    statuses = []

    def runs():
        try:
            statuses.append(daemon.api.get(target).status)
            return daemon.api.status()["state"] == "running"
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    poll_until(runs, 60, what="weftd to run", interval=0.001)
    return statuses


def test_from_its_first_moment_on_the_socket_says_nothing_wrong(weftd, end):
    """The daemon reads thousands of files before it knows the last sandbox; requests for that sandbox wait meanwhile."""
    daemon = weftd()
    daemon.api.register("first")
    daemon.api.register("last")
    end(daemon)
    litter = [os.path.join(daemon.state_dir, f"{number}.json") for number in range(3, 2000)]
    for path in litter:
        with open(path, "w", encoding="utf-8") as file:
            file.write("{")
    for target in ("/v1/sandboxes/last", "/v1/sandboxes/first", "/healthz", "/metrics"):
        if os.path.exists(daemon.socket):
            os.unlink(daemon.socket)
        daemon.spawn()
        assert set(first_answers(daemon, target)) == {200}, target
        assert {one["id"] for one in daemon.api.list()} == {"first", "last"}
        end(daemon)
    for path in litter:
        os.unlink(path)
    daemon.start()


def test_every_sandbox_is_as_it_was(host, weftd, guest, end):
    daemon = weftd()
    api = daemon.api
    sandboxes = populate(api)
    guest(sandboxes[3])
    guest(sandboxes[2])
    api.wait("paused", "attached")
    api.wait("policy", "attached")
    api.patch("paused", {"paused": True})
    before = api.list()
    host.await_names(api)
    links = [links_of(host, one) for one in before]
    rules = [rules_of(host, one) for one in before]
    assert [one["state"] for one in before] == ["waiting", "waiting", "ready", "paused"]

    end(daemon)
    assert [links_of(host, one) for one in before] == links
    daemon.start()

    after = api.list()
    assert kept(after) == kept(before)
    assert [one["state"] for one in after] == [one["state"] for one in before]
    assert [links_of(host, one) for one in after] == links
    assert [rules_of(host, one) for one in after] == rules
    assert "repaired" not in daemon.log()
    # The daemon does not only show them, it also serves them.
    assert api.register("ports", {"ports": [8080, {"guest_port": 22, "listen": "127.0.0.1:18022"}, 7],
                                  "default": True}, expect=(200,))["slot"] == 2
    api.patch("paused", {"paused": False})
    assert api.register("more")["slot"] == 5
    for one in after:
        api.unregister(one["id"])


def test_kernel_path_connections_flow_on(host, weftd, guest, end):
    daemon = weftd()
    sandbox = daemon.api.register("a")
    attached = guest(sandbox)
    attached.serve("7,echo")
    daemon.api.wait("a", "attached")
    flow = Flow(host.connect(sandbox["host_ip"], 7))
    flow.check()
    for _ in range(3):
        end(daemon)
        flow.check()
        with host.connect(sandbox["host_ip"], 7) as fresh:
            fresh.sendall(b"while nobody is there")
            assert fresh.recv(100) == b"while nobody is there"
        daemon.start()
        flow.check()
    assert daemon.api.show("a")["state"] == "ready"
    flow.close()


def test_endpoints_serve_again_on_the_same_ports(host, weftd, guest, end):
    daemon = weftd()
    sandbox = daemon.api.register("a", {"ports": [7], "default": True})
    guest(sandbox).serve("7,echo", "49983,echo")
    daemon.api.wait("a", "attached")
    ports = [endpoint_port(sandbox, 7), 49983]

    def serves():
        for port in ports:
            for address in ("127.0.0.1", "::1"):
                with host.connect(address, port) as client:
                    client.sendall(b"hello")
                    assert client.recv(16) == b"hello"

    serves()
    end(daemon)
    daemon.start()
    serves()


def test_carrier_that_changed_while_the_daemon_was_away_is_known(host, weftd, guest, end):
    daemon = weftd()
    one, two = daemon.api.register("one"), daemon.api.register("two")
    guest(two)
    daemon.api.wait("two", "attached")
    end(daemon)
    guest.vmms[0].kill()
    guest(one)
    daemon.start()
    assert daemon.api.show("one")["state"] == "ready"
    assert daemon.api.show("two")["state"] == "detached"


def changes_of(daemon, sandbox, log):
    """[(from, to)] of SANDBOX in LOG, all of which a restart must have caused."""
    lines = [line for line in log.splitlines() if "sandbox changed its state" in line and f"sandbox={sandbox} " in line]
    assert all("cause=restart" in line for line in lines), lines
    return [tuple(re.search(rf" {key}=(\S+)", line).group(1) for key in ("from", "to")) for line in lines]


def test_a_state_outlives_the_daemon_and_changes_meanwhile_are_told(weftd, guest, end):
    daemon = weftd()
    api = daemon.api
    names = ("ready", "left", "new", "gone", "swapped", "visited")
    there = {name: api.register(name, {"ready_port": 7} if name == "ready" else {}) for name in names}
    vms = {name: guest(there[name]) for name in ("ready", "left", "gone", "swapped")}
    vms["ready"].serve("7,echo")
    api.wait("ready", "ready")
    for name in ("left", "gone", "swapped"):
        api.wait(name, "attached")
    vms["left"].close_tap()
    api.wait("left", "detached")
    before = {one["id"]: one for one in api.list()}

    def stored(name):
        with open(f"{daemon.state_dir}/{there[name]['slot']}.json", encoding="utf-8") as file:
            return json.load(file)["status"]["state"]

    poll_until(lambda: "creating" not in map(stored, names), what="the file of each registration to follow it")
    # The state of one that has just changed is not lost in a kill.
    end(daemon)
    start = len(daemon.log())
    vms["gone"].close_tap()
    vms["swapped"].close_tap()
    vms["swapped"].open_tap()
    guest(there["new"])
    guest(there["visited"]).close_tap()
    daemon.start()
    after = {one["id"]: one for one in api.list()}
    log = daemon.log()[start:]
    for name in ("ready", "left"):
        assert (after[name]["state"], after[name]["since"]) == (before[name]["state"], before[name]["since"]), name
        assert changes_of(daemon, name, log) == []
    assert changes_of(daemon, "new", log) == [("waiting", "ready")]
    assert changes_of(daemon, "gone", log) == [("ready", "detached")]
    assert changes_of(daemon, "swapped", log) == [("ready", "detached"), ("detached", "ready")]
    assert changes_of(daemon, "visited", log) == [("waiting", "ready"), ("ready", "detached")]

    # Once more, with nothing that happens meanwhile.
    end(daemon)
    start = len(daemon.log())
    daemon.start()
    assert "sandbox changed its state" not in daemon.log()[start:]
    assert {one["id"]: (one["state"], one["since"]) for one in api.list()} == {
        name: (one["state"], one["since"]) for name, one in after.items()
    }


def test_counters_never_fall(host, weftd, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    daemon.api.wait("a", "attached")
    seen = {}
    for round_ in range(3):
        with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
            client.sendall(b"x" * 10000)
            left = 10000
            while left:
                left -= len(client.recv(left))
        with host.connect(sandbox["host_ip"], 7) as client:
            client.sendall(b"hello")
            assert client.recv(16) == b"hello"
        daemon.stop()
        daemon.start()

        def grown(least=round_ + 1):
            now = daemon.api.show("a")["counters"]
            return now if now["connections_total"] >= least and now["bytes_to_guest"] >= least * 10000 else None

        now = poll_until(grown, what=lambda: str(daemon.api.show("a")["counters"]))
        for key in ("bytes_to_guest", "bytes_from_guest", "packets_to_guest", "packets_from_guest", "connections_total"):
            assert now[key] >= seen.get(key, 0), (key, now, seen)
        seen = now


def spawn_gently(daemon):
    """Starts it slowed down, so that a test on a busy machine sees it before it has come far."""
    command = daemon.command
    daemon.command = lambda *more: ["nice", "-n", "10", *command(*more)]
    process = daemon.spawn()
    daemon.command = command
    return process


def first_status(daemon):
    """The first answer of a newly spawned daemon."""

    def answer():
        try:
            return daemon.api.get("/v1/status", timeout=60)
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    return poll_until(answer, 60, interval=0.001).expect(200).body


ATTEMPTS = 5  # to see it before it has adopted all, as the test may stall


def spawn_adopting(daemon):
    """Starts it and sees it adopting; returns the process."""
    for _ in range(ATTEMPTS):
        process = spawn_gently(daemon)
        if first_status(daemon)["state"] == "adopting":
            return process
        daemon.stop()
    raise AssertionError("it never answered before the end of adopting")


def test_the_socket_answers_before_all_is_adopted(weftd, end):
    daemon = weftd()
    names = [f"s{n}" for n in range(60)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(daemon.api.register, names))
    for _ in range(ATTEMPTS):
        end(daemon)
        start = time.monotonic()
        spawn_adopting(daemon)
        served = time.monotonic()
        listed = daemon.api.get("/v1/sandboxes").expect(200).body
        assert sorted(one["id"] for one in listed["sandboxes"]) == sorted(names)
        if "adopting" in listed:
            break
    assert listed["adopting"] is True
    # A change is deferred until then, not refused.
    late = daemon.api.register("late")
    assert late["slot"] == 61
    assert daemon.api.status()["state"] == "running"
    assert {one["state"] for one in daemon.api.list()} == {"waiting"}
    print(f"socket answered after {served - start:.3f} s, all adopted within {time.monotonic() - start:.3f} s")


def test_a_stop_in_the_midst_of_adoption_loses_nothing(host, weftd):
    daemon = weftd()
    names = sorted(f"s{n}" for n in range(30))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(daemon.api.register, names))
    links = [links_of(host, one) for one in daemon.api.list()]
    daemon.stop()
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        process = spawn_adopting(daemon)
        process.send_signal(number)
        assert process.wait(60) == (0 if number != signal.SIGKILL else -9)
        assert len(os.listdir(daemon.state_dir)) == len(names) + 2  # the lock, and the marks
    daemon.start()
    assert sorted(one["id"] for one in daemon.api.list()) == names
    assert [links_of(host, one) for one in daemon.api.list()] == links
    assert {one["state"] for one in daemon.api.list()} == {"waiting"}


def call(function, *arguments):
    """The status of a call, or None if its daemon ended before it answered."""
    try:
        return function(*arguments).status
    except (OSError, EOFError):
        return None
    except Exception as error:  # from http.client: the answer was cut off
        assert type(error).__module__ == "http.client", error
        return None


@pytest.mark.parametrize("pool", [0, 4])
def test_stop_with_half_open_requests(host, weftd, pool):
    daemon = weftd({"pool": {"size": pool}})
    api = daemon.api
    for n in range(12):
        api.register(f"old{n}")
    with concurrent.futures.ThreadPoolExecutor(24) as pool_:
        made = [
            pool_.submit(call, api.request, "PUT", f"/v1/sandboxes/new{n}", {"ports": [8080]}) for n in range(12)
        ]
        gone = [pool_.submit(call, api.request, "DELETE", f"/v1/sandboxes/old{n}") for n in range(12)]
        concurrent.futures.wait(made + gone, return_when=concurrent.futures.FIRST_COMPLETED)
        daemon.stop()
        made, gone = [one.result() for one in made], [one.result() for one in gone]
    daemon.start()
    # Every client gets an answer, the last ones about work of the next start. (Clients that had not sent anything are refused.)
    assert set(made) <= {201, 503, None} and set(gone) <= {204, 503, None}, (made, gone)

    def settled():
        return not {"draining", "creating"} & {one["state"] for one in api.list()}

    poll_until(settled, what=lambda: str([(one["id"], one["state"]) for one in api.list()]))
    there = {one["id"]: one for one in api.list()}
    assert {one["state"] for one in there.values()} <= {"waiting"}, there
    for n in range(12):
        assert made[n] != 201 or f"new{n}" in there
        assert gone[n] != 204 or f"old{n}" not in there
        # The next start has finished the work promised before it, and nothing else reappears.
        assert gone[n] != 503 or f"old{n}" not in there, daemon.log_tail()
    expected = sorted(one["netns"] for one in there.values())
    if not pool:
        poll_until(lambda: host.netns_names() == expected, what=lambda: f"{host.netns_names()} to be {expected}")
    for one in there:
        api.unregister(one)


def test_a_second_weftd_is_refused_by_name(host, weftd):
    first = weftd()
    first.api.register("a")
    held = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1"}
    attempts = {
        "state": ["--socket", f"{first.folder}/other.sock", "--state-dir", first.state_dir],
        "socket": ["--socket", first.socket, "--state-dir", f"{first.folder}/other-state"],
        "link group": ["--socket", f"{first.folder}/other.sock", "--state-dir", f"{first.folder}/other-state"],
    }
    for what, arguments in attempts.items():
        done = host.run([first.program, "--config", first.config, *arguments, "--foreground"], check=False, env=held)
        assert done.returncode == 69, (what, done.stderr)
        assert f"pid {first.pid}" in done.stderr, (what, done.stderr)
    for arguments in ([], ["--state-dir", f"{first.folder}/other-state"]):
        done = first.run("--cleanup", *arguments)
        assert done.returncode != 0 and f"pid {first.pid}" in done.stderr, done.stderr
    # The running daemon is undisturbed.
    assert first.api.show("a")["state"] == "waiting"
    assert first.api.register("b")["slot"] == 2
    assert os.path.exists(first.socket) and not os.path.exists(f"{first.folder}/other.sock")


@pytest.mark.parametrize("stranger_does", ["listen", "nothing", "listen with a full queue"])
def test_a_stranger_who_takes_the_name_of_the_lock_keeps_nobody_from_starting(host, weftd, stranger_does):
    stranger = host.socket(family=socket.AF_UNIX)
    stranger.bind("\0weft-link-group-1874")
    crowd = []
    if stranger_does == "listen with a full queue":
        os.fchown(stranger.fileno(), 65534, -1)  # as if that user had made it
        stranger.listen(0)
        client = host.socket(family=socket.AF_UNIX)
        client.connect("\0weft-link-group-1874")
        crowd.append(client)
    elif stranger_does == "listen":
        # The kernel keeps who listened.
        os.seteuid(65534)
        try:
            stranger.listen()
        finally:
            os.seteuid(0)
    daemon = weftd()
    assert daemon.api.register("a")["slot"] == 1
    daemon.wait_log("the lock of the host is taken")
    for one in [stranger, *crowd]:
        one.close()


def test_the_socket_of_a_dead_daemon_is_replaced(weftd):
    daemon = weftd()
    daemon.kill()
    assert os.path.exists(daemon.socket)
    daemon.start()
    assert daemon.api.list() == []


def test_cleanup_can_wait_for_the_last_vm(host, weftd, guest):
    daemon = weftd()
    attached = guest(daemon.api.register("a"))
    daemon.api.register("b")
    daemon.api.wait("a", "attached")
    daemon.stop()
    before = host.state()
    done = daemon.run("--cleanup", "--unless-live")
    assert (done.returncode, done.stdout) == (75, "left sandbox a, slot 1: a VM runs on its TAP\nnothing removed\n")
    assert difference(before, host.state()) == []
    assert sorted(os.listdir(daemon.state_dir)) == ["1.json", "2.json", "lock", "marks.json"]
    attached.kill()
    done = daemon.run("--cleanup", "--unless-live")
    assert done.returncode == 0, done
    assert "nothing left" in done.stdout
    assert host.netns_names() == []


def test_cleanup_removes_all_and_says_what(host, weftd, guest):
    daemon = weftd({"pool": {"size": 3}})
    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 3)
    sandbox = daemon.api.register("a", {"ports": [{"guest_port": 80, "listen": "127.0.0.1:18080"}]})
    daemon.api.register("b")
    attached = guest(sandbox)
    daemon.api.wait("a", "attached")
    daemon.stop()
    done = daemon.run("--cleanup")
    assert done.returncode == 0, done.stderr
    for name in ("/run/netns/ns-1", "link veth-1", "link veth-2", "sandbox a", "sandbox b", "table inet weft"):
        assert name in done.stdout, done.stdout
    assert host.netns_names() == [] and list(host.links()) == ["lo"]
    assert "weft" not in host.nft()
    assert os.listdir(daemon.state_dir) in ([], ["lock"])
    # A killed daemon leaves its socket behind.
    daemon.start()
    daemon.kill()
    assert f"removed control socket {daemon.socket}" in daemon.run("--cleanup").stdout
    assert not os.path.exists(daemon.socket)
    assert "0 removed" in daemon.run("--cleanup").stdout
    attached.kill()
    daemon.start()
    assert daemon.api.list() == []


def test_namespaces_are_seen_by_everybody_else(host, weftd):
    """With slave propagation: mount namespaces that copied the daemon's see its later mounts."""
    daemon = weftd(run=False)
    watcher = host.popen(
        ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo ready; exec cat"],
        stdin=-1, stdout=-1,
    )
    try:
        assert watcher.stdout.readline() == b"ready\n"
        daemon.start()
        late = host.popen(
            ["unshare", "--mount", "--propagation", "slave", "sh", "-c", "echo ready; exec cat"],
            stdin=-1, stdout=-1,
        )
        assert late.stdout.readline() == b"ready\n"
        daemon.api.register("a")
        inode = os.stat(host.netns("ns-1").path).st_ino
        assert os.stat(f"/proc/{late.pid}/root/run/netns/ns-1").st_ino == inode
        daemon.api.unregister("a")
        # No copy of the mount keeps the namespace or its name alive.
        assert host.netns_names() == []
        poll_until(lambda: "veth-1" not in host.links())
        assert "ns-1" not in open(f"/proc/{late.pid}/mountinfo", encoding="utf-8").read()
    finally:
        for one in (watcher, late):
            one.stdin.close()
            one.stdout.close()
            one.wait()


def test_a_kill_between_the_files_of_a_take_leaves_one_default(weftd):
    daemon = weftd()
    daemon.api.register("a", {"default": True})
    daemon.api.register("b", {})
    with open(f"{daemon.state_dir}/1.json", encoding="utf-8") as file:
        former = file.read()
    daemon.api.patch("b", {"default": "take"})
    daemon.kill()
    with open(f"{daemon.state_dir}/1.json", "w", encoding="utf-8") as file:
        file.write(former)
    daemon.start()
    assert [one["default"] for one in daemon.api.list()] == [False, True]
    # The former one's file does not bring it back when the taker is gone.
    daemon.api.unregister("b")
    daemon.kill()
    daemon.start()
    assert [one["default"] for one in daemon.api.list()] == [False]
