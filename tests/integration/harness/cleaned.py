# SPDX-License-Identifier: GPL-2.0-or-later
"""`weftd --cleanup` after a history of any kind: the host is as it was, and no guest is ever without its floor on the way there."""

import os
import threading

from .host import difference
from .wait import poll_until

TIMES = 3


class _Floor(threading.Thread):
    """Looks all the time: as long as a link of a group of ours is there, so are the host's rules for it."""

    def __init__(self, host, groups):
        super().__init__(daemon=True)
        self.host = host
        self.groups = groups
        self.looks = 0
        self.problem = None
        self._end = threading.Event()

    def run(self):
        while not self._end.wait(0.005) and not self.problem:
            # The rules first: they go last, so that links which are seen afterwards had none.
            has_rules = "table inet weft" in self.host.output(["nft", "list", "tables"])
            links = [name for name, link in self.host.links().items() if str(link.get("group")) in self.groups]
            if links and not has_rules:
                self.problem = f"{links} without the host's rules"
            self.looks += 1

    def close(self):
        self._end.set()
        self.join()


def files_of(daemon):
    """Everything in the state directory and beside the socket but the lock, which stays to be taken."""
    found = []
    for folder in {daemon.state_dir, os.path.dirname(daemon.socket)}:
        path = daemon.host.file(folder)
        if os.path.isdir(path):
            found += [name for name in os.listdir(path) if name.endswith((".json", ".aside", ".new", ".tmp", ".sock"))]
    return sorted(found)


def assert_cleaned(host, daemon, bare, groups=("1874",)):
    """Runs `--cleanup` of DAEMON, which has ended, three times. Afterwards HOST must be as BARE, its state() before weft's first start.

    GROUPS: the link groups that the history used, as `ip` prints them.
    """
    assert not daemon.running()
    floor = _Floor(host, groups)
    floor.start()
    try:
        for turn in range(TIMES):
            done = daemon.run("--cleanup")
            assert done.returncode == 0, f"cleanup {turn + 1}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            assert turn == 0 or "0 removed" in done.stdout, f"cleanup {turn + 1} found more:\n{done.stdout}"
            assert "nothing left" in done.stdout or "0 removed" in done.stdout, done.stdout
    finally:
        floor.close()
    assert floor.looks and not floor.problem, floor.problem
    now = {}

    def left():
        now.clear()
        now.update(host.state())
        now["processes"] = bare["processes"]  # guests live on; nobody told them to go
        return difference(bare, now)

    poll_until(lambda: not left(), what=lambda: "left behind:\n" + "\n".join(left()))
    files = files_of(daemon)
    assert not files, f"files left: {files}"
