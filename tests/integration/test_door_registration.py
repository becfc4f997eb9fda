# SPDX-License-Identifier: GPL-2.0-or-later
"""The door's socket and a sandbox's door: opened, kept, put back and told of; registered, changed and applied."""

import base64
import contextlib
import grp
import hashlib
import os
import re
import signal
import socket
import stat

import pytest

from harness.daemon import Weftd
from harness.wait import PATIENCE, poll_until

DEFAULT = "/run/weft/door.sock"  # in a host of its own, like all of /run/weft
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
UNIQUE_ID = 5
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def token_hash(token):
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


def header(wanted):
    """What HAProxy sends first: PROXY protocol, version 2, from 192.0.2.7:1234 to 192.0.2.1:443, with WANTED as the unique id."""
    tlv = bytes([UNIQUE_ID]) + len(wanted).to_bytes(2, "big") + wanted.encode()
    body = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.1") + (1234).to_bytes(2, "big") + (443).to_bytes(2, "big") + tlv
    return SIGNATURE + b"\x21\x11" + len(body).to_bytes(2, "big") + body


def door_path(host):
    return host.file(DEFAULT)


def come(host, name, port=8080, token="", path=None):
    """A client that HAProxy hands over, as a socket."""
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE)
    made.connect(path or door_path(host))
    made.sendall(header(f"h/{name}/{port}/{token and token_hash(token)}"))
    return made


def read_reply(client):
    """One reply to a request, which has a Content-Length; the client is closed then."""
    with client:
        answer = b""
        while True:
            head, whole, body = answer.partition(b"\r\n\r\n")
            if whole and len(body) >= int(re.search(rb"(?i)content-length: *(\d+)", head)[1]):
                return answer.decode()
            more = client.recv(65536)
            assert more, f"ended after {answer!r}"
            answer += more


def ended(client):
    """Waits until CLIENT's connection is ended. A unix socket that is reset reads as its end, unless there were bytes on their way."""
    with contextlib.suppress(ConnectionResetError):
        assert client.recv(1) == b""


def ask(host, name, port=8080, token="", path=None):
    """The answer to a request by the door: the guest's text, or the reason of a refusal."""
    client = come(host, name, port, token, path)
    client.sendall(REQUEST)
    answer = read_reply(client)
    for line in answer.splitlines():
        if line.startswith("Weft-Refused: "):
            return line.removeprefix("Weft-Refused: ")
    return answer


@pytest.fixture
def served(host, weftd, guest):
    """A daemon with a sandbox "a1", named "web", whose guest answers on 8080 and 8081."""
    daemon = weftd()
    daemon.api.register("a1", {"name": "web", "ready_port": 8080})
    guest("ns-1").serve("8080,http,eighty", "8081,http,eightyone", "49983,http,envd", "7,echo")
    daemon.api.wait("a1", "ready")
    return daemon


def group_with(host, folder, *lines):
    """Gives the host an /etc/group without haproxy, but with LINES."""
    path = os.path.join(folder, "group")
    with open("/etc/group", encoding="utf-8") as file:
        others = [line for line in file if not line.startswith("haproxy:")]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines([*others, *(line + "\n" for line in lines)])
    if not os.path.samefile(path, host.file("/etc/group")):
        host.run(["mount", "--bind", path, "/etc/group"])


# ---- What is registered ----


def test_a_door_is_registered_repeated_and_kept(weftd):
    daemon = weftd()
    door = {"public": False, "token_sha256": token_hash("secret"), "ports": {"8080": "public", "22": "token", "49983": "closed"}}
    shown = daemon.api.register("a1", {"door": door})["door"]
    assert shown == {**door, "host_label": "a1"}
    assert list(shown["ports"]) == ["22", "8080", "49983"]
    assert daemon.api.register("b1")["door"] == {"public": True, "token_sha256": None, "ports": {}, "host_label": "b1"}
    daemon.api.register("a1", {"door": door}, expect=(200,))
    problem = daemon.api.request("PUT", "/v1/sandboxes/a1", body={"door": {**door, "ports": {}}}).problem(409, "id")
    assert "door.ports is {" in problem["detail"]
    daemon.kill()
    daemon.start()
    assert daemon.api.show("a1")["door"] == {**door, "host_label": "a1"}
    daemon.api.register("a1", {"door": door}, expect=(200,))
    daemon.stop()
    daemon.start()
    assert daemon.api.show("a1")["door"] == {**door, "host_label": "a1"}


def test_a_patch_replaces_the_door_and_is_told(weftd):
    api = weftd().api
    api.register("a1", {"door": {"token_sha256": token_hash("secret"), "ports": {"22": "closed"}}})
    with api.news() as events:
        api.patch("a1", {"door": {"ports": {"80": "closed"}}})
        event = next(events)
        assert (event["type"], event["sandbox"]) == ("door", "a1")
        assert {key: event[key] for key in ("public", "token", "ports")} == {"public": True, "token": False, "ports": {"80": "closed"}}
        assert token_hash("secret") not in str(event)
        # The same again, and another field, are no change of it.
        api.patch("a1", {"door": {"ports": {"80": "closed"}}})
        api.patch("a1", {"labels": {"a": "b"}})
        api.patch("a1", {"name": "web"})
        assert next(events)["type"] == "renamed"
    assert api.show("a1")["door"] == {"public": True, "token_sha256": None, "ports": {"80": "closed"}, "host_label": "web"}
    api.patch("web", {"name": "Web"})
    assert api.show("a1")["door"]["host_label"] is None


def test_a_door_that_makes_no_sense_is_refused(weftd):
    api = weftd().api
    api.register("a1")
    for body, field in (
        ({"public": False}, "/door/token_sha256"),
        ({"ports": {"80": "token"}}, "/door/token_sha256"),
        ({"token_sha256": "secret"}, "/door/token_sha256"),
        ({"token_sha256": token_hash("x"), "ports": {"49983": "token"}}, "/door/ports/49983"),
        ({"ports": {"0": "public"}}, "/door/ports/0"),
        ({"ports": {str(port): "public" for port in range(1, 66)}}, "/door/ports"),
        ({"host_label": "x"}, "/door/host_label"),
    ):
        api.request("PUT", "/v1/sandboxes/b1", body={"door": body}).problem(400, field)
        api.request("PATCH", "/v1/sandboxes/a1", body={"door": body}).problem(400, field)
    assert [one["id"] for one in api.list()] == ["a1"]


def test_the_name_by_which_the_door_is_checked_is_nobodys(host, weftd):
    api = weftd().api
    api.register("a1")
    assert "reserved" in api.request("PUT", "/v1/sandboxes/weftdoorcheck").problem(400, "id")["detail"]
    assert "reserved" in api.request("PUT", "/v1/sandboxes/b1", body={"name": "weftdoorcheck"}).problem(400, "/name")["detail"]
    api.request("PATCH", "/v1/sandboxes/a1", body={"name": "weftdoorcheck"}).problem(400, "/name")
    assert ask(host, "weftdoorcheck") == "not-found"


def test_without_public_a_sandbox_needs_a_door(host, weftd, guest):
    daemon = weftd({"door": {"public": "no"}})
    daemon.api.register("a1", {"ready_port": 8080})
    daemon.api.register("b1", {"door": {"public": True}})
    guest("ns-1").serve("8080,http,eighty")
    daemon.api.wait("a1", "ready")
    assert daemon.api.show("a1")["door"] == {"public": False, "token_sha256": None, "ports": {}, "host_label": "a1"}
    assert daemon.api.show("b1")["door"]["public"] is True
    assert ask(host, "a1") == "token-missing"
    assert ask(host, "a1", token="any") == "token-invalid"
    daemon.api.patch("a1", {"door": {"ports": {"8080": "public"}}})
    assert "eighty" in ask(host, "a1")
    # What is registered stays as it was, whatever the configuration says afterwards.
    daemon.write_config({"door": {"public": "yes"}})
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: daemon.api.register("c1", expect=(201, 200))["door"]["public"] or daemon.api.unregister("c1") is None)
    assert daemon.api.show("a1")["door"]["public"] is False


def test_readers_over_tcp_do_not_get_the_hash(host, weftd):
    daemon = weftd({"http": {"listen": "127.0.0.1:9090"}})
    door = {"token_sha256": token_hash("secret"), "ports": {"80": "token"}}
    daemon.api.register("a1", {"door": door})
    for target in ("/v1/sandboxes", "/v1/sandboxes/a1", "/v1/events?sandbox=a1", "/v1/events"):
        with host.connect("127.0.0.1", 9090) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:9090\r\nConnection: close\r\n\r\n".encode())
            told = b""
            while b"snapshot-end" not in told and (more := client.recv(65536)):
                told += more
        assert b"200 OK" in told and b"a1" in told and token_hash("secret").encode() not in told
    assert '"token_sha256":null' in host.run(["curl", "-s", "http://127.0.0.1:9090/v1/sandboxes/a1"]).stdout.replace(" ", "")
    assert daemon.api.show("a1")["door"]["token_sha256"] == token_hash("secret")


# ---- What it does ----


def test_the_policy_is_applied_at_once_and_counted(host, served):
    assert "eighty" in ask(host, "a1") and "eightyone" in ask(host, "web", 8081)
    assert ask(host, "nobody") == "not-found"
    served.api.patch("a1", {"door": {"public": False, "token_sha256": token_hash("secret"), "ports": {"8081": "public", "7": "closed"}}})
    assert ask(host, "a1") == "token-missing"
    assert ask(host, "a1", token="other") == "token-invalid"
    assert "eighty" in ask(host, "a1", token="secret") and "eightyone" in ask(host, "a1", 8081)
    assert "envd" in ask(host, "a1", 49983)
    assert ask(host, "a1", 7, token="secret") == "port-closed"
    with socket.socket(socket.AF_UNIX) as strange:
        strange.connect(door_path(host))
        strange.sendall(b"GET / HTTP/1.1\r\n\r\n")
        ended(strange)

    def counted():
        told, metrics = served.api.status()["door"], served.api.metrics()
        assert told["socket"] == DEFAULT and told["open"] is True
        by_reason = {**told["refused"], "served": told["served"], "broken": told["broken"]}
        assert {key: metrics[f'weft_door_connections_total{{reason="{key}"}}'] for key in by_reason} == by_reason
        wanted = {"not-found": 1, "token-missing": 1, "token-invalid": 1, "port-closed": 1, "served": 5, "broken": 1}
        return {key: value for key, value in by_reason.items() if value} == wanted and not told["connections"] and not metrics["weft_door_held"]

    poll_until(counted, what=lambda: served.api.status()["door"])


def test_a_change_ends_what_it_refuses_and_nothing_else(host, served):
    door = {"token_sha256": token_hash("secret")}
    with come(host, "a1", 7) as bare, come(host, "a1", 7, "secret") as shown:
        for client in (bare, shown):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        served.api.patch("a1", {"door": {"public": False, **door}})
        ended(bare)
        served.wait_log("endpoint=door:7 client=192.0.2.7:1234 .*reason=door-token")
        shown.sendall(b"y")
        assert shown.recv(1) == b"y"
        served.api.patch("a1", {"door": {**door, "ports": {"7": "closed"}}})
        ended(shown)
    served.wait_log("endpoint=door:7 client=192.0.2.7:1234 .*reason=door-closed")


def test_a_vm_whose_file_is_lost_lets_nobody_in(host, served):
    assert "eighty" in ask(host, "a1")
    served.kill()
    os.unlink(os.path.join(served.state_dir, "1.json"))
    served.start()
    assert served.api.show("a1")["state"] == "failed"
    assert ask(host, "a1") in ("token-missing", "port-closed", "not-found")


# ---- The socket ----


def test_the_socket_is_the_groups_which_may_come_later(host, folder, weftd):
    group_with(host, folder)
    daemon = weftd()
    path = door_path(host)
    daemon.wait_log("door: no such group; root alone may connect")
    assert (stat.S_IMODE(os.stat(path).st_mode), os.stat(path).st_uid, os.stat(path).st_gid) == (0o660, 0, 0)
    done = daemon.run("--check")
    assert "there is no group haproxy" in done.stdout, done
    group_with(host, folder, "haproxy:x:4711:")
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: os.stat(path).st_gid == 4711, what=daemon.log_tail)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert ask(host, "nobody") == "not-found"
    daemon.write_config({"door": {"group": ""}})
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: os.stat(path).st_gid == 0, what=daemon.log_tail)
    # Any other group must be there, as that of the control socket.
    daemon.write_config({"door": {"group": "no-such-group"}})
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("configuration not reloaded")
    daemon.stop()
    assert daemon.refuses() == 78
    assert "[door] group = no-such-group: no such group" in daemon.log()
    daemon.write_config({})


@pytest.mark.parametrize("group", [None, grp.getgrgid(1).gr_name])
def test_who_is_not_of_the_group_cannot_connect(host, folder, weftd, group):
    weftd({"door": {"group": group or ""}})
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('/run/weft/door.sock')"

    def may(*identity):
        return host.run(["setpriv", *identity, "/usr/bin/python3", "-c", connect], check=False).returncode == 0

    nobody = ["--reuid=65534", "--regid=65534"]
    assert not may(*nobody, "--clear-groups")
    assert may(*nobody, "--groups=1") == (group is not None)


def test_a_directory_that_others_can_write_to_is_refused(weftd, folder):
    daemon = weftd(run=False)
    for mode, makes_safe in ((0o777, 0o755), (0o1777, 0o755), (0o775, 0o755)):
        directory = os.path.join(folder, f"d{mode:o}")
        os.mkdir(directory)
        os.chown(directory, 0, 1)
        os.chmod(directory, mode)
        daemon.write_config({"door": {"socket": f"{directory}/door.sock"}})
        done = daemon.run("--check")
        assert done.returncode == 78 and f"others than root can write to {directory}" in done.stderr, done
        os.chmod(directory, makes_safe)
        assert "configuration ok" in daemon.run("--check").stdout
    daemon.write_config({})


def test_without_a_path_there_is_no_door(host, weftd):
    daemon = weftd({"door": {"socket": ""}})
    assert daemon.api.status()["door"] is None
    assert not os.path.exists(door_path(host))
    assert not any(name.startswith("weft_door") for name in daemon.api.metrics())
    assert daemon.api.register("a1", {"door": {"ports": {"80": "closed"}}})["door"]["ports"] == {"80": "closed"}


def test_a_stop_removes_the_socket_and_a_cleanup_that_of_a_killed_one(host, folder, weftd):
    daemon = weftd()
    assert os.path.exists(door_path(host))
    daemon.stop()
    assert not os.path.exists(door_path(host))
    daemon.start()
    # One that another weftd listens on is left alone.
    other = Weftd(host, folder, {"names": {"link_group": 77, "veth_prefix": "wv", "netns_prefix": "box."}})
    other.state_dir += "-other"
    other.socket += "-other"
    done = other.run("--cleanup")
    assert done.returncode == 0 and "door" not in done.stdout, done
    daemon.write_config({})
    assert ask(host, "nobody") == "not-found"
    daemon.kill()
    assert os.path.exists(door_path(host))
    done = daemon.run("--cleanup")
    assert f"removed door {DEFAULT}" in done.stdout, done
    assert not os.path.exists(door_path(host))


def test_the_service_manager_keeps_the_socket_and_clients_wait(host, weftd, guest, manager):
    daemon = weftd(run=False)
    manager.start(daemon)
    daemon.api.register("a1", {"ready_port": 8080})
    guest("ns-1").serve("8080,http,eighty")
    daemon.api.wait("a1", "ready")
    inode = os.stat(door_path(host)).st_ino
    for end in (daemon.stop, daemon.kill):
        end()
        client = come(host, "a1")  # nobody accepts it yet
        client.sendall(REQUEST)
        manager.start(daemon)
        assert "eighty" in read_reply(client)
        assert os.stat(door_path(host)).st_ino == inode
    # Another path: the kept socket is closed, and its file is gone.
    daemon.stop()
    daemon.write_config({"door": {"socket": "/run/weft/other.sock"}})
    manager.start(daemon)
    assert "eighty" in ask(host, "a1", path=host.file("/run/weft/other.sock"))
    with pytest.raises(OSError):
        ask(host, "a1")
    daemon.write_config({})
    os.unlink(door_path(host))


def in_the_way(host, kind):
    """Puts something in the place of the door; returns what takes it away."""
    if kind == "file":
        with open(door_path(host), "w", encoding="ascii"):
            pass
        return lambda: os.unlink(door_path(host))
    other = socket.socket(socket.AF_UNIX)
    other.bind(door_path(host))
    other.listen()
    return other.close


@pytest.mark.parametrize("kind, why", [("file", "is there and is not a socket"), ("program", "another program (pid")])
def test_what_is_in_its_place_costs_no_start(host, weftd, kind, why):
    take_away = in_the_way(host, kind)
    daemon = weftd()
    daemon.api.register("a1")
    assert daemon.api.status()["door"]["open"] is False
    [note] = daemon.api.status()["not_open"]
    assert (note["address"], note["proto"], note["what"]) == (DEFAULT, "unix", "[door] socket")
    assert why in note["error"] and DEFAULT in note["error"]
    assert daemon.api.metrics()['weft_addresses_not_open{of="weftd"}'] == 1
    assert len([line for line in daemon.log().splitlines() if "address not open" in line]) == 1
    take_away()
    poll_until(lambda: daemon.api.status()["door"]["open"], what=daemon.log_tail)
    assert daemon.api.status()["not_open"] == []
    assert ask(host, "nobody") == "not-found"


def test_its_file_is_put_back_and_connections_live_on(host, served):
    path = door_path(host)
    with come(host, "a1", 7) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        with served.api.news() as events:
            for change in (os.unlink, lambda name: os.chmod(name, 0o666)):
                change(path)
                event = next(one for one in events if one["type"] == "repair")
                assert (event["what"], event["ok"]) == ("door", True)
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
                assert "eighty" in ask(host, "a1")
        client.sendall(b"y")
        assert client.recv(1) == b"y"
