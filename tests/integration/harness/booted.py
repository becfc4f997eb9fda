# SPDX-License-Identifier: GPL-2.0-or-later
"""A booted machine: a real systemd as its first process, over a copy in memory of the machine's root file system, in namespaces and a control
group of its own. Units are those of packages that are installed in it; it starts nothing of the machine's.
"""

import os
import subprocess

from .host import Host
from .user_manager import cgroup_root, remove_cgroup
from .wait import poll_until

SYSTEMD = "/usr/lib/systemd/systemd"

# As a container's: what belongs to the whole kernel is read-only, the consoles and the units of the machine are not there.
_BOOT = """
set -e
mount --make-rprivate /
mkdir -p "$1" && mount -t tmpfs -o size=1g tmpfs "$1" && cd "$1" && mkdir upper work root net kept
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --bind root/proc/sys/net net
mount --bind root/proc/sys root/proc/sys && mount -o remount,bind,ro root/proc/sys
mount --bind net root/proc/sys/net
mount -t sysfs -o ro sysfs root/sys
mount -t cgroup2 none root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs root/dev
mkdir root/dev/net root/dev/shm root/dev/pts
for name in null zero full random urandom tty net/tun; do
	: >root/dev/$name && mount --bind /dev/$name root/dev/$name
done
ln -s /proc/self/fd root/dev/fd
mount -t tmpfs -o mode=755 tmpfs root/run
mkdir root/run/netns
units=root/usr/lib/systemd
for name in basic sysinit shutdown multi-user network umount final sockets timers paths; do
	cp $units/system/$name.target kept/
done
mount -t tmpfs -o mode=755 tmpfs $units/system
mount -t tmpfs -o mode=755 tmpfs $units/system-generators
cp kept/* $units/system/
rm -f root/var/lib/man-db/auto-update # else each step makes man's index anew, for ten seconds
rm -f root/usr/sbin/policy-rc.d
[ -z "$2" ] || cp "$2" root/tmp/weft.deb
exec env -i container=weft-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	chroot root %s --system --unit=basic.target --log-target=null --show-status=no
""" % SYSTEMD


class BootedMachine(Host):
    """Its network is that of HOST. FOLDER: an empty one for its files; PACKAGE: a file that it has as /tmp/weft.deb, or none."""

    def __init__(self, host, folder, package=""):  # pylint: disable=super-init-not-called
        self.cgroup = os.path.join(cgroup_root(), f"weft-test-{os.getpid()}-booted")
        os.mkdir(self.cgroup)
        self.path = host.path
        self.name = "booted"
        self.world = None

        def enter():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

        namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--uts", "--ipc"]
        self.process = host.popen(
            ["unshare", *namespaces, "sh", "-c", _BOOT, "sh", os.path.join(folder, "booted"), package],
            stdin=subprocess.DEVNULL,
            preexec_fn=enter,
        )
        self.pid = None
        self.root = None
        poll_until(self._booted, what="systemd to run")

    def _booted(self):
        assert self.process.poll() is None, f"it ended with {self.process.returncode}"
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
        if not children:
            return False
        with open(f"/proc/{children[0]}/cmdline", "rb") as file:
            if not file.read().startswith(SYSTEMD.encode()):
                return False
        self.pid = int(children[0])
        self.root = f"/proc/{self.pid}/root"
        return self.run(["systemctl", "is-system-running"], check=False).stdout.strip() == "running"

    def enter_arguments(self):
        spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--root"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]
        return ["nsenter", f"--target={self.pid}", *spaces, f"--wd={self.root}", "--", *clean]

    def sh(self, script, check=True):
        """The output, with that of errors, of a shell's SCRIPT as root of the machine."""
        return self.run(["sh", "-ec", f"exec 2>&1; {script}"], check=check, timeout=180).stdout

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        remove_cgroup(self.cgroup)


def available():
    root = cgroup_root()
    return bool(os.path.exists(SYSTEMD) and root and os.access(root, os.W_OK))
