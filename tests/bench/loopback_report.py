# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's path from loopback as a table and goals. Ratios are taken within a round, and then their median."""

from statistics import geometric_mean

from forwarder import LOADS
from loopback import KIND
from measure import median, percentile
from peers import KernelDnat, Weft, WeftKernel
from report import Goal, figure, table

_WAYS = (WeftKernel.name, Weft.name)
_PLACES = ("loopback", "elsewhere")


def ratios(values, who, what):
    """WHO's share of the kernel's rate, round by round."""
    own, limit = (values.get(name, {}).get(what, []) for name in (who, KernelDnat.name))
    return [one / other for one, other in zip(own, limit)]


def over_all(values, who):
    """The median over the rounds of the geometric mean over all loads; None if one of them could not be measured."""
    columns = [ratios(values, who, load.name) for load in LOADS]
    return median([geometric_mean(row) for row in zip(*columns)])


def daemon_share(values, who):
    """The part of one core that weftd used while WHO's loads ran, beyond what it uses anyway; None if nothing was measured."""
    own, shares = values.get(who, {}), []
    for load in LOADS:
        shares += [rate * cost / load.unit for rate, cost in zip(own.get(load.name, []), own.get(f"cpu {load.name}", []))]
    idle = median(values.get(Weft.name, {}).get("idle cpu", [])) or 0.0
    return sum(shares) / len(shares) - idle if shares else None


def extra_ns(values, place):
    """What weft's programs add to a connect(), in the median of the rounds."""
    without, with_them = (values.get(who, {}).get(f"connect ns, {place}", []) for who in ("without", "with"))
    return median([after - before for before, after in zip(without, with_them)])


def goals_of(values):
    found = []
    for load in LOADS:
        seen = ratios(values, WeftKernel.name, load.name)
        if seen:
            rates = [figure(median(values[name][load.name])) for name in (WeftKernel.name, KernelDnat.name)]
            found.append(Goal(f"{KIND}: {load.name}, of {KernelDnat.name}", median(seen), 0.93, "more", " / ".join(rates)))
    whole, share = over_all(values, WeftKernel.name), daemon_share(values, WeftKernel.name)
    if whole is not None:
        found.append(Goal(f"{KIND}: over all, of {KernelDnat.name}", whole, 0.97, "more"))
    if share is not None:
        text = f"the forwarder's: {figure(daemon_share(values, Weft.name))}"
        found.append(Goal(f"{KIND}: weftd's part of a core", max(share, 0), 0.01, "less", text))
    for place in _PLACES:
        extra = extra_ns(values, place)
        if extra is not None:
            text = f"without: {figure(median(values['without'][f'connect ns, {place}']))}"
            found.append(Goal(f"{KIND}: others' connect(), {place}, ns more", extra, 150, "less", text))
    return found


def text_of(values):
    parts = [f"{KIND}: parts of what {KernelDnat.name} does, medians of the ratios within a round, and the least and the most of them"]
    rows = [["", *(load.name for load in LOADS), "over all", "weftd's part of a core"]]
    for who in _WAYS:
        cells = []
        for load in LOADS:
            seen = ratios(values, who, load.name)
            cells.append(f"{median(seen):.2f} ({min(seen):.2f}-{max(seen):.2f})" if seen else "-")
        rows.append([who, *cells, figure(over_all(values, who)), figure(daemon_share(values, who))])
    parts.append(table(rows))
    losses = values.get(WeftKernel.name, {})
    rows = [["a carrier is lost: ms until", "median", "p90", "most"]]
    for what in ("entry gone ms", "client told ms"):
        seen = losses.get(what)
        rows += [[what.removesuffix(" ms"), figure(median(seen)), figure(percentile(seen, 0.9)), figure(max(seen))]] if seen else []
    return "\n\n".join([*parts, table(rows)])
