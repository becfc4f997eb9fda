# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl and weftd together: each command does its work, and shows the real state."""

import contextlib
import json
import os
import re
import socket
import subprocess

import pytest
from harness.daemon import build_dir
from harness.wait import PATIENCE, Lines, poll_until

WEFTCTL = os.path.join(build_dir(), "weftctl")


def test_a_daemon_that_is_stopped_is_named(daemon):
    with daemon.standing_still():
        done = subprocess.run(
            [WEFTCTL, "--socket", daemon.socket, "--deadline", "1", "status"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 4
    assert f"weftd (process {daemon.pid}) does not answer: a signal has stopped it (state T)" in done.stderr
    assert f"kill -CONT {daemon.pid}" in done.stderr
    daemon.ctl("status")


def test_a_sandboxs_life_by_commands(daemon, guest):
    made = json.loads(daemon.ctl("register", "a1", "--port", "8080", "--ready-port", "8080", "--label", "k=v", "--json").stdout)
    assert (made["slot"], made["state"], made["labels"]) == (1, "waiting", {"k": "v"})
    assert "registered a1" in daemon.ctl("register", "a1", "--port", "8080", "--ready-port", "8080", "--label", "k=v").stdout
    assert daemon.ctl("ls", "--label", "k=v").stdout.splitlines()[1].split()[:3] == ["a1", "1", "waiting"]
    assert daemon.ctl("ls", "--label", "k=w").stdout.count("\n") == 1
    assert daemon.ctl("wait", "a1", "--timeout", "0", check=False).returncode == 1

    guest("ns-1")
    assert daemon.ctl("wait", "a1", "--state", "attached").returncode == 0
    assert "10.11.0.1" in daemon.ctl("show", "a1").stdout
    assert daemon.ctl("wait", "none", check=False).returncode == 3

    daemon.ctl("publish", "a1", "81", "82=127.0.0.1:18082")
    ports = {end["guest_port"]: end["listen"] for end in json.loads(daemon.ctl("show", "a1", "--json").stdout)["endpoints"]}
    assert ports[82] == ["127.0.0.1:18082"] and set(ports) == {81, 82, 8080}
    assert daemon.ctl("publish", "a1", "82=127.0.0.1:18082", check=False).returncode == 1
    daemon.ctl("unpublish", "a1", "81", "127.0.0.1:18082")
    assert daemon.ctl("unpublish", "a1", "81", check=False).returncode == 1

    assert daemon.ctl("pause", "a1").stdout == "a1 is paused\n"
    assert daemon.ctl("resume", "a1").stdout.startswith("a1 is ")
    assert daemon.ctl("default", "a1").returncode == 0
    assert json.loads(daemon.ctl("show", "a1", "--json").stdout)["default"] is True
    daemon.ctl("default", "a1", "--off")
    assert json.loads(daemon.ctl("show", "a1", "--json").stdout)["default"] is False

    assert daemon.ctl("unregister", "a1").stdout == "unregistered a1\n"
    assert daemon.ctl("show", "a1", check=False).returncode == 3
    assert daemon.ctl("unregister", "a1", check=False).returncode == 3


def test_a_taken_port_names_its_holder(daemon):
    daemon.ctl("register", "a1", "--port", "80=127.0.0.1:18080")
    done = daemon.ctl("register", "a2", "--port", "80=127.0.0.1:18080", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("weftctl register: --port 80: 127.0.0.1:18080 (tcp) is published already, by sandbox a1")
    assert done.stderr.count("127.0.0.1:18080") == 1


def test_a_body_the_daemon_refuses_is_told_with_its_field(daemon):
    done = daemon.ctl("register", "a1", "--body", "-", check=False, input='{"frob": 1}')
    assert done.returncode == 1
    assert done.stderr == 'weftctl register: /frob: unknown field "frob"\n'
    done = daemon.ctl("register", "a1", "--body", "-", check=False, input='{"labels": {"x": "' + "y" * 200000 + '"}}')
    assert done.returncode == 1
    assert done.stderr == "weftctl register: the body is longer than 64 KiB\n"


def test_policy_is_shown_changed_and_asked(daemon):
    daemon.ctl("register", "a1")
    assert daemon.ctl("policy", "a1").stdout == "internet  yes\n"
    shown = daemon.ctl("policy", "a1", "--internet", "no", "--allow", "203.0.113.7:tcp:443", "--deny", "198.51.100.0/24").stdout
    assert shown.splitlines() == ["internet  no", "allow     203.0.113.7/32 tcp 443", "deny      198.51.100.0/24"]
    assert daemon.ctl("reach", "a1", "203.0.113.7:443").stdout.startswith("allowed")
    assert daemon.ctl("reach", "a1", "203.0.113.7:80").stdout.startswith("denied")
    assert daemon.ctl("reach", "a1", "10.0.0.1:80").stdout.startswith("denied")
    assert daemon.ctl("policy", "a1", "--allow", "none").stdout.splitlines() == ["internet  no", "deny      198.51.100.0/24"]


def test_connections_and_status(daemon, host):
    daemon.ctl("register", "a1", "--port", "80=127.0.0.1:18080")
    with host.connect("127.0.0.1", 18080):
        # The kernel accepts the connection before weftd does.
        rows = poll_until(lambda: daemon.ctl("connections", "a1").stdout.splitlines()[1:])
        assert len(rows) == 1 and "127.0.0.1:18080" in rows[0]
    assert "running" in daemon.ctl("status").stdout
    assert json.loads(daemon.ctl("status", "--json").stdout)["sandboxes"]["waiting"] == 1


def test_events_follow_a_sandbox(daemon, host):
    child = host.popen(
        [WEFTCTL, "--socket", daemon.socket, "events", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    lines = Lines(child.stdout)
    try:
        while json.loads(lines.next())["type"] != "snapshot-end":
            pass
        daemon.ctl("register", "a1")
        seen = []
        while "waiting" not in [event.get("to") for event in seen]:
            seen.append(json.loads(lines.next()))
        daemon.ctl("unregister", "a1")
        while seen[-1]["type"] != "unregistered":
            seen.append(json.loads(lines.next()))
        assert {event["sandbox"] for event in seen if event["type"] != "heartbeat"} == {"a1"}
    finally:
        child.terminate()
        child.wait()
        child.stdout.close()


def is_connected(process):
    """Whether PROCESS has a unix socket that is connected, be it accepted or not yet."""
    folder = f"/proc/{process.pid}"
    own = set()
    for number in os.listdir(f"{folder}/fd"):
        with contextlib.suppress(OSError):
            own.add(os.readlink(f"{folder}/fd/{number}"))
    with open(f"{folder}/net/unix", encoding="ascii", errors="replace") as table:
        lines = [line.split() for line in table][1:]
    return any(f"socket:[{line[6]}]" in own and line[5] == "03" for line in lines)


def test_streams_and_waits_end_with_a_word_and_go_on_over_a_restart(weftd, host, guest):
    daemon = weftd({"http": {"listen": "127.0.0.1:9477"}})
    daemon.api.register("a1")
    common = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    children = [host.popen([WEFTCTL, "--socket", daemon.socket, *words], **common) for words in (["events", "--json"], ["wait", "a1", "--timeout", "300"])]
    events, told = Lines(children[0].stdout), Lines(children[1].stderr)
    remote, waiting = host.connect("127.0.0.1", 9477), socket.socket(socket.AF_UNIX)
    try:
        waiting.connect(daemon.socket)
        waiting.sendall(b"GET /v1/sandboxes/a1?wait=ready&timeout=300 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        remote.sendall(b"GET /v1/events HTTP/1.0\r\n\r\n")
        seen = [json.loads(events.next()) for _ in range(2)]
        with daemon.api.events() as lines:
            assert [next(lines)["type"] for _ in range(2)] == ["snapshot", "snapshot-end"]
            daemon.api.patch("a1", {"labels": {"k": "v"}, "publish": [80]})
            poll_until(lambda: is_connected(children[1]))
            daemon.stop()
            last = list(lines)[-1]
        assert (last["type"], last["boot"]) == ("stopping", seen[-1]["boot"])
        assert b'"type":"stopping"' in remote.makefile("rb").read().splitlines()[-1]
        while seen[-1]["type"] != "stopping":
            seen.append(json.loads(events.next()))
        assert seen[-1]["seq"] == last["seq"] == max(one["seq"] for one in seen)
        head, body = waiting.makefile("rb").read().split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in head
        assert json.loads(body)["detail"] == "weftd is stopping"
        # The second, where it had only connected.
        assert re.fullmatch("weftctl wait: weftd (is stopping|ended while it was asked); trying again for up to 300 s", told.next())

        daemon.start()
        again = [json.loads(events.next()) for _ in range(2)]
        assert [one["type"] for one in again] == ["snapshot", "snapshot-end"]
        assert again[0]["object"]["labels"] == {"k": "v"} and again[0]["boot"] != seen[0]["boot"]
        assert children[1].poll() is None
        guest("ns-1")
        assert children[1].wait(PATIENCE) == 0
        assert children[1].stdout.read() == b"a1 is ready\n"
    finally:
        remote.close()
        waiting.close()
        children[0].terminate()
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()
        said = children[0].stderr.read().decode()
        for child in children:
            child.stderr.close()
    assert "weftd is stopping; trying again for up to 60 s" in said
    assert f"another run of weftd answers (boot {again[0]['boot']}, after {seen[0]['boot']})" in said


def test_diagnose_names_the_tap_without_a_vm(daemon):
    daemon.ctl("register", "a1", "--port", "80")
    done = daemon.ctl("diagnose", "a1", check=False)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "FAIL  tap" in done.stdout
    assert done.stdout.count("FAIL") == 1
    assert "cause: " in done.stdout


def test_exec_is_in_the_sandboxs_namespace(daemon):
    daemon.ctl("register", "a1")
    done = daemon.ctl("exec", "a1", "--", "ip", "-o", "-4", "addr", "show", "tap0")
    assert "169.254.0.22/30" in done.stdout
    assert set(daemon.ctl("exec", "a1", "ls", "/sys/class/net").stdout.split()) >= {"eth0", "tap0", "lo"}
    assert daemon.ctl("exec", "none", "true", check=False).returncode == 125


def test_top_and_doctor_see_the_daemon(daemon):
    daemon.ctl("register", "a1")
    look = json.loads(daemon.ctl("top", "--json", "--count", "1").stdout)
    assert [row["id"] for row in look["sandboxes"]] == ["a1"]
    done = daemon.ctl("doctor", "--json", "--config", daemon.config, check=False)
    report = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert f"process {daemon.pid}" in report["leftovers"]["detail"]
    for check in ("ip_forward", "routes", "firewall", "ports", "link_group", "descriptors", "redirects", "tunnels"):
        assert report[check]["status"] in ("ok", "warn"), report[check]
    assert report["routes"]["status"] == report["link_group"]["status"] == report["ports"]["status"] == "ok", report


@pytest.mark.parametrize("command", [["show", "a1", "--firecracker"], ["show", "a1", "--qemu"], ["show", "a1", "--cloud-hypervisor"]])
def test_a_vmm_is_told_the_boot_argument(daemon, command):
    made = json.loads(daemon.ctl("register", "a1", "--json").stdout)
    assert made["guest"]["boot_arg"] in daemon.ctl(*command).stdout


CONF = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "conf/completion")

# Each completes the last argument: bash and zsh with the words as these shells hand them to a completion.
COMPLETE = {
    "bash": """
source "$1/weftctl.bash"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_weftctl
printf '%s\\n' "${COMPREPLY[@]}"
""",
    "zsh": """
_describe() { print -l -- "${candidates[@]%%:*}" }
file="$1/_weftctl"
shift
words=("$@") CURRENT=$#
source "$file"
""",
    "fish": """
set -x PATH (dirname $argv[2]) $PATH
source $argv[1]/weftctl.fish
complete -C (string join " " -- weftctl $argv[3..-1])
""",
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_options_values_and_sandboxes(daemon, shell):
    daemon.ctl("register", "a1", "--port", "80", "--port", "53/udp")
    daemon.ctl("register", "b1")

    def complete(*words):
        arguments = [CONF, WEFTCTL, "--socket", daemon.socket, *words]
        shells = {"fish": ["fish", "-c", COMPLETE[shell], *arguments]}
        command = shells.get(shell, [shell, "-c", COMPLETE[shell], shell, *arguments])
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return sorted(line.split("\t")[0] for line in done.stdout.splitlines())

    assert complete("unreg") == ["unregister"]
    assert complete("diagnose", "") == ["a1", "b1"]
    assert complete("unregister", "b") == ["b1"]
    assert complete("register", "x", "--po") == ["--port"]
    assert complete("wait", "a1", "--state", "re") == ["ready"]
    assert complete("unpublish", "a1", "") == ["53/udp", "80"]
    assert "--interval" in complete("top", "--")


def test_limits_that_are_set_reach_open_connections(daemon, guest, host):
    made = json.loads(daemon.ctl("register", "a1", "--port", "7", "--json").stdout)
    guest(made["netns"]).serve("7,echo")
    daemon.ctl("wait", "a1", "--state", "ready")
    port = int(made["endpoints"][0]["listen"][0].split(":")[1])
    with host.connect("127.0.0.1", port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        daemon.ctl("set", "a1", "--idle", "100ms", "--keepalive", "7s", "--to-guest", "1G", "--label", "x=y")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
    shown = json.loads(daemon.ctl("show", "a1", "--json").stdout)
    assert shown["limits"]["idle_ms"] == 100 and shown["bandwidth"]["to_guest"]["rate"] == 1 << 30
    assert shown["labels"] == {"x": "y"} and shown["limits"]["connect_deadline_ms"] == 30000
    assert daemon.ctl("set", "a1", "--unlabel", "z", check=False).stderr == "weftctl set: --unlabel z: there is no such label\n"


def test_udp_and_header_are_published_and_taken_back(daemon):
    daemon.ctl("register", "a1", "--port", "53", "--name", "web")
    assert "web" in daemon.ctl("show", "web").stdout
    daemon.ctl("set", "web", "--name", "dns")
    assert json.loads(daemon.ctl("show", "dn", "--json").stdout)["id"] == "a1"
    assert daemon.ctl("show", "web", check=False).returncode == 3
    daemon.ctl("publish", "a1", "53/udp")
    daemon.ctl("publish", "a1", "80", "--proxy-protocol")
    ports = json.loads(daemon.ctl("show", "a", "--json").stdout)["endpoints"]
    assert [(port["guest_port"], port["proto"], port.get("proxy_protocol")) for port in ports] == [
        (53, "tcp", None),
        (53, "udp", None),
        (80, "tcp", "v2"),
    ]
    daemon.ctl("unpublish", "a1", "53/udp")
    ports = json.loads(daemon.ctl("show", "a1", "--json").stdout)["endpoints"]
    assert [(port["guest_port"], port["proto"]) for port in ports] == [(53, "tcp"), (80, "tcp")]
