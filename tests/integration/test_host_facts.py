# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts of the host that others change while the daemon runs: the uplink and its MTU, forwarding, ::1."""

import datetime
import json
import signal

from harness.api import endpoint_port
from harness.daemon import config_text
from harness.wait import poll_until

FORWARD = "net.ipv4.ip_forward"


def forwarding(host):
    return host.output(["sysctl", "-n", FORWARD]).strip()


def mtus(host, sandbox):
    inner = host.netns(sandbox["netns"]).links()
    return {host.links()[sandbox["veth"]]["mtu"], inner["eth0"]["mtu"], inner["tap0"]["mtu"], sandbox["guest"]["mtu"]}


def hop(api, sandbox, name):
    diagnosis = api.get(f"/v1/sandboxes/{sandbox}/diagnosis").expect(200).body
    return next(one for one in diagnosis["hops"] if one["hop"] == name)


def next_of(events, **members):
    """The next event with MEMBERS."""
    return next(one for one in events if all(one.get(key) == value for key, value in members.items()))


def when(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))


def ready_mtus(host, daemon):
    """The MTUs of the pool's slots, if it is full and none is on its way."""
    pool = daemon.api.status()["pool"]
    if pool["ready"] != pool["target"] or pool["deleting"] or pool["quarantined"]:
        return None
    taken = {one["veth"] for one in daemon.api.list()}
    return {link["mtu"] for name, link in host.links().items() if name.startswith("veth-") and name not in taken}


def forget_mtu(daemon, sandbox):
    """As if the daemon had been killed before it stored what the slot was made with."""
    path = f"{daemon.state_dir}/{sandbox['slot']}.json"
    with open(path, encoding="ascii") as file:
        stored = json.load(file)
    with open(path, "w", encoding="ascii") as file:
        json.dump({**stored, "mtu": 0}, file)


def test_new_sandboxes_follow_the_uplink_and_old_ones_keep_their_mtu(host, weftd, guest):
    host.add_uplink(mtu=1400)
    host.run(["ip", "link", "add", "other0", "mtu", "1280", "type", "veth", "peer", "other1"])
    host.run(["ip", "link", "set", "other1", "addrgenmode", "none", "up"])
    host.run(["ip", "link", "set", "other0", "addrgenmode", "none", "up"])
    host.run(["ip", "route", "del", "default"])
    daemon = weftd()
    api = daemon.api
    early = api.register("early")
    assert mtus(host, early) == {1500}
    # An uplink that comes later than the daemon counts from then on.
    host.run(["ip", "route", "add", "default", "via", "192.0.2.1"])
    poll_until(lambda: "MTU 1400 instead of 1500" in daemon.log())
    old = api.register("old")
    assert mtus(host, old) == {1400}
    guest(old)
    with api.news() as events:
        host.run(["ip", "link", "set", "uplink0", "mtu", "1300"])
        # Events come in the order of the changes, and no poll is needed: the daemon hears of it.
        event = next_of(events, type="host", check="uplink")
    assert event["status"] == "ok" and "MTU 1300 instead of 1400" in event["detail"]
    new = api.register("new")
    assert mtus(host, new) == {1300}
    assert mtus(host, api.show("old")) == {1400} and mtus(host, api.show("early")) == {1500}
    assert "uplink 1300, this sandbox 1400" in hop(api, "old", "route")["detail"]
    assert hop(api, "new", "route")["detail"] == "routed"
    # Its default route may move to another link.
    host.run(["ip", "route", "replace", "default", "dev", "other0"])
    poll_until(lambda: "MTU 1280 instead of 1300" in daemon.log())
    assert mtus(host, api.register("moved")) == {1280}
    # Over a restart each keeps its own, even where none was stored.
    daemon.kill()
    forget_mtu(daemon, new)
    daemon.start()
    assert [mtus(host, one) for one in api.list()] == [{1500}, {1400}, {1300}, {1280}]
    assert "repaired" not in daemon.log()
    host.run(["ip", "route", "del", "default"])
    host.run(["ip", "link", "set", "uplink0", "mtu", "1400"])


def test_no_slot_of_the_pool_is_handed_out_with_a_former_mtu(host, weftd):
    host.add_uplink()
    daemon = weftd({"pool": {"size": 3, "refill": 1, "quarantine": "0s"}})
    poll_until(lambda: ready_mtus(host, daemon) == {1500})
    daemon.api.register("a")
    host.run(["ip", "link", "set", "uplink0", "mtu", "1300"])
    # The pool has room now, and yet a slot that is released does not come back with its former MTU.
    daemon.api.unregister("a")
    poll_until(lambda: ready_mtus(host, daemon) == {1300}, what=lambda: str(host.links()))
    assert mtus(host, daemon.api.register("b")) == {1300}
    host.run(["ip", "link", "set", "uplink0", "mtu", "1500"])


def test_forwarding_is_turned_on_again_but_no_war_is_fought(host, weftd):
    """And ::1 may come later, in which time nothing else happens."""
    host.run(["ip", "-6", "addr", "del", "::1/128", "dev", "lo"])
    daemon = weftd()
    assert daemon.api.register("a", {"ports": [7]})["endpoints"][0]["listen"] == ["127.0.0.1:20000"]
    with daemon.api.news() as events:
        host.run(["sysctl", "-qw", f"{FORWARD}=0"])
        first = next_of(events, type="repair", what=FORWARD, ok=True)
        assert forwarding(host) == "1"
        host.run(["sysctl", "-qw", f"{FORWARD}=0"])
        host.run(["ip", "-6", "addr", "add", "::1/128", "dev", "lo"])
        second = next_of(events, type="repair", what=FORWARD, ok=True)
        assert when(second) - when(first) >= datetime.timedelta(seconds=9.9)
        host.run(["sysctl", "-qw", f"{FORWARD}=0"])
        event = next_of(events, type="host", check="ip_forward")
        assert event["status"] == "fail" and "third time in a minute" in event["detail"]
        assert forwarding(host) == "0"
        findings = json.loads(daemon.ctl("doctor", "--json", check=False).stdout)
        finding = next(one for one in findings if one["check"] == "ip_forward")
        assert finding["status"] == "fail"
        host.run(["sysctl", "-qw", f"{FORWARD}=1"])
        assert next_of(events, type="host", check="ip_forward")["status"] == "ok"
    daemon.wait_log("this host has ::1 now")
    sandbox = daemon.api.register("b", {"ports": [7]})
    assert sandbox["endpoints"][0]["listen"] == ["127.0.0.1:20001", "[::1]:20001"]
    host.connect("::1", endpoint_port(sandbox, 7)).close()
    host.run(["ip", "-6", "addr", "del", "::1/128", "dev", "lo"])


def test_where_forwarding_is_required_its_loss_is_reported_and_left(host, weftd):
    host.run(["sysctl", "-qw", f"{FORWARD}=1"])
    daemon = weftd({"host": {"ip_forward": "require"}})
    with daemon.api.news() as events:
        host.run(["sysctl", "-qw", f"{FORWARD}=0"])
        event = next_of(events, type="host", check="ip_forward")
        assert event["status"] == "fail" and "require" in event["detail"]
        # The next look would have been the time to put it back.
        daemon.write_config(config_text({"host": {"ip_forward": "require"}, "daemon": {"log_level": "debug"}}))
        daemon.signal(signal.SIGHUP)
        assert forwarding(host) == "0"
        host.run(["sysctl", "-qw", f"{FORWARD}=1"])
        assert next_of(events, type="host", check="ip_forward")["status"] == "ok"
    assert "repaired" not in daemon.log()
