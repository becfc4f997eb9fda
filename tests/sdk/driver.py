# SPDX-License-Identifier: GPL-2.0-or-later
"""E2B's SDK for Python, driven by a test: one JSON object a line, in and out. driver.mjs is its twin.

In:  {"id": 1, "call": "run", "cmd": "echo hello"}; calls run at the same time, each in a thread of its own.
Out: {"id": 1, "ok": true, "result": {...}, "ms": 6.1}, or {"id": 1, "ok": false, "error": CLASS, "message": TEXT, "ms": 6.1,
         "told_ms": 5.0}. told_ms is when the SDK noticed the connection's failure, before it asked for the sandbox's health.
          Before that, for calls that stream: {"id": 1, "event": {...}, "ms": 3.0}.
"""

import hashlib
import inspect
import json
import sys
import threading
import time

from e2b import Sandbox

PATTERN = bytes((j * 31 + (j >> 8)) & 255 for j in range(65521))

_out = threading.Lock()
_sandbox = None
_handles = {}  # pid: CommandHandle
_watches = {}  # path: WatchHandle


def say(message):
    with _out:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def pattern(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


def create(call, _):
    """Local ("debug") mode: the default endpoint, or the given URL. Else as the environment says, by E2B's API."""
    global _sandbox  # pylint: disable=global-statement
    options = {"sandbox_url": call["url"]} if call.get("url") else {}
    if call.get("private"):
        options["network"] = {"allow_public_traffic": False}
    if call.get("wakes"):
        options["lifecycle"] = {"on_timeout": "pause", "auto_resume": True}
    _sandbox = Sandbox.create(debug=not call.get("full"), **options)
    return {"sandbox": _sandbox.sandbox_id, "token": _sandbox.traffic_access_token}


def attach(call, _):
    """Another sandbox by its id, which is woken if it is paused."""
    global _sandbox  # pylint: disable=global-statement
    _sandbox = Sandbox.connect(call["sandbox"])
    return {"sandbox": _sandbox.sandbox_id}


def sandboxes(_, __):
    """All of the account: {id: state}."""
    return {one.sandbox_id: one.state.value for one in Sandbox.list().next_items()}


def info(_, __):
    return {"state": _sandbox.get_info().state.value}


def pause(_, __):
    _sandbox.pause()


def destroy(_, __):
    return {"destroyed": _sandbox.kill()}


def host(call, _):
    return {"host": _sandbox.get_host(call["port"])}


def _outcome(result):
    return {"stdout": result.stdout, "stderr": result.stderr, "exit_code": result.exit_code}


def _callbacks(call, tell):
    if not call.get("stream"):
        return {}
    return {"on_stdout": lambda text: tell({"stdout": text}), "on_stderr": lambda text: tell({"stderr": text})}


def run(call, tell):
    options = {name: call[name] for name in ("timeout", "user") if name in call}
    return _outcome(_sandbox.commands.run(call["cmd"], **options, **_callbacks(call, tell)))


def start(call, _):
    options = {"stdin": True} if call.get("stdin") else {}
    handle = _sandbox.commands.run(call["cmd"], background=True, timeout=call.get("timeout", 0), **options)
    _handles[handle.pid] = handle
    return {"pid": handle.pid}


def connect(call, _):
    _handles[call["pid"]] = _sandbox.commands.connect(call["pid"], timeout=0)
    return {"pid": call["pid"]}


def wait(call, tell):
    return _outcome(_handles[call["pid"]].wait(**_callbacks(call, tell)))


def leave(call, _):
    _handles.pop(call["pid"]).disconnect()


def kill(call, _):
    return {"killed": _sandbox.commands.kill(call["pid"])}


def stdin(call, _):
    _sandbox.commands.send_stdin(call["pid"], call["data"])


def ps(_, __):
    return {"pids": [one.pid for one in _sandbox.commands.list()]}


def write(call, _):
    data = pattern(call["size"]) if "size" in call else call["data"]
    _sandbox.files.write(call["path"], data, request_timeout=call.get("timeout", 60))
    return {}


def read(call, _):
    if not call.get("digest"):
        return {"data": _sandbox.files.read(call["path"])}
    data = _sandbox.files.read(call["path"], format="bytes", request_timeout=call.get("timeout", 60))
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def listing(call, _):
    return {"names": sorted(one.name for one in _sandbox.files.list(call["path"]))}


def exists(call, _):
    return {"exists": _sandbox.files.exists(call["path"])}


def rename(call, _):
    return {"path": _sandbox.files.rename(call["path"], call["to"]).path}


def remove(call, _):
    _sandbox.files.remove(call["path"])


def mkdir(call, _):
    return {"made": _sandbox.files.make_dir(call["path"])}


def watch(call, _):
    _watches[call["path"]] = _sandbox.files.watch_dir(call["path"])


def watched(call, _):
    return {"events": [[one.type.value, one.name] for one in _watches[call["path"]].get_new_events()]}


def unwatch(call, _):
    _watches.pop(call["path"]).stop()


def health(_, __):
    return {"running": _sandbox.is_running()}


def sequence(call, _):
    """Runs the same command COUNT times, one after the other."""
    times = []
    for _ in range(call["count"]):
        began = time.monotonic()
        _sandbox.commands.run(call["cmd"])
        times.append((time.monotonic() - began) * 1000)
    return {"times": times}


def burst(call, _):
    """Runs the same command COUNT times at once; I in the command stands for the number of each."""
    outcomes = [None] * call["count"]
    patience = call.get("timeout", 60)

    def one(index):
        try:
            cmd = call["cmd"].replace("I", str(index))
            outcomes[index] = _sandbox.commands.run(cmd, timeout=patience, request_timeout=patience).stdout
        except Exception as error:  # pylint: disable=broad-except
            outcomes[index] = f"{type(error).__name__}: {error}"

    threads = [threading.Thread(target=one, args=(index,)) for index in range(call["count"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"outcomes": outcomes}


CALLS = {
    **{function.__name__: function for function in (create, run, start, connect, wait, leave, kill, stdin, ps)},
    **{function.__name__: function for function in (attach, sandboxes, info, pause, destroy, host)},
    **{function.__name__: function for function in (write, read, exists, rename, remove, mkdir, watch, watched)},
    **{function.__name__: function for function in (unwatch, health, sequence, burst)},
    "list": listing,
}

_probed = threading.local()


def note_probes():
    """Has each thread record when the SDK, after a failure, began to ask for the sandbox's health."""
    from e2b.envd import api  # pylint: disable=import-outside-toplevel

    original = api.check_sandbox_health

    def noted(*arguments, **options):
        _probed.at = time.monotonic()
        return original(*arguments, **options)

    for name, module in list(sys.modules.items()):
        if name.startswith("e2b.") and inspect.ismodule(module) and getattr(module, "check_sandbox_health", None) is original:
            module.check_sandbox_health = noted


def serve(call):
    began = time.monotonic()
    _probed.at = None

    def since(moment=None):
        return round(((moment or time.monotonic()) - began) * 1000, 3)

    def tell(event):
        say({"id": call["id"], "event": event, "ms": since()})

    try:
        result = CALLS[call["call"]](call, tell)
        say({"id": call["id"], "ok": True, "result": result, "ms": since()})
    except Exception as error:  # pylint: disable=broad-except
        told = since(_probed.at) if _probed.at else since()
        answer = {"id": call["id"], "ok": False, "error": type(error).__name__, "message": str(error)}
        say({**answer, "ms": since(), "told_ms": told, "exit_code": getattr(error, "exit_code", None)})


def main():
    note_probes()
    say({"ready": True})
    for line in sys.stdin:
        threading.Thread(target=serve, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
