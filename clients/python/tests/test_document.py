# SPDX-License-Identifier: GPL-2.0-or-later
"""The library against docs/openapi.yaml: it has each call with each parameter, and each object with each member, of the same type."""

import dataclasses
import datetime
import inspect
import os
import typing
import unittest

import weft
from weft import _calls, _codec, model

try:
    import yaml
except ImportError:
    yaml = None

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs", "openapi.yaml")

# Each operation's method, and the arguments that its parameters have where they differ.
CALLS = {
    "listSandboxes": ("list", {"label": "labels"}),
    "registerSandbox": ("register", {}),
    "getSandbox": ("wait", {"wait": "state"}),
    "patchSandbox": ("patch", {}),
    "wakeSandbox": ("wake", {}),
    "unregisterSandbox": ("unregister", {}),
    "diagnoseSandbox": ("diagnose", {"to": "destination"}),
    "listConnections": ("connections", {}),
    "reach": ("reach", {"dest": "destination"}),
    "streamEvents": ("events", {"boot": "since"}),
    "examineHost": ("doctor", {}),
    "getRates": ("rates", {}),
    "getStatus": ("status", {}),
    "getHealth": ("health", {}),
    "getMetrics": ("metrics", {}),
}
BODIES = {"registerSandbox": "registration", "patchSandbox": "patch"}

# Objects with another name here, and those that the document has within others.
OBJECTS = {
    "Port": model.Port, "EgressRule": model.EgressRule, "Pool": model.Pool, "Finding": model.Finding, "SandboxRates": model.SandboxRates,
    "Reach": model.Reach, "Decider": model.Decider,
}  # fmt: skip
NO_OBJECTS = {"Problem"}  # weft.Problem, an exception
# Members that came with a later version of the API, whose weftd may be older.
LATER = {("Status", "api"), ("Status", "door"), ("Status", "catalog"), ("Status", "event_readers"), ("Sandbox", "door"), ("Connection", "direction"), ("Connection", "path"),
         ("Endpoint", "path"), ("Endpoint", "path_reason"), ("Status", "loopback"),
         ("Sandbox", "wake"), ("Sandbox", "idle_report_ms"), ("Sandbox", "idle_ms")}  # fmt: skip
SENT = {"Registration", "Patch", "Port", "EgressRule", "TapOwner", "Egress", "Rate", "Bandwidth", "Limits", "Door", "Wake"}


@unittest.skipIf(yaml is None or not os.path.exists(DOCUMENT), "needs python3-yaml, and the whole source of weft")
class Document(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        with open(DOCUMENT, encoding="utf-8") as file:
            cls.tree = yaml.safe_load(file)
        cls.schemas = cls.tree["components"]["schemas"]

    def resolve(self, schema):
        while "$ref" in schema or len(schema.get("allOf", ())) == 1:
            rest = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
            target = schema["allOf"][0] if "allOf" in schema else {}
            if "$ref" in schema:
                target = self.tree
                for part in schema["$ref"][2:].split("/"):
                    target = target[part]
            schema = {**target, **rest}
        return schema

    def operations(self):
        for path, item in self.tree["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    parameters = [self.resolve(one) for one in item.get("parameters", []) + operation.get("parameters", [])]
                    yield path, method, operation, parameters

    def test_the_version_is_the_documents(self):
        self.assertEqual(weft.API_VERSION, self.tree["info"]["version"])

    def test_each_call_is_there_with_its_parameters(self):
        told = {operation["operationId"] for _, _, operation, _ in self.operations()}
        self.assertEqual(told, set(CALLS))
        for _, _, operation, parameters in self.operations():
            name, arguments = CALLS[operation["operationId"]]
            for kind in (weft.Client, weft.AsyncClient):
                wanted = {arguments.get(one["name"], one["name"]) for one in parameters}
                wanted |= {BODIES[operation["operationId"]]} if "requestBody" in operation else set()
                self.assertEqual(set(inspect.signature(getattr(kind, name)).parameters) - {"self"}, wanted, f"{kind.__name__}.{name}")

    def test_calls_go_where_the_document_has_them(self):
        options = weft.client.Options("/nonexistent", 1, 0)
        made = {
            "listSandboxes": _calls.list_sandboxes(options, None, None, None), "registerSandbox": _calls.register(options, "{id}", None),
            "getSandbox": _calls.get(options, "{id}"), "patchSandbox": _calls.change(options, "{id}", weft.Patch()),
            "unregisterSandbox": _calls.unregister(options, "{id}", None), "diagnoseSandbox": _calls.diagnose(options, "{id}", None, False),
            "wakeSandbox": _calls.wake(options, "{id}"),
            "listConnections": _calls.connections(options, "{id}"), "reach": _calls.reach(options, "{id}", "192.0.2.1", None, None),
            "streamEvents": weft.client.Follower(options, None, None).steps(), "examineHost": _calls.doctor(options, False),
            "getRates": _calls.rates(options, None, None), "getStatus": _calls.status(options), "getHealth": _calls.health(options),
            "getMetrics": _calls.metrics(options),
        }  # fmt: skip
        for path, method, operation, _ in self.operations():
            steps = made[operation["operationId"]]
            step = next(steps)
            while not hasattr(step, "data"):
                step = steps.send(b"")
            sent = step.data.decode().partition(" HTTP/1.1")[0].partition("?")[0]
            self.assertEqual(sent, f"{method.upper()} {path.replace('{id}', '%7Bid%7D')}")

    def objects(self):
        """(name, schema) of the objects, with those that the document has within others."""
        inner = {
            "Port": self.schemas["Port"]["oneOf"][1],
            "EgressRule": self.schemas["EgressRule"]["oneOf"][1],
            "Pool": self.schemas["Status"]["properties"]["pool"],
            "Finding": self.schemas["Findings"]["properties"]["findings"]["items"],
            "SandboxRates": self.schemas["Rates"]["properties"]["sandboxes"]["items"],
            "Decider": self.schemas["Event"]["properties"]["by"],
            "Reach": self.tree["paths"]["/v1/sandboxes/{id}/reach"]["get"]["responses"]["200"]["content"]["application/json"]["schema"],
        }
        whole = {name: one for name, one in self.schemas.items() if one.get("properties") and name not in NO_OBJECTS}
        return {**whole, **inner}

    def test_each_object_has_the_members_of_the_document(self):
        for name, schema in self.objects().items():
            kind = OBJECTS.get(name) or getattr(model, name, None)
            self.assertTrue(dataclasses.is_dataclass(kind), f"there is no {name}")
            told, here = schema["properties"], {member: (hint, required) for _, member, hint, required in _codec.members_of(kind)}
            self.assertEqual(set(here), set(told), name)
            for member, (hint, required) in here.items():
                place, value = f"{name}/{member}", self.resolve(told[member])
                demanded = member in schema.get("required", ()) and (name, member) not in LATER
                self.assertEqual(required, demanded, f"{place}: required")
                optional = type(None) in typing.get_args(hint)
                may_lack = (not demanded and (name, member) not in LATER) or (value.get("nullable", False) and name not in SENT)
                self.assertEqual(optional, may_lack, f"{place}: None")
                self.assertTrue(self.fits(hint, value), f"{place}: {hint} is not {value}")

    def fits(self, hint, schema):
        """Whether the type is that of the schema."""
        schema = self.resolve(schema)
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Union and type(None) in arguments:
            return self.fits(typing.Union[tuple(one for one in arguments if one is not type(None))], schema)
        if "oneOf" in schema:
            hints = arguments if origin is typing.Union else (hint,)
            return all(any(self.fits(one, choice) for one in hints) for choice in schema["oneOf"])
        if "enum" in schema:
            return origin is typing.Literal and set(arguments) == set(schema["enum"])
        if "properties" in schema:
            return dataclasses.is_dataclass(hint)
        if "type" not in schema:
            return False
        if schema["type"] == "array":
            return origin in (list, typing.get_origin(typing.Sequence[int])) and self.fits(arguments[0], schema["items"])
        if schema["type"] == "object":
            return origin in (dict, typing.get_origin(typing.Mapping[str, str])) and self.fits(arguments[1], schema["additionalProperties"])
        if schema.get("format") == "date-time":
            return hint is datetime.datetime
        return hint is {"string": str, "integer": int, "boolean": bool}[schema["type"]]


if __name__ == "__main__":
    unittest.main()
