# SPDX-License-Identifier: GPL-2.0-or-later
"""The fabric's results as tables, goals and a picture."""

from measure import median, spread
from report import Goal, figure, table

LIVE_FOR_COLD = 3000  # live sandboxes up to which the bound on a cold slot holds


def _seen(values, group, who, what):
    found = values.get(group, {}).get(who, {}).get(what)
    return median(found) if found else None


def _most(name, seen, wanted, against=""):
    return None if seen is None else Goal(name, seen, wanted, "less", against)


def _least(name, seen, wanted, against=""):
    return None if seen is None else Goal(name, seen, wanted, "more", against)


def _times(values, what, of):
    """(the script's time for OF over weft's for WHAT, the goal, the figures behind it)."""
    own, other = _seen(values, "one slot", "weft", what), _seen(values, "one slot", "script", of)
    if not own or other is None:
        return None, 10
    return other / own, 10, f"{figure(other)} / {figure(own)} ms; cni {figure(_seen(values, 'one slot', 'cni', of))} ms"


def _small_goals(values):
    pool = "weft, pool of 32"
    found = [
        _most(f"claim from the pool, p99 ms, {count} at once", _seen(values, "claim", "weft", f"{count} at once p99 ms"), 1)
        for count in (1, 32)
    ]
    found.append(_least("cold slot, of the script", *_times(values, "cold ms", "cold ms")))
    found.append(_most("removal in lots, ms a slot", _seen(values, "one slot", "weft", "remove in lots ms"), 5))
    for name, of in (("one by one", "remove ms"), ("20 at once", "remove in lots ms")):
        found.append(_least(f"removal in lots, of the script's {name}", *_times(values, "remove in lots ms", of)))
    found.append(_most("100 at once from a pool of 32, ms", _seen(values, "burst", pool, "100 at once ms"), 300))
    return found


def _levels(values):
    names = [name for name in values.get("scale", {}) if name != "0 live"]
    return sorted(names, key=lambda name: int(name.split()[0]))


def _flat(values, what, levels):
    """The cost at the top level over that at the bottom level."""
    first, last = (_seen(values, "scale", level, what) for level in (levels[0], levels[-1]))
    text = f"{figure(first)} at {levels[0]}, {figure(last)} at {levels[-1]}"
    return Goal(f"{what}, top over bottom", last / first, 1.5, "less", text)


def _scale_goals(values):
    levels = _levels(values)
    if not levels:
        return []
    top = levels[-1]
    cold = {level: _seen(values, "scale", level, "cold ms") for level in levels}
    within = [level for level in levels if int(level.split()[0]) <= LIVE_FOR_COLD and cold[level] is not None]
    found = [
        _most(f"claim while {top} go, worst ms", _seen(values, "scale", top, "claim while all go, worst ms"), 20),
        _most(f"daemon's memory, MiB, {top}", _seen(values, "scale", top, "daemon MiB"), 64),
        _least(f"share that answers on the kernel path, {top}", _seen(values, "scale", top, "answered share"), 1),
        _most("left behind", _seen(values, "scale", top, "left behind"), 0),
    ]
    if within:
        found.append(_most(f"cold slot, ms, worst up to {within[-1]}", max(cold[level] for level in within), 3))
    measured = [level for level in levels if cold[level] is not None]
    if len(measured) > 1:
        found += [_flat(values, "claim p50 ms", measured), _flat(values, "cold ms", measured)]
        rules = [_seen(values, "scale", level, "host rules") for level in (measured[0], measured[-1])]
        found.append(_most("host rules more at the top than at the bottom", rules[1] - rules[0], 0))
    for how in values.get("restart", {}):
        found.append(_most(f"socket answers, ms, {how}", _seen(values, "restart", how, "socket answers ms"), 100))
        found.append(_most(f"all adopted, s, {how}", _seen(values, "restart", how, "all adopted s"), 2))
    return found


def goals_of(values):
    return [goal for goal in _small_goals(values) + _scale_goals(values) if goal]


def _group_table(group, order=None):
    whats = []
    for seen in group.values():
        whats += [what for what in seen if what not in whats]
    rows = [["", *whats]]
    for who in order or group:
        cells = [who]
        for what in whats:
            found = group[who].get(what)
            wide = f" \u00b1{50 * spread(found):.0f}%" if found and len(found) > 1 else ""
            cells.append(figure(median(found)) + wide if found else "-")
        rows.append(cells)
    return table(rows)


def _turned(group, order):
    """The table of the scale has a column for each level, as there are more figures than levels."""
    whats = []
    for who in order:
        whats += [what for what in group[who] if what not in whats]
    rows = [["", *order]]
    for what in whats:
        rows.append([what, *(figure(median(group[who][what])) if what in group[who] else "-" for who in order)])
    return table(rows)


_TITLES = {
    "claim": "registering from the pool, over the control socket",
    "one slot": "one slot without a pool, one after the other; removal one by one, and many at once",
    "burst": "many at once, until the last is there",
    "restart": "restarts",
}


def text_of(values):
    parts = []
    for group, title in _TITLES.items():
        if values.get(group):
            parts += [title, _group_table(values[group])]
        if group == "burst" and values.get("scale"):
            parts += ["one host that grows", _turned(values["scale"], [who for who in ("0 live", *_levels(values)) if who in values["scale"]])]
    return "\n\n".join(parts)


def panels_of(values):
    made = []
    levels = [level for level in _levels(values) if _seen(values, "scale", level, "cold ms") is not None]
    whats = ("claim p50 ms", "claim p99 ms", "cold ms", "remove ms")
    if levels:
        rows = [(level, [_seen(values, "scale", level, what) for what in whats]) for level in levels]
        made.append(("ms, by how many live (less is better)", list(whats), rows))
    ways = ("weft", "script", "cni")
    rows = []
    for what in ("cold ms", "remove ms", "remove in lots ms"):
        rows.append((what, [_seen(values, "one slot", way, what) for way in ways]))
    if any(value for _, row in rows for value in row):
        made.append(("one slot without a pool, ms (less is better)", list(ways), rows))
    return made
