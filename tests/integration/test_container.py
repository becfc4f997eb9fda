# SPDX-License-Identifier: GPL-2.0-or-later
"""weftd in a container that has what docs/integrating.md says, and no more: its volumes, its device, its capabilities, a root file system and a
/proc/sys that are read-only. The container is made by unshare(1), so that no runtime is needed.
"""

import contextlib
import json
import os
import re
import subprocess

import pytest

from harness.api import Api, endpoint_port
from harness.daemon import build_dir
from harness.host import difference
from harness.wait import PATIENCE, poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# $1: a folder with the root's files, $2: volumes as SOURCE:PLACE, $3: capabilities as setpriv(1) has them.
CONTAINER = """
set -e
cd "$1"
mount --bind . . && cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev && mkdir dev/net
for name in null urandom net/tun; do
	: >dev/$name && mount --bind /dev/$name dev/$name
done
for volume in $2; do
	mount --rbind "${volume%:*}" ".${volume#*:}"
done
[ -z "$4" ] || mount --make-private run/netns
mount -o remount,bind,ro .
exec chroot . setpriv --bounding-set "-all,$3" --inh-caps -all --no-new-privs weftd --foreground
"""


def documented():
    """The options of the document's podman: [(option, value)]."""
    with open(os.path.join(TOP, "docs", "integrating.md"), encoding="utf-8") as file:
        command = re.search(r"^podman run --name weftd .*?[^\\]\n", file.read(), re.MULTILINE | re.DOTALL)[0]
    words = command.replace("\\\n", " ").split()
    return list(zip(words, words[1:]))


VOLUMES = [value.split(":") for option, value in documented() if option == "--volume"]
CAPABILITIES = next(value.lower().split(",") for option, value in documented() if option == "--cap-add")


def copy_program(path, root, place):
    """With the libraries that it needs."""
    listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    for source, target in [(path, place)] + [(found, found) for found in re.findall(r"(/\S+) \(0x", listed)]:
        os.makedirs(os.path.dirname(root + target), exist_ok=True)
        subprocess.run(["cp", "--dereference", source, root + target], check=True)


@pytest.fixture
def container(host, cgroup, folder):
    """Starts weftd in a container each time, and says whether it still runs."""
    root = f"{folder}/root"
    copy_program(os.path.join(build_dir(), "weftd"), root, "/usr/sbin/weftd")
    copy_program("/usr/bin/setpriv", root, "/usr/bin/setpriv")
    for place in ("proc", "sys", "dev", *(place for _, place, *_ in VOLUMES)):
        os.makedirs(f"{root}/{place}", exist_ok=True)
    volumes = [f"{source}:{place}" for source, place, *_ in VOLUMES if source != "/etc/weft"]
    # As systemd leaves a host, and weft's own sysctls.
    host.run(["mount", "--make-shared", "/run/netns"])
    host.run(["sysctl", "-w", "net.ipv4.ip_forward=1"])
    host.add_uplink()
    before = host.state()
    api = Api(host.file("/run/weft/control.sock"))

    @contextlib.contextmanager
    def start(hidden=""):
        capabilities = ",".join(f"+{name}" for name in CAPABILITIES)
        with open(f"{folder}/log", "ab") as log:
            process = host.popen(
                ["unshare", "--mount", "--uts", "--ipc", "--propagation", "unchanged"]
                + ["sh", "-c", CONTAINER, "sh", root, " ".join(volumes), capabilities, hidden],
                stdout=log,
                stderr=log,
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
            )

        def runs():
            if process.poll() is not None:
                with open(f"{folder}/log", encoding="utf-8") as log:
                    raise AssertionError(log.read())
            with contextlib.suppress(OSError):
                return api.status()["state"] == "running"
            return False

        poll_until(runs)
        try:
            yield process
        finally:
            process.terminate()
            status = process.wait(timeout=PATIENCE)
        assert status == 0

    start.api = api
    yield start
    host.run([os.path.join(build_dir(), "weftd"), "--cleanup"])
    assert not difference(before, host.state())


def mounts(host):
    done = host.run([os.path.join(build_dir(), "weftctl"), "doctor", "--json"], check=False)
    return next(one for one in json.loads(done.stdout) if one["check"] == "mounts")


def test_a_container_needs_what_the_document_says(host, container, guest):
    api = container.api
    with container() as weftd:
        with open(f"/proc/{weftd.pid}/status", encoding="ascii") as file:
            status = file.read()
        held = int(re.search(r"^CapEff:\s+(\w+)", status, re.MULTILINE)[1], 16)
        assert bin(held).count("1") == len(CAPABILITIES)
        sandbox = api.register("a1", {"ports": [7], "ready_port": 7})
        guest(sandbox).serve("7,echo")
        api.wait("a1", "ready")
        with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"
        hops = {hop["hop"]: hop for hop in api.get("/v1/sandboxes/a1/diagnosis").expect(200)["hops"]}
        # No agent is published, so none is asked, and there is no front door.
        assert {name for name, hop in hops.items() if hop["status"] != "ok"} == {"door", "http"}, hops
        assert re.search(r"open in \S+ \(pid \d+\)", hops["tap"]["detail"]), hops["tap"]
        assert mounts(host)["status"] == "ok", mounts(host)
        poll_until(lambda: api.show("a1")["endpoints"][0]["path"] == "kernel")
        way = host.connect("10.11.0.1", 7)
    # Another container takes over what the former one left; what goes past weftd never stopped.
    with way, container():
        way.sendall(b"still")
        assert way.recv(5) == b"still"
        assert api.show("a1")["state"] == "ready"
        api.unregister("a1")


def test_namespaces_that_nobody_sees_are_reported(host, container):
    with container(hidden="yes"):
        container.api.register("a1")
        found = mounts(host)
        assert (found["status"], "a /run/netns of its own" in found["detail"]) == ("warn", True), found
        assert "rshared" in found["fix"]
        container.api.unregister("a1")
