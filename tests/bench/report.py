# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables for people, JSON for programs, and a picture."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass

from measure import median, spread


@dataclass
class Goal:
    """A goal: the wanted value, the measured value, and whether that is enough."""

    name: str
    seen: float
    wanted: float
    better: str  # "more" or "less"
    against: str = ""  # the figures it was compared with

    @property
    def reached(self):
        return self.seen >= self.wanted if self.better == "more" else self.seen <= self.wanted

    def row(self):
        sign = ">=" if self.better == "more" else "<="
        return [self.name, figure(self.seen), f"{sign} {figure(self.wanted)}", "reached" if self.reached else "MISSED", self.against]


def figure(value):
    """Three significant digits, for people."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.0f}M" if abs(value) >= 1e8 else f"{value / 1e6:.2f}M"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def table(rows, words=()):
    """A table with aligned columns: the first one and those numbered in WORDS to the left, figures to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row):
        return "  ".join(cell.ljust(widths[i]) if i == 0 or i in words else cell.rjust(widths[i]) for i, cell in enumerate(row))

    return "\n".join(line(row).rstrip() for row in rows)


def goals_table(goals):
    reached = sum(goal.reached for goal in goals)
    rows = [["goal", "seen", "wanted", "", ""]] + [goal.row() for goal in goals]
    return f"{table(rows, words=(3, 4))}\n\n{reached} of {len(goals)} goals reached"


def _first_line(path, begin):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(begin)), None)
    except OSError:
        return None


def _output(*argv):
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False, text=True)
    except OSError:
        return None
    return done.stdout.splitlines()[0] if done.stdout else None


def machine():
    """The machine, its software and its load while the figures were taken."""
    return {
        "kernel": platform.release(),
        "processor": _first_line("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory": _first_line("/proc/meminfo", "MemTotal"),
        "load_at_start": os.getloadavg()[0],
        "haproxy": _output("haproxy", "-v"),
        "nginx": _output("nginx", "-v"),
        "socat": _output("sh", "-c", "socat -V | sed -n 2p"),
        "systemd": _output("/usr/lib/systemd/systemd-socket-proxyd", "--version"),
    }


def summary(values):
    """{... {figure: [values]}} with each list replaced by its median, its spread and itself."""
    if isinstance(values, dict):
        return {key: summary(value) for key, value in values.items()}
    return {"median": median(values), "spread": round(spread(values), 3), "values": values}


def as_dicts(goals):
    return [{**asdict(goal), "reached": goal.reached} for goal in goals]


def write_json(path, values, goals, about, **more):
    document = {
        "machine": about,
        **more,
        "goals": as_dicts(goals),
        "results": summary(values),
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def plot(path, panels, title):
    """Draws clustered bars by gnuplot. PANELS: [(title, [series names], [(label, [a value a series, or None])])]."""
    script = [
        f"set terminal pngcairo size 1500,{460 * len(panels)} enhanced font 'sans,11'",
        f"set output '{path}'",
        f"set multiplot layout {len(panels)},1 title '{title}'",
        "set style data histograms",
        "set style histogram clustered gap 1",
        "set style fill solid 0.85 border -1",
        "set boxwidth 0.9",
        "set grid ytics",
        "set key outside right autotitle columnheader",
        "set yrange [0:*]",
    ]
    for name, series, rows in panels:
        quoted = name.replace("'", "''")
        script += [f"set title '{quoted}'", "$data << EOD", "\t".join(["label", *(f'"{one}"' for one in series)])]
        for label, values in rows:
            script.append("\t".join([f'"{label}"', *("NaN" if value is None else f"{value:.6g}" for value in values)]))
        script.append("EOD")
        script.append("plot " + ", ".join(f"$data using {i + 2}:xtic(1)" for i in range(len(series))))
    script.append("unset multiplot")
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, capture_output=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"gnuplot: {done.stderr.strip()}")
