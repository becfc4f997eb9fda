# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections of the forwarder go on over an orderly restart, by way of the service manager's store, as long as their guest is the same."""

import contextlib
import os
import re
import signal
import socket

import pytest

from harness.api import endpoint_port
from harness.client import PATTERN, echoes, pattern, receive_all, receive_exactly, was_reset
from harness.daemon import build_dir
from harness.flow import Flow
from harness.manager import MOST
from harness.parcel import Parcel, drop, is_there
from harness.threads import thread_stopped
from harness.wait import one_of, poll_until

PATIENT = {"forwarder": {"default_wait": "10m", "connect_deadline": "10m", "stop_drain": "100ms"}}
BULK = 3_000_000


def stop(daemon, manager):
    daemon.stop(60)
    manager.settle()


def restart(daemon, manager, *meanwhile):
    stop(daemon, manager)
    for act in meanwhile:
        act()
    manager.start(daemon)


def outcome(daemon):
    """The handover as status has it, once it is over."""
    return poll_until(lambda: daemon.api.status()["handover"], what=daemon.log_tail)


def listed(daemon):
    """{id: connection} of all sandboxes."""
    found = {}
    for sandbox in daemon.api.list():
        for one in daemon.api.get(f"/v1/sandboxes/{sandbox['id']}/connections").expect(200).body["connections"]:
            found[one["id"]] = one
    return found


def connect(host, sandbox, port=7):
    return host.connect("127.0.0.1", endpoint_port(sandbox, port))


def ends(daemon):
    """{sandbox: reasons} of the log's lines about ended connections."""
    found = {}
    for line in daemon.log().splitlines():
        if 'msg="connection ended"' in line:
            fields = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
            found.setdefault(fields.get("sandbox"), []).append(fields["reason"])
    return found


@pytest.fixture
def three(host, weftd, guest, manager):
    """A daemon under the manager with sandboxes a, b and c, whose guests echo on port 7."""
    daemon = weftd(PATIENT, run=False)
    manager.start(daemon)
    made = [daemon.api.register(name, {"ports": [7, 99, 81]}) for name in "abc"]
    for one in made:
        guest(one).serve("7,echo", f"99,source,{BULK}", "81,half,1")
        daemon.api.wait(one["id"], "attached")
    return daemon, made


def test_connections_go_on_whatever_they_do(host, three, manager, guest):
    daemon, (a, b, _) = three
    held = daemon.api.register("held", {"ports": [7]})
    flows = [Flow(connect(host, a)) for _ in range(3)]
    idle, half, bulk = connect(host, a), connect(host, a, 81), connect(host, a, 99)
    assert echoes(idle)
    half.sendall(b"asked")
    bulk.settimeout(60)
    paused = connect(host, b)
    assert echoes(paused)
    daemon.api.patch("b", {"paused": True})
    paused.sendall(b"later")
    waiting = connect(host, held)
    waiting.sendall(b"early")
    default = host.connect("::1", 49983)
    default.sendall(b"first")
    poll_until(lambda: daemon.api.status()["connections"] == 9)
    before = listed(daemon)
    total = {one["id"]: one["counters"]["connections_total"] for one in daemon.api.list()}
    for turn in range(3):
        if turn == 1:
            half.shutdown(socket.SHUT_WR)
        restart(daemon, manager)
        told = outcome(daemon)
        # One may end by itself once it is half closed.
        assert told["connections"] in ((8, 9) if turn else (9,)) and told["lost"] == 0, daemon.log_tail()
        for flow in flows:
            flow.check()
        assert echoes(idle)
    assert {one["id"]: one["counters"]["connections_total"] for one in daemon.api.list()} == total
    now = listed(daemon)
    gone = set(before) - set(now)
    assert len(gone) <= 1 and all(before[one]["endpoint"].endswith(str(endpoint_port(a, 81))) for one in gone)
    for one in set(before) - gone:
        assert [now[one][key] for key in ("endpoint", "client")] == [before[one][key] for key in ("endpoint", "client")]
        assert now[one]["age_ms"] >= before[one]["age_ms"]
        assert now[one]["bytes_to_guest"] >= before[one]["bytes_to_guest"]
    # A new one gets another id.
    fresh = connect(host, a)
    assert echoes(fresh)
    assert min(set(listed(daemon)) - set(now)) > max(before)
    assert receive_all(half) == b"asked"
    assert receive_all(bulk) == pattern(BULK)
    daemon.api.patch("b", {"paused": False, "flows": "keep"})
    assert receive_exactly(paused, 5) == b"later"
    guest(held).serve("7,echo")
    assert receive_exactly(waiting, 5) == b"early"
    daemon.api.patch("b", {"publish": [49983], "default": True})
    guest.vmms[1].guests[0].serve("49983,echo")
    assert receive_exactly(default, 5) == b"first"
    for flow in flows:
        flow.close()
    for one in (idle, half, bulk, paused, waiting, default, fresh):
        one.close()

    told = outcome(daemon)
    metrics = daemon.api.metrics()
    assert metrics['weft_handover_connections_total{result="taken"}'] == told["connections"]
    assert metrics['weft_handover_connections_total{result="lost"}'] == 0
    assert metrics["weft_handover_seconds"] == told["gap_ms"] / 1000
    with daemon.api.events() as events:
        boot = next(events)["boot"]
    with daemon.api.events(f"?since=0&boot={boot}") as events:
        event = next(one for one in events if one["type"] == "handover")
    assert {key: event[key] for key in told} == told and event["sandbox"] is None
    # A weftd whose log stands still at its end leaves lines behind.
    daemon.wait_log(r'msg="connections handed over" count=[89] ')
    daemon.wait_log(rf'msg="connections taken over" count={told["connections"]} lost=0 gap_ms={told["gap_ms"]}')
    assert f"{told['connections']} taken over, 0 lost, stood still for {told['gap_ms']} ms" in daemon.ctl("status").stdout
    assert "reset" not in str(ends(daemon))


def test_only_what_is_the_same_goes_on(host, three, manager, guest):
    """A sandbox was unregistered, another's VMM left, a third one's opened its TAP anew; a failed one and a paused one go on."""
    daemon, made = three
    made += [daemon.api.register(name, {"ports": [7]}) for name in ("failed", "still", "same")]
    guests = [vmm.guests[0] for vmm in guest.vmms]
    for one in made[3:]:
        guests.append(guest(one))
        guests[-1].serve("7,echo")
        daemon.api.wait(one["id"], "attached")
    clients = {one["id"]: connect(host, one) for one in made}
    for client in clients.values():
        assert echoes(client)
    daemon.api.patch("still", {"paused": True})
    clients["still"].sendall(b"later")
    foreign = ["ip", "link", "add", made[3]["veth"], "type", "veth", "peer", "name", "foreign"]
    restart(
        daemon,
        manager,
        lambda: os.unlink(os.path.join(daemon.state_dir, f"{made[0]['slot']}.json")),
        guests[1].close_tap,
        guests[2].close_tap,
        guests[2].open_tap,
        guests[4].close_tap,
        guests[4].open_tap,
        lambda: host.run(["ip", "link", "delete", made[3]["veth"]]),
        lambda: host.run(foreign),
    )
    told = outcome(daemon)
    assert (told["connections"], told["lost"]) == (3, 3), daemon.log_tail()
    for name in "abc":
        assert was_reset(clients[name]), name
    # A client may see its reset before the log has the line.
    poll_until(lambda: {"a", "b", "c"} <= set(ends(daemon)), what=daemon.log_tail)
    assert {name: ends(daemon)[name] for name in "abc"} == {
        "a": ["unregistered"],
        "b": ["carrier-lost"],
        "c": ["carrier-lost"],
    }
    assert daemon.api.show("failed")["state"] == "failed"
    assert echoes(clients["failed"]) and echoes(clients["same"])
    daemon.api.patch("still", {"paused": False, "flows": "keep"})
    assert receive_exactly(clients["still"], 5) == b"later"
    metrics = daemon.api.metrics()
    assert metrics['weft_handover_connections_total{result="lost"}'] == 3
    assert metrics['weft_connections_total{reason="carrier-lost"}'] == 2
    for client in clients.values():
        client.close()
    host.run(["ip", "link", "delete", made[3]["veth"]])
    poll_until(lambda: daemon.api.show("failed")["state"] != "failed", what=daemon.log_tail)


def test_a_stop_for_good_resets_every_client(host, three, manager):
    daemon, made = three
    clients = [connect(host, one) for one in made for _ in range(5)]
    assert all(echoes(one) for one in clients)
    bulk = connect(host, made[0], 99)
    assert receive_exactly(bulk, 1) == PATTERN[:1]
    stop(daemon, manager)
    assert is_there(manager)
    for one in clients:
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(1)
        one.setblocking(True)
    drop(manager)
    assert all(was_reset(one) for one in (*clients, bulk))  # a download cut short does not look whole
    manager.start(daemon)
    assert daemon.api.status()["handover"] is None


@pytest.mark.parametrize("late", ["FDSTORE", "BARRIER"])
def test_a_second_signal_amid_a_handover_moves_nothing(host, three, manager, late):
    """LATE: what the service manager reads only when weftd is gone."""
    daemon, made = three
    flow, clients = Flow(connect(host, made[0])), [connect(host, one) for one in made]
    assert all(echoes(one) for one in clients)
    with manager.slow(late) as arrived:
        daemon.signal(signal.SIGTERM)
        assert arrived()
        for one in clients:
            one.sendall(b"later")
        daemon.stop(60)
    assert ends(daemon) == {}
    manager.settle()
    manager.start(daemon)
    assert outcome(daemon)["lost"] == 0
    for one in clients:
        assert receive_exactly(one, 5) == b"later"
        one.close()
    flow.close()


def test_a_second_signal_before_all_stand_still_costs_nothing(host, three, manager):
    daemon, made = three
    clients = [connect(host, one) for one in made for _ in range(3)]
    assert all(echoes(one) for one in clients)
    with thread_stopped(daemon.pid, "weft-worker-0"):
        for _ in range(2):
            daemon.signal(signal.SIGTERM)
            poll_until(lambda: daemon.api.status()["state"] == "stopping")
    assert daemon.process.wait(60) == 0
    daemon.process = None
    manager.settle()
    manager.start(daemon)
    assert outcome(daemon)["lost"] == 0
    for one in clients:
        assert echoes(one)
        one.close()


@pytest.mark.parametrize("why", ["option", "store"])
def test_without_a_handover_a_stop_drains(host, weftd, guest, manager, why):
    daemon = weftd({"forwarder": {"stop_drain": "10m", "handover": "no" if why == "option" else "yes"}}, run=False)
    manager.start(daemon)
    sandbox = daemon.api.register("a", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    client = connect(host, sandbox)
    assert echoes(client)
    manager.keeps = why != "store"
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("msg=stopping")
    if why == "store":
        daemon.wait_log("connections not handed over.*FileDescriptorStoreMax=")
    assert echoes(client)
    client.close()  # which is what the stop waits for
    stop(daemon, manager)
    assert not is_there(manager)
    assert "handed over" not in daemon.log().replace("not handed over", "")


def test_a_start_that_is_ended_hands_on(host, three, manager):
    """Whatever it had of them: nothing yet, those that wait for their sandbox, or all."""
    daemon, made = three
    clients = [connect(host, one) for one in made]
    assert all(echoes(one) for one in clients)
    before = listed(daemon)
    stop(daemon, manager)
    for _ in range(4):
        manager.messages.clear()
        manager.spawn(daemon)
        poll_until(lambda: manager.count("FDSTORE") or manager.said("READY"), interval=0.001, what=daemon.log_tail)
        stop(daemon, manager)
        assert is_there(manager), daemon.log_tail()
    manager.messages.clear()
    manager.spawn(daemon)
    poll_until(lambda: manager.said("READY"), interval=0.001, what=daemon.log_tail)
    stop(daemon, manager)
    manager.start(daemon)
    assert outcome(daemon)["lost"] == 0
    assert all(echoes(one) for one in clients)
    assert set(listed(daemon)) == set(before)
    for one in clients:
        one.close()


def test_sandboxes_with_connections_are_taken_over_first(host, three, manager):
    daemon, made = three
    for n in range(30):
        daemon.api.register(f"idle-{n}", {"ports": [7]})
    last = daemon.api.register("last", {"ports": [7]})
    waiting = connect(host, last)
    flow = Flow(connect(host, made[2]))

    def order():
        daemon.stop(60)
        length = len(daemon.log())
        manager.start(daemon)
        for line in ("connections taken over", "msg=running"):
            poll_until(lambda line=line: line in daemon.log()[length:], what=daemon.log_tail)
        log = daemon.log()[length:]
        return log.index("connections taken over") < log.index("msg=running")

    one_of(10, order, bool)
    flow.close()
    waiting.close()


def test_a_start_that_fails_leaves_them_to_the_next(host, three, manager):
    """Before it takes them, for a mistake in its configuration, and after that, for a port that it may not open."""
    daemon, made = three
    clients = [connect(host, one) for one in made]
    assert all(echoes(one) for one in clients)
    stop(daemon, manager)
    manager.before = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-all", "--"]
    for wrong, code in (("127.0.0.1:0", 78), ("127.0.0.1:99", 69)):
        daemon.write_config({"forwarder": {"default_listen": [wrong]}})
        manager.spawn(daemon)
        ended, daemon.process = daemon.process.wait(60), None
        assert ended == code, daemon.log_tail()
        manager.settle()
        assert is_there(manager), daemon.log_tail()
    manager.before = []
    assert daemon.log().count('msg="connections handed over" count=3 ') == 2
    daemon.write_config(PATIENT)
    manager.start(daemon)
    assert outcome(daemon)["lost"] == 0
    assert all(echoes(one) for one in clients)
    for one in clients:
        one.close()


def test_a_kill_never_brings_back_what_went_on(host, three, manager):
    """Before the connections are taken they are the next start's; then a kill ends them, and nothing of them is left."""
    daemon, made = three
    clients = [connect(host, one) for one in made]
    assert all(echoes(one) for one in clients)
    restart(daemon, manager)
    assert all(echoes(one) for one in clients)
    assert not is_there(manager)
    daemon.kill()
    for one in clients:
        with contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""
    manager.start(daemon)
    assert daemon.api.status()["handover"] is None
    assert listed(daemon) == {}


def foreign_descriptor(parcel):
    """In the place of the first one there is a file."""
    with open("/dev/null", "rb") as file:
        os.dup2(file.fileno(), parcel.fds[0])


def other_socket(parcel):
    """In the place of the first one there is a socket of another address."""
    with socket.socket() as other, socket.create_server(("127.0.0.1", 0)) as listener:
        other.connect(listener.getsockname())
        os.dup2(other.fileno(), parcel.fds[0])


def cut(parcel):
    parcel.record = parcel.record[:-7]


def excess(parcel):
    parcel.record += b"x" * 100


def empty(parcel):
    parcel.record = b""


def missing_descriptor(parcel):
    os.close(parcel.fds.pop())


def zeroes(parcel):
    parcel.record = bytes(len(parcel.record))


def future(parcel):
    """The major version is one that this weftd does not know."""
    parcel.record = parcel.record[:8] + b"\2\0" + parcel.record[10:]


def boasting(parcel):
    """It counts a million connections more than it has."""
    parcel.record = parcel.record[:50] + b"\x10" + parcel.record[51:]


HARMS = [foreign_descriptor, other_socket, missing_descriptor, boasting, cut, excess, empty, zeroes, future]


def test_a_damaged_handover_costs_the_connections_concerned(host, three, manager):
    daemon, made = three

    def taken(act, least, **options):
        clients = [connect(host, one) for one in made]
        assert all(echoes(one) for one in clients)
        lines = len(daemon.log().splitlines())
        stop(daemon, manager)
        parcel = Parcel(manager)
        assert parcel.connections == 3
        act(parcel)
        parcel.put(**options)
        manager.start(daemon)
        told = outcome(daemon)
        assert told["connections"] + told["lost"] == 3, (act, told)
        assert told["connections"] >= least, (act, told, daemon.log_tail())

        def complains():
            return re.search(r'level=(warning|error) msg="[^"]*connections', "\n".join(daemon.log().splitlines()[lines:]))

        poll_until(complains, what=lambda: f"{act}: {daemon.log_tail()}")
        # Those that did not go on were reset, the others serve.
        served = 0
        for one in clients:
            try:
                served += echoes(one)
            except (ConnectionResetError, BrokenPipeError):
                pass
            one.close()
        assert served == told["connections"], act
        assert not is_there(manager)
        poll_until(lambda: daemon.api.status()["connections"] == 0)
        return told["lost"]

    for harm in HARMS:
        lost = taken(harm, 2 if harm in (foreign_descriptor, other_socket, missing_descriptor, boasting) else 0)
        assert lost or harm in (boasting, excess), harm
    assert taken(lambda parcel: None, 0, seals=0) == 3
    daemon.wait_log("sealed")

    # Of the messages themselves nothing can be read: not even how many there were.
    for options in ({"messages": 1}, {"change": lambda data: data[:-1]}, {"change": lambda data: data[:8] + b"\2" + data[9:]}):
        clients = [connect(host, one) for one in made]
        assert all(echoes(one) for one in clients)
        stop(daemon, manager)
        parcel = Parcel(manager)
        parcel.fds += [os.dup(parcel.memory) for _ in range(MOST)]
        parcel.put(**options)
        manager.start(daemon)
        assert all(was_reset(one) for one in clients)
        assert daemon.api.status()["handover"] is None
    daemon.wait_log("connections handed over are not complete")
    daemon.wait_log("unknown kind")


def test_the_next_version_and_this_one_understand_each_other(host, three, manager):
    daemon, made = three
    flow, bulk = Flow(connect(host, made[0])), connect(host, made[1], 99)
    held = daemon.api.register("held", {"ports": [7]})
    waiting = connect(host, held)
    waiting.sendall(b"early")
    versions = set()
    for program in ("tests/handover/weftd-next", "weftd", "tests/handover/weftd-next", "tests/handover/weftd-next", "weftd"):
        stop(daemon, manager)
        parcel = Parcel(manager)
        versions.add(parcel.record[8:12])
        parcel.put()
        daemon.program = os.path.join(build_dir(), program)
        manager.start(daemon)
        told = outcome(daemon)
        assert (told["connections"], told["lost"]) == (3, 0), daemon.log_tail()
        flow.check()
    assert len(versions) == 2  # each wrote its own
    flow.close()
    assert receive_all(bulk) == pattern(BULK)
    for one in (bulk, waiting):
        one.close()


def test_a_limit_too_low_for_what_waits(host, three, manager):
    daemon, made = three
    clients = [connect(host, made[0]) for _ in range(200)]
    assert all(echoes(one) for one in clients)
    stop(daemon, manager)
    manager.before = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-all", "--", "prlimit", "--nofile=300"]
    manager.start(daemon)
    manager.before = []
    daemon.wait_log("descriptors of connections lost.*LimitNOFILE=")
    told = outcome(daemon)
    assert told["connections"] + told["lost"] == 200
    assert 20 < told["connections"] < 180, told
    served = 0
    for one in clients:
        try:
            served += echoes(one)
        except (ConnectionResetError, BrokenPipeError):
            pass
        one.close()
    assert served == told["connections"]


def test_sandboxes_that_cannot_be_taken_over_yet_keep_theirs(host, three, manager):
    """A shortage is no verdict: the connections wait as long as their sandbox does, and over another restart."""
    daemon, made = three
    clients = [connect(host, one) for one in made]
    assert all(echoes(one) for one in clients)
    a = made[0]
    in_the_way = f"ip netns del {a['netns']} && echo foreign >{a['netns_path']}"
    restart(daemon, manager, lambda: host.run(["sh", "-c", in_the_way]))
    assert all(echoes(one) for one in clients[1:])
    assert daemon.api.status()["handover"] is None
    clients[0].sendall(b"later")
    restart(daemon, manager)
    assert all(echoes(one) for one in clients[1:])
    host.run(["rm", a["netns_path"]])
    assert receive_exactly(clients[0], 5) == b"later"
    assert outcome(daemon)["lost"] == 0
    for one in clients:
        one.close()


def test_adopting_stands_still_and_those_taken_over_go_on(host, three, manager):
    daemon, made = three
    clients = [connect(host, one) for one in made]
    assert all(echoes(one) for one in clients)
    stop(daemon, manager)
    manager.messages.clear()
    manager.spawn(daemon)
    poll_until(lambda: manager.said("READY"), interval=0.001, what=daemon.log_tail)
    with thread_stopped(daemon.pid, "weft-builder"):
        for one in clients:
            one.sendall(b"later")
    for one in clients:
        assert receive_exactly(one, 5) == b"later"
        one.close()
    daemon.await_running()
