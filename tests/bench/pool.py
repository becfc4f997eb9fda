# SPDX-License-Identifier: GPL-2.0-or-later
"""The pool of E2B's orchestrator over weft (integrations/e2b): what its calls cost, from a pool of weft's and without."""

import json
import os
from dataclasses import dataclass

from harness.daemon import build_dir

from results import Results
from topology import Bench

POOL = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "integrations", "e2b")
PROGRAM = "e2b-pool"  # which tools/bench builds

# E2B's own pools on a machine of this kind, read off earlier runs of their code: [fastest, slowest] median, ms.
THEIRS = {
    "E2B, NETWORK_VERSION=1": {"create ms": [43, 49], "removal ms": [152, 314]},
    "E2B, NETWORK_VERSION=2": {"create ms": [25, 28], "removal ms": [72, 84]},
}


@dataclass(frozen=True)
class Plan:
    """Amounts and repetitions."""

    rounds: int
    claims: int

    @classmethod
    def full(cls):
        return cls(rounds=5, claims=128)

    @classmethod
    def quick(cls):
        return cls(rounds=1, claims=64)


def config(size):
    """The sample configuration with a pool of SIZE."""
    with open(os.path.join(POOL, "weftd.conf"), encoding="utf-8") as file:
        text = file.read()
    return text.replace("size = 64\n", f"size = {size}\nquarantine = 100ms\n") + "[forwarder]\ndefault_listen =\n"


def measure(bench, who, claims, results):
    done = bench.host.run([os.path.join(build_dir(), PROGRAM), claims], env={**os.environ, "WEFT_SOCKET": bench.weftd.socket}, timeout=120)
    for what, value in json.loads(done.stdout).items():
        results.add("pool", who, f"{what} ms", value)


def run(plan, say):
    """Runs all measurements: {"pool": {whose: {figure: [values]}}}."""
    results = Results()
    benches = {}
    try:
        for who, size in (("weft, a pool of its own", plan.claims), ("weft, none ready", 0)):
            benches[who] = Bench(config(size))
        for number in range(plan.rounds):
            say(f"  round {number + 1} of {plan.rounds}")
            for who, bench in benches.items():
                measure(bench, who, plan.claims, results)
    finally:
        for bench in benches.values():
            bench.close()
    for who, figures in THEIRS.items():
        for what, values in figures.items():
            for value in values:
                results.add("theirs", who, what, value)
    return results
