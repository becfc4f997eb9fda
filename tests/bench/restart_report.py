# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of restarts as a table, goals and a picture."""

from measure import percentile
from report import Goal, figure, table

WEFT, RELOAD = "weft, restart", "haproxy, reload"
GAP_MS = 100  # wanted of 99 of 100 requests that met a restart

LEGEND = """live: connections that were open; lost, or a wrong byte, of all times that one was under a restart. Silence: the longest time of a restart in which no
connection got an answer. Wait: of a request that was under way at its end. New: clients that came meanwhile; late: after more than a second.
Took: until the forwarder listened again. Processes: at the end, with former ones that still serve."""


def touched(seen):
    """Connections that were lost."""
    return sum(seen["lost"])


def _ms(values, share):
    return figure(percentile(values, share)) if values else "-"


def text_of(values):
    head = ["", "lost", "wrong", "silence p50", "p99 ms", "wait p50", "p99", "max ms", "new refused", "reset", "late", "p99", "max ms", "took p50 ms", "processes"]
    rows = [head]
    for name, seen in values.get("restart", {}).items():
        waits = seen.get("met_ms", [])
        rows.append(
            [
                name,
                *(f"{sum(seen[what]):.0f}" for what in ("lost", "wrong")),
                *(_ms(seen["silence_ms"], share) for share in (0.5, 0.99)),
                *(_ms(waits, share) for share in (0.5, 0.99, 1)),
                *(f"{sum(seen[what]):.0f}" for what in ("new_refused", "new_reset", "new_late")),
                _ms(seen["new_p99_ms"], 0.5),
                _ms(seen["new_max_ms"], 1),
                _ms(seen["took_ms"], 0.5),
                figure(seen.get("processes", [0])[-1]),
            ]
        )
    return f"restart\n{table(rows)}\n\n{LEGEND}"


def goals_of(values):
    seen = values.get("restart", {})
    own, reload_ = seen.get(WEFT), seen.get(RELOAD)
    if not own:
        return []
    goals = [
        Goal("live connections lost", touched(own), 0, "less"),
        Goal("wrong bytes", sum(own["wrong"]), 0, "less"),
        Goal("new clients refused or reset", sum(own["new_refused"]) + sum(own["new_reset"]), 0, "less"),
    ]
    if own.get("met_ms"):
        gap = percentile(own["met_ms"], 0.99)
        goals.append(Goal("a client's gap, p99 ms", gap, GAP_MS, "less", f"of {len(own['met_ms'])} requests that met a restart"))
        # A new one waits for the same daemon, and connects and has its answer besides.
        goals.append(
            Goal("the longest wait of a new client, of the longest silence", max(own["new_max_ms"]) / max(own["silence_ms"]), 2, "less")
        )
    if reload_:
        goals.append(Goal("connections touched", touched(own), touched(reload_) / 10, "less", f"a tenth of {RELOAD}: {touched(reload_):.0f}"))
    return goals


def panels_of(values):
    seen = values.get("restart", {})
    names = list(seen)
    if not names:
        return []
    lost = ("live connections lost, in all restarts", names, [("lost", [sum(seen[name]["lost"]) for name in names])])
    rows = [
        (f"wait p{share * 100:.0f}", [percentile(seen[name]["met_ms"], share) if seen[name].get("met_ms") else None for name in names])
        for share in (0.5, 0.99)
    ]
    rows.append(("new, longest", [max(seen[name]["new_max_ms"]) for name in names]))
    return [lost, ("milliseconds that clients waited", names, rows)]
