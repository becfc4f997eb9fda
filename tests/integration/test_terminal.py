# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl on terminals of all widths: nothing is missing, and no line is wider than the screen."""

import json
import os

import pytest
from harness.daemon import SANITIZER_OPTIONS, build_dir
from harness.terminal import Terminal, is_shown, too_wide
from harness.wait import PATIENCE

WEFTCTL = os.path.join(build_dir(), "weftctl")

WIDTHS = (60, 80, 120, 200)

BUSY = "ip5a2vh1q14ne170jpah6"
LONG = "an-id-as-long-as-they-get." + "x" * 38

BODY = {
    "ports": [
        {"guest_port": 49983},
        {"guest_port": 8080, "listen": ["127.0.0.1:18080", "127.0.0.1:18081", "[::1]:18080"], "proxy_protocol": "v2"},
        {"guest_port": 53, "listen": "127.0.0.1:15353", "proto": "udp"},
        {"guest_port": 81, "listen": "192.0.2.2:18082", "via": "nat"},
        *({"guest_port": port} for port in range(9000, 9006)),
    ],
    "ready_port": 49983,
    "labels": {"template": "base", "team": "\u65e5\u672c\u8a9e", "note": "two words and " + "a-long-one" * 12},
    "tap_owner": {"uid": 123, "gid": 100},
    "egress": {
        "internet": False,
        "allow": ["203.0.113.0/24", {"cidr": "198.51.100.7/32", "proto": "tcp", "ports": list(range(8000, 8040))}],
        "deny": [{"cidr": "192.0.2.0/24", "proto": "udp"}],
    },
    "bandwidth": {"to_guest": {"rate": 12500000, "burst": 1000000}},
    "limits": {"connections": 1000, "idle_ms": 90000},
    "wake": {"ports": [*range(8000, 8010), "5353/udp"]},
    "idle_report_ms": 60000,
}


@pytest.fixture
def daemon(host, weftd):
    host.add_uplink()
    return weftd({"ports": {"allow_address": "192.0.2.2"}})


@pytest.fixture
def terminal(daemon, host):
    """terminal(width, command...): weftctl's finished output and exit status on a terminal of that width."""

    def run(columns, *command, until=None):
        argv = [WEFTCTL, "--socket", daemon.socket, "--deadline", str(int(PATIENCE)), *command]
        with Terminal(host.popen, argv, columns, env=SANITIZER_OPTIONS) as made:
            if until:
                made.read(until)
                made.child.terminate()
            code = made.finish()
            return made.text(), code

    return run


def strings(value):
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(part)


class Seen:
    """Outputs of one command at all widths, and the faults found in them."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.faults = []

    def look(self, *command, values, absent=(), until=None, code=0, words=False):
        for columns in WIDTHS:
            text, ended = self.terminal(columns, *command, until=until)
            where = f"{columns} columns, {' '.join(command)}"
            if until is None and ended not in (code if isinstance(code, tuple) else (code,)):
                self.faults.append(f"{where}: exit status {ended}")
            self.faults += [f"{where}: too wide: {line}" for line in too_wide(text, columns)]
            for value in values:
                # Cells beside each other are both wrapped: their words are looked for, the long ones' beginnings.
                parts = [word[:15] for word in value.split()] if words else [value]
                self.faults += [f"{where}: lacks {part}\n{text}" for part in parts if not is_shown(text, part)]
            self.faults += [f"{where}: has {value}\n{text}" for value in absent if value in text]


def test_every_command_shows_all_at_every_width(daemon, host, terminal):
    api = daemon.api
    api.register(BUSY, BODY)
    api.register(LONG, {"ports": [80]})
    sandbox = api.show(BUSY)
    listens = [address for endpoint in sandbox["endpoints"] for address in endpoint["listen"]]
    guest = sandbox["guest"]
    seen = Seen(terminal)

    seen.look("ls", values=[BUSY, LONG, "waiting", "10.11.0.1", "10.11.0.2", "20000"])
    for columns in WIDTHS:
        assert terminal(columns, "ls", "-q") == (f"{BUSY}\n{LONG}\n", 0)
        wide, _ = terminal(columns, "ls", "--wide")
        assert len(wide.splitlines()) == 3 and all(listen in wide for listen in listens) and "two words and " in wide
    seen.look(
        "show",
        BUSY,
        values=[BUSY, "waiting", "/run/netns/ns-1", "veth-1", "tap0", "10.11.0.1", guest["mac"], guest["boot_arg"]]
        + [*listens, *strings(BODY["labels"]), "203.0.113.0/24", "198.51.100.7/32", "8039", "192.0.2.0/24", "5353/udp", "not within 5.0s"],
    )
    seen.look("set", BUSY, "--wake", "published", values=[f"changed {BUSY}"])
    seen.look("pause", BUSY, "--wake", "any", values=[f"{BUSY} is asleep"])
    seen.look("ls", values=["asleep", "IDLE"])
    seen.look("resume", BUSY, values=[f"{BUSY} is"])
    seen.look("wake", "--help", values=["usage: weftctl", "until its manager resumes it"], words=True)
    seen.look("policy", BUSY, values=["internet", "203.0.113.0/24", "198.51.100.7/32 tcp", "8039", "192.0.2.0/24 udp"])
    seen.look("reach", BUSY, "203.0.113.9:443", values=["allowed", "203.0.113.9:443", "policy:"])
    seen.look("register", LONG, "--port", "80", values=[LONG, "10.11.0.2", "waiting", "127.0.0.1:", "[::1]:"])
    seen.look("status", values=["running", "sandboxes", "waiting", "pool"])
    seen.look("door", values=["connections", "served", "http://localhost:3002/sandbox/ID/8080/", "no front door is in use"], words=True)
    seen.look("door", "check", values=["haproxy", "no HAProxy of the door", "apt install weft-door"], code=5, words=True)
    seen.look("top", "--count", "1", values=[BUSY, LONG, "waiting"])
    seen.look("top", "--batch", "--count", "1", values=[BUSY, LONG, "waiting"])
    seen.look("events", values=[BUSY, LONG, "snapshot"], until="slot=2")

    seen.look("help", values=["usage: weftctl", "register", "Walk a sandbox's path and name the first broken hop", "--version"])
    seen.look("help", "ls", values=["--filter KEY=VALUE", "default=yes or no", "-q, --quiet", "/run/weft/control.sock"])
    seen.look("register", "--help", values=["--port P[/PROTO][=ADDR:PORT] ...", "[::1]:18080", "the client's address"], words=True)

    hops = json.loads(daemon.ctl("diagnose", BUSY, "--json", check=False).stdout)
    told = [hop[key] for hop in hops["hops"] for key in ("hop", "subject") if hop[key]] + [hops["cause"], hops["next_step"]]
    broken = next(hop["detail"] for hop in hops["hops"] if hop["hop"] == hops["broken"])
    seen.look("diagnose", BUSY, values=[*told, broken], code=5, words=True)

    report = json.loads(daemon.ctl("doctor", "--json", "--config", daemon.config, check=False).stdout)
    seen.look("doctor", "--config", daemon.config, values=[finding["check"] for finding in report], code=(0, 5))

    seen.look("upgrade-check", "--weftd", daemon.program, values=["would start in the place of", str(daemon.pid)], words=True)
    with host.connect("127.0.0.1", 18080):
        seen.look("connections", BUSY, values=["127.0.0.1:18080", "127.0.0.1:", "CONNECT"])
    assert not seen.faults, "\n".join(seen.faults)
