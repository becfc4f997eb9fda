# SPDX-License-Identifier: GPL-2.0-or-later
"""The pool: claimed slots were prepared, returned slots are clean, and waiting requests are served in turn."""

import contextlib
import os
import re
import signal
import socket
import time

import pytest

from harness.client import PORT, health, reset
from harness.host import tracked
from harness.wait import TimedOut, poll_until

# The pool keeps every released slot, which rests only for a moment. No slot is made meanwhile, as that takes a second.
KEPT = {"pool": {"size": 1, "refill": 1, "quarantine": "1ms"}}


def pool(api):
    return api.status()["pool"]


def await_pool(api, **wanted):
    """Waits until these of the pool's numbers have these values."""

    def so():
        now = pool(api)
        return all(now[key] == value for key, value in wanted.items())

    poll_until(so, what=lambda: f"{wanted}; now {pool(api)}")


def inode(host, name):
    return os.stat(host.file(f"/run/netns/{name}")).st_ino


def ruleset(host, number):
    """The rules of a slot with their counters, without the slot's own address."""
    text = host.netns(f"ns-{number}").output(["nft", "list", "ruleset"])
    return re.sub(rf"\b10\.11\.0\.{number}\b", "HOST", text)


def objects(host, number):
    """The rest of a slot, without its numbers."""
    inner = host.netns(f"ns-{number}")
    tap = inner.links()["tap0"]
    veth = host.links()[f"veth-{number}"]
    for link in (tap, veth):
        link["flags"] = sorted({*link["flags"]} - {"NO-CARRIER"})  # follows LOWER_UP up to a second later
    return {
        "tap": {key: tap.get(key) for key in ("flags", "mtu", "address", "linkinfo")},
        "veth": {key: veth.get(key) for key in ("flags", "mtu", "group", "ifalias")},
        "links": sorted(inner.links()),
        "qdisc": inner.output(["tc", "qdisc", "show", "dev", "tap0"]),
        "routes": inner.output(["ip", "route"]).replace(f"10.12.0.{2 * number}", "UP").replace(f"10.12.0.{2 * number + 1}", "OWN"),
        "neighbours": len(inner.output(["ip", "neigh", "show", "nud", "permanent"]).splitlines()),
    }


def tap_owner(host, number):
    data = host.netns(f"ns-{number}").links()["tap0"]["linkinfo"]["info_data"]
    return [str(data.get(key)) for key in ("user", "group")]


# ---- Claiming


def test_a_claim_gets_the_lowest_slot_that_is_ready(host, weftd):
    api = weftd({"pool": {"size": 3}}).api
    await_pool(api, ready=3, target=3)
    assert host.netns_names() == ["ns-1", "ns-2", "ns-3"]
    ready = [inode(host, name) for name in host.netns_names()]

    made = [api.register(f"a{i}") for i in range(3)]
    assert [one["slot"] for one in made] == [1, 2, 3]
    assert [inode(host, one["netns"]) for one in made] == ready
    await_pool(api, ready=3)
    assert host.netns_names() == [f"ns-{i}" for i in range(1, 7)]
    assert [one["slot"] for one in api.list()] == [1, 2, 3]


def test_a_claim_finds_nobody_made_it_wait(weftd):
    api = weftd({"pool": {"size": 4}}).api
    await_pool(api, ready=4)
    for i in range(4):
        api.register(f"a{i}")
        await_pool(api, ready=4)
    assert api.metrics()["weft_pool_cold_total"] == 0


def test_a_claimed_slot_has_its_policy_ports_and_limits(host, weftd, guest):
    api = weftd({"pool": {"size": 2}}).api
    await_pool(api, ready=2)
    body = {
        "ports": [PORT],
        "ready_port": PORT,
        "egress": {"internet": False, "allow": ["203.0.113.0/24"]},
        "bandwidth": {"to_guest": {"rate": 12500000, "burst": 1000000}},
    }
    sandbox = api.register("a1", body)
    rules = host.netns(sandbox["netns"]).nft()
    assert "203.0.113.0/24" in rules
    assert "tbf" in host.netns(sandbox["netns"]).output(["tc", "qdisc", "show", "dev", "tap0"])
    inside = guest(sandbox)
    inside.serve(f"{PORT},http,a1")
    api.wait("a1", "ready")
    assert health(host, sandbox["host_ip"])["guest"] == "a1"


def test_alias_and_comment_follow(host, weftd):
    api = weftd({"pool": {"size": 1}}).api
    await_pool(api, ready=1)
    assert "weft:" not in host.output(["ip", "link", "show", "veth-1"])
    api.register("a1")
    poll_until(lambda: "weft:a1" in host.output(["ip", "link", "show", "veth-1"]), what="an alias")
    poll_until(lambda: 'comment "a1"' in host.netns("ns-1").nft(), what="a comment")


def test_slots_are_prepared_for_the_owner_of_all_taps(host, weftd):
    api = weftd({"pool": {"size": 2, "tap_owner": "60123:60100"}}).api
    await_pool(api, ready=2)
    assert tap_owner(host, 1) == ["60123", "60100"]
    before = host.netns("ns-1").links()["tap0"]["ifindex"]
    sandbox = api.register("a1")
    assert sandbox["tap_owner"] == {"uid": 60123, "gid": 60100}
    assert host.netns("ns-1").links()["tap0"]["ifindex"] == before
    other = api.register("a2", {"tap_owner": {"uid": 60007, "gid": 60008}})
    assert tap_owner(host, other["slot"]) == ["60007", "60008"]
    assert other["state"] == "waiting"  # setting the owner must not look like a VM's open


def test_the_pool_grows_and_shrinks_with_a_reload(weftd):
    daemon = weftd({"pool": {"size": 1}})
    for size in (4, 2):
        await_pool(daemon.api, ready=pool(daemon.api)["target"])
        daemon.write_config({"pool": {"size": size}})
        daemon.signal(signal.SIGHUP)
        await_pool(daemon.api, ready=size, target=size, deleting=0)


def test_a_restart_begins_with_a_pool_of_its_own(host, weftd):
    daemon = weftd({"pool": {"size": 2}})
    await_pool(daemon.api, ready=2)
    kept = daemon.api.register("a1")
    await_pool(daemon.api, ready=2)
    daemon.kill()
    daemon.start()
    await_pool(daemon.api, ready=2, deleting=0)
    assert daemon.api.show("a1")["slot"] == kept["slot"]
    poll_until(lambda: len(host.netns_names()) == 3, what=host.netns_names)
    assert daemon.api.register("a2")["slot"] != kept["slot"]


# ---- Coming back


def release_and_claim_again(host, api, use=lambda sandbox: None, body=None):
    """Registers a sandbox, USEs it and removes it, until its slot is cleaned and ready again. Returns the slot's number."""

    def once():
        await_pool(api, ready=1, quarantined=0, deleting=0)
        sandbox = api.register("former", body)
        number, before = sandbox["slot"], inode(host, sandbox["netns"])
        use(sandbox)
        api.unregister("former")
        await_pool(api, ready=1, quarantined=0)
        # On a slow machine the pool may have been refilled before, so that the slot was deleted.
        names = host.netns_names()
        return number if names == [sandbox["netns"]] and inode(host, sandbox["netns"]) == before else None

    for _ in range(20):
        number = once()
        if number:
            return number
    raise TimedOut("no released slot was used again")


def test_a_released_slot_is_used_again(host, weftd):
    api = weftd(KEPT).api
    number = release_and_claim_again(host, api)
    assert api.register("next")["slot"] == number


def test_a_slot_rests_in_quarantine_and_answers_no_more(host, weftd):
    api = weftd({"pool": {"size": 1, "quarantine": "60m"}}).api
    await_pool(api, ready=1)
    sandbox = api.register("a1")
    assert "dev veth-1" in host.output(["ip", "route", "get", sandbox["host_ip"]])
    api.unregister("a1")
    assert pool(api)["quarantined"] == 1
    assert host.run(["ip", "route", "get", sandbox["host_ip"]], check=False).returncode != 0
    assert "weft:" not in host.output(["ip", "link", "show", "veth-1"])
    assert api.register("a2")["slot"] == 2


class Tenant:
    """Leaves behind all that a tenant can: flows, counts, denials, sockets. Then its VM ends."""

    def __init__(self, host, guest):
        self.host = host
        self.guest = guest
        self.flows = 0

    def __call__(self, sandbox):
        inside = self.guest(sandbox)
        inside.serve(f"{PORT},http,former", "7,echo")
        poll_until(lambda: health(self.host, sandbox["host_ip"])["guest"] == "former", what="the guest to answer")
        open_still = self.host.connect(sandbox["host_ip"], 7)
        open_still.sendall(b"x")
        assert open_still.recv(1) == b"x"
        with inside.socket(kind=socket.SOCK_DGRAM) as denied, contextlib.suppress(OSError):
            for _ in range(5):
                denied.sendto(b"x", ("10.1.2.3", 53))
        poll_until(lambda: "denied_private" in ruleset(self.host, sandbox["slot"]), what="rules")
        self.flows = tracked(self.host, sandbox["slot"])
        inside.kill()
        reset(open_still)  # a FIN would be retransmitted, to the next owner of the address
        poll_until(lambda: not self.host.netns(sandbox["netns"]).carrier("tap0"), what="the VM to be gone")


def test_nothing_of_the_former_tenant_is_left(host, weftd, guest):
    api = weftd(KEPT).api
    await_pool(api, ready=1)
    # The state of a slot that never had a tenant; no 0 in it is one that was reset.
    new = ruleset(host, 1), objects(host, 1)
    assert "packets 0" in new[0]

    tenant = Tenant(host, guest)

    def use(sandbox):
        tenant(sandbox)
        poll_until(lambda: "weft:former" in host.output(["ip", "link", "show", sandbox["veth"]]), what="an alias")
        poll_until(lambda: api.show("former")["state"] == "detached", what="the carrier to be known lost")
        assert api.show("former")["counters"]["bytes_to_guest"] > 0

    body = {
        "egress": {"internet": False, "allow": ["203.0.113.0/24"], "deny": ["198.51.100.0/24"]},
        "labels": {"template": "base"},
        "bandwidth": {"to_guest": {"rate": 12500000, "burst": 1000000}, "from_guest": {"rate": 12500000}},
    }
    number = release_and_claim_again(host, api, use, body)
    assert tenant.flows > 0
    assert tracked(host, number) == 0
    assert ruleset(host, number) == new[0]
    assert objects(host, number) == new[1]
    assert host.output(["ss", "-Htan"]).count("169.254.0.21") == 0

    sandbox = api.register("next")
    assert sandbox["slot"] == number
    assert sandbox["labels"] == {} and sandbox["state"] == "waiting"
    assert sandbox["egress"]["internet"] is True and not sandbox["egress"]["allow"]
    assert set(sandbox["counters"].values()) == {0}
    inside = guest(sandbox)
    inside.serve(f"{PORT},http,next")
    poll_until(lambda: health(host, sandbox["host_ip"])["guest"] == "next", what="the next guest to answer")


def test_a_tap_of_another_owner_is_given_back_to_the_owner_of_all(host, weftd):
    api = weftd({"pool": {**KEPT["pool"], "tap_owner": "60123:60100"}}).api
    body = {"tap_owner": {"uid": 60007, "gid": 60008}}
    number = release_and_claim_again(host, api, body=body)
    assert tap_owner(host, number) == ["60123", "60100"]


@pytest.mark.parametrize(
    "trace",
    ["ip link add left type veth peer name behind", "ip addr flush dev eth0", "ip link set tap0 mtu 1000"],
    ids=["link", "address", "mtu"],
)
def test_a_slot_that_was_altered_is_not_used_again(host, weftd, trace):
    api = weftd({"pool": {"size": 1, "refill": 1, "quarantine": "2s"}}).api
    for _ in range(10):
        await_pool(api, ready=1, quarantined=0, deleting=0)
        sandbox = api.register("a1")
        before = inode(host, sandbox["netns"])
        api.unregister("a1")
        host.netns(sandbox["netns"]).run(trace.split(), check=False)
        if pool(api)["quarantined"]:
            break  # altered before the check; on a slow machine it may be too late
    else:
        raise TimedOut("always altered too late")
    await_pool(api, ready=1, quarantined=0, deleting=0)
    assert before not in [inode(host, name) for name in host.netns_names()]


# ---- Waiting


class Raw:
    """Sends all requests before it reads any answer."""

    def __init__(self, api):
        self.api = api
        self.open = []

    def send(self, method, name, body=b"{}"):
        connection = self.api.raw_socket(timeout=60)
        head = f"{method} /v1/sandboxes/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}"
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        self.open.append(connection)

    def statuses(self):
        found = []
        for connection in self.open:
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
            connection.close()
            found.append(int(answer.split()[1]))
        self.open = []
        return found


def test_more_at_once_than_are_ready_all_get_one(host, weftd):
    api = weftd({"pool": {"size": 8}}).api
    await_pool(api, ready=8)
    raw = Raw(api)
    for i in range(60):
        raw.send("PUT", f"a{i}")
    assert raw.statuses() == [201] * 60
    # The lowest numbers, each once.
    assert sorted(one["slot"] for one in api.list()) == list(range(1, 61))
    assert api.metrics()["weft_pool_cold_total"] <= 52
    await_pool(api, ready=8)
    assert len(host.netns_names()) == 68


def test_deletions_are_put_off_while_somebody_waits(weftd):
    api = weftd().api
    raw = Raw(api)
    for i in range(40):
        raw.send("PUT", f"a{i}")
    assert raw.statuses() == [201] * 40
    assert api.metrics()["weft_pool_deferred_total"] == 0
    before, after = "a", "b"
    for _ in range(20):  # no request waits if they come more slowly than slots are made
        for i in range(40):
            raw.send("PUT", f"{after}{i}")
        for i in range(40):
            raw.send("DELETE", f"{before}{i}", b"")
        assert raw.statuses() == [201] * 40 + [204] * 40
        before, after = after, before
        if api.metrics()["weft_pool_deferred_total"] > 0:
            break
    assert api.metrics()["weft_pool_deferred_total"] > 0
    poll_until(lambda: pool(api)["deleting"] == 0, what="deletions to be over")


def test_a_host_out_of_slots_says_so(host, weftd):
    config = {"addresses": {"host_cidr": "10.11.0.0/29", "veth_cidr": "10.12.0.0/28"}, "pool": {"size": 2}}
    api = weftd(config).api
    names = []
    while True:
        reply = api.request("PUT", f"/v1/sandboxes/a{len(names)}")
        if reply.status != 201:
            break
        names.append(reply["id"])
    problem = reply.problem(503)
    assert "slot" in problem["detail"]
    assert [one["slot"] for one in api.list()] == list(range(1, len(names) + 1))
    assert len(names) >= 4

    # A released slot can be claimed again, after its quarantine or after its deletion.
    api.unregister(names[2])
    poll_until(lambda: api.request("PUT", "/v1/sandboxes/more").status == 201, what="a slot to be free")
    assert api.show("more")["slot"] == 3
    assert len(host.netns_names()) == len(names)


def test_a_slot_number_is_given_again_only_when_the_former_is_gone(host, weftd, guest):
    api = weftd().api
    sandbox = api.register("a1")
    guest(sandbox)
    api.wait("a1", "attached")
    start = time.monotonic()
    api.unregister("a1")
    assert "veth-1" not in host.links(), f"after {time.monotonic() - start:.2f} s"
    assert api.register("a2")["slot"] == 1
