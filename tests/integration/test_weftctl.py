# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl against a daemon with scripted answers: its requests, its output, and its exit codes."""

import json
import os
import pwd
import pty
import signal
import socket
import subprocess
import termios
import threading
import time

import pytest
from fake_weftd import FakeWeftd, chunk, http, problem, sandbox, stopping
from harness.daemon import build_dir, timed
from harness.terminal import Terminal, too_wide
from harness.wait import PATIENCE, Lines, poll_until, readable

WEFTCTL = os.path.join(build_dir(), "weftctl")

DONE, FAILED, USAGE, NO_SANDBOX, UNREACHABLE, FAULT = range(6)


@pytest.fixture
def fake(folder):
    made = FakeWeftd(f"{folder}/control.sock")
    yield made
    made.close()
    assert not made.answers, "fewer requests than the test expected"


@pytest.fixture
def run(folder):
    def run(*arguments, stdin=None, timeout=PATIENCE, env=None):
        return subprocess.run(
            [WEFTCTL, "--socket", f"{folder}/control.sock", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **(env or {})},
        )

    return run


def test_register_sends_what_the_options_say(fake, run):
    fake.answers = [http(201, sandbox())]
    done = run(
        *["register", "a1", "--port", "49983", "--port", "8080=127.0.0.1:18080", "--default", "--ready-port", "49983"],
        *["--tap-owner", "123:100", "--label", "template=base", "--label", "x="],
    )
    assert done.returncode == DONE, done.stderr
    assert fake.requests == [
        (
            "PUT",
            "/v1/sandboxes/a1",
            {
                "ports": [49983, {"guest_port": 8080, "listen": "127.0.0.1:18080"}],
                "labels": {"template": "base", "x": ""},
                "tap_owner": {"uid": 123, "gid": 100},
                "ready_port": 49983,
                "default": True,
            },
        )
    ]
    assert done.stdout.startswith("registered a1: slot 110, ns-110, tap0, host address 10.11.0.110, waiting\n")
    assert "127.0.0.1:20000, [::1]:20000" in done.stdout


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_register_sends_a_body_as_it_stands(fake, run, folder, source):
    fake.answers = [http(200, sandbox())]
    body = {"ports": [80], "limits": {"connections": 7}}
    with open(f"{folder}/body", "w", encoding="utf-8") as file:
        json.dump(body, file)
    path = f"{folder}/body" if source == "file" else "-"
    done = run("register", "a1", "--body", path, "--json", stdin=json.dumps(body))
    assert done.returncode == DONE, done.stderr
    assert fake.requests == [("PUT", "/v1/sandboxes/a1", body)]
    assert json.loads(done.stdout) == sandbox()


def test_a_body_that_cannot_be_read_fails(run, folder):
    done = run("register", "a1", "--body", f"{folder}/none")
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr == f"weftctl register: --body {folder}/none: No such file or directory\n"
    assert run("register", "a1", "--body", "-", stdin="").returncode == FAILED


@pytest.mark.parametrize(
    "command, target, body",
    [
        (["publish", "a1", "80", "81=localhost:82"], None, {"publish": [80, {"guest_port": 81, "listen": "localhost:82"}]}),
        (["publish", "a1", "53/udp"], None, {"publish": [{"guest_port": 53, "proto": "udp"}]}),
        (
            ["publish", "a1", "--nat", "80=192.0.2.1:80"],
            None,
            {"publish": [{"guest_port": 80, "listen": "192.0.2.1:80", "via": "nat"}]},
        ),
        (["publish", "a1", "80", "--proxy-protocol"], None, {"publish": [{"guest_port": 80, "proxy_protocol": "v2"}]}),
        (["unpublish", "a1", "53/udp"], None, {"unpublish": ["53/udp"]}),
        (["unpublish", "a1", "80", "127.0.0.1:81"], None, {"unpublish": [80, "127.0.0.1:81"]}),
        (["default", "a1"], None, {"default": "take"}),
        (["default", "a1", "--off"], None, {"default": False}),
        (["pause", "a1"], None, {"paused": True}),
        (["resume", "a1"], None, {"paused": False, "flows": "keep"}),
        (["resume", "a1", "--flows", "reset"], None, {"paused": False, "flows": "reset"}),
    ],
)
def test_changes_are_patches(fake, run, command, target, body):
    fake.answers = [http(200, sandbox()), http(200, sandbox())]
    assert run(*command).returncode == DONE
    done = run(*command, "--json")
    assert json.loads(done.stdout) == sandbox()
    assert fake.requests == [("PATCH", target or "/v1/sandboxes/a1", body)] * 2


def test_unregister_says_whether_it_drains(fake, run):
    fake.answers = [http(204), http(202, sandbox(state="draining")), http(204)]
    assert run("unregister", "a1").stdout == "unregistered a1\n"
    assert "a1 is draining" in run("unregister", "a1", "--drain", "5").stdout
    done = run("unregister", "a1", "--json")
    assert (done.returncode, done.stdout) == (DONE, "")
    assert [request[1] for request in fake.requests] == [
        "/v1/sandboxes/a1",
        "/v1/sandboxes/a1?drain=5",
        "/v1/sandboxes/a1",
    ]


def test_policy_changes_only_what_is_given(fake, run):
    status = http(200, {"uses": {"options": {"egress": {"redirect": []}}}})
    fake.answers = [http(200, sandbox()), http(200, sandbox()), status] * 4
    assert run("policy", "a1", "--internet", "no").returncode == DONE
    assert run("policy", "a1", "--deny", "192.0.2.0/24", "--deny", "10.1.2.3:tcp:80,443").returncode == DONE
    assert run("policy", "a1", "--allow", "none").returncode == DONE
    assert run("policy", "a1", "--isolated", "yes", "--dscp", "46").returncode == DONE
    assert [request[2] for request in fake.requests if request[0] == "PATCH"] == [
        {"egress": {"internet": False, "allow": ["203.0.113.0/24"], "deny": []}},
        {
            "egress": {
                "internet": True,
                "allow": ["203.0.113.0/24"],
                "deny": ["192.0.2.0/24", {"cidr": "10.1.2.3", "proto": "tcp", "ports": [80, 443]}],
            }
        },
        {"egress": {"internet": True, "allow": [], "deny": []}},
        {"egress": {"internet": True, "allow": ["203.0.113.0/24"], "deny": [], "isolated": True, "dscp": 46}},
    ]


def test_set_changes_only_what_is_given(fake, run):
    limits = {"connections": 5, "connect_deadline_ms": 30000, "idle_ms": 0, "half_closed_ms": 0, "keepalive_ms": 15000}
    bandwidth = {"to_guest": {"rate": 1, "burst": 2}, "from_guest": {"rate": 3, "burst": 4}}
    before = http(200, sandbox(labels={"a": "1", "b": "2"}, bandwidth=bandwidth, limits=limits))
    fake.answers = [before, http(200, sandbox())] * 5
    assert run("set", "a1", "--name", "web").returncode == DONE
    assert run("set", "a1", "--name", "").returncode == DONE
    assert run("set", "a1", "--label", "c=3", "--label", "a=", "--unlabel", "b").returncode == DONE
    assert run("set", "a1", "--to-guest", "12M,1M").returncode == DONE
    assert run("set", "a1", "--idle", "90s", "--connections", "none").stdout == "changed a1\n"
    assert [request[2] for request in fake.requests if request[0] == "PATCH"] == [
        {"name": "web"},
        {"name": ""},
        {"labels": {"a": "", "c": "3"}},
        {"bandwidth": {**bandwidth, "to_guest": {"rate": 12 << 20, "burst": 1 << 20}}},
        {"limits": {**limits, "idle_ms": 90000, "connections": 0}},
    ]


def test_policy_alone_shows_it(fake, run):
    services = ["192.0.2.1:80=5010", "192.0.2.1:81=unix:/run/app.sock"]
    status = http(200, {"uses": {"options": {"egress": {"allow_host": services, "redirect": ["80:5016", "*:5018"]}}}})
    fake.answers = [http(200, sandbox()), status]
    assert run("policy", "a1").stdout.splitlines() == [
        "internet  yes",
        "allow     203.0.113.0/24",
        "services  192.0.2.1:80=5010  [egress] allow_host: open, whatever stands above",
        "          192.0.2.1:81=unix:/run/app.sock",
        "proxies   80:5016  [egress] redirect: they judge TCP, and the policy judges the rest",
        "          *:5018",
    ]
    # Nothing gets to a proxy either.
    fake.answers = [http(200, sandbox(egress={"internet": True, "allow": [], "deny": [], "dscp": 46, "isolated": True}))]
    assert run("policy", "a1").stdout.splitlines() == [
        "internet  yes",
        "dscp      46",
        "isolated  yes: nothing that the guest begins gets out, whatever stands above",
    ]


def test_ls_is_a_table_that_awk_can_read(fake, run):
    fake.answers = [http(200, {"sandboxes": [sandbox(), sandbox(id="b" * 64, slot=111, state="ready", default=False)]})]
    lines = run("ls", env={"COLUMNS": "20"}).stdout.splitlines()
    assert lines[0].split() == ["SANDBOX", "SLOT", "STATE", "SINCE", "IDLE", "HOST-IP", "CONN", "PORTS"]
    assert [line.split()[0] for line in lines[1:]] == ["a1", "b" * 64]
    assert [line.split()[2] for line in lines[1:]] == ["waiting", "ready"]
    assert lines[0].index("STATE") == lines[1].index("waiting") == lines[2].index("ready")


def test_ls_filters_by_asking(fake, run):
    fake.answers = [http(200, {"sandboxes": []})]
    done = run("ls", "--state", "ready", "--label", "a b=c&d", "--json")
    assert json.loads(done.stdout) == {"sandboxes": []}
    assert fake.requests[0][1] == "/v1/sandboxes?state=ready&label=a%20b%3Dc%26d"


PORTS = [
    {"guest_port": 80, "proto": "tcp", "via": "forwarder", "listen": ["127.0.0.1:18080", "127.0.0.1:18081", "[::1]:18080"]},
    {"guest_port": 53, "proto": "udp", "via": "forwarder", "listen": ["192.0.2.2:53"], "open": False},
    {"guest_port": 81, "proto": "tcp", "via": "nat", "listen": ["192.0.2.2:81"], "open": True},
    {"guest_port": 82, "proto": "tcp", "via": "forwarder", "listen": ["[::1]:82"], "proxy_protocol": "v2"},
]


def test_ls_shows_protocol_and_kind_of_each_port(fake, run):
    fake.answers = [http(200, {"sandboxes": [sandbox(endpoints=PORTS)]})] * 2
    assert run("ls").stdout.splitlines()[1].endswith(
        "  default, 18080,18081->80/tcp, 192.0.2.2:53->53/udp(not open), 192.0.2.2:81->81/tcp(nat), 82->82/tcp(proxy-v2)"
    )
    assert run("ls", "--wide").stdout.splitlines()[1].endswith(
        "  127.0.0.1:18080,127.0.0.1:18081,[::1]:18080->80/tcp(forwarder), 192.0.2.2:53->53/udp(forwarder, not open), "
        "192.0.2.2:81->81/tcp(nat), [::1]:82->82/tcp(forwarder, proxy-v2)"
    )


def five():
    """Five sandboxes that differ in all that can be asked for."""
    counters = sandbox()["counters"]
    return [
        sandbox(id="e5", slot=1, state="ready", since="2026-01-14T09:37:05Z", labels={"k": "v", "l": "w"}),
        sandbox(id="d4", slot=2, since="2026-01-14T09:37:04Z", name="web-1", endpoints=PORTS, default=False),
        sandbox(id="c3", slot=3, since="2026-01-14T09:37:03Z", counters={**counters, "connections_open": 9}, labels={"k": "x"}),
        sandbox(id="b2", slot=4, state="failed", since="2026-01-14T09:37:02Z", counters={**counters, "bytes_to_guest": 7}),
        sandbox(id="a1", slot=5, since="2026-01-14T09:37:01Z", counters={**counters, "connections_open": 10}, name="db"),
    ]


@pytest.mark.parametrize(
    "options, ids",
    [
        ([], "e5 d4 c3 b2 a1"),
        (["--filter", "state=ready"], "e5"),
        (["--filter", "state=ready", "--filter", "state=failed"], "e5 b2"),
        (["--filter", "label=k"], "e5 c3"),
        (["--filter", "label=k=v"], "e5"),
        (["--filter", "label=k", "--filter", "label=l=w"], "e5"),
        (["--filter", "label=k", "--filter", "state=waiting"], "c3"),
        (["--filter", "name=web"], "d4"),
        (["--filter", "name=b"], "d4 b2 a1"),
        (["--filter", "id=c"], "c3"),
        (["--filter", "port=53"], "d4"),
        (["--filter=default=no"], "d4"),
        (["--sort", "id"], "a1 b2 c3 d4 e5"),
        (["--sort", "-slot"], "a1 b2 c3 d4 e5"),
        (["--sort", "name"], "e5 c3 b2 a1 d4"),
        (["--sort", "since"], "a1 b2 c3 d4 e5"),
        (["--sort", "state"], "b2 e5 d4 c3 a1"),
        (["--sort", "-conn"], "a1 c3 e5 d4 b2"),
        (["--sort", "-traffic"], "b2 e5 d4 c3 a1"),
        (["--sort=-conn", "--filter", "state=waiting"], "a1 c3 d4"),
    ],
)
def test_ls_chooses_and_sorts_ids_table_and_json_alike(fake, run, options, ids):
    fake.answers = [http(200, {"sandboxes": five(), "adopting": True})] * 3
    assert run("ls", "-q", *options).stdout.split() == ids.split()
    assert [line.split()[0] for line in run("ls", *options).stdout.splitlines()[1:]] == ids.split()
    by_id = {one["id"]: one for one in five()}
    listed = json.loads(run("ls", "--json", *options).stdout)
    assert listed == {"sandboxes": [by_id[id] for id in ids.split()], "adopting": True}


WAKE = {"ports": [8080, "5353/udp"], "min_awake_ms": 5000, "timeout_ms": 90000, "asked_at": None, "by": None}
ASKED = {**WAKE, "asked_at": "2026-01-14T09:37:00Z", "by": "8080/tcp from 192.0.2.7"}


def sleepers():
    """One that nothing wakes, one that is asleep, one whose manager was asked, and one that is awake."""
    return [
        sandbox(id="a1", slot=1, state="paused", wake=None, idle_ms=0),
        sandbox(id="b2", slot=2, state="paused", wake=WAKE, idle_ms=192000),
        sandbox(id="c3", slot=3, state="paused", wake=ASKED, idle_ms=9500),
        sandbox(id="d4", slot=4, state="ready", wake=WAKE),
    ]


def test_ls_tells_who_is_asleep_and_for_how_long_idle(fake, run):
    fake.answers = [http(200, {"sandboxes": sleepers()})] * 3
    lines = [line.split() for line in run("ls").stdout.splitlines()]
    assert lines[0][4] == "IDLE"
    assert [(line[2], line[4]) for line in lines[1:]] == [("paused", "0ms"), ("asleep", "3m12s"), ("waking", "9.5s"), ("ready", "-")]
    assert run("ls", "-q", "--filter", "wake=asleep").stdout.split() == ["b2", "c3"]
    assert run("ls", "-q", "--filter", "wake=asked").stdout.split() == ["c3"]


@pytest.mark.parametrize(
    "ports, words",
    [
        ([8080], "port 8080"),
        ([8080, "5353/udp"], "ports 8080, 5353/udp"),
        ("any", "any port"),
        ("published", "published ports 80, 53/udp, 81, 82"),
    ],
)
def test_show_says_what_would_wake_it_and_who_has(fake, run, ports, words):
    wake = {**ASKED, "ports": ports}
    fake.answers = [http(200, sandbox(state="paused", wake=wake, endpoints=PORTS, idle_ms=9500, idle_report_ms=60000)), http(200, {"not_open": []})]
    rows = shown(run, "a1")
    assert rows["state"][0].endswith(", waking")
    assert rows["idle"] == ["for 9.5s, reported after 1m00s"]
    assert rows["woken by"] == [words]
    assert rows["woken by: times"] == ["not within 5.0s of a pause; clients are held for 1m30s"]
    assert rows["woken by: asked"][0].startswith("2026-01-14T09:37:00Z (") and rows["woken by: asked"][0].endswith("ago), because of 8080/tcp from 192.0.2.7")


def test_show_says_that_nothing_wakes_it(fake, run):
    fake.answers = [http(200, sandbox(state="paused", wake=None, endpoints=[]))]
    assert shown(run, "a1")["woken by"] == ["nothing"]


def test_wake_asks_and_says_so(fake, run):
    fake.answers = [http(202, sandbox(state="paused", wake={**ASKED, "by": "api"})), http(202, sandbox(state="paused", wake=ASKED)), http(202, sandbox())]
    assert run("wake", "a1").stdout == "a1: its manager is asked to resume it\n"
    assert run("wake", "a1").stdout == "a1: its manager was asked to resume it already\n"
    assert json.loads(run("wake", "a1", "--json").stdout) == sandbox()
    assert fake.requests == [("POST", "/v1/sandboxes/a1/wake", None)] * 3


def test_wake_fails_where_nothing_is_asleep(fake, run):
    fake.answers = [problem(409, "sandbox a1 is ready, and only a paused one can be woken")]
    done = run("wake", "a1")
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert "only a paused one can be woken" in done.stderr


def test_pause_says_what_wakes_it(fake, run):
    before, after = http(200, sandbox(wake=ASKED)), http(200, sandbox(state="paused", wake=WAKE))
    never = http(200, sandbox(wake=None))
    fake.answers = [before, after, never, after, before, after]
    assert run("pause", "a1", "--wake", "22,53/udp").stdout == "a1 is asleep\n"
    assert run("pause", "a1", "--wake", "any").returncode == DONE
    assert run("pause", "a1", "--wake", "none").returncode == DONE
    assert [request[2] for request in fake.requests if request[0] == "PATCH"] == [
        {"paused": True, "wake": {"ports": [22, "53/udp"], "min_awake_ms": 5000, "timeout_ms": 90000}},
        {"paused": True, "wake": {"ports": "any"}},
        {"paused": True, "wake": None},
    ]


def test_set_changes_of_wake_only_what_is_given(fake, run):
    fake.answers = [http(200, sandbox(wake=ASKED)), http(200, sandbox())] * 4
    assert run("set", "a1", "--min-awake", "none").returncode == DONE
    assert run("set", "a1", "--wake", "published", "--wake-timeout", "2m").returncode == DONE
    assert run("set", "a1", "--idle-report", "5m").returncode == DONE
    assert run("set", "a1", "--wake", "none", "--idle-report", "none").returncode == DONE
    kept = {"ports": [8080, "5353/udp"], "min_awake_ms": 5000, "timeout_ms": 90000}
    assert [request[2] for request in fake.requests if request[0] == "PATCH"] == [
        {"wake": {**kept, "min_awake_ms": 0}},
        {"wake": {**kept, "ports": "published", "timeout_ms": 120000}},
        {"idle_report_ms": 300000},
        {"wake": None, "idle_report_ms": 0},
    ]


def test_set_of_times_needs_something_that_wakes_it(fake, run):
    fake.answers = [http(200, sandbox(wake=None))]
    done = run("set", "a1", "--min-awake", "1s")
    assert done.returncode == FAILED
    assert "--min-awake: nothing wakes the sandbox: --wake PORTS says what does" in done.stderr


def test_register_says_what_wakes_it(fake, run):
    fake.answers = [http(201, sandbox())]
    done = run("register", "a1", "--wake", "8080,5353/udp", "--wake-timeout", "30s", "--min-awake", "0s", "--idle-report", "10m")
    assert done.returncode == DONE, done.stderr
    wake = {"ports": [8080, "5353/udp"], "timeout_ms": 30000, "min_awake_ms": 0}
    assert fake.requests == [("PUT", "/v1/sandboxes/a1", {"wake": wake, "idle_report_ms": 600000})]


def test_ls_has_a_column_of_names_where_there_are_names(fake, run):
    fake.answers = [http(200, {"sandboxes": five()})]
    lines = [line.split() for line in run("ls").stdout.splitlines()]
    assert lines[0][:2] == ["SANDBOX", "NAME"]
    assert [line[1] for line in lines[1:]] == ["-", "web-1", "-", "-", "db"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--filter", "colour=red"], "--filter colour=red: not one of: state=S label=K[=V]"),
        (["--filter", "state"], "--filter state: not one of"),
        (["--filter", "state=asleep"], "--filter state=asleep: not one of: creating waiting"),
        (["--filter", "name="], "--filter name=: the value is missing"),
        (["--filter", "port=http"], "--filter port: 'http' is not a number from 1 to 65535"),
        (["--sort", "age"], "--sort age: not one of: slot id name state since conn traffic"),
        (["-q", "--json"], "--quiet and --json exclude each other"),
        (["-q", "--wide"], "--quiet and --wide exclude each other"),
    ],
)
def test_ls_names_a_mistake_before_it_asks(fake, run, options, words):
    done = run("ls", *options)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert words in done.stderr
    assert not fake.requests


def shown(run, *arguments):
    """{name: [values]} of show's rows. Names in a group have its name before them."""
    found, group = {}, ""
    for line in run("show", *arguments).stdout.splitlines():
        name, value = line[:18].rstrip(), line[18:].strip()
        if name.startswith("  "):
            name = f"{group}: {name.strip()}"
        elif name:
            group = name
        last = name or last
        found.setdefault(last, []).append(value)
    return found


def test_show_says_all(fake, run):
    limits = {"connections": 1000, "connect_deadline_ms": 30000, "idle_ms": 0, "half_closed_ms": 90000, "keepalive_ms": 15000}
    fake.answers = [
        http(
            200,
            sandbox(
                labels={"evil": "\x1b[2J", "k": "v"},
                state="failed",
                reason="the TAP is gone",
                name="web-1",
                egress={"internet": False, "allow": [{"cidr": "10.1.2.3/32", "proto": "tcp", "ports": [80, "8000-8099"]}], "deny": ["192.0.2.0/24"]},
                bandwidth={"to_guest": {"rate": 12500000, "burst": 1000000}, "from_guest": {"rate": 0, "burst": 0}},
                limits=limits,
                tap_owner={"uid": 123, "gid": 100},
            ),
        )
    ]
    rows = shown(run, "a1")
    assert rows["state"][0].endswith(": the TAP is gone")
    assert rows["labels"] == ["evil=\\x1b[2J", "k=v"]
    expected = {
        "sandbox": "a1", "name": "web-1", "slot": "110", "namespace": "/run/netns/ns-110", "host address": "10.11.0.110",
        "veth": "veth-110", "tap": "tap0", "default": "yes", "ready port": "49983", "tap owner": "uid 123, gid 100",
        "last activity": "never", "connections": "0 open, 0 held, 0 in all", "dns": "none", "boot argument": sandbox()["guest"]["boot_arg"],
        "policy: internet": "no", "policy: allow": "10.1.2.3/32 tcp 80,8000-8099", "policy: deny": "192.0.2.0/24",
        "bandwidth: to the guest": "12500000 bytes a second (12MiB/s), burst 1000000 bytes", "bandwidth: from the guest": "none",
        "limits: connections": "1000", "limits: connect deadline": "30s", "limits: idle": "none",
        "limits: half closed": "1m30s", "limits: keepalive": "15s",
    }  # fmt: skip
    assert {name: rows[name] for name in expected} == {name: [value] for name, value in expected.items()}
    assert rows["endpoints"][0].split("  ")[:2] == ["49983/tcp", "127.0.0.1:20000, [::1]:20000"]


def test_show_names_the_address_that_is_not_open(fake, run):
    endpoints = [{"guest_port": 80, "proto": "tcp", "listen": ["127.0.0.1:80", "[::1]:80"], "via": "forwarder", "open": False}]
    taken = {"address": "[::1]:80", "proto": "tcp", "what": "sandbox a1", "error": "[::1]:80 is in use by nginx (pid 7)"}
    other = {"address": "[::1]:81", "proto": "tcp", "what": "sandbox a11", "error": "[::1]:81 is in use by nginx (pid 7)"}
    fake.answers = [http(200, sandbox(endpoints=endpoints)), http(200, {"not_open": [other, taken]})]
    text = run("show", "a1").stdout
    assert text.endswith("not open  [::1]:80/tcp of sandbox a1 is in use by nginx (pid 7)\n") and "[::1]:81" not in text


def test_show_says_none_and_never_0(fake, run):
    limits = {"connections": 0, "connect_deadline_ms": 30000, "idle_ms": 0, "half_closed_ms": 0, "keepalive_ms": 0}
    fake.answers = [http(200, sandbox(endpoints=[], ready_port=None, limits=limits, tap_owner=None))]
    rows = shown(run, "a1")
    assert rows["limits: connections"] == ["none of its own"]
    for name in ("endpoints", "ready port", "tap owner", "labels", "limits: idle", "limits: half closed", "limits: keepalive"):
        assert rows[name] == ["none"], name
    assert "{" not in str(rows["policy: allow"])


def test_show_tells_each_vmm_in_its_dialect(fake, run):
    fake.answers = [http(200, sandbox())] * 5
    boot = sandbox()["guest"]["boot_arg"]
    assert json.loads(run("show", "a1", "--firecracker").stdout) == {
        "boot-source": {"boot_args": boot},
        "network-interfaces": [{"iface_id": "eth0", "guest_mac": "02:FC:00:00:00:05", "host_dev_name": "tap0"}],
    }
    assert run("show", "a1", "--cloud-hypervisor").stdout == (
        f"--net tap=tap0,mac=02:FC:00:00:00:05\n--cmdline {boot}\n"
    )
    assert run("show", "a1", "--qemu").stdout == (
        "-netdev tap,id=net0,ifname=tap0,script=no,downscript=no\n"
        "-device virtio-net-pci,netdev=net0,mac=02:FC:00:00:00:05\n"
        f"-append {boot}\n"
    )
    assert json.loads(run("show", "a1", "--qemu", "--json").stdout)[:2] == [
        "-netdev",
        "tap,id=net0,ifname=tap0,script=no,downscript=no",
    ]
    assert json.loads(run("show", "a1", "--env", "--json").stdout)["WEFT_GUEST_BOOT_ARG"] == boot


def test_show_tells_a_shell_what_a_vmm_must_know(fake, run):
    guest = {**sandbox()["guest"], "dns": ["1.1.1.1", "9.9.9.9"]}
    fake.answers = [http(200, sandbox(name="web", netns_path="/run/my spaces/ns-110", guest=guest))]
    script = 'eval "$1" && printf "%s|" "$WEFT_ID" "$WEFT_NAME" "$WEFT_SLOT" "$WEFT_NETNS_PATH" "$WEFT_GUEST_MTU" "$WEFT_GUEST_DNS"'
    told = run("show", "a1", "--env").stdout
    done = subprocess.run(["sh", "-euc", script, "sh", told], capture_output=True, text=True, check=True)
    assert done.stdout == "a1|web|110|/run/my spaces/ns-110|1500|1.1.1.1 9.9.9.9|"
    assert "WEFT_TAP=tap0\nWEFT_HOST_IP=10.11.0.110\n" in told


def test_the_owner_of_a_tap_may_be_named(fake, run):
    user = pwd.getpwnam("nobody")
    for given, gid in (("nobody", user.pw_gid), ("nobody:root", 0), (f"{user.pw_uid}:root", 0), ("nobody:7", 7)):
        fake.answers.append(http(201, sandbox()))
        assert run("register", "a1", "--tap-owner", given).returncode == DONE
        assert fake.requests[-1][2] == {"tap_owner": {"uid": user.pw_uid, "gid": gid}}


def test_wait_exits_as_promised(fake, run):
    fake.answers = [
        http(200, sandbox(state="ready")),
        problem(408, "not ready within 1 s", "timeout"),
        problem(409, "a1 is failed", "wait"),
        problem(410, "a1 was removed"),
        problem(404, "there is no sandbox a1", "id"),
        http(200, {"sandboxes": []}),
        http(200, {"sandboxes": []}),
        problem(503, "too many wait"),
    ]
    codes = [run("wait", "a1", "--state", "ready", "--timeout", "1").returncode for _ in range(6)]
    assert codes == [DONE, FAILED, FAILED, FAILED, NO_SANDBOX, FAILED]
    assert fake.requests[0][1] == "/v1/sandboxes/a1?wait=ready&timeout=1"


def test_diagnose_reads_like_a_path(fake, run):
    hops = [
        {"hop": "listen", "status": "ok", "subject": "127.0.0.1:20000", "detail": "3 connections held"},
        {"hop": "tap", "status": "fail", "subject": "ns-110/tap0", "detail": "NO-CARRIER"},
        {"hop": "guest", "status": "skipped", "subject": "169.254.0.21", "detail": ""},
    ]
    broken = {"hops": hops, "broken": "tap", "cause": "no VM is attached", "next_step": "The VM manager must open tap0."}
    whole = {"hops": hops[:1], "broken": None, "cause": "", "next_step": ""}
    fake.answers = [http(200, sandbox()), http(200, broken), http(200, sandbox()), http(200, whole), http(200, broken)]
    done = run("diagnose", "a1")
    assert done.returncode == FAULT
    assert done.stdout == (
        "sandbox a1  slot 110  state waiting\n"
        "  ok    listen  127.0.0.1:20000  3 connections held\n"
        "  FAIL  tap     ns-110/tap0      NO-CARRIER\n"
        "  -     guest   169.254.0.21     not tried\n"
        "cause: no VM is attached.\n"
        "       The VM manager must open tap0.\n"
    )
    assert run("diagnose", "a1").returncode == DONE
    done = run("diagnose", "a1", "--json")
    assert done.returncode == FAULT
    assert json.loads(done.stdout) == broken


def test_a_path_that_is_no_socket_is_told_as_such(run, folder):
    path = os.path.join(folder, "control.sock")
    with open(path, "w", encoding="utf-8"):
        pass
    done = run("ls")
    assert done.returncode == UNREACHABLE
    assert f"{path} is no socket, but a regular file" in done.stderr and done.stderr.count(path) == 1, done.stderr
    assert "weftd has ended" not in done.stderr and "/run/weft/control.sock" in done.stderr


@pytest.mark.parametrize(
    "allowed, rule, found, words",
    [
        (True, "internet", "", "this sandbox's policy: internet yes"),
        (False, "internet", "", "this sandbox's policy: internet no"),
        (True, "allow", "policy_allow_port 203.0.113.1", "this sandbox's policy: allow 203.0.113.1 for udp port 443"),
        (True, "allow", "policy_allow2_proto 203.0.113.0-203.0.113.255", "this sandbox's policy: allow 203.0.113.0/24 for udp\n"),
        (False, "deny", "policy_deny 203.0.113.0-203.0.113.255", "this sandbox's policy: deny 203.0.113.0/24"),
        (False, "deny", "policy_deny2 0.0.0.0-255.255.255.255", "this sandbox's policy: deny 0.0.0.0/0"),
        (False, "deny", "policy_deny 203.0.113.1-203.0.113.2", "this sandbox's policy: deny 203.0.113.1-203.0.113.2"),
        (False, "private", "always_denied 224.0.0.0-255.255.255.255", "the host: 224.0.0.0/3, which no policy opens; [egress] open"),
        (False, "sandbox", "sandbox_ranges 10.11.0.0-10.11.255.255", "the host: an address of the sandboxes in 10.11.0.0/16, which"),
        (True, "allow_host", "allow_host 192.0.2.1:80=unix:/run/a b", "the host: [egress] allow_host 192.0.2.1:80=unix:/run/a b\n"),
        (True, "redirect", "redirect *:5018", "the host: [egress] redirect *:5018, whose proxy decides"),
        (False, "isolated", "", "this sandbox's policy: isolated yes"),
        (False, "later", "a_set 203.0.113.1", "rule later 203.0.113.1"),
    ],
)
def test_reach_says_whose_rule_decides(fake, run, allowed, rule, found, words):
    answer = {"allowed": allowed, "rule": rule, "set": found}
    fake.answers = [http(200, answer)] * 2
    done = run("reach", "a1", "203.0.113.1:443", "--proto", "udp")
    verdict = "allowed" if allowed else "denied"
    assert done.returncode == DONE and done.stdout.startswith(f"{verdict} 203.0.113.1:443 by {words}"), done.stdout
    assert json.loads(run("reach", "a1", "203.0.113.1", "--json").stdout) == answer
    assert [request[1] for request in fake.requests] == [
        "/v1/sandboxes/a1/reach?dest=203.0.113.1&port=443&proto=udp",
        "/v1/sandboxes/a1/reach?dest=203.0.113.1&proto=tcp",
    ]


def test_status_says_an_address_once(fake, run):
    holder = "in use by python (pid 7)"
    common = {"address": "127.0.0.1:20001", "proto": "tcp", "what": "sandbox a"}
    errors = [f"127.0.0.1:20001 is {holder}", "no descriptors"]
    fake.answers = [http(200, {"state": "running", "not_open": [{**common, "error": error} for error in errors]})]
    text = run("status").stdout
    assert f"127.0.0.1:20001/tcp of sandbox a is {holder}\n" in text
    assert "127.0.0.1:20001/tcp of sandbox a: no descriptors\n" in text


def test_status_and_connections_are_tables(fake, run):
    status = {
        "version": "0.1.0",
        "api": "1.1",
        "state": "running",
        "pool": {"ready": 1, "target": 2, "quarantined": 3, "deleting": 4},
        "sandboxes": {"ready": 3, "failed": 1, "waiting": 0},
        "connections": 7,
        "loopback": {"mode": "auto", "open": True, "entries": 2, "wanted": 3, "default_path": "forwarder", "default_path_reason": "paused"},
    }
    connection = {
        "id": 9,
        "direction": "in",
        "endpoint": "127.0.0.1:20000",
        "client": "127.0.0.1:5555",
        "state": "open",
        "bytes_to_guest": 2048,
        "bytes_from_guest": 0,
        "age_ms": 1500,
        "connect_ms": None,
    }
    led = {**connection, "id": 8, "path": "kernel", "client": "10.12.0.2:5555", "age_ms": 0}
    fake.answers = [http(200, status), http(200, {"connections": [connection, led]})]
    text = run("status").stdout
    assert "0.1.0, API 1.1" in text
    assert "1 of 2 ready, 3 in quarantine, 4 being deleted" in text
    assert "kernel, for 2 of 3 addresses; default endpoint: forwarder, paused" in text
    assert "waiting" not in text
    row, led = (line.split() for line in run("connections", "a1").stdout.splitlines()[1:])
    assert row == ["9", "in", "127.0.0.1:5555", "127.0.0.1:20000", "open", "2.0KiB", "0B", "1.5s", "-"]
    assert led == ["8", "kernel", "10.12.0.2:5555", "127.0.0.1:20000", "open", "2.0KiB", "0B", "-", "-"]


def test_a_refusal_names_the_field_and_the_reason(fake, run):
    fake.answers = [problem(409, "127.0.0.1:80 is published by sandbox b", "/ports/0/listen")] * 2
    done = run("register", "a1", "--port", "80=127.0.0.1:80")
    assert done.returncode == FAILED
    assert done.stderr == "weftctl register: --port 80: 127.0.0.1:80 is published by sandbox b\n"
    done = run("register", "a1", "--json")
    assert json.loads(done.stdout)["field"] == "/ports/0/listen"


@pytest.mark.parametrize(
    "command, field, words",
    [
        (["publish", "a1", "80", "81/udp=127.0.0.1:81"], "/publish/1/listen", "port 81/udp: "),
        (["unpublish", "a1", "80", "81"], "/unpublish/1", "port 81: "),
        (["register", "a1", "--label", "a=1", "--label", "b=2"], "/labels/b", "--label b: "),
        (["register", "a1", "--tap-owner", "1:2"], "/tap_owner/uid", "--tap-owner: "),
        (["default", "a1"], "/default", ""),
        (["unregister", "a1", "--drain", "3"], "drain", "--drain: "),
        (["pause", "a1"], None, ""),
        (["wake", "a1"], "/wake", ""),
        (["register", "a1", "--wake", "80,80"], "/wake/ports/1", "--wake: "),
        (["register", "a1", "--wake", "80", "--wake-timeout", "5s"], "/wake/timeout_ms", "--wake-timeout: "),
    ],
)
def test_a_refusal_is_in_the_words_of_the_command_line(fake, run, command, field, words):
    fake.answers = [problem(409, "it is so", field)]
    assert run(*command).stderr == f"weftctl {command[0]}: {words}it is so\n"


def test_registered_otherwise_says_what_to_do(fake, run):
    fake.answers = [problem(409, "sandbox a1 is registered otherwise: default is false, not true", "id")]
    done = run("register", "a1", "--default")
    assert done.stderr.startswith("weftctl register: sandbox a1 is registered otherwise: default is false, not true\n")
    assert "weftctl set" in done.stderr and "weftctl unregister" in done.stderr


@pytest.mark.parametrize(
    "port, detail",
    [("127.0.0.1:99", "127.0.0.1:99 is not published"), ("99", "guest port 99 is not published")],
)
def test_an_argument_is_not_said_twice(fake, run, port, detail):
    fake.answers = [problem(409, detail, "/unpublish/0")]
    assert run("unpublish", "a1", port).stderr == f"weftctl unpublish: {detail}\n"


def test_a_refused_body_names_the_port_too(fake, run):
    fake.answers = [problem(409, "it is so", "/ports/1/listen")]
    done = run("register", "a1", "--body", "-", stdin=json.dumps({"ports": [80, {"guest_port": 81, "listen": "127.0.0.1:81"}]}))
    assert done.stderr == "weftctl register: /ports/1/listen (guest port 81): it is so\n"


def test_no_such_sandbox_is_3_and_no_such_port_is_1(fake, run):
    everything = http(200, {"sandboxes": []})
    missing = problem(404, "there is no sandbox a1", "id")
    fake.answers = [missing, everything, everything, problem(404, "port 80 is not published", "/unpublish/0")]
    done = run("show", "a1")
    assert done.returncode == NO_SANDBOX
    assert done.stderr == "weftctl show: there is no sandbox a1\nThose that exist: weftctl ls\n"
    assert run("unpublish", "a1", "80").returncode == FAILED


@pytest.mark.parametrize("command", [["show"], ["wait"], ["connections"], ["diagnose"], ["policy"], ["reach", "192.0.2.1"]])
def test_the_beginning_of_an_id_is_enough_to_read(fake, run, command):
    everything = http(200, {"sandboxes": [sandbox(id="box-7"), sandbox(id="bax")]})
    answer = http(200, sandbox(id="box-7", connections=[], hops=[], allowed=True))
    fake.answers = [problem(404, "there is no sandbox bo", "id"), everything, answer, answer][: 4 if command[0] in ("diagnose", "policy") else 3]
    done = run(command[0], "bo", *command[1:])
    assert done.returncode == DONE, done.stderr
    # What the host's proxies judge is the daemon's to say.
    assert all(target.startswith("/v1/sandboxes/box-7") for _, target, _ in fake.requests[2:] if target != "/v1/status")


def test_the_beginning_of_several_ids_names_them(fake, run):
    everything = http(200, {"sandboxes": [sandbox(id="box-7"), sandbox(id="other", name="box-8")]})
    missing = problem(404, "there is no sandbox box", "id")
    fake.answers = [missing, everything, everything]
    done = run("show", "box")
    assert done.returncode == NO_SANDBOX
    assert "box-7, other (box-8)" in done.stderr


def test_a_command_that_changes_takes_no_beginning(fake, run):
    fake.answers = [problem(404, "there is no sandbox bo", "id"), http(200, {"sandboxes": [sandbox(id="box-7")]})]
    done = run("pause", "bo")
    assert done.returncode == NO_SANDBOX
    assert "box-7" in done.stderr
    assert [request[0] for request in fake.requests] == ["PATCH", "GET"]


def test_a_mistyped_id_is_answered_with_the_nearest(fake, run):
    fake.answers = [problem(404, "there is no sandbox bxo-7", "id"), http(200, {"sandboxes": [sandbox(id="box-7")]})]
    assert "Did you mean 'box-7'?" in run("pause", "bxo-7").stderr


@pytest.mark.parametrize("command, meant", [(["show"], True), (["unregister"], False), (["policy", "--internet", "no"], False)])
def test_who_changes_is_not_led_to_an_id_that_is_hardly_alike(fake, run, command, meant):
    everything = http(200, {"sandboxes": [sandbox(id="beta")]})
    fake.answers = [problem(404, "there is no sandbox delta", "id"), everything, *([everything] if command == ["show"] else [])]
    done = run(command[0], "delta", *command[1:])
    assert done.returncode == NO_SANDBOX and ("'beta'" in done.stderr) == meant, done.stderr


@pytest.mark.parametrize(
    "command, good",
    [
        (["unregister"], http(204)),
        (["pause"], http(200, sandbox())),
        (["resume"], http(200, sandbox())),
        (["show"], http(200, sandbox())),
    ],
)
def test_of_several_ids_all_are_tried_and_the_worst_counts(fake, run, command, good):
    failing, last = problem(503, "busy"), http(200, {"sandboxes": []})
    missing = problem(404, "there is no sandbox b", "id")
    fake.answers = [failing, missing, last, *([last] if command == ["show"] else []), good]
    done = run(*command, "a", "b", "c")
    assert done.returncode == FAILED
    assert f"weftctl {command[0]}: a: busy" in done.stderr
    assert f"weftctl {command[0]}: b: there is no sandbox b" in done.stderr
    assert fake.requests[-1][1] == "/v1/sandboxes/c"


def test_a_wrong_id_among_several_changes_nothing(run):
    done = run("unregister", "a", "b/c")
    assert (done.returncode, done.stdout) == (USAGE, "")


def test_several_are_shown_one_after_the_other(fake, run):
    fake.answers = [http(200, sandbox(id="a")), http(200, sandbox(id="b"))] * 2
    texts = run("show", "a", "b").stdout.split("\n\n")
    assert len(texts) == 2 and all(text.startswith("sandbox") for text in texts)
    decoder, text = json.JSONDecoder(), run("show", "a", "b", "--json").stdout
    first, end = decoder.raw_decode(text)
    assert [first["id"], decoder.raw_decode(text[end:].lstrip())[0]["id"]] == ["a", "b"]


def test_an_answer_that_is_no_problem_object_is_told_too(fake, run):
    fake.answers = [b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"]
    done = run("status")
    assert done.returncode == FAILED
    assert "the daemon gave no reason (HTTP 500)" in done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"a\":1,\"a\":22}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_answer_fails(fake, run, answer):
    fake.answers = [answer]
    assert run("status").returncode == FAILED


def test_a_daemon_that_is_not_there_is_4(run, folder):
    done = run("ls")
    assert done.returncode == UNREACHABLE
    assert "No such file or directory" in done.stderr and "systemctl start weftd" in done.stderr
    with open(f"{folder}/control.sock", "w", encoding="utf-8"):
        pass
    assert run("ls").returncode == UNREACHABLE


def test_a_dead_daemons_socket_is_4(fake, run, folder):
    os.rename(f"{folder}/control.sock", f"{folder}/alive")
    dead = FakeWeftd(f"{folder}/control.sock")
    os.rename(dead.path, f"{folder}/dead")
    os.symlink(f"{folder}/dead", dead.path)
    dead.close()
    os.rename(f"{folder}/dead", f"{folder}/control.sock")
    done = run("ls")
    assert done.returncode == UNREACHABLE
    assert "Nobody listens there" in done.stderr
    os.rename(f"{folder}/alive", f"{folder}/control.sock")


def test_a_daemon_that_hangs_up_without_a_word_is_4(fake, run):
    fake.answers = [b""]
    done = run("status")
    assert done.returncode == UNREACHABLE
    assert "closed without an answer" in done.stderr


def test_a_daemon_that_stands_still_is_named_and_4(fake, run):
    until_gone = lambda connection: connection.recv(1)
    part = lambda connection: (connection.sendall(http(200, {"sandboxes": []})[:-5]), connection.recv(1))
    for command in (["ls", "--deadline", "1"], ["--deadline=1", "wait", "a1", "--timeout", "0"], ["events", "--deadline", "1"]):
        fake.answers = [part if command[0] == "ls" else until_gone, until_gone]
        done = run(*command)
        assert done.returncode == UNREACHABLE
        assert f"weftd (process {os.getpid()}) does not answer\n" in done.stderr and "--deadline" in done.stderr
    assert run("--deadline", "0", "ls").returncode == USAGE


@pytest.mark.parametrize(
    "status, words",
    [
        ({"state": "adopting"}, "still takes over the sandboxes of its former run"),
        ({"state": "stopping"}, "is stopping"),
        ({"state": "running", "pool": {"deleting": 3}}, "3 slots are being taken apart"),
        ({"state": "running", "pool": {"deleting": 0}}, "has not finished that in time"),
    ],
)
def test_a_daemon_that_is_busy_is_not_said_to_be_silent(fake, run, status, words):
    fake.answers = [lambda connection: connection.recv(1), http(200, status)]
    done = run("unregister", "a1", "--deadline", "1")
    assert done.returncode == UNREACHABLE
    assert f"weftd (process {os.getpid()}) " in done.stderr and words in done.stderr and "--deadline" in done.stderr
    assert "does not answer" not in done.stderr


def test_wait_has_its_own_time_beside_the_deadline(fake, run):
    def late(connection):
        assert not readable(connection.fileno(), 1.2)
        connection.sendall(http(200, sandbox(state="ready")))

    fake.answers = [late]
    assert run("wait", "a1", "--timeout", "60", "--deadline", "1").returncode == DONE


def test_who_may_not_ask_is_told_who_may(fake, folder):
    os.chmod(folder, 0o755)
    os.chmod(fake.path, 0o600)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", WEFTCTL, "--socket", fake.path, "ls"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 127 or "setpriv: failed to execute" in done.stderr:
        pytest.fail(f"the user nobody may not run {WEFTCTL}: other users must be able to read the build")
    assert done.returncode == UNREACHABLE
    assert "Permission denied" in done.stderr and "group" in done.stderr


@pytest.mark.parametrize(
    "command, words",
    [
        ([], "no command"),
        (["frob"], "frob: no such command"),
        (["show"], "ID is missing"),
        (["show", "a/b"], "ID 'a/b'"),
        (["show", ".."], "ID '..'"),
        (["show", "a" * 65], "ID 'aaa"),
        (["show", ""], "ID ''"),
        (["show", "a", "--qemu", "--firecracker"], "exclude each other"),
        (["register", "a", "--port", "0"], "--port: '0'"),
        (["register", "a", "--port", "80=nowhere"], "'nowhere' is not ADDR:PORT"),
        (["register", "a", "--label", "x"], "--label x: not K=V"),
        (["register", "a", "--label", "x=1", "--label", "x=2"], "the label x is given twice"),
        (["register", "a", "--tap-owner", "5"], "--tap-owner 5: not UID:GID"),
        (["register", "a", "--tap-owner", "5:"], "no group is named ''"),
        (["register", "a", "--tap-owner", "5:5x"], "GID: '5x'"),
        (["register", "a", "--tap-owner", "nosuchuser"], "no user is named 'nosuchuser'"),
        (["register", "a", "--tap-owner", "root:nosuchgroup"], "no group is named 'nosuchgroup'"),
        (["register", "a", "--body", "-", "--default"], "cannot be combined with --default"),
        (["register", "a", "--default", "--body", "-"], "cannot be combined with --default"),
        (["unregister", "a", "--drain", "-1"], "--drain: '-1'"),
        (["wait", "a", "--timeout", "301"], "--timeout: '301'"),
        (["wait", "a", "--state", "creating"], "not one of: attached ready detached paused"),
        (["publish", "a", "x"], "P: 'x'"),
        (["policy", "a", "--dscp", "64"], "64"),
        (["policy", "a", "--isolated", "maybe"], "maybe"),
        (["policy", "a", "--allow", "x"], "'x' is not an IPv4 network"),
        (["policy", "a", "--allow", "10.0.0.0/8:any"], "'any' is not tcp, udp, icmp, gre"),
        (["policy", "a", "--allow", "10.0.0.0/8:gre:80"], "only tcp and udp have ports"),
        (["reach", "a", "10.0.0.1:80", "--proto", "icmp"], "only tcp and udp have ports"),
        (["reach", "a", "10.0.0.1", "--proto", "256"], "--proto 256: allowed: tcp, udp, icmp"),
        (["reach", "a", "::1"], "DEST '::1': guests have IPv4 alone"),
        (["reach", "a", "[2001:db8::1]:80"], "guests have IPv4 alone"),
        (["policy", "a", "--allow", "2001:db8::/32"], "--allow 2001:db8::/32: guests have IPv4 alone"),
        (["reach", "a", "example.com"], "'example.com' is not an IPv4 address"),
        (["reach", "a", "1.2.3.4:0"], "PORT: '0'"),
        (["set", "a"], "an option is missing"),
        (["set", "a", "--idle", "5"], "--idle: '5' is no time"),
        (["set", "a", "--name", "x y"], "--name 'x y'"),
        (["set", "a", "--label", "x"], "--label x: not K=V"),
        (["set", "a", "--connect-deadline", "none"], "--connect-deadline none: it must be from 1ms to 168h"),
        (["register", "a", "--min-awake", "1s"], "--min-awake: nothing wakes the sandbox"),
        (["register", "a", "--wake", "8080,x"], "--wake: 'x'"),
        (["register", "a", "--wake", ""], "--wake: ''"),
        (["set", "a", "--wake", "80/sctp"], "--wake 80/sctp: 'sctp' is neither tcp nor udp"),
        (["set", "a", "--wake", "none", "--wake-timeout", "5s"], "--wake none and --wake-timeout exclude each other"),
        (["set", "a", "--wake-timeout", "999ms"], "--wake-timeout 999ms: it must be from 1s to 1h"),
        (["set", "a", "--min-awake", "2h"], "--min-awake 2h: it must be at most 1h"),
        (["set", "a", "--idle-report", "169h"], "--idle-report 169h: it must be at most 168h"),
        (["pause", "a", "--wake", "0"], "--wake: '0'"),
        (["wake"], "ID is missing"),
        (["set", "a", "--idle", "169h"], "--idle 169h: it must be at most 168h"),
        (["events", "--since", "3"], "belong together"),
        (["top", "--interval", "0"], "--interval: '0'"),
    ],
)
def test_usage_errors_name_the_argument(run, command, words):
    done = run(*command)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert words in done.stderr and "--help" in done.stderr


def test_help_is_for_everybody(run):
    done = run("--help")
    assert done.returncode == DONE
    for line in done.stdout.split("commands:\n")[1].split("\n\n")[0].splitlines():
        helped = run(line.split()[0], "--help")
        assert helped.returncode == DONE and helped.stdout.startswith(f"usage: weftctl {line.split()[0]}")
        assert run("help", line.split()[0]).stdout == helped.stdout
    assert run("--version").stdout.startswith("weftctl ")
    assert run("help").stdout == done.stdout
    wrong = run("help", "regsiter")
    assert (wrong.returncode, wrong.stdout) == (USAGE, "")
    assert "did you mean 'register'?" in wrong.stderr


def test_output_that_cannot_be_written_is_a_failure(fake, folder):
    fake.answers = [http(200, {"sandboxes": []})]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [WEFTCTL, "--socket", f"{folder}/control.sock", "ls"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == FAILED
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("command", [["ls"], ["events"], ["--version"], ["top", "--batch", "--count", "1"]], ids=lambda words: words[0])
def test_a_closed_output_is_a_failure_and_nothing_is_written_elsewhere(fake, folder, command):
    asked = []
    answers = {"ls": http(200, {"sandboxes": []}), "top": http(200, {"sandboxes": []})}

    def answer(connection):
        connection.sendall(answers[command[0]])
        asked.append(connection.recv(1000))  # all that weftctl sends besides its request

    requests = {"ls": 1, "top": 2}.get(command[0], 0)
    fake.answers = [answer] * requests
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", WEFTCTL, "--socket", fake.path, *command],
        stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE,
    )
    assert done.returncode == FAILED
    assert "writing the output: Bad file descriptor" in done.stderr
    poll_until(lambda: len(asked) == requests)
    assert not any(asked)


def event(seq, kind, **fields):
    return {"seq": seq, "boot": "b1", "time": "2026-01-14T09:37:00Z", "type": kind, **fields}


EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_events_come_line_by_line_when_they_happen(fake, folder):
    """The second is sent only after the first was printed: output must never be held back, whatever the chunks are."""
    printed, started = [], threading.Event()

    def stream(connection):
        assert started.wait(PATIENCE)
        first = json.dumps(event(1, "registered", sandbox="a1")).encode() + b"\n"
        connection.sendall(EVENTS_HEAD + chunk(first[:10]) + chunk(first[10:]))
        printed.append(lines.next())
        second = json.dumps(event(2, "unregistered", sandbox="a1")).encode() + b"\n"
        connection.sendall(chunk(second) + chunk(b""))
        printed.append(lines.next())

    fake.answers = [stream]
    child = subprocess.Popen(
        [WEFTCTL, "--socket", f"{folder}/control.sock", "events", "--json", "--retry", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    lines = Lines(child.stdout)
    started.set()
    assert child.wait(timeout=PATIENCE) == UNREACHABLE
    poll_until(lambda: len(printed) == 2, what=lambda: str(printed))
    assert [json.loads(line)["seq"] for line in printed] == [1, 2]
    assert b"ended the stream" in child.stderr.read()
    child.stdout.close()
    child.stderr.close()


def test_events_for_people_leave_out_what_only_programs_need(fake, run):
    lines = [
        event(1, "snapshot", sandbox="a1", object={"id": "a1", "state": "ready", "slot": 1}),
        event(2, "snapshot-end"),
        event(3, "state", sandbox="a1", **{"from": "waiting", "to": "attached", "cause": "carrier", "previous_ms": 1500}),
        event(4, "heartbeat"),
        event(5, "denied", sandbox="a1", rule="private", destination="10.0.0.1\x1b[2J"),
        event(5, "wake", sandbox="a1", source=None, dest_port=None, proto=None, via="api", attempt=2),
        event(
            *[6, "state"], sandbox="a1", reason="tap0 was deleted", **{"from": "ready", "to": "failed", "cause": "tap", "previous_ms": 9}
        ),
    ]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    fake.answers = [EVENTS_HEAD + chunk(data) + chunk(b"")]
    printed = run("events", "--sandbox", "a1", "--retry", "0").stdout.splitlines()
    assert fake.requests[0][1] == "/v1/events?sandbox=a1"
    assert len(printed) == 5 and printed[4].endswith("ready -> failed after 9ms, cause tap: tap0 was deleted")
    assert printed[0].split()[-3:] == ["snapshot", "state=ready", "slot=1"]
    assert printed[1].split()[-7:] == "waiting -> attached after 1.5s, cause carrier".split()
    assert printed[2].split()[-3:] == ["denied", "rule=private", "destination=10.0.0.1\\x1b[2J"]
    assert printed[3].split()[-3:] == ["wake", "via=api", "attempt=2"]


@pytest.mark.parametrize("typed, meant", [("alhpa", True), ("al", True), ("other", False)])
def test_events_of_a_sandbox_that_is_not_there_say_so(fake, run, typed, meant):
    end = json.dumps(event(1, "snapshot-end")).encode() + b"\n"
    fake.answers = [EVENTS_HEAD + chunk(end) + chunk(b""), http(200, {"sandboxes": [sandbox(id="alpha")]})]
    done = run("events", "--sandbox", typed, "--retry", "0")
    assert done.stderr.startswith(f"weftctl events: no sandbox {typed} yet")
    assert ("Did you mean 'alpha'?" in done.stderr) == meant


def test_events_cut_off_by_overflow_say_how_to_go_on(fake, run):
    lines = [event(7, "registered", sandbox="a1"), event(8, "overflow")]
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    fake.answers = [EVENTS_HEAD + chunk(data) + chunk(b"")]
    done = run("events", "--since", "5", "--boot", "b 1")
    assert fake.requests[0][1] == "/v1/events?since=5&boot=b%201"
    assert done.returncode == FAILED
    assert "weftctl events --since 7 --boot b1" in done.stderr


def test_events_of_a_daemon_that_dies_are_4(fake, run):
    fake.answers = [EVENTS_HEAD + chunk(json.dumps(event(1, "registered", sandbox="a1")).encode() + b"\n")]
    assert run("events", "--retry", "0").returncode == UNREACHABLE


def stream(*events, end=chunk(b"")):
    return EVENTS_HEAD + chunk(b"".join(json.dumps(one).encode() + b"\n" for one in events)) + end


def ending():
    """A stream that makes weftctl end by itself."""
    return stream(event(99, "overflow"))


def test_events_go_on_when_weftd_comes_back(fake, run):
    """After each end of a stream weftctl asks for what came after the last event, and says which of it there is."""
    other = {"boot": "b2"}
    fake.answers = [
        stream(event(1, "registered", sandbox="a1"), event(1, "stopping")),
        lambda connection: None,  # closed without an answer
        stopping(),
        problem(503, "too many streams of events"),
        stream(event(2, "unregistered", sandbox="a1"), end=b""),  # killed
        stream(event(4, "snapshot", sandbox="a1", object=sandbox()), event(4, "snapshot-end"), event(5, "denied"), event(5, "stopping")),
        stream(event(0, "snapshot-end", **other), event(1, "registered", sandbox="a2", **other), event(1, "overflow", **other)),
    ]
    done = run("events", "--json")
    assert [target for _, target, _ in fake.requests] == [
        "/v1/events",
        *["/v1/events?since=1&boot=b1"] * 4,
        "/v1/events?since=2&boot=b1",
        "/v1/events?since=5&boot=b1",
    ]
    assert done.returncode == FAILED
    said = done.stderr.splitlines()
    assert said[:6] == [
        "weftctl events: weftd is stopping; trying again for up to 60 s",
        "weftctl events: weftd goes on after event 1; none is missing",
        "weftctl events: weftd ended; trying again for up to 60 s",
        "weftctl events: weftd keeps the events after 2 no longer; a snapshot follows",
        "weftctl events: weftd is stopping; trying again for up to 60 s",
        "weftctl events: another run of weftd answers (boot b2, after b1); what its sandboxes are now is in the snapshot that follows",
    ]
    assert "events came faster" in said[6]
    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert types.count("stopping") == 2 and types[-2:] == ["registered", "overflow"]


def test_events_tell_people_that_weftd_stops(fake, run):
    fake.answers = [stream(event(3, "registered", sandbox="a1"), event(3, "stopping"))]
    done = run("events", "--retry", "0")
    assert done.returncode == UNREACHABLE
    assert done.stdout.splitlines()[-1].split()[-2:] == ["-", "stopping"]


def test_events_after_a_boot_of_long_ago_say_that_it_is_over(fake, run):
    fake.answers = [stream(event(9, "snapshot-end"), event(9, "overflow"))]
    done = run("events", "--since", "5", "--boot", "b0")
    assert done.stderr.startswith("weftctl events: another run of weftd answers (boot b1, after b0)")


def test_events_begin_anew_where_a_snapshot_broke_off(fake, run):
    """After the first sandbox of a snapshot there is no event to go on from: the other sandboxes would be missing."""
    half = event(7, "snapshot", sandbox="a1", object=sandbox())
    fake.answers = [
        stream(event(6, "registered", sandbox="a1"), end=b""),
        stream(half, end=b""),
        stream(half, event(7, "snapshot-end"), event(8, "stopping")),
        stream(event(9, "snapshot", sandbox="a1", object=sandbox()), event(9, "overflow")),
    ]
    done = run("events")
    assert [target for _, target, _ in fake.requests] == [
        "/v1/events",
        "/v1/events?since=6&boot=b1",
        "/v1/events",
        "/v1/events?since=8&boot=b1",
    ]
    assert "the snapshot came faster than it was read" in done.stderr
    assert "--since" not in done.stderr


def test_events_give_up_in_time(fake, run):
    def end(connection):
        connection.sendall(stream(event(1, "registered", sandbox="a1")))
        fake.listener.shutdown(socket.SHUT_RDWR)

    fake.answers = [end]
    done = run("events", "--retry", "1")
    assert done.returncode == UNREACHABLE
    assert "weftd ended the stream; trying again for up to 1 s" in done.stderr
    assert "systemctl start weftd" in done.stderr


@pytest.mark.parametrize("command", [["events"], ["wait", "a1"]], ids=["events", "wait"])
def test_a_daemon_that_was_never_there_is_not_waited_for(run, command):
    assert run(*command).returncode == UNREACHABLE


def test_wait_goes_on_when_weftd_comes_back(fake, run):
    fake.answers = [stopping(), lambda connection: None, problem(503, "out of memory")]
    done = run("wait", "a1", "--timeout", "200", "--state", "attached")
    assert (done.returncode, len(fake.requests)) == (FAILED, 3)  # no Retry-After: that is no restart
    fake.answers = [lambda connection: None, stopping(), http(200, sandbox(state="attached"))]
    done = run("wait", "a1", "--timeout", "200", "--state", "attached")
    assert (done.returncode, done.stdout) == (DONE, "a1 is attached\n")
    assert done.stderr == "weftctl wait: weftd ended while it was asked; trying again for up to 200 s\n"
    times = [int(target.rsplit("=", 1)[1]) for _, target, _ in fake.requests[3:]]
    assert times[0] == 200 and times == sorted(times, reverse=True) and times[2] > 100


def test_wait_without_time_asks_once(fake, run):
    fake.answers = [stopping()]
    assert run("wait", "a1", "--timeout", "0").returncode == FAILED


def moving(bytes_to_guest):
    counters = {**sandbox()["counters"], "bytes_to_guest": bytes_to_guest}
    return http(200, {"sandboxes": [sandbox(id="idle", slot=1), sandbox(id="busy", slot=2, counters=counters)]})


def test_top_shows_rates_from_the_first_look_on_the_busiest_first(fake, run):
    fake.answers = [moving(0), moving(1 << 30)]
    rows = run("top", "--batch", "--count", "1").stdout.splitlines()
    assert rows[0].split("  ")[1:3] == ["2 sandboxes", "0 connections"]
    assert rows[1].split() == ["SANDBOX", "SLOT", "STATE", "CONN", "HELD", "TO/s", "FROM/s", "DROPS/s"]
    assert [row.split()[0] for row in rows[2:]] == ["busy", "idle"]
    assert rows[2].split()[5].endswith(("MiB", "GiB")) and rows[2].split()[6:] == ["0B", "0"]

    fake.answers = [moving(0), moving(0), moving(1 << 30)]
    done, seconds = timed(lambda: run("top", "--json", "--interval", "1", "--count", "2"))
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["to_guest_rate"] for row in looks[0]["sandboxes"]] == [0, 0]
    assert looks[1]["sandboxes"][0]["id"] == "busy"
    # A second passed between the looks, or more, at most as long as the whole command took.
    assert (1 << 30) / seconds <= looks[1]["sandboxes"][0]["to_guest_rate"] <= 1.01 * (1 << 30)


def test_a_sandbox_that_top_sees_for_the_first_time_has_no_rate(fake, run):
    fake.answers = [http(200, {"sandboxes": []}), moving(0)]
    look = json.loads(run("top", "--json", "--count", "1").stdout)
    assert [row["to_guest_rate"] for row in look["sandboxes"]] == [None, None]


@pytest.mark.parametrize(
    "options, ids",
    [
        ([], "b2 e5 d4 c3 a1"),
        (["--sort", "conn"], "a1 c3 e5 d4 b2"),
        (["--sort=-conn"], "e5 d4 b2 c3 a1"),
        (["--sort", "id", "--filter", "state=waiting"], "a1 c3 d4"),
        (["--sort", "-slot", "--filter", "label=k"], "c3 e5"),
    ],
)
def test_top_sorts_and_filters(fake, run, options, ids):
    before = five()
    before[3]["counters"]["bytes_to_guest"] = 0
    fake.answers = [http(200, {"sandboxes": before}), http(200, {"sandboxes": five()})]
    look = json.loads(run("top", "--json", "--count", "1", *options).stdout)
    assert [row["id"] for row in look["sandboxes"]] == ids.split()


@pytest.fixture
def top(fake, folder):
    """top() of a hundred sandboxes, 10 of them with traffic, on a screen of 80 columns and 24 lines."""
    counters = sandbox()["counters"]

    def look(bytes_to_guest):
        return [
            sandbox(
                id=f"ip5a2vh1q14ne170j-{slot:03}",
                slot=slot,
                state="failed" if slot == 77 else "waiting",
                counters={**counters, "bytes_to_guest": bytes_to_guest * slot if slot > 90 else 0, "connections_open": 12345},
            )
            for slot in range(1, 101)
        ]

    fake.answers = [http(200, {"sandboxes": look(0)}), http(200, {"sandboxes": look(1 << 20)})]
    argv = [WEFTCTL, "--socket", f"{folder}/control.sock", "top", "--interval", "3600"]

    def in_a_job(*arguments, **options):  # whose shell can let it go on: otherwise it would not stop
        return subprocess.Popen(*arguments, process_group=0, **options)

    with Terminal(in_a_job, argv, 80, 24, {"NO_COLOR": "1"}) as made:
        made.read(lambda raw: "q quit" in raw.rsplit("\x1b[H", 1)[-1])
        yield made


def rows_of(terminal):
    """(slots in sight, the last line), of a whole page that fits on the screen."""
    lines = terminal.screen().split("\n")
    assert len(lines) == 24 and not too_wide(terminal.screen(), 80), terminal.screen()
    return [int(line.split()[1]) for line in lines[2:-1] if line], lines[-1]


def press(terminal, keys, expected):
    """Types KEYS and awaits a page with EXPECTED in its last line."""
    terminal.raw = ""
    terminal.type(keys)
    terminal.read(lambda raw: expected in raw.rsplit("\x1b[H", 1)[-1])
    return rows_of(terminal)


def test_tops_keys_scroll_sort_and_filter(top):
    slots, bottom = rows_of(top)
    assert slots == [*range(100, 90, -1), *range(1, 12)] and bottom.startswith("1-21 of 100  by traffic")
    assert top.screen().split("\n")[0].split("  ")[1:3] == ["100 sandboxes", "1234500 connections"]
    assert press(top, "\x1b[6~", "22-42 of 100")[0] == [*range(12, 33)]
    assert press(top, "jj\x1b[Bk", "24-44 of 100")[0] == [*range(14, 35)]
    assert press(top, "G", "80-100 of 100")[0] == [*range(70, 91)]
    assert press(top, "\x1b[6~\x1b[5~", "59-79 of 100")[0] == [*range(49, 70)]
    assert press(top, "g", "1-21 of 100")[0][0] == 100
    assert press(top, "ir", "by id reversed")[0] == [*range(100, 79, -1)]
    assert press(top, "r<", "by slot ")[0] == [*range(1, 22)]
    assert press(top, "/fail", "filter: fail_")[0] == [77]
    assert press(top, "\x7f\x7f\x7f\x7f-07\n", "1-10 of 10  by slot  filter: -07")[0] == [*range(70, 80)]
    assert press(top, "\x1b", "1-21 of 100  by slot  q")[0] == [*range(1, 22)]


def test_top_explains_itself_and_follows_the_screens_size(top):
    top.raw = ""
    top.type("h")
    top.read(lambda raw: "any key" in raw.rsplit("\x1b[H", 1)[-1])
    for words in ("page down", "sort by traffic", "bytes a second"):
        assert words in top.screen()
    assert press(top, "q", "q quit")[0][0] == 100
    top.raw = ""
    top.resize(60, 12)
    top.read(lambda raw: " of 100" in raw.rsplit("\x1b[H", 1)[-1] and raw.rsplit("\x1b[H", 1)[-1].count("\n") == 11)
    assert not too_wide(top.screen(), 60)
    top.type("q")
    assert top.finish() == DONE


def echoes_keys(terminal):
    return bool(termios.tcgetattr(terminal.master)[3] & termios.ECHO)


def test_top_gives_the_screen_back_while_it_is_stopped_and_at_its_end(top):
    assert not echoes_keys(top)
    top.raw = ""
    top.child.send_signal(signal.SIGTSTP)
    assert os.WIFSTOPPED(os.waitpid(top.child.pid, os.WUNTRACED)[1])
    assert top.read("\x1b[?25h\x1b[?1049l") and echoes_keys(top)
    top.raw = ""
    top.child.send_signal(signal.SIGCONT)
    assert top.read("1-21 of 100").startswith("\x1b[?1049h\x1b[?25l") and not echoes_keys(top)
    top.child.send_signal(signal.SIGQUIT)
    assert top.finish() == DONE
    assert top.raw.endswith("\x1b[?25h\x1b[?1049l")


def test_top_counts_what_the_filter_lets_through(top):
    top.type("/fail\n")
    top.read(lambda raw: "1-1 of 1  by traffic  filter: fail  q" in raw.rsplit("\x1b[H", 1)[-1])
    assert top.screen().split("\n")[0].split("  ")[1:3] == ["1 of 100 sandboxes", "12345 connections"]
    assert press(top, "/x\n", "none match  by traffic  filter: failx  q")[0] == []
    assert top.screen().split("\n")[0].split("  ")[1] == "0 of 100 sandboxes"


def test_tops_help_on_a_low_screen_says_how_to_quit_and_to_leave_it(top):
    top.resize(80, 10)
    top.raw = ""
    top.type("h")
    top.read(lambda raw: "any key" in raw.rsplit("\x1b[H", 1)[-1] and raw.rsplit("\x1b[H", 1)[-1].count("\n") == 9)
    lines = top.screen().split("\n")
    assert len(lines) == 10 and lines[1].split() == ["q", "quit"] and lines[-1].startswith("any key: back")


@pytest.mark.parametrize("name", [None, "web"])
def test_top_that_counts_stays_on_the_screen_with_whole_ids(fake, folder, name):
    long = "0123456789" * 6
    fake.answers = [http(200, {"sandboxes": [sandbox(id=long, **({"name": name} if name else {}))]})] * 2
    child, master = on_terminal(folder, "top", "--count", "1")
    shown = read_terminal(master)
    assert child.wait(timeout=PATIENCE) == DONE
    os.close(master)
    assert long in shown and "\x1b[?1049h" not in shown


def on_terminal(folder, *arguments, columns=80, env=None):
    """weftctl on a terminal of its own: the process and the master's end."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", str(columns), "rows", "24"], stdin=slave, check=True)
    child = subprocess.Popen(
        [WEFTCTL, "--socket", f"{folder}/control.sock", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(env or {})},
    )
    os.close(slave)
    return child, master


def read_terminal(master, until=None, timeout=PATIENCE):
    data = b""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and readable(master, deadline - time.monotonic()):
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        data += piece
        if not piece or (until and until in data):
            break
    return data.decode()


@pytest.mark.parametrize("env, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_only_where_it_is_wanted(fake, run, folder, env, coloured):
    fake.answers = [http(200, {"sandboxes": [sandbox(state="ready")]})] * 2
    child, master = on_terminal(folder, "ls", env=env)
    assert ("\x1b[" in read_terminal(master)) == coloured
    assert child.wait(timeout=PATIENCE) == DONE
    os.close(master)
    assert "\x1b" not in run("ls").stdout


@pytest.mark.parametrize("how", ["key", "signal"])
def test_top_puts_the_terminal_back(fake, folder, how):
    fake.answers = [moving(0), moving(0)]
    child, master = on_terminal(folder, "top", "--interval", "60")
    shown = read_terminal(master, until=b"busy")
    assert "\x1b[?1049h" in shown
    if how == "key":
        os.write(master, b"q")
    else:
        child.terminate()
    left = read_terminal(master)
    assert "\x1b[?1049l" in shown + left and "\x1b[?25h" in shown + left
    assert child.wait(timeout=PATIENCE) == DONE
    os.close(master)


class TestExec:
    """In a namespace that is made here, and that the fake daemon names."""

    @pytest.fixture
    def inside(self, host, folder):
        host.run(["ip", "netns", "add", "ns-110"])
        host.run(["ip", "-n", "ns-110", "tuntap", "add", "inner0", "mode", "tap"])

        def run(*arguments, **options):
            return host.run([WEFTCTL, "--socket", f"{folder}/control.sock", "exec", *arguments], check=False, **options)

        return run

    def test_it_is_in_the_namespace_and_sys_shows_it(self, fake, inside):
        fake.answers = [http(200, sandbox())] * 2
        assert "inner0" in inside("a1", "--", "ip", "link").stdout
        done = inside("a1", "--", "ls", "/sys/class/net")
        assert sorted(done.stdout.split()) == ["inner0", "lo"], done.stderr

    def test_its_mounts_are_its_own(self, fake, inside, host):
        before = host.output(["cat", "/proc/self/mountinfo"])
        fake.answers = [http(200, sandbox())]
        inside("a1", "--", "true")
        assert host.output(["cat", "/proc/self/mountinfo"]) == before

    def test_the_namespaces_files_of_etc_are_seen(self, fake, inside, host, folder):
        host.run(["sh", "-c", f"cp -a /etc {folder}/etc && mkdir -p {folder}/etc/netns/ns-110"])
        with open(f"{folder}/etc/netns/ns-110/resolv.conf", "w", encoding="utf-8") as file:
            file.write("nameserver 192.0.2.53\n")
        host.run(["mount", "--bind", f"{folder}/etc", "/etc"])
        fake.answers = [http(200, sandbox())]
        done = inside("a1", "--", "cat", "/etc/resolv.conf")
        assert done.stdout == "nameserver 192.0.2.53\n", done.stderr

    def test_it_exits_as_the_command_does(self, fake, inside):
        fake.answers = [http(200, sandbox())] * 4
        assert inside("a1", "--", "sh", "-c", "exit 42").returncode == 42
        assert inside("a1", "--", "sh", "-c", "kill -TERM $$").returncode == -15
        done = inside("a1", "--", "no-such-command")
        assert (done.returncode, done.stderr) == (127, "weftctl exec: no-such-command: No such file or directory\n")
        assert inside("a1", "--", "/etc").returncode == 126

    def test_its_own_failures_are_125(self, fake, inside, host):
        fake.answers = [
            problem(404, "there is no sandbox a1", "id"),
            http(200, {"sandboxes": []}),
            http(200, sandbox(netns_path="/run/netns/none")),
        ]
        assert inside("a1", "--", "true").returncode == 125
        done = inside("a1", "--", "true")
        assert (done.returncode, done.stderr) == (125, "weftctl exec: /run/netns/none: No such file or directory\n")
        assert inside("a/1", "--", "true").returncode == 125
        assert inside("a1").returncode == 125
        assert host.run([WEFTCTL, "--socket", "/nowhere", "exec", "a1", "true"], check=False).returncode == 125
