# SPDX-License-Identifier: GPL-2.0-or-later
"""A witness of sandboxes over a bad day: their states, connections that are held all the time, and new ones.

It watches in threads of its own while a test does harm, and keeps the first thing that should not have happened, with the last actions
that the test told it. Guests serve "7,echo". Three ways lead there: the endpoint for port 7 ("forwarder"), and the host
address ("kernel").
"""

import collections
import contextlib
import errno
import http.client
import json
import os
import selectors
import socket
import threading
import time

from .api import connection_to, endpoint_port
from .client import PATTERN
from .netns import enter
from .wait import PATIENCE, poll_until

FORWARDER, KERNEL = "forwarder", "kernel"

_TURN = 0.02  # seconds between two new connections, and between two chunks on a held one
_CHUNKS = (1000, 300, 40000, 5000)  # large ones are spliced
_PROBE = b"probe"
_OF_A_START = ("creating", "attached")
_FIRST_PATIENCE = 1.0  # seconds for a new connection that await_service() waits for, before it tries another one
_STILL = 3 * PATIENCE  # a connection that is silent for so long is lost
_DOUBLE = PATTERN * 2


def _bytes_at(place, length):
    start = place % len(PATTERN)
    return _DOUBLE[start : start + length]


class _Client:
    """One connection of the witness, not blocking. step() is called at each event and each turn."""

    def __init__(self, target):
        self.target = target
        self.began = self.heard = time.monotonic()
        self.problem = None
        self.done = False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.socket.connect_ex(target.address)
        if error not in (0, errno.EINPROGRESS):
            self.problem = os.strerror(error)
        self.connected = False

    def step(self):
        if self.problem or self.done:
            return
        try:
            if not self.connected:
                error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                self.socket.getpeername()
                self.connected = True
            self.move()
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                self.problem = str(error)
        if not self.problem and not self.done and time.monotonic() - self.heard > _STILL:
            self.problem = f"nothing came for {_STILL} s"

    def wants(self):
        return selectors.EVENT_READ | (0 if self.connected else selectors.EVENT_WRITE)

    def receive(self, length):
        data = self.socket.recv(length)
        if not data:
            self.problem = "it was closed"
        return data


class _Probe(_Client):
    """A new connection: a few bytes, the same back, and the end."""

    sent = False
    got = b""

    def move(self):
        if not self.sent:
            self.socket.send(_PROBE)
            self.sent = True
        self.got += self.receive(len(_PROBE))
        if not self.problem and not _PROBE.startswith(self.got):
            self.problem = f"{self.got} came back"
        self.done = self.got == _PROBE


class Held(_Client):
    """A connection that is kept, with bytes under way again and again; each has its value by its place."""

    sent = 0
    wanted = 0
    got = 0
    rest_until = 0.0
    chunk = 0
    longest_gap = 0.0

    def move(self):
        now = time.monotonic()
        if self.got == self.wanted and now >= self.rest_until:
            self.wanted += _CHUNKS[self.chunk % len(_CHUNKS)]
            self.chunk += 1
            self.heard = now
        if self.sent < self.wanted:
            with contextlib.suppress(BlockingIOError):
                self.sent += self.socket.send(_bytes_at(self.sent, self.wanted - self.sent))
        if self.got == self.wanted:
            if self.socket.recv(1):  # raises if nothing came, as it should be
                self.problem = "bytes came that nobody sent"
            else:
                self.problem = "it was closed"
            return
        while self.got < self.wanted:
            data = self.receive(self.wanted - self.got)
            if self.problem:
                return
            if data != _bytes_at(self.got, len(data)):
                self.problem = f"wrong bytes came back, around byte {self.got}"
                return
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - self.heard)
            self.heard = now
            self.got += len(data)
        self.rest_until = time.monotonic() + _TURN

    def wants(self):
        write = not self.connected or self.sent < self.wanted
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)


class Target:
    """One way to one sandbox."""

    def __init__(self, sandbox, path, address):
        self.sandbox = sandbox
        self.path = path
        self.address = address
        self.served = None  # when the first new connection since await_service() that was served was begun
        self.asking = None  # the probe under way
        self.asked = 0.0  # when it began
        self.patience = _FIRST_PATIENCE

    def __str__(self):
        return f"{self.sandbox} by the {self.path}"


def targets_of(sandboxes):
    """The ways to SANDBOXES, which publish guest port 7."""
    found = []
    for one in sandboxes:
        found.append(Target(one["id"], FORWARDER, ("127.0.0.1", endpoint_port(one, 7))))
        found.append(Target(one["id"], KERNEL, (one["host_ip"], 7)))
    return found


class Witness:
    """Watches SANDBOXES of DAEMON in HOST from start() until finish().

    A test tells it what it does (note()), and what it must bear with meanwhile (bearing()):

        "new"      new connections through the forwarder may fail
        "kernel"   new connections by the kernel's path may fail
        "api"      the control socket may refuse, or fail to answer, and end its streams
        "held"     connections through the forwarder may end, as after kill -9; they are made anew afterwards
        "start"    the states may be those of a daemon that starts; await_states() before this ends
    """

    def __init__(self, host, daemon, sandboxes, state="ready"):
        self.host = host
        self.api = daemon.api
        self.names = {one["id"] for one in sandboxes}
        self.state = state
        self.targets = targets_of(sandboxes)
        self.held = []
        self.problem = None
        self.probes = collections.Counter()  # "served", "excused"
        self.events = collections.Counter()  # by type
        self.gaps = {FORWARDER: 0.0, KERNEL: 0.0}
        self.counted_states = 0
        self._latest = {}  # {name: state} by the events of this stream
        self._began = time.monotonic()
        self._actions = collections.deque(maxlen=15)
        self._bearing = collections.Counter()
        self._bore = {}  # {kind: when it was borne last}
        self._lock = threading.Lock()
        self._hurry = False
        self._awaiting = 0.0
        self._end = threading.Event()
        self._stream = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._watch_connections, self._watch_events, self._watch_states)
        ]

    # ---- For the test ----

    def start(self):
        for thread in self._threads:
            thread.start()
        self.await_service()
        return self

    def note(self, text):
        """Remembers an action of the test, for the report."""
        self._actions.append(f"{self._now():8.2f} s  {text}")

    @contextlib.contextmanager
    def bearing(self, *kinds):
        """What fails within this context, or began to within it, is no problem."""
        with self._lock:
            self._bearing.update(kinds)
        try:
            yield
        finally:
            with self._lock:
                self._bearing.subtract(kinds)
                self._bore.update(dict.fromkeys(kinds, time.monotonic()))

    def bears_now(self, *kinds):
        """Whether one of KINDS is being borne."""
        with self._lock:
            return any(self._bearing[kind] > 0 for kind in kinds)

    def await_service(self, path=None, timeout=3 * PATIENCE):
        """Waits until each target, or each by PATH, served a connection that began after this call, and the states were looked at.

        Returns the seconds until the last of the targets served.
        """
        looks = self.counted_states
        wanted = [one for one in self.targets if path in (None, one.path)]

        def missing():
            return [str(one) for one in wanted if one.served is None]

        with self._lock:
            began = self._awaiting = time.monotonic()
            for one in self.targets:
                one.served = None
                one.patience = _FIRST_PATIENCE
        self._hurry = True
        try:
            poll_until(
                lambda: self.problem or not missing() and self.counted_states > looks,
                timeout,
                what=lambda: self._told(f"not served: {missing()}; {self.counted_states - looks} looks at the states"),
            )
        finally:
            self._hurry = False
        self.check()
        return max(one.served for one in wanted) - began

    def await_states(self, timeout=2 * PATIENCE):
        """Waits until the events say that each sandbox is in its state."""
        wanted = dict.fromkeys(self.names, self.state)
        poll_until(
            lambda: self.problem or self._latest == wanted, timeout, what=lambda: self._told(f"states: {self._latest}")
        )
        self.check()

    def check(self):
        """Fails with the first problem, if there was one."""
        assert not self.problem, self.problem

    def finish(self):
        """Ends the watch. Fails if anything was wrong, or if nothing was watched."""
        self._end.set()
        with contextlib.suppress(AttributeError, OSError):
            self._stream.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        self.check()
        assert self.probes["served"] and self.counted_states, "the witness saw nothing"

    def report(self):
        gaps = ", ".join(f"{path} {seconds * 1000:.0f} ms" for path, seconds in self.gaps.items())
        return (
            f"{self.probes['served']} new connections served, {self.probes['excused']} refused in a shortage; {self.counted_states} looks at "
            f"the states; events {dict(self.events)}; longest pause of a held connection: {gaps}"
        )

    # ---- Inside ----

    def _now(self):
        return time.monotonic() - self._began

    def _told(self, text):
        return f"{self._now():.2f} s: {text}\nthe last actions:\n  " + "\n  ".join(self._actions)

    def _fail(self, text):
        if not self.problem:
            self.problem = self._told(text)
        self._end.set()

    def _guarded(self, work):
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            self._fail(f"{work.__name__}: {error!r}")

    @staticmethod
    def _kind(target):
        return "new" if target.path == FORWARDER else "kernel"

    def _bears(self, kind, since=None):
        """Whether a failure of KIND is to be borne now, or was at any time since SINCE."""
        return self._bearing[kind] > 0 or (since is not None and self._bore.get(kind, 0.0) >= since)

    # ---- Connections: one thread with a selector ----

    def _watch_connections(self):
        enter(self.host.path)  # the sockets of this thread belong to the host
        selector = selectors.DefaultSelector()
        try:
            while not self._end.is_set():
                with self._lock:
                    self._begin_held(selector)
                    self._begin_probes(selector)
                timeout = _TURN / 2 if not self._hurry else 0.002
                for key, _ in selector.select(timeout):
                    key.data.step()
                with self._lock:
                    self._take_ends(selector)
        finally:
            for key in list(selector.get_map().values()):
                key.fileobj.close()
            selector.close()

    def _begin_held(self, selector):
        have = {one.target for one in self.held}
        for target in self.targets:
            if target not in have and not (target.path == FORWARDER and self._bears("held")):
                one = Held(target)
                self.held.append(one)
                selector.register(one.socket, one.wants(), one)

    def _begin_probes(self, selector):
        now = time.monotonic()
        rest = 0.005 if self._hurry else _TURN * len(self.targets)
        for target in self.targets:
            if target.asking and self._hurry and target.served is None:
                self._give_up_stale(selector, target, now)
            if not target.asking and now - target.asked >= rest:
                target.asked = now
                probe = target.asking = _Probe(target)
                selector.register(probe.socket, probe.wants(), probe)
                if not self._hurry:
                    break

    def _give_up_stale(self, selector, target, now):
        """A connection that was begun while its way was cut gets there only when its client sends again, after 1, 3, 7 ... seconds."""
        probe = target.asking
        if probe.began >= self._awaiting and now - probe.began < target.patience:
            return
        if probe.began >= self._awaiting:
            target.patience *= 2
        selector.unregister(probe.socket)
        probe.socket.close()
        target.asking = None
        target.asked = 0.0

    def _take_ends(self, selector):
        for key in list(selector.get_map().values()):
            one = key.data
            one.step()
            if not one.problem and not one.done:
                if key.events != one.wants():
                    selector.modify(one.socket, one.wants(), one)
                continue
            selector.unregister(one.socket)
            one.socket.close()
            if isinstance(one, Held):
                self._take_held(one)
            else:
                self._take_probe(one)
        for one in self.held:
            self.gaps[one.target.path] = max(self.gaps[one.target.path], one.longest_gap)

    def _take_held(self, one):
        self.held.remove(one)
        if one.target.path != FORWARDER or not self._bears("held", one.heard):
            self._fail(f"a held connection to {one.target} ended after {one.got} bytes: {one.problem}")

    def _take_probe(self, one):
        one.target.asking = None
        if one.done:
            self.probes["served"] += 1
            if one.target.served is None and one.began >= self._awaiting:
                one.target.served = one.began
        elif self._bears(self._kind(one.target), one.began):
            self.probes["excused"] += 1
        else:
            self._fail(f"a new connection to {one.target} failed: {one.problem}")

    # ---- States ----

    def _check_state(self, name, state, where, since=None):
        if state != self.state and not (state in _OF_A_START and self._bears("start", since)):
            self._fail(f"{name} is {state}, says {where}")

    def _take_state(self, name, state, where):
        if name in self.names:
            self._check_state(name, state, where)
            self._latest[name] = state

    def _watch_events(self):
        while not self._end.is_set():
            heard = time.monotonic()
            try:
                self._stream = connection_to(self.api.path, 3600)
                self._stream.request("GET", "/v1/events")
                answer = self._stream.getresponse()
                if answer.status != 200:
                    raise OSError(f"status {answer.status}")
                while line := answer.readline():
                    self._take_event(json.loads(line))
                    heard = time.monotonic()
                raise OSError("the event stream ended")
            except (OSError, ValueError, http.client.HTTPException) as error:
                if not (self._end.is_set() or self._bears("api", heard)):
                    self._fail(f"the event stream: {error!r}")
            finally:
                self._stream.close()
                self._latest = {}
            self._end.wait(0.05)

    def _take_event(self, event):
        self.events[event["type"]] += 1
        if event["type"] == "snapshot":
            self._take_state(event["sandbox"], event["object"]["state"], "the snapshot of the events")
        elif event["type"] == "state":
            self._take_state(event["sandbox"], event["to"], f"the event {event}")
        elif event["type"] == "unregistered" and event["sandbox"] in self.names:
            self._fail(f"{event['sandbox']} was unregistered: {event}")

    def _watch_states(self):
        while not self._end.wait(0.2):
            began = time.monotonic()
            try:
                reply = self.api.get("/v1/sandboxes")
                if reply.status != 200:
                    raise OSError(f"GET /v1/sandboxes: {reply}")
                found = {one["id"]: one["state"] for one in reply.body["sandboxes"]}
            except (OSError, ValueError, http.client.HTTPException) as error:
                if not self._bears("api", began):
                    self._fail(f"the control socket: {error!r}")
                continue
            self.counted_states += 1
            for name in self.names:
                if name not in found:
                    self._fail(f"{name} is gone")
                else:
                    self._check_state(name, found[name], "GET /v1/sandboxes", began)
