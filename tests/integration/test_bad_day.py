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
        host.run(["ip", "link", "add", "stranger0", "type", "veth", "peer", "stranger1"])
        for name in ("stranger0", "stranger1"):
            host.run(["ip", "link", "set", name, "addrgenmode", "none"])
            host.run(["ip", "link", "set", name, "up"])
        self.run_dir = os.path.join(self.disk, "run")
        os.makedirs(host.file(self.run_dir))
        self.daemon = weftd(CONFIG | {"forwarder": {"stop_drain": "100ms"}, "daemon": {"log_level": "debug"}}, run=False)
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
        try:
            self.stage.close()
            self.daemon.api.unregister("flooded")
        finally:
            self.daemon.stop()
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
    start_without_threads: 1,
    reload: 2,
    log_reader: 2,
    run_dir: 1,
    socket_file: 1,
    damage: 4,
    foreign_route: 2,
    tcp_flood: 2,
    udp_flood: 2,
}

# These may begin while another one lasts, as they end no daemon.
BESIDE = (damage, foreign_route, reload, log_reader, tcp_flood, udp_flood)


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
