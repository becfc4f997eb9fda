# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics in Prometheus's format, checked by promtool from Debian's package."""

import glob
import json
import os
import re
import subprocess

import pytest

from harness.api import endpoint_port
from harness.daemon import build_dir
from harness.wait import poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture(scope="session")
def promtool(tmp_path_factory):
    """promtool, extracted from Debian's package: installing the package would start a server on the machine."""
    place = os.path.join(build_dir(), "promtool")
    program = os.path.join(place, "usr/bin/promtool")
    if not os.path.exists(program):
        folder = tmp_path_factory.mktemp("promtool")
        command = ["apt-get", "-q", "-o", "Acquire::Retries=5", "download", "prometheus"]
        fetch = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert fetch.returncode == 0, f"the package prometheus cannot be had: {fetch.stderr}"
        subprocess.run(["dpkg-deb", "-x", glob.glob(f"{folder}/prometheus_*.deb")[0], folder], check=True)
        os.makedirs(place, exist_ok=True)
        try:
            os.rename(folder / "usr", os.path.join(place, "usr"))
        except OSError:
            assert os.path.exists(program)  # another worker was here first
    return program


def scrape(api):
    return api.get("/metrics").expect(200).text


def names(text):
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def value(text, series):
    line = next(line for line in text.splitlines() if line.startswith(series + " "))
    return float(line.rsplit(" ", 1)[1])


def check(promtool, text):
    said = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_documented_metrics_are_there_and_promtool_finds_no_fault(promtool, api, guest, host):
    sandbox = api.register("a1", {"ports": [49983], "ready_port": 49983})
    guest("ns-1").serve("49983,http,a1")
    api.wait("a1", "ready")
    with host.connect("127.0.0.1", endpoint_port(sandbox)) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    poll_until(lambda: value(scrape(api), 'weft_connections_total{reason="done"}') == 1)
    text = scrape(api)
    check(promtool, text)
    assert {
        *("weft_sandboxes", "weft_connections_open", "weft_connections_total", "weft_bytes_total", "weft_connect_seconds"),
        *("weft_register_seconds", "weft_pool_slots", "weft_build_info"),
    } <= names(text)
    assert value(text, 'weft_sandboxes{state="ready"}') == 1
    assert value(text, "weft_connect_seconds_count") == 1
    assert value(text, "weft_register_seconds_count") == 1
    assert value(text, 'weft_bytes_total{direction="from_guest"}') > 0
    assert "weft_sandbox_" not in text


def test_series_of_each_sandbox_come_where_they_are_asked_for(promtool, weftd):
    api = weftd({"http": {"sandbox_metrics": "yes"}}).api
    api.register("a1", {})
    api.register("b.2_x", {})
    text = scrape(api)
    check(promtool, text)
    assert value(text, 'weft_sandbox_ready{sandbox="a1"}') == 0
    assert value(text, 'weft_sandbox_bytes_total{sandbox="b.2_x",direction="to_guest"}') == 0


def test_alert_rules_and_dashboard_speak_of_metrics_that_exist(promtool, api):
    rules = os.path.join(TOP, "conf/weft.rules.yml")
    said = subprocess.run([promtool, "check", "rules", rules], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    known = names(scrape(api))
    with open(rules, encoding="utf-8") as file:
        used = set(re.findall(r"\bweft_\w+", file.read()))
    with open(os.path.join(TOP, "conf/weft-dashboard.json"), encoding="utf-8") as file:
        dashboard = json.load(file)
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used |= set(re.findall(r"\bweft_\w+", target["expr"]))
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} <= known
