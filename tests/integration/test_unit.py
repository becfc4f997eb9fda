# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd unit: weftd must not need anything it takes away, and no option may hide the namespaces."""

import os

from harness.api import endpoint_port
from harness.wait import poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def unit():
    with open(os.path.join(TOP, "systemd/weftd.service.in"), encoding="utf-8") as file:
        lines = [line.strip() for line in file if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


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
