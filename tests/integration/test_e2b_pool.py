# SPDX-License-Identifier: GPL-2.0-or-later
"""integrations/e2b against a real weftd: the pool of E2B's orchestrator, compiled with stand-ins for E2B's own modules."""

import os
import subprocess

import pytest

from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POOL = os.path.join(TOP, "integrations", "e2b")

# Go may fetch nothing: the modules need none but the standard library.
GO = {"GOPROXY": "off", "GOFLAGS": "-buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}

pytestmark = pytest.mark.xdist_group("go")  # one build for all of them


@pytest.fixture(scope="module", name="programs")
def compiled(tmp_path_factory):
    """The folder of the compiled tests: e2b and infra."""
    folder = tmp_path_factory.mktemp("go")
    for name, module in (("e2b", POOL), ("infra", os.path.join(POOL, "infra"))):
        subprocess.run(["go", "test", "-c", "-o", str(folder / name), "."], cwd=module, env={**os.environ, **GO}, check=True, timeout=300)
    return folder


def sample_config(**pool):
    """integrations/e2b/weftd.conf, with a pool of the test's own."""
    with open(os.path.join(POOL, "weftd.conf"), encoding="utf-8") as file:
        text = file.read()
    assert "size = 64\n" in text
    return text.replace("size = 64\n", "".join(f"{key} = {value}\n" for key, value in pool.items()))


def ran(done):
    assert done.returncode == 0 and "--- PASS" in done.stdout, done.stdout + done.stderr
    assert "--- SKIP" not in done.stdout, done.stdout


def test_the_pool_with_its_sample_configuration(host, weftd, programs):
    """All of infra's tests but those that need no weftd, which run with it."""
    daemon = weftd(config=sample_config(size=4, quarantine="100ms"))
    env = {**os.environ, "WEFT_SOCKET": daemon.socket}
    ran(host.run([programs / "infra", "-test.v", "-test.run", "Weftd"], env=env, check=False, timeout=2 * PATIENCE))
    assert daemon.api.list() == []


def test_claims_outlive_restarts(host, weftd, programs, folder):
    daemon = weftd(config=sample_config(size=4, quarantine="100ms"))
    stop = os.path.join(folder, "stop")
    env = {**os.environ, "WEFT_SOCKET": daemon.socket, "WEFT_STOP": stop}
    argv = [programs / "e2b", "-test.v", "-test.run", "TestClaimsOutliveRestarts"]
    running = host.popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for end in (daemon.kill, daemon.stop, daemon.kill):
            poll_until(daemon.api.list)
            end()
            daemon.start()
        with open(stop, "w", encoding="utf-8"):
            pass
        output, _ = running.communicate(timeout=2 * PATIENCE)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0, output
    assert daemon.api.list() == []


def test_slots_whose_vm_died_or_was_forgotten_are_returned(host, weftd, programs):
    daemon = weftd(config=sample_config(size=2, quarantine="100ms"))
    env = {**os.environ, "WEFT_SOCKET": daemon.socket, "WEFT_VM": os.path.join(build_dir(), "tests/guest/standin")}
    ran(host.run([programs / "e2b", "-test.v", "-test.run", "TestASlotWhoseVMDied"], env=env, check=False, timeout=2 * PATIENCE))
    assert daemon.api.list() == []


def test_a_weftd_with_another_configuration_is_named_line_by_line(host, weftd, programs):
    daemon = weftd()
    env = {**os.environ, "WEFT_SOCKET": daemon.socket}
    done = host.run([programs / "infra", "-test.run", "TestWeftdHasASlot"], env=env, check=False, timeout=2 * PATIENCE)
    assert done.returncode == 1
    for line in ("[egress] redirect = *:5018", "[egress] allow_host = 192.0.2.1:2049=5011"):
        assert line in done.stdout, done.stdout
