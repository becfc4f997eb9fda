# SPDX-License-Identifier: GPL-2.0-or-later
"""Failures, as E2B's own SDKs see them: no call hangs, nothing is lost needlessly, and every failure is noticed at once."""

import os
import time

import pytest

from harness.api import endpoint_port
from harness.host import LOOPBACK
from harness.sdk import SDKS, CallFailed
from harness.wait import poll_until

LONG = os.environ.get("WEFT_SDK_LONG") == "1"
PAUSE = 40 if LONG else 4  # seconds
# ms: the short form shares its cores with other tests, under sanitizers. Without a notification it takes over a minute.
AT_ONCE = 1000 if LONG else 20000
PROBE = 10000  # ms: after a failure, newer SDKs ask for the sandbox's health twice for 5 s before they raise; that call is held

each_sdk = pytest.mark.parametrize("kind", SDKS)


def wait_held(api, name, count):
    poll_until(
        lambda: api.show(name)["counters"]["connections_held"] >= count,
        what=lambda: f"{count} held connections; {api.show(name)['counters']}",
    )


def fails_at_once(pending, since=0.0):
    """The SDK noticed within AT_ONCE of SINCE (ms of the call) that its connection was gone."""
    failed = pending.failure()
    assert failed.told_ms - since < AT_ONCE, failed
    return failed


def ms(pending_began):
    """Milliseconds since then, for comparison with a call's own."""
    return (time.monotonic() - pending_began) * 1000


def in_the_middle(sdk):
    """A command in progress, after its first line. (call, pid, when it began)"""
    pid = sdk.call("start", cmd="echo begun; read answer; echo ended", stdin=True)["pid"]
    call = sdk.begin("wait", pid=pid, stream=True)
    began = time.monotonic()
    call.wait_events(1)
    return call, pid, began


def finish(sdk, call, pid):
    sdk.call("stdin", pid=pid, data="go on\n")
    assert call.result()["stdout"] == "begun\nended\n"


def test_the_first_call_before_the_vm_is_started_is_held_and_then_succeeds(api, box, both):
    sandbox = api.register("a1", {"default": True, "ready_port": 49983})
    calls = [sdk.begin("run", cmd="echo hello") for sdk in both().values()]
    wait_held(api, "a1", 2)
    assert all(call.running() for call in calls)
    box(sandbox).boot()
    for call in calls:
        assert call.result()["stdout"] == "hello\n"


def test_the_first_call_while_the_vm_boots_is_held_and_then_succeeds(api, box, both):
    sandbox = api.register("a1", {"default": True, "ready_port": 49983})
    clients = both()
    booting = box(sandbox)
    booting.power_on()
    api.wait("a1", "attached")
    calls = [sdk.begin("run", cmd="echo hello") for sdk in clients.values()]
    wait_held(api, "a1", 2)
    booting.serve()
    for call in calls:
        assert call.result()["stdout"] == "hello\n"


def test_a_vm_killed_during_a_command_is_told_at_once_and_the_next_call_within_the_deadline(api, box, both):
    deadline = 30000 if LONG else 5000
    sandbox = api.register("a1", {"default": True, "ready_port": 49983, "limits": {"connect_deadline_ms": deadline}})
    dying = box(sandbox).boot()
    clients = both()
    running = [in_the_middle(sdk) for sdk in clients.values()]
    dying.kill()
    moments = [ms(began) for _, _, began in running]
    for (call, _, _), killed in zip(running, moments):
        failed = fails_at_once(call, killed)
        assert failed.ms - killed < AT_ONCE + PROBE
    for sdk in clients.values():
        sdk.wait_disconnected()
    nexts = [sdk.begin("run", cmd="echo hello") for sdk in clients.values()]
    for call in nexts:
        failed = call.failure()
        assert failed.told_ms > deadline * 0.8, failed  # held until the deadline, as a VM may come
        assert failed.told_ms < deadline + AT_ONCE


def test_a_vm_started_again_on_the_same_tap_serves_the_next_call(api, box, both):
    sandbox = api.register("a1", {"default": True, "ready_port": 49983})
    clients = both()
    again = box(sandbox).boot()
    for sdk in clients.values():
        assert sdk.run("echo first") == "first\n"
    again.kill()
    api.wait("a1", "detached")
    for sdk in clients.values():
        sdk.wait_disconnected()
    calls = [sdk.begin("run", cmd="echo second") for sdk in clients.values()]
    wait_held(api, "a1", 2)
    again.boot()
    for call in calls:
        assert call.result()["stdout"] == "second\n"
    for sdk in clients.values():
        assert sdk.run("echo third") == "third\n"


@pytest.fixture
def slow_download(api, box, sdk):
    """A sandbox with slow downloads, and a client of each kind with one half done, and one with a command half done."""
    rate = 2_000_000
    size = 30_000_000
    shaped = {"bandwidth": {"from_guest": {"rate": rate, "burst": 1_000_000}}}
    sandbox = api.register("a1", {"default": True, "ready_port": 49983, **shaped})
    paused = box(sandbox).boot()
    clients = {kind: sdk(kind) for kind in SDKS}
    clients["python"].call("write", path="big", size=size, timeout=120)
    commands = {kind: in_the_middle(client) for kind, client in clients.items()}
    began = time.monotonic()
    downloads = {kind: client.begin("read", path="big", digest=True, timeout=300) for kind, client in clients.items()}

    def under_way():
        connections = api.get("/v1/sandboxes/a1/connections").expect(200)["connections"]
        return sum(one["bytes_from_guest"] > 500_000 for one in connections)

    poll_until(lambda: under_way() == len(downloads), what="all downloads under way")
    assert all(call.running() for call in downloads.values())
    return paused, clients, commands, downloads, began, size


def test_paused_and_resumed_with_keep_a_command_and_a_download_go_on(api, slow_download):
    paused, clients, commands, downloads, _, size = slow_download
    api.patch("a1", {"paused": True})
    paused.pause()
    late = clients["python"].begin("run", cmd="echo late")
    ends = time.monotonic() + PAUSE
    poll_until(lambda: time.monotonic() > ends, PAUSE + 5, interval=0.2)
    assert all(call.running() for call in [*downloads.values(), *(call for call, _, _ in commands.values()), late])
    paused.resume()
    api.patch("a1", {"paused": False, "flows": "keep", "bandwidth": {}})
    assert late.result()["stdout"] == "late\n"
    for kind, client in clients.items():
        finish(client, *commands[kind][:2])
        assert downloads[kind].result()["size"] == size


def test_paused_and_resumed_with_reset_both_fail_at_once_and_the_next_call_succeeds(api, slow_download):
    paused, clients, commands, downloads, began, _ = slow_download
    api.patch("a1", {"paused": True})
    paused.pause()
    ends = time.monotonic() + PAUSE
    poll_until(lambda: time.monotonic() > ends, PAUSE + 5, interval=0.2)
    paused.resume()
    reset_of_downloads = ms(began)
    resets = {kind: ms(commands[kind][2]) for kind in clients}
    api.patch("a1", {"paused": False, "flows": "reset"})
    for kind, client in clients.items():
        fails_at_once(commands[kind][0], resets[kind])
        fails_at_once(downloads[kind], reset_of_downloads)
        assert client.run("echo hello") == "hello\n"


@pytest.mark.parametrize("how", ["restarted", "killed"])
@each_sdk
def test_weftd_gone_during_a_command_leaves_the_kernel_path_alone(daemon, box, sdk, kind, how):
    sandbox = daemon.api.register("a1", {"default": True, "ready_port": 49983})
    box(sandbox).boot()
    kernel, forwarded = sdk(kind, url=f"http://{sandbox['host_ip']}:49983"), sdk(kind)
    kept, kept_pid, _ = in_the_middle(kernel)
    lost, lost_pid, began = in_the_middle(forwarded)
    stopped = ms(began)
    if how == "killed":
        daemon.kill()
    else:
        daemon.stop()
    assert kernel.run("echo hello") == "hello\n"
    if LOOPBACK == "kernel":  # its client was led to the guest, and needs weftd no more
        daemon.start()
        finish(forwarded, lost, lost_pid)
        finish(kernel, kept, kept_pid)
        return
    told = lost.failure().told_ms - stopped
    assert told < AT_ONCE + (0 if how == "killed" else 6000), told  # a stop drains for stop_drain, 5 s, first
    forwarded.wait_disconnected()
    daemon.start()
    assert forwarded.run("echo hello") == "hello\n"
    finish(kernel, kept, kept_pid)


def test_a_call_made_while_weftd_restarts_is_served_by_the_next_one(daemon, box, sdk):
    """Python's SDK retries a refused connection for two or three seconds, which is longer than a restart."""
    box(daemon.api.register("a1", {"default": True, "ready_port": 49983})).boot()
    client = sdk("python")
    assert client.run("echo hello") == "hello\n"

    def call_in_a_restart():
        daemon.stop()
        call = client.begin("run", cmd="echo back")
        daemon.start()
        return call.result()["stdout"]

    for _ in range(5):
        try:
            assert call_in_a_restart() == "back\n"
            break
        except CallFailed as failed:  # the machine stalled, and the restart took longer than the SDK's retries
            last = failed
    else:
        raise last


def test_two_sandboxes_swapped_as_default(api, box, both):
    """New connections reach the other one; a running command is not cut."""
    for sandbox in (api.register("a1", {"default": True}), api.register("a2")):
        box(sandbox).boot()
    before = both()
    running = {kind: in_the_middle(sdk) for kind, sdk in before.items()}
    for kind, sdk in before.items():
        sdk.call("write", path=f"{kind}-here", data="first")
    api.patch("a1", {"default": False})
    api.patch("a2", {"default": True})
    for sdk in both().values():
        assert not [name for name in sdk.call("list", path=".")["names"] if name.endswith("-here")]
    for kind, sdk in before.items():
        assert running[kind][0].running()
    api.patch("a2", {"default": False})
    api.patch("a1", {"default": True})
    for kind, sdk in both().items():
        assert f"{kind}-here" in sdk.call("list", path=".")["names"]
    for kind, sdk in before.items():
        finish(sdk, *running[kind][:2])


def test_a_proxy_in_the_environment_is_named_by_the_doctor(daemon, box, sdk):
    """Python's SDK sends even localhost to HTTP_PROXY; Node's does not. Nothing listens at port 9 of the loopback here."""
    sandbox = daemon.api.register("a1", {"ports": [49983], "default": True, "ready_port": 49983})
    box(sandbox).boot()
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    exempt = {"NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1"}
    assert sdk("javascript", env=proxy).run("echo hello") == "hello\n"
    failed = sdk("python", env=proxy).begin("run", cmd="echo hello").failure()
    assert failed.error
    doctor = daemon.ctl("doctor", check=False, env=proxy)
    line = next(line for line in doctor.stdout.splitlines() if "127.0.0.1:9" in line)
    assert "HTTP_PROXY" in line or "http_proxy" in line
    assert sdk("python", env={**proxy, **exempt}).run("echo hello") == "hello\n"
    assert "127.0.0.1:9" not in daemon.ctl("doctor", check=False, env={**proxy, **exempt}).stdout


def test_an_unregistered_sandbox_is_told_at_once_and_its_port_refuses(api, box, both):
    sandbox = api.register("a1", {"ports": [49983]})
    box(sandbox).boot()
    clients = both(url=f"http://127.0.0.1:{endpoint_port(sandbox)}")
    running = [in_the_middle(sdk) for sdk in clients.values()]
    moments = [ms(began) for _, _, began in running]
    api.unregister("a1")
    for (call, _, _), gone in zip(running, moments):
        fails_at_once(call, gone)
    for sdk in clients.values():
        assert sdk.begin("run", cmd="echo hello").failure()
