# SPDX-License-Identifier: GPL-2.0-or-later
"""The results of sleeps as tables, goals and a picture."""

from measure import median, percentile
from report import Goal, figure, table

P50_MS, P99_MS = 5, 50  # wanted, from the guest's port that accepts to a client that is served
EVENT_MS = 50  # wanted, p99 of the event after the first packet
BACK_S = 2  # wanted, of data on the kernel's path after a silence
KERNEL, FORWARDER, PLAIN = "kernel path", "forwarder", "without these rules"

LEGEND = """Served: from the moment at which the guest's port accepts again, before weftd is told so, to the connection or to the datagram's answer. Lost:
datagrams without an answer. Event, request: what weftd says on its stream and to the manager's socket, after the first packet. Sleeps end before
TCP sends its SYN again, after one second. Back: data that was under way when the VM fell silent, after the resume. Timer: TCP's for its next
attempt, as the VM is resumed. Without these rules: a VM that stands still and weftd knows nothing of it."""


def _all(group, what):
    return [value for seen in group.values() for value in seen.get(what, ())]


def _ms(values, share):
    return figure(percentile(values, share)) if values else "-"


def _served(group):
    return [value for how in ("open", "closed") for value in _all(group, f"{how} ms")]


def goals_of(values):
    goals = []
    served, first, silence, many, flood = (values.get(name, {}) for name in ("served", "first packet", "silence", "many", "flood"))
    if times := _served(served):
        medians = {(who, how): median(seen[f"{how} ms"]) for who, seen in served.items() for how in ("open", "closed") if seen.get(f"{how} ms")}
        worst = max(medians, key=medians.get)
        goals.append(Goal("served, p50 ms, the slowest way", medians[worst], P50_MS, "less", f"{worst[0]}, TAP {worst[1]}"))
        goals.append(Goal("served, p99 ms, all ways", percentile(times, 0.99), P99_MS, "less", f"of {len(times)}"))
        goals.append(Goal("datagrams lost", len(_all(served, "lost")), 0, "less"))
    if events := _all(first, "event ms"):
        goals.append(Goal("event after the first packet, p99 ms", percentile(events, 0.99), EVENT_MS, "less"))
    back = {(who, what): max(times) for who, seen in silence.items() if who.startswith(KERNEL) for what, times in seen.items() if "back" in what}
    if back:
        worst = max(back, key=back.get)
        goals.append(Goal("data back on the kernel path, s", back[worst], BACK_S, "less", ", ".join(worst)))
    if len(many) > 1:
        few, most = list(many.values())[0], list(many.values())[-1]
        for what in ("pause ms", "resume ms"):
            if few.get(what) and most.get(what):
                ratio = median(most[what]) / median(few[what])
                goals.append(Goal(f"{what[:-3]} beside {list(many)[-1]}, of that beside few", ratio, 2, "less", f"{figure(median(most[what]))} ms"))
        rules = {rules for seen in many.values() for rules in seen.get("host rules", ())}
        goals.append(Goal("different numbers of host rules", len(rules), 1, "less"))
    for name, seen in flood.items():
        if seen.get("events"):
            goals.append(Goal(f"events of a flood, {name}", max(seen["events"]), 1, "less"))
            goals.append(Goal(f"memory of a flood, {name}, KiB", max(seen["more memory KiB"]), 2048, "less"))
    return goals


def _table(group, names):
    rows = [["", *names]]
    for who, seen in group.items():
        rows.append([who, *(figure(median(seen[name])) if seen.get(name) else "-" for name in names)])
    return table(rows)


def _names(group):
    return list(dict.fromkeys(name for seen in group.values() for name in seen))


def text_of(values):
    served, first = values.get("served", {}), values.get("first packet", {})
    rows = [["", "TAP open p50 ms", "p99", "closed p50 ms", "p99", "lost", "event p50 ms", "p99", "request p50", "p99"]]
    for who, seen in served.items():
        said = first.get(who, {})
        rows.append(
            [
                who,
                *(_ms(seen.get(f"{how} ms"), share) for how in ("open", "closed") for share in (0.5, 0.99)),
                str(len(seen.get("lost", ()))),
                *(_ms(said.get(f"{what} ms"), share) for what in ("event", "request") for share in (0.5, 0.99)),
            ]
        )
    parts = ["wake\n" + table(rows)]
    for name, title in (("silence", "silence with data in flight"), ("many", "others that sleep, p50"), ("flood", "SYNs from a thousand sources")):
        if values.get(name):
            parts.append(f"{title}\n{_table(values[name], _names(values[name]))}")
    return "\n\n".join([*parts, LEGEND])


def panels_of(values):
    panels = []
    served = values.get("served", {})
    if _served(served):
        series = ["TAP open", "TAP closed"]
        rows = [(who, [median(seen[f"{how} ms"]) if seen.get(f"{how} ms") else None for how in ("open", "closed")]) for who, seen in served.items()]
        panels.append(("from the guest's port to the client, p50 ms (less is better)", series, rows))
    silence = values.get("silence", {})
    whats = [name for name in _names(silence) if "back" in name]
    if whats:
        rows = [(who, [median(seen[what]) if seen.get(what) else None for what in whats]) for who, seen in silence.items()]
        panels.append(("data back after a silence, s (less is better)", whats, rows))
    return panels
