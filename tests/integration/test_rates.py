# SPDX-License-Identifier: GPL-2.0-or-later
"""The traffic of the last two minutes: both ways in, both directions, a point each two seconds."""

from harness.api import endpoint_port
from harness.client import receive_exactly
from harness.wait import poll_until

SIZE = 400_000


def rates(api, query=""):
    found = api.get("/v1/rates" + query).expect(200).body
    assert found["interval_ms"] == 2000 and found["points"] == 60
    for one in found["sandboxes"]:
        assert len(one["to_guest"]) == len(one["from_guest"]) <= 60
    return found


def passed(api, name):
    """The bytes (to, from) guest that the points stand for."""
    one = next((one for one in rates(api)["sandboxes"] if one["id"] == name), None)
    return (2 * sum(one["to_guest"]), 2 * sum(one["from_guest"])) if one else (0, 0)


def echo(host, address, port):
    with host.connect(address, port) as client:
        for _ in range(SIZE // 10_000):
            client.sendall(bytes(10_000))
            receive_exactly(client, 10_000)


def test_the_rates_have_both_paths_and_what_is_new_since_a_point(host, weftd, guest):
    api = weftd().api
    made = api.register("busy", {"ports": [7]})
    api.register("idle")
    guest(made).serve("7,echo")
    api.wait("busy", "attached")
    first = rates(api)
    assert first["sandboxes"] == []
    # A counter is counted from its first reading.
    poll_until(lambda: rates(api)["tick"] > first["tick"])
    for round_, (address, port) in enumerate(((made["host_ip"], 7), ("127.0.0.1", endpoint_port(made, 7))), 1):
        echo(host, address, port)
        poll_until(lambda: min(passed(api, "busy")) >= round_ * SIZE, what=lambda: str(rates(api)))  # pylint: disable=cell-var-from-loop
        assert max(passed(api, "busy")) < round_ * SIZE * 1.2, "headers, and no byte twice"
    now = rates(api)
    assert [one["id"] for one in now["sandboxes"]] == ["busy"], "who is idle is not listed"
    assert rates(api, "?sandbox=idle")["sandboxes"] == []
    assert rates(api, f"?since={now['tick'] + 1000}")["sandboxes"], "a tick of another run: everything"
    fresh = poll_until(lambda: (lambda found: found if found["tick"] > now["tick"] else None)(rates(api, f"?since={now['tick']}")))
    assert all(len(one["to_guest"]) <= fresh["tick"] - now["tick"] for one in fresh["sandboxes"])
    api.get("/v1/rates?since=x").problem(400, "since")
    # A connection is listed without a byte.
    with host.connect("127.0.0.1", endpoint_port(made, 7)):
        poll_until(lambda: any(one["connections_open"] for one in rates(api, f"?since={rates(api)['tick']}")["sandboxes"]))
