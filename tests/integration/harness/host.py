# SPDX-License-Identifier: GPL-2.0-or-later
"""A host for one test: a network and a mount namespace, so that nothing touches the machine's own."""

import contextlib
import os
import subprocess
from collections import Counter

from .cgroup import BPFFS, Cgroup, pins
from .netns import Namespace
from .wait import PATIENCE, Lines, poll_until

# WEFT_LOOPBACK=kernel: each host has a cgroup of its own, and daemons that say nothing else have `[forwarder] loopback' so.
LOOPBACK = os.environ.get("WEFT_LOOPBACK")

# Private propagation: only processes of this "host" see its mounts under /run/netns. The machine's bpffs is hidden, and without one weftd
# attaches no programs to the cgroup of all its processes; harness.cgroup has another.
_HOLDER = f"""
set -e
mount -t tmpfs -o mode=755 tmpfs /run/netns
mount -t tmpfs -o mode=755 tmpfs /run/weft
! mountpoint -q {BPFFS} || mount -t tmpfs tmpfs {BPFFS}
ip link set lo up
echo ready
exec cat >/dev/null
"""

_WORLD = """
set -e
ip link set lo up
echo ready
exec cat >/dev/null
"""


def _hold(arguments, script):
    holder = subprocess.Popen(
        ["unshare", *arguments, "--", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if Lines(holder.stdout).next() != "ready":
        holder.wait()
        raise RuntimeError(f"unshare {' '.join(arguments)}: the holder ended with {holder.returncode}")
    return holder


def _release(holder):
    holder.stdin.close()
    holder.stdout.close()
    try:
        holder.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()


class World(Namespace):
    """The network beyond the host's uplink: 192.0.2.1 is its gateway, and it answers at each address given to add()."""

    def __init__(self):
        self._holder = _hold(["--net"], _WORLD)
        super().__init__(f"/proc/{self._holder.pid}/ns/net", "world")

    def add(self, cidr):
        """Adds an address on the other side, such as 203.0.113.10/32."""
        self.run(["ip", "addr", "add", cidr, "dev", "lo"])

    def close(self):
        _release(self._holder)


class Host(Namespace):
    """The host: a namespace with lo up, an empty /run/netns and an empty /run/weft. Commands run in both namespaces."""

    def __init__(self):
        for folder in ("/run/netns", "/run/weft"):
            os.makedirs(folder, exist_ok=True)
        self._holder = _hold(["--net", "--mount", "--propagation", "private"], _HOLDER)
        self.pid = self._holder.pid
        self.root = f"/proc/{self.pid}/root"
        self.world = None
        super().__init__(f"/proc/{self.pid}/ns/net", "host")
        self.cgroup = Cgroup(self) if LOOPBACK else None

    def enter_arguments(self):
        # Paths mean the same inside, except /run/netns and /run/weft.
        return ["nsenter", f"--net={self.path}", f"--mount=/proc/{self.pid}/ns/mnt", f"--wd={os.getcwd()}", "--"]

    def file(self, path):
        """The path by which this process reaches the host's PATH."""
        return self.root + path

    def netns(self, name):
        """The namespace bound at /run/netns/NAME in this host."""
        return Namespace(self.file(f"/run/netns/{name}"), name)

    def netns_names(self):
        return sorted(os.listdir(self.file("/run/netns")))

    def add_uplink(self, mtu=1500, name="uplink0"):
        """Gives the host an uplink, 192.0.2.2/24 with a default route over 192.0.2.1, and returns the world behind it."""
        self.world = World()
        self.run(
            ["ip", "link", "add", name, "mtu", mtu, "type", "veth"]
            + ["peer", "name", "eth0", "mtu", mtu, "netns", self.world._holder.pid]
        )
        # IPv6 sets up an address of its own within a second, which would disturb comparisons of before and after.
        self.run(["ip", "link", "set", name, "addrgenmode", "none"])
        self.run(["ip", "addr", "add", "192.0.2.2/24", "dev", name])
        self.run(["ip", "link", "set", name, "up"])
        self.world.run(["ip", "addr", "add", "192.0.2.1/24", "dev", "eth0"])
        self.world.run(["ip", "link", "set", "eth0", "up"])
        self.run(["ip", "route", "add", "default", "via", "192.0.2.1"])
        # The kernel reports the carrier a little later, and routes change with it.
        up = {"UP", "LOWER_UP"}
        poll_until(lambda: up <= set(self.links()[name]["flags"]) and self.links()[name]["operstate"] == "UP")
        return self.world

    def processes(self):
        """{pid: command line} of all processes in the host's network namespace but its holder, and in all ns-* beneath it."""
        wanted = {os.stat(self.path).st_ino}
        for name in self.netns_names():
            with contextlib.suppress(FileNotFoundError):
                wanted.add(os.stat(self.file(f"/run/netns/{name}")).st_ino)
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.stat(f"/proc/{pid}/ns/net").st_ino not in wanted or int(pid) == self.pid:
                    continue
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found[int(pid)] = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or hidden even from root
                continue
        return found

    def state(self):
        """Everything that weft could leave behind here, for a comparison of before and after."""
        links = {}
        for name, link in self.links().items():
            links[name] = {key: link.get(key) for key in ("address", "mtu", "group", "master", "ifalias")}
        with open(f"/proc/{self.pid}/mountinfo", encoding="utf-8") as file:
            mounts = sorted(" ".join(line.split()[3:5]) for line in file)
        return {
            "namespaces": self.netns_names(),
            "links": links,
            "addresses": self.output(["ip", "-o", "addr", "show"]).splitlines(),
            "routes": self.output(["ip", "route", "show", "table", "all"]).splitlines(),
            "routes6": self.output(["ip", "-6", "route", "show", "table", "all"]).splitlines(),
            "rules": self.output(["ip", "rule", "show"]).splitlines(),
            "neighbours": self.output(["ip", "neigh", "show", "nud", "permanent"]).splitlines(),
            "nft": self.nft().splitlines(),
            "mounts": mounts,
            "pins": pins(self),
            "processes": self.processes(),
        }

    def await_names(self, api):
        """Waits for the work after the replies: each sandbox's veth and then its table get its id as comment."""
        sandboxes = api.list()
        wanted = {f"weft:{sandbox['id']}" for sandbox in sandboxes}
        poll_until(lambda: wanted <= {link.get("ifalias") for link in self.links().values()}, what=f"names {wanted}")
        for sandbox in sandboxes:
            comment, inner = f'comment "{sandbox["id"]}"', self.netns(sandbox["netns"])
            poll_until(lambda: comment in inner.nft(), what=comment)  # pylint: disable=cell-var-from-loop

    def settled_state(self, api):
        """state(), after the work that follows the replies."""
        self.await_names(api)
        return self.state()

    def await_state(self, before):
        """Waits until state() equals BEFORE."""
        poll_until(lambda: not difference(before, self.state()), what=lambda: str(difference(before, self.state())))

    def close(self):
        if self.world:
            self.world.close()
        if self.cgroup:
            self.cgroup.close()
        _release(self._holder)


def tracked(host, number):
    """The number of conntrack entries in the slot's namespace."""
    counted = host.output(["ip", "netns", "exec", f"ns-{number}", "cat", "/proc/sys/net/netfilter/nf_conntrack_count"])
    return int(counted)


def difference(before, after):
    """The differences between two state()s, as readable lines; empty if there are none."""
    lines = []
    for key, old in before.items():
        new = after[key]
        if old == new:
            continue
        # Counted, as a duplicate line, such as a mount over a mount, is one too many.
        lines += [f"{key}: gone: {item}" for item in (Counter(list(old)) - Counter(list(new))).elements()]
        lines += [f"{key}: left: {item}" for item in (Counter(list(new)) - Counter(list(old))).elements()]
        if isinstance(old, dict):
            lines += [f"{key}: changed: {k}: {old[k]} -> {new[k]}" for k in old if k in new and old[k] != new[k]]
    return lines
