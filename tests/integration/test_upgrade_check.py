# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl upgrade-check: whether the installed weftd would start in the place of the one that runs. Each verdict is held to a real start."""

import json
import os

import pytest

DONE, FAILED, USAGE = range(3)
COMMAND_LINE, NO_INPUT, UNAVAILABLE, CONFIG = 64, 66, 69, 78


def check(daemon, *arguments):
    return daemon.ctl("upgrade-check", "--weftd", daemon.program, *arguments, check=False)


def refused(daemon, code, *told):
    """The check says CODE and TOLD, of a daemon that runs and then of one that does not, and a start ends with CODE."""
    runs = daemon.running()
    done = check(daemon)
    assert done.returncode == code, done
    assert all(one in done.stdout for one in told), done.stdout
    if runs:
        assert f"would not start (exit status {code})" in done.stderr
        assert f"weftd {daemon.api.status()['version']} (process {daemon.pid}) goes on" in done.stderr
        daemon.stop()
        return
    assert done.stderr.endswith(f"would not start (exit status {code}); no weftd runs\n")
    assert daemon.refuses() == code


def test_held_ports_and_faults_of_guests_paths_end_no_start(weftd, host):
    daemon = weftd({"http": {"listen": "127.0.0.1:9477"}}, run=False)
    with host.listen(49983, "127.0.0.1"), host.listen(9477, "127.0.0.1"):
        daemon.start()
        done = daemon.run("--check")
        assert done.returncode == UNAVAILABLE and done.stdout.count("is taken") == 2
        done = check(daemon)
        assert done.returncode == DONE, done
        assert f"would start in the place of weftd {daemon.api.status()['version']} (process {daemon.pid})" in done.stdout
        assert "is taken" not in done.stdout
        told = json.loads(check(daemon, "--json").stdout)
        assert told == {
            **{"weftd": daemon.program, "starts": True, "exit_status": 0, "process": daemon.pid, "connections": 0},
            **{"running": daemon.api.status()["version"], "output": "configuration ok\nhost ok, as far as a start needs it\n"},
        }
        daemon.stop()
        assert "would start; no weftd runs" in check(daemon, "--config", daemon.config).stdout
        daemon.start()


def test_a_configuration_with_which_no_weftd_starts(weftd):
    """The options are those of the process that runs, not the usual ones."""
    daemon = weftd()
    daemon.write_config("[forwarder]\ndefault_wait = soon\n")
    refused(daemon, CONFIG, f"{daemon.config}:2: [forwarder] default_wait = soon")
    daemon.write_config({})
    daemon.start()
    os.rename(daemon.config, f"{daemon.config}.away")
    refused(daemon, NO_INPUT, daemon.config)
    done = daemon.ctl("upgrade-check", "--weftd", daemon.program, "--config", f"{daemon.config}.away")
    assert done.returncode == DONE
    os.rename(f"{daemon.config}.away", daemon.config)


def test_what_the_host_lacks_for_a_start(weftd, host):
    daemon = weftd({"host": {"ip_forward": "require"}}, run=False)
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    daemon.start()
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    refused(daemon, UNAVAILABLE, "fail: ip_forward: net.ipv4.ip_forward is 0", "fix: ")
    done = daemon.run("--check", "--before-restart")
    assert done.returncode == UNAVAILABLE and daemon.refuses() == UNAVAILABLE
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    assert daemon.run("--check", "--before-restart").returncode == DONE

    os.chmod(daemon.state_dir, 0o777)
    done = daemon.run("--check", "--before-restart")
    assert done.returncode == UNAVAILABLE and "has mode 0777" in done.stdout
    assert daemon.refuses() == UNAVAILABLE
    os.chmod(daemon.state_dir, 0o700)

    host.run(["mount", "-t", "tmpfs", "-o", "ro,mode=700", "tmpfs", daemon.state_dir])
    done = daemon.run("--check", "--before-restart")
    assert done.returncode == UNAVAILABLE and "mounted read-only" in done.stdout
    assert daemon.refuses() == UNAVAILABLE
    host.run(["umount", daemon.state_dir])

    with open(daemon.socket, "w", encoding="ascii"):
        pass
    done = daemon.run("--check", "--before-restart")
    assert done.returncode == UNAVAILABLE and "is not a socket" in done.stdout
    assert daemon.refuses() == UNAVAILABLE
    os.unlink(daemon.socket)
    daemon.start()


def test_another_weftd_in_the_way(weftd):
    """Its own is not, although that has the same locks and the same socket."""
    daemon = weftd()
    apart = {
        "names": {"link_group": 4711, "netns_prefix": "n-", "veth_prefix": "v-"},
        "addresses": {"host_cidr": "10.13.0.0/16", "veth_cidr": "10.14.0.0/16"},
        "forwarder": {"default_listen": ""},
    }
    other = weftd(apart)
    assert check(daemon).returncode == check(other).returncode == DONE
    other.write_config({"forwarder": {"default_listen": ""}})
    refused(other, UNAVAILABLE, f"another weftd (process {daemon.pid})", "manages link group 1874")
    assert other.refuses() == UNAVAILABLE
    other.write_config(apart)


@pytest.mark.parametrize(
    "script, code, told",
    [
        ("exit 70", 70, "would not start (exit status 70)"),
        ("kill -9 $$", FAILED, "would not start (a signal ended the check)"),
        (None, FAILED, "No such file"),
        ("yes 'a long list of mistakes' | head -c 3000000; exit 78", CONFIG, "would not start (exit status 78)"),
    ],
    ids=lambda one: str(one)[:12],
)
def test_a_program_that_is_no_use_is_not_taken_for_a_success(weftd, folder, script, code, told):
    daemon = weftd(run=False)
    program = f"{folder}/new-weftd"
    if script:
        with open(program, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(program, 0o755)
    done = daemon.ctl("upgrade-check", "--weftd", program, check=False)
    assert done.returncode == code and told in done.stderr
    assert len(done.stdout) < 2**20 + 100


def test_a_stop_asks_the_service_manager_for_the_time_of_its_drain(weftd, manager):
    daemon = weftd({"forwarder": {"stop_drain": "10m", "handover": "no"}}, run=False)
    manager.start(daemon)
    daemon.stop()
    manager.settle()
    assert manager.said("STOPPING")
    assert manager.said("EXTEND_TIMEOUT_USEC", str(660 * 10**6))
