# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the integration tests. Each test has a host of its own: a network and a mount namespace.

The programs under test come from WEFT_BUILD, by default build/ at the top of the source. The tests need root.

    host      the host; with host.run(), host.popen(), host.connect(), host.netns("ns-1"), host.add_uplink(), ...
    weftd     weftd(config={...}) starts the daemon in it and returns a Weftd; `weftd.api` is the client of its socket
    manager   a stand-in for the service manager; manager.start(weftd(run=False)) starts the daemon under it
    daemon    a weftd that runs with the defaults
    api       its client
    guest     guest("ns-1") attaches a stand-in guest to tap0 there; guest.many([...]) hundreds of them
    vm        vm("ns-1") boots a real virtual machine on tap0 there (slow: mark such tests with @pytest.mark.vm)
    boxes     boxes("a1") makes a sandbox whose clients' way can be told, harness.loopback
    job_image  the folder of the VM that runs a job, harness.job_vm
    sdk, both, box   E2B's SDKs, one or both, and guests with an agent for them; the fixtures below say more
    redis     Debian's redis-server on the host's 127.0.0.1:6379, harness.redis
    proxy     real proxies in the host: proxy.judge(), proxy.mitmdump(), proxy.haproxy(), see harness.proxies
    door      door() starts the front door, HAProxy with weft's files, over the daemon's socket; door.guest(id, {...}) makes a sandbox with
              the servers of harness/front_door_guest.py in it
    sandbox, forwarder, up   the forwarder alone: a namespace, a forwarder with a route "a1" to it, and a guest there
    cgroup    the test and what it starts are in a cgroup of their own, and the host has a bpffs: the daemon may put its programs there
    folder    a directory of the test's own, with a short path (a unix socket's path has at most 107 characters)
"""

import os
import shutil
import tempfile
import zlib

import pytest

from harness.cgroup import Cgroup
from harness.daemon import Weftd, build_dir
from harness.front_door import Door, Programs
from harness.forwarder import Forwarder, Sandbox
from harness.guests import Vmm
from harness.host import Host
from harness.loopback import Box
from harness.manager import Manager
from harness.proxies import Proxies
from harness.proxies import install as install_proxies
from harness.redis import Redis
from harness.sdk import SDKS, Sdk, StandinBox, VmBox
from harness.sdk import install as install_sdks
from harness.vm import VirtualMachine, make_image


def pytest_configure(config):
    if os.geteuid() != 0:
        raise pytest.UsageError("the integration tests make namespaces: run them as root")
    for program in ("weftd", "weftctl", "tests/guest/standin", "tests/guest/server"):
        if not os.path.exists(os.path.join(build_dir(), program)):
            raise pytest.UsageError(f"{program} is not built in {build_dir()}: set WEFT_BUILD, or run make there")


def pytest_make_parametrize_id(val, argname):
    """Names long values by length and checksum: a test's name goes into the environment, which is limited to 128 KiB."""
    if isinstance(val, (str, bytes)) and len(val) > 60:
        return f"{argname}-{len(val)}-{zlib.crc32(val if isinstance(val, bytes) else val.encode()):08x}"
    return None


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="weft-test-", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def host():
    made = Host()
    yield made
    made.close()


@pytest.fixture
def cgroup(host):
    """Name it before `weftd`, so that it outlives the daemons."""
    made = host.cgroup or Cgroup(host)
    yield made
    if not host.cgroup:
        made.close()


@pytest.fixture
def weftd(host, folder):
    """Starts daemons. Each must end with status 0, no sanitizer report and no leftovers."""
    started = []

    def start(config=None, arguments=(), run=True):
        name = f"{folder}/{len(started)}" if started else folder
        os.makedirs(name, exist_ok=True)
        made = Weftd(host, name, config, arguments)
        started.append(made)
        return made.start() if run else made

    yield start
    problems = []
    for made in reversed(started):
        try:
            made.finish()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture
def manager(folder):
    """A stand-in for the service manager. It starts daemons, and keeps their sockets."""
    made = Manager(folder)
    yield made
    made.close()


@pytest.fixture
def daemon(weftd):
    return weftd()


@pytest.fixture
def api(daemon):
    return daemon.api


class GuestFactory:
    """Makes stand-in guests, and removes them at the end of the test, before the daemon stops."""

    def __init__(self, host):
        self.host = host
        self.vmms = []

    def __call__(self, sandbox, *arguments):
        """A guest for a sandbox, given as the API's object or as its namespace's name. Arguments for its VMM may follow."""
        return self.many([sandbox], *arguments)[0]

    def many(self, sandboxes, *arguments):
        """Guests that share one VMM process."""
        names = [sandbox if isinstance(sandbox, str) else sandbox["netns"] for sandbox in sandboxes]
        vmm = Vmm(self.host, [f"/run/netns/{name}" for name in names], arguments)
        self.vmms.append(vmm)
        return vmm.guests

    def close(self):
        for vmm in self.vmms:
            vmm.close()


@pytest.fixture
def guest(host, request):
    if {"daemon", "weftd", "api"} & set(request.fixturenames):
        request.getfixturevalue("weftd")  # so that guests are removed before the daemon stops
    factory = GuestFactory(host)
    yield factory
    factory.close()


@pytest.fixture
def boxes(host, daemon, guest):
    """boxes("a1", {...}): a sandbox of the daemon `daemon`, see harness.loopback."""
    made = []

    def make(name="a1", body=None):
        made.append(Box(host, daemon, guest, name, body))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def redis(host, folder):
    made = Redis(host, folder)
    yield made
    made.stop()


@pytest.fixture
def sandbox(host):
    return Sandbox(host, "ns-1")


@pytest.fixture
def start_forwarder(host, folder, sandbox):
    """Starts forwarders with a route "a1" to the sandbox, without carrier."""
    made = []

    def start(**options):
        one = Forwarder(host, folder, **options)
        made.append(one)
        one.tell(f"route a1 {sandbox.path}")
        return one

    yield start
    for one in made:
        one.close()


@pytest.fixture
def forwarder(start_forwarder):
    return start_forwarder()


@pytest.fixture
def up(forwarder, guest):
    """Attaches a guest, waits for its carrier, and returns it."""
    one = guest("ns-1")
    forwarder.tell("up a1 1")
    return one


@pytest.fixture(scope="session")
def vm_image():
    """The folder with the VM's kernel and initramfs, built from Debian's packages or cached."""
    return make_image()


@pytest.fixture(scope="session")
def agent_image():
    """The same with Python and the agent that E2B's SDKs talk to."""
    return make_image("--agent")


@pytest.fixture(scope="session")
def job_image():
    """The same with the kernel modules that weft uses, to run a job in (harness.job_vm)."""
    return make_image("--job")


@pytest.fixture
def vm(host, folder, request):
    if {"daemon", "weftd", "api"} & set(request.fixturenames):
        request.getfixturevalue("weftd")  # so that VMs end before the daemon stops
    booted = []

    def boot(sandbox, agent=False, **options):
        image = request.getfixturevalue("agent_image" if agent else "vm_image")
        if agent:
            options.setdefault("memory", 256)
        made = VirtualMachine(host, image, f"{folder}/vm-{len(booted)}.console", sandbox, **options)
        booted.append(made)
        return made

    yield boot
    for made in booted:
        made.kill()


@pytest.fixture(scope="session")
def sdk_folder():
    """The folder in which tests/sdk/install put E2B's SDKs."""
    return install_sdks()


@pytest.fixture
def sdk(host, sdk_folder, request):
    """sdk("python", url=..., namespace=..., env=...): a process of that SDK; without a URL it calls localhost:49983."""
    if {"daemon", "weftd", "api"} & set(request.fixturenames):
        request.getfixturevalue("weftd")
    started = []

    def start(kind, url=None, namespace=None, env=None, **options):
        made = Sdk(sdk_folder, kind, namespace or host, url, env, **options)
        started.append(made)
        return made

    yield start
    for made in started:
        made.close()


@pytest.fixture
def both(sdk):
    """both(url=..., ...): a process of each SDK, by its name."""
    return lambda **options: {kind: sdk(kind, **options) for kind in SDKS}


@pytest.fixture
def box(host, folder, request):
    """box(sandbox): a guest with the agent, not yet started. With WEFT_SDK_GUEST=vm it is a real VM."""
    if {"daemon", "weftd", "api"} & set(request.fixturenames):
        request.getfixturevalue("weftd")  # so that guests are removed before the daemon stops
    made = []

    def make(sandbox):
        where = f"{folder}/box-{len(made)}"
        os.makedirs(where)
        if os.environ.get("WEFT_SDK_GUEST") == "vm":
            made.append(VmBox(host, sandbox, where, request.getfixturevalue("agent_image")))
        else:
            made.append(StandinBox(host, sandbox, where))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(scope="session")
def proxy_folder():
    """The folder in which tests/proxies/install put the proxies."""
    return install_proxies()


@pytest.fixture
def proxy(host, folder, proxy_folder):
    """Starts proxies in the host, and kills them at the end of the test."""
    made = Proxies(host, proxy_folder, folder)
    yield made
    made.close()


class Doors:
    """Starts the front door, and sandboxes with servers behind it."""

    def __init__(self, host, folder, guest):
        self.host = host
        self.folder = folder
        self.guests = guest
        self.doors = []
        self.programs = []

    def __call__(self, **options):
        made = Door(self.host, f"{self.folder}/door-{len(self.doors)}", **options)
        self.doors.append(made)
        return made.start()

    def guest(self, daemon, name, body=None, arguments=()):
        """Registers a sandbox, and waits until its servers answer. Returns it, and its guest."""
        made = daemon.api.register(name, {"ready_port": 8080, **(body or {})})
        guest = self.guests(made)
        self.programs.append(Programs(guest, name, *arguments))
        daemon.api.wait(name, "ready")
        return made, guest

    def close(self):
        for one in self.programs:
            one.stop()
        for one in self.doors:
            one.stop()


@pytest.fixture
def door(host, folder, guest, weftd):  # pylint: disable=unused-argument
    made = Doors(host, folder, guest)
    yield made
    made.close()
