# SPDX-License-Identifier: GPL-2.0-or-later
"""A real systemd, a user manager, with weftd as its service: in namespaces and a control group of its own.

As a program it is what runs in them: it reads one command a line and answers with one line of JSON.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

if not __package__:
    # pylint: disable=wrong-import-position
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from harness.flow import Flow
from harness.guests import Vmm
from harness.wait import poll_until

SYSTEMD = "/lib/systemd/systemd"
UNIT = """[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart={program} --foreground --config {config} --socket {socket} --state-dir /run/weft/state
ExecReload={reload}
Restart=always
RestartSec=100ms
KillMode=process
FileDescriptorStoreMax=512
LimitNOFILE={limit}
Environment=ASAN_OPTIONS=detect_leaks=0
StandardOutput=append:{log}
StandardError=append:{log}
"""


def cgroup_root():
    """Where the machine has its control groups of version 2; None: nowhere."""
    with open("/proc/self/mounts", encoding="ascii") as file:
        return next((line.split()[1] for line in file if line.split()[2] == "cgroup2"), None)


def remove_cgroup(path):
    """Removes the control group at PATH with those below it, of a namespace whose processes are ending."""
    for folder, _, _ in os.walk(path, topdown=False):
        for _ in range(500):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
                break
            time.sleep(0.01)  # the last processes of a namespace end a moment later


class UserManager:
    """Talks to the program. SOCKET: weftd's control socket, which is reached from outside."""

    def __init__(self, program, folder, log):
        self.cgroup = os.path.join(cgroup_root(), f"weft-test-{os.getpid()}")
        os.mkdir(self.cgroup)

        def enter():
            with open(os.path.join(self.cgroup, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")

        namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--cgroup", "--net"]
        self.process = subprocess.Popen(
            ["unshare", *namespaces, sys.executable, os.path.abspath(__file__), program, str(folder), str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=enter,
        )
        assert self.tell("hello") == "hello"

    def tell(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the user manager ended"
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        remove_cgroup(self.cgroup)


# ---- Inside ----


def systemctl(*arguments, check=True):
    done = subprocess.run(["systemctl", "--user", *arguments], check=check, capture_output=True, text=True)
    return done.stdout.strip()


def show(name):
    return systemctl("show", "--property", name, "--value", "weftd")


def reload():
    """[exit status of systemctl reload, the unit as systemctl status shows it]."""
    done = subprocess.run(["systemctl", "--user", "reload", "weftd"], capture_output=True, check=False)
    return [done.returncode, systemctl("status", "weftd", check=False)]


def listening():
    """[[local address, inode]] of the TCP sockets that listen."""
    found = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as file:
            fields = [line.split() for line in list(file)[1:]]
        found += [[one[1], one[9]] for one in fields if one[3] == "0A"]
    return sorted(found)


class Guests:
    """Guests, and clients of theirs whose every byte is compared."""

    def __init__(self):
        self.vmms = []
        self.flows = []
        self.path = "/proc/self/ns/net"

    popen = staticmethod(subprocess.Popen)

    def serve(self, netns):
        """A guest in NETNS that echoes on port 7."""
        self.vmms.append(Vmm(self, [f"/run/netns/{netns}"]))
        self.vmms[-1].guests[0].serve("7,echo")

    def connect(self, port, count):
        for _ in range(count):
            self.flows.append(Flow(socket.create_connection(("127.0.0.1", port))))

    def check(self):
        """The longest time for which one of them stood still so far, in seconds."""
        for flow in self.flows:
            flow.check()
        return max(flow.longest_gap for flow in self.flows)

    def ends(self):
        """How each of them ended, in words."""
        for flow in self.flows:
            poll_until(flow.problem)
        return [str(flow.problem()) for flow in self.flows]

    def close(self):
        for vmm in self.vmms:
            vmm.close()


def reload_command(program, config):
    """The unit's own, for a daemon with another configuration."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    with open(f"{top}/systemd/weftd.service.in", encoding="utf-8") as file:
        [command] = [line.rstrip().split("=", 1)[1] for line in file if line.startswith("ExecReload=")]
    return command.replace("@sbindir@/weftd", f"{program} --config {config}")


def set_up(program, folder, log):
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["umount", "-R", "/sys/fs/cgroup"], check=False)
    subprocess.run(["mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    for path in ("/run/netns", "/run/systemd/system", "/run/user/systemd/user", "/run/weft"):
        os.makedirs(path)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["XDG_RUNTIME_DIR"] = "/run/user"
    unit = UNIT.format(
        program=program,
        config=f"{folder}/weftd.conf",
        socket=f"{folder}/control.sock",
        reload=reload_command(program, f"{folder}/weftd.conf"),
        log=log,
        limit=os.sysconf("SC_OPEN_MAX"),
    )
    with open("/run/user/systemd/user/weftd.service", "w", encoding="ascii") as file:
        file.write(unit)
    manager = subprocess.Popen([SYSTEMD, "--user"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists("/run/user/systemd/private"):
        assert manager.poll() is None, "systemd ended"
        time.sleep(0.01)
    return manager


def main(program, folder, log):
    manager = set_up(program, folder, log)
    guests = Guests()
    acts = {
        "hello": lambda: "hello",
        "systemctl": systemctl,
        "reload": reload,
        "show": show,
        "listening": listening,
        "guest": guests.serve,
        "flows": guests.connect,
        "check": guests.check,
        "ends": guests.ends,
        "kill": lambda: os.kill(int(show("MainPID")), signal.SIGKILL),
    }
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(acts[name](*arguments)), flush=True)
    guests.close()
    systemctl("stop", "weftd", check=False)
    manager.kill()


def available():
    root = cgroup_root()
    return bool(shutil.which("systemctl") and os.path.exists(SYSTEMD) and root and os.access(root, os.W_OK))


if __name__ == "__main__":
    main(*sys.argv[1:])
