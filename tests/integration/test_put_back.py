# SPDX-License-Identifier: GPL-2.0-or-later
"""Others delete the control socket, the state directory, its lock: weftd puts them back, and nobody loses a sandbox or a connection."""

import fcntl
import json
import os
import shutil
import socket
import stat

import pytest

from harness.wait import poll_until


@pytest.fixture
def daemon(weftd):
    """A daemon with a run directory of its own, as /run/weft is, and two sandboxes."""
    made = weftd(run=False)
    run = os.path.join(made.folder, "run")
    os.mkdir(run)
    os.chmod(run, 0o750)
    made.socket = made.api.path = os.path.join(run, "control.sock")
    made.state_dir = os.path.join(run, "state")
    made.start()
    for name in ("a", "b"):
        made.api.register(name, {"ports": [80]})
    return made


def run_directory(daemon):
    return os.path.dirname(daemon.socket)


def answers(daemon):
    try:
        return daemon.api.status()["state"] == "running"
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        return False


def is_whole(daemon):
    """Whether all files are there with their permissions, the daemon can be asked, and its lock is held."""
    files = {"1.json", "2.json", "lock"}
    try:
        modes = [os.lstat(os.path.join(daemon.state_dir, name)).st_mode for name in files]
        if os.lstat(daemon.socket).st_mode != stat.S_IFSOCK | 0o660 or set(modes) != {stat.S_IFREG | 0o600}:
            return False
        with open(os.path.join(daemon.state_dir, "lock"), encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return lock.read() == f"{daemon.pid}\n" and answers(daemon)
    except FileNotFoundError:
        return False


def put_back(daemon):
    poll_until(lambda: is_whole(daemon), what=daemon.log_tail)


def delete_all(daemon):
    shutil.rmtree(run_directory(daemon))


def delete_socket(daemon):
    os.unlink(daemon.socket)


def delete_state(daemon):
    shutil.rmtree(daemon.state_dir)


def delete_lock(daemon):
    os.unlink(os.path.join(daemon.state_dir, "lock"))


def delete_file(daemon):
    os.unlink(os.path.join(daemon.state_dir, "1.json"))


def open_socket_to_all(daemon):
    os.chmod(daemon.socket, 0o666)
    os.chown(daemon.socket, -1, 100)


def leave_dead_socket(daemon):
    os.unlink(daemon.socket)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(daemon.socket)


DELETIONS = [delete_all, delete_socket, delete_state, delete_lock, delete_file, open_socket_to_all, leave_dead_socket]
WHAT = {
    delete_all: {"control socket", "state directory"},
    delete_state: {"state directory"},
    delete_lock: {"lock of the state directory"},
    delete_file: {"state file"},
}


def test_whatever_is_deleted_comes_back_and_old_connections_go_on(daemon):
    kept = socket.socket(socket.AF_UNIX)
    kept.connect(daemon.socket)
    with daemon.api.news() as events:
        for delete in DELETIONS:
            delete(daemon)
            left = set(WHAT.get(delete, {"control socket"}))
            while left:  # on the connection that was there before
                event = next(events)
                left -= {event.get("what")} if event["type"] == "repair" else set()
                assert event["type"] in ("repair", "host") and event.get("status") in (None, "ok"), event
            put_back(daemon)
    kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert kept.recv(100).startswith(b"HTTP/1.1 200")
    kept.close()
    assert stat.S_IMODE(os.stat(run_directory(daemon)).st_mode) == 0o750
    assert os.stat(daemon.socket).st_gid == os.getgid()
    # Neither a second daemon nor a cleanup comes past it, and the files are good for the next start.
    assert daemon.run("--foreground").returncode == 69
    assert daemon.run("--cleanup").returncode == 71
    daemon.kill()
    daemon.start()
    assert [(one["id"], one["state"]) for one in daemon.api.list()] == [("a", "waiting"), ("b", "waiting")]
    assert "state file not readable" not in daemon.log()


def test_the_socket_that_was_put_back_outlives_a_kill(weftd, manager):
    made = weftd(run=False)
    manager.start(made)
    for _ in range(2):
        delete_socket(made)
        poll_until(lambda: answers(made), what=made.log_tail)
    with socket.socket(socket.AF_UNIX) as kept:
        made.kill()
        kept.connect(made.socket)  # by the file, to the socket that the service manager has
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        manager.start(made)
        assert kept.recv(100).startswith(b"HTTP/1.1 200")


def test_a_host_event_names_the_files(daemon):
    with daemon.api.events() as events:
        delete_socket(daemon)
        told = next(one for one in events if one["type"] == "host")
    assert (told["check"], told["status"], told["sandbox"]) == ("files", "ok", None)
    assert "control socket" in told["detail"]
    daemon.wait_log("level=warning .*repaired.*control socket")


def test_a_request_that_meets_the_deletion_is_served(daemon):
    """Its connection is older, and its file is the first in the new directory."""
    with daemon.standing_still():
        kept = socket.socket(socket.AF_UNIX)
        kept.connect(daemon.socket)
        kept.sendall(b"PUT /v1/sandboxes/c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        delete_all(daemon)
    assert kept.recv(1000).startswith(b"HTTP/1.1 201")
    kept.close()
    put_back(daemon)
    assert os.path.exists(os.path.join(daemon.state_dir, "3.json"))


def test_what_others_put_in_its_place_is_left_alone_until_it_is_nobodys(daemon):
    run = run_directory(daemon)
    with socket.socket(socket.AF_UNIX) as other:
        delete_socket(daemon)
        other.bind(daemon.socket)
        other.listen()
        daemon.wait_log(f"control socket not in order.*pid {os.getpid()}")
        assert daemon.running()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(daemon.socket)
            assert other.accept()
    put_back(daemon)

    elsewhere = os.path.join(daemon.folder, "elsewhere")
    os.mkdir(elsewhere)
    os.chmod(elsewhere, 0o777)
    with daemon.standing_still():
        os.rename(run, run + ".old")
        os.symlink(elsewhere, run)
    daemon.wait_log("not in order.*symbolic link")
    with daemon.standing_still():
        assert os.listdir(elsewhere) == []
        os.unlink(run)
        os.rename(elsewhere, run)
    daemon.wait_log("can be written by others")
    with daemon.standing_still():
        assert os.listdir(run) == []
        os.rmdir(run)
    put_back(daemon)
    shutil.rmtree(run + ".old")


def in_namespace(daemon, path):
    return f"/proc/{daemon.pid}/root{path}"


def names(daemon):
    try:
        return set(os.listdir(in_namespace(daemon, daemon.state_dir)))
    except FileNotFoundError:
        return set()


def test_a_full_disk_is_no_verdict_and_another_mount_is_followed(host, daemon):
    run = run_directory(daemon)
    with daemon.api.news() as events:
        # Room for the directory, the socket, the state directory and the lock.
        host.run(["mount", "-t", "tmpfs", "-o", "mode=0755,nr_inodes=5", "weft-test", run])
        told = next(one for one in events if one["type"] == "host" and one["status"] == "fail")
        assert told["check"] == "files" and "No space left" in told["detail"]
        assert {one["state"] for one in host_list(host, daemon)} == {"waiting"}
        host.run(["mount", "-o", "remount,nr_inodes=100", run])
        poll_until(lambda: {"1.json", "2.json", "lock"} <= names(daemon), what=daemon.log_tail)
        next(one for one in events if one["type"] == "repair" and one["what"] == "state directory")
        # The former directory has a file that is too old, which is nobody's when it comes back.
        shutil.copy(os.path.join(daemon.state_dir, "2.json"), os.path.join(daemon.state_dir, "9.json"))
        host.run(["umount", "-l", run])
        put_back(daemon)
        poll_until(lambda: "9.json.aside" in names(daemon) and "9.json" not in names(daemon), what=daemon.log_tail)
    os.unlink(os.path.join(daemon.state_dir, "9.json.aside"))


def host_list(host, daemon):
    """By a socket that this process cannot see: asked from within the host's mounts."""
    done = host.run(["curl", "-s", "--unix-socket", daemon.socket, "http://x/v1/sandboxes"])
    return json.loads(done.stdout)["sandboxes"]


def test_while_another_process_has_the_lock_nothing_is_written(daemon):
    lock = os.path.join(daemon.state_dir, "lock")
    with daemon.standing_still():
        os.unlink(lock)
        other = open(lock, "w", encoding="ascii")
        other.write(f"{os.getpid()}\n")
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
    daemon.wait_log(f"not in order.*another weftd .pid {os.getpid()}.")
    daemon.api.request("PUT", "/v1/sandboxes/c").problem(500)
    assert not os.path.exists(os.path.join(daemon.state_dir, "3.json"))
    other.close()
    put_back(daemon)
    daemon.api.register("c")
