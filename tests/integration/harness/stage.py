# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten sandboxes under a witness's eyes, with others that come and go beside, for tests that make a bad day."""

import http.client
import os
import threading
import time

from .faults import await_limit
from .wait import PATIENCE, poll_until
from .witness import FORWARDER, Witness

COUNT = 10
LONG = bool(os.environ.get("WEFT_LONG"))

CONFIG = {"pool": {"size": 2, "refill": 100, "quarantine": "50ms"}}


def make_disk(host, folder):
    """A small file system in HOST, at a folder whose path is returned."""
    path = os.path.join(folder, "disk")
    os.makedirs(path)
    host.run(["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=100,mode=755", "tmpfs", path])
    return path


class Churn(threading.Thread):
    """Registers, changes and removes sandboxes all the time. A call of it may be refused; `made` counts those that were not."""

    NAMES = ("churn-0", "churn-1", "churn-2")

    def __init__(self, api):
        super().__init__(daemon=True)
        self.api = api
        self.answers = {}
        self.made = 0
        self._end = threading.Event()

    def run(self):
        turn = 0
        while not self._end.wait(0.01):
            turn += 1
            name = self.NAMES[turn % len(self.NAMES)]
            for method, body in (("PUT", {"ports": [80, 81]}), ("PATCH", {"labels": {"turn": str(turn)}}), ("DELETE", None)):
                status = self._call(method, name, body)
                self.answers[method, status] = self.answers.get((method, status), 0) + 1
                self.made += (method, status) == ("PUT", 201)

    def _call(self, method, name, body=None):
        try:
            return self.api.request(method, f"/v1/sandboxes/{name}", body=body).status
        except (OSError, ValueError, http.client.HTTPException) as error:
            return type(error).__name__

    def await_one(self):
        """Waits until one more sandbox was made."""
        before = self.made
        poll_until(lambda: self.made > before, 3 * PATIENCE, what=lambda: f"a new sandbox; {self.answers}")

    def close(self):
        self._end.set()
        self.join(3 * PATIENCE)
        for name in self.NAMES:
            poll_until(
                lambda: self._call("DELETE", name) in (204, 404),  # pylint: disable=cell-var-from-loop
                what=lambda: f"{name} to be removed; {self.answers}",  # pylint: disable=cell-var-from-loop
            )


class Stage:
    """DAEMON runs already. Its sandboxes are named live-N, their guests serve port 7."""

    def __init__(self, host, daemon, guest):
        self.host = host
        self.daemon = daemon
        self.sandboxes = [daemon.api.register(f"live-{n}", {"ports": [7]}) for n in range(COUNT)]
        guests = guest.many(self.sandboxes)
        guests[0].owner.serve([(one, "7,echo") for one in guests])
        for one in self.sandboxes:
            daemon.api.wait(one["id"], "ready")
        self.witness = Witness(host, daemon, self.sandboxes).start()
        self.churn = Churn(daemon.api)
        self.churn.start()

    def await_all(self, what):
        """Waits until all is served and done again, and prints how long that took."""
        began = time.monotonic()
        self.witness.note(f"{what}: is over")
        endpoints = self.witness.await_service(FORWARDER)
        self.churn.await_one()
        sandbox = time.monotonic() - began
        await_limit(self.daemon)
        again = time.monotonic() - began
        addresses = again + self.witness.await_service()
        self.witness.check()
        print(
            f"{what}: is over; {endpoints * 1000:.0f} ms later all endpoints served, {sandbox * 1000:.0f} ms later a sandbox was made, "
            f"{addresses * 1000:.0f} ms later all host addresses served"
        )

    def close(self):
        """Ends it, and fails if the witness saw a fault."""
        try:
            self.churn.close()
        finally:
            print(self.churn.answers)
            print(self.witness.report())
            self.witness.finish()
