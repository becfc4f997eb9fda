# SPDX-License-Identifier: GPL-2.0-or-later
"""The front door with TLS: HTTPS, certificates that are changed while it runs, and what SNI chooses."""

import asyncio
import os
import shutil
import ssl
import subprocess
import threading

import websockets

from harness.front_door import FILES, HTTPS, SNI, SOCKETS, certificate, curl, to
from harness.wait import PATIENCE, Lines, poll_until

DOMAIN = "box.example"
NAMES = (f"*.{DOMAIN}", f"*.tcp.{DOMAIN}")


def https(host, name, *arguments, port=HTTPS, ca):
    return curl(host, f"https://{name}:{port}/", "--resolve", f"*:{port}:127.0.0.1", "--cacert", ca, *arguments)


def give(door, folder, issuer, check=True):
    """The hook of certbot with a new certificate; returns the certificate's path, and what the hook did."""
    cert, _ = certificate(f"{folder}/{issuer}/box", *NAMES, issuer=issuer)
    env = {**os.environ, "WEFT_DOOR_CERTS": door.certs, "WEFT_DOOR_ADMIN": door.host.file(f"{door.run}/admin.sock")}
    return cert, door.host.run([f"{FILES}/certbot-hook", os.path.dirname(cert)], env=env, check=check)


def put(folder):
    """A first certificate, as the hook puts it while the door does not run."""
    cert, key = certificate(f"{folder}/first/box", *NAMES, issuer="first")
    os.makedirs(f"{folder}/door-0/tls")
    with open(f"{folder}/door-0/tls/box.pem", "wb") as file:
        for name in (cert, key):
            with open(name, "rb") as part:
                shutil.copyfileobj(part, file)
    return cert


def shown(host, port=HTTPS, name=f"sandbox.{DOMAIN}"):
    """Who is named by the certificate that the door shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with host.connect("127.0.0.1", port) as made, context.wrap_socket(made, server_hostname=name) as client:
        binary = client.getpeercert(binary_form=True)
    for issuer in ("first", "second", "third", "guest"):
        if issuer.encode() in binary:
            return issuer
    return None


def test_https_and_all_that_it_carries(host, folder, weftd, door):
    daemon = weftd()
    ca = put(folder)
    door(files=["door-tls.cfg"])
    door.guest(daemon, "a1")
    door.guest(daemon, "b1")
    for version, told in (("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")):
        answer = https(host, f"8080-a1.{DOMAIN}", version, ca=ca)
        assert (answer.version, answer.body["name"]) == (told, "a1")
        assert https(host, f"sandbox.{DOMAIN}", version, *to("b1", 8080), ca=ca).body["name"] == "b1"
        assert https(host, f"8080-none.{DOMAIN}", version, ca=ca).status == 502
    # What the certificate of the first name allows a browser to do: another sandbox by the same connection.
    both = host.run(
        ["curl", "-sS", "--noproxy", "*", "--http2", "--cacert", ca, "--resolve", f"*:{HTTPS}:127.0.0.1"]
        + [f"https://8080-a1.{DOMAIN}/", "-H", f"Host: 8080-b1.{DOMAIN}", f"https://8080-a1.{DOMAIN}/"]
    ).stdout
    assert both.count('"name": "b1"') == 2
    asyncio.run(websocket(host, ca))
    loaded = host.run(["h2load", "-n", "500", "-c", "4", "-m", "20", "-H", f":authority: 8080-a1.{DOMAIN}", f"https://127.0.0.1:{HTTPS}/"])
    assert "500 succeeded, 0 failed, 0 errored" in loaded.stdout
    old = host.run(["openssl", "s_client", "-connect", f"127.0.0.1:{HTTPS}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], check=False, input="")
    assert old.returncode != 0


async def websocket(host, ca):
    context = ssl.create_default_context(cafile=ca)
    made = host.connect("127.0.0.1", HTTPS)
    name = f"{SOCKETS}-a1.{DOMAIN}"
    async with websockets.connect(f"wss://{name}/", sock=made, ssl=context, server_hostname=name, open_timeout=PATIENCE) as client:
        await client.send("hi")
        assert await asyncio.wait_for(client.recv(), PATIENCE) == "a1: hi"


class Load(threading.Thread):
    """New connections with TLS, one after the other, and one that stays."""

    def __init__(self, host):
        super().__init__(daemon=True)
        self.host = host
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.done = 0
        self.faults = []
        self.end = threading.Event()
        self.kept = self.connect()

    def connect(self):
        return self.context.wrap_socket(self.host.connect("127.0.0.1", HTTPS), server_hostname=f"sandbox.{DOMAIN}")

    def ask(self, client):
        client.sendall(f"GET / HTTP/1.1\r\nHost: 8080-a1.{DOMAIN}\r\n\r\n".encode())
        got = b""
        while not got.endswith(b"}"):
            more = client.recv(65536)
            assert more, f"it ended after {got!r}"
            got += more
        assert got.startswith(b"HTTP/1.1 200 ") and b'"name": "a1"' in got, got

    def run(self):
        while not self.end.is_set():
            try:
                with self.connect() as client:
                    self.ask(client)
                self.ask(self.kept)
            except (OSError, AssertionError) as error:
                self.faults.append(repr(error))
            self.done += 1

    def close(self):
        self.end.set()
        self.join(PATIENCE)
        self.kept.close()
        assert not self.faults, self.faults[:5]


def test_a_new_certificate_under_load_fails_no_request(host, folder, weftd, door):
    daemon = weftd()
    put(folder)
    front = door(files=["door-tls.cfg"])
    door.guest(daemon, "a1")
    load = Load(host)
    load.start()
    try:
        for issuer in ("second", "third"):
            before = load.done
            poll_until(lambda: load.done > before + 5)  # pylint: disable=cell-var-from-loop
            give(front, folder, issuer)
            assert shown(host) == issuer
        # What is no certificate, has no key, or another's, changes nothing, nor what a restart would read.
        for name in ("nothing", "another", "missing"):
            os.makedirs(f"{folder}/{name}/box")
        for part in ("fullchain.pem", "privkey.pem"):
            with open(f"{folder}/nothing/box/{part}", "w", encoding="ascii") as file:
                file.write("nothing\n")
        for part, issuer in (("fullchain.pem", "second"), ("privkey.pem", "third")):
            shutil.copy(f"{folder}/{issuer}/box/{part}", f"{folder}/another/box/{part}")
        shutil.copy(f"{folder}/second/box/fullchain.pem", f"{folder}/missing/box/fullchain.pem")
        env = {**os.environ, "WEFT_DOOR_CERTS": front.certs, "WEFT_DOOR_ADMIN": host.file(f"{front.run}/admin.sock")}
        for name, words in (("nothing", "does not take"), ("another", "did not change"), ("missing", "privkey.pem")):
            done = host.run([f"{FILES}/certbot-hook", f"{folder}/{name}/box"], env=env, check=False)
            assert done.returncode == 1 and words in done.stderr, done.stderr
            assert os.listdir(front.certs) == ["box.pem"] and not os.path.exists(f"{front.certs}.new")
        before = load.done
        poll_until(lambda: load.done > before + 5)
        assert shown(host) == "third"
    finally:
        load.close()
    front.reload()
    assert shown(host) == "third"
    # The file in the folder is the last that was given, as a restart reads it.
    give(front, folder, "second")
    front.reload()
    assert shown(host) == "second"


def raw(host, name, data=b"hello", port=SNI):
    """Sends DATA inside TLS with the SNI NAME, and returns what came back."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with host.connect("127.0.0.1", port) as made, context.wrap_socket(made, server_hostname=name) as client:
        client.sendall(data)
        got = b""
        while len(got) < len(data):
            more = client.recv(65536)
            if not more:
                break
            got += more
        return got


def ends(function):
    """Whether the connection just ends."""
    try:
        return function() == b""
    except (ssl.SSLError, ConnectionResetError, ssl.SSLEOFError, BrokenPipeError):
        return True


def openssl(host, ca, name):
    """As people come to a port from a shell."""
    argv = ["openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", ca, "-connect", f"127.0.0.1:{SNI}", "-servername", name]
    process = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        assert Lines(process.stdout).next() == "hello"
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_sni_chooses(host, folder, weftd, door):
    daemon = weftd()
    ca = put(folder)
    front = door(files=["door-sni.cfg"])
    cert, key = certificate(f"{folder}/guest/box", f"8443-a1.tls.{DOMAIN}", issuer="guest")
    _, guest = door.guest(daemon, "a1", {"door": {"ports": {"9": "closed"}}}, arguments=(cert, key))
    guest.serve("7,echo", "9,echo")
    token = "0MBPSxlR5K6q7IIj7SA55ULzqugFpvp/bXlOWv/10nI="
    _, secret = door.guest(daemon, "secret", {"door": {"public": False, "token_sha256": token}})
    secret.serve("7,echo")

    # The guest's own TLS, with the certificate that it has.
    answer = https(host, f"8443-a1.tls.{DOMAIN}", port=SNI, ca=cert)
    assert answer.status == 200 and answer.body["name"] == "a1"
    assert shown(host, SNI, f"8443-a1.tls.{DOMAIN}") == "guest"
    # TLS of the door's, and bytes.
    assert raw(host, f"7-a1.tcp.{DOMAIN}") == b"hello"
    assert raw(host, f"07-A1.tcp.{DOMAIN}", bytes(1 << 20)) == bytes(1 << 20)
    assert shown(host, SNI, f"7-a1.tcp.{DOMAIN}") == "first"
    openssl(host, ca, f"7-a1.tcp.{DOMAIN}")
    # HTTPS on this port, too, with the client's own address in weftd.
    assert https(host, f"8080-a1.{DOMAIN}", port=SNI, ca=ca).body["name"] == "a1"
    assert https(host, f"sandbox.{DOMAIN}", "--http2", *to("a1", 8080), port=SNI, ca=ca).version == "HTTP/2"

    # Everything else ends: unknown, closed, a token wanted, bad ports, nothing behind the port.
    for name in ("7-none.tcp", "9-a1.tcp", "7-secret.tcp", "0-a1.tcp", "70000-a1.tcp", "6-a1.tcp", "8443-none.tls", "70000-a1.tls"):
        assert ends(lambda: raw(host, f"{name}.{DOMAIN}")), name  # pylint: disable=cell-var-from-loop
    with host.connect("127.0.0.1", SNI) as made:
        made.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        assert ends(lambda: made.recv(10))
    # Other users of this host cannot write a client's address for the second way through HAProxy.
    for name in ("port.sock", "https.sock"):
        mode = os.stat(host.file(f"{front.run}/{name}")).st_mode
        assert mode & 0o007 == 0, oct(mode)
    assert raw(host, f"7-a1.tcp.{DOMAIN}") == b"hello"


def test_a_client_that_says_nothing_to_sni_is_closed(host, folder, weftd, door):
    weftd()
    put(folder)
    door(files=["door-sni.cfg"], edit={"door-sni.cfg": {"inspect-delay 5s": "inspect-delay 300ms"}})
    with host.connect("127.0.0.1", SNI) as made:
        assert ends(lambda: made.recv(10))
