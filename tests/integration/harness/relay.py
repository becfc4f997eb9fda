# SPDX-License-Identifier: GPL-2.0-or-later
"""A program: PORT of 127.0.0.1 leads to the unix socket PATH, as `ssh -L` makes it."""

import socket
import sys
import threading


def pass_on(source, sink):
    try:
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        sink.close()


def main(port, path):
    listener = socket.create_server(("127.0.0.1", int(port)))
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(path)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=pass_on, args=pair, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
