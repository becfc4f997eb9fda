# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of sandboxes: given and changed by requests, understood wherever an id is, and shown beside it."""

import json
import os
import re

from harness.api import endpoint_port
from harness.wait import poll_until


def change(daemon, path, **fields):
    """Alters a state file as nobody should."""
    with open(path, encoding="utf-8") as file:
        stored = json.load(file)
    stored["request"].update(fields)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(stored, file)
    return stored


def test_a_name_means_its_sandbox_in_every_call(daemon, api, guest):
    made = api.register("a1", {"ports": [7], "name": "web"})
    assert (made["id"], made["name"]) == ("a1", "web")
    assert list(made)[:2] == ["id", "name"]
    guest("ns-1").serve("7,echo")
    assert api.wait("web", "ready")["id"] == "a1"
    assert api.show("web")["id"] == "a1"
    assert api.patch("web", {"paused": True})["state"] == "paused"
    assert api.wait("web", "paused")["name"] == "web"
    assert api.patch("web", {"paused": False})["id"] == "a1"
    for call in ("diagnosis", "connections", "reach?dest=198.51.100.1"):
        assert api.get(f"/v1/sandboxes/web/{call}").expect(200).body
        api.get(f"/v1/sandboxes/we/{call}").problem(404, "id")
    with api.events("?sandbox=web") as events:
        snapshot = next(events)
        assert (snapshot["type"], snapshot["sandbox"], snapshot["sandbox_name"]) == ("snapshot", "a1", "web")
        api.register("a2")
        api.patch("web", {"publish": [8]})
        assert next(events)["type"] == "snapshot-end"
        assert (next(events)["type"], api.unregister("web", drain=0).body["id"]) == ("published", "a1")
        seen = [next(events)]
        while seen[-1]["type"] != "unregistered":
            seen.append(next(events))
        assert all((event["sandbox"], event["sandbox_name"]) == ("a1", "web") for event in seen)
    api.get("/v1/sandboxes/web").problem(404, "id")


def test_each_text_means_one_sandbox(daemon, api):
    api.register("a1", {"name": "web"})
    api.register("a2")

    def refused(method, target, body, field, text):
        problem = api.request(method, f"/v1/sandboxes/{target}", body=body).problem(409, field)
        assert text in problem["detail"], problem

    refused("PUT", "web", None, "id", "web is the name of sandbox a1")
    refused("PUT", "a3", {"name": "web"}, "/name", "sandbox a1")
    refused("PUT", "a3", {"name": "a2"}, "/name", "a2 is the id of a sandbox")
    refused("PATCH", "a2", {"name": "web"}, "/name", "sandbox a1")
    refused("PATCH", "a2", {"name": "a1", "publish": [80]}, "/name", "a1 is the id")
    assert not api.show("a2")["endpoints"]

    with api.events() as events:
        while next(events)["type"] != "snapshot-end":
            pass
        assert api.patch("a1", {"name": "db"})["name"] == "db"
        assert api.patch("a2", {"name": "web"})["name"] == "web"
        assert api.patch("db", {"name": None})["name"] is None
        renamed = [next(events) for _ in range(3)]
    assert [(one["type"], one["sandbox"], one["former"], one["name"]) for one in renamed] == [
        ("renamed", "a1", "web", "db"), ("renamed", "a2", None, "web"), ("renamed", "a1", "db", None)
    ]
    assert api.show("web")["id"] == "a2"

    # A PUT is repeated with the name that it had, or another: it is the same, and stays what it is.
    assert api.register("a1", {"name": "web"}, expect=(200,))["name"] is None
    assert api.register("a2", expect=(200,))["name"] == "web"
    api.unregister("web")
    api.register("web", {"name": "a2"})


def test_a_name_outlives_a_kill_and_no_sandbox_is_lost_for_it(daemon, api, guest, host):
    api.register("a1", {"name": "web"})
    api.register("a2", {"name": "db"})
    api.patch("a1", {"name": "front"})
    api.patch("a2", {"name": "web"})
    guest("ns-2")
    daemon.kill()
    daemon.start()
    assert {one["id"]: one["name"] for one in api.list()} == {"a1": "front", "a2": "web"}
    assert api.show("web")["state"] == "ready"

    # Two files with one name, and one with the id of another: the lower slot keeps it, and an id counts more.
    api.register("a3", {"name": "cache"})
    daemon.kill()
    change(daemon, f"{daemon.state_dir}/2.json", name="front")
    change(daemon, f"{daemon.state_dir}/3.json", name="a1")
    change(daemon, f"{daemon.state_dir}/1.json", name="a2")
    daemon.start()
    assert {one["id"]: one["name"] for one in api.list()} == {"a1": None, "a2": "front", "a3": None}
    assert api.show("a2")["state"] == "ready"
    assert "sandbox=a1 slot=1 name=a2 owner=a2" in daemon.wait_log("lost its name.*sandbox=a1")
    assert "sandbox=a3 slot=3 name=a1 owner=a1" in daemon.wait_log("lost its name.*sandbox=a3")

    # The files follow: after one more start nobody has to lose anything.
    def written(slot, name):
        with open(f"{daemon.state_dir}/{slot}.json", encoding="utf-8") as file:
            return json.load(file)["request"].get("name") == name

    poll_until(lambda: written(1, None) and written(3, None))
    daemon.kill()
    os.unlink(daemon.log_path)
    daemon.start()
    assert api.show("front")["id"] == "a2"
    assert "lost its name" not in daemon.log()


def test_the_log_tells_a_sandbox_from_its_registration_to_its_end(daemon, api, guest, host):
    sandbox = api.register("a1", {"ports": [7], "name": "web", "ready_port": 7})
    guest("ns-1").serve("7,echo")
    api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
        client.sendall(b"x" * 1000)
        assert client.recv(1)
        api.patch("web", {"name": "db"})
        api.unregister("db")
    daemon.wait_log("method=DELETE")  # a thread writes the log
    lines = [line for line in daemon.log().splitlines() if " sandbox=a1 " in line and 'msg="control:' not in line]

    def told(message):
        return [line for line in lines if f'msg="{message}"' in line]

    (registered,) = told("sandbox registered")
    assert re.search(r" sandbox=a1 name=web slot=1 state=waiting duration_us=\d+$", registered)
    (ended,) = told("sandbox unregistered")
    found = re.search(
        r" sandbox=a1 name=db slot=1 cause=unregistered age_ms=\d+ bytes_to_guest=(\d+) bytes_from_guest=\d+ connections=1$", ended
    )
    assert int(found[1]) > 1000
    assert re.search(r" sandbox=a1 name=db slot=1 former=web$", told("sandbox renamed")[0])
    states = [re.search(r" name=(\w+) slot=1 from=(\w+) to=(\w+) cause=(\w+)", line) for line in told("sandbox changed its state")]
    assert [state.groups() for state in states] == [
        ("web", "waiting", "attached", "carrier"), ("web", "attached", "ready", "probe"), ("db", "ready", "draining", "unregistered")
    ]
    assert re.search(r" sandbox=a1 name=db endpoint=.* reason=unregistered", told("connection ended")[0])
    assert lines[0] == registered and lines[-1] == ended
    audit = [line for line in daemon.log().splitlines() if 'msg="control: change"' in line]
    assert len(audit) == 3 and all(" sandbox=a1 " in line for line in audit)


def test_metrics_of_sandboxes_give_the_name(weftd):
    daemon = weftd({"http": {"sandbox_metrics": "yes"}})
    daemon.api.register("a1", {"name": "web"})
    daemon.api.register("a2")
    told = daemon.api.metrics()
    assert told['weft_sandbox_info{sandbox="a1",name="web",slot="1",host_ip="10.11.0.1"}'] == 1
    assert told['weft_sandbox_info{sandbox="a2",name="",slot="2",host_ip="10.11.0.2"}'] == 1
