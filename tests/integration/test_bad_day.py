# SPDX-License-Identifier: GPL-2.0-or-later
"""All that may happen to weftd on a bad day, at random, under the eyes of a witness.

20 seconds with fixed choices; ten minutes with choices of its own under WEFT_LONG=1. WEFT_LONG_SECONDS sets the length, WEFT_SEED repeats a
run's choices, and WEFT_ACTIONS=kill,memory restricts them.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import threading
import time

import pytest

from harness import faults
from harness.cleaned import assert_cleaned
from harness.log_pipe import LogPipe
from harness.manager import Manager
from harness.stage import CONFIG, LONG, Stage, make_disk
from harness.wait import PATIENCE, poll_until
from harness.witness import FORWARDER

SECONDS = float(os.environ.get("WEFT_LONG_SECONDS", "600" if LONG else "20"))
SEED = int(os.environ.get("WEFT_SEED", "0")) or (int.from_bytes(os.urandom(3), "big") if LONG else 12)
LONGEST = 5.0 if LONG else 0.5  # seconds of one action
DESCRIPTORS = 3000  # few enough for a flood to take them all
FLOOD = 2 * DESCRIPTORS

DAY_CONFIG = CONFIG | {"forwarder": {"stop_drain": "100ms"}, "daemon": {"log_level": "debug"}}

UDP_FLOOD = """
import socket, sys, time
made = []
while True:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.sendto(b"flood", ("127.0.0.1", int(sys.argv[1])))
    made = made[-500:] + [one]
"""

TCP_FLOOD = """
import resource, socket, sys
most = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (most + 50, most + 50))
made = []
while True:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", int(sys.argv[1])))
    if len(made) >= most - 100:
        made.pop(0).close()
    made.append(one)
"""


class Day:
    """The stage with everything that the actions need."""

    def __init__(self, host, folder, weftd, guest, choose):
        self.host = host
        self.choose = choose
        self.disk = make_disk(host, folder)
        host.add_uplink()
        host.run(["ip", "link", "add", "stranger0", "type", "veth", "peer", "stranger1"])
        for name in ("stranger0", "stranger1"):
            host.run(["ip", "link", "set", name, "addrgenmode", "none"])
            host.run(["ip", "link", "set", name, "up"])
        self.bare = host.state()
        self.run_dir = os.path.join(self.disk, "run")
        os.makedirs(host.file(self.run_dir))
        self.daemon = weftd(DAY_CONFIG, run=False)
        self.daemon.state_dir = os.path.join(self.run_dir, "state")
        self.daemon.socket = os.path.join(self.run_dir, "control.sock")
        self.daemon.api.path = host.file(self.daemon.socket)
        self.faults = faults.Faults(folder)
        self.faults.prepare(self.daemon)
        self.manager = Manager(folder)
        self.log = LogPipe(self.daemon)
        self.witness = None
        self.start()
        self.flooded = self.daemon.api.register("flooded", {"ports": [7, {"guest_port": 7, "proto": "udp"}]})
        guest(self.flooded).serve("7,echo")
        self.stage = Stage(host, self.daemon, guest)
        self.witness = self.stage.witness

    def start(self):
        self.manager.start(self.daemon)
        resource.prlimit(self.daemon.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        self.daemon.await_running(2 * PATIENCE)
        if self.witness:
            self.witness.await_states()

    def rest(self):
        """Some time of an action."""
        end = time.monotonic() + self.choose.uniform(0.2, 1.0) * LONGEST
        while time.monotonic() < end:
            self.witness.check()
            assert self.daemon.running(), f"weftd ended with {self.daemon.process.returncode}"
            threading.Event().wait(0.05)

    def sandbox(self):
        return self.choose.choice(self.stage.sandboxes)

    def close(self):
        """Ends the day in one of three ways, after which `--cleanup` makes the host as it was."""
        try:
            self.stage.close()
            way = self.choose.choice(("unregistered", "stopped", "killed"))
            print(f"the end: {way}")
            if way == "unregistered":
                self.daemon.api.unregister("flooded")
            if way == "killed":
                self.daemon.kill()
        finally:
            if self.daemon.process:
                self.daemon.stop()
            assert_cleaned(self.host, self.daemon, self.bare, GROUPS)
            self.log.close()
            self.daemon.log_fd = None
            self.manager.close()
            self.faults.close()


# ---- Actions: contexts that begin and end what they are named for, and yield a text about it ----


def bears(*kinds):
    """Makes an action; the witness has to bear KINDS until all is well again after it."""

    def made(function):
        action = contextlib.contextmanager(function)
        action.bears = kinds
        return action

    return made


@bears("new", "api")
def descriptors(day):
    left = day.choose.randrange(6)
    with faults.few_descriptors(day.daemon, left):
        yield f"{left} descriptors left"


@bears("new", "api")
def memory(day):
    with day.faults.on(faults.MEMORY):
        yield "each allocation fails"


@bears("api")
def netlink_buffers(day):
    with faults.small_netlink_buffers(day.daemon):
        yield "small buffers"


@bears("api")
def netlink_messages(day):
    chance = day.choose.choice([0.01, 0.1, 1.0])
    with day.faults.on(faults.NETLINK, chance):
        yield f"{chance:.0%} of the messages are lost"


@bears("api")
def full_disk(day):
    with faults.full_disk(day.host.file(day.disk)):
        yield "no byte left"


@bears("api")
def no_inodes(day):
    with faults.no_inodes(day.host.file(day.disk)):
        yield "no inode left"


@bears()
def threads(day):
    name = day.sandbox()["id"]
    with day.faults.on(faults.THREADS):
        day.daemon.api.get(f"/v1/sandboxes/{name}/diagnosis").expect(503)
        yield f"no thread to diagnose {name}"


@bears("new", "api", "held", "start")
def kill(day):
    day.daemon.kill()
    threading.Event().wait(day.choose.random() * 0.3)
    day.start()
    yield "kill -9"


@bears("new", "api", "held", "start")
def kill_twice(day):
    """And once more at any instant of the start."""
    day.daemon.kill()
    day.manager.spawn(day.daemon)
    threading.Event().wait(day.choose.random() * 0.3)
    day.daemon.kill()
    day.start()
    yield "kill -9, and again during the start"


@bears("new", "api", "held", "start")
def restart(day):
    day.daemon.stop()
    day.start()
    yield "stop and start"


@bears("new", "api", "held", "start")
def start_without_threads(day):
    """A start that finds no thread ends by itself, and the next one finds all as it was."""
    day.daemon.kill()
    with day.faults.on(faults.THREADS):
        day.manager.spawn(day.daemon)
        code = day.daemon.process.wait(2 * PATIENCE)
    assert code > 0, f"the start without a thread: {code}"
    day.start()
    yield "kill -9, and a start without threads"


@bears()
def reload(day):
    day.daemon.signal(signal.SIGHUP)
    yield "HUP"


@bears()
def log_reader(day):
    with day.log.standing_still():
        day.stage.churn.await_one()
        day.witness.await_service(FORWARDER)
        yield "nobody reads the log"


@bears("api")
def run_dir(day):
    shutil.rmtree(day.host.file(day.run_dir))
    poll_until(lambda: os.path.exists(day.daemon.api.path), 2 * PATIENCE, what="the control socket to come back")
    yield "rm -rf of the folder of socket and state"


@bears("api")
def socket_file(day):
    os.unlink(day.daemon.api.path)
    poll_until(lambda: os.path.exists(day.daemon.api.path), 2 * PATIENCE, what="the control socket to come back")
    yield "rm of the control socket"


# Each is for new sandboxes alone; those that are there are served as before.
LAYOUTS = (
    {},
    {"names": {"netns_prefix": "other-", "veth_prefix": "vo-"}},
    {"names": {"link_group": "1875"}},
    {"addresses": {"host_cidr": "10.21.0.0/16", "veth_cidr": "10.22.0.0/16"}},
)
GROUPS = ("1874", "1875")


@bears("new", "api", "held", "start")
def reconfigure(day):
    """The names, the group or the ranges of new sandboxes change over a restart."""
    layout = day.choose.choice(LAYOUTS)
    if day.choose.random() < 0.5:
        day.daemon.kill()
    else:
        day.daemon.stop()
    day.daemon.write_config(DAY_CONFIG | layout)
    day.start()
    yield str(layout)


DAMAGES = (
    "ip route del {host_ip}",
    "ip link del {veth}",
    "ip netns del {netns}",
    "ip link set {veth} down",
    "ip neigh flush dev {veth} nud permanent",
    "nft flush ruleset",
    "nft delete table inet weft",
    "ip -n {netns} route del default",
    "ip -n {netns} link set eth0 down",
    "ip -n {netns} addr del 169.254.0.22/30 dev tap0",
    "ip netns exec {netns} nft flush ruleset",
    "ip netns exec {netns} nft delete table inet weft",
    "ip link set {veth} mtu 1300",
    "ip link set {veth} address 02:aa:bb:cc:dd:01",
    "ip -n {netns} link set eth0 mtu 1300",
    "ip -n {netns} link set eth0 address 02:aa:bb:cc:dd:02",
    "ip -n {netns} link set tap0 mtu 1300",
    "ip -n {netns} link set tap0 address 02:aa:bb:cc:dd:03",
    "ip -n {netns} route del 169.254.0.20/30",
    "ip netns exec {netns} sysctl -qw net.ipv4.ip_forward=0",
    "ip netns exec {netns} sysctl -qw net.ipv4.conf.tap0.forwarding=0",
    "ip link set {veth} name was-{veth}",
    "ip link set {veth} group default",
)


@bears("kernel")
def damage(day):
    done = []
    for one in day.choose.sample(day.stage.sandboxes, day.choose.randrange(1, 6)):
        done.append(day.choose.choice(DAMAGES).format(**one))
        day.host.run(done[-1].split(), check=False)  # the object may be missing from before, in a shortage
    yield "; ".join(done)


@bears("kernel")
def foreign_route(day):
    route = [day.sandbox()["host_ip"], "dev", "stranger0"]
    day.host.run(["ip", "route", "prepend", *route])
    try:
        yield " ".join(route)
    finally:
        day.host.run(["ip", "route", "del", *route])


@contextlib.contextmanager
def _done(day, begin, *end):
    """The command BEGIN, and the commands END when the action is over; an object may be gone by then."""
    done = day.host.run(begin, check=False)
    try:
        yield " ".join(begin) + (f" (exit {done.returncode})" if done.returncode else "")
    finally:
        for one in end:
            day.host.run(one, check=False)


@bears("kernel")
def foreign_rule(day):
    """A policy rule of another program, a VPN's, takes a sandbox's packets into a table of its own."""
    day.host.run(["ip", "route", "replace", "unreachable", "default", "table", "4711"])
    rule = ["to", day.sandbox()["host_ip"], "lookup", "4711", "priority", "99"]
    end = (["ip", "rule", "del", *rule], ["ip", "route", "flush", "table", "4711"])
    with _done(day, ["ip", "rule", "add", *rule], *end) as what:
        yield what


@bears()
def foreign_address(day):
    """Another program gives the host an address of ours, which no sandbox has yet: the host would take its packets for its own."""
    address = [f"10.11.0.{day.choose.randrange(15, 30)}/32", "dev", "stranger0"]
    with _done(day, ["ip", "addr", "add", *address], ["ip", "addr", "del", *address]) as what:
        yield what


@bears()
def foreign_link(day):
    """Links of another program: with a name of ours, in our group, or neither."""
    name = day.choose.choice(["foreign0", f"veth-{day.choose.randrange(20, 30)}"])
    group = ["group", "1874"] if day.choose.random() < 0.3 else []
    begin = ["ip", "link", "add", name, *group, "type", "veth", "peer", "name", "foreign1"]
    with _done(day, begin, ["ip", "link", "del", "foreign1"]) as what:
        yield what


SYSCTLS = (
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.conf.all.rp_filter", "1"),
    ("net.ipv4.conf.default.rp_filter", "1"),
    ("net.ipv4.conf.uplink0.forwarding", "0"),
    ("net.ipv4.conf.{veth}.forwarding", "0"),
    ("net.ipv4.conf.{veth}.rp_filter", "1"),
    ("net.ipv4.conf.all.arp_ignore", "1"),
)


@bears()
def sysctls(day):
    name, value = day.choose.choice(SYSCTLS)
    name = name.format(**day.sandbox()).replace(".", "/").replace("veth/", "veth-")
    former = day.host.output(["sysctl", "-n", name]).strip()
    with _done(day, ["sysctl", "-qw", f"{name}={value}"], ["sysctl", "-qw", f"{name}={former}"]) as what:
        yield what


@bears()
def uplink_mtu(day):
    """New sandboxes get the uplink's new MTU; those that are there keep theirs, and are served."""
    mtu = day.choose.choice(["1280", "1400", "9000"])
    end = ["ip", "link", "set", "uplink0", "mtu", "1500"]
    with _done(day, ["ip", "link", "set", "uplink0", "mtu", mtu], end) as what:
        yield what


@bears()
def uplink_route(day):
    """The default route goes, and comes back."""
    route = ["default", "via", "192.0.2.1"]
    with _done(day, ["ip", "route", "del", *route], ["ip", "route", "replace", *route]) as what:
        yield what


# What other managers of the network do to links, routes and rules that are not theirs.
HABITS = {
    "networkd takes the link over": ("ip addr flush dev {veth}", "ip route flush dev {veth}"),
    "networkd removes foreign routes": ("ip route flush table main proto 174",),
    "NetworkManager takes the link down and up": ("ip link set {veth} down", "ip link set {veth} up"),
    "a firewall is restarted": (
        "nft flush ruleset",
        "nft add table inet other",
        "nft add chain inet other forward {{ type filter hook forward priority 10; policy accept; }}",
        "nft delete table inet other",
    ),
    "Docker starts": (
        "sysctl -qw net.ipv4.ip_forward=1",
        "nft add table ip other-nat",
        "nft delete table ip other-nat",
    ),
    "a clean-up script": ("ip neigh flush all", "ip neigh flush nud permanent dev {veth}", "ip route flush cache"),
}


@bears("kernel")
def manager_habits(day):
    habit = day.choose.choice(list(HABITS))
    for one in day.choose.sample(day.stage.sandboxes, day.choose.randrange(1, 4)):
        for command in HABITS[habit]:
            day.host.run(command.format(**one).split(), check=False)
    yield habit


@bears()
def tcp_flood(day):
    with _flood(day, TCP_FLOOD, "tcp"):
        yield "connections to one endpoint"


@bears()
def udp_flood(day):
    with _flood(day, UDP_FLOOD, "udp"):
        yield "datagrams of many clients to one endpoint"


@contextlib.contextmanager
def _flood(day, program, proto):
    listen = next(one["listen"][0] for one in day.flooded["endpoints"] if one["proto"] == proto)
    port = listen.rsplit(":", 1)[1]
    process = day.host.popen(["/usr/bin/python3", "-c", program, port, FLOOD])
    try:
        # A flood keeps nobody from being served; a shortage beside it may, for as long as it lasts.
        if not day.witness.bears_now("new", "api"):
            day.witness.await_service(FORWARDER)
        yield
    finally:
        process.kill()
        process.wait()


ACTIONS = {
    descriptors: 3,
    memory: 3,
    netlink_buffers: 2,
    netlink_messages: 2,
    full_disk: 1,
    no_inodes: 1,
    threads: 1,
    kill: 2,
    kill_twice: 1,
    restart: 1,
    reconfigure: 2,
    start_without_threads: 1,
    reload: 2,
    log_reader: 2,
    run_dir: 1,
    socket_file: 1,
    damage: 4,
    foreign_route: 2,
    foreign_rule: 1,
    foreign_address: 1,
    foreign_link: 2,
    sysctls: 2,
    uplink_mtu: 1,
    uplink_route: 1,
    manager_habits: 3,
    tcp_flood: 2,
    udp_flood: 2,
}

# These may begin while another one lasts, as they end no daemon.
BESIDE = (damage, foreign_route, foreign_link, sysctls, uplink_mtu, manager_habits, reload, log_reader, tcp_flood, udp_flood)


def chosen():
    """{action: weight}, all or those of WEFT_ACTIONS."""
    only = os.environ.get("WEFT_ACTIONS")
    named = {action.__name__: action for action in ACTIONS}
    return {named[name]: ACTIONS[named[name]] for name in only.split(",")} if only else ACTIONS


@contextlib.contextmanager
def noted(day, action):
    day.witness.note(f"{action.__name__} begins")
    with action(day) as what:
        day.witness.note(f"{action.__name__}: {what}")
        yield


def act(day, first, second):
    """FIRST for some time, and SECOND, if there is one, within it."""
    with day.witness.bearing(*first.bears, *(second.bears if second else ())):
        with noted(day, first):
            if second:
                with noted(day, second):
                    day.rest()
            day.rest()
        day.stage.await_all(first.__name__ + (f" and {second.__name__}" if second else ""))


@pytest.mark.timeout(SECONDS + 300)
def test_a_bad_day(host, folder, weftd, guest):
    print(f"WEFT_SEED={SEED}")
    choose = random.Random(SEED)
    actions = chosen()
    day = Day(host, folder, weftd, guest, choose)
    count = 0
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            first = choose.choices(list(actions), list(actions.values()))[0]
            second = choose.choice([one for one in BESIDE if one in actions] or [None]) if choose.random() < 0.3 else None
            act(day, first, second if second != first else None)
            count += 1
    finally:
        print(f"{count} actions, WEFT_SEED={SEED}")
        day.close()
