# SPDX-License-Identifier: GPL-2.0-or-later
"""The host runs short of something for a moment, under load. No sandbox changes its state, no connection is lost, and it all comes back.

A shortage lasts until the daemon has met it; with WEFT_LONG=1 it lasts 5 s.
"""

import json
import os
import re
import time

import pytest

from harness import faults
from harness.daemon import sanitizer_problem
from harness.job_vm import run_job
from harness.stage import CONFIG, LONG, Stage, make_disk
from harness.wait import PATIENCE, poll_until

SECONDS = 5.0 if LONG else 0.6


@pytest.fixture
def shorted(folder):
    made = faults.Faults(folder)
    yield made
    made.close()


@pytest.fixture
def disk(host, folder):
    return make_disk(host, folder)


@pytest.fixture
def stage(host, disk, shorted, weftd, guest):
    daemon = weftd(CONFIG, run=False)
    daemon.state_dir = os.path.join(disk, "state")
    shorted.prepare(daemon)
    daemon.start()
    made = Stage(host, daemon, guest)
    yield made
    made.close()


def damage(stage):
    """Another program deletes something of four of the sandboxes, so that repairs meet the shortage."""
    slots = [one["slot"] for one in stage.sandboxes]
    stage.host.run(["ip", "route", "del", stage.sandboxes[0]["host_ip"]])
    stage.host.run(["ip", "link", "del", f"veth-{slots[1]}"])
    stage.host.run(["ip", "netns", "del", f"ns-{slots[2]}"])
    stage.host.netns(f"ns-{slots[3]}").run(["nft", "flush", "ruleset"])


def suffer(stage, what, shortage, *bearing, until=lambda: True, meanwhile=lambda: None):
    """SHORTAGE, a context, for its time and until UNTIL; MEANWHILE is called again and again. Then all must come back."""
    with stage.witness.bearing("kernel", *bearing):
        stage.witness.note(f"{what}: begins")
        with shortage:
            end = time.monotonic() + SECONDS
            damage(stage)

            def over():
                meanwhile()
                stage.witness.check()
                return time.monotonic() >= end and until()

            poll_until(over, SECONDS + PATIENCE, what=lambda: f"{what}: the daemon to meet it", interval=0.05)
        stage.await_all(what)


def test_descriptors(stage):
    suffer(stage, "descriptors", faults.few_descriptors(stage.daemon), "new", "api")


@pytest.mark.parametrize("chance", [0.05, 1.0])
def test_memory(stage, shorted, chance):
    suffer(
        stage,
        f"memory, {chance:.0%} of the allocations",
        shorted.on(faults.MEMORY, chance),
        "new",
        "api",
        until=lambda: shorted.met(faults.MEMORY) > 100,
    )


def test_netlink_buffers(stage):
    suffer(stage, "netlink buffers", faults.small_netlink_buffers(stage.daemon), "api")


@pytest.mark.parametrize("chance", [0.1, 1.0])
def test_netlink_messages(stage, shorted, chance):
    suffer(
        stage,
        f"netlink, {chance:.0%} of the messages lost",
        shorted.on(faults.NETLINK, chance),
        "api",
        until=lambda: shorted.met(faults.NETLINK) > 20,
    )


@pytest.mark.parametrize("kind", [faults.full_disk, faults.no_inodes])
def test_disk(stage, host, disk, kind):
    suffer(stage, kind.__name__, kind(host.file(disk)), "api")


def test_threads(stage, shorted):
    """A daemon at work makes no thread but for a diagnosis."""
    diagnosis = "/v1/sandboxes/live-9/diagnosis"
    suffer(
        stage,
        "threads",
        shorted.on(faults.THREADS),
        until=lambda: shorted.met(faults.THREADS) > 0,
        meanwhile=lambda: stage.daemon.api.get(diagnosis).expect(503),
    )
    stage.daemon.api.get(diagnosis).expect(200)


# The limit of tracked connections is one for the whole machine, hence the virtual machine.
CONNTRACK = """
SECONDS_SHORT=%d
limit=/proc/sys/net/netfilter/nf_conntrack_max
slots="1 2 3 4 5 6 7 8 9 10"

cat >/tmp/ports <<END
{"ports": [7]}
END

start() {
	/job/weftd --foreground 2>/tmp/log &
	daemon=$!
	until /job/weftctl --json status 2>/dev/null | grep -q '"running"'; do
		kill -0 $daemon || return
		sleep 0.1
	done
	for n in $slots; do
		/job/weftctl register --body /tmp/ports live-$n >/dev/null || return
		guests="$guests /run/netns/ns-$n"
	done
}

guests() {
	mkfifo /tmp/guests /tmp/servers
	sleep 1000 >/tmp/guests &
	/job/tests/guest/standin $guests </tmp/guests >/tmp/standin &
	until grep -q ready /tmp/standin; do sleep 0.1; done
	sleep 1000 >/tmp/servers &
	/job/tests/guest/server $(sed -n 's/^guest .* \\(.*\\)$/\\1,7,echo/p' /tmp/standin) </tmp/servers >/tmp/server &
	until grep -q ready /tmp/server; do sleep 0.1; done
	for n in $slots; do
		/job/weftctl wait live-$n --state ready --timeout 60 || return
	done
	/job/weftctl --json events >/tmp/events &
	events=$!
}

# One line after the other, until /tmp/end is there. PLACE ADDRESS PORT
hold() {
	while [ ! -e /tmp/end ]; do
		cut -d' ' -f1 /proc/uptime
		sleep 0.2
	done | tee /tmp/sent-$1 | nc $2 $3 >/tmp/got-$1
}

ways() {
	for n in $slots; do
		echo "forwarder-$n 127.0.0.1 $((19999 + n))"
		echo "kernel-$n 10.11.0.$n 7"
	done
}

hold_all() {
	ways | while read -r place address port; do
		hold $place $address $port &
	done
	for place in $(ways | cut -d' ' -f1); do
		until [ -s /tmp/got-$place ]; do sleep 0.1; done
	done
}

# Whether a new connection is served
serves() {
	[ "$(echo x | timeout 3 nc $1 $2)" = x ]
}

shortage() {
	before=$(cat $limit)
	echo 1 >$limit
	serves 10.11.0.1 7 && echo "served in the shortage"
	sleep $SECONDS_SHORT
	dmesg | grep -c 'table full'
	echo $before >$limit
	over=$(cut -d' ' -f1 /proc/uptime | tr -d .)
	ways | while read -r place address port; do
		until serves $address $port; do :; done
	done
	echo "all served $((($(cut -d' ' -f1 /proc/uptime | tr -d .) - over) * 10)) ms later"
}

compare() {
	touch /tmp/end
	kill $events
	for place in $(ways | cut -d' ' -f1); do
		until cmp -s /tmp/sent-$place /tmp/got-$place; do
			[ $((tries += 1)) -lt 300 ] || break
			sleep 0.1
		done
		cmp /tmp/sent-$place /tmp/got-$place || return
	done
	wc -l /tmp/got-kernel-1
	/job/weftctl --json status
}

step start start
step guests guests
step hold hold_all
step shortage shortage
step compare compare
step events cat /tmp/events
step log cat /tmp/log
kill $daemon
wait $daemon
"""


@pytest.mark.vm
def test_conntrack(job_image, folder):
    programs = ["weftd", "weftctl", "tests/guest/standin", "tests/guest/server"]
    steps = run_job(job_image, folder, programs, CONNTRACK % (5 if LONG else 1))
    for name, step in steps.items():
        assert step.status == 0, f"{name}: exit status {step.status}\n{step.text}"
    assert re.search("^[1-9][0-9]*$", steps["shortage"].text, re.MULTILINE), "no connection met the shortage"
    print(steps["shortage"].text, steps["compare"].text)
    events = [json.loads(line) for line in steps["events"].text.splitlines() if line.startswith("{")]
    assert [one["type"] for one in events].count("snapshot") == 10
    assert not [one for one in events if one["type"] == "state"]
    assert not sanitizer_problem(steps["log"].text)
