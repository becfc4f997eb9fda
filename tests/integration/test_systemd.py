# SPDX-License-Identifier: GPL-2.0-or-later
"""weftd under a real systemd, by a user manager: what its store keeps over a kill, a restart and a stop."""

import os
import re

import pytest

from harness.api import Api, endpoint_port
from harness.daemon import build_dir, config_text, sanitizer_problem
from harness.user_manager import UserManager, available
from harness.wait import poll_until

pytestmark = pytest.mark.skipif(not available(), reason="no systemd, or no control groups of version 2")


@pytest.fixture
def manager(folder):
    with open(f"{folder}/weftd.conf", "w", encoding="ascii") as file:
        file.write(config_text({"forwarder": {"stop_drain": "100ms"}}))
    made = UserManager(os.path.join(build_dir(), "weftd"), folder, f"{folder}/weftd.log")
    yield made
    made.close()


def test_listeners_outlive_what_systemd_does(folder, manager):
    api = Api(f"{folder}/control.sock")
    manager.tell("systemctl", "start", "weftd")
    for n in range(5):
        api.register(f"s{n}", {"ports": list(range(1000, 1250))}, timeout=60)
    before = manager.tell("listening")
    assert len(before) == 2500 + 2
    for how in ("kill", "restart", "kill"):
        main_pid = manager.tell("show", "MainPID")
        if how == "kill":
            manager.tell("kill")
            assert manager.tell("listening") == before
        else:
            manager.tell("systemctl", "restart", "weftd")
        # The request waits for the next run.
        assert len(api.list()) == 5 and api.status()["state"] in ("adopting", "running")
        assert manager.tell("show", "MainPID") != main_pid
        assert manager.tell("listening") == before
        # Two queues for each of two couples; the former run's are removed.
        poll_until(lambda: manager.tell("show", "NFileDescriptorStore") == "4")
    api.unregister("s0")
    assert len(manager.tell("listening")) == 2000 + 2
    manager.tell("systemctl", "stop", "weftd")
    poll_until(lambda: manager.tell("listening") == [])
    assert manager.tell("show", "NFileDescriptorStore") == "0"
    with open(f"{folder}/weftd.log", encoding="utf-8") as log:
        assert not sanitizer_problem(log.read())


def test_connections_outlive_a_restart_and_end_with_a_stop(folder, manager):
    api = Api(f"{folder}/control.sock")
    manager.tell("systemctl", "start", "weftd")
    sandbox = api.register("a", {"ports": [7]})
    manager.tell("guest", sandbox["netns"])
    api.wait("a", "attached")
    count = 20
    manager.tell("flows", endpoint_port(sandbox, 7), count)
    manager.tell("check")

    def ids():
        return {one["id"] for one in api.get("/v1/sandboxes/a/connections").body["connections"]}

    before = ids()
    for _ in range(3):
        manager.tell("systemctl", "restart", "weftd")
        manager.tell("check")
        told = poll_until(lambda: api.status()["handover"])
        assert (told["connections"], told["lost"]) == (count, 0)
        assert ids() == before
        poll_until(lambda: manager.tell("show", "NFileDescriptorStore") == "2")
    print(f"they stood still for {told['gap_ms']} ms, and their clients noticed {manager.tell('check') * 1000:.0f} ms")
    manager.tell("systemctl", "stop", "weftd")
    assert all("reset" in end for end in manager.tell("ends"))
    assert manager.tell("show", "NFileDescriptorStore") == "0"
    with open(f"{folder}/weftd.log", encoding="utf-8") as log:
        assert not sanitizer_problem(log.read())


def test_a_reload_that_fails_shows_the_mistake_in_the_status(folder, manager):
    manager.tell("systemctl", "start", "weftd")
    good = config_text({"forwarder": {"stop_drain": "200ms"}})
    with open(f"{folder}/weftd.conf", "w", encoding="ascii") as file:
        file.write(good + "[pool]\nsize = many\nsiez = 1\n")
    code, _ = manager.tell("reload")
    assert code != 0
    metrics = Api(f"{folder}/control.sock").metrics
    poll_until(lambda: metrics()["weft_config_last_reload_successful"] == 0)
    loaded = metrics()["weft_config_last_reload_success_timestamp_seconds"]
    status = manager.tell("systemctl", "status", "weftd")
    mistake = f"{folder}/weftd.conf:4: [pool] size = many"
    assert re.search(rf"Status: .*not reloaded; the former one stays in force: {re.escape(mistake)}.* \(and 1 more\)", status), status
    with open(f"{folder}/weftd.log", encoding="utf-8") as log:
        assert f"\n{mistake}" in log.read()  # printed by --check
    with open(f"{folder}/weftd.conf", "w", encoding="ascii") as file:
        file.write(good)
    code, _ = manager.tell("reload")
    assert code == 0
    poll_until(lambda: metrics()["weft_config_last_reload_successful"] == 1)
    assert metrics()["weft_config_last_reload_success_timestamp_seconds"] > loaded
    assert "Status:" not in manager.tell("systemctl", "status", "weftd")
