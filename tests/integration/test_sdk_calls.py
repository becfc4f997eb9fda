# SPDX-License-Identifier: GPL-2.0-or-later
"""E2B's own SDKs, unchanged, through weft: the four calls by which an operator checks the network, and similar ones.

The guest is a stand-in with tests/agent in it or, with WEFT_SDK_GUEST=vm, a real VM, as in tools/acceptance.
"""

import pytest

from harness.api import endpoint_port
from harness.sdk import SDKS
from harness.wait import poll_until

each_sdk = pytest.mark.parametrize("kind", SDKS)


def four_calls(sdk, name):
    """create was the first call, when the process was made."""
    assert sdk.created.answer["ok"]
    assert sdk.run("echo hello") == "hello\n"
    assert sdk.run('python3 -c "print(1+1)"') == "2\n"
    sdk.call("write", path=f"{name}.txt", data=f"content of {name}\n")
    assert sdk.call("read", path=f"{name}.txt")["data"] == f"content of {name}\n"


def test_the_four_calls_through_the_default_endpoint(api, box, both):
    box(api.register("a1", {"default": True, "ready_port": 49983})).boot()
    for kind, sdk in both().items():
        four_calls(sdk, kind)
    assert api.show("a1")["counters"]["connections_total"] > 0


def test_the_four_calls_through_published_ports_reach_each_its_own_sandbox(api, box, sdk):
    sandboxes = {name: api.register(name, {"ports": [49983]}) for name in ("a1", "a2", "a3")}
    boxes = [box(sandbox) for sandbox in sandboxes.values()]
    for one in boxes:
        one.power_on()
    for one in boxes:
        one.serve()
    for kind in SDKS:
        clients = {
            name: sdk(kind, url=f"http://localhost:{endpoint_port(sandbox)}") for name, sandbox in sandboxes.items()
        }
        for name, client in clients.items():
            four_calls(client, f"{kind}-{name}")
        for name, client in clients.items():
            names = [one for one in client.call("list", path=".")["names"] if one.startswith(kind)]
            assert names == [f"{kind}-{name}.txt"]


@each_sdk
def test_the_kernel_path_serves_the_sdk_too(api, box, sdk, kind):
    sandbox = api.register("a1", {"ready_port": 49983})
    box(sandbox).boot()
    four_calls(sdk(kind, url=f"http://{sandbox['host_ip']}:49983"), kind)


def test_both_loopback_families_are_alike(api, box, both):
    """The client decides what "localhost" is: Python's SDK asks ::1 first whatever the hosts file says, Node the resolver."""
    sandbox = api.register("a1", {"ports": [49983]})
    box(sandbox).boot()
    port = endpoint_port(sandbox)
    assert endpoint_port(sandbox, family=6) == port
    for address in ("127.0.0.1", "[::1]"):
        for where in (49983, port):
            for sdk in both(url=f"http://{address}:{where}").values():
                assert sdk.run("echo hello") == "hello\n"
                sdk.kill()


def test_files_are_made_listed_renamed_removed_and_watched(api, box, both):
    box(api.register("a1", {"default": True, "ready_port": 49983})).boot()
    for kind, sdk in both().items():
        assert sdk.call("mkdir", path=kind)["made"]
        sdk.call("watch", path=kind)
        sdk.call("write", path=f"{kind}/one", data="x" * 1000)
        assert sdk.call("list", path=kind)["names"] == ["one"]
        seen = []

        def watched(sdk=sdk, kind=kind, seen=seen):
            seen.extend(sdk.call("watched", path=kind)["events"])
            return ["write", "one"] in seen

        poll_until(watched, what=lambda seen=seen: f"an event of the write; so far {seen}")
        sdk.call("unwatch", path=kind)
        sdk.call("rename", path=f"{kind}/one", to=f"{kind}/two")
        assert not sdk.call("exists", path=f"{kind}/one")["exists"]
        assert sdk.call("exists", path=f"{kind}/two")["exists"]
        sdk.call("remove", path=kind)
        assert not sdk.call("exists", path=kind)["exists"]
        assert sdk.call("health")["running"]


def test_commands_in_the_background_take_input_and_signals(api, box, both):
    box(api.register("a1", {"default": True, "ready_port": 49983})).boot()
    for sdk in both().values():
        pid = sdk.call("start", cmd="cat; exit 3", stdin=True)["pid"]
        following = sdk.begin("wait", pid=pid, stream=True)
        sdk.call("stdin", pid=pid, data="first\n")
        assert following.wait_events(1)[0][1] == {"stdout": "first\n"}
        assert pid in sdk.call("ps")["pids"]
        assert sdk.call("kill", pid=pid)["killed"]
        assert following.failure().exit_code != 0
        assert pid not in sdk.call("ps")["pids"]


def test_output_arrives_as_it_is_written(api, box, both):
    """Each line leaves the guest while the command still runs: it waits for an answer before the next."""
    box(api.register("a1", {"default": True, "ready_port": 49983})).boot()
    for sdk in both().values():
        pid = sdk.call("start", cmd="for i in 1 2 3; do echo $i; read answer; done", stdin=True)["pid"]
        following = sdk.begin("wait", pid=pid, stream=True)
        for line in (1, 2, 3):
            assert following.wait_events(line)[line - 1][1] == {"stdout": f"{line}\n"}
            assert following.running()
            sdk.call("stdin", pid=pid, data="go on\n")
        assert following.result()["stdout"] == "1\n2\n3\n"


def test_a_command_that_fails_is_a_failure_of_the_command(api, box, both):
    box(api.register("a1", {"default": True, "ready_port": 49983})).boot()
    for sdk in both().values():
        assert sdk.begin("run", cmd="echo lost >&2; exit 7").failure().exit_code == 7
        assert sdk.run("echo hello") == "hello\n"


def test_a_command_runs_as_its_user_in_that_users_home(api, box, both):
    box(api.register("a1", {"default": True, "ready_port": 49983})).boot()
    for sdk in both().values():
        for options, uid, home in ({}, 0, "/root"), ({"user": "user"}, 1000, "/home/user"):
            told = sdk.run("id -u; echo $HOME; cd; echo mine >mine; cat mine", **options).split()
            assert (told[0], told[2]) == (str(uid), "mine")
            assert told[1].endswith(home)  # below a folder of its own, in a stand-in guest
        failed = sdk.begin("run", cmd="true", user="stranger").failure()
        assert "invalid username: 'stranger'" in failed.message
