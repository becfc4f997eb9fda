# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the benchmarks. tools/bench starts it, after it has built and installed everything needed."""

import argparse
import dataclasses
import os
import signal
import sys
import time

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [_HERE, os.path.join(os.path.dirname(_HERE), "integration")]

# pylint: disable=wrong-import-position
import door
import door_report
import fabric
import fabric_report
import forwarder
import forwarder_report
import loopback
import loopback_report
import pool
import pool_report
import report
import restart
import restart_report
import wake
import wake_report

_STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - _STARTED:4.0f} s] {text}", flush=True)


def run_forwarder(options):
    plan = forwarder.Plan.quick() if options.quick else forwarder.Plan.full()
    results, notes = forwarder.run(plan, say)
    goals, inside, parts, panels = [], [], [], []
    for kind, values in results.values.items():
        if kind == loopback.KIND:
            goals += loopback_report.goals_of(values)
            parts.append(loopback_report.text_of(values))
            continue
        goals += forwarder_report.goals_of(kind, values)
        inside += forwarder_report.beside_inside(kind, values)
        parts.append(forwarder_report.text_of(kind, values))
        panels += forwarder_report.panels_of(kind, values)
    parts.append("\n".join([forwarder_report.PATHS, *(f"{name}: {note}" for name, note in notes.items())]))
    parts.append("beside peers in the namespace\n" + report.goals_table(inside))
    return results, goals, parts, panels, {"notes": notes, "beside_inside": report.as_dicts(inside)}


def run_fabric(options):
    plan = fabric.Plan.quick() if options.quick else fabric.Plan.full()
    results = fabric.run(plan, say)
    goals = fabric_report.goals_of(results.values)
    return results, goals, [fabric_report.text_of(results.values)], fabric_report.panels_of(results.values), {}


def run_restart(options):
    plan = restart.Plan.quick() if options.quick else restart.Plan.full()
    if options.connections:
        plan = dataclasses.replace(plan, connections=options.connections)
    results = restart.run(plan, say)
    goals = restart_report.goals_of(results.values)
    return results, goals, [restart_report.text_of(results.values)], restart_report.panels_of(results.values), {"plan": dataclasses.asdict(plan)}


def run_pool(options):
    plan = pool.Plan.quick() if options.quick else pool.Plan.full()
    results = pool.run(plan, say)
    return results, pool_report.goals_of(results.values), [pool_report.text_of(results.values)], pool_report.panels_of(results.values), {}


def run_door(options):
    plan = door.Plan.quick() if options.quick else door.Plan.full()
    results, notes = door.run(plan, say)
    values = results.values[door.KIND]
    beside = door_report.beside_bare(values)
    parts = [door_report.text_of(values), "\n".join(f"{name}: {note}" for name, note in notes.items())]
    parts.append("beside a map alone\n" + report.goals_table(beside))
    more = {"notes": notes, "beside_bare": report.as_dicts(beside)}
    return results, door_report.goals_of(values), parts, door_report.panels_of(values), more


def run_wake(options):
    plan = wake.Plan.quick() if options.quick else wake.Plan.long() if options.long else wake.Plan.full()
    results = wake.run(plan, say)
    values = results.values
    return results, wake_report.goals_of(values), [wake_report.text_of(values)], wake_report.panels_of(values), {"plan": dataclasses.asdict(plan)}


def finish(name, options, about, outcome):
    results, goals, parts, panels, more = outcome
    if results.failures:
        parts.append("not measured:\n" + "\n".join(f"  {failure}" for failure in results.failures))
    parts.append(report.goals_table(goals))
    text = "\n\n".join(parts)
    print(f"\n{text}\n")
    os.makedirs(options.out, exist_ok=True)
    base = os.path.join(options.out, name)
    with open(f"{base}.txt", "w", encoding="utf-8") as file:
        file.write(text + "\n")
    report.write_json(f"{base}.json", results.values, goals, about, quick=options.quick, failures=results.failures, **more)
    report.plot(f"{base}.png", panels, f"weft: {name}, {about['cores']} cores, Linux {about['kernel']}")
    say(f"written: {base}.txt, {base}.json, {base}.png")


def main():
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measures weft beside its peers.")
    parser.add_argument("what", nargs="?", choices=("forwarder", "fabric", "restart", "pool", "door", "wake", "all"), default="all")
    parser.add_argument("--quick", action="store_true", help="a minute or two for each, enough to see large changes")
    parser.add_argument("--long", action="store_true", help="wake: more sleeps, and a silence of five minutes")
    parser.add_argument("--connections", type=int, help="how many stay over a restart, instead of 5,000 or, with --quick, 500")
    parser.add_argument("--out", default="bench-results", help="folder for the text, the JSON and the picture")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # so that teardown runs
    about = report.machine()
    if options.what in ("forwarder", "all"):
        finish("forwarder", options, about, run_forwarder(options))
    if options.what in ("fabric", "all"):
        finish("fabric", options, about, run_fabric(options))
    if options.what in ("restart", "all"):
        finish("restart", options, about, run_restart(options))
    if options.what in ("pool", "all"):
        finish("pool", options, about, run_pool(options))
    if options.what in ("door", "all"):
        finish("door", options, about, run_door(options))
    if options.what in ("wake", "all"):
        finish("wake", options, about, run_wake(options))


if __name__ == "__main__":
    main()
