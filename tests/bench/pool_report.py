# SPDX-License-Identifier: GPL-2.0-or-later
"""The pool's results as tables, goals and a picture."""

from measure import median
from report import Goal, figure, table

READY, COLD = "weft, a pool of its own", "weft, none ready"


def _seen(values, who, what, group="pool"):
    found = values.get(group, {}).get(who, {}).get(what)
    return median(found) if found else None


def _times(name, own, theirs, wanted):
    """How many times as quick as the quickest of E2B's own pools, as it was read."""
    if not own or not theirs:
        return None
    return Goal(name, theirs / own, wanted, "more", f"{figure(theirs)} / {figure(own)} ms")


def _quickest(values, what):
    found = [min(figures[what]) for figures in values.get("theirs", {}).values() if figures.get(what)]
    return min(found) if found else None


def goals_of(values):
    goals = []
    for name, what, wanted in (
        ("claim, p50 ms", "claim p50 ms", 1),
        ("claim with a policy, p50 ms", "claim with a policy p50 ms", 2),
    ):
        if (seen := _seen(values, READY, what)) is not None:
            goals.append(Goal(name, seen, wanted, "less"))
    goals.append(_times("a slot that is not ready, times as quick", _seen(values, COLD, "claim p50 ms"), _quickest(values, "create ms"), 5))
    goals.append(_times("removal, times as quick", _seen(values, READY, "removal p50 ms"), _quickest(values, "removal ms"), 10))
    return [goal for goal in goals if goal]


def text_of(values):
    group = values.get("pool", {})
    whats = sorted({what for seen in group.values() for what in seen})
    rows = [["", *group]]
    for what in whats:
        rows.append([what, *(figure(_seen(values, who, what)) for who in group)])
    parts = ["the pool of E2B's orchestrator over weft, called by its interface", table(rows)]
    rows = [["", "create ms", "removal ms"]]
    for who, figures in values.get("theirs", {}).items():
        rows.append([who, *(f"{min(figures[what])}-{max(figures[what])}" for what in ("create ms", "removal ms"))])
    return "\n\n".join([*parts, "E2B's own pools, as read in earlier runs of its code (not measured now)", table(rows)])


def panels_of(values):
    whats = ("claim p50 ms", "claim with a policy p50 ms", "change of policy p50 ms", "removal p50 ms")
    rows = [(what, [_seen(values, who, what) for who in (READY, COLD)]) for what in whats]
    if not any(value for _, row in rows for value in row):
        return []
    return [("calls of the pool, ms (less is better)", [READY, COLD], rows)]
