# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/openapi.yaml against the control socket: every answer must be one that it documents."""

import json
import os
import random
import re
import urllib.parse

import jsonschema
import pytest
import yaml

from test_http_abuse import serve, served  # noqa: F401: fixtures

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def without_nullable(node):
    """Translates OpenAPI 3.0's "nullable" into JSON Schema's type null."""
    if isinstance(node, list):
        return [without_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: without_nullable(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [{"type": "null"}, plain]} if node.get("nullable") is True else plain


class Document:
    def __init__(self):
        with open(os.path.join(TOP, "docs", "openapi.yaml"), encoding="utf-8") as file:
            self.tree = without_nullable(yaml.safe_load(file))

    def resolve(self, node):
        while "$ref" in node:
            target = self.tree
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def schema(self, node):
        return {**node, "components": self.tree["components"]}

    def operations(self):
        """(path, method, operation, parameters) of all calls."""
        for path, item in self.tree["paths"].items():
            shared = item.get("parameters", [])
            for method in ("get", "put", "patch", "delete", "post"):
                if method in item:
                    parameters = [self.resolve(one) for one in shared + item[method].get("parameters", [])]
                    yield path, method, item[method], parameters

    def check(self, path, method, reply):
        """Fails unless the operation documents this answer."""
        responses = self.tree["paths"][path][method]["responses"]
        assert str(reply.status) in responses, f"{method} {path}: {reply.status} is not documented: {reply.text}"
        assert reply.headers["Weft-Api-Version"] == self.tree["info"]["version"]
        response = self.resolve(responses[str(reply.status)])
        for name in response.get("headers", {}):
            assert name in reply.headers
        if "content" not in response:
            assert reply.text == ""
            return
        kind = (reply.headers["Content-Type"] or "").split(";")[0]
        assert kind in response["content"], f"{method} {path}: {kind}"
        schema = self.schema(response["content"][kind]["schema"])
        body = reply.body if "json" in kind else reply.text
        jsonschema.validate(body, schema, format_checker=jsonschema.FormatChecker())


@pytest.fixture(scope="module")
def document():
    return Document()


def test_the_examples_are_what_the_schemas_say(document):
    for _path, _method, operation, _parameters in document.operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        examples = [content["example"]] if "example" in content else []
        examples += [one["value"] for one in content.get("examples", {}).values()]
        for example in examples:
            jsonschema.validate(example, document.schema(content["schema"]))


WORDS = ["", "a1", "a2", "..", "a b", "ä", "%", "\0", "0", "-1", "1", "65536", "ready", "paused", "1.2.3.4", "tcp", "x" * 65, "k=v"]


def some_value(rng):
    return rng.choice(
        [
            *WORDS[:4], None, True, False, 0, -1, 1, 80, 8080, 65536, 1.5, 10**18, [], {}, [8080], [0], {"guest_port": 8080},
            [{"guest_port": 8080, "listen": "127.0.0.1:18080"}], {"internet": True}, {"k": "v"}, {"rate": 1}, {"idle_ms": 1},
            {"to_guest": {"rate": 1000}}, {"public": False}, {"ports": {"80": "closed"}}, "127.0.0.1:18080", "keep", "reset", [["x"]], {"uid": 1, "gid": 1},
            {"ports": "any"}, {"ports": [8080, "5353/udp"], "min_awake_ms": 0}, {"timeout_ms": 1000}, {"state": "paused"},
        ]
    )


FIELDS = ["name", "door", "ports", "default", "ready_port", "tap_owner", "egress", "bandwidth", "limits", "labels", "publish", "unpublish",
          "paused", "flows", "wake", "idle_report_ms", "nonsense"]


def some_body(rng):
    if rng.random() < 0.1:
        return rng.choice([b"{", b"[]", b"", b"null", b'{"ports":[1],"ports":[2]}', b"\xff", b"x" * 70000])
    return {rng.choice(FIELDS): some_value(rng) for _ in range(rng.randrange(3))}


def some_target(rng, path, parameters):
    name = rng.choice(["a1", "a1", "a2", "a2", rng.choice(WORDS)])
    target = path.replace("{id}", urllib.parse.quote(name, safe=""))
    query = []
    for parameter in parameters:
        if parameter["in"] == "query" and rng.random() < 0.6:
            values = parameter["schema"].get("enum", []) + WORDS
            query.append((parameter["name"], rng.choice(values)))
    if rng.random() < 0.05:
        query.append(("nonsense", "1"))
    if "wait" in dict(query):
        query = [one for one in query if one[0] != "timeout"] + [("timeout", "0")]
    return target + ("?" + urllib.parse.urlencode(query) if query else "")


@pytest.mark.parametrize("seed", range(4))
def test_every_answer_is_a_documented_one(served, document, seed):  # noqa: F811
    rng = random.Random(seed)
    operations = [one for one in document.operations() if one[0] != "/v1/events"]
    seen = set()
    for _ in range(800):
        path, method, operation, parameters = rng.choice(operations)
        target = some_target(rng, path, parameters)
        body = some_body(rng) if "requestBody" in operation else None
        reply = served.api.request(method.upper(), target, body=body)
        assert reply.status != 500, f"{method} {target} {body}: {reply.text}"
        document.check(path, method, reply)
        seen.add((path, method, reply.status))
    assert len({status for _path, _method, status in seen}) >= 6, seen


def test_a_sandbox_that_is_woken_is_shown_as_documented(served, document):  # noqa: F811
    path, wake = "/v1/sandboxes/{id}", "/v1/sandboxes/{id}/wake"
    served.api.register("a1", {"wake": {"ports": [8080, "5353/udp"]}, "idle_report_ms": 5})
    served.api.register("a2", {"labels": {"state": "paused"}})
    awake = served.api.request("POST", "/v1/sandboxes/a1/wake")
    assert awake.status == 409 and "only a paused one" in awake.body["detail"]
    served.api.patch("a1", {"labels": {"state": "paused"}})
    served.api.patch("a2", {"labels": {"state": "paused"}})
    never = served.api.request("POST", "/v1/sandboxes/a2/wake")
    assert (never.status, never.body["field"]) == (409, "/wake")
    asked = served.api.request("POST", "/v1/sandboxes/a1/wake", body={})
    assert asked.status == 202 and asked.body["wake"]["by"] == "api" and asked.body["state"] == "paused"
    refused = served.api.request("POST", "/v1/sandboxes/a1/wake", body={"paused": False})
    assert (refused.status, refused.body["field"]) == (400, "/paused")
    for reply in (awake, never, asked, refused, served.api.request("POST", "/v1/sandboxes/nobody/wake")):
        document.check(wake, "post", reply)
    shown = served.api.request("GET", "/v1/sandboxes/a1")
    document.check(path, "get", shown)
    assert shown.body["wake"]["ports"] == [8080, "5353/udp"] and shown.body["idle_report_ms"] == 5
    listed = served.api.request("GET", "/v1/sandboxes?wake=asked&state=paused")
    assert [one["id"] for one in listed.body["sandboxes"]] == ["a1"]
    assert served.api.request("GET", "/v1/sandboxes/a1/wake").headers["Allow"] == "POST"


def test_events_are_documented_ones(served, document):  # noqa: F811
    schema = document.schema(document.tree["components"]["schemas"]["Event"])
    with served.api.events() as events:
        served.api.register("a1")
        served.api.patch("a1", {"labels": {"state": "ready"}})
        served.api.unregister("a1")
        types = []
        while "unregistered" not in types:
            event = next(events)
            jsonschema.validate(event, schema, format_checker=jsonschema.FormatChecker())
            types.append(event["type"])
    assert types == ["snapshot-end", "registered", "state", "state", "unregistered"]


def test_events_of_weftd_are_documented_ones_and_read_as_durations(daemon, api, document, guest, host):
    schema = document.schema(document.tree["components"]["schemas"]["Event"])
    seen = []

    def until(events, kind, **fields):
        while True:
            event = next(events)
            jsonschema.validate(event, schema, format_checker=jsonschema.FormatChecker())
            seen.append(event)
            if event["type"] == kind and all(event[name] == value for name, value in fields.items()):
                return event

    with api.events() as events:
        api.register("a1", {"ports": [7], "ready_port": 7})
        until(events, "registered")
        one = guest("ns-1")
        until(events, "state", to="attached")
        one.serve("7,echo")
        until(events, "state", to="ready")
        api.patch("a1", {"publish": [8]})
        until(events, "published")
        api.patch("a1", {"unpublish": [8]})
        until(events, "unpublished")
        api.patch("a1", {"door": {"ports": {"7": "closed"}}})
        until(events, "door")
        one.run(["curl", "-s", "-m", "20", "http://10.0.0.1/"], check=False)
        denied = until(events, "denied")
        api.patch("a1", {"wake": {"ports": [7], "min_awake_ms": 0}})
        api.patch("a1", {"paused": True})
        asked = api.request("POST", "/v1/sandboxes/a1/wake")
        document.check("/v1/sandboxes/{id}/wake", "post", asked)
        wake = until(events, "wake")
        assert (wake["source"], wake["dest_port"], wake["via"], wake["attempt"]) == (None, None, "api", 1)
        assert asked.status == 202 and asked.body["wake"]["by"] == "api"
        api.patch("a1", {"paused": False})
        until(events, "state", to="ready")
        assert (denied["sandbox"], denied["rule"], denied["destination"], denied["port"]) == ("a1", "private", "10.0.0.1", 80)
        host.run(["nft", "flush", "ruleset"])
        until(events, "repair")
        assert int(re.search(r"^weft_repairs_total (\d+)$", api.get("/metrics").expect(200).text, re.M)[1]) >= 1
        api.unregister("a1")
        until(events, "unregistered")
        os.unlink(daemon.socket)
        assert until(events, "host")["check"] == "files"
    changes = [event for event in seen if event["type"] == "state" and event["sandbox"] == "a1"]
    assert [event["to"] for event in changes][:3] == ["waiting", "attached", "ready"]
    assert all(event["cause"] and event["previous_ms"] >= 0 for event in changes)
    numbers = [event["seq"] for event in seen if event["type"] not in ("snapshot", "snapshot-end", "heartbeat")]
    assert numbers == list(range(1, len(numbers) + 1))

    with api.events(f"?since={numbers[2]}&boot={seen[-1]['boot']}") as events:
        again = [next(events)["seq"] for _ in numbers[3:]]
        daemon.stop()
        assert until(events, "stopping")["seq"] == numbers[-1]
    assert again == numbers[3:]


def test_what_every_call_may_answer(served, document):  # noqa: F811
    for path, method, _operation, _parameters in document.operations():
        target = path.replace("{id}", "a1")
        document.check(path, method, served.api.request("BREW", target))
        document.check(path, method, served.api.request(method.upper(), target, body=b"x" * 70000))
        document.check(path, method, served.api.request(method.upper(), target, headers={"A": "b" * 20000}))
        json.loads(served.api.request(method.upper(), target + "?x=1").text)


@pytest.mark.parametrize("seed", range(2))
def test_every_answer_of_weftd_is_a_documented_one(api, document, seed):
    rng = random.Random(100 + seed)
    operations = [one for one in document.operations() if one[0] != "/v1/events"]
    for _ in range(300):
        path, method, operation, parameters = rng.choice(operations)
        target = some_target(rng, path, parameters)
        body = some_body(rng) if "requestBody" in operation else None
        reply = api.request(method.upper(), target, body=body)
        assert reply.status != 500, f"{method} {target} {body}: {reply.text}"
        document.check(path, method, reply)
