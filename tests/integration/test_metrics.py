# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics in Prometheus's format, checked by promtool; dashboard and alerts, by the Prometheus of Debian's package."""

import json
import os
import re
import signal
import socket
import time

import pytest
import yaml

from harness.api import endpoint_port
from harness.prometheus import Prometheus, promtool
from harness.wait import poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES = os.path.join(TOP, "conf/weft.rules.yml")
CATALOG = {"redis": "127.0.0.1:6379", "address": "192.0.2.7"}


def scrape(api):
    return api.get("/metrics").expect(200).text


def names(text):
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def value(text, series):
    line = next(line for line in text.splitlines() if line.startswith(series + " "))
    return float(line.rsplit(" ", 1)[1])


def check(text):
    assert promtool("check", "metrics", text=text) == ""


def test_the_documented_metrics_are_there_and_promtool_finds_no_fault(api, guest, host):
    sandbox = api.register("a1", {"ports": [49983], "ready_port": 49983})
    guest("ns-1").serve("49983,http,a1")
    api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    poll_until(lambda: value(scrape(api), 'weft_connections_total{reason="done"}') == 1)
    text = scrape(api)
    check(text)
    assert {
        *("weft_sandboxes", "weft_connections_open", "weft_connections_total", "weft_bytes_total", "weft_connect_seconds"),
        *("weft_register_seconds", "weft_pool_slots", "weft_build_info"),
    } <= names(text)
    assert value(text, 'weft_sandboxes{state="ready"}') == 1
    assert value(text, "weft_connect_seconds_count") == 1
    assert value(text, "weft_register_seconds_count") == 1
    assert value(text, 'weft_bytes_total{direction="from_guest"}') > 0
    assert "weft_sandbox_" not in text


def test_series_of_each_sandbox_come_where_they_are_asked_for(weftd):
    api = weftd({"http": {"sandbox_metrics": "yes"}, "catalog": CATALOG}).api
    api.register("a1", {})
    api.register("b.2_x", {})
    text = scrape(api)
    check(text)
    # Here are all that a document may name.
    told = set()
    for name in ("README.md", "NEWS.md", "docs/operations.md", "man/weftd.8.in", "man/weftctl.1.in", "man/weftd.conf.5.in"):
        with open(os.path.join(TOP, name), encoding="utf-8") as file:
            told |= set(re.findall(r"\bweft_[a-z_]+\b", file.read()))
    assert told and told <= names(text), told - names(text)
    assert value(text, 'weft_sandbox_ready{sandbox="a1"}') == 0
    assert value(text, 'weft_sandbox_bytes_total{sandbox="b.2_x",direction="to_guest"}') == 0


def documented(name):
    """The configuration of Prometheus in the manual for operators."""
    with open(os.path.join(TOP, "docs", name), encoding="utf-8") as file:
        return yaml.safe_load(re.search(r"```yaml\n(scrape_configs:.*?)```", file.read(), re.DOTALL).group(1))


def rules():
    with open(RULES, encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def panels():
    """[(title, expression)] of the dashboard as Grafana would send them."""
    with open(os.path.join(TOP, "conf/weft-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    return [
        (panel["title"], target["expr"].replace("$instance", "localhost:9477").replace("$__rate_interval", "1m"))
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture
def prometheus(host, folder):
    started = []

    def start():
        config = documented("operations.md")
        assert config["rule_files"] == ["/usr/share/doc/weft/weft.rules.yml"]
        started.append(Prometheus(host, folder, {**config, "rule_files": [RULES]}))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_each_query_of_dashboard_and_alerts_has_an_answer(redis, weftd, guest, host, prometheus):
    assert CATALOG["redis"].endswith(str(redis.port))
    api = weftd({"http": {"listen": "127.0.0.1:9477"}, "catalog": CATALOG}).api
    server = prometheus()
    sandbox = api.register("a1", {"ports": [49983], "ready_port": 49983})
    guest("ns-1").serve("49983,http,a1")
    api.wait("a1", "ready")
    server.await_scrapes("weft")
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert server.get("label/instance/values", **{"match[]": "weft_build_info"}) == ["localhost:9477"]
    poll_until(lambda: server.query('rate(weft_connections_total{reason="done"}[1m]) > 0'), what=server.tail)
    quiet = {"Denied packets, by rule"}  # nothing was denied: no line
    silent = [title for title, expression in panels() if not server.query(expression) and title not in quiet]
    assert silent == []
    judged = [rule for group in server.get("rules")["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in judged] == [rule["alert"] for rule in rules()]
    poll_until(lambda: all(rule["health"] != "unknown" for rule in server.get("rules")["groups"][0]["rules"]), what=server.tail)
    for rule in server.get("rules")["groups"][0]["rules"]:
        assert (rule["health"], rule["state"]) == ("ok", "inactive"), rule
    # Each series that a rule or panel names exists, so that no alert is silent for ever.
    text = " ".join([expression for _, expression in panels()] + [rule["expr"] for rule in rules()])
    for name in set(re.findall(r"\b(?:weft|process)_\w+", text)):
        assert server.query(f'{name}{{job="weft"}}'), name


# Of each alert: series that fire it after half an hour, and series that do not.
FIRES = {
    "WeftDown": ({"up": "0x60"}, {"up": "1x60"}),
    "WeftSandboxFailed": ({'weft_sandboxes{state="failed"}': "1x60"}, {'weft_sandboxes{state="ready"}': "9x60"}),
    "WeftRepairsAgainAndAgain": ({"weft_repairs_total": "0+2x60"}, {"weft_repairs_total": "0+0x60"}),
    "WeftRepairFails": ({"weft_repairs_pending": "1x60"}, {"weft_repairs_pending": "0x60"}),
    "WeftAddressNotOpen": ({'weft_addresses_not_open{of="weftd"}': "1x60"}, {'weft_addresses_not_open{of="weftd"}': "0x60"}),
    "WeftReloadFailed": ({"weft_config_last_reload_successful": "0x60"}, {"weft_config_last_reload_successful": "1x60"}),
    "WeftRestartsAgainAndAgain": ({"process_start_time_seconds": "100+60x60"}, {"process_start_time_seconds": "100x60"}),
    "WeftClientsHeld": ({"weft_connections_held": "21x60"}, {"weft_connections_held": "20x60"}),
    "WeftConntrackFull": (
        {"weft_conntrack_entries": "81x60", "weft_conntrack_entries_limit": "100x60"},
        {"weft_conntrack_entries": "79x60", "weft_conntrack_entries_limit": "100x60"},
    ),
    "WeftGuestsRefuse": (
        {'weft_connections_total{reason="guest-refused"}': "0+90x60"},
        {'weft_connections_total{reason="done"}': "0+9000x60"},
    ),
    "WeftOutOfPorts": (
        {'weft_connections_total{reason="no-port"}': "0+1x60"},
        {'weft_connections_total{reason="no-port"}': "5x60"},
    ),
    "WeftOutOfDescriptors": ({"weft_accept_pauses_total": "0+1x60"}, {"weft_accept_pauses_total": "7x60"}),
    # Under a limit of 1,200 descriptors, 900 are for clients: scarce with 676 of 1,200 in use.
    "WeftDescriptorsScarce": (
        {
            **{"weft_client_descriptors_free": "224x60", "weft_client_descriptors_limit": "900x60"},
            **{"process_open_fds": "700x60", "process_max_fds": "1200x60"},
        },
        {"weft_client_descriptors_free": "226x60", "weft_client_descriptors_limit": "900x60"},
    ),
    "WeftCatalogDown": ({"weft_catalog_up": "0x60"}, {"weft_catalog_up": "1x60"}),
    "WeftCatalogForeign": (
        {'weft_catalog_entries{state="foreign"}': "1x60"},
        {'weft_catalog_entries{state="foreign"}': "0x60", 'weft_catalog_entries{state="pending"}': "1x60"},
    ),
    "WeftWakesNotTaken": ({"weft_wake_posts_pending": "1x60"}, {"weft_wake_posts_pending": "0x60"}),
    "WeftPacketsNotHeard": ({"weft_wake_packets_audible": "0x60"}, {"weft_wake_packets_audible": "1x60"}),
    "WeftLogLinesLost": ({"weft_log_lines_lost_total": "0+1x60"}, {"weft_log_lines_lost_total": "1x60"}),
    "WeftEventsDropped": ({"weft_events_dropped_total": "0+1x60"}, {"weft_events_dropped_total": "1x60"}),
    "WeftPoolEmpty": (
        {"weft_pool_cold_total": "0+9x60", 'weft_pool_slots{state="ready"}': "0x60", "weft_pool_size": "9x60"},
        {"weft_pool_cold_total": "0+9x60", 'weft_pool_slots{state="ready"}': "0x60", "weft_pool_size": "0x60"},
    ),
    "WeftSlowRegistrations": (
        {f'weft_register_seconds_bucket{{le="{le}"}}': f"0+{rate}x60" for le, rate in (("0.5", 1), ("1", 9), ("+Inf", 9))},
        {f'weft_register_seconds_bucket{{le="{le}"}}': f"0+{rate}x60" for le, rate in (("0.5", 9), ("1", 9), ("+Inf", 9))},
    ),
}


def rule_test(alert, series, fires):
    def labelled(name):
        name, _, labels = name.partition("{")
        return f'{name}{{job="weft",instance="h",{labels or "}"}'

    return {
        "interval": "1m",
        "input_series": [{"series": labelled(name), "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing",instance="h"}}) or vector(0)',
                "eval_time": "30m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
        ],
    }


def test_each_alert_fires_for_its_fault_and_for_nothing_else(folder):
    assert set(FIRES) == {rule["alert"] for rule in rules()}
    promtool("check", "rules", RULES)
    tests = [rule_test(alert, series, fires) for alert, both in FIRES.items() for series, fires in zip(both, (True, False))]
    with open(f"{folder}/rules_test.yml", "w", encoding="utf-8") as file:
        yaml.safe_dump({"rule_files": [RULES], "tests": tests}, file)
    promtool("test", "rules", f"{folder}/rules_test.yml")


def test_process_metrics_are_those_of_the_process(weftd):
    daemon = weftd()
    now = daemon.api.metrics()
    with open(f"/proc/{daemon.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[19]) / ticks
    assert abs(now["process_start_time_seconds"] - started) < 1
    assert daemon.api.metrics()["process_start_time_seconds"] == now["process_start_time_seconds"]
    with open(f"/proc/{daemon.pid}/statm", encoding="ascii") as file:
        size, resident = [int(word) * os.sysconf("SC_PAGESIZE") for word in file.read().split()[:2]]
    assert now["process_virtual_memory_bytes"] == pytest.approx(size, rel=0.2)
    assert now["process_resident_memory_bytes"] == pytest.approx(resident, rel=0.5)
    assert 0 < now["process_cpu_seconds_total"] < daemon.api.metrics()["process_cpu_seconds_total"]
    assert abs(now["process_open_fds"] - len(daemon.fds())) <= 8
    with open(f"/proc/{daemon.pid}/limits", encoding="ascii") as file:
        assert now["process_max_fds"] == int(re.search(r"Max open files +(\d+)", file.read()).group(1))
    limit = int(daemon.host.output(["cat", "/proc/sys/net/netfilter/nf_conntrack_max"]))
    assert now["weft_conntrack_entries_limit"] == limit
    assert 0 <= now["weft_conntrack_entries"] <= limit


def test_bytes_of_the_kernel_path_outlive_their_sandbox_and_count_once(weftd, guest, host):
    daemon = weftd({"pool": {"size": 0}})
    names = ['weft_tap_bytes_total{direction="to_guest"}', 'weft_tap_bytes_total{direction="from_guest"}']

    def total():
        return [daemon.api.metrics()[name] for name in names]

    sandbox = daemon.api.register("a1", {})
    guest(sandbox).serve("7,echo")
    daemon.api.wait("a1", "attached")
    assert total() == [0, 0]
    with host.connect(sandbox["host_ip"], 7) as client:
        client.sendall(b"x" * 10000)
        left = 10000
        while left:
            left -= len(client.recv(left))
    counters = poll_until(lambda: both if min(both := bytes_of(daemon.api.show("a1"))) > 10000 else None)
    assert total() >= counters
    assert daemon.api.metrics()["weft_bytes_total{direction=\"to_guest\"}"] == 0
    daemon.stop()
    daemon.start()
    daemon.api.show("a1")
    assert max(total()) < 10000, "a former run's bytes are counted again"
    before = total()
    with host.connect(sandbox["host_ip"], 7) as client:
        client.sendall(b"x" * 5000)
        left = 5000
        while left:
            left -= len(client.recv(left))
    daemon.api.unregister("a1")
    after = total()
    assert all(after[i] - before[i] > 5000 for i in range(2)), "the last bytes before the end"


def bytes_of(sandbox):
    return [sandbox["counters"]["bytes_to_guest"], sandbox["counters"]["bytes_from_guest"]]


def test_faults_are_counted(weftd, host):
    daemon = weftd({"forwarder": {"default_listen": "127.0.0.1:49983"}}, run=False)
    with host.socket() as taken:
        taken.bind(("127.0.0.1", 49983))
        taken.listen()
        api = daemon.start().api
        poll_until(lambda: api.metrics()['weft_addresses_not_open{of="weftd"}'] == 1)
    poll_until(lambda: api.metrics()['weft_addresses_not_open{of="weftd"}'] == 0)
    sandbox = api.register("a1", {"ports": [49983]})
    with host.connect("127.0.0.1", endpoint_port(sandbox)):
        poll_until(lambda: api.metrics()["weft_connections_held"] == 1)
    poll_until(lambda: api.metrics()["weft_connections_held"] == 0)
    # Another program's route stands in front of the sandbox's own.
    before = api.metrics()
    assert (before["weft_repair_failures_total"], before["weft_repairs_pending"]) == (0, 0)
    host.run(["ip", "link", "add", "other0", "type", "veth", "peer", "name", "other1"])
    host.run(["ip", "link", "set", "other0", "up"])
    host.run(["ip", "route", "prepend", f"{sandbox['host_ip']}/32", "dev", "other0"])
    poll_until(lambda: api.metrics()["weft_repairs_pending"] == 1)
    assert api.metrics()["weft_repair_failures_total"] == 1
    host.run(["ip", "link", "del", "other0"])
    poll_until(lambda: api.metrics()["weft_repairs_pending"] == 0)
    daemon.write_config("[pool]\nsize = many\n")
    loaded = api.metrics()["weft_config_last_reload_success_timestamp_seconds"]
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: api.metrics()["weft_config_last_reload_successful"] == 0)
    assert api.metrics()["weft_config_last_reload_success_timestamp_seconds"] == loaded
    daemon.write_config({})
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: api.metrics()["weft_config_last_reload_successful"] == 1)
    assert api.metrics()["weft_config_last_reload_success_timestamp_seconds"] > loaded


def test_what_wakes_sandboxes_is_counted(weftd, guest, host, folder):
    """A datagram for a guest whose VM is gone, told to a manager that is not there; then the VM is back."""
    api = weftd({"wake": {"notify": f"{folder}/manager.sock"}}).api
    sandbox = api.register("a1", {"ready_port": 7, "wake": {"ports": ["9/udp"], "min_awake_ms": 0}})
    one = guest(sandbox)
    one.serve("7,echo")
    api.wait("a1", "ready")
    assert api.metrics()["weft_wake_packets_audible"] == 1
    api.patch("a1", {"paused": True})
    one.close_tap()
    with host.socket(kind=socket.SOCK_DGRAM) as client:
        client.connect((sandbox["host_ip"], 9))

        def heard():
            client.send(b"wake up")
            return api.metrics()['weft_wake_packets_total{result="heard"}'] > 0

        poll_until(heard)
    poll_until(lambda: api.metrics()['weft_wake_posts_total{result="failed"}'] > 0)
    metrics = api.metrics()
    assert (metrics["weft_wake_copies"], metrics["weft_wake_posts_pending"]) == (1, 1)
    one.open_tap()
    api.patch("a1", {"paused": False})
    api.wait("a1", "ready")
    poll_until(lambda: api.metrics()['weft_wake_copies_total{result="sent"}'] == 1)
    metrics = api.metrics()
    assert (metrics["weft_wake_copies"], metrics["weft_wake_posts_pending"]) == (0, 0)
    assert metrics['weft_wake_posts_total{result="taken"}'] == metrics['weft_wake_copies_total{result="refused"}'] == 0
