# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package on a copy, in memory, of the machine's root file system: installed, upgraded, purged."""

import json
import os
import shutil
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# An overlay over the machine's root: dpkg writes to memory, and its changes vanish with the mount namespace.
ROOT = """
set -e
mkdir -p "$1" && mount -t tmpfs -o size=1g tmpfs "$1" && cd "$1" && mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
mkdir root/run/netns && mount -t tmpfs tmpfs root/run/netns
cp "$2" root/tmp/weft.deb
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The .deb, built from the files that git tracks here or would track."""
    for tool in ("dpkg-buildpackage", "dh"):
        assert shutil.which(tool), f"{tool} is missing: apt-get install dpkg-dev debhelper"
    folder = tmp_path_factory.mktemp("package")
    source = folder / "weft"
    source.mkdir()
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP, check=True, capture_output=True
    ).stdout.split(b"\0")
    names = [name for name in names if name and os.path.exists(os.path.join(TOP.encode(), name))]
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=TOP, input=b"\0".join(names), check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=source, input=packed.stdout, check=True)
    build = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b", "-j2"], cwd=source, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
    (made,) = (path for path in folder.glob("weft_*.deb"))
    return made


@pytest.fixture
def machine(host, folder, package):
    """Runs shell commands as root of a machine that has the package at /tmp/weft.deb."""
    place = f"{folder}/machine"
    host.run(["sh", "-c", ROOT, "sh", place, package])

    def run(script):
        return host.run(["chroot", f"{place}/root", "sh", "-ec", script], timeout=180)

    def start():
        return host.popen(["chroot", f"{place}/root", "/usr/sbin/weftd", "--foreground"], stderr=subprocess.DEVNULL)

    run.start = start
    yield run
    host.run(["umount", "-l", place])


def output(result):
    return result.stdout if isinstance(result.stdout, str) else result.stdout.decode()


def owned_by_package(machine):
    listed = output(machine("dpkg -L weft | while read -r name; do [ -d \"$name\" ] || echo \"$name\"; done"))
    return set(listed.split())


def wait_for_daemon(machine):
    machine("for i in $(seq 600); do weftctl status >/dev/null 2>&1 && exit 0; sleep 0.05; done; exit 1")


def stop(process):
    process.terminate()
    assert process.wait(timeout=60) == 0


@pytest.mark.timeout(1200)  # it builds the package
def test_an_upgrade_leaves_sandboxes_alone_and_a_purge_leaves_nothing(machine):
    machine("dpkg -i /tmp/weft.deb")
    files = owned_by_package(machine)
    assert {"/usr/sbin/weftd", "/usr/bin/weftctl", "/lib/systemd/system/weftd.service"} <= files
    machine("getent group weft && test -d /run/weft/state && systemctl is-enabled weftd")
    process = machine.start()
    try:
        wait_for_daemon(machine)
        machine("weftctl register a1 --port 8080")
        before = json.loads(output(machine("weftctl show a1 --json")))

        # The steps of an upgrade where a service manager runs: new files, then a restart.
        machine("dpkg -i /tmp/weft.deb")
        stop(process)
        machine("test -e /run/netns/ns-1")
        process = machine.start()
        wait_for_daemon(machine)
        after = json.loads(output(machine("weftctl show a1 --json")))
        assert (after["slot"], after["endpoints"], after["state"]) == (before["slot"], before["endpoints"], before["state"])
    finally:
        stop(process)

    machine("dpkg -P weft")
    for name in files:
        machine(f"test ! -e {name}")
    machine("test ! -e /run/weft && test ! -e /etc/weft && test ! -e /run/netns/ns-1 && test ! -e /etc/systemd/system/multi-user.target.wants/weftd.service")
    assert output(machine("ip -o link")).count("\n") == 1
    assert "weft" not in output(machine("nft list ruleset; ip route show table all"))
