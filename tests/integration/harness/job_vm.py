# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtual machine that stands for a host: it runs programs of the build on Debian's kernel, and ends with its job.

The programs, the machine's commands that they need and all shared libraries go into an archive in front of the image's own. The VM has
no network card and no disk, so its console carries all results. A job's script frames each step's output by lines that begin with
"vm: ", which run_job() takes apart.
"""

import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass

from .daemon import SANITIZER_OPTIONS, build_dir

_FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "guest", "vm"
)
_COMMANDS = ("sh", "bash", "ip", "tc", "nft", "sysctl", "ping", "ss")  # busybox's would not do
_ETC = ("protocols", "services", "group", "passwd")  # nft and ip show names by them
_MEMORY = 768  # MB: sanitizers need most of it
_LIMIT = 900  # seconds: emulated, with sanitizers, on cores that others use too

_ENVIRONMENT = "".join(f"export {key}={value}\n" for key, value in SANITIZER_OPTIONS.items())

# step NAME COMMAND...: runs it, and frames its output and exit status.
_PRELUDE = """
step() {
	name=$1
	shift
	echo "vm: begin $name"
	"$@" 2>&1
	echo "vm: end $name $?"
}
"""


@dataclass
class Step:
    """What a step of a job left: its exit status and its output."""

    status: int
    text: str


def _libraries(program):
    """Paths of the shared objects that PROGRAM is linked with, the loader among them."""
    done = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True)
    return re.findall(r"(/\S+\.so\S*) \(", done.stdout)


def _add_program(root, source, place):
    """Copies it without its debugging symbols, which would take most of the VM's memory."""
    target = os.path.join(root, place)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    subprocess.run(["strip", "-o", target, os.path.realpath(source)], check=True)
    for library in _libraries(source):
        copy = root + library
        if not os.path.exists(copy):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(library, copy)


def _fill(root, programs, script):
    for name in _COMMANDS:
        found = shutil.which(name)
        assert found, f"{name} is not installed"
        _add_program(root, found, f"job/bin/{name}")
    for name in programs:
        built = os.path.join(build_dir(), name)
        assert os.path.exists(built), f"{name} is not built in {build_dir()}: make check builds it"
        _add_program(root, built, f"job/{name}")
    os.makedirs(f"{root}/etc")
    for name in _ETC:
        shutil.copy(f"/etc/{name}", f"{root}/etc/{name}")
    with open(f"{root}/job/main", "w", encoding="utf-8") as file:
        file.write(_ENVIRONMENT + _PRELUDE + script)
    os.chmod(f"{root}/job/main", stat.S_IRUSR | stat.S_IXUSR)


def _archive(root, output):
    names = subprocess.run(["find", "."], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"], cwd=root, input=names, stdout=output, check=True)


def _steps(console):
    found = {}
    for name, text, status in re.findall(r"^vm: begin (\S+)\n(.*?)^vm: end \1 (\d+)$", console, re.DOTALL | re.MULTILINE):
        assert name not in found, f"the job has two steps {name}"
        found[name] = Step(int(status), text)
    return found


def run_job(image, folder, programs, script):
    """Runs SCRIPT (sh) in a VM with PROGRAMS, which are paths in the build folder, there below /job. Returns {name: Step}."""
    root = f"{folder}/root"
    _fill(root, programs, script)
    with open(f"{folder}/initrd", "wb") as initrd:
        _archive(root, initrd)
        initrd.flush()
        with open(f"{image}/initrd.gz", "rb") as own:
            shutil.copyfileobj(own, initrd)
    shutil.rmtree(root)
    with open(f"{folder}/console", "w+b") as console:
        try:
            argv = [os.path.join(_FOLDER, "run-job"), image, f"{folder}/initrd", str(_MEMORY)]
            subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=_LIMIT, check=False)
        except subprocess.TimeoutExpired:
            pass  # the console shows how far it came
        console.seek(0)
        text = console.read().decode(errors="replace").replace("\r", "")
    assert re.search(r"^vm: the job ended with 0$", text, re.MULTILINE), f"the VM's job did not end well:\n{text[-6000:]}"
    return _steps(text)
