# SPDX-License-Identifier: GPL-2.0-or-later
"""The front door's results as tables, goals and a picture."""

from door import LOADS
from door_peers import PEERS, GoProxy, HaproxyMap, NoProxy, RuledMap, WeftDoor
from measure import median, percentile, spread
from report import Goal, figure, table

_OWN, _MAP, _BARE, _GO = WeftDoor.name, RuledMap.name, HaproxyMap.name, GoProxy.name
_ORDER = (NoProxy.name, _OWN, *(peer.name for peer in PEERS))
_COSTS = tuple(load.name for load in LOADS if load.name != "requests 1")  # one at a time, wake-ups make up all of the cost
_PAUSE_MS = 200  # between attempts of weft's dial, while more than 32 wait for one guest

TOLD = f"""The goals compare with "{_MAP}": the door's own file for HAProxy, with a map on the kernel path in place of weftd. "{_BARE}" has the
map alone, as an operator would write it: none of the rules that E2B's answers need, and `option splice-auto`."""


def _middle(values, who, what):
    return median(values.get(who, {}).get(what) or [])


def _ratio(values, what, against, wanted, better, name):
    own, other = _middle(values, _OWN, what), _middle(values, against, what)
    if not own or not other:
        return None
    return Goal(name, own / other, wanted, better, f"of {against}: {figure(own)} / {figure(other)}")


def goals_of(values):
    """The goals, of what could be measured."""
    found = []
    for what in ("requests 16", "requests 256"):
        found.append(_ratio(values, f"cpu {what}", _MAP, 1.4, "less", f"CPU, {what}"))
        found.append(_ratio(values, f"cpu {what}", _GO, 0.25, "less", f"CPU, {what}"))
        found.append(_ratio(values, what, _GO, 4, "more", what))
    for what in ("down", "up"):
        found.append(_ratio(values, f"cpu {what}", _MAP, 1.2, "less", f"CPU, {what}"))
    found.append(_ratio(values, "idle user KiB", _GO, 1 / 3, "less", "memory of an idle client"))
    served, waits = values.get(_OWN, {}).get("held served"), values.get(_OWN, {}).get("held ms")
    if served:
        found.append(Goal("held clients served, the fewest", min(served), 200, "more"))
    if waits:
        found.append(Goal("held, ms from listen()", median(waits), 1.5 * _PAUSE_MS, "less", f"last {figure(max(waits))}"))
    return [goal for goal in found if goal]


def beside_bare(values):
    """The same comparison of costs with a map alone; none of it is a goal."""
    found = [_ratio(values, f"cpu {what}", _BARE, 1.2 if what in ("down", "up") else 1.4, "less", f"CPU, {what}") for what in _COSTS]
    return [goal for goal in found if goal]


def _rows(values, whats, scale=1.0):
    rows = []
    for name in _ORDER:
        seen = [values.get(name, {}).get(what) for what in whats]
        if any(seen):
            rows.append([name, *(f"{figure(median(one) / scale)} \u00b1{50 * spread(one):.0f}%" if one else "-" for one in seen)])
    return rows


def _held_rows(values):
    rows = []
    for name in _ORDER:
        seen = values.get(name, {})
        if seen.get("held served"):
            waits = seen.get("held ms")
            cells = [figure(median(waits)), figure(percentile(waits, 0.99)), figure(max(waits))] if waits else ["-"] * 3
            rows.append([name, figure(min(seen["held served"])), *cells])
    return rows


def text_of(values):
    """All figures: medians, and half the distance between the extremes."""
    streams = [load.name for load in LOADS if load.unit == 1e9]
    others = [load.name for load in LOADS if load.unit != 1e9]
    latencies = [f"{load} {name}" for load in ("requests 1", "requests 16") for name in ("p500_us", "p990_us")]
    return "\n\n".join(
        [
            "requests/s on kept connections, and connections/s with one request each, by how many at once",
            table([["", *others], *_rows(values, others)]),
            "latency of a request, us",
            table([["", "1: p50", "p99", "16: p50", "p99"], *_rows(values, latencies)]),
            "GB/s of one request's body",
            table([["", *streams], *_rows(values, streams, 1e9)]),
            "processor time of all of a door's processes, seconds a 100,000 requests, a 100,000 connections, a GB",
            table([["", *_COSTS], *_rows(values, [f"cpu {what}" for what in _COSTS])]),
            "an idle client that had one answer",
            table(
                [
                    ["", "user KiB", "kernel KiB", "descriptors"],
                    *_rows(values, ["idle user KiB", "idle kernel KiB", "idle descriptors"]),
                ]
            ),
            "clients that come before the guest listens: served, and ms from listen() to the first byte",
            table([["", "served", "p50", "p99", "last"], *_held_rows(values)]),
            TOLD,
        ]
    )


def panels_of(values):
    """Two panels with weft as 1: in the first more is better, in the second less."""
    made = []
    for title, whats in (
        ("the front door: rate, weft = 1 (more is better)", [load.name for load in LOADS]),
        ("the front door: processor time, weft = 1 (less is better)", [f"cpu {what}" for what in _COSTS]),
    ):
        whats = [what for what in whats if _middle(values, _OWN, what)]
        series = [name for name in _ORDER if any(_middle(values, name, what) for what in whats)]
        rows = []
        for what in whats:
            own = _middle(values, _OWN, what)
            seen = [_middle(values, name, what) for name in series]
            # A bar beyond 6 would hide the others.
            rows.append((what.removeprefix("cpu "), [min(one / own, 6) if one else None for one in seen]))
        if rows:
            made.append((title, series, rows))
    return made
