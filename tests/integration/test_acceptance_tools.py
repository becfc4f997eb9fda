# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of tools/acceptance: the SDKs' installation, and the table of the four calls."""

import json
import os
import subprocess
import sys

import pytest

from harness.sdk import SDKS

LIMIT = 600  # seconds: only a hang takes so long

SDK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sdk")


def test_the_table_has_every_call_of_both_sdks_on_both_ways_in(sdk_folder, folder):
    assert sdk_folder
    report = f"{folder}/table.json"
    argv = [sys.executable, f"{SDK}/measure.py", "--guest", "standin", "--rounds", "2", "--json", report]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout
    with open(report, encoding="utf-8") as file:
        rows = json.load(file)
    seen = {(row["sdk"], row["way"]): 0 for row in rows}
    for row in rows:
        seen[row["sdk"], row["way"]] += 1
        assert row["through"] > 0 and row["direct"] > 0
    ways = {"default endpoint": 4, "published ports, 3 sandboxes": 5}
    assert seen == {(kind, way): count for kind in SDKS for way, count in ways.items()}
    for kind in SDKS:
        assert f"{kind:<11} each of the three sandboxes sees its own files" in done.stdout


def install(folder, node, *arguments, **environment):
    """Runs tests/sdk/install with an empty cache, and with a "node" that reports NODE as its version."""
    os.makedirs(f"{folder}/bin", exist_ok=True)
    for name, text in (("node", f"echo v{node}"), ("npm", "exit 0")):
        with open(f"{folder}/bin/{name}", "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(f"{folder}/bin/{name}", 0o755)
    env = {**os.environ, "WEFT_CACHE": f"{folder}/cache", "PATH": f"{folder}/bin:{os.environ['PATH']}", **environment}
    argv = [f"{SDK}/install", *arguments]
    return subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False)


def test_an_sdk_that_cannot_be_installed_is_a_failure_that_says_so(folder):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
    done = install(folder, "20.19.0", **nowhere)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "E2B's SDK for Python could not be installed" in done.stderr
    assert "package index" in done.stderr


@pytest.mark.parametrize(
    "node, lock", [("18.20.4", "node18"), ("20.10.0", "node18"), ("20.18.1", "node20"), ("21.7.3", "node18"), ("24.1.0", "node20")]
)
def test_the_newest_sdk_that_the_machines_node_runs_is_taken(folder, node, lock):
    assert install(folder, node, "--which").stdout.strip() == lock


def test_a_node_that_no_sdk_runs_with_is_a_failure_that_says_so(folder):
    done = install(folder, "16.20.0")
    assert done.returncode == 1
    assert "runs with no Node as old as 16.20.0" in done.stderr
