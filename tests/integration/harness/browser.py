# SPDX-License-Identifier: GPL-2.0-or-later
"""A real browser, headless, driven over its debugging pipe without a driver program or a library."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile

from .wait import PATIENCE, TimedOut, poll_until


class Browser:
    """Debian's chromium, started in HOST with a profile of its own. close() ends it."""

    def __init__(self, host):
        program = shutil.which("chromium")
        assert program, "chromium is not installed: apt-get install chromium"
        self.profile = tempfile.mkdtemp(prefix="weft-browser-", dir="/tmp")
        to_read, self.write_fd = os.pipe()
        self.read_fd, to_write = os.pipe()
        os.set_inheritable(to_read, True)
        os.set_inheritable(to_write, True)
        shell = f"exec {program} --headless=new --window-size=1280,900 --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
--disable-background-networking --remote-debugging-pipe --user-data-dir={self.profile} about:blank 3<&{to_read} 4>&{to_write}"
        self.process = host.popen(
            ["bash", "-c", shell],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self.pending = b""
        self.last_id = 0
        self.session = None
        self.said = []
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self):
        page = poll_until(self._first_page, 2 * PATIENCE, what="the browser to open its first page")
        self.session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def _first_page(self):
        """The page's target. The browser answers commands before its window exists."""
        return next((one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"), None)

    def _message(self, timeout):
        while b"\0" not in self.pending:
            if not select.select([self.read_fd], [], [], timeout)[0]:
                raise TimedOut(f"the browser said nothing for {timeout} s")
            chunk = os.read(self.read_fd, 1 << 20)
            assert chunk, "the browser ended"
            self.pending += chunk
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, timeout=4 * PATIENCE, **parameters):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message(timeout)
            if answer.get("id") == self.last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.said.append(answer)

    def open(self, url):
        self.said.clear()
        self.call("Page.navigate", url=url)

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression, timeout=3 * PATIENCE):
        def true():
            try:
                return self.evaluate(expression)
            except AssertionError as error:
                # The old page is closing, and the new one does not exist yet.
                if "context" in str(error) or "navigated" in str(error):
                    return False
                raise

        return poll_until(true, timeout, what=expression, interval=0.1)

    def dark(self, dark):
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def size(self, width, height=900):
        """The window as the page sees it."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def complaints(self):
        """The page's exceptions and errors so far, and the URLs that it requested."""
        self.evaluate("1")
        errors = [one["params"] for one in self.said if one.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
        asked = [one["params"]["request"]["url"] for one in self.said if one.get("method") == "Network.requestWillBeSent"]
        return errors, asked

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)
        shutil.rmtree(self.profile, ignore_errors=True)
