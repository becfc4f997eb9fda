# SPDX-License-Identifier: GPL-2.0-or-later
"""Many sandboxes on one host: all answer, no shared resource runs out, and all are adopted and removed again.

WEFT_SCALE sets their number, by default 150; a 2-core host with 2.5 GB of memory should carry 4,000.
"""

import concurrent.futures
import os
import selectors
import time

import pytest

from harness.api import endpoint_port
from harness.client import PORT
from harness.daemon import sanitized
from harness.wait import poll_until

SCALE = int(os.environ.get("WEFT_SCALE", "150"))
POOL = 32
# Each has a port of its own on loopback beside its host address.
BODY = {"ports": [PORT], "ready_port": PORT}

pytestmark = pytest.mark.timeout(240 + SCALE // 4)

def register_all(api):
    made = [api.register(f"s{i}", BODY) for i in range(SCALE)]
    assert [one["slot"] for one in made] == list(range(1, SCALE + 1))
    return made


def unregister_all(api):
    """Removes them at once, so that the daemon tears them down in batches."""
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for _ in pool.map(lambda i: api.unregister(f"s{i}"), range(SCALE)):
            pass


def await_pool(api, timeout=60, **wanted):
    def so():
        now = api.status()["pool"]
        return all(now[key] == value for key, value in wanted.items())

    poll_until(so, timeout, what=lambda: f"{wanted}; now {api.status()['pool']}", interval=0.05)


def one_round(host, targets, timeout):
    """Queries all at once: {name: its guest's answer}. TARGETS: {name: (address, port)}."""
    selector = selectors.DefaultSelector()
    answers = {}
    for name, target in targets.items():
        connection = host.socket()
        connection.setblocking(False)
        connection.connect_ex(target)
        selector.register(connection, selectors.EVENT_WRITE, name)
    deadline = time.monotonic() + timeout
    while selector.get_map():
        assert time.monotonic() < deadline, f"{len(selector.get_map())} of {len(targets)} did not answer"
        for key, _ in selector.select(1):
            if key.events == selectors.EVENT_WRITE:
                key.fileobj.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                continue
            answers[key.data] = key.fileobj.recv(4096).decode()
            selector.unregister(key.fileobj)
            key.fileobj.close()
    return answers


def assert_each_is_itself(answers, sandboxes):
    wrong = [one["id"] for one in sandboxes if f'"{one["id"]}"' not in answers[one["id"]]]
    assert not wrong, f"{len(wrong)} of {len(sandboxes)}: {wrong[0]}: {answers[wrong[0]]!r}"


def serve_all(host, guest, sandboxes):
    # As after a snapshot, they know their gateway: entries that they learn would fill the table that all namespaces share.
    guests = guest.many(sandboxes, "--gateway-mac", "02:FC:00:00:00:06")
    guests[0].owner.serve([(inside, f"{PORT},http,{one['id']}") for inside, one in zip(guests, sandboxes)])
    return guests


def test_all_answer_in_one_round_on_both_ways_in(host, weftd, guest):
    daemon = weftd({"pool": {"size": POOL}})
    api = daemon.api
    few = len(daemon.fds())
    rules = host.nft()
    sandboxes = register_all(api)
    assert host.nft() == rules  # for any number of sandboxes
    serve_all(host, guest, sandboxes)
    poll_until(lambda: api.status()["sandboxes"]["ready"] == SCALE, 60 + SCALE / 20, interval=0.1)

    by_kernel = {one["id"]: (one["host_ip"], PORT) for one in sandboxes}
    assert_each_is_itself(one_round(host, by_kernel, 60 + SCALE / 20), sandboxes)
    by_forwarder = {one["id"]: ("127.0.0.1", endpoint_port(one)) for one in sandboxes}
    assert_each_is_itself(one_round(host, by_forwarder, 60 + SCALE / 20), sandboxes)

    # Each has a descriptor of its namespace, and its listeners; and no neighbour entry that could be evicted.
    listeners = sum(len(endpoint["listen"]) for one in sandboxes for endpoint in one["endpoints"])
    poll_until(
        lambda: len(daemon.fds()) <= few + SCALE + listeners,
        what=lambda: f"{len(daemon.fds())} descriptors; {few} with none registered, {listeners} listeners",
    )
    assert sanitized() or daemon.memory_kib() < 64 * 1024
    learned = host.output(["ip", "neigh", "show", "nud", "reachable", "nud", "stale", "nud", "delay"])
    assert not [line for line in learned.splitlines() if " veth-" in line]
    unregister_all(api)


def test_all_are_taken_over_and_none_notices(host, weftd, guest):
    daemon = weftd({"pool": {"size": POOL}})
    api = daemon.api
    sandboxes = register_all(api)
    serve_all(host, guest, sandboxes)
    poll_until(lambda: api.status()["sandboxes"]["ready"] == SCALE, 60 + SCALE / 20, interval=0.1)
    await_pool(api, ready=POOL)
    before = {one["id"]: (one["slot"], one["endpoints"], one["registered_at"]) for one in api.list()}
    links = {name: link["ifindex"] for name, link in host.links().items()}
    flow = host.connect(sandboxes[-1]["host_ip"], PORT)

    daemon.kill()
    assert_each_is_itself(
        one_round(host, {one["id"]: (one["host_ip"], PORT) for one in sandboxes}, 60 + SCALE / 20), sandboxes
    )
    daemon.start(timeout=60 + SCALE / 20)
    after = api.list()
    assert {one["id"]: (one["slot"], one["endpoints"], one["registered_at"]) for one in after} == before
    poll_until(lambda: api.status()["sandboxes"]["ready"] == SCALE, 60 + SCALE / 20, interval=0.1)
    await_pool(api, ready=POOL, deleting=0)
    now = host.links()
    assert all(now[one["veth"]]["ifindex"] == links[one["veth"]] for one in sandboxes)
    flow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sandboxes[-1]["id"].encode() in flow.recv(4096)
    flow.close()
    by_forwarder = {one["id"]: ("127.0.0.1", endpoint_port(one)) for one in after}
    assert_each_is_itself(one_round(host, by_forwarder, 60 + SCALE / 20), sandboxes)
    assert "repaired" not in daemon.log()
    unregister_all(api)


def test_all_go_again_and_leave_nothing(host, weftd):
    daemon = weftd()
    api = daemon.api
    api.register("first")
    api.unregister("first")
    poll_until(lambda: len(api.list()) == 0, what="none to be left")
    before, descriptors = host.state(), len(daemon.fds())
    for _ in range(2):
        register_all(api)
        unregister_all(api)
        await_pool(api, deleting=0)
        host.await_state(before)
    poll_until(lambda: len(daemon.fds()) <= descriptors, what=lambda: f"{descriptors} descriptors: {daemon.fds()}")


def test_the_same_few_slots_serve_many_sandboxes_and_stay_clean(host, weftd):
    daemon = weftd({"pool": {"size": 4, "quarantine": "1ms"}})
    api = daemon.api
    await_pool(api, ready=4)
    api.register("first")
    api.unregister("first")
    await_pool(api, ready=4, quarantined=0, deleting=0)
    descriptors, memory = len(daemon.fds()), 0
    for turn in range(2):
        for i in range(SCALE):
            api.register(f"s{i}", BODY)
            api.unregister(f"s{i}")
        await_pool(api, ready=4, quarantined=0, deleting=0)
        if turn == 0:
            memory = daemon.memory_kib()
    assert len(host.netns_names()) == 4
    poll_until(lambda: len(daemon.fds()) <= descriptors, what=lambda: f"{descriptors} descriptors: {daemon.fds()}")
    assert sanitized() or daemon.memory_kib() <= memory + 2048
