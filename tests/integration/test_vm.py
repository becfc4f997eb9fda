# SPDX-License-Identifier: GPL-2.0-or-later
"""A real virtual machine behind a sandbox: the cases that stand-in guests cannot cover."""

import json

import pytest

from harness.api import endpoint_port
from harness.client import PORT, ask, was_reset
from harness.vm import BOOT_LIMIT as BOOT
from harness.wait import PATIENCE, poll_until

pytestmark = pytest.mark.vm

READY = {"ports": [PORT], "ready_port": PORT}


def curl(host, url):
    return json.loads(host.output(["curl", "-sS", "--fail", "--noproxy", "*", "--max-time", PATIENCE, url]))


def test_a_vm_is_waited_for_and_answers_on_both_ways_in(host, weftd, vm):
    daemon = weftd({"forwarder": {"connect_deadline": f"{BOOT}s"}})
    api = daemon.api
    sandbox = api.register("a1", READY)
    with host.connect("127.0.0.1", endpoint_port(sandbox), timeout=BOOT) as early:
        booted = vm(sandbox)
        assert json.loads(ask(early))["status"] == "ok"
    assert api.wait("a1", "ready", timeout=BOOT)["state"] == "ready"
    assert curl(host, f"http://localhost:{PORT}/health") == curl(host, f"http://10.11.0.1:{PORT}/health")
    assert curl(host, f"http://[::1]:{endpoint_port(sandbox, family=6)}/health")["name"] == "instance"

    wanted = host.output(["curl", "-sS", "--noproxy", "*", f"http://10.11.0.1:{PORT}/blob.sha256"]).strip()
    host.run(["curl", "-sS", "--noproxy", "*", "-o", f"{daemon.folder}/blob", f"http://localhost:{PORT}/blob"])
    assert host.output(["sha256sum", f"{daemon.folder}/blob"]).split()[0] == wanted
    booted.wait_serving()


def test_a_killed_vm_is_noticed_and_another_takes_its_place(host, api, vm):
    sandbox = api.register("a1", READY)
    first = vm(sandbox)
    api.wait("a1", "ready", timeout=BOOT)
    before = curl(host, f"http://localhost:{PORT}/health")
    with host.connect("127.0.0.1", PORT) as connection:
        # Half a request: after an answer the guest closes by itself, which would sometimes happen before the kill.
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        poll_until(lambda: [one["state"] for one in api.get("/v1/sandboxes/a1/connections").expect(200)["connections"]] == ["open"])
        first.kill()
        api.wait("a1", "detached")
        assert was_reset(connection)
    vm(sandbox)
    api.wait("a1", "ready", timeout=BOOT)
    after = curl(host, f"http://localhost:{PORT}/health")
    assert after["boot_id"] != before["boot_id"]


def test_unregistering_under_a_running_vm_leaves_nothing(host, api, vm):
    sandbox = api.register("a1", READY)
    running = vm(sandbox)
    api.wait("a1", "ready", timeout=BOOT)
    api.unregister("a1")
    assert "veth-1" not in host.links()
    assert host.netns_names() == []
    assert running.process.poll() is None
    assert api.register("a2", READY)["slot"] == 1
