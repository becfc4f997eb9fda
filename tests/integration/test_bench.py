# SPDX-License-Identifier: GPL-2.0-or-later
"""tools/bench's reports: known figures, and the verdicts that must follow from them."""

import gc
import json
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench"))

# pylint: disable=wrong-import-position
import door_peers
import door_report
import fabric_report
import forwarder_report
import loopback_report
import pool_report
import report
import restart_report
import wake_report
from forwarder import LOADS
from measure import Processes, kernel_memory_kib, percentile, spread


def forwarder_goal(what, **medians):
    names = {"weft": "weft", "haproxy": "haproxy", "nginx": "nginx", "dnat": "kernel DNAT"}
    values = {names[name]: {what: [value]} for name, value in medians.items()}
    return forwarder_report.goals_of("tap", values)[0]


@pytest.mark.parametrize(
    "weft, dnat, ratio, reached",
    [
        (111, 200, 1.11, True),  # the kernel alone is far ahead, so the best peer counts
        (109, 200, 1.09, False),
        (96, 100, 0.96, True),  # the kernel is about as fast as that peer, so it counts
        (94, 100, 0.94, False),
    ],
)
def test_a_rate_is_held_to_the_best_peer_or_to_the_kernel(weft, dnat, ratio, reached):
    goal = forwarder_goal("down 8", weft=weft, haproxy=100, nginx=50, dnat=dnat)
    assert goal.seen == pytest.approx(ratio)
    assert goal.reached is reached


def test_a_cost_is_held_to_the_cheapest_peer():
    goal = forwarder_goal("cpu connections", weft=2, haproxy=3, nginx=2.5)
    assert (goal.seen, goal.wanted, goal.reached) == (1.25, 1.2, True)
    assert "nginx" in goal.against


def test_peers_inside_the_namespace_are_shown_and_do_not_decide():
    values = {name: {"down 8": [value]} for name, value in (("weft", 120.0), ("haproxy", 100.0), ("haproxy inside", 118.0))}
    decides = forwarder_report.goals_of("tap", values)
    beside = forwarder_report.beside_inside("tap", values)
    assert [(goal.seen, goal.reached) for goal in decides] == [(pytest.approx(1.2), True)]
    assert [(goal.seen, goal.reached) for goal in beside] == [(pytest.approx(120 / 118), False)]
    assert "haproxy inside" in forwarder_report.text_of("tap", values)


def test_what_could_not_be_measured_is_no_goal():
    assert not forwarder_report.goals_of("tap", {"weft": {"down 1": [1.0]}})
    assert not fabric_report.goals_of({}) and not door_report.goals_of({}) and not loopback_report.goals_of({})
    partly = {"scale": {"10 live": {"daemon MiB": [3.0]}}, "claim": {"weft": {"1 at once p99 ms": [2.0]}}}
    assert {goal.name: goal.reached for goal in fabric_report.goals_of(partly)} == {
        "claim from the pool, p99 ms, 1 at once": False,
        "daemon's memory, MiB, 10 live": True,
    }


def loopbacks(ratio=0.98, cpu=0.0, extra=90.0):
    """Three rounds, of which each is slower than the one before, for both alike."""
    kernel = {load.name: [1000.0, 500.0, 100.0] for load in LOADS}
    own = {what: [ratio * value for value in values] for what, values in kernel.items()}
    own |= {f"cpu {load.name}": [cpu * load.unit / rate for rate in own[load.name]] for load in LOADS}
    costs = {who: {f"connect ns, {place}": [200.0 + more, 250.0 + more] for place in ("loopback", "elsewhere")} for who, more in (("without", 0), ("with", extra))}
    forwarder = {"idle cpu": [0.002], **{load.name: [700.0, 350.0, 70.0] for load in LOADS}}
    return {"kernel DNAT": kernel, "weft, kernel": {**own, "entry gone ms": [1.0, 2.0]}, "weft": forwarder, **costs}


@pytest.mark.parametrize(
    "changes, missed",
    [
        ({}, 0),
        ({"ratio": 0.95}, 1),  # over all
        ({"ratio": 0.92}, 9),  # and in each column
        ({"cpu": 0.011}, 0),
        ({"cpu": 0.013}, 1),
        ({"extra": 151.0}, 2),
    ],
    ids=str,
)
def test_the_kernels_path_from_loopback_is_held_to_the_kernel_alone(changes, missed):
    values = loopbacks(**changes)
    goals = loopback_report.goals_of(values)
    assert len(goals) == 12 and sum(not goal.reached for goal in goals) == missed, goals
    assert loopback_report.ratios(values, "weft", "down 1") == pytest.approx([0.7] * 3)
    assert "0.70 (0.70-0.70)" in loopback_report.text_of(values)


def restarts(**changes):
    quiet = {
        **{"lost": [0, 0], "wrong": [0, 0], "silence_ms": [40.0, 50.0], "met_ms": [10.0, 60.0, 70.0], "took_ms": [45.0, 52.0]},
        **{"new_refused": [0, 0], "new_reset": [0, 0], "new_late": [0, 0], "new_p99_ms": [30.0, 40.0], "new_max_ms": [55.0, 60.0]},
    }
    return {**quiet, "processes": [1], **changes}


@pytest.mark.parametrize(
    "own, missed",
    [
        ({}, []),
        ({"lost": [0, 1]}, ["live connections lost", "connections touched"]),
        ({"wrong": [1, 0], "lost": [1, 0]}, ["live connections lost", "wrong bytes", "connections touched"]),
        ({"new_reset": [0, 1]}, ["new clients refused or reset"]),
        ({"met_ms": [10.0, 101.0]}, ["a client's gap, p99 ms"]),
        ({"new_max_ms": [55.0, 101.0]}, ["the longest wait of a new client, of the longest silence"]),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, dict) else "",
)
def test_a_restart_is_held_to_no_loss_and_a_short_gap(own, missed):
    values = {"restart": {restart_report.WEFT: restarts(**own), restart_report.RELOAD: restarts()}}
    goals = restart_report.goals_of(values)
    assert len(goals) == 6 and [goal.name for goal in goals if not goal.reached] == missed
    table = restart_report.text_of(values)
    assert restart_report.WEFT in table and restart_report.RELOAD in table
    assert [len(series) for _, series, _ in restart_report.panels_of(values)] == [2, 2]


def test_restarts_that_lost_all_have_no_gap_and_fail():
    lossy = restarts(lost=[500, 500], met_ms=[])
    del lossy["met_ms"]
    goals = restart_report.goals_of({"restart": {restart_report.WEFT: lossy}})
    assert {goal.name: goal.reached for goal in goals} == {
        **{"live connections lost": False, "wrong bytes": True, "new clients refused or reset": True},
    }
    assert restart_report.goals_of({}) == [] and restart_report.panels_of({}) == []
    assert " - " in restart_report.text_of({"restart": {restart_report.WEFT: lossy}})


def test_the_pool_is_held_to_its_own_times_and_to_those_of_e2b():
    values = {
        "pool": {
            pool_report.READY: {"claim p50 ms": [0.5, 0.7], "claim with a policy p50 ms": [2.5], "removal p50 ms": [8.0]},
            pool_report.COLD: {"claim p50 ms": [4.0], "removal p50 ms": [40.0]},
        },
        "theirs": {"one": {"create ms": [43, 49], "removal ms": [152, 314]}, "two": {"create ms": [24, 28], "removal ms": [72, 84]}},
    }
    assert [(goal.seen, goal.reached) for goal in pool_report.goals_of(values)] == [(0.6, True), (2.5, False), (6, True), (9, False)]
    text = pool_report.text_of(values)
    assert "72-84" in text and "152-314" in text and "  -\n" in text
    assert pool_report.panels_of(values) and pool_report.panels_of({}) == [] and pool_report.goals_of({}) == []


def doors(**changes):
    own = {"requests 16": [16000, 18000], "cpu requests 16": [3.0], "cpu requests 256": [3.0], "cpu down": [0.45], "idle user KiB": [3.0]}
    own |= {"held served": [200, 200], "held ms": [40.0, 60.0, 90.0]}
    go = {"requests 16": [4000], "cpu requests 16": [14.0], "cpu requests 256": [10.0], "idle user KiB": [24.0], "held served": [0]}
    ruled = {"cpu requests 16": [2.4], "cpu requests 256": [2.0], "cpu down": [0.4]}
    values = {door_peers.WeftDoor.name: {**own, **changes}, door_peers.GoProxy.name: go, door_peers.RuledMap.name: ruled}
    return {**values, door_peers.HaproxyMap.name: {"cpu down": [0.5]}}


@pytest.mark.parametrize(
    "changes, missed",
    [
        ({}, ["CPU, requests 256", "CPU, requests 256"]),  # 1.5 of the map's, 0.3 of the Go proxy's
        ({"cpu requests 256": [2.5], "held served": [200, 199]}, ["held clients served, the fewest"]),
        ({"cpu requests 256": [2.5], "held ms": [301.0]}, ["held, ms from listen()"]),
        ({"cpu requests 256": [2.5], "cpu down": [0.5]}, ["CPU, down"]),
        ({"cpu requests 256": [2.5], "idle user KiB": [9.0]}, ["memory of an idle client"]),
        ({"cpu requests 256": [2.5], "requests 16": [15000]}, ["requests 16"]),
    ],
    ids=str,
)
def test_the_door_is_held_to_a_map_and_to_a_proxy_in_go(changes, missed):
    values = doors(**changes)
    assert [goal.name for goal in door_report.goals_of(values) if not goal.reached] == missed
    assert [goal.name for goal in door_report.beside_bare(values)] == ["CPU, down"]
    text = door_report.text_of(values)
    assert door_peers.GoProxy.name in text and "HAProxy" in door_report.TOLD
    assert [len(rows) for _, _, rows in door_report.panels_of(values)] == [1, 3] and door_report.panels_of({}) == []


def sleeps(**changes):
    """{group: {subject: {figure: [values]}}}; CHANGES are of the figures of each group's last subject, with "_" for a blank."""
    values = {
        "served": {"TCP, remote": {"open ms": [1.0, 2.0], "closed ms": [2.0, 3.0]}, "UDP, remote": {"open ms": [1.0], "closed ms": [4.0, 40.0, 3.0]}},
        "first packet": {"TCP, remote": {"event ms": [2.0], "request ms": [3.0]}},
        "silence": {"without these rules, remote": {"10 s: back s": [14.5]}, "kernel path, remote": {"10 s: back s": [1.3], "10 s: timer s": [1.6]}},
        "many": {"10 asleep": {"pause ms": [0.5], "resume ms": [0.6], "host rules": [50]}, "4000 asleep": {"pause ms": [0.6], "resume ms": [0.7], "host rules": [50]}},
        "flood": {"10 asleep": {"events": [1], "more memory KiB": [90]}},
    }
    for group, figures in changes.items():
        list(values[group].values())[-1].update({name.replace("_", " "): figure for name, figure in figures.items()})
    return values


@pytest.mark.parametrize(
    "changes, missed",
    [
        ({}, []),
        ({"served": {"closed_ms": [6.0, 7.0]}}, ["served, p50 ms, the slowest way"]),
        ({"served": {"closed_ms": [1.0, 2.0, 51.0]}}, ["served, p99 ms, all ways"]),
        ({"served": {"lost": [1]}}, ["datagrams lost"]),
        ({"silence": {"10_s: back s": [14.0]}}, ["data back on the kernel path, s"]),
        ({"many": {"resume_ms": [1.3]}}, ["resume beside 4000 asleep, of that beside few"]),
        ({"many": {"host_rules": [4050]}}, ["different numbers of host rules"]),
        ({"flood": {"events": [2]}}, ["events of a flood, 10 asleep"]),
        ({"flood": {"more_memory KiB": [5000]}}, ["memory of a flood, 10 asleep, KiB"]),
    ],
    ids=str,
)
def test_sleeps_are_held_to_a_prompt_wake_and_a_flood_to_one(changes, missed):
    values = sleeps(**changes)
    assert [goal.name for goal in wake_report.goals_of(values) if not goal.reached] == missed
    text = wake_report.text_of(values)
    assert "without these rules" in text and "4000 asleep" in text
    assert [len(rows) for _, _, rows in wake_report.panels_of(values)] == [2, 2]
    assert wake_report.goals_of({}) == [] and wake_report.panels_of({}) == [] and wake_report.text_of({})


def test_percentiles_and_spread():
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([7], 0.99) == 7
    assert spread([8, 10, 12]) == pytest.approx(0.4)


def test_a_process_is_charged_what_it_used():
    own = Processes([os.getpid()])
    before = own.cpu_seconds()
    while own.cpu_seconds() < before + 0.05:
        sum(range(10000))
    assert own.memory_kib() > 1000
    gc.collect()  # descriptors that other tests left open must not close meanwhile
    read_end, write_end = os.pipe()
    count, pipes = own.descriptors()
    os.close(read_end)
    os.close(write_end)
    assert own.descriptors() == (count - 2, pipes - 2)
    assert kernel_memory_kib() > 1000


def test_results_are_written_as_json(folder):
    goal = report.Goal("speed", 1.2, 1.1, "more")
    path = os.path.join(folder, "x.json")
    report.write_json(path, {"tap": {"weft": {"down 1": [1.0, 3.0, 2.0]}}}, [goal], {"cores": 2})
    with open(path, encoding="utf-8") as file:
        written = json.load(file)
    assert written["results"]["tap"]["weft"]["down 1"] == {"median": 2.0, "spread": 1.0, "values": [1.0, 3.0, 2.0]}
    assert written["goals"][0]["reached"] is True
    assert "1 of 1 goals reached" in report.goals_table([goal])
