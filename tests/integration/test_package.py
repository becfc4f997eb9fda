# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package on a copy, in memory, of the machine's root file system: installed, upgraded, purged."""

import gzip
import json
import os
import re
import shutil
import subprocess

import pytest

from harness.api import endpoint_port
from harness.booted import BootedMachine, available
from harness.guests import Vmm
from harness.host import difference
from harness.sdk import SDKS, Sdk, StandinBox
from harness.wait import Lines, poll_until

pytestmark = pytest.mark.xdist_group("package")  # built once

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# An overlay over the machine's root: dpkg writes to memory, and its changes vanish with the mount namespace.
ROOT = """
set -e
mkdir -p "$1" && mount -t tmpfs -o size=1g tmpfs "$1" && cd "$1" && mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs tmpfs root/run
rm -f root/var/lib/man-db/auto-update # else each step makes man's index anew, for ten seconds
mkdir root/run/netns && mount -t tmpfs tmpfs root/run/netns
cp "$2" root/tmp/weft.deb
"""


# Every file that a build in the source tree can make, named by the Makefile's own variables.
MADE = """
include Makefile
made:
	@printf '%s\\n' $(PROGRAMS) $(LIBRARIES) $(check_PROGRAMS) $(EXTRA_PROGRAMS) $(BUILT_SOURCES) $(CLEANFILES) $(DIST_ARCHIVES) \\
		$(TEST_LOGS) $(TEST_SUITE_LOG) $(distdir)/x config.log fuzz-config/x
"""


def git(folder, *arguments, **options):
    identity = ["-c", "user.name=test", "-c", "user.email=test@invalid"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True, **options).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A repository with the files that git tracks here or would track, in which the package has been built."""
    for tool in ("dpkg-buildpackage", "dh"):
        assert shutil.which(tool), f"{tool} is missing: apt-get install dpkg-dev debhelper"
    folder = tmp_path_factory.mktemp("package")
    source = folder / "weft"
    source.mkdir()
    names = git(TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    names = [name for name in names if name and os.path.exists(os.path.join(TOP, name))]
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=TOP, input="\0".join(names).encode(), check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=source, input=packed.stdout, check=True)
    git(source, "init", "-q")
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "all")
    build = subprocess.run(["dpkg-buildpackage", "-us", "-uc", "-b", "-j2"], cwd=source, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
    return source


@pytest.fixture(scope="module")
def package(source):
    """The .deb."""
    (made,) = (path for path in source.parent.glob("weft_*.deb"))
    return made


@pytest.fixture(scope="module")
def door_package(source):
    (made,) = source.parent.glob("weft-door_*.deb")
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
    run.path = lambda name: f"{place}/root{name}"
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
def test_no_build_leaves_anything_that_git_would_track(source):
    assert git(source, "status", "--porcelain") == ""
    made = subprocess.run(["make", "-s", "-f", "-", "made"], cwd=source, input=MADE, capture_output=True, text=True, check=True).stdout
    assert "tests/faults/faults.so" in made.split()
    known = git(source, "ls-files").split("\n")
    told = git(source, "check-ignore", "--non-matching", "--verbose", "--stdin", input=made) if made else ""
    assert [name for mark, name in (line.split("\t") for line in told.splitlines()) if mark == "::" and name not in known] == []


def test_lintian_finds_no_fault(package, door_package):
    assert shutil.which("lintian"), "lintian is missing: apt-get install lintian"
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", package, door_package], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_build_of_the_package_has_what_others_read_as_it_is(package):
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout.split()
    for name in ("weft-dashboard.json", "weft.rules.yml"):
        assert f"./usr/share/doc/weft/{name}" in listed


def test_links_of_the_installed_documents_lead_to_installed_ones(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    documents = list((tmp_path / "usr/share/doc/weft").glob("**/*.md"))
    assert {"README.md", "NEWS.md", "operations.md"} <= {path.name for path in documents}
    links = [(path, link) for path in documents for link in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))]
    assert len(links) > 5
    assert [f"{path}: {link}" for path, link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_manual_pages_have_the_version_of_the_package(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    version = subprocess.run(["dpkg-deb", "-f", package, "Version"], check=True, capture_output=True, text=True).stdout.strip()
    pages = list((tmp_path / "usr/share/man").glob("man*/*.gz"))
    assert len(pages) == 3
    for path in pages:
        title = next(line for line in gzip.open(path, "rt", encoding="utf-8") if line.startswith(".TH "))
        assert f'"weft {version}"' in title, path


@pytest.mark.timeout(1200)  # it builds the package
def test_an_upgrade_leaves_sandboxes_alone_and_a_purge_leaves_nothing(machine):
    told = output(machine("dpkg -i /tmp/weft.deb"))
    assert "group weft" in told and "socket_group = weft" in told
    files = owned_by_package(machine)
    assert {"/usr/sbin/weftd", "/usr/bin/weftctl", "/etc/weft/weftd.conf"} <= files
    assert any(name.endswith("/lib/systemd/system/weftd.service") for name in files)
    machine("getent group weft && test -d /run/weft/state && systemctl is-enabled weftd")
    process = machine.start()
    try:
        wait_for_daemon(machine)
        with open(f"{TOP}/debian/tests/smoke", encoding="utf-8") as file:
            machine(file.read())
        machine("weftctl register a1 --port 8080")
        before = json.loads(output(machine("weftctl show a1 --json")))

        # The steps of an upgrade where a service manager runs: new files, then a restart.
        machine("echo '[daemon]\nlog_level = debug' >/etc/weft/weftd.conf")
        assert "group weft" not in output(machine("dpkg -i /tmp/weft.deb </dev/null"))
        machine("grep -q 'log_level = debug' /etc/weft/weftd.conf")
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


@pytest.fixture
def booted(host, folder, package):
    """A machine with a systemd that runs the package's unit; the package is at /tmp/weft.deb, and a newer one at /tmp/newer.deb."""
    made = BootedMachine(host, folder, package)
    made.sh(
        "cd /tmp && dpkg-deb -R weft.deb newer && sed -i 's/^Version: .*/&+newer/' newer/DEBIAN/control"
        " && dpkg-deb -Znone -b newer newer.deb"
    )
    yield made
    made.close()


def main_pid(machine):
    return int(machine.sh("systemctl show --property MainPID --value weftd"))


booting = pytest.mark.skipif(not available(), reason="no systemd, or no control groups of version 2")


@booting
@pytest.mark.timeout(1200)  # it builds the package
def test_an_upgrade_to_a_weftd_that_would_not_start_keeps_the_former_one(booted, host):
    booted.sh("dpkg -i /tmp/weft.deb </dev/null")
    first = main_pid(booted)
    assert first and booted.sh("systemctl is-enabled weftd && weftctl register a1 --port 8080 && weftctl status").startswith("enabled")

    # A held port ends no start, and no upgrade.
    booted.sh("printf '[http]\nlisten = 127.0.0.1:9477\n' >/etc/weft/weftd.conf")
    with host.listen(9477, "127.0.0.1"):
        told = booted.sh("dpkg -i /tmp/newer.deb </dev/null")
        assert "would start in the place of weftd" in told and "NOT restarted" not in told
        second = main_pid(booted)
        assert second not in (0, first)
        assert "9477" in booted.sh("weftctl status")

    # Two of the kinds of faults; the newer package is on the disk each time, and the former process runs.
    for fault, code, words in (
        ("printf '[forwarder]\ndefault_wait = soon\n' >/etc/weft/weftd.conf", 78, "default_wait = soon"),
        (
            "printf '' >/etc/weft/weftd.conf; cd /run/weft; mount --bind state state && mount -o remount,bind,ro state",
            *(69, "is on a file system that is mounted read-only"),
        ),
    ):
        booted.sh(fault)
        told = booted.sh("dpkg -i /tmp/weft.deb </dev/null && dpkg -i /tmp/newer.deb </dev/null")
        assert told.count(f"weftd is NOT restarted, because the new one would not start (exit status {code}") == 2
        assert words in told and "weftctl upgrade-check && systemctl restart weftd" in told
        assert booted.sh("dpkg-query -W -f '${Status}' weft") == "install ok installed"
        assert main_pid(booted) == second and "a1" in booted.sh("weftctl ls")

    # Mended, as the message says.
    told = booted.sh("umount /run/weft/state; weftctl upgrade-check && systemctl restart weftd")
    assert f"(process {second})" in told
    assert main_pid(booted) not in (0, second) and "a1" in booted.sh("weftctl ls")
    booted.sh("dpkg -r weft")
    assert booted.sh("systemctl is-active weftd", check=False).strip() == "inactive"


@booting
@pytest.mark.timeout(1200)  # it builds the package
def test_the_unit_may_lead_clients_of_loopback_endpoints(booted):
    """By programs that it loads with the capabilities and the system calls that it has there. None is left by a removal."""

    def pins():
        return set(booted.sh("ls -A /sys/fs/bpf/weft/* 2>/dev/null || :").split())

    booted.sh("mount -t bpf bpf /sys/fs/bpf && dpkg -i /tmp/weft.deb </dev/null")
    poll_until(lambda: {"connect4", "connect6", "entries"} <= pins(), what="the programs to be attached")
    first = main_pid(booted)
    booted.sh("systemctl kill --signal KILL weftd")
    poll_until(lambda: main_pid(booted) not in (0, first), what="the next start")
    poll_until(lambda: "connect4" in pins(), what="the programs to be taken over")
    booted.sh("dpkg -P weft </dev/null")
    assert not pins()


def door_workers(machine):
    """{pid: user} of HAProxy's processes; the master is the service's main one."""
    lines = machine.sh("ps -o pid=,user= -C haproxy", check=False).splitlines()
    return {int(pid): user for pid, user in (line.split() for line in lines)}


def door_answer(machine, *arguments):
    """The status of the front door's answer to curl. A start or a reload opens ports a little later."""
    return machine.sh(
        "for i in $(seq 600); do"
        f" curl -sS --noproxy '*' -m 30 -o /tmp/answer -w '%{{http_code}}' {' '.join(arguments)} 2>/dev/null && exit 0; sleep 0.05;"
        " done; exit 1"
    ).strip()[-3:]


NONE = "http://localhost:3002/sandbox/none/8080/"


@booting
@pytest.mark.timeout(1200)  # it builds the package
def test_the_front_door_is_a_service_of_its_own(booted, door_package):
    shutil.copy(door_package, booted.file("/tmp/weft-door.deb"))
    booted.sh("mkdir -p /etc/haproxy && echo '# mine' >/etc/haproxy/haproxy.cfg")
    booted.sh("dpkg -i /tmp/weft.deb </dev/null")
    told = booted.sh("dpkg -i /tmp/weft-door.deb </dev/null")
    assert "http://localhost:3002" in told
    assert booted.sh("systemctl is-enabled weft-door && systemctl is-active weft-door").split() == ["enabled", "active"]
    assert set(booted.sh("ss -Hltn 'sport = 3002' | awk '{ print $4 }'").split()) == {"127.0.0.1:3002", "[::1]:3002"}
    assert door_answer(booted, NONE) == "502"
    assert json.loads(booted.sh("cat /tmp/answer"))["message"] == "The sandbox was not found"
    assert door_answer(booted, "http://localhost:3002/health") == "200"
    master = int(booted.sh("systemctl show --property MainPID --value weft-door"))
    users = door_workers(booted)
    assert users.pop(master) == "root" and set(users.values()) == {"haproxy"} and users
    assert booted.sh("stat -c '%U:%G %a' /run/weft/door.sock").strip() == "root:haproxy 660"

    # Parts are switched on by links, and a mistake keeps what serves.
    booted.sh(
        "mkdir -p /etc/weft/tls && cd /etc/weft/tls && openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=box"
        " -keyout k -out c 2>/dev/null && cat c k >box.pem && rm c k"
    )
    booted.sh("ln -s /usr/share/weft/door/door-tls.cfg /usr/share/weft/door/door-sni.cfg /etc/weft/door.d/ && systemctl reload weft-door")
    for port in (443, 9443):
        assert door_answer(booted, "-k", f"--resolve '*:{port}:127.0.0.1'", f"https://8080-none.box.example:{port}/") == "502"
    booted.sh("echo nonsense >/etc/weft/door.d/wrong.cfg; ! systemctl reload weft-door && rm /etc/weft/door.d/wrong.cfg")
    assert door_answer(booted, NONE) == "502"

    # A killed worker costs a moment; weftd's end an answer that says so.
    booted.sh("pkill -9 -u haproxy -x haproxy")
    assert door_answer(booted, NONE) in ("502", "503")
    booted.sh("systemctl stop weftd")
    assert door_answer(booted, NONE) == "503"
    booted.sh("systemctl start weftd")
    assert door_answer(booted, NONE) == "502"

    # An upgrade is a reload.
    master = int(booted.sh("systemctl show --property MainPID --value weft-door"))
    booted.sh(
        "cd /tmp && dpkg-deb -R weft-door.deb door-newer && sed -i 's/^Version: .*/&+newer/' door-newer/DEBIAN/control"
        " && dpkg-deb -Znone -b door-newer door-newer.deb && dpkg -i door-newer.deb </dev/null"
    )
    assert int(booted.sh("systemctl show --property MainPID --value weft-door")) == master
    assert door_answer(booted, NONE) == "502"

    files = booted.sh("dpkg -L weft-door | while read -r name; do [ -d \"$name\" ] || echo \"$name\"; done").split()
    booted.sh("dpkg -r weft-door")
    assert booted.sh("systemctl is-active weft-door", check=False).strip() in ("inactive", "unknown") and door_workers(booted) == {}
    booted.sh("rm -r /etc/weft/tls; dpkg -P weft-door; test ! -e /etc/weft/door.d && test ! -e /run/weft-door && test ! -e /usr/share/weft")
    for name in files:
        booted.sh(f"test ! -e {name}")
    assert booted.sh("cat /etc/haproxy/haproxy.cfg") == "# mine\n"
    booted.sh("dpkg -P weft && test ! -e /etc/weft")


DOWNLOAD = 40_000_000


def pattern(length):
    """Of the guest's source."""
    period = bytes((j * 31 + (j >> 8)) & 255 for j in range(65521))
    return period * (length // len(period)) + period[: length % len(period)]


def read_rest(client, length):
    got = bytearray()
    while len(got) < length and (more := client.recv(1 << 20)):
        got += more
    return bytes(got)


def connections_of(machine):
    """{(id, client's address)}: an id alone may be given again."""
    return {(one["id"], one["client"]) for one in json.loads(machine.sh("weftctl connections a1 --json"))["connections"]}


@booting
@pytest.mark.timeout(1200)  # it builds the package
def test_an_upgrade_cuts_off_no_download_and_no_command(booted, host, folder, sdk_folder):
    booted.sh("dpkg -i /tmp/weft.deb </dev/null; weftctl register a1 --port 8080 --default --ready-port 49983")
    box = StandinBox(host, {"netns": "ns-1"}, f"{folder}/box")
    os.mkdir(box.folder)
    clients, sdks, events = [], [], None
    try:
        box.vmm = Vmm(host, [booted.file("/run/netns/ns-1")])
        box.serve()
        box.vmm.guests[0].serve(f"8080,source,{DOWNLOAD}")
        booted.sh("weftctl wait a1 --state ready")
        port = endpoint_port(json.loads(booted.sh("weftctl show a1 --json")), 8080)
        clients.append(host.connect("127.0.0.1", port))
        begun = clients[0].recv(100_000)
        commands = []
        for kind in SDKS:
            sdks.append(Sdk(sdk_folder, kind, host))
            pid = sdks[-1].call("start", cmd="echo begun; read answer; echo ended", stdin=True)["pid"]
            commands.append((sdks[-1], pid, sdks[-1].begin("wait", pid=pid, stream=True)))
            commands[-1][2].wait_events(1)
        process = main_pid(booted)
        before = connections_of(booted)
        assert len(before) >= 3
        events = booted.popen(["weftctl", "events", "--json", "--sandbox", "a1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        lines = Lines(events.stdout)
        assert [json.loads(lines.next())["type"] for _ in range(2)] == ["snapshot", "snapshot-end"]

        told = booted.sh("dpkg -i /tmp/newer.deb </dev/null")
        assert "would start in the place of weftd" in told and "connections" in told
        assert main_pid(booted) not in (0, process)
        assert before <= connections_of(booted), booted.sh("weftctl status")
        assert begun + read_rest(clients[0], DOWNLOAD - len(begun)) == pattern(DOWNLOAD)
        assert clients[0].recv(1) == b""
        types = []
        while types[-2:] != ["snapshot", "snapshot-end"]:
            types.append(json.loads(lines.next())["type"])
        assert types[-3:] == ["stopping", "snapshot", "snapshot-end"]
        for sdk, pid, command in commands:
            assert command.running()
            sdk.call("stdin", pid=pid, data="go on\n")
            assert command.result()["stdout"] == "begun\nended\n"
        assert "lost" not in booted.sh("weftctl status") or '"lost": 0' in booted.sh("weftctl status --json")
    finally:
        for one in [*clients, *sdks]:
            one.close()
        if events:
            events.kill()  # the command itself ends with the machine
            events.wait()
            events.stdout.close()
        box.kill()


def test_an_administrators_own_configuration_stays_unasked(machine):
    """One that was there before the package's: dpkg would ask, and fail without a terminal."""
    for outcome in ("the unpacking fails", "all is well"):
        machine("mkdir -p /etc/weft && echo '[daemon]\nlog_level = debug' >/etc/weft/weftd.conf")
        if outcome == "all is well":
            machine("dpkg -i /tmp/weft.deb </dev/null")
            assert "/etc/weft/weftd.conf" in output(machine("dpkg-query -W -f '${Conffiles}' weft"))
        else:
            machine("head -c 200000 /tmp/weft.deb >/tmp/cut.deb; ! dpkg -i /tmp/cut.deb </dev/null")
        assert output(machine("ls /etc/weft")).split() == ["weftd.conf"], outcome
        assert output(machine("cat /etc/weft/weftd.conf")) == "[daemon]\nlog_level = debug\n", outcome
    machine("dpkg -P weft && test ! -e /etc/weft")


def test_a_removal_leaves_the_networks_of_running_vms_to_the_purge(machine, host):
    machine("dpkg -i /tmp/weft.deb; echo '[names]\nlink_group = 4711' >/etc/weft/weftd.conf")
    process = machine.start()
    wait_for_daemon(machine)
    machine("weftctl register a1 --port 8080; weftctl register a2")
    vmm = Vmm(host, [machine.path("/run/netns/ns-1")])
    try:
        machine("weftctl wait a1 --state attached")
        before = host.state()
        stop(process)
        told = output(machine("dpkg -r weft"))
        assert "left sandbox a1, slot 1: a VM runs on its TAP" in told
        assert "'apt purge weft' removes them" in told
        machine("test ! -e /usr/sbin/weftd && test -e /etc/weft/weftd.conf")
        assert [one for one in difference(before, host.state()) if not one.startswith("processes:")] == []

        # The package comes back, and takes over what it left.
        machine("dpkg -i /tmp/weft.deb && test ! -e /var/lib/weft")
        process = machine.start()
        wait_for_daemon(machine)
        machine("weftctl wait a1 --state attached")
        stop(process)

        # The purge needs neither the configuration, which dpkg removes first, nor libraries, which `apt autoremove` may have removed.
        machine("dpkg -r weft; rm /usr/lib/*/libevent_core* /usr/lib/*/libnftnl*")
        assert "removed namespace /run/netns/ns-1" in output(machine("dpkg -P weft"))
    finally:
        vmm.close()
        if process.poll() is None:
            stop(process)
    machine("test ! -e /var/lib/weft && test ! -e /etc/weft && test ! -e /run/weft && test -z \"$(ls /run/netns)\"")
    assert list(host.links()) == ["lo"]
    assert "weft" not in host.nft()


def test_a_removal_without_vms_leaves_no_network(machine, host):
    machine("dpkg -i /tmp/weft.deb")
    process = machine.start()
    wait_for_daemon(machine)
    machine("weftctl register a1")
    stop(process)
    told = output(machine("dpkg -r weft"))
    assert "removed state of sandbox a1" in told
    machine("test ! -e /var/lib/weft && test -e /etc/weft/weftd.conf && test -z \"$(ls /run/netns)\"")
    assert list(host.links()) == ["lo"]


def test_a_purge_that_cannot_clean_up_says_so_and_can_be_tried_again(machine, host):
    machine("dpkg -i /tmp/weft.deb")
    process = machine.start()
    vmm = None
    try:
        wait_for_daemon(machine)
        machine("weftctl register a1")
        vmm = Vmm(host, [machine.path("/run/netns/ns-1")])
        machine("weftctl wait a1 --state attached")
        told = machine("dpkg -P weft 2>&1 || echo failed")  # there is no service manager that would stop the daemon
        assert "another weftd" in output(told) and "run 'apt purge weft' again" in output(told) and "failed" in output(told)
        machine("test -e /run/netns/ns-1 && test -x /var/lib/weft/weftd")
    finally:
        if vmm:
            vmm.close()
        stop(process)
    machine("dpkg -P weft")
    machine("test ! -e /var/lib/weft && test ! -e /run/weft && test -z \"$(ls /run/netns)\"")
    assert list(host.links()) == ["lo"]
