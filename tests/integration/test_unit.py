# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd unit: weftd must not need anything it takes away, and no option may hide the namespaces."""

import os
import subprocess
import time

import pytest

from harness.api import endpoint_port
from harness.threads import thread_stopped
from harness.wait import poll_until

PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def unit_lines():
    with open(os.path.join(TOP, "systemd/weftd.service.in"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if "=" in line and not line.startswith("#")]
    return [line.split("=", 1) for line in lines]


def unit():
    return dict(unit_lines())


def test_the_unit_makes_no_mount_namespace_of_its_own():
    """Each of these options would hide /run/netns/ns-N from all processes but weftd, systemd.exec(5)."""
    hiding = (
        "ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateMounts PrivateUsers ProtectKernelTunables ProtectKernelModules "
        "ProtectKernelLogs ProtectControlGroups ProtectHostname ProtectProc ProcSubset ReadWritePaths ReadOnlyPaths InaccessiblePaths "
        "ExecPaths NoExecPaths BindPaths BindReadOnlyPaths TemporaryFileSystem RootDirectory RootImage MountFlags MountAPIVFS "
        "StateDirectory CacheDirectory LogsDirectory ConfigurationDirectory DynamicUser PrivateNetwork PrivateIPC LoadCredential"
    ).split()
    options = unit()
    assert not set(options) & set(hiding)
    assert options["RuntimeDirectoryPreserve"] == "yes"  # else a stop would wipe the state


def with_capabilities(weftd, names):
    """A daemon with these capabilities and no more, as the unit would start it."""
    bounding = ",".join(["-all", *(f"+{name.removeprefix('CAP_').lower()}" for name in names)])
    daemon = weftd(run=False)
    command = daemon.command
    daemon.command = lambda *more: [
        *("setpriv", "--bounding-set", bounding, "--inh-caps=-all", "--no-new-privs", "--"),
        *command(*more),
    ]
    return daemon.start()


def test_the_main_job_needs_no_more_capabilities_than_the_unit_leaves(weftd, guest, host):
    daemon = with_capabilities(weftd, unit()["CapabilityBoundingSet"].split())
    sandbox = daemon.api.register("a1", {"ports": [49983], "ready_port": 49983, "tap_owner": {"uid": 123, "gid": 100}})
    vm = guest("ns-1")
    vm.serve("49983,http,a1")
    daemon.api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    # Polls, as a guest that is slow by a second counts as silent.
    poll_until(lambda: daemon.api.get("/v1/sandboxes/a1/diagnosis").expect(200)["broken"] is None, what="a whole path")
    daemon.api.patch("a1", {"paused": True})
    daemon.api.patch("a1", {"paused": False, "flows": "reset"})
    daemon.api.patch("a1", {"egress": {"internet": False}, "bandwidth": {"to_guest": {"rate": 1000000}}})
    daemon.api.unregister("a1")


def test_the_unit_never_gives_up_and_waits_for_no_network():
    options = unit()
    assert options["StartLimitIntervalSec"] == "0"
    assert (options["Restart"], options["RestartSec"]) == ("always", "250ms")
    assert (options["RestartSteps"], options["RestartMaxDelaySec"]) == ("6", "10s")
    assert options["RestartPreventExitStatus"] == "64 66 78"
    assert (options["Type"], options["WatchdogSec"]) == ("notify", "30s")
    assert not any("network-online" in value for _, value in unit_lines())


@pytest.mark.parametrize("code, reloads", [(0, True), (64, False), (66, False), (69, True), (78, False), (134, False)])
def test_a_reload_fails_for_a_mistake_and_not_for_a_fault_of_the_host(folder, code, reloads):
    """Runs the unit's command as systemd would, with a weftd whose check ends with that code."""
    with open(f"{folder}/weftd", "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\necho "checked $*"\nexit {code}\n')
    os.chmod(f"{folder}/weftd", 0o755)
    [command] = [value for key, value in unit_lines() if key == "ExecReload"]
    shell, option, script = command.split(" ", 2)
    assert (shell, option, script[0], script[-1]) == ("/bin/sh", "-c", "'", "'")
    script = script[1:-1].replace("$$", "$").replace("@sbindir@", folder)
    with subprocess.Popen(["sh", "-c", "trap 'exit 9' HUP; echo; while :; do read _; done"], **PIPES) as main:
        main.stdout.readline()
        done = subprocess.run(
            [shell, option, script], stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, "MAINPID": str(main.pid)}
        )
        assert main.wait() == 9  # which reads the file itself, and says what is wrong with it
    assert done.stdout == "checked --check\n"
    assert done.returncode == (0 if reloads else code)


def fed_again(manager):
    count = manager.count("WATCHDOG")
    return lambda: manager.count("WATCHDOG") > count + 1


def test_the_watchdog_is_fed_while_all_threads_go_on(weftd, manager):
    limit = 0.9  # seconds; a third of it is the interval
    daemon = weftd({"daemon": {"workers": 2}}, run=False)
    manager.start(daemon, watchdog=limit)
    for thread in "weft-worker-1", "weft-builder", "weft-claimer":
        poll_until(fed_again(manager), what="the watchdog to be fed")
        line = f'msg="thread does not answer" thread={thread} '
        before = daemon.log().count(line)
        with thread_stopped(daemon.pid, thread):
            poll_until(lambda: daemon.log().count(line) > before, what=daemon.log_tail)
            manager.settle()
            count, until = manager.count("WATCHDOG"), time.monotonic() + limit / 2
            poll_until(lambda: time.monotonic() > until)
            manager.settle()
            assert manager.count("WATCHDOG") == count
            assert daemon.api.status()["state"] == "running"
            assert daemon.log().count(line) == before + 1
        daemon.wait_log(f'msg="thread answers again" thread={thread}')


def test_the_thread_of_the_log_does_not_keep_the_watchdog_hungry(weftd, manager):
    daemon = weftd(run=False)
    manager.start(daemon, watchdog=0.6)
    with thread_stopped(daemon.pid, "weft-log"):
        until = time.monotonic() + 0.8
        poll_until(lambda: time.monotonic() > until)
        poll_until(fed_again(manager), what="the watchdog to be fed")
