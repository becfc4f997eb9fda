# SPDX-License-Identifier: GPL-2.0-or-later
"""Every program that installs packages refuses a wrong option before it installs, builds or asks for anything."""

import os
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = sorted(name for name in os.listdir(f"{TOP}/tools") if os.access(f"{TOP}/tools/{name}", os.X_OK))
BEHIND = ["tests/guest/vm/make-image", "tests/sdk/install"]  # what these run

PYTEST = [
    "--nonsense=1",
    "-z",
    "-",
    "restart",
    "-k",
    "-k --verbose",
    "-n few",
    "-nfew",
    "--maxfail",
    "--maxfail=few",
    "--timeout=soon",
    "--durations-min=1.2.3",
    "--tb=tall",
    "--color=blue",
    "--dist anyhow",
    "--log-nonsense=1",
    "--log-level=loud",
    "--strict-nonsense",
    "-o one",
    "-W nonsense",
    "-c /nosuch/pytest.ini",
    "-x --nonsense",
    "--verbose tests",
]
WRONG = {
    "acceptance": ["--calls --nonsense", "--record calls", *PYTEST],
    "bench": ["forwarder fabric", "--out", "--out --quick", "--out=", "--quick=yes", "everything", "--quick nonsense"],
    "quickstart": ["--accel", "--accel fast", "--accel=tcg", "--inside", "--inside /nosuch", "--host now", "--door now"],
    "test": ["--long --nonsense", "-x --long", *PYTEST],
    "tests/guest/vm/make-image": ["--agent --job", "--job x", "agent"],
    "tests/sdk/install": ["--which node18", "python"],
}


def cases():
    for tool in TOOLS + BEHIND:
        for arguments in ["--nonsense", *WRONG[tool]]:  # a new tool needs a line above
            yield tool, arguments


@pytest.fixture
def run(folder):
    """run(tool, arguments): the tool on a machine where each step but the first look at its arguments is noted in `steps`."""
    os.mkdir(f"{folder}/bin")
    for name in "apt-get apt-cache dpkg-query make pip npm node unshare mount".split():
        with open(f"{folder}/bin/{name}", "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\necho {name} "$@" >>{folder}/steps\nexit 1\n')
        os.chmod(f"{folder}/bin/{name}", 0o755)
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "WEFT_CACHE": f"{folder}/cache"}

    def run(tool, arguments):
        path = f"{TOP}/{tool if '/' in tool else f'tools/{tool}'}"
        return subprocess.run([path, *arguments], env=env, capture_output=True, text=True, timeout=600, check=False)

    run.noted = lambda: [name for name in ("steps", "cache") if os.path.exists(f"{folder}/{name}")]
    return run


def test_a_wrong_option_is_refused_before_anything_is_done(run):
    for tool, arguments in cases():
        done = run(tool, arguments.split())
        told = f"{tool} {arguments}: {done}"
        assert done.returncode == 2, told
        assert done.stdout == "", told  # the first step would be here
        assert os.path.basename(tool) in done.stderr.split("\n", 1)[1], told  # the usage
        assert run.noted() == [], told


@pytest.mark.parametrize("tool", TOOLS)
def test_help_does_nothing_else(run, tool):
    done = run(tool, ["--help"])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"sudo ./tools/{tool}" in done.stdout
    assert run.noted() == []


@pytest.mark.parametrize(
    "arguments",
    ["-k restart", "-xvs", "-n 2 --maxfail=1", "--timeout 5.5 -p no:randomly", "--tb=short -o timeout=5", "-k ''", "-- --nonsense"],
)
def test_options_of_pytest_are_taken(folder, arguments):
    """Up to the look at them: what follows is the real thing."""
    script = f'. "{TOP}/tools/lib.sh"; check_pytest_options {arguments}; echo taken'
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, cwd=folder, check=False)
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr
