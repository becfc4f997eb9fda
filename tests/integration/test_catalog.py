# SPDX-License-Identifier: GPL-2.0-or-later
"""[catalog]: each sandbox has an entry in Redis, by which E2B's client-proxy and other edges find its host.

Redis is Debian's, in the test's host; where it must misbehave in ways of its own, a server that only pretends to be one.
"""

import contextlib
import datetime
import json
import os
import re
import signal
import subprocess

import pytest

from harness import faults
from harness.daemon import SANITIZER_OPTIONS, build_dir
from harness.redis import FakeRedis, awaited
from harness.wait import PATIENCE, Lines, poll_until

PREFIX = "sandbox:catalog:"
CATALOG = {"redis": "127.0.0.1:6379", "address": "192.0.2.7", "host_id": "host-a"}
FOREIGN = json.dumps({"orchestrator_ip": "192.0.2.99", "execution_id": "foreign", "sandbox_started_at": "2026-01-01T00:00:00Z"})


@pytest.fixture
def fake(host):
    """A server that pretends to be a Redis that is well."""
    made = FakeRedis(host, good)
    yield made
    made.close()


def start(weftd, **options):
    return weftd({"catalog": {**CATALOG, **options}})


def state(daemon):
    return daemon.api.status()["catalog"]


def await_state(daemon, **wanted):
    """Waits until the status says WANTED of the catalogue, and returns all that it says."""

    def so():
        now = state(daemon)
        return now if all(now[key] == value for key, value in wanted.items()) else None

    return awaited(so, lambda: f"{wanted}; now {state(daemon)}\n{daemon.log_tail()}")


def entry(redis, key):
    """The entry of KEY, as an object; None: there is none."""
    text = redis("GET", PREFIX + key)
    return json.loads(text) if text else None


def await_entry(redis, key):
    return awaited(lambda: entry(redis, key), f"an entry of {key}")


def await_no_entry(redis, key):
    awaited(lambda: entry(redis, key) is None, f"no entry of {key}")


def metric(daemon, series):
    found = re.search(rf"^{re.escape(series)} (\S+)$", daemon.api.get("/metrics").expect(200).text, re.MULTILINE)
    return float(found.group(1)) if found else None


def test_a_sandbox_is_published_when_it_is_registered_and_removed_when_it_is_not(redis, weftd):
    daemon = start(weftd)
    sandbox = daemon.api.register("a1", {})
    found = await_entry(redis, "a1")
    assert found["orchestrator_id"] == "host-a" and found["orchestrator_ip"] == "192.0.2.7"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", found["execution_id"])
    started = datetime.datetime.strptime(found["sandbox_started_at"], "%Y-%m-%dT%H:%M:%S.%f%z")
    assert started.strftime("%Y-%m-%dT%H:%M:%SZ") == sandbox["registered_at"]
    assert found["sandbox_max_length_in_hours"] == 24 and len(found) == 5
    assert 60 < redis("TTL", PREFIX + "a1") <= 90
    assert await_state(daemon, pending=0) == {
        "redis": CATALOG["redis"], "up": True, "published": 1, "pending": 0, "foreign": 0, "error": None,
    }  # fmt: skip
    assert metric(daemon, "weft_catalog_up") == 1
    assert metric(daemon, 'weft_catalog_entries{state="published"}') == 1

    daemon.api.patch("a1", {"paused": True})
    await_state(daemon, pending=0)
    assert entry(redis, "a1") == found

    daemon.api.unregister("a1")
    await_no_entry(redis, "a1")
    daemon.api.register("a1", {})
    assert await_entry(redis, "a1")["execution_id"] != found["execution_id"]


def test_the_key_is_the_name_and_follows_it(redis, weftd):
    daemon = start(weftd, key_prefix="box/")
    daemon.api.register("a1", {"name": "blue"})
    found = awaited(lambda: redis("GET", "box/blue"), "the entry of blue")
    assert redis("KEYS", "*") == ["box/blue"]
    with contextlib.closing(redis.client()) as monitor:
        monitor("MONITOR")
        daemon.api.patch("a1", {"name": "red"})
        awaited(lambda: redis("KEYS", "*") == ["box/red"], "the entry of red alone")
        seen = []
        while not any("del" in line.lower() and "box/blue" in line for line in seen):
            seen.append(monitor._answer())  # pylint: disable=protected-access
    # A client finds it at all times: the new entry is there before the old one goes.
    assert any('"box/red"' in line for line in seen[:-1])
    assert redis("GET", "box/red") == found
    daemon.api.patch("a1", {"name": None})
    awaited(lambda: redis("KEYS", "*") == ["box/a1"], "the entry of a1 alone")


def test_without_an_option_nothing_is_published(weftd):
    daemon = weftd()
    assert state(daemon) is None and metric(daemon, "weft_catalog_up") is None


def test_an_entry_outlives_a_restart_and_lapses_after_a_crash(redis, weftd):
    daemon = start(weftd, ttl="3s")
    daemon.api.register("a1", {})
    found = await_entry(redis, "a1")
    # Renewed: it is there for longer than its time to live.
    before = redis.commands().get("eval", 0)
    awaited(lambda: redis.commands().get("eval", 0) >= before + 4, "four renewals")
    assert entry(redis, "a1") == found

    daemon.stop()
    daemon.start()
    await_state(daemon, published=1, pending=0)
    assert entry(redis, "a1") == found

    daemon.kill()
    await_no_entry(redis, "a1")
    daemon.start()
    assert await_entry(redis, "a1") == found


def test_what_a_run_could_not_remove_its_next_one_removes(redis, weftd):
    daemon = start(weftd)
    daemon.api.register("a1", {})
    value = json.dumps(await_entry(redis, "a1"))
    redis.stop()
    await_state(daemon, up=False)
    daemon.api.unregister("a1")
    daemon.api.register("a1", {})
    redis.start_again(daemon)
    new = await_entry(redis, "a1")
    assert json.dumps(new) != value
    # A start has the entry, whoever had it before; so has the last one of two.
    await_state(daemon, published=1, pending=0)


def test_another_writers_entry_is_left_to_it(redis, weftd):
    daemon = start(weftd, ttl="3s")
    redis("SET", PREFIX + "a1", FOREIGN)
    daemon.api.register("a1", {})
    awaited(lambda: entry(redis, "a1")["orchestrator_ip"] == "192.0.2.7", "the start to have the entry")

    # It is started elsewhere: neither a renewal nor the end here touches that.
    redis("SET", PREFIX + "a1", FOREIGN)
    await_state(daemon, foreign=1, published=0)
    assert metric(daemon, 'weft_catalog_entries{state="foreign"}') == 1
    assert redis("GET", PREFIX + "a1") == FOREIGN
    daemon.wait_log("another writer has the entry.*sandbox:catalog:a1")
    said = daemon.ctl("doctor", check=False).stdout
    assert re.search(r"warn\s+catalog +1 sandbox .*another writer", said), said

    # When it goes, ours comes back.
    redis("DEL", PREFIX + "a1")
    awaited(lambda: (entry(redis, "a1") or {}).get("orchestrator_ip") == "192.0.2.7", "our entry")
    redis("SET", PREFIX + "a1", FOREIGN)
    await_state(daemon, foreign=1)
    daemon.api.unregister("a1")
    await_state(daemon, foreign=0, pending=0)
    assert redis("GET", PREFIX + "a1") == FOREIGN

    # A restart is no start either.
    daemon.api.register("a2", {})
    await_entry(redis, "a2")
    redis("SET", PREFIX + "a2", FOREIGN)
    daemon.stop()
    daemon.start()
    await_state(daemon, foreign=1, pending=0)
    assert redis("GET", PREFIX + "a2") == FOREIGN


def test_redis_may_go_and_come_back_empty(redis, weftd):
    daemon = start(weftd)
    daemon.api.register("a1", {})
    found = await_entry(redis, "a1")
    redis.stop()
    down = await_state(daemon, up=False)
    assert down["published"] == 0 and down["pending"] == 1 and down["error"]
    assert metric(daemon, "weft_catalog_up") == 0 and metric(daemon, "weft_catalog_losses_total") >= 1
    said = daemon.ctl("doctor", check=False).stdout
    assert re.search(r"FAIL\s+catalog +127.0.0.1:6379 is not reached", said), said
    # Meanwhile all goes on, and what is done shows later.
    daemon.api.register("a2", {})
    daemon.api.register("a3", {})
    daemon.api.unregister("a3")
    redis.start_again(daemon)
    await_state(daemon, up=True, published=2, pending=0)
    assert entry(redis, "a1") == found and entry(redis, "a2") and entry(redis, "a3") is None


def test_a_redis_that_hangs_keeps_nobody_and_is_noticed(redis, weftd):
    daemon = start(weftd)
    daemon.api.register("a1", {})
    await_entry(redis, "a1")
    redis.signal(signal.SIGSTOP)
    daemon.api.register("a2", {})
    daemon.api.unregister("a1")
    hung = await_state(daemon, up=False)
    assert "does not answer" in hung["error"]
    redis.signal(signal.SIGCONT)
    await_state(daemon, up=True, published=1, pending=0)
    assert entry(redis, "a1") is None and entry(redis, "a2")


@pytest.mark.parametrize("place", ["localhost:6379", "unix"])
def test_redis_is_found_by_a_name_and_by_a_path(redis, weftd, place):
    daemon = start(weftd, redis=place.replace("unix", f"unix:{redis.path}"))
    daemon.api.register("a1", {})
    await_entry(redis, "a1")


def test_a_name_that_nobody_knows_keeps_nobody(weftd):
    daemon = start(weftd, redis="nobody.invalid:6379")
    daemon.api.register("a1", {})
    awaited(lambda: "nobody.invalid" in (state(daemon)["error"] or ""), lambda: str(state(daemon)))
    assert state(daemon)["pending"] == 1


def password_file(folder, text, mode=0o600):
    path = os.path.join(folder, "redis-password")
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def test_the_password_is_read_from_a_file_and_shown_nowhere(redis, weftd, folder):
    redis("CONFIG", "SET", "requirepass", "correct-horse")
    redis.password = "correct-horse"
    path = password_file(folder, "wrong-battery\n")
    daemon = start(weftd, password_file=path)
    daemon.api.register("a1", {})
    awaited(lambda: "WRONGPASS" in (state(daemon)["error"] or ""), lambda: str(state(daemon)))
    assert state(daemon)["up"] is False

    password_file(folder, "correct-horse\n", 0o644)
    daemon.signal(signal.SIGHUP)
    awaited(lambda: "mode 0644" in (state(daemon)["error"] or ""), lambda: str(state(daemon)))

    password_file(folder, "correct-horse\n")
    daemon.signal(signal.SIGHUP)
    await_entry(redis, "a1")
    await_state(daemon, up=True)
    shown = daemon.log() + json.dumps(daemon.api.status()) + daemon.api.get("/metrics").text
    assert "wrong-battery" not in shown and "correct-horse" not in shown

    # Without a password.
    os.unlink(path)
    daemon.signal(signal.SIGHUP)
    awaited(lambda: "redis-password" in (state(daemon)["error"] or ""), lambda: str(state(daemon)))


def test_where_scripts_are_denied_the_time_to_live_removes(redis, weftd, folder):
    redis("ACL", "SETUSER", "weft", "on", ">sesame", "~sandbox:catalog:*", "+set", "+getrange")
    daemon = start(weftd, ttl="3s", password_file=password_file(folder, "weft\nsesame\n"))
    daemon.api.register("a1", {})
    await_entry(redis, "a1")
    daemon.wait_log("EVAL is denied")
    # Renewals go on, and look first.
    before = redis.commands().get("getrange", 0)
    awaited(lambda: redis.commands().get("getrange", 0) >= before + 2, "two renewals")
    assert entry(redis, "a1")
    redis("SET", PREFIX + "a1", FOREIGN)
    await_state(daemon, foreign=1)
    assert redis("GET", PREFIX + "a1") == FOREIGN
    daemon.api.register("a2", {})
    await_entry(redis, "a2")
    daemon.api.unregister("a2")
    await_no_entry(redis, "a2")


def test_four_thousand_entries_are_published_anew_on_an_empty_redis(host, redis):
    program = os.path.join(build_dir(), "tests/catalog_harness")
    with host.popen(
        [program, "127.0.0.1:6379", "4000", "90s"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **SANITIZER_OPTIONS},
    ) as process:
        lines = Lines(process.stdout)
        assert lines.next() == "published 4000"
        assert redis("DBSIZE") == 4000
        redis.stop()
        assert lines.next() == "lost"
        redis.start()
        assert lines.next() == "published 4000"
        assert redis("DBSIZE") == 4000
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def good(words, run_id=b"a" * 40):
    """The answers of a Redis that is well."""
    return {"INFO": FakeRedis.info(run_id), "SET": b"+OK\r\n", "EVAL": b":1\r\n"}[words[0]]


@pytest.fixture
def faked(fake, weftd):
    """A daemon with a sandbox, on a Redis that pretends and is well."""
    daemon = start(weftd)
    daemon.api.register("a1", {})
    await_state(daemon, published=1, pending=0)
    daemon.fake = fake
    return daemon


def test_another_redis_behind_the_same_connection_is_noticed(faked):
    def sent():
        return sum(words[0] in ("SET", "EVAL") for words in faked.fake.commands)

    before = sent()
    faked.fake.answer = lambda words: good(words, b"b" * 40)
    awaited(lambda: sent() > before, "the entry to be published anew")
    assert faked.fake.connections == 1


NONSENSE = {
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "array": b"*2147483647\r\n",
    "nested": b"*1\r\n" * 100,
    "nil-array": b"*-1\r\n",
    "integer": b":12\r\n",
    "status": b"+OK\r\n",
    "nil": b"$-1\r\n",
    "negative": b"$-7\r\n",
    "endless": b"$500000000\r\n" + b"x" * 1000000,
    "no-end": b"+" + b"x" * 1000000,
    "twice": FakeRedis.info() + b"+OK\r\n+OK\r\n",
    "end": None,
    "zero": b"\0" * 100,
    "resp3": b"%1\r\n+a\r\n+b\r\n",
    "push": b">2\r\n+message\r\n+a\r\n",
    "bool": b"#t\r\n",
    "double": b",1.5\r\n",
}


def test_nonsense_ends_the_connection_and_nothing_else(faked):
    made = faked.fake
    for name, nonsense in NONSENSE.items():
        made.answer = lambda words, nonsense=nonsense: nonsense
        before, asked = made.connections, len(made.commands)
        made.part()
        # A reload ends the pause before the next attempt.
        faked.signal(signal.SIGHUP)
        awaited(lambda: made.connections > before and len(made.commands) > asked, f"{name}: a connection")
        awaited(lambda: not made.open or made.connections > before + 1, f"{name}: its end")
        assert faked.running(), name
    made.answer = lambda words: b""
    for greeting in (b"+hello\r\n" * 20, b"-ERR max number of clients reached\r\n"):
        made.greeting = greeting
        before = made.connections
        made.part()
        faked.signal(signal.SIGHUP)
        awaited(lambda: made.connections > before + 1, f"{greeting}: another attempt")
    made.greeting, made.answer = b"", good
    made.part()
    faked.signal(signal.SIGHUP)
    await_state(faked, up=True, published=1, pending=0)


@pytest.mark.parametrize(
    "error", ["OOM command not allowed when used memory > 'maxmemory'.", "MOVED 3999 127.0.0.1:6381"]
)
def test_an_error_about_an_entry_is_told_and_it_is_tried_again(faked, error):
    faked.fake.answer = lambda words: good(words) if words[0] == "INFO" else f"-{error}\r\n".encode()
    faked.api.register("a2", {})
    told = await_state(faked, error=error)
    assert told["up"] and told["pending"] >= 1
    assert metric(faked, "weft_catalog_failures_total") >= 1
    faked.fake.answer = good
    await_state(faked, error=None, published=2, pending=0)
    assert faked.fake.connections == 1


@pytest.mark.parametrize("error", ["READONLY You can't write against a read only replica.", "NOAUTH Authentication required.", "LOADING Redis is loading"])
def test_a_redis_that_is_of_no_use_is_left_and_tried_again(faked, error):
    faked.fake.answer = lambda words: f"-{error}\r\n".encode()
    faked.api.register("a2", {})
    await_state(faked, error=error, up=False)
    connections = faked.fake.connections
    awaited(lambda: faked.fake.connections > connections, "another connection")
    faked.fake.answer = good
    await_state(faked, error=None, published=2, pending=0)


@pytest.mark.parametrize("chance", [0.05, 0.3, 1.0])
def test_a_shortage_of_memory_ends_the_connection_and_nothing_else(redis, weftd, folder, chance):
    """hiredis 0.14 takes some of its allocations for granted: at the start of a connection, at its end, and in between."""
    with contextlib.closing(faults.Faults(folder)) as shorted:
        daemon = weftd({"catalog": {**CATALOG, "ttl": "3s"}}, run=False)
        shorted.prepare(daemon)
        daemon.start()
        names = [f"a{number}" for number in range(20)]
        for name in names:
            daemon.api.register(name)
        await_state(daemon, up=True, published=len(names))
        pid = daemon.process.pid

        def met_it():
            assert daemon.process.poll() is None, daemon.process.returncode
            redis("CLIENT", "KILL", "TYPE", "normal")
            return shorted.met(faults.MEMORY) > 60

        with shorted.on(faults.MEMORY, chance):
            poll_until(met_it, interval=0.05)
        await_state(daemon, up=True, published=len(names))
        assert daemon.process.pid == pid
        for name in names:
            daemon.api.unregister(name)
