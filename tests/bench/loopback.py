# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's path from loopback: beside the kernel alone, what it costs other programs, and how soon it ends with its guest.

One daemon serves the same ports to two kinds of clients: those in the cgroup with weft's programs are connected straight to the
guest, and those outside it by the forwarder.
"""

import time

from harness.client import echoes
from harness.daemon import build_dir
from harness.wait import poll_until

from measure import Processes
from peers import KernelDnat, Weft, WeftKernel
from topology import TapGuest

KIND = "loopback"
ECHO = 7003
HERE, BEYOND = "127.0.0.1:9", "192.0.2.1:9"  # nobody's, and no packet goes there


def run_beside(run_rounds, plan, bench, guest, results, say):
    """The two ways and the kernel alone, by turns."""
    say("from loopback: the kernel's path, the forwarder's, and the sandbox's host address")
    forwarders = [make(bench, guest.sandbox) for make in (KernelDnat, WeftKernel, Weft)]
    for forwarder in forwarders:
        forwarder.start()
    daemon = Processes([bench.weftd.pid])
    used, begun = daemon.cpu_seconds(), time.monotonic()
    time.sleep(plan.seconds * 10)
    results.add(KIND, Weft.name, "idle cpu", (daemon.cpu_seconds() - used) / (time.monotonic() - begun))
    run_rounds(plan, KIND, forwarders, results, say)


def run_connects(plan, bench, results, say):
    """connect() of programs that want nothing of weft, with its programs and without."""
    say("  connect() of other programs")
    for _ in range(plan.rounds[KIND]):
        for where, clients in (("without", bench.cgroup.outside), ("with", bench.cgroup.inside)):
            for name, address in (("loopback", HERE), ("elsewhere", BEYOND)):
                with clients():
                    seen = bench.host.output([f"{build_dir()}/tests/bench/connects", address, plan.connects])
                results.add(KIND, where, f"connect ns, {name}", float(seen))


def run_losses(plan, bench, results, say):
    """From the end of a guest's carrier until the entries are gone, and until a client learns that its connection has ended."""
    say("  carriers that are lost")
    one = TapGuest(bench, "lost", {"ports": [ECHO], "ready_port": ECHO}, (f"{ECHO},echo",))
    weft = Weft(bench, one.sandbox)
    port = int(weft.address(ECHO).rsplit(":", 1)[1])
    bench.weftd.api.wait("lost", "ready")
    entries = bench.cgroup.entries
    for _ in range(plan.losses):
        poll_until(lambda: bench.weftd.api.show("lost")["endpoints"][0]["path"] == "kernel", 10)
        count = entries()
        with bench.cgroup.inside(), bench.host.connect("127.0.0.1", port) as client:
            if not echoes(client):
                raise RuntimeError("the echo is wrong")
            begun = time.monotonic()
            one.guest.close_tap()
            while entries() == count:
                if time.monotonic() > begun + 10:
                    raise RuntimeError("the entries stay although the carrier is lost")
            results.add(KIND, WeftKernel.name, "entry gone ms", (time.monotonic() - begun) * 1000)
            try:
                client.recv(1)
            except OSError:
                results.add(KIND, WeftKernel.name, "client told ms", (time.monotonic() - begun) * 1000)
        one.guest.open_tap()
        bench.weftd.api.wait("lost", "ready")
    one.vmm.close()


def run(run_rounds, plan, bench, guest, results, say):
    run_beside(run_rounds, plan, bench, guest, results, say)
    run_connects(plan, bench, results, say)
    run_losses(plan, bench, results, say)
