# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's Prometheus: its server, in a host of a test, and promtool.

The package is unpacked beside the build and not installed, as that would start a server on the machine.
"""

import glob
import json
import os
import subprocess
import tempfile
import urllib.parse

import yaml

from .daemon import build_dir
from .wait import poll_until

PORT = 9090


def program(name):
    """The path of "prometheus" or "promtool"."""
    place = os.path.join(build_dir(), "prometheus")
    path = os.path.join(place, "usr/bin", name)
    if os.path.exists(path):
        return path
    os.makedirs(place, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        command = ["apt-get", "-q", "-o", "Acquire::Retries=5", "download", "prometheus"]
        fetch = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert fetch.returncode == 0, f"the package prometheus cannot be had: {fetch.stderr}"
        subprocess.run(["dpkg-deb", "-x", glob.glob(f"{folder}/prometheus_*.deb")[0], folder], check=True)
        try:
            os.rename(f"{folder}/usr", os.path.join(place, "usr"))
        except OSError:
            assert os.path.exists(path)  # another worker was here first
    return path


def promtool(*arguments, text=None):
    """Runs it; it must find no fault. Returns what it says."""
    said = subprocess.run([program("promtool"), *arguments], input=text, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stdout + said.stderr


class Prometheus:
    """A server in HOST with its files in FOLDER, which has CONFIG, but scrapes and judges rules each 100 ms."""

    def __init__(self, host, folder, config):
        self.host = host
        self.log = f"{folder}/prometheus.log"
        often = {"scrape_interval": "100ms", "scrape_timeout": "100ms", "evaluation_interval": "100ms"}
        with open(f"{folder}/prometheus.yml", "w", encoding="utf-8") as file:
            yaml.safe_dump({**config, "global": often}, file)
        with open(self.log, "wb") as log:
            self.process = host.popen(
                [
                    *(program("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"),
                    *(f"--web.listen-address=127.0.0.1:{PORT}", "--log.level=warn"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def get(self, path, **parameters):
        """The data of an answer of its API; None while it does not answer yet. Other answers than success fail."""
        assert self.process.poll() is None, self.tail()
        request = f"GET /api/v1/{path}?{urllib.parse.urlencode(parameters)} HTTP/1.0\r\nHost: localhost\r\n\r\n"
        try:
            with self.host.connect("127.0.0.1", PORT) as client:
                client.sendall(request.encode())
                text = b"".join(iter(lambda: client.recv(1 << 16), b"")).partition(b"\r\n\r\n")[2]
        except ConnectionError:
            return None
        if not text.startswith(b"{"):
            return None  # it starts
        answer = json.loads(text)
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        data = self.get("query", query=expression)
        return [(one["metric"], float(one["value"][1])) for one in data["result"]] if data else None

    def await_scrapes(self, job):
        """Until JOB was scraped three times, so that rates have values."""
        expression = f'count_over_time(up{{job="{job}"}}[1m]) > 2 and up{{job="{job}"}} == 1'
        poll_until(lambda: self.query(expression), what=self.tail)

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def close(self):
        self.process.terminate()
        self.process.wait()
