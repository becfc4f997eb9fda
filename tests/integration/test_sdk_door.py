# SPDX-License-Identifier: GPL-2.0-or-later
"""E2B's own SDKs through the front door: in full mode, where a stand-in of E2B's API (tests/sdk/e2b_api.py) makes the sandboxes, and in
local mode, where they pick a sandbox of the host by its id."""

import os
import subprocess
import sys

import pytest

from harness.edge import ask, to
from harness.front_door import HTTP, HTTPS, SOCKET, Door
from harness.sdk import SDKS, StandinBox, versions
from harness.wait import poll_until
from harness.waker import Waker

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sdk"))

import e2b_api  # pylint: disable=wrong-import-position

each_sdk = pytest.mark.parametrize("kind", SDKS)

API_PORT = 3000
URL = f"http://localhost:{HTTP}"
DOMAIN = "box.example"
IDS = [e2b_api.new_id() for _ in range(2)]


@pytest.fixture
def waker(folder):
    """Where weftd asks for sandboxes that are to be resumed."""
    made = Waker(f"{folder}/waker.sock").start()
    yield made
    made.close()


@pytest.fixture
def daemon(weftd, waker):
    return weftd(config={"door": {"socket": SOCKET}, "wake": {"notify": waker.path}})


@pytest.fixture
def door(host, folder, daemon):
    made = Door(host, folder).start()
    yield made
    made.stop()


@pytest.fixture
def cloud(host, daemon, box, waker):
    """E2B's API."""
    made = e2b_api.E2bApi(host.listen(API_PORT, "127.0.0.1"), daemon.api, box, DOMAIN, IDS)
    waker.otherwise = made.wake
    yield made
    made.close()


def knows_sandbox_url(sdk_folder, kind):
    """Debian 12's Node runs only an SDK that has no E2B_SANDBOX_URL, and tells no proxy its sandbox's id."""
    return tuple(map(int, versions(sdk_folder)[kind].split(".")[:2])) >= (2, 13)


@pytest.fixture
def by_url(sdk, sdk_folder, cloud, door):
    """by_url("python", private=True): a process of that SDK, which has created a sandbox and finds it at the door's URL."""
    environment = {"E2B_API_KEY": e2b_api.KEY, "E2B_API_URL": f"http://127.0.0.1:{API_PORT}", "E2B_SANDBOX_URL": URL}

    def start(kind, **options):
        if not knows_sandbox_url(sdk_folder, kind):
            pytest.skip("this SDK has no E2B_SANDBOX_URL")
        return sdk(kind, env=environment, **options)

    return start


def uses(sdk):
    """Commands and files."""
    assert sdk.run("echo hello") == "hello\n"
    sdk.call("write", path="there", data="content\n")
    assert sdk.call("read", path="there")["data"] == "content\n"
    assert "there" in sdk.call("list", path=".")["names"]
    size = 3_000_000
    sdk.call("write", path="large", size=size)
    assert sdk.call("read", path="large", digest=True)["size"] == size


def serve(cloud, sdk, name, port=8080):
    """A server of HTTP in the guest, which tells the sandbox's id."""
    box = cloud.sandboxes[name].box
    if isinstance(box, StandinBox):
        box.vmm.guests[0].serve(f"{port},http,{name}")
        return
    answer = f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(name)}\\r\\nConnection: close\\r\\n\\r\\n{name}"
    lines = [
        "import socket",
        f"listener = socket.create_server(('', {port}))",
        "while True:",
        "    client = listener.accept()[0]",
        "    client.recv(65536)",
        f"    client.sendall(b'{answer}')",
        "    client.close()",
    ]
    sdk.call("start", cmd=f'exec python3 -c "{chr(10).join(lines)}"')
    asks = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
    sdk.run(f'until python3 -c "{asks}" 2>/dev/null; do sleep 0.1; done')


# ---- Full mode ----


@each_sdk
def test_a_sandbox_lives_and_ends_by_the_api_and_is_used_through_the_door(by_url, kind):
    sdk = by_url(kind)
    name = sdk.created.result()["sandbox"]
    uses(sdk)
    assert sdk.call("sandboxes") == {name: "running"} and sdk.call("info") == {"state": "running"}
    pid = sdk.call("start", cmd="read answer; echo $answer", stdin=True)["pid"]
    following = sdk.begin("wait", pid=pid, stream=True)
    sdk.call("stdin", pid=pid, data="go on\n")
    assert following.result()["stdout"] == "go on\n"
    assert sdk.call("destroy")["destroyed"]
    assert sdk.call("sandboxes") == {} and not sdk.call("health")["running"]


@each_sdk
def test_a_call_to_a_paused_sandbox_waits_until_somebody_connects_to_it(by_url, daemon, kind):
    sdk = by_url(kind)
    name = sdk.created.result()["sandbox"]
    sdk.call("write", path="kept", data="still here")
    sdk.call("pause")
    assert sdk.call("info") == {"state": "paused"}
    reading = sdk.begin("read", path="kept")

    def arrived():
        counters = daemon.api.show(name)["counters"]
        return counters["connections_held"] + counters["connections_open"]

    poll_until(arrived)
    assert reading.running()
    sdk.call("attach", sandbox=name)
    assert reading.result()["data"] == "still here"
    uses(sdk)


@each_sdk
def test_a_call_wakes_a_sandbox_that_resumes_by_itself(by_url, waker, kind):
    """Nobody connects to it: weftd asks for it. A command that ran when it was paused has its input, and its output is heard."""
    sdk = by_url(kind, wakes=True)
    name = sdk.created.result()["sandbox"]
    pid = sdk.call("start", cmd="read answer; echo $answer", stdin=True)["pid"]
    following = sdk.begin("wait", pid=pid, stream=True)
    for number, call in enumerate((lambda: sdk.run("echo hello"), lambda: sdk.call("stdin", pid=pid, data="go on\n")), 1):
        sdk.call("pause")
        assert sdk.call("info") == {"state": "paused"} and following.running()
        call()
        assert sdk.call("info") == {"state": "running"}
        (*_, said) = waker.await_told(name, number)
        assert (said["via"], said["dest_port"], said["attempt"]) == ("front-door", 49983, 1)
        assert len(waker.told(name)) == number
    assert following.result()["stdout"] == "go on\n"
    uses(sdk)


@each_sdk
def test_two_sandboxes_of_one_account_are_told_apart(by_url, kind, daemon):
    first, second = by_url(kind), by_url(kind)
    for sdk in first, second:
        sdk.call("write", path="who", data=sdk.created.result()["sandbox"])
    names = [sdk.created.result()["sandbox"] for sdk in (first, second)]
    assert len(set(names)) == 2
    for name in names:
        first.call("attach", sandbox=name)
        assert first.call("read", path="who")["data"] == name


@each_sdk
def test_a_private_sandbox_shows_its_ports_to_those_with_its_token(by_url, cloud, host, kind):
    sdk = by_url(kind, private=True)
    created = sdk.created.result()
    name, token = created["sandbox"], created["token"]
    assert sdk.run("echo hello") == "hello\n"  # the agent has tokens of its own
    serve(cloud, sdk, name)
    assert ask(host, headers=to(name, 8080)).status == 403
    assert ask(host, headers=to(name, 8080, **{"E2b-Traffic-Access-Token": "guessed"})).status == 403
    told = ask(host, headers=to(name, 8080, **{"E2b-Traffic-Access-Token": token}))
    assert told.status == 200 and name in told.body


# ---- Full mode with a domain ----


@pytest.fixture
def names(host, folder):
    """The host's names: the sandboxes' in DOMAIN lead to the loopback, as a wildcard record would."""
    path = os.path.join(folder, "hosts")
    labels = [f"{port}-{name}.{DOMAIN}" for name in IDS for port in (49983, 8080)]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"127.0.0.1 localhost\n::1 localhost\n127.0.0.1 {' '.join(labels)}\n")
    host.run(["mount", "--bind", path, "/etc/hosts"])
    yield
    host.run(["umount", "/etc/hosts"])


@pytest.fixture
def certificates(folder):
    """A folder with a certificate for *.DOMAIN, and the authority's file that clients trust."""
    place = os.path.join(folder, "tls")
    os.makedirs(place)
    authority, key, request, signed = (os.path.join(folder, name) for name in ("ca.pem", "ca.key", "request.pem", "signed.pem"))
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    extensions = os.path.join(folder, "extensions")
    with open(extensions, "w", encoding="utf-8") as file:
        file.write(f"subjectAltName=DNS:*.{DOMAIN}\n")
    for argv in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=weft test authority", "-keyout", key, "-out", authority],
        [*new, "-subj", f"/CN=*.{DOMAIN}", "-keyout", f"{folder}/tls.key", "-out", request],
        [*("openssl", "x509", "-req", "-in", request, "-CA", authority, "-CAkey", key, "-days", "2"), "-CAcreateserial"]
        + ["-extfile", extensions, "-out", signed],
    ):
        subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    with open(f"{place}/box.pem", "wb") as file:
        for part in (signed, f"{folder}/tls.key"):
            with open(part, "rb") as piece:
                file.write(piece.read())
    return place, authority


@each_sdk
def test_with_a_domain_each_sandbox_has_names_of_its_own(names, host, folder, daemon, cloud, sdk, certificates, kind):
    place, authority = certificates
    env = {"WEFT_DOOR_TLS": f"127.0.0.1:{HTTPS}", "WEFT_DOOR_CERTS": place}
    door = Door(host, folder, files=("door-tls.cfg",), env=env).start()
    try:
        trust = {"SSL_CERT_FILE": authority, "NODE_EXTRA_CA_CERTS": authority}
        keys = {"E2B_API_KEY": e2b_api.KEY, "E2B_API_URL": f"http://127.0.0.1:{API_PORT}", "E2B_DOMAIN": DOMAIN}
        client = sdk(kind, env={**keys, **trust})
        name = client.created.result()["sandbox"]
        uses(client)
        serve(cloud, client, name)
        place = client.call("host", port=8080)["host"]
        assert place == f"8080-{name}.{DOMAIN}"
        assert name in host.output(["curl", "-s", "--cacert", authority, f"https://{place}/health"])
    finally:
        door.stop()


# ---- Local mode ----


@each_sdk
def test_local_mode_picks_any_sandbox_by_id_or_name_and_waits_for_its_boot(daemon, door, box, sdk, sdk_folder, kind):
    """No API takes part: connect() only keeps the id, and the door does the rest."""
    if not knows_sandbox_url(sdk_folder, kind):
        pytest.skip("this SDK has no E2B_SANDBOX_URL")
    one = daemon.api.register("a1", {"ready_port": 49983})
    box(daemon.api.register("a2", {"ready_port": 49983, "name": "second"})).boot()
    client = sdk(kind, env={"E2B_DEBUG": "true", "E2B_SANDBOX_URL": URL})
    client.call("attach", sandbox="a1")
    early = client.begin("run", cmd="echo hello")
    poll_until(lambda: daemon.api.show("a1")["counters"]["connections_held"] >= 1)
    box(one).boot()
    assert early.result()["stdout"] == "hello\n"
    client.call("write", path="who", data="a1")
    client.call("attach", sandbox="second")
    assert not client.call("exists", path="who")["exists"]
    client.call("attach", sandbox="a1")
    assert client.call("read", path="who")["data"] == "a1"
