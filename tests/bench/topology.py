# SPDX-License-Identifier: GPL-2.0-or-later
"""A host of the benchmark's own with weftd in it, and stand-in guests behind a real TAP or behind a veth."""

import os
import shutil
import tempfile

from harness.cgroup import Cgroup
from harness.daemon import Weftd
from harness.guests import Vmm
from harness.host import Host
from harness.netns import Namespace

# For tens of thousands of connections: their remains must fill neither the port range nor conntrack's table.
_SYSCTLS = ("net.ipv4.tcp_tw_reuse=1", "net.netfilter.nf_conntrack_tcp_timeout_time_wait=1")


class Place:
    """A folder in memory, as /run, and what is to be undone in the end. close() leaves nothing."""

    def __init__(self, next_port):
        self.folder = tempfile.mkdtemp(prefix="weft-bench-", dir="/dev/shm")
        self.closers = []
        self.next_port = next_port

    def take_ports(self, count):
        first = self.next_port
        self.next_port += count
        return first

    def on_close(self, function):
        """Has close() call FUNCTION before it undoes earlier steps."""
        self.closers.append(function)

    def close(self):
        for function in reversed(self.closers):
            function()
        self.closers = []
        shutil.rmtree(self.folder, ignore_errors=True)


class Bench(Place):
    """The host, its files and, by default, weftd. CONFIG: its configuration, or a function of this that makes it.

    LOOPBACK: weftd connects the clients in `cgroup` by the kernel's path."""

    def __init__(self, config=None, daemon=True, loopback=False):
        super().__init__(next_port=30000)
        self.host = Host()
        self.closers.append(self.host.close)
        try:
            self.host.add_uplink()
            sections = config(self) if callable(config) else config
            if loopback:
                self.cgroup = Cgroup(self.host, enter=False)
                self.closers.append(self.cgroup.close)
                sections = {**(sections or {}), "forwarder": {"loopback": "kernel", "cgroup": self.cgroup.path}}
            self.weftd = Weftd(self.host, self.folder, sections) if daemon else None
            if daemon:
                self.closers.append(self._stop_weftd)
                self.weftd.start()
                self.quicken(self.host)
        except BaseException:
            self.close()
            raise

    def quicken(self, namespace):
        namespace.run(["sysctl", "-qw", *_SYSCTLS])

    def file(self, name):
        return os.path.join(self.folder, name.replace(" ", "-"))

    def _stop_weftd(self):
        if self.weftd.running():
            self.weftd.stop()
        self.weftd.run("--cleanup", timeout=120)

    def restart_weftd(self):
        self.weftd.stop()
        self.weftd.start()


class TapGuest:
    """A sandbox NAME whose guest is behind tap0, with the offloads that a VMM negotiates."""

    kind = "tap"

    def __init__(self, bench, name, body, servers):
        self.bench = bench
        self.sandbox = bench.weftd.api.register(name, body)
        self.path = bench.host.file(self.sandbox["netns_path"])
        bench.quicken(Namespace(self.path))
        self.vmm = Vmm(bench.host, [self.path])
        bench.on_close(self.vmm.close)
        self.guest = self.vmm.guests[0]
        self.place_servers(servers)

    def place_servers(self, servers):
        if servers:
            self.vmm.serve([(self.guest, text) for text in servers])


class VethGuest(TapGuest):
    """The same, but packets to the guest leave by a veth: tap0 is open only for its carrier, and a narrower route avoids it."""

    kind = "veth"

    def place_servers(self, servers):
        inner = Namespace(self.path)
        outer = Namespace(self.guest.path)
        outer.run(["ip", "link", "del", "eth0"])
        inner.run(["ip", "link", "add", "behind0", "type", "veth", "peer", "name", "eth1", "netns", self.guest.path])
        inner.run(["ip", "link", "set", "behind0", "up"])
        inner.run(["sysctl", "-qw", "net.ipv4.conf.behind0.forwarding=1"])
        inner.run(["ip", "route", "add", "169.254.0.21/32", "dev", "behind0", "src", "169.254.0.22"])
        outer.run(["ip", "addr", "add", "169.254.0.21/30", "dev", "eth1"])
        outer.run(["ip", "link", "set", "eth1", "up"])
        outer.run(["ip", "route", "replace", "default", "via", "169.254.0.22", "dev", "eth1"])
        super().place_servers(servers)
