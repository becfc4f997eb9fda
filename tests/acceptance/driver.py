# SPDX-License-Identifier: GPL-2.0-or-later
"""E2B's Python SDK as a program that tests talk to: a JSON object a line in, one out, any number of calls at a time.

    {"id": 1, "call": "run", "sandbox": "a", "command": "echo hello"} -> {"id": 1, "ms": 9.1, "value": "hello\n"}
                                                                      or {"id": 1, "ms": 9.1, "error": "Name: text"}
"""

import concurrent.futures
import hashlib
import json
import os
import sys
import threading
import time

from e2b import Sandbox

sandboxes = {}
handles = {}
output = threading.Lock()
pool = concurrent.futures.ThreadPoolExecutor(256)


def create(sandbox, url=None):
    options = {"sandbox_url": url} if url else {}
    sandboxes[sandbox] = Sandbox.create(debug=True, **options)


def run(sandbox, command, timeout=60):
    return sandboxes[sandbox].commands.run(command, timeout=timeout).stdout


def run_many(sandbox, command, count):
    return list(pool.map(lambda _: run(sandbox, command), range(count)))


def run_sequence(sandbox, command, count):
    """Milliseconds of each."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run(sandbox, command)
        times.append((time.perf_counter() - start) * 1000)
    return times


def start(sandbox, command, name, stdin=False):
    handles[name] = sandboxes[sandbox].commands.run(command, background=True, stdin=stdin, timeout=0)
    return handles[name].pid


def wait(name):
    return handles[name].wait().stdout


def disconnect(name):
    handles[name].disconnect()


def kill(name):
    return handles[name].kill()


def send(sandbox, name, text):
    sandboxes[sandbox].commands.send_stdin(handles[name].pid, text)


def processes(sandbox):
    return [process.pid for process in sandboxes[sandbox].commands.list()]


def write(sandbox, path, text):
    sandboxes[sandbox].files.write(path, text)


def read(sandbox, path):
    return sandboxes[sandbox].files.read(path)


def upload(sandbox, path, size):
    data = os.urandom(size)
    sandboxes[sandbox].files.write(path, data)
    return hashlib.sha256(data).hexdigest()


def download(sandbox, path):
    return hashlib.sha256(sandboxes[sandbox].files.read(path, format="bytes")).hexdigest()


def exists(sandbox, path):
    return sandboxes[sandbox].files.exists(path)


def listing(sandbox, path):
    return [entry.name for entry in sandboxes[sandbox].files.list(path)]


def rename(sandbox, path, to):
    sandboxes[sandbox].files.rename(path, to)


def remove(sandbox, path):
    sandboxes[sandbox].files.remove(path)


def make_dir(sandbox, path):
    return sandboxes[sandbox].files.make_dir(path)


def watch(sandbox, path, then):
    """What happens in PATH while THEN is written there."""
    watcher = sandboxes[sandbox].files.watch_dir(path)
    sandboxes[sandbox].files.write(f"{path}/{then}", "x")
    seen, deadline = [], time.monotonic() + 5
    while time.monotonic() < deadline and then not in seen:
        seen += [event.name for event in watcher.get_new_events()]
    watcher.stop()
    return seen


def running(sandbox):
    return sandboxes[sandbox].is_running(request_timeout=5)


def answer(request):
    number, call = request.pop("id"), request.pop("call")
    begun = time.perf_counter()
    try:
        reply = {"id": number, "value": globals()[call](**request)}
    except Exception as error:  # pylint: disable=broad-except
        reply = {"id": number, "error": f"{type(error).__name__}: {error}"}
    reply["ms"] = (time.perf_counter() - begun) * 1000
    with output:
        print(json.dumps(reply), flush=True)


for line in sys.stdin:
    threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()
os._exit(0)
