# SPDX-License-Identifier: GPL-2.0-or-later
"""The four calls of E2B's SDKs through weft, timed beside the same calls inside the sandbox's namespace, past weft.

    measure.py [--guest vm|standin] [--rounds N] [--json FILE] [--record FILE]

Prints a line for each call and a table at the end; --record also writes the table into FILE in place of the one there for this way of
WEFT_LOOPBACK (harness/host.py), which is kernel or forwarder, the latter by default.
The two of a pair take turns, so that both meet the same conditions; the median counts. Exit status 1: a call failed, or a
sandbox saw another's files.
"""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "integration"))

# pylint: disable=wrong-import-position
from harness.api import endpoint_port
from harness.daemon import Weftd
from harness.host import LOOPBACK, Host
from harness.sdk import GUEST_URL, SDKS, Sdk, StandinBox, VmBox, install, versions
from harness.vm import BOOT_LIMIT, make_image
from harness.wait import poll_until

NAMES = ("a1", "a2", "a3")
WAY = LOOPBACK or "forwarder"
BEGIN, END = f"<!-- table, {WAY}: begin -->", f"<!-- table, {WAY}: end -->"
LAST = ": end -->"


def _create(client, url):
    """In local mode create() itself sends nothing, so it is timed with a request for the sandbox's health."""
    made = client.begin("create", url=url)
    made.result()
    health = client.begin("health")
    assert health.result()["running"]
    return made.ms + health.ms


def _run(cmd, expected):
    def call(client, _):
        pending = client.begin("run", cmd=cmd)
        stdout = pending.result()["stdout"]
        assert stdout == expected, f"{cmd}: {stdout!r}"
        return pending.ms

    return call


def _write_and_read(client, _):
    text = f"what {client.label} wrote\n"
    written = client.begin("write", path=f"{client.label}.txt", data=text)
    written.result()
    back = client.begin("read", path=f"{client.label}.txt")
    assert back.result()["data"] == text
    return written.ms + back.ms


CALLS = {
    "create the sandbox, ask its health": _create,
    "run `echo hello`": _run("echo hello", "hello\n"),
    'run `python3 -c "print(1+1)"`': _run('python3 -c "print(1+1)"', "2\n"),
    "write a file, read it back": _write_and_read,
}


class Bench:
    """A host with weftd, three sandboxes with the agent, and clients."""

    def __init__(self, guest, folder):
        self.host = Host()
        self.folder = folder
        self.boxes = []
        self.clients = []
        self.weftd = Weftd(self.host, folder)
        self.sdks = install()
        self.versions = versions(self.sdks)
        self.image = make_image("--agent") if guest == "vm" else None

    def start(self):
        self.weftd.start()
        self.sandboxes = {}
        for name in NAMES:
            body = {"ports": [49983], "ready_port": 49983, "default": name == NAMES[0]}
            self.sandboxes[name] = self.weftd.api.register(name, body)
            where = f"{self.folder}/{name}"
            os.makedirs(where)
            sandbox = self.sandboxes[name]
            one = VmBox(self.host, sandbox, where, self.image, 256) if self.image else StandinBox(self.host, sandbox, where)
            self.boxes.append(one)
            one.power_on()
        for one in self.boxes:
            one.serve()
        for name in NAMES:
            self.weftd.api.wait(name, "ready", timeout=BOOT_LIMIT)
            poll_until(lambda: self.weftd.api.show(name)["endpoints"][0]["path"] == WAY, what=f"{name}'s clients to go by the {WAY}")  # pylint: disable=W0640

    def client(self, kind, label, url=None, sandbox=None):
        """A client in the host, or inside the namespace of SANDBOX."""
        namespace = self.host.netns(sandbox["netns"]) if sandbox else self.host
        made = Sdk(self.sdks, kind, namespace, url)
        made.label = label
        made.url = url
        self.clients.append(made)
        return made

    def close_clients(self):
        for client in self.clients:
            client.close()
        self.clients = []

    def close(self):
        self.close_clients()
        for one in self.boxes:
            one.kill()
        try:
            self.weftd.finish()
        finally:
            self.host.close()


def measure(pairs, rounds, call):
    """Times CALL over PAIRS of (client through weft, client without). Returns two lists of ms."""
    through, direct = [], []
    for turn in range(rounds + 1):
        for clients, times in ((0, through), (1, direct)) if turn % 2 else ((1, direct), (0, through)):
            took = [call(pair[clients], pair[clients].url) for pair in pairs]
            if turn:  # the first turn opens connections and does not count
                times += took
    return through, direct


def report(rows, kind, way, name, through, direct):
    """Prints a line and adds a row of medians and quickest times. Other work on the machine disturbs the quickest least."""
    row = {"sdk": kind, "way": way, "call": name}
    for key, function in (("", statistics.median), ("quickest_", min)):
        row[f"{key}through"], row[f"{key}direct"] = function(through), function(direct)
        row[f"{key}ratio"] = function(through) / function(direct)
    rows.append(row)
    figures = f"{row['through']:8.1f} ms   without weft {row['direct']:8.1f} ms   ratio {row['ratio']:5.2f}"
    print(f"  {kind:<11} {way:<28} {name:<36} {figures}   of the quickest {row['quickest_ratio']:5.2f}", flush=True)


def own_files_only(kind, clients):
    """Each of three clients' files is in its own sandbox alone."""
    for name, client in clients.items():
        client.call("write", path=f"only-{kind}-{name}", data=name)
    for name, client in clients.items():
        seen = [one for one in client.call("list", path=".")["names"] if one.startswith(f"only-{kind}-")]
        assert seen == [f"only-{kind}-{name}"], f"{name} sees {seen}"
    print(f"  {kind:<11} each of the three sandboxes sees its own files and no other's", flush=True)


def at_once(clients, cmd):
    """The same command in all three at the same time; each must return its own result."""
    began = time.monotonic()
    pending = [client.begin("run", cmd=f"{cmd}; echo {name}") for name, client in clients.items()]
    for name, one in zip(clients, pending):
        assert one.result()["stdout"].splitlines()[-1] == name
    return (time.monotonic() - began) * 1000


def run_sdk(bench, rows, kind, rounds):
    first = bench.sandboxes[NAMES[0]]
    through = bench.client(kind, f"{kind}-default")
    direct = bench.client(kind, f"{kind}-direct", GUEST_URL, first)
    for name, call in CALLS.items():
        report(rows, kind, "default endpoint", name, *measure([(through, direct)], rounds, call))
    bench.close_clients()

    ports = {name: f"http://localhost:{endpoint_port(sandbox)}" for name, sandbox in bench.sandboxes.items()}
    through = {name: bench.client(kind, f"{kind}-{name}", url) for name, url in ports.items()}
    direct = {name: bench.client(kind, f"{kind}-{name}-direct", GUEST_URL, bench.sandboxes[name]) for name in NAMES}
    pairs = [(through[name], direct[name]) for name in NAMES]
    for name, call in CALLS.items():
        report(rows, kind, "published ports, 3 sandboxes", name, *measure(pairs, max(2, rounds // 3), call))
    times = {"through": [], "direct": []}
    for _ in range(max(2, rounds // 3)):
        times["through"].append(at_once(through, "echo hello"))
        times["direct"].append(at_once(direct, "echo hello"))
    report(rows, kind, "published ports, 3 sandboxes", "run `echo hello` in all at once", *times.values())
    own_files_only(kind, through)
    bench.close_clients()


def table(rows):
    lines = [
        "| SDK | way in | call | median through weft, ms | without, ms | ratio | quickest through weft, ms | without, ms | ratio |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        numbers = [f"{row[key + one]:.{digits}f}" for key in ("", "quickest_") for one, digits in (("through", 1), ("direct", 1), ("ratio", 2))]
        lines.append(f"| {row['sdk']} | {row['way']} | {row['call']} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def record(path, text):
    with open(path, encoding="utf-8") as file:
        whole = file.read()
    if BEGIN in whole:
        before, rest = whole.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
    else:  # the first for this way stands below those of others
        place = whole.rindex(LAST) + len(LAST)
        before, after = f"{whole[:place]}\n\n", whole[place:]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{text}\n{END}{after}")


def describe(bench, guest, rounds):
    """The conditions of the measurement, for the line above the table."""
    sdks = ", ".join(f"{kind} {bench.versions[kind]}" for kind in SDKS)
    what = "the stand-in guest" if guest == "standin" else f"a VM of QEMU's, accelerated by {os.environ.get('WEFT_ACCEL', 'tcg')}"
    agent = "a real envd" if os.environ.get("ENVD") else "tests/agent"
    return (
        f"Of {rounds} rounds on {os.cpu_count()} cores (load average {os.getloadavg()[1]:.1f});\n"
        f"E2B's SDKs: {sdks}; in {what}: {agent};\n"
        f"clients of loopback connected by the {WAY}."
    )


def main():
    parser = argparse.ArgumentParser(add_help=True)
    parser.add_argument("--guest", choices=("vm", "standin"), default="vm")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json")
    parser.add_argument("--record")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="weft-acceptance-", dir="/tmp")
    rows = []
    bench = Bench(options.guest, folder)
    try:
        began = time.monotonic()
        bench.start()
        print(f"  three sandboxes registered, booted and ready after {time.monotonic() - began:.1f} s", flush=True)
        for kind in SDKS:
            run_sdk(bench, rows, kind, options.rounds)
        text = f"{describe(bench, options.guest, options.rounds)}\n\n{table(rows)}"
        print(f"\n{text}")
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(rows, file)
        if options.record:
            record(options.record, text)
    finally:
        bench.close()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
