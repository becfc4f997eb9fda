# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom a request is for. As envd, the agent looks the user up in the guest's own files and refuses a user who is not there.

envd is built without the C library, so it reads /etc/passwd and /etc/group themselves; a guest without them has no user at all.
Each connection has a thread, and the user of its present request is the thread's.
"""

import base64
import binascii
import threading

from rpc import RpcError

DEFAULT = "root"  # envd's, outside of Firecracker

_passwd = "/etc/passwd"
_group = "/etc/group"
_present = threading.local()


class User:
    def __init__(self, name, uid, gid, home, groups):
        self.name = name
        self.uid = uid
        self.gid = gid
        self.home = home
        self.groups = groups


def read_from(folder):
    """Takes the users of FOLDER's passwd and group in place of the guest's own."""
    global _passwd, _group  # pylint: disable=global-statement
    _passwd, _group = f"{folder}/passwd", f"{folder}/group"


def _rows(path, fields):
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        row = line.split(":")
        if len(row) == fields and not line.startswith("#"):
            yield row


def look_up(name):
    """The user of that name, or None."""
    for row in _rows(_passwd, 7):
        if row[0] == name and row[2].isdigit() and row[3].isdigit():
            groups = [int(group[2]) for group in _rows(_group, 4) if name in group[3].split(",") and group[2].isdigit()]
            return User(name, int(row[2]), int(row[3]), row[5], groups)
    return None


def _named_by(request):
    """The name that the request gives as that of HTTP's basic authentication, or None."""
    kind, _, rest = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(rest).decode("utf-8", "replace").partition(":")[0]
    except binascii.Error:
        return None


def enter(request):
    """Notes whom REQUEST is for."""
    _present.name = _named_by(request) or request.query.get("username")


def present():
    """The user of this thread's request. RpcError: the guest has no such user."""
    name = getattr(_present, "name", None)
    user = look_up(name or DEFAULT)
    if not user:
        raise RpcError("unauthenticated", f"invalid username: '{name}'" if name else f"invalid default user: '{DEFAULT}'")
    return user
