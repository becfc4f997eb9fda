# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of the manual pages and documents run as they stand, in a host where weftd has its default places."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.daemon import SANITIZER_OPTIONS, build_dir
from harness.wait import poll_until

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAMS = "weftctl|weftd|nft|ip|tc|curl|jailer|conntrack|journalctl|systemctl|iptables|ssh|prlimit"
DOCUMENTS = ("README.md", "SECURITY.md", "docs/operations.md", "docs/integrating.md", "docs/architecture.md", "docs/acceptance.md",
             "docs/asleep.md")
PAGES = ("man/weftctl.1.in", "man/weftd.8.in", "man/weftd.conf.5.in")

# What does not run here, and why. Each must be there, so that this list does not outlive its reasons.
NOT_HERE = {
    r"(sudo )?(systemctl|journalctl) .*": "there is no service manager; test_systemd.py has one",
    r"cd /usr/share/doc/weft/.*|install .*|systemd-sysusers": "it changes /etc; test_systemd_vm.py has a machine of its own for that",
    r"apt install weft.*": "test_package.py installs the package",
    r"weftctl upgrade-check( && .*)?": "it runs the weftd that is installed; test_upgrade_check.py",
    r"ssh .*": "there is no other machine",
    r"iptables .*": "iptables may be missing; the same in nft runs",
    r"(sudo )?\./tools/\w+": "they build weft first; the tests run them elsewhere",
    r"\./autogen.sh .*|\.\./configure .*": "it is how these programs were built",
    r"nft flush ruleset": "it is what others do; test_tamper.py",
    r"prlimit .*": "test_shortage.py does that",
    r"go mod .*": "the program beside it is built below",
    r"python3 -m venv .*": "pip's work; test_client_python.py has it",
    r"jailer --netns|ip netns exec": "the rest is the reader's",
}

# Programs that start VMs: these tell their arguments, one a line, if they find what they need.
STAND_IN = """#!/bin/sh
while [ $# -gt 0 ]; do
	[ "$1" != --netns ] || [ -e "$2" ] || exit 9
	printf '%s\\n' "$1"
	shift
done
"""


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as file:
        return file.read()


def page_examples(name):
    """The lines between .nf and .fi."""
    return [
        line.replace("\\-", "-")
        for block in re.findall(r"^\.nf\n(.*?)^\.fi$", read(name), re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
        if not line.startswith(".")
    ]


def page_commands(name):
    """[command]: what the text of a page shows in bold, as in .B weftctl status."""
    found = []
    for line in re.findall(r"^\.(?:B|BR|RB) .*", read(name), re.MULTILINE):
        line = line.replace("\\-", "-")
        found += re.findall(rf'"((?:{PROGRAMS}) [^"]+)"', line) + re.findall(rf'^\.B ((?:{PROGRAMS}) [^"]+)$', line)
    return found


def document_examples(name):
    """[command]: the lines of blocks of shell, or a whole block that has a function; then what stands between backquotes."""
    text = read(name)
    found = []
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        found += [block] if "() {" in block else [line.strip() for line in block.splitlines()]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found += [" ".join(span.split()) for span in re.findall(rf"`((?:{PROGRAMS}) [^`]+)`", text)]
    return [command.replace(" ... ", " ").replace("\n...\n", "\n:\n") for command in found if command]


def reason_not_to_run(command):
    return next((pattern for pattern in NOT_HERE if re.fullmatch(pattern, command, re.DOTALL)), None)


@pytest.fixture
def shell(host, folder, weftd):
    """shell(COMMAND) runs it as an operator of a host where weft is installed would, and returns its result."""
    os.makedirs(f"{folder}/bin")
    for name in ("weftd", "weftctl"):
        os.symlink(os.path.join(build_dir(), name), f"{folder}/bin/{name}")
    for name in ("jailer", "firecracker", "qemu-system-x86_64", "cloud-hypervisor"):
        with open(f"{folder}/bin/{name}", "w", encoding="ascii") as file:
            file.write(STAND_IN)
        os.chmod(f"{folder}/bin/{name}", 0o755)
    host.add_uplink()
    daemon = weftd({"forwarder": {"stop_drain": "100ms"}})
    # By links it would not be a state directory of weftd's.
    places = {f"/run/weft/{os.path.basename(path)}": path for path in (daemon.socket, daemon.state_dir)}
    for place, path in places.items():
        host.run(["mkdir" if os.path.isdir(path) else "touch", place])
        host.run(["mount", "--bind", path, place])
    environment = {**os.environ, **SANITIZER_OPTIONS, "PATH": f"{folder}/bin:{os.environ['PATH']}"}

    def run(command):
        script = ["sh", "-c", f"set -e\ncd {folder}\n{command}"]
        return host.run(script, check=False, env=environment, stdin=subprocess.DEVNULL)

    run.daemon = daemon
    yield run
    for place in places:
        host.run(["umount", place])


def test_the_examples_of_weftctl_run_in_their_order(shell, guest):
    commands = page_examples("man/weftctl.1.in")
    assert commands[0].startswith("weftctl register") and len(commands) > 4
    for command in commands:
        done = shell(command)
        assert done.returncode == 0 and done.stdout, f"{command}: {done}"
        if command.startswith("weftctl register"):
            guest("ns-1").serve("49983,http,sbx1")
    shell.daemon.api.unregister("sbx1")


def test_the_example_of_a_configuration_is_one(shell, folder):
    with open(f"{folder}/example.conf", "w", encoding="ascii") as file:
        file.write("\n".join(page_examples("man/weftd.conf.5.in")) + "\n")
    done = shell("weftd --check --config example.conf")
    assert "configuration ok" in done.stdout, done


def expected_codes(command):
    if command.startswith(("weftctl doctor", "weftctl door check")):
        return (0, 5)  # the machine of a test may have faults
    if command.startswith("weftd --cleanup"):
        return (71,)  # "stop weftd and the VMs" before
    if command.startswith("weftctl wake"):
        return (0, 1)  # it may be awake
    return (0,)


class Reader:
    """Does what a document says: registers a1 if it does not, and starts the VM as soon as there is a place for it."""

    def __init__(self, shell, guest):
        self.shell, self.guest = shell, guest
        self.api = shell.daemon.api
        self.has_vm = False

    def registered(self):
        return next((one for one in self.api.list() if one["id"] == "a1" and one["state"] != "creating"), None)

    def start_vm(self):
        poll_until(self.registered)
        self.guest(self.registered()).serve("49983,http,a1")
        self.has_vm = True

    def run(self, command):
        registers = "-X PUT" in command or command.startswith("weftctl register a1")
        if registers and self.registered():
            self.api.unregister("a1")
            self.has_vm = False
        if not registers and not self.registered():
            self.api.register("a1", {"ports": [49983], "ready_port": 49983})
            self.has_vm = False
        if not self.has_vm and not registers:
            self.start_vm()
        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(self.shell, command)
            if registers:
                self.start_vm()
            return done.result()

    def close(self):
        for one in self.api.list():
            self.api.unregister(one["id"])


def test_the_commands_of_the_documents_run(shell, guest, host):
    reader = Reader(shell, guest)
    host.run(["nft", "add table inet firewall; add chain inet firewall forward { type filter hook forward priority 0; }"])
    seen, left_out, faults = set(), set(), []
    commands = [(name, command) for name in DOCUMENTS for command in document_examples(name)]
    commands += [(name, command) for name in PAGES for command in page_commands(name)]
    for name, written in commands:
        if written in seen:
            continue
        seen.add(written)
        command = re.sub(r"\b(ID|OTHER)\b", "a1", written)
        if pattern := reason_not_to_run(command):
            left_out.add(pattern)
            continue
        # Nothing runs by accident: these are root's commands on a file system that is the machine's.
        if not re.match(rf"(?:{PROGRAMS}) |sock=", command):
            faults.append(f"{name}: {command}: neither known nor in NOT_HERE")
            continue
        # The name of a command, which needs more, or does not end.
        if re.fullmatch(r"weftctl (\w+)", command) and command.split()[1] not in ("ls", "status", "doctor"):
            command += " --help"
        done = reader.run(command)
        if done.returncode not in expected_codes(command):
            faults.append(f"{name}: {written}: exit {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}")
        if "$(weftctl show" in command and "eval " not in command and re.search("['\"]", done.stdout):
            faults.append(f"{name}: {written}: quotes reach the program: {done.stdout}")
    reader.close()
    host.run(["nft", "delete", "table", "inet", "firewall"])
    assert not faults, "\n".join(faults)
    assert left_out == set(NOT_HERE)


def document_program(folder, language, file):
    """The program of docs/integrating.md in LANGUAGE, as a file."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", read("docs/integrating.md"), re.DOTALL)
    os.makedirs(f"{folder}/{language}")
    with open(f"{folder}/{language}/{file}", "w", encoding="utf-8") as out:
        out.write(block)
    return f"{folder}/{language}"


def build_go(folder):
    """A shell's command that runs the program in Go, built by Debian's Go where it is installed."""
    place = document_program(folder, "go", "main.go")
    with open(f"{place}/go.mod", "w", encoding="ascii") as file:
        file.write("module manager\n\ngo 1.19\n\nrequire weft.example/clients/go v0.0.0\n\n")
        file.write(f"replace weft.example/clients/go => {TOP}/clients/go\n")
    go = "/usr/bin/go" if os.path.exists("/usr/bin/go") else "go"
    env = {"GOCACHE": os.path.join(build_dir(), "go-cache"), **os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    for arguments in (["vet", "."], ["build", "-o", "manager", "."]):
        subprocess.run([go, *arguments], cwd=place, env=env, check=True, timeout=600)
    assert subprocess.run(["gofmt", "-l", "main.go"], cwd=place, capture_output=True, check=True).stdout == b""
    return f"{place}/manager"


def run_python(folder):
    place = document_program(folder, "python", "manager.py")
    return f"PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={TOP}/clients/python/src {sys.executable} {place}/manager.py"


@pytest.mark.xdist_group("go")
@pytest.mark.parametrize("made", [build_go, run_python])
def test_the_managers_of_the_document_start_and_stop_a_vm(shell, guest, folder, made):
    command = made(folder)
    reader = Reader(shell, guest)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shell, command)
        poll_until(lambda: running.done() or reader.registered())
        if not running.done():
            reader.start_vm()
        done = running.result()
    assert (done.returncode, done.stderr) == (0, ""), done
    assert shell.daemon.api.list() == []
    # Its child's output is its own, so this comes from the jailer's stand-in, or not at all.
    assert "--netns\n/run/netns/ns-1\n" in done.stdout or made is build_go


def test_the_manager_of_the_page_about_sleep_resumes(weftd, guest, host, folder):
    """What came while it was not there, and what comes then."""
    notify = f"{folder}/wake.sock"
    daemon = weftd({"wake": {"notify": notify}})
    api = daemon.api
    (block,) = re.findall(r"```python\n(import http.*?)```", read("docs/asleep.md"), re.DOTALL)
    for written, here in (("/run/manager/wake.sock", notify), ("weft.Client()", f"weft.Client({daemon.socket!r})")):
        assert written in block
        block = block.replace(written, here)
    with open(f"{folder}/manager.py", "w", encoding="utf-8") as file:
        file.write(f"start_vm = lambda sandbox: print('start', sandbox, flush=True)\n{block}")
    for name in ("a1", "a2"):
        guest(api.register(name, {"ports": [7], "ready_port": 7, "wake": {"min_awake_ms": 0}})).serve("7,echo")
        api.wait(name, "ready")
        api.patch(name, {"paused": True})
    api.request("POST", "/v1/sandboxes/a1/wake").expect(202)
    path = f"{TOP}/clients/python/src"
    manager = host.popen([sys.executable, f"{folder}/manager.py"], env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"})
    try:
        api.wait("a1", "ready")
        poll_until(lambda: os.path.exists(notify))
        (endpoint,) = api.show("a2")["endpoints"]
        with host.connect("127.0.0.1", int(endpoint["listen"][0].rpartition(":")[2])) as client:
            client.sendall(b"a")
            assert client.recv(1) == b"a"
        assert api.show("a2")["wake"]["asked_at"] is None
    finally:
        manager.terminate()
        manager.wait()


def test_a_reset_at_resume_resets_both_paths(weftd, guest, host):
    """As weftctl(1) says of resume."""
    api = weftd().api
    sandbox = api.register("a1", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    api.wait("a1", "attached")
    with host.connect(sandbox["host_ip"], 7) as kernel, host.connect("127.0.0.1", 20000) as forwarded:
        for client in (kernel, forwarded):
            client.sendall(b"a")
            assert client.recv(1) == b"a"
        api.patch("a1", {"paused": True})
        api.patch("a1", {"paused": False, "flows": "reset"})
        for client in (kernel, forwarded):
            with pytest.raises(ConnectionError):
                client.recv(1)
