# SPDX-License-Identifier: GPL-2.0-or-later
"""The forwarder's results as a table, goals and a picture."""

from forwarder import LOADS
from measure import median, spread
from peers import INSIDE, MOVABLE, PEERS, Weft, WeftKernel, KernelDnat
from report import Goal, figure, table

_DNAT = KernelDnat.name
_PEERS = tuple(peer.name for peer in PEERS)
_INSIDE = tuple(peer.name + INSIDE for peer in MOVABLE)
_ORDER = (Weft.name, WeftKernel.name, *_PEERS, _DNAT, *_INSIDE)

# The loads whose processor time is compared. Where one connection is served at a time, wake-ups make up all of the cost.
_COSTS = ("down 1", "down 8", "up 1", "up 8", "requests 16", "requests 256", "connections")

PATHS = f"""The peers dial the sandbox's host address, through the veth and the kernel's DNAT; those that end in "{INSIDE.strip()}"
open their guest side inside the sandbox's namespace, as weft does. Goals are held to the first, and shown for the second."""


def _medians(values, what):
    return {name: median(seen[what]) for name, seen in values.items() if seen.get(what)}


def _best(medians, better, peers):
    among = {name: value for name, value in medians.items() if name in peers}
    if not among:
        return None, None
    name = (max if better == "more" else min)(among, key=among.get)
    return name, among[name]


def _rate_goal(kind, what, values, peers):
    """1.1 of the best peer's rate; if the kernel alone is within 1.15 of that peer, 0.95 of the kernel's."""
    medians = _medians(values, what)
    peer, best = _best(medians, "more", peers)
    if peer is None or Weft.name not in medians:
        return None
    own, limit = medians[Weft.name], medians.get(_DNAT)
    if limit and limit < 1.15 * best:
        text = f"of {_DNAT}: {figure(own)} / {figure(limit)}; {peer} {figure(best)}"
        return Goal(f"{kind}: {what}", own / limit, 0.95, "more", text)
    return Goal(f"{kind}: {what}", own / best, 1.1, "more", f"of {peer}: {figure(own)} / {figure(best)}")


def _cost_goal(kind, what, values, peers):
    medians = _medians(values, f"cpu {what}")
    peer, best = _best(medians, "less", peers)
    if peer is None or not medians.get(Weft.name):
        return None
    own = medians[Weft.name]
    return Goal(f"{kind}: CPU, {what}", best / own, 1.2, "more", f"of {peer}: {figure(best)} / {figure(own)}")


def _relative_goals(kind, values, peers):
    found = [_rate_goal(kind, load.name, values, peers) for load in LOADS]
    return found + [_cost_goal(kind, what, values, peers) for what in _COSTS]


def beside_inside(kind, values):
    """The same comparisons with the peers that open their guest side in the namespace."""
    return [goal for goal in _relative_goals(kind, values, _INSIDE) if goal]


def goals_of(kind, values):
    """The goals for guests of KIND, of the loads that could be measured."""
    found = _relative_goals(kind, values, _PEERS)
    own = values.get(Weft.name, {})
    for what in ("down 1", "up 1"):
        medians = _medians(values, what)
        if Weft.name in medians and _DNAT in medians:
            text = f"{figure(medians[Weft.name])} / {figure(medians[_DNAT])}"
            found.append(Goal(f"{kind}: {what}, of {_DNAT}", medians[Weft.name] / medians[_DNAT], 0.9, "more", text))
    absolute = (("held ms", 100), ("idle KiB", 7.5), ("idle descriptors", 2), ("idle pipes", 0))
    for what, most in absolute:
        if own.get(what):
            text = ", ".join(f"{name} {figure(value)}" for name, value in _medians(values, what).items() if name in _PEERS)
            # Half a descriptor of a hundred connections belongs to the daemon, not to a connection.
            slack = 0.01 if what == "idle descriptors" else 0
            found.append(Goal(f"{kind}: {what}", median(own[what]) - slack, most, "less", text))
    return [goal for goal in found if goal]


def _cells(values, whats, scale):
    rows = []
    for name in _ORDER:
        if not any(values.get(name, {}).get(what) for what in whats):
            continue
        cells = [name]
        for what in whats:
            seen = values.get(name, {}).get(what)
            cells.append(f"{figure(median(seen) / scale)} \u00b1{50 * spread(seen):.0f}%" if seen else "-")
        rows.append(cells)
    return rows


def text_of(kind, values):
    """The figures of one kind of guest: medians, and half the distance between the extremes."""
    streams = [load.name for load in LOADS if load.unit == 1e9]
    others = [load.name for load in LOADS if load.unit != 1e9]
    costs = [f"cpu {load.name}" for load in LOADS]
    parts = [
        f"behind a {kind}: GB/s by streams",
        table([["", *streams], *_cells(values, streams, 1e9)]),
        "requests/s on kept connections, and new connections/s, by how many at once",
        table([["", *others], *_cells(values, others, 1)]),
    ]
    for load in LOADS:
        if load.mode == "requests":
            latencies = [f"{load.name} {name}" for name in ("p500_us", "p990_us", "p999_us")]
            rows = [["", "p50 us", "p99 us", "p99.9 us"], *_cells(values, latencies, 1)]
            parts += [f"latency of a request, {load.at_once} at once", table(rows)]
    parts += [
        "the forwarder's own processor time, seconds a GB, a 100,000 requests, a 100,000 connections",
        table([["", *(cost[4:] for cost in costs)], *_cells(values, costs, 1)]),
    ]
    idle = ["idle user KiB", "idle kernel KiB", "idle KiB", "idle descriptors", "idle pipes", "held ms"]
    if values.get(Weft.name, {}).get("idle KiB"):
        rows = [["", "user KiB", "kernel KiB", "all KiB", "descriptors", "pipes", "held ms"], *_cells(values, idle, 1)]
        bare = values.get("two bare sockets", {}).get("idle kernel KiB")
        rows += [["two bare sockets", "-", figure(median(bare)), *["-"] * 4]] if bare else []
        parts += ["an idle connection; and from the guest's listen() to the first byte of a client that waits", table(rows)]
    return "\n\n".join(parts)


def panels_of(kind, values):
    """Two panels with weft as 1: in the first more is better, in the second less."""
    made = []
    for title, whats in (
        (f"behind a {kind}: rate, weft = 1 (more is better)", [load.name for load in LOADS]),
        (f"behind a {kind}: processor time, weft = 1 (less is better)", [f"cpu {what}" for what in _COSTS]),
    ):
        medians = {what: _medians(values, what) for what in whats}
        whats = [what for what in whats if medians[what].get(Weft.name)]
        series = [name for name in _ORDER if any(name in medians[what] for what in whats)]
        rows = []
        for what in whats:
            own = medians[what][Weft.name]
            # A bar beyond 4 would hide the others.
            shares = [min(medians[what][name] / own, 4) if name in medians[what] else None for name in series]
            rows.append((what.removeprefix("cpu "), shares))
        if rows:
            made.append((title, series, rows))
    return made
