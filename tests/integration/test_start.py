# SPDX-License-Identifier: GPL-2.0-or-later
"""How weftd starts, refuses to start, reloads and stops: each exit has its status and names its cause."""

import contextlib
import grp
import os
import re
import signal
import socket
import stat
import subprocess
import time

import pytest

from harness.api import endpoint_port
from harness.client import PORT, echoes, health, reset, was_reset
from harness.daemon import timed
from harness.faults import few_descriptors
from harness.wait import PATIENCE, one_of, poll_until

USAGE, NO_INPUT, UNAVAILABLE, CONFIG = 64, 66, 69, 78


# ---- A mistake in the file is reported with file, line, section, key, value and the allowed values.


MISTAKES = [
    # (the file's text, the line to blame, parts of the message)
    ("[nosuch]\nkey = 1\n", 2, ["[nosuch] key = 1", "allowed"]),
    ("[neither]\n# key = 1\n", 1, ["[neither]", "allowed"]),
    ("[daemon]\nnosuch = 1\n", 2, ["[daemon]", "nosuch"]),
    ("[pool]\nsize = many\n", 2, ["[pool] size = many", "allowed"]),
    ("[forwarder]\nconnect_deadline = 5 parsecs\n", 2, ["[forwarder] connect_deadline = 5 parsecs", "allowed"]),
    ("[forwarder]\ndefault_listen = localhost\n", 2, ["[forwarder] default_listen = localhost", "allowed"]),
    ("[ports]\nallow_privileged = perhaps\n", 2, ["[ports] allow_privileged = perhaps", "yes", "no"]),
    ("[ports]\nrange = 300-200\n", 2, ["[ports] range = 300-200", "allowed"]),
    ("[addresses]\nhost_cidr = 10.11.0.0/33\n", 2, ["[addresses] host_cidr = 10.11.0.0/33", "allowed"]),
    ("[addresses]\n\nveth_cidr = 10.11.128.0/17\n", 3, ["[addresses] veth_cidr = 10.11.128.0/17", "overlaps", "allowed"]),
    ("[names]\nveth_prefix = sandboxes--\n", 2, ["[names] veth_prefix = sandboxes--", "15"]),
    ("[host]\nip_forward = maybe\n", 2, ["[host] ip_forward = maybe", "enable", "require"]),
    ("[addresses]\nuplink = nosuch0\n", 2, ["[addresses] uplink = nosuch0", "allowed"]),
    ("[forwarder]\ndefault_listen = 127.0.0.1:49983\ndefault_listen = 10.99.0.2:49983\n", 3, ["[forwarder] default_listen = 10.99.0.2:49983", "allowed"]),
    ("[http]\nlisten = 10.99.0.2:80\n", 2, ["[http] listen = 10.99.0.2:80", "allowed"]),
    ("[daemon]\nsocket_group = no-such-group\n", 2, ["[daemon] socket_group = no-such-group", "allowed"]),
    ("[egress]\nopen = 10.0.0.0/33\n", 2, ["[egress] open = 10.0.0.0/33", "allowed"]),
    ("[pool]\n size = 1\n", 2, ["indented"]),
]


@pytest.mark.parametrize(("text", "line", "parts"), MISTAKES, ids=lambda one: repr(one)[:40])
def test_a_mistake_is_refused_by_file_line_key_and_value(weftd, text, line, parts):
    daemon = weftd(text, run=False)
    done = daemon.run("--check")
    assert done.returncode == CONFIG, done.stderr
    told = [one for one in done.stderr.splitlines() if one.startswith(f"{daemon.config}:{line}: ")]
    assert len(told) == 1, done.stderr
    assert all(part in told[0] for part in parts), told
    assert daemon.refuses() == CONFIG
    assert told[0] in daemon.log()
    daemon.write_config({})


def test_check_prints_all_mistakes_at_once(weftd, host):
    """Mistakes in the file, values that contradict each other, and mistakes that only the host reveals."""
    text = (
        "[nosuch]\nkey = 1\n[pool]\nsize = many\n[ports]\nrange = 80-90\n[http]\nlisten = 10.99.0.2:80\n"
        "[addresses]\nhost_cidr = 10.31.0.0/16\nveth_cidr = 10.32.0.0/16\nuplink = nosuch0\n[daemon]\nsocket_group = nosuch\n"
    )
    daemon = weftd(text, run=False)
    host.run(["ip", "addr", "add", "10.31.3.4/32", "dev", "lo"])
    host.run(["ip", "route", "add", "10.32.9.0/24", "dev", "lo"])
    done = daemon.run("--check")
    host.run(["ip", "addr", "del", "10.31.3.4/32", "dev", "lo"])
    host.run(["ip", "route", "del", "10.32.9.0/24", "dev", "lo"])
    assert done.returncode == CONFIG
    lines = {int(line.removeprefix(daemon.config + ":").split(":")[0]): line for line in done.stderr.splitlines()}
    assert sorted(lines) == [2, 4, 6, 8, 10, 11, 12, 14], done.stderr
    assert "10.31.3.4 (lo)" in lines[10] and "10.32.9.0/24" in lines[11]
    daemon.write_config({})


def test_a_wider_route_only_warns(weftd, host):
    host.run(["ip", "route", "add", "10.0.0.0/12", "dev", "lo"])
    daemon = weftd()
    assert daemon.wait_log("level=warning .*10.0.0.0/12")
    assert daemon.api.register("a1")["slot"] == 1


def test_a_network_with_bits_beyond_its_length_only_warns(weftd):
    done = weftd("[ingress]\nallow = 10.1.2.3/8\n", run=False).run("--check")
    assert done.returncode == 0, done
    assert "level=warning" in done.stderr and "10.1.2.3/8" in done.stderr and "10.0.0.0/8" in done.stderr


def test_without_mistakes_check_says_so(weftd):
    done = weftd(run=False).run("--check")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "configuration ok" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--nosuch"], USAGE, "--nosuch"),
        (["--config"], USAGE, "--config"),
        (["more"], USAGE, "more"),
        (["--check", "--cleanup"], USAGE, "--check and --cleanup exclude each other"),
        (["--config", "/dev/null"], NO_INPUT, "/dev/null: is a character device"),
        (["--config", "/etc"], NO_INPUT, "/etc: is a directory"),
        (["--config", "/nosuch/weftd.conf"], NO_INPUT, "/nosuch/weftd.conf"),
        (["--config", "/nosuch/weftd.conf", "--check"], NO_INPUT, "/nosuch/weftd.conf"),
        (["--state-dir", "/proc/nosuch"], UNAVAILABLE, "/proc/nosuch"),
        (["--socket", "/proc/nosuch"], UNAVAILABLE, "/proc/nosuch"),
        (["--socket", "/tmp/" + "x" * 120], UNAVAILABLE, "/tmp/xxx"),
    ],
)
def test_exit_codes(weftd, host, arguments, status, told):
    daemon = weftd(run=False)
    done = host.run([*daemon.command("--foreground"), *arguments], check=False)
    assert done.returncode == status, done
    assert told in done.stderr


def test_cleanup_needs_no_host_that_fits(weftd, host):
    daemon = weftd()
    daemon.api.register("a1")
    daemon.stop()
    host.run(["ip", "addr", "add", "10.11.3.4/32", "dev", "lo"])
    done = daemon.run("--cleanup")
    host.run(["ip", "addr", "del", "10.11.3.4/32", "dev", "lo"])
    assert done.returncode == 0, done
    assert host.netns_names() == []


# ---- The default endpoint's address, taken.


WAITED = 5  # seconds that weftd waits for a socket that does not listen


def not_open(daemon):
    return {one["address"]: one for one in daemon.api.status()["not_open"]}


def starts_without(daemon, address, *told):
    """DAEMON starts although ADDRESS is held, says so, and `--check` still finds a fault."""
    daemon.start()
    one = not_open(daemon)[address]
    assert one["what"] == "[forwarder] default_listen"
    assert all(part in one["holder"] and part in one["error"] for part in told), one
    assert re.search(f"level=error.*default_listen.*{re.escape(address)}", daemon.log()), daemon.log_tail()
    assert all(part in daemon.log() for part in told)
    assert daemon.run("--check").returncode == UNAVAILABLE


def starts_without_at_once(daemon, address, *told):
    """The same, without having waited."""

    def started():
        daemon.stop()
        return timed(lambda: starts_without(daemon, address, *told))[1]

    one_of(5, started, lambda seconds: seconds < WAITED - 1)


def opens(daemon):
    poll_until(lambda: not_open(daemon) == {}, what=lambda: str(not_open(daemon)))
    daemon.wait_log("open again.*49983")


def test_a_listener_on_the_default_address_is_named_at_once(weftd, host, guest):
    daemon = weftd(run=False)
    with host.listen(PORT, "127.0.0.1"):
        starts_without_at_once(daemon, "127.0.0.1:49983", str(os.getpid()), "uid 0")
        sandbox = daemon.api.register("a1")
        guest(sandbox).serve(f"{PORT},http,a1")
        assert health(host, "::1", PORT)["guest"] == "a1"
        shown = daemon.ctl("status")
        assert "not open" in shown.stdout and str(os.getpid()) in shown.stdout
        doctor = daemon.ctl("doctor", check=False)
        assert doctor.returncode == 5 and f"by process {os.getpid()}" in doctor.stdout
    opens(daemon)
    assert health(host, "127.0.0.1", PORT)["guest"] == "a1"


def test_another_users_listener_is_named_with_its_uid(weftd, host):
    daemon = weftd(run=False)
    squat = f"import socket, sys\ns = socket.create_server(('127.0.0.1', {PORT}))\nprint(1, flush=True)\nsys.stdin.read()"
    argv = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "/usr/bin/python3", "-c", squat]
    squatter = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        squatter.stdout.readline()
        starts_without(daemon, "127.0.0.1:49983", f"(pid {squatter.pid})", "uid 1000")
        assert "of uid 1000" in daemon.ctl("doctor", check=False).stdout
        with daemon.api.news() as events:
            squatter.communicate()
            told = next(one for one in events if one["type"] == "host")
        assert (told["check"], told["status"]) == ("ports", "ok")
    finally:
        squatter.kill()
        squatter.wait()
    opens(daemon)


def test_a_shortage_that_ends_costs_no_listener(weftd, host):
    daemon = weftd(run=False)
    listener = host.listen(PORT, "127.0.0.1")
    daemon.start()
    seen = []

    def at_rest():  # the harness's own connections are closed
        seen.append(daemon.fds())
        return seen[-1:] == seen[-2:-1]

    poll_until(at_rest, interval=0.1)
    with few_descriptors(daemon, left=0):
        listener.close()
        daemon.wait_log("address not open.*Too many open files")  # by the log, since each request needs a descriptor
        one = not_open(daemon)["127.0.0.1:49983"]
        assert one["holder"] is None and "Too many open files" in one["error"]
    opens(daemon)


def test_a_held_http_address_costs_no_start(weftd, host):
    daemon = weftd({"http": {"listen": "127.0.0.1:9477"}}, run=False)
    with host.listen(9477, "127.0.0.1"):
        daemon.start()
        one = not_open(daemon)["127.0.0.1:9477"]
        assert one["what"] == "[http] listen" and str(os.getpid()) in one["holder"]
        done = daemon.run("--check")
        assert done.returncode == UNAVAILABLE and "127.0.0.1:9477" in done.stdout
    poll_until(lambda: not_open(daemon) == {}, what=lambda: str(not_open(daemon)))
    with host.connect("127.0.0.1", 9477) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:9477\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_an_endpoint_held_over_a_restart_says_so_and_opens_as_soon_as_it_can(weftd, host, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a1", {"ports": [80, {"guest_port": 53, "proto": "udp"}]})
    assert [one["open"] for one in sandbox["endpoints"]] == [True, True]
    guest(sandbox).serve("80,http,a1")
    daemon.stop()
    with host.listen(20000, "127.0.0.1"), host.socket(kind=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", endpoint_port(sandbox, 53)))
        daemon.start()
        shown = daemon.api.show("a1")
        assert shown["state"] != "failed" and [one["open"] for one in shown["endpoints"]] == [False, False]
        told = daemon.api.status()["not_open"]
        assert sorted(one["proto"] for one in told) == ["tcp", "udp"]
        assert all(one["what"] == "sandbox a1" and str(os.getpid()) in one["holder"] for one in told), told
        assert "not open" in daemon.ctl("show", "a1").stdout
        assert health(host, "::1", 20000)["guest"] == "a1"  # each address by itself
        # At a registration it stays the manager's to choose another one.
        refused = daemon.api.request("PUT", "/v1/sandboxes/a2", {"ports": [{"guest_port": 1, "listen": "127.0.0.1:20000"}]})
        refused.problem(409, "/ports/0/listen")
    poll_until(lambda: all(one["open"] for one in daemon.api.show("a1")["endpoints"]), what=daemon.log_tail)
    assert not_open(daemon) == {}
    assert health(host, "127.0.0.1", 20000)["guest"] == "a1"


def test_an_outgoing_connection_on_the_default_address_is_waited_for(weftd, host):
    daemon = weftd(run=False)
    with host.listen(8080, "127.0.0.1") as listener, occupied(host, listener):
        start = time.monotonic()
        starts_without(daemon, "127.0.0.1:49983", str(os.getpid()))
        assert time.monotonic() - start > WAITED - 0.5
    opens(daemon)


@contextlib.contextmanager
def occupied(host, listener):
    """A connection from the default address to LISTENER; it leaves nothing behind."""
    with host.socket(listener.family) as client:
        client.bind((listener.getsockname()[0], PORT))
        client.connect(listener.getsockname())
        served, _ = listener.accept()
        yield
        reset(client)
        served.close()


def state(daemon):
    with contextlib.suppress(OSError):
        return daemon.api.status()["state"]
    return None


def start_occupied(daemon, host, listener, meanwhile):
    """Starts DAEMON, calls MEANWHILE while it waits for the default address to be free, and returns that result."""
    for _ in range(5):  # the machine may stall for longer than weftd waits
        with occupied(host, listener):
            daemon.spawn()
            result = meanwhile()
        daemon.await_running()
        if not daemon.api.status()["not_open"] and "address not open" not in daemon.log():
            return result
        daemon.stop()
        os.unlink(daemon.log_path)
    raise AssertionError("it never waited")


def keeps_adopting(daemon, times):
    for _ in range(times):
        # On a stalled machine it may have gone on without the address: the caller sees that.
        poll_until(lambda: state(daemon), what=daemon.log_tail)
        time.sleep(0.02)  # in sum far longer than the loop's iterations before the wait


def test_an_outgoing_connection_that_goes_meanwhile_is_no_fault(weftd, host):
    """And the control socket answers during the wait."""
    daemon = weftd(run=False)
    with host.listen(8080, "127.0.0.1") as listener:
        start_occupied(daemon, host, listener, lambda: keeps_adopting(daemon, 50))


def connected(host):
    with contextlib.suppress(ConnectionRefusedError):
        return host.connect("127.0.0.1", PORT)
    return None


def test_who_comes_by_one_default_address_while_another_is_waited_for_is_led_on(weftd, host, guest):
    daemon = weftd({"forwarder": {"default_wait": "1ms"}})
    guest(daemon.api.register("a1")).serve(f"{PORT},echo")
    daemon.stop()

    def connect():
        client = poll_until(lambda: connected(host), what=daemon.log_tail)
        keeps_adopting(daemon, 10)  # far beyond default_wait
        return client

    with host.listen(8080, "::1", socket.AF_INET6) as listener, start_occupied(daemon, host, listener, connect) as client:
        assert echoes(client)


def test_a_listener_on_all_addresses_of_both_families_is_named_at_once(weftd, host):
    daemon = weftd(run=False)
    with host.socket(socket.AF_INET6) as both:
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        both.bind(("::", PORT))
        both.listen()
        starts_without_at_once(daemon, "127.0.0.1:49983", str(os.getpid()))
        assert set(not_open(daemon)) == {"127.0.0.1:49983", "[::1]:49983"}
    opens(daemon)


def test_a_socket_that_does_not_listen_on_the_default_address_is_found(weftd, host):
    daemon = weftd(run=False)
    with host.socket() as bound:
        bound.bind(("127.0.0.1", PORT))
        done = daemon.run("--check")
        assert done.returncode == UNAVAILABLE and f"held by process {os.getpid()} (" in done.stdout
        starts_without(daemon, "127.0.0.1:49983", f"(pid {os.getpid()})")
        doctor = daemon.ctl("doctor", check=False)
        assert doctor.returncode == 5 and "127.0.0.1:49983 of the default endpoint is taken: held by" in doctor.stdout
    opens(daemon)
    assert "of the default endpoint is taken" not in daemon.ctl("doctor", check=False).stdout


def test_a_listener_on_all_addresses_of_ipv6_leaves_ipv4_alone(weftd, host):
    daemon = weftd({"forwarder": {"default_listen": "127.0.0.1:49983"}}, run=False)
    with host.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", PORT))
        other.listen()
        assert "is taken" not in daemon.run("--check").stdout
        daemon.start()
        assert not_open(daemon) == {}
        done = daemon.run("--check")
        assert done.returncode == 0 and "is taken" not in done.stdout


def test_what_a_closed_connection_leaves_on_the_default_address_is_named(weftd, host):
    daemon = weftd(run=False)
    with host.listen(8080, "127.0.0.1") as listener, host.socket() as client:
        client.bind(("127.0.0.1", PORT))
        client.connect(("127.0.0.1", 8080))
        served, _ = listener.accept()
        client.close()
        assert served.recv(1) == b""
        served.close()
    daemon.start()
    assert "TIME_WAIT" in not_open(daemon)["127.0.0.1:49983"]["holder"]
    assert "TIME_WAIT" in daemon.log()


def test_a_host_without_ipv6_loopback_is_served_by_ipv4_alone_with_one_warning(weftd, host, guest):
    host.run(["ip", "addr", "del", "::1/128", "dev", "lo"])
    daemon = weftd()
    sandbox = daemon.api.register("a1", {"ports": [PORT]})
    assert sandbox["endpoints"][0]["listen"] == ["127.0.0.1:20000"]
    daemon.api.register("a2", {"ports": [PORT, {"guest_port": 80, "listen": "localhost:18080"}]})
    guest(sandbox).serve(f"{PORT},http,a1")
    assert health(host, "127.0.0.1", 20000)["guest"] == "a1"
    warnings = [line for line in daemon.log().splitlines() if "level=warning" in line and ("::1" in line or "IPv6" in line)]
    assert len(warnings) == 1, warnings


# ---- ip_forward.


def forwarding(host):
    return host.output(["cat", "/proc/sys/net/ipv4/ip_forward"]).strip()


def test_ip_forward_is_enabled_and_said(weftd, host):
    assert forwarding(host) == "0"
    daemon = weftd()
    assert forwarding(host) == "1"
    assert daemon.wait_log("ip_forward")


def test_ip_forward_can_be_required(weftd, host):
    daemon = weftd({"host": {"ip_forward": "require"}}, run=False)
    assert daemon.refuses() == UNAVAILABLE
    assert "ip_forward" in daemon.log() and forwarding(host) == "0"
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    daemon.start()


# ---- Descriptors.


def test_standard_descriptors_that_are_closed_become_no_socket(weftd, host):
    daemon = weftd(run=False)
    daemon.process = host.popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *daemon.command("--foreground")])
    daemon.await_running()
    assert {daemon.fds()[fd] for fd in (0, 1, 2)} == {"/dev/null"}
    done = host.run(["sh", "-c", 'exec "$@" >&-', "sh", daemon.program, "--version"], check=False)
    assert (done.returncode, "Bad file descriptor" in done.stderr) == (74, True)


def test_the_unit_status_shows_a_mistake_whatever_bytes_it_has(weftd, manager):
    """systemd takes no status that is not UTF-8. é is cut nowhere, the stray bytes become ?."""
    daemon = weftd(run=False)
    manager.start(daemon)
    with open(daemon.config, "ab") as config:
        config.write(b"\n[daemon]\nlog_level = caf\xc3\xa9\xff\xc3\n")
    daemon.signal(signal.SIGHUP)
    told = poll_until(lambda: next((fields["STATUS"] for fields, _ in manager.messages if "STATUS" in fields), None))
    assert "log_level = café??: none of the words" in told
    daemon.write_config({})


def test_a_configuration_from_a_pipe_is_read_once(weftd, host):
    daemon = weftd(run=False)
    script = 'exec "$0" --config <(printf "[pool]\nsize = 3\n") "$@"'
    arguments = [argument for argument in daemon.command("--foreground") if argument not in ("--config", daemon.config)]
    with open(daemon.log_path, "ab") as log:
        daemon.process = host.popen(["bash", "-c", script, *arguments], stdout=log, stderr=log)
    daemon.await_running()
    assert daemon.api.status()["pool"]["target"] == 3
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("is a pipe with nothing in it")
    daemon.wait_log("the former one stays in force")
    assert daemon.api.status()["pool"]["target"] == 3


# ---- Stop.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_more_signals_than_one_do_not_cut_the_end_short(weftd, number):
    daemon = weftd()
    for count in range(20):
        daemon.api.register(f"a{count}")
    daemon.signal(signal.SIGTERM)
    while daemon.running():
        daemon.signal(number)
    assert daemon.process.wait(PATIENCE) == 0
    assert "weftd ends" in daemon.log()


# ---- Reload.


def hang_up(daemon, pattern):
    seen = len(re.findall(pattern, daemon.log()))
    daemon.signal(signal.SIGHUP)
    poll_until(lambda: len(re.findall(pattern, daemon.log())) > seen, what=lambda: daemon.log_tail())


def test_hup_takes_what_can_be_taken_and_names_the_rest(weftd, host):
    daemon = weftd({"forwarder": {"default_wait": "60m"}})
    sandbox = daemon.api.register("a1", {"ports": [PORT]})
    body = {"ports": [{"guest_port": 80, "listen": "127.0.0.1:80"}]}
    daemon.api.request("PUT", "/v1/sandboxes/a2", body=body).problem(400, "/ports/0/listen")

    daemon.write_config({"ports": {"allow_privileged": "yes", "range": "30000-30100"}, "forwarder": {"default_wait": "100ms"}})
    hang_up(daemon, "configuration reloaded")
    assert re.search("level=warning.*key=range", daemon.log())
    assert daemon.api.register("a2", body)["endpoints"][0]["listen"] == ["127.0.0.1:80"]
    assert daemon.api.register("a3", {"ports": [1]})["endpoints"][0]["listen"][0] == "127.0.0.1:20001"

    def is_not_held():
        with host.connect("127.0.0.1", PORT, timeout=5) as client, contextlib.suppress(socket.timeout):
            return was_reset(client)

    poll_until(is_not_held, what="the new default_wait")  # a client that comes before the workers have it waits for an hour
    daemon.wait_log("reason=no-sandbox")
    assert daemon.api.show("a1")["endpoints"] == sandbox["endpoints"]

    daemon.write_config("[pool]\nsize = many\n[http]\nlisten = 10.99.0.2:80\n")
    hang_up(daemon, "configuration not reloaded")
    log = daemon.log()
    assert "[pool] size = many" in log and "[http] listen = 10.99.0.2:80" in log
    assert daemon.api.status()["state"] == "running"
    daemon.write_config({"pool": {"size": 2}})
    hang_up(daemon, "configuration reloaded")
    poll_until(lambda: daemon.api.status()["pool"]["ready"] == 2, what=lambda: str(daemon.api.status()))
    daemon.write_config({})


def test_hup_again_and_again_under_load_changes_nothing_else(weftd, host, guest):
    daemon = weftd()
    sandbox = daemon.api.register("a1", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    daemon.api.wait("a1", "attached")
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
        for n in range(20):
            daemon.write_config({"forwarder": {"refused_grace": f"{n + 1}ms"}, "daemon": {"log_level": "debug" if n % 2 else "info"}})
            hang_up(daemon, "configuration reloaded|configuration not")
            client.sendall(b"x" * 1000)
            left = 1000
            while left:
                left -= len(client.recv(left))
    daemon.write_config({})


# ---- The socket's owner.


def test_the_socket_is_for_root_and_its_group(weftd, host):
    group = grp.getgrgid(100)
    daemon = weftd({"daemon": {"socket_group": group.gr_name}})
    status = os.stat(daemon.socket)
    assert (stat.S_IMODE(status.st_mode), status.st_gid) == (0o660, 100)
    os.chmod(daemon.folder, 0o755)

    def status_as(uid, gid, groups):
        ids = f"import os, socket\nos.setgroups({groups})\nos.setgid({gid})\nos.setuid({uid})\n"
        ask = f"s = socket.socket(socket.AF_UNIX)\ns.connect({daemon.socket!r})\n"
        ask += "s.sendall(b'GET /healthz HTTP/1.0\\r\\n\\r\\n')\nprint(s.recv(100))"
        return host.run(["/usr/bin/python3", "-c", ids + ask], check=False)

    assert "200" in status_as(12345, 100, []).stdout
    assert "200" in status_as(12345, 12345, [100]).stdout
    refused = status_as(12345, 12345, [])
    assert refused.returncode and "PermissionError" in refused.stderr


# ---- Stop.


def test_term_lets_connections_end_and_a_second_one_does_not_wait(weftd, host, guest):
    daemon = weftd({"forwarder": {"stop_drain": "60s"}})
    sandbox = daemon.api.register("a1", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    daemon.api.wait("a1", "attached")

    def echo(client):
        client.sendall(b"x")
        assert client.recv(1) == b"x"

    client = host.connect("127.0.0.1", endpoint_port(sandbox, 7))
    echo(client)
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("stopping")
    echo(client)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert daemon.process.wait(PATIENCE) == 0
    daemon.start()

    client = host.connect("127.0.0.1", endpoint_port(sandbox, 7))
    echo(client)
    daemon.signal(signal.SIGTERM)
    poll_until(lambda: daemon.log().count("msg=stopping") == 2)
    echo(client)
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(PATIENCE) == 0
    assert was_reset(client)
    daemon.wait_log("reason=shutdown")


def test_stop_drain_is_a_deadline(weftd, host, guest):
    daemon = weftd({"forwarder": {"stop_drain": "500ms"}})
    sandbox = daemon.api.register("a1", {"ports": [7]})
    guest(sandbox).serve("7,echo")
    daemon.api.wait("a1", "attached")
    with host.connect("127.0.0.1", endpoint_port(sandbox, 7)) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        start = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert was_reset(client)
        assert time.monotonic() - start > 0.4
        assert daemon.process.wait(PATIENCE) == 0
