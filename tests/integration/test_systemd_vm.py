# SPDX-License-Identifier: GPL-2.0-or-later
"""The units of integrations/systemd on a booted machine with a real systemd: a real VM, and what becomes of it and of its network."""

import json
import os
import re
import shutil

import pytest

from harness.api import Api
from harness.booted import BootedMachine, available
from harness.daemon import build_dir
from harness.vm import BOOT_LIMIT
from harness.wait import PATIENCE, poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
UNITS = os.path.join(TOP, "integrations", "systemd")

pytestmark = [
    pytest.mark.skipif(not available(), reason="no systemd, or no control groups of version 2"),
    pytest.mark.vm,
    pytest.mark.timeout(900),
]

# The daemon under test, without the limits of the installed unit, which a build with sanitizers does not bear.
WEFTD = """[Service]
Type=notify
NotifyAccess=main
ExecStart=/usr/sbin/weftd
Restart=always
KillMode=process
RuntimeDirectory=weft
RuntimeDirectoryPreserve=yes
FileDescriptorStoreMax=512
"""

# There is no journal. The sanitizers look for leaks by ptrace(), which the units do not allow.
COMMON = f"""[Service]
TimeoutStartSec={BOOT_LIMIT}
Environment=ASAN_OPTIONS=detect_leaks=0
StandardOutput=append:/run/log
StandardError=append:/run/log
"""

# As example.conf has it, on a machine without KVM.
CONFIG = """VM_REGISTER=--tap-owner weft-vm --port 49983 --ready-port 49983 --name web
VM_ACCEL=tcg
VM_MEMORY=128
VM_KERNEL=vmlinuz
VM_APPEND=console=ttyS0 quiet panic=-1 no_timer_check
VM_QEMU=-M pc -cpu max -initrd initrd.gz
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


@pytest.fixture
def machine(host, folder, vm_image):
    """A machine on which an operator has installed weft and the units, and described the VM a1."""
    made = BootedMachine(host, folder)
    try:
        for program, place in (("weftd", "/usr/sbin/weftd"), ("weftctl", "/usr/bin/weftctl")):
            shutil.copy(os.path.join(build_dir(), program), made.file(place))
        for unit in ("weft-sandbox@.service", "weft-vm@.service"):
            shutil.copy(os.path.join(UNITS, unit), made.file("/etc/systemd/system"))
        os.makedirs(made.file("/etc/sysusers.d"), exist_ok=True)
        shutil.copy(os.path.join(UNITS, "weft-vm.sysusers"), made.file("/etc/sysusers.d/weft-vm.conf"))
        write(made.file("/etc/systemd/system/weftd.service"), WEFTD)
        write(made.file("/etc/systemd/system/service.d/common.conf"), COMMON)
        write(made.file("/etc/weft/vm/a1.conf"), CONFIG)
        for name in ("vmlinuz", "initrd.gz"):
            place = made.file(f"/var/lib/weft-vm/a1/{name}")
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copyfile(os.path.join(vm_image, name), place)
            os.chmod(place, 0o600)  # root's, until systemd gives it to the user of the unit
        # As udev makes it: the machine's own may be root's alone.
        made.sh("umount /dev/net/tun; rm -f /dev/net/tun; mknod -m 666 /dev/net/tun c 10 200")
        made.sh("systemd-sysusers; systemctl daemon-reload; systemctl start weftd")
        yield made
        print(made.sh("cat /run/log; systemctl status 'weft*'", check=False))  # of a test that fails
        made.sh("systemctl stop 'weft-vm@*' 'weft-sandbox@*' weftd", check=False)
        made.sh("weftd --cleanup", check=False)
    finally:
        made.close()


def shown(machine, unit, *properties):
    told = machine.sh(f"systemctl show --property {','.join(properties)} {unit}")
    return dict(line.split("=", 1) for line in told.splitlines())


def main_pid(machine, unit):
    return int(shown(machine, unit, "MainPID")["MainPID"])


def answers(host):
    return json.loads(host.output(["curl", "-sS", "--fail", "--noproxy", "*", "--max-time", PATIENCE, "http://10.11.0.1:49983/health"]))


def runs_without_privileges(machine, pid):
    """Whether it is the user of the units, with no capability, in the namespace of the sandbox."""
    told = machine.sh(f"cat /proc/{pid}/status; stat -Lc %i /proc/{pid}/ns/net /run/netns/ns-1")
    uid = machine.sh("id -u weft-vm").strip()
    capabilities = set(re.findall(r"^Cap(?:Prm|Eff|Bnd|Inh|Amb):\s+(\w+)$", told, re.MULTILINE))
    inside, namespace = told.splitlines()[-2:]
    return f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in told and capabilities == {"0" * 16} and inside == namespace


def test_a_unit_is_a_vm_on_weft(machine, host):
    api = Api(machine.file("/run/weft/control.sock"))
    machine.sh("systemctl start weft-vm@a1")
    assert api.show("web")["state"] == "ready"
    booted = answers(host)["boot_id"]
    vm = main_pid(machine, "weft-vm@a1")
    assert runs_without_privileges(machine, vm)

    # A restart of weftd is nothing to the VM, nor is a kill.
    for how in ("systemctl restart weftd", "kill -9 $(systemctl show --property MainPID --value weftd)"):
        daemon = main_pid(machine, "weftd")
        machine.sh(how)
        poll_until(lambda: main_pid(machine, "weftd") not in (0, daemon))  # pylint: disable=cell-var-from-loop
        assert api.wait("web", "ready")["id"] == "a1"
        assert main_pid(machine, "weft-vm@a1") == vm
    assert answers(host)["boot_id"] == booted

    # Neither a name nor an id that another has is taken from it, and its VM is not started.
    write(machine.file("/etc/weft/vm/b1.conf"), CONFIG)
    write(machine.file("/etc/weft/vm/b2.conf"), CONFIG.replace("--name web", ""))
    api.register("b2", {"ports": [80]})
    for name, told in (("b1", "sandbox a1, which is ready, has the name web already"), ("b2", "b2 is registered otherwise")):
        assert "A dependency job" in machine.sh(f"! systemctl start weft-vm@{name}")
        assert told in machine.sh("cat /run/log")
        assert main_pid(machine, f"weft-vm@{name}") == 0 and not os.path.exists(machine.file(f"/run/weft-vm/{name}"))
    assert {one["id"]: one["state"] for one in api.list()} == {"a1": "ready", "b2": "waiting"}
    api.unregister("b2")

    # A VMM that does not start is no reason to wait for its guest.
    write(machine.file("/etc/weft/vm/b1.conf"), CONFIG.replace("--name web", "").replace("VM_ACCEL=tcg", "VM_ACCEL=none"))
    assert "failed" in machine.sh("! systemctl start weft-vm@b1")
    machine.sh("systemctl stop weft-vm@b1")
    poll_until(lambda: [one["id"] for one in api.list()] == ["a1"])

    # One that is killed is started again, in the same place.
    machine.sh(f"kill -9 {vm}")
    poll_until(lambda: main_pid(machine, "weft-vm@a1") not in (0, vm))
    assert api.wait("web", "attached")["slot"] == 1
    assert runs_without_privileges(machine, main_pid(machine, "weft-vm@a1"))

    # Its network is made anew with what the file says now, and it with that.
    write(machine.file("/etc/weft/vm/a1.conf"), CONFIG.replace("--name web", "--name web --label new=yes"))
    second = main_pid(machine, "weft-vm@a1")
    machine.sh("systemctl restart --no-block weft-sandbox@a1")
    poll_until(lambda: [one["labels"] for one in api.list()] == [{"new": "yes"}])
    poll_until(lambda: main_pid(machine, "weft-vm@a1") not in (0, second))
    assert api.wait("web", "attached")["id"] == "a1"

    # With the VM its network goes.
    machine.sh("systemctl stop weft-vm@a1")
    poll_until(lambda: shown(machine, "weft-sandbox@a1", "ActiveState")["ActiveState"] == "inactive")
    assert api.list() == [] and machine.netns_names() == []
    assert os.listdir(machine.file("/run/weft-vm")) == []
