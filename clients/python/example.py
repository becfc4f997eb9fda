#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Gives one VM its network, from beginning to end: sudo ./example.py demo

It registers a sandbox, says how to start a VM on it, waits until something in the guest listens on the port, and follows the sandbox's
events until it is interrupted or somebody else unregisters the sandbox. At the end nothing of it is left.
"""

import argparse
import os
import signal
import sys

try:
    import weft
except ImportError:  # not installed: it stands beside this file
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "src"))
    import weft


def say(*words: object) -> None:
    print(*words, flush=True)


def follow(client: weft.Client, sandbox: weft.Sandbox, port: int, patience: float) -> None:
    """Waits for the guest, and says what happens to the sandbox."""
    endpoint = sandbox.endpoint(port)
    assert endpoint is not None  # it was asked for
    host, listening = endpoint.addresses[0]
    say(f"Clients may connect to {host}:{listening} already: they are held until the guest listens on port {port}.")
    say(f"Start the VM:  weftctl exec {sandbox.id} -- qemu-system-x86_64 ... $(weftctl show {sandbox.id} --qemu)")
    try:
        client.wait(sandbox.id, "ready", timeout=patience)
    except weft.WaitTimeout:
        diagnosis = client.diagnose(sandbox.id)
        say("No guest yet.", *(f"\n  {line}" for line in (diagnosis.cause, diagnosis.next_step) if line))
    with client.events(sandbox.id) as events:
        for event in events:
            if event.object is not None:
                say(f"{sandbox.id} is {event.object.state}")
            elif event.type == "state":
                say(f"{sandbox.id} was {event.from_} and is {event.to} ({event.cause})")
            elif event.type == "unregistered":
                return


def end(*_: object) -> None:
    """Ends the program, by way of the code that takes the sandbox away; nothing interrupts that."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def unregister(client: weft.Client, id: str) -> None:
    try:
        client.unregister(id)
    except weft.NotFound:
        pass
    except weft.WeftError as error:
        print(f"example: {id} may be left: {error}", file=sys.stderr)
        return
    say(f"{id} is gone.")


def main() -> int:
    parser = argparse.ArgumentParser(description="Gives one VM its network.")
    parser.add_argument("id", help="the sandbox's id")
    parser.add_argument("--socket", default=weft.DEFAULT_SOCKET, help="the control socket (%(default)s)")
    parser.add_argument("--port", type=int, default=49983, help="a port on which the guest will listen (%(default)s)")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for the guest (%(default)s)")
    options = parser.parse_args()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    client = weft.Client(options.socket)
    try:
        sandbox = client.register(options.id, weft.Registration(ports=[options.port], ready_port=options.port))
    except weft.WeftError as error:
        print(f"example: {error}", file=sys.stderr)
        return 1
    say(f"{sandbox.id} has {sandbox.tap} in {sandbox.netns_path}, and the host address {sandbox.host_ip}.")
    try:
        follow(client, sandbox, options.port, options.patience)
    except KeyboardInterrupt:
        pass
    except weft.WeftError as error:
        print(f"example: {error}", file=sys.stderr)
        return 1
    finally:
        unregister(client, sandbox.id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
