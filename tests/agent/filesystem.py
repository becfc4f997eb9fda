# SPDX-License-Identifier: GPL-2.0-or-later
"""Files and folders: listing, making, moving, removing, watching. Clients' paths lie under a root of the agent's own."""

import os
import stat
import threading
import time

import users
from rpc import RpcError

WATCH_PAUSE = 0.05  # seconds between two looks at a watched folder

_root = "/"
_watchers = {}
_watchers_lock = threading.Lock()


def set_root(path):
    global _root  # pylint: disable=global-statement
    _root = os.path.realpath(path)
    os.makedirs(_root, exist_ok=True)


def absolute(path):
    """PATH as a client means it: relative to its user's home, "~" allowed, and nothing above the root."""
    home = users.present().home
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return os.path.normpath(os.path.join(home, path or ""))


def real(path):
    """The real path of a client's path."""
    return os.path.normpath(_root + "/" + absolute(path)) if _root != "/" else absolute(path)


def give(where):
    """Makes the user of the request the owner of what the agent has made for it."""
    user = users.present()
    if os.geteuid() == 0 and user.uid != 0:
        os.chown(where, user.uid, user.gid)


def make_home():
    """The home of the user of this request, which a stand-in's own root lacks at first."""
    home = real("~")
    if not os.path.isdir(home):
        os.makedirs(home)
        give(home)
    return home


def entry(path):
    """The EntryInfo of a client's absolute path."""
    where = real(path)
    info = os.lstat(where)
    told = {
        "name": os.path.basename(path) or "/",
        "path": path,
        "size": str(info.st_size),
        "mode": stat.S_IMODE(info.st_mode),
        "permissions": stat.filemode(info.st_mode),
        "owner": str(info.st_uid),
        "group": str(info.st_gid),
        "modifiedTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(info.st_mtime)),
    }
    if stat.S_ISLNK(info.st_mode):
        told["symlinkTarget"] = os.readlink(where)
        info = os.stat(where)
    told["type"] = "FILE_TYPE_DIRECTORY" if stat.S_ISDIR(info.st_mode) else "FILE_TYPE_FILE"
    return told


def tell(request):
    return {"entry": entry(absolute(request["path"]))}


def make_dir(request):
    path = absolute(request["path"])
    os.makedirs(real(path))
    give(real(path))
    return {"entry": entry(path)}


def move(request):
    source, destination = absolute(request["source"]), absolute(request["destination"])
    os.makedirs(os.path.dirname(real(destination)), exist_ok=True)
    os.rename(real(source), real(destination))
    return {"entry": entry(destination)}


def _remove_tree(where):
    if os.path.isdir(where) and not os.path.islink(where):
        for name in os.listdir(where):
            _remove_tree(os.path.join(where, name))
        os.rmdir(where)
    else:
        os.unlink(where)


def remove(request):
    where = real(request["path"])
    if os.path.lexists(where):
        _remove_tree(where)


def _entries(path, depth):
    for name in sorted(os.listdir(real(path))):
        below = os.path.join(path, name)
        yield entry(below)
        if depth > 1 and os.path.isdir(real(below)):
            yield from _entries(below, depth - 1)


def list_dir(request):
    path = absolute(request["path"])
    if not os.path.isdir(real(path)):
        raise RpcError("not_found" if not os.path.lexists(real(path)) else "invalid_argument", f"no folder: {path}")
    return {"entries": list(_entries(path, request.get("depth") or 1))}


def _look(where, recursive):
    """{relative name: (inode, size, mtime, mode)}"""
    seen = {}
    for folder, folders, names in os.walk(where):
        for name in folders + names:
            path = os.path.join(folder, name)
            try:
                info = os.lstat(path)
            except FileNotFoundError:
                continue
            seen[os.path.relpath(path, where)] = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_mode)
        if not recursive:
            break
    return seen


def _changes(before, after):
    inodes = {value[0]: name for name, value in after.items()}
    for name, value in before.items():
        if name not in after:
            kind = "EVENT_TYPE_RENAME" if value[0] in inodes else "EVENT_TYPE_REMOVE"
            yield {"name": name, "type": kind}
    for name, value in after.items():
        old = before.get(name)
        if old is None:
            yield {"name": name, "type": "EVENT_TYPE_CREATE"}
            if value[1]:
                yield {"name": name, "type": "EVENT_TYPE_WRITE"}
        elif old[3] != value[3]:
            yield {"name": name, "type": "EVENT_TYPE_CHMOD"}
        elif old != value and not stat.S_ISDIR(value[3]):
            yield {"name": name, "type": "EVENT_TYPE_WRITE"}


def _folder(request):
    where = real(request["path"])
    if not os.path.isdir(where):
        raise RpcError("not_found", f"no folder: {request['path']}")
    return where, bool(request.get("recursive"))


def watch_dir(request, stream):
    where, recursive = _folder(request)
    before = _look(where, recursive)
    stream.send({"start": {}})
    quiet = time.monotonic()
    reader, writer = os.pipe()  # never written to: wait() returns at its timeout, or raises when the client is gone
    try:
        while True:
            stream.wait(reader, WATCH_PAUSE)
            after = _look(where, recursive)
            for change in _changes(before, after):
                stream.send({"filesystem": change})
            before = after
            if time.monotonic() - quiet > stream.keepalive:
                stream.send({"keepalive": {}})
                quiet = time.monotonic()
    finally:
        os.close(reader)
        os.close(writer)


def create_watcher(request):
    where, recursive = _folder(request)
    with _watchers_lock:
        name = f"w{len(_watchers) + 1}-{time.monotonic_ns()}"
        _watchers[name] = [where, recursive, _look(where, recursive)]
    return {"watcherId": name}


def get_watcher_events(request):
    with _watchers_lock:
        watcher = _watchers.get(request["watcherId"])
        if not watcher:
            raise RpcError("not_found", f"no such watcher: {request['watcherId']}")
        after = _look(watcher[0], watcher[1])
        events = list(_changes(watcher[2], after))
        watcher[2] = after
    return {"events": events}


def remove_watcher(request):
    with _watchers_lock:
        _watchers.pop(request["watcherId"], None)


_SERVICE = "/filesystem.Filesystem/"
STREAMS = {_SERVICE + "WatchDir": watch_dir}
HANDLERS = {
    _SERVICE + "Stat": tell,
    _SERVICE + "MakeDir": make_dir,
    _SERVICE + "Move": move,
    _SERVICE + "ListDir": list_dir,
    _SERVICE + "Remove": remove,
    _SERVICE + "CreateWatcher": create_watcher,
    _SERVICE + "GetWatcherEvents": get_watcher_events,
    _SERVICE + "RemoveWatcher": remove_watcher,
}
