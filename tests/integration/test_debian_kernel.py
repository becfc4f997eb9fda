# SPDX-License-Identifier: GPL-2.0-or-later
"""weft on Debian's own kernel, which may be older than this machine's, in a virtual machine that stands for a host.

weftd compares its rules with the kernel's dump of them, attribute by attribute, and kernels dump differently. After a false difference
weftd would repair its tables for ever.
"""

import glob
import json
import os
import re

import pytest

from harness.daemon import sanitizer_problem
from harness.job_vm import run_job

pytestmark = pytest.mark.vm

UNIT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "unit")
LONG = pytest.mark.skipif(not os.environ.get("WEFT_LONG"), reason="takes minutes: WEFT_LONG=1 runs it")


@pytest.mark.parametrize("room", ["nft", "kernel", "fabric/rules", "wake", pytest.param("fabric", marks=LONG)])
def test_unit_tests_pass_there(job_image, folder, room):
    names = sorted(os.path.relpath(path, UNIT).removesuffix(".c") for path in glob.glob(f"{UNIT}/{room}/*_test.c"))
    script = "export CK_TIMEOUT_MULTIPLIER=5\n" + "".join(f"step {name} /job/tests/unit/{name}\n" for name in names)
    steps = run_job(job_image, folder, [f"tests/unit/{name}" for name in names], script)
    assert names and list(steps) == names
    for name, step in steps.items():
        assert step.status == 0, f"{name}: exit status {step.status}\n{step.text}"
        assert re.search(r"^100%: Checks: [1-9]", step.text, re.MULTILINE), step.text


# Slots are checked every 5 s, the host every 10 s. settle() outlasts both, since nothing may happen meanwhile.
RESTARTS = """
start() {
	/job/weftd --config /tmp/weftd.conf --foreground 2>/tmp/log &
	daemon=$!
	until /job/weftctl --json status 2>/dev/null | grep -q '"running"'; do
		kill -0 $daemon || return
		sleep 0.1
	done
}

settle() {
	sleep 12
}

stop() {
	kill $daemon
	wait $daemon
}

facts() {
	nft -a list ruleset
	for slot in 1 2 3; do
		stat -L -c %i /run/netns/ns-$slot
		ip -o link show veth-$slot
		ip -n ns-$slot -o link | grep -v ' lo:'
		ip -n ns-$slot route | sed 's/ linkdown//'
		tc -n ns-$slot qdisc show
		ip netns exec ns-$slot nft -a list ruleset
	done
}

flush_and_await_repair() {
	ip netns exec ns-2 nft flush chain inet weft forward || return
	until grep -q msg=repaired /tmp/log; do
		sleep 0.1
	done
}

cat >/tmp/weftd.conf <<END
[daemon]
log_level = debug
[ports]
allow_address = 192.0.2.0/24
[pool]
size = 1
quarantine = 0
[ingress]
local_users = 4000-4001
local_users = %5900
END
cat >/tmp/policy <<END
{"egress": {"internet": false,
	"allow": ["203.0.113.0/24", {"cidr": "198.51.100.0/24", "proto": "tcp", "ports": [443, 80]}],
	"deny": ["203.0.113.9/32", {"cidr": "198.51.100.7/32", "proto": "udp"}]}}
END
cat >/tmp/rate <<END
{"bandwidth": {"to_guest": {"rate": 12500000, "burst": 1000000}}, "limits": {"connections": 17}}
END
cat >/tmp/nat <<END
{"ports": [8080, {"guest_port": 53, "listen": "192.0.2.2:5353", "proto": "udp", "via": "nat"}], "default": true}
END
ip link add uplink type dummy
ip addr add 192.0.2.2/24 dev uplink
ip link set uplink up
ip route add default via 192.0.2.1

step check /job/weftd --config /tmp/weftd.conf --check
step start-1 start
for name in policy rate nat; do
	step register-$name /job/weftctl register --body /tmp/$name $name
done
step status-1 /job/weftctl --json status
step doctor /job/weftctl --json doctor
step settle-1 settle
step facts-1 facts
step stop-1 stop
step log-1 cat /tmp/log
for run in 2 3; do
	step start-$run start
	[ $run = 3 ] || step settle-$run settle
	step status-$run /job/weftctl --json status
	step facts-$run facts
	[ $run = 2 ] || step repair flush_and_await_repair
	step stop-$run stop
	step log-$run cat /tmp/log
done
step cleanup /job/weftd --config /tmp/weftd.conf --cleanup
"""


# The guest's TAP is closed while it sleeps. A manager in shell reads the events, and bash has sockets for TCP and UDP.
SLEEPS = """
ip link add uplink type dummy
ip addr add 192.0.2.2/24 dev uplink
ip link set uplink up
ip route add default via 192.0.2.1
cat >/tmp/weftd.conf <<END
[daemon]
log_level = debug
[pool]
size = 0
END
/job/weftd --config /tmp/weftd.conf --foreground 2>/tmp/log &
daemon=$!
until /job/weftctl --json status 2>/dev/null | grep -q '"running"'; do
	kill -0 $daemon || exit 1
	sleep 0.1
done
echo '{"ready_port": 7, "wake": {"ports": [7, "9/udp"], "min_awake_ms": 0, "timeout_ms": 600000}}' >/tmp/body
/job/weftctl register --body /tmp/body one
mkfifo /tmp/vmm /tmp/never
/job/tests/guest/standin /run/netns/ns-1 </tmp/vmm >/tmp/vmm.out &
exec 4>/tmp/vmm
until grep -q ready /tmp/vmm.out; do sleep 0.1; done
guest=$(sed -n 's/^guest [^ ]* //p' /tmp/vmm.out)
/job/tests/guest/server "$guest,7,echo" </tmp/never >/dev/null &
exec 5>/tmp/never
/job/weftctl wait one >/dev/null
/job/weftctl --json events >/tmp/events &

sleep_now() {
	/job/weftctl pause one && echo "close /run/netns/ns-1" >&4
	while ip -n ns-1 link show tap0 | grep -q LOWER_UP; do sleep 0.1; done
	asleep=$(wakes)
}

wakes() {
	grep -c '"type": *"wake"' /tmp/events
}

# Waits for an event and does what it asks for; the clients' retries come later than that.
resume() {
	for i in $(seq 600); do
		[ "$(wakes)" = "$asleep" ] || break
		sleep 0.1
	done
	echo "open /run/netns/ns-1" >&4
	/job/weftctl resume --flows "${1:-keep}" one
	/job/weftctl wait one
}

cat >/tmp/tcp <<'END'
exec 3<>/dev/tcp/10.11.0.1/7 && echo "hello $1" >&3 && read -r -t 60 answer <&3 && echo "answer: $answer"
END
# The guest's kernel refuses the datagram: it has arrived. The socket is told so once.
cat >/tmp/udp <<'END'
exec 3<>/dev/udp/10.11.0.1/9 && echo once >&3
read -r -t 60 answer <&3; echo "$?"
END
# A connection that has something to send while the guest sleeps; the timer of its last attempt is shown at its end.
cat >/tmp/kept <<'END'
exec 3<>/dev/tcp/10.11.0.1/7 && echo first >&3 && read -r answer <&3 && echo "$answer"
until [ -e /tmp/asleep ]; do sleep 0.1; done
echo later >&3
until [ -e /tmp/awake ]; do sleep 0.1; done
read -r -t 60 answer <&3 && echo "$answer"
END

wake_by() {
	sleep_now
	bash /tmp/$1 $1 >/tmp/$1.out 2>&1 &
	resume
	wait $!
	cat /tmp/$1.out
}

silence() {
	bash /tmp/kept >/tmp/kept.out 2>&1 &
	kept=$!
	until grep -q first /tmp/kept.out; do sleep 0.1; done
	sleep_now
	touch /tmp/asleep
	for i in $(seq 300); do
		ss -tinH dst 10.11.0.1 dport = 7 | grep -qE 'retrans:[0-9]+/([89]|[1-9][0-9])' && break
		sleep 0.1
	done
	ss -tinH dst 10.11.0.1 dport = 7
	echo "wakes: $(($(wakes) - asleep))"
	asleep=-1
	resume
	touch /tmp/awake
	wait $kept
	cat /tmp/kept.out
}

step tcp wake_by tcp
step udp wake_by udp
step silence silence
step events cat /tmp/events
kill $daemon
wait $daemon
step log cat /tmp/log
step cleanup /job/weftd --config /tmp/weftd.conf --cleanup
exec 4>&- 5>&-
"""


def test_a_sleeper_is_woken_there_and_its_clients_do_not_fall_silent(job_image, folder):
    programs = ["weftd", "weftctl", "tests/guest/standin", "tests/guest/server"]
    steps = run_job(job_image, folder, programs, SLEEPS)
    text = {name: step.text for name, step in steps.items()}
    assert all(step.status == 0 for step in steps.values()), text
    assert not sanitizer_problem(text["log"]) and "level=error" not in text["log"], text["log"]
    assert "answer: hello tcp" in text["tcp"] and "Connection refused" in text["udp"], text
    wakes = [event for event in map(json.loads, text["events"].splitlines()) if event["type"] == "wake"]
    seen = [(event["proto"], event["dest_port"], event["via"], event["attempt"]) for event in wakes]
    assert seen == [("tcp", 7, "kernel", 1), ("udp", 9, "kernel", 1)]
    assert "wakes: 0" in text["silence"] and re.search("^later$", text["silence"], re.MULTILINE), text["silence"]
    # Eight retransmissions within 30 s: with its usual back-off the sender would be at the eighth after 50 s. ss shows no back-off of 0.
    again, backoff = (re.search(rf"{word}:(?:\d+/)?(\d+)", text["silence"]) for word in ("retrans", "backoff"))
    assert int(again[1]) >= 8 and (not backoff or int(backoff[1]) <= 4), text["silence"]


def test_a_restarted_daemon_finds_its_sandboxes_unaltered(job_image, folder):
    steps = run_job(job_image, folder, ["weftd", "weftctl"], RESTARTS)
    for name, step in steps.items():
        assert step.status == 0, f"{name}: exit status {step.status}\n{step.text}\n{steps['log-1'].text}"
    text = {name: step.text for name, step in steps.items()}
    for run in (1, 2, 3):
        status = json.loads(text[f"status-{run}"])
        assert status["state"] == "running"
        assert {state: count for state, count in status["sandboxes"].items() if count} == {"waiting": 3}
        assert not sanitizer_problem(text[f"log-{run}"])
        assert not re.search("level=error", text[f"log-{run}"]), text[f"log-{run}"]
    # At the first start no table is there.
    assert re.findall("nftables differ.*", text["log-1"]) == ['nftables differ" wanted="table weft"']
    assert "msg=repaired" not in text["log-1"]
    assert not re.search("nftables differ|msg=repaired", text["log-2"]), text["log-2"]
    assert text["facts-1"] == text["facts-2"] == text["facts-3"]
    # A true difference is found there, and only that.
    assert re.findall("nftables differ.*", text["log-3"]) == ['nftables differ" wanted="rule of chain forward"'], text["log-3"]
    assert len(re.findall("msg=repaired", text["log-3"])) == 1, text["log-3"]


# A guest behind a TAP, and clients of its published port, in a host that has cgroup2 and bpffs as systemd mounts them.
LOOPBACK = """
start() {
	/job/weftd --config /tmp/weftd.conf --foreground 2>>/tmp/log &
	daemon=$!
	until /job/weftctl --json status 2>/dev/null | grep -q '"running"'; do
		kill -0 $daemon || return
		sleep 0.1
	done
}

stop() {
	kill $daemon
	wait $daemon
}

crash() {
	kill -9 $daemon
	! wait $daemon
}

boot() {
	mkfifo /tmp/vmm /tmp/servers
	/job/tests/guest/standin /run/netns/ns-1 </tmp/vmm >/tmp/standin &
	vmm=$!
	exec 8>/tmp/vmm
	until grep -q ready /tmp/standin; do
		sleep 0.1
	done
	guest=$(sed -n 's/^guest [^ ]* //p' /tmp/standin)
	/job/tests/guest/server "$guest,49983,http,a1" </tmp/servers >/tmp/server &
	exec 9>/tmp/servers
	/job/weftctl wait a1
}

await_path() {
	for try in $(seq 300); do
		! /job/weftctl --json show a1 | grep -q '"path": *"'$1'"' || return 0
		sleep 0.1
	done
	/job/weftctl --json show a1
	return 1
}

clients() {
	/job/tests/forwarder/load connections 127.0.0.1:20000 200 4
	/job/tests/forwarder/load connections "[::1]:20000" 200 4
}

keep() {
	mkfifo /tmp/clients /tmp/kept
	/job/tests/forwarder/load kept 127.0.0.1:20000 5 </tmp/clients >/tmp/kept 2>/tmp/ended &
	clients=$!
	exec 7>/tmp/clients
	read said </tmp/kept
	echo "$said"
}

# The guest is gone: its clients are told, and new ones are held, for 2 s here.
lose() {
	kill -9 $vmm
	await_path forwarder
	/job/tests/forwarder/load connections 127.0.0.1:20000 1 1
}

cat >/tmp/weftd.conf <<END
[forwarder]
loopback = kernel
connect_deadline = 2s
[ports]
range = 20000-20099
[pool]
size = 0
END
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
echo '{"ports": [49983], "ready_port": 49983}' >/tmp/a1

step start start
step register /job/weftctl register --body /tmp/a1 a1
step boot boot
step path await_path kernel
step clients clients
step keep keep
step connections /job/weftctl --json connections a1
step show /job/weftctl --json show a1
step doctor /job/weftctl --json doctor
step crash crash
step orphans clients
step start-again start
step path-again await_path kernel
step clients-again clients
step pins ls /sys/fs/bpf/weft
step lose lose
step stop stop
step pins-gone ls -A /sys/fs/bpf
step log cat /tmp/log
"""


def test_clients_of_loopback_are_led_to_the_guest_there(job_image, folder):
    programs = ["weftd", "weftctl", "tests/guest/standin", "tests/guest/server", "tests/forwarder/load"]
    steps = run_job(job_image, folder, programs, LOOPBACK)
    for name, step in steps.items():
        if name not in ("doctor", "lose"):
            assert step.status == 0, f"{name}: exit status {step.status}\n{step.text}\n{steps['log'].text}"
    text = {name: step.text for name, step in steps.items()}
    for name in ("clients", "orphans", "clients-again"):
        assert re.findall(r"done=(\d+) failed=(\d+)", text[name]) == [("200", "0")] * 2, text[name]
    assert "failed=1" in text["lose"], text["lose"]
    listed = json.loads(text["connections"])["connections"]
    assert [one["path"] for one in listed] == ["kernel"] * 5, listed
    assert {one["endpoint"] for one in listed} == {"127.0.0.1:20000"}
    shown = json.loads(text["show"])
    assert shown["counters"]["connections_total"] >= 405, shown
    [found] = [one for one in json.loads(text["doctor"]) if one["check"] == "loopback"]
    assert found["status"] == "ok", found
    assert "weft" not in text["pins-gone"]
    assert not sanitizer_problem(text["log"]) and "level=error" not in text["log"], text["log"]
