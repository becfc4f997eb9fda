# SPDX-License-Identifier: GPL-2.0-or-later
"""A real virtual machine (tests/guest/vm) on a sandbox's TAP. QEMU emulates it, and it boots in about four seconds."""

import os
import socket
import subprocess

from .wait import PATIENCE, poll_until

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
    """QEMU in the namespace of SANDBOX, which is the API's object or its namespace's name. Its console goes to a file.

    SHELL: a port of the guest's at which it serves a shell. MONITOR: a path, by which snapshot() is possible; SAVED: what that left, which the
    VM goes on with.
    """

    def __init__(self, host, image, console, sandbox, boot_delay=0, mac=None, memory=128, shell=None, monitor=None, saved=None):
        if isinstance(sandbox, str):
            sandbox = {"netns": sandbox, "tap": "tap0", "guest": {}}
        guest = sandbox["guest"]
        argv = [os.path.join(_FOLDER, "run"), image, "--tap", sandbox["tap"], "--boot-delay", boot_delay, "--memory", memory]
        if mac or "mac" in guest:
            argv += ["--mac", mac or guest["mac"]]
        if "boot_arg" in guest:
            argv += ["--ip", guest["boot_arg"], "--mtu", guest["mtu"]]
        for name, value in (("--shell", shell), ("--monitor", monitor), ("--from", saved)):
            argv += [name, value] if value else []
        self.monitor = monitor
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

    def tell(self, command):
        """A command of QEMU's monitor; its answer."""
        with socket.socket(socket.AF_UNIX) as made:
            made.settimeout(PATIENCE)
            poll_until(lambda: made.connect_ex(self.monitor) == 0, what=lambda: f"QEMU's monitor:\n{self.text()[-2000:]}")

            def until_prompt():
                text = b""
                while not text.endswith(b"(qemu) "):
                    more = made.recv(4096)
                    if not more:
                        return text  # it has quit
                    text += more
                return text

            until_prompt()
            made.sendall(command.encode() + b"\n")
            return until_prompt().decode(errors="replace")

    def snapshot(self, path):
        """Stops it, saves it at PATH, and ends QEMU, which closes the TAP."""
        self.tell("stop")
        self.tell(f'migrate -d "exec:cat>{path}"')

        def saved():
            told = self.tell("info migrate")
            assert "failed" not in told, told
            return "Migration status: completed" in told

        poll_until(saved, 4 * PATIENCE, interval=0.05)
        self.kill()

    def go_on(self):
        """Waits until what was saved is read, and has the VM run: it was saved as one that is stopped."""
        # "paused (inmigrate)" until then.
        poll_until(lambda: "VM status: paused\r" in self.tell("info status"), 4 * PATIENCE, what=self.text, interval=0.02)
        self.tell("cont")
        return self

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
