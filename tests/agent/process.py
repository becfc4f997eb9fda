# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands: starting, following, writing to, signalling, listing them. A command outlives the stream that started it."""

import base64
import collections
import os
import signal
import subprocess
import threading
import time

import filesystem
import users
from http1 import Gone
from rpc import RpcError

QUEUE_LIMIT = 64  # events queued for a slow client; beyond, the command's pipe fills, and the command waits
SIGNALS = {"SIGNAL_SIGKILL": signal.SIGKILL, "SIGNAL_SIGTERM": signal.SIGTERM}

_lock = threading.Lock()
_running = {}  # pid: Process
_open = 0
_cancelled = collections.deque(maxlen=1000)


class Follower:
    """One stream's queue of events, with a pipe that is readable while the queue holds any."""

    def __init__(self):
        self.events = collections.deque()
        self.room = threading.Semaphore(QUEUE_LIMIT)
        self.gone = False
        self.reader, self.writer = os.pipe()

    def put(self, event):
        while not self.room.acquire(timeout=0.1):
            if self.gone:
                return
        with _lock:
            if not self.gone:
                self.events.append(event)
                os.write(self.writer, b"x")

    def take(self):
        event = self.events.popleft()
        os.read(self.reader, 1)
        self.room.release()
        return event

    def close(self):
        with _lock:
            self.gone = True
            os.close(self.reader)
            os.close(self.writer)


class Process:
    def __init__(self, request):
        self.config = request["process"]
        self.tag = request.get("tag")
        self.followers = []
        user = users.present()
        home = filesystem.make_home()
        other = {"user": user.uid, "group": user.gid, "extra_groups": user.groups} if user.uid != os.geteuid() else {}
        self.child = subprocess.Popen(
            [self.config["cmd"], *self.config.get("args", [])],
            cwd=filesystem.real(self.config.get("cwd") or "~"),
            env={**os.environ, "HOME": home, "USER": user.name, "LOGNAME": user.name, **self.config.get("envs", {})},
            stdin=subprocess.PIPE if request.get("stdin") else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **other,
        )
        self.pid = self.child.pid

    def begin(self, follower):
        """Starts the flow of events; the first follower misses none."""
        self.followers.append(follower)
        _running[self.pid] = self
        pumps = [
            threading.Thread(target=self._pump, args=(name, stream), daemon=True)
            for name, stream in (("stdout", self.child.stdout), ("stderr", self.child.stderr))
        ]
        for pump in pumps:
            pump.start()
        threading.Thread(target=self._end, args=(pumps,), daemon=True).start()

    def _tell(self, event):
        for follower in list(self.followers):
            follower.put({"event": event})

    def _pump(self, name, stream):
        while data := os.read(stream.fileno(), 32768):
            self._tell({"data": {name: base64.b64encode(data).decode()}})

    def _end(self, pumps):
        for pump in pumps:
            pump.join()
        code = self.child.wait()
        _running.pop(self.pid, None)
        end = {"exited": code >= 0, "exitCode": code if code >= 0 else -1}
        end["status"] = f"exit status {code}" if code >= 0 else f"signal: {signal.Signals(-code).name}"
        if code:
            end["error"] = end["status"]
        self._tell({"end": end})
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream:
                stream.close()


def _find(request):
    selector = request["process"]
    for one in list(_running.values()):
        if one.pid == selector.get("pid") or (selector.get("tag") and one.tag == selector["tag"]):
            return one
    raise RpcError("not_found", f"no such process: {selector}")


def _follow(stream, process, follower):
    global _open  # pylint: disable=global-statement
    with _lock:
        _open += 1
    try:
        stream.send({"event": {"start": {"pid": process.pid}}})
        while True:
            stream.wait(follower.reader, stream.keepalive)
            if not follower.events:
                stream.send({"event": {"keepalive": {}}})
                continue
            event = follower.take()
            stream.send(event)
            if "end" in event["event"]:
                return
    except Gone:
        _cancelled.append({"pid": process.pid, "time": time.time()})
        raise
    finally:
        with _lock:
            _open -= 1
        process.followers.remove(follower)
        follower.close()


def start(request, stream):
    try:
        process = Process(request)
    except FileNotFoundError as error:
        raise RpcError("invalid_argument", str(error)) from None
    follower = Follower()
    process.begin(follower)
    _follow(stream, process, follower)


def connect(request, stream):
    process = _find(request)
    follower = Follower()
    process.followers.append(follower)
    _follow(stream, process, follower)


def list_all(_):
    running = list(_running.values())
    return {"processes": [{"config": one.config, "pid": one.pid, **({"tag": one.tag} if one.tag else {})} for one in running]}


def send_input(request):
    process = _find(request)
    if not process.child.stdin:
        raise RpcError("failed_precondition", "the process was started without stdin")
    os.write(process.child.stdin.fileno(), base64.b64decode(request["input"].get("stdin", "")))


def close_stdin(request):
    process = _find(request)
    if process.child.stdin:
        process.child.stdin.close()


def send_signal(request):
    os.killpg(_find(request).pid, SIGNALS[request["signal"]])


def streams():
    """For tests: the number of open streams, and the clients that left before the end."""
    return {"open": _open, "running": list(_running), "cancelled": list(_cancelled)}


_SERVICE = "/process.Process/"
STREAMS = {_SERVICE + "Start": start, _SERVICE + "Connect": connect}
HANDLERS = {
    _SERVICE + "List": list_all,
    _SERVICE + "SendInput": send_input,
    _SERVICE + "CloseStdin": close_stdin,
    _SERVICE + "SendSignal": send_signal,
    _SERVICE + "Update": lambda _: {},
}
