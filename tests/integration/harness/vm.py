# SPDX-License-Identifier: GPL-2.0-or-later
"""A real virtual machine (tests/guest/vm) on a sandbox's TAP. QEMU emulates it, and it boots in about four seconds."""

import os
import subprocess

from .wait import poll_until

_FOLDER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "guest", "vm"
)

IMAGE_LIMIT = 600  # seconds: for a download of 30 MB, after another worker's
BOOT_LIMIT = 240  # seconds, nearly the API's limit: two VMs at a time are emulated, on shared cores


def make_image(*arguments):
    """The folder with kernel and initramfs; with "--agent", of the image whose guest runs tests/agent."""
    done = subprocess.run(
        [os.path.join(_FOLDER, "make-image"), *arguments], stdout=subprocess.PIPE, timeout=IMAGE_LIMIT, text=True, check=False
    )
    assert done.returncode == 0, "tests/guest/vm/make-image failed: see its output"
    return done.stdout.strip()


class VirtualMachine:
    """QEMU in the namespace of SANDBOX, which is the API's object or its namespace's name. Its console goes to a file."""

    def __init__(self, host, image, console, sandbox, boot_delay=0, mac=None, memory=128):
        if isinstance(sandbox, str):
            sandbox = {"netns": sandbox, "tap": "tap0", "guest": {}}
        guest = sandbox["guest"]
        argv = [os.path.join(_FOLDER, "run"), image, "--tap", sandbox["tap"], "--boot-delay", boot_delay, "--memory", memory]
        if mac or "mac" in guest:
            argv += ["--mac", mac or guest["mac"]]
        if "boot_arg" in guest:
            argv += ["--ip", guest["boot_arg"], "--mtu", guest["mtu"]]
        self.console = console
        with open(console, "wb") as output:
            self.process = host.netns(sandbox["netns"]).popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        with open(self.console, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_serving(self, timeout=BOOT_LIMIT):
        """Waits until the guest reports that its HTTP server listens."""

        def serving():
            assert self.process.poll() is None, f"QEMU ended with {self.process.returncode}:\n{self.text()[-3000:]}"
            return "vm: serving" in self.text()

        poll_until(serving, timeout, what=lambda: f"the VM to boot; its console:\n{self.text()[-3000:]}", interval=0.05)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
