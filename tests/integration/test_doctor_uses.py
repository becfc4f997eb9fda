# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl doctor beside a running daemon: it judges by what that daemon uses, and looks at what weft depends on."""

import contextlib
import json
import os
import re
import subprocess
import sys

import pytest
from harness.wait import poll_until
from test_doctor import Doctor, sysctl

PATIENT = ["--deadline", "60"]

# Words of advice that would take a live guest out of its isolation, or its network from it.
HARM = re.compile(r"group default|group 0|nomaster|netns del|link del|link set .* down|flush|delete table|-F\b|--cleanup(?! --unless-live)")


@pytest.fixture
def doctor(host, folder):
    return Doctor(host, folder)


def test_the_running_daemon_says_what_it_uses(weftd, host, folder):
    daemon = weftd({"names": {"veth_prefix": "w", "link_group": 77}, "ports": {"allow_address": ["192.0.2.0/24", "198.51.100.7"]}})
    uses = daemon.api.status()["uses"]
    assert (uses["config"], uses["state_dir"]) == (daemon.config, os.path.join(daemon.folder, "state"))
    assert uses["layouts"][0] == {
        "netns_dir": "/run/netns",
        "netns_prefix": "ns-",
        "veth_prefix": "w",
        "link_group": 77,
        "host_cidr": "10.11.0.0/16",
        "veth_cidr": "10.12.0.0/16",
    }
    assert uses["options"]["names"]["link_group"] == "77"
    assert uses["options"]["ports"]["allow_address"] == ["192.0.2.0/24", "198.51.100.7/32"]
    assert uses["options"]["http"]["listen"] == []


def test_a_changed_file_turns_no_live_sandbox_into_a_stranger(weftd, host, doctor):
    sysctl(host, "net.ipv4.ip_forward", 1)
    daemon = weftd()
    doctor.socket = daemon.socket
    daemon.api.register("a1")
    doctor.only("configuration", "ok", "weftd uses", daemon.config, arguments=PATIENT)
    doctor.only("link_group", "ok", "group 1874 has 1 links", arguments=PATIENT)

    daemon.write_config({"names": {"veth_prefix": "sb-"}, "addresses": {"host_cidr": "10.21.0.0/16"}})
    doctor.only("configuration", "warn", "2 values", "[names] veth_prefix = sb- (in use: veth-)", arguments=PATIENT)
    doctor.only("link_group", "ok", "group 1874 has 1 links", arguments=PATIENT)
    found = daemon.api.get("/v1/doctor", timeout=120).expect(200)["findings"]
    assert [one["status"] for one in found if one["check"] in ("link_group", "configuration", "routes")] == ["warn", "ok", "ok"]

    # Nor does whoever is pointed at another file, as `weftd --check` is, nor without the daemon.
    for arguments in (["--config", daemon.config], None):
        if arguments is None:
            daemon.kill()
            arguments = ["--config", daemon.config]
        told = doctor.run("--json", *PATIENT, *arguments).stdout
        assert not HARM.search(told), told
    assert not HARM.search(daemon.run("--check").stdout)

    daemon.write_config({})
    daemon.start()


def test_a_file_that_the_next_start_refuses_is_a_fault(weftd, doctor):
    daemon = weftd()
    doctor.socket = daemon.socket
    daemon.write_config({"names": {"veth_prefix": ""}})
    found = doctor.findings("configuration", arguments=PATIENT)
    assert found[0]["status"] == "fail" and "weftd.conf:2" in found[0]["detail"], found
    daemon.write_config({})


@contextlib.contextmanager
def mounted(host, path, options):
    os.makedirs(path, exist_ok=True)
    host.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path])
    try:
        yield
    finally:
        host.run(["umount", path])


def test_the_state_directory_is_looked_at(weftd, host, doctor, folder):
    daemon = weftd()
    doctor.socket = daemon.socket
    found = doctor.only("state_directory", "ok", f"{daemon.folder}/state takes files", arguments=PATIENT)
    assert "as far as" not in found["detail"]
    state = f"{folder}/other"

    def finding(*words):
        told = daemon.run("--check", "--state-dir", state).stdout
        lines = [line for line in told.splitlines() if "state_directory" in line]
        assert lines and all(word in lines[0] for word in words), (words, told)

    with mounted(host, state, "size=64k,mode=700"):
        host.run(["sh", "-c", f"head -c 1000000 /dev/zero > {state}/fill"], check=False)
        finding("fail", "is on a full file system")
        host.run(["rm", f"{state}/fill"])
        host.run(["mount", "-o", "remount,ro", state])
        finding("fail", "mounted read-only")
    with mounted(host, state, "nr_inodes=2,mode=700"):
        host.run(["sh", "-c", f"touch {state}/1 {state}/2"], check=False)
        finding("fail", "without free inodes")
    with mounted(host, state, "size=64k,mode=777"):
        finding("fail", "mode 0777")


def test_a_foreign_startup_reclaim_is_named(host, doctor, folder):
    program = f"{folder}/orchestrator"
    os.symlink("/bin/sleep", program)

    @contextlib.contextmanager
    def running(**environment):
        process = subprocess.Popen([program, "600"], env=environment)
        try:
            poll_until(lambda: open(f"/proc/{process.pid}/comm", encoding="utf-8").read() == "orchestrator\n")
            yield process.pid
        finally:
            process.kill()
            process.wait()

    doctor.only("startup_reclaim", "ok", "no orchestrator")
    with running(A="1", DISABLE_STARTUP_RECLAIM="false", Z="2") as pid:
        doctor.only("startup_reclaim", "fail", f"process {pid} (orchestrator)", "DISABLE_STARTUP_RECLAIM=true", "before its next start")
        doctor.only("startup_reclaim", "ok", config="[names]\nnetns_prefix = weft-\n")
    with running(A="1", DISABLE_STARTUP_RECLAIM="true", Z="2"):
        doctor.only("startup_reclaim", "ok", "leaves weft's slots alone")
    host.run(["nft", "add", "table", "inet", "v2-host-firewall"])
    host.run(["nft", "add", "chain", "inet", "v2-host-firewall", "forward"])
    doctor.only("startup_reclaim", "warn", "table inet v2-host-firewall")


@contextlib.contextmanager
def listening(host, *address):
    serve = "import socket, sys; s = socket.create_server((sys.argv[1], int(sys.argv[2]))); print('ready', flush=True); s.accept()"
    process = host.popen([sys.executable, "-c", serve, *address], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_service_that_guests_cannot_reach_is_named(host, doctor, folder):
    path = f"{folder}/app.sock"
    port = "[egress]\nallow_host = 192.0.2.1:80=5010\n"
    doctor.only("services", "ok", "no service of the host")
    doctor.only("services", "warn", "nobody listens on 0.0.0.0:5018, for [egress] redirect *:5018", config="[egress]\nredirect = *:5018\n")
    doctor.only("services", "warn", "nobody listens on 0.0.0.0:5010, for [egress] allow_host 192.0.2.1:80=5010", config=port)
    with listening(host, "127.0.0.1", "5010"):
        doctor.only("services", "warn", "nobody listens on 0.0.0.0:5010", "loopback", config=port)
    with open(path, "w", encoding="utf-8"):
        pass
    doctor.only("services", "fail", f"{path} of [egress] allow_host", "no socket", config=f"[egress]\nallow_host = 192.0.2.1:80=unix:{path}\n")
    host.run(["iptables", "-P", "INPUT", "DROP"])
    fix = "iptables -I INPUT -i veth-+ -p tcp --dport 5010 -j ACCEPT"
    with listening(host, "0.0.0.0", "5010"):
        doctor.only("services", "fail", "port 5010, for [egress] allow_host 192.0.2.1:80=5010", fix, config=port)
        host.run(fix.split())
        doctor.only("services", "ok", "are clear", config=port)


def test_a_daemon_that_is_kept_from_running_is_told_with_its_state(weftd, doctor, host):
    daemon = weftd()
    doctor.socket = daemon.socket
    trace = "import ctypes, os, sys; ctypes.CDLL(None).ptrace(16, int(sys.argv[1]), 0, 0); os.waitpid(int(sys.argv[1]), 0x40000000); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", trace, str(daemon.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tracer:
        assert tracer.stdout.readline() == "held\n"
        words = ("does not answer", f"a debugger has stopped it (state t): process {tracer.pid}")
        doctor.only("leftovers", "fail", *words, arguments=["--deadline", "1"])
        tracer.stdin.close()


def test_slots_of_a_former_configuration_are_wefts(weftd, doctor, host):
    sysctl(host, "net.ipv4.ip_forward", 1)
    daemon = weftd()
    doctor.socket = daemon.socket
    daemon.api.register("a1")
    daemon.stop()
    daemon.write_config({"names": {"veth_prefix": "sb-", "link_group": 77}, "addresses": {"host_cidr": "10.21.0.0/16"}})
    daemon.start()
    daemon.api.register("b2")
    layouts = daemon.api.status()["uses"]["layouts"]
    assert [(one["veth_prefix"], one["link_group"], one["host_cidr"]) for one in layouts] == [
        ("sb-", 77, "10.21.0.0/16"),
        ("veth-", 1874, "10.11.0.0/16"),
    ]
    doctor.only("link_group", "ok", "group 77 and 1874 has 2 links", arguments=PATIENT)
    doctor.only("routes", "ok", "in ranges of slots made earlier", arguments=PATIENT)
    found = daemon.api.get("/v1/doctor", timeout=120).expect(200)["findings"]
    assert [one["detail"] for one in found if one["check"] == "link_group"] == ["group 77 and 1874 has 2 links, all of weft's"]
    # Without the daemon, and by the former file alone, nothing is advised that would change a group.
    daemon.write_config({})
    daemon.kill()
    told = doctor.run("--json", "--config", daemon.config).stdout
    assert not HARM.search(told) and "link set" not in told, told
    found = [one for one in json.loads(told) if one["check"] == "link_group"]
    assert [one["status"] for one in found] == ["warn"] and "sandbox b2" in found[0]["detail"], found
    assert "group 77, and weft's is 1874" in found[0]["detail"] and "leave it as it is" in found[0]["fix"], found
    daemon.start()
