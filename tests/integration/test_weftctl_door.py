# SPDX-License-Identifier: GPL-2.0-or-later
"""weftctl door, and what doctor, diagnose and show say of the front door: with scripted answers, stand-ins, and a real HAProxy."""

import http.server
import json
import os
import ssl
import subprocess
import threading

import pytest

from fake_weftd import FakeWeftd, http as answer, problem, sandbox
from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

WEFTCTL = os.path.join(build_dir(), "weftctl")
DONE, FAILED, USAGE, _, UNREACHABLE, FAULT = range(6)

NOT_FOUND = {"sandboxId": "weftdoorcheck", "message": "The sandbox was not found", "code": 502}
RIGHT = json.dumps(NOT_FOUND, separators=(",", ":")).encode()

STATUS = {
    "version": "1.0",
    "state": "running",
    "not_open": [],
    "door": {
        "socket": "/run/weft/door.sock",
        "connections": 41,
        "held": 3,
        "served": 300,
        "refused": {"not-found": 9, "port-closed": 3, "limit": 0},
        "broken": 1,
    },
}

# As much of weft-door's configuration as is needed here: the sandbox by headers, or by the host's name.
HAPROXY = """
frontend door
  mode http
  bind 127.0.0.1:3002
  unique-id-format h/%[var(txn.id)]/%[var(txn.port)]/
  http-request set-var(txn.id) req.hdr(e2b-sandbox-id)
  http-request set-var(txn.port) req.hdr(e2b-sandbox-port)
  default_backend weft
backend weft
  mode http
  http-response return status 502 content-type "application/json; charset=utf-8" lf-string \
'{"sandboxId":"%[var(txn.id)]","message":"The sandbox was not found","code":502}' if { res.hdr(weft-refused) not-found }
  server weft unix@SOCKET send-proxy-v2 proxy-v2-options unique-id
"""


@pytest.fixture
def fake(folder):
    made = FakeWeftd(f"{folder}/control.sock")
    yield made
    made.close()
    assert not made.answers, "fewer requests than the test expected"


@pytest.fixture
def run(host, folder):
    """weftctl in the host, where nobody else's door is."""

    def run(*arguments, env=None):
        variables = [f"{name}={value}" for name, value in (env or {}).items()]
        argv = ["/usr/bin/env", *variables, WEFTCTL, "--socket", f"{folder}/control.sock", *arguments]
        return host.run(argv, check=False, timeout=PATIENCE)

    return run


def lines(done):
    """The checks of the output, by name: (word, text)."""
    found = {}
    for line in done.stdout.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[0] in ("ok", "warn", "FAIL", "-"):
            found[words[1]] = (words[0], words[2])
    return found


class Server:
    """Somebody in the host who answers each GET with STATUS and BODY; over TLS with a certificate. Its requests are kept."""

    def __init__(self, host, port, status=502, body=RIGHT, certificate=None):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        listener = host.listen(port, "127.0.0.1")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler, bind_and_activate=False)
        self.server.socket.close()
        self.server.socket = listener
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(listener, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def serve(host):
    made = []

    def serve(*arguments, **options):
        made.append(Server(host, *arguments, **options))
        return made[-1]

    yield serve
    for server in made:
        server.close()


def certificate(folder, names, days=61):
    """A self-signed certificate with its key in one file."""
    key, pem = f"{folder}/key.pem", f"{folder}/pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key]
        + ["-out", pem, "-days", str(days), "-subj", "/CN=door", "-addext", f"subjectAltName={names}"],
        check=True,
        capture_output=True,
    )
    with open(key, encoding="ascii") as more, open(pem, "a", encoding="ascii") as file:
        file.write(more.read())
    return pem


# ---- weftctl door ----


def test_the_door_is_a_table_and_the_checks(fake, run):
    fake.answers = [answer(200, STATUS)] * 2
    done = run("door")
    assert done.returncode == DONE, done.stderr
    rows = [line.split(None, 1) for line in done.stdout.splitlines()]
    assert rows[:3] == [
        ["socket", "/run/weft/door.sock"],
        ["connections", "41 open, 3 held, 300 served, 1 broken"],
        ["refused", "12: not-found 9, port-closed 3"],
    ]
    assert "http://localhost:3002/sandbox/ID/8080/" in done.stdout
    assert lines(done) == {"door": ("ok", "no front door is in use")}
    told = json.loads(run("door", "--json").stdout)
    assert told["door"] == STATUS["door"] and [check["check"] for check in told["checks"]] == ["door"]
    assert [request[:2] for request in fake.requests] == [("GET", "/v1/status")] * 2


def test_a_domain_is_in_the_url(fake, run):
    uses = {"config": None, "state_dir": "/run/weft/state", "layouts": [], "options": {"door": {"domain": "box.example"}}}
    fake.answers = [answer(200, {**STATUS, "uses": uses})]
    assert "https://8080-LABEL.box.example/" in run("door").stdout


def test_a_weftd_without_a_door_says_so(fake, run):
    fake.answers = [answer(200, {**STATUS, "door": None})] * 2
    assert "[door] socket is empty" in run("door").stdout
    assert json.loads(run("door", "--json").stdout)["door"] is None


def test_without_weftd_the_checks_are_made_all_the_same(run):
    done = run("door")
    assert done.returncode == UNREACHABLE and "gives no answer" in done.stderr
    assert lines(done)["door"][0] == "ok"
    done = run("door", "check")
    assert done.returncode == FAULT and lines(done)["haproxy"][0] == "FAIL", done.stdout


# ---- weftctl door check ----


def test_a_check_names_who_has_the_doors_port(run, serve):
    serve(3002)
    done = run("door", "check")
    assert done.returncode == FAULT
    word, text = lines(done)["ports"]
    assert word == "FAIL" and text.startswith(f"127.0.0.1:3002 is taken: listened on by process {os.getpid()} ("), text
    assert "answer" not in lines(done), "a stranger is not asked"


@pytest.mark.parametrize(
    "url", ["box.example", "ftp://box.example", "http://", "http://:80", "http://a:0", "http://a:65536", "http://a/b", "https://[::1"]
)
def test_what_is_no_url_is_a_usage_error(run, url):
    done = run("door", "check", url)
    assert (done.returncode, done.stdout) == (USAGE, "") and url in done.stderr
    assert run("door", "look").returncode == USAGE
    assert run("door", "check", "http://a", "b").returncode == USAGE


def test_a_url_is_asked_as_by_a_client(run, serve):
    server = serve(8002)
    for name in ("127.0.0.1", "localhost"):
        done = run("door", "check", f"http://{name}:8002/")
        assert done.returncode == DONE, done.stdout
        assert lines(done) == {"answer": ("ok", lines(done)["answer"][1])}, "the door of another host has no other checks"
        asked = server.requests.pop()
        assert asked["Host"] == f"{name}:8002" and asked["E2b-Sandbox-Id"] == "weftdoorcheck" and asked["E2b-Sandbox-Port"]
    (finding,) = json.loads(run("door", "check", "http://127.0.0.1:8002", "--json").stdout)
    assert (finding["check"], finding["status"]) == ("answer", "ok") and "502 for an unknown id" in finding["detail"]


def test_a_domain_is_looked_up_and_asked_by_the_sandboxes_name(host, folder, run, serve):
    server = serve(8002)

    def known(text):
        with open(f"{folder}/hosts", "w", encoding="ascii") as file:
            file.write(text)

    known("127.0.0.1 box.test\n")
    host.run(["mount", "--bind", f"{folder}/hosts", "/etc/hosts"])
    done = run("door", "check", "http://box.test:8002")
    assert done.returncode == FAULT
    word, text = lines(done)["dns"]
    assert word == "FAIL" and text.startswith("80-weftdoorcheck.box.test: ") and "a record *.box.test" in done.stdout
    asked = server.requests.pop()
    assert asked["Host"] == "80-weftdoorcheck.box.test:8002" and "E2b-Sandbox-Id" not in asked
    known("127.0.0.1 box.test 80-weftdoorcheck.box.test\n")
    done = run("door", "check", "http://box.test:8002")
    assert done.returncode == DONE and lines(done)["dns"][0] == "ok", done.stdout


@pytest.mark.parametrize(
    "status, body, words",
    [
        (503, b"<html>", "status 503: <html>"),
        (502, b"{}", "status 502: {}"),
        (200, RIGHT, "status 200"),
        (502, b"\x1b[31mred\xff", "status 502: ?[31mred?"),
    ],
)
def test_another_answer_is_told(run, serve, status, body, words):
    serve(8002, status, body)
    done = run("door", "check", "http://127.0.0.1:8002")
    assert done.returncode == FAULT and words in done.stdout and "\x1b" not in done.stdout


def test_nobody_is_told(run):
    done = run("door", "check", "http://127.0.0.1:8002")
    assert done.returncode == FAULT and "Connection refused" in lines(done)["answer"][1]


# ---- TLS ----


def test_nobody_at_a_port_for_tls_is_told_as_such(run):
    done = run("door", "check", "https://localhost:8443")
    assert done.returncode == FAULT and list(lines(done)) == ["answer"], done.stdout
    assert lines(done)["answer"][1].endswith("Connection refused") and "door-tls.cfg" in done.stdout


def test_a_certificate_is_told_with_its_end(folder, run, serve):
    pem = certificate(folder, "DNS:*.box.example,DNS:localhost")
    serve(8443, certificate=pem)
    done = run("door", "check", "https://localhost:8443", env={"SSL_CERT_FILE": pem})
    assert done.returncode == DONE, done.stdout
    assert lines(done)["answer"][0] == "ok" and lines(done)["tls"][1].startswith("*.box.example, localhost, 6")
    # An authority that nobody knows may be meant so.
    done = run("door", "check", "https://localhost:8443")
    assert done.returncode == DONE and lines(done)["tls"] == ("warn", "*.box.example, localhost: self-signed certificate")
    done = run("door", "check", "https://127.0.0.1:8443", env={"SSL_CERT_FILE": pem})
    assert done.returncode == FAULT and "IP address mismatch" in lines(done)["tls"][1]


def test_a_certificate_that_ends_soon_is_told(folder, run, serve):
    pem = certificate(folder, "DNS:localhost", days=5)
    serve(8443, certificate=pem)
    done = run("door", "check", "https://localhost:8443", env={"SSL_CERT_FILE": pem})
    assert done.returncode == DONE and lines(done)["tls"][0] == "warn" and "renewed" in done.stdout


def test_no_tls_and_no_openssl_are_told(folder, run, serve):
    serve(8002)
    done = run("door", "check", "https://localhost:8002")
    assert done.returncode == FAULT and "no TLS is spoken" in lines(done)["tls"][1]
    done = run("door", "check", "https://localhost:8002", env={"PATH": folder})
    assert done.returncode == DONE and "openssl is missing" in lines(done)["tls"][1] and "apt install openssl" in done.stdout


def test_an_openssl_that_hangs_is_given_up(folder, run, serve):
    serve(8002)
    with open(f"{folder}/openssl", "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexec sleep 1000\n")
    os.chmod(f"{folder}/openssl", 0o755)
    done = run("door", "check", "https://localhost:8002", env={"PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.returncode == FAULT and "no TLS is spoken" in lines(done)["tls"][1]


# ---- A real door ----


@pytest.fixture
def door(weftd, host, folder):
    """A weftd with a door behind a HAProxy."""
    path = f"{folder}/door.sock"
    daemon = weftd(config={"door": {"socket": path, "group": ""}})
    daemon.haproxy = start_haproxy(host, folder, HAPROXY.replace("SOCKET", path))
    yield daemon
    daemon.haproxy.kill()
    daemon.haproxy.wait()


def start_haproxy(host, folder, sections):
    with open(f"{folder}/weft-door.cfg", "w", encoding="ascii") as file:
        file.write("global\n  maxconn 200\ndefaults\n  timeout connect 30s\n  timeout client 60s\n  timeout server 60s\n" + sections)
    with open(f"{folder}/haproxy.log", "ab") as log:
        started = host.popen(["haproxy", "-db", "-f", f"{folder}/weft-door.cfg"], stdout=log, stderr=log)
    poll_until(lambda: 3002 in {bound.port for bound in host.bound_sockets() if bound.protocol == "tcp"})
    return started


def test_a_whole_door_is_whole(door, guest):
    door.api.register("a1", {"ports": [49983], "ready_port": 49983})
    guest("ns-1").serve("49983,http,a1")
    door.api.wait("a1", "ready")
    done = door.ctl("door", "check", check=False)
    assert done.returncode == DONE, done.stdout
    found = lines(done)
    assert {word for word, _ in found.values()} == {"ok"} and list(found) == ["haproxy", "files", "ports", "socket", "answer"]
    assert f"process {door.haproxy.pid}" in found["haproxy"][1] and found["haproxy"][1][0].isdigit()
    assert found["socket"][1].endswith("weftd answers") and "502 for an unknown id" in found["answer"][1]
    report = json.loads(door.ctl("doctor", "--json", check=False).stdout)
    assert [one["status"] for one in report if one["check"] == "door"] == ["ok"]
    asked = door.api.get("/v1/doctor").expect(200)["findings"]
    assert [one["status"] for one in asked if one["check"] == "door"] == ["ok"]

    said = door.api.get("/v1/sandboxes/a1/diagnosis").expect(200)
    hop = said["hops"][0]
    assert said["broken"] is None and (hop["hop"], hop["status"]) == ("door", "ok"), said.body
    assert hop["subject"] == "http://localhost:3002/sandbox/a1/49983/"
    assert hop["detail"].startswith("open to everybody, answers 200 in "), hop
    assert door.ctl("diagnose", "a1").returncode == DONE
    assert "http://localhost:3002/sandbox/a1/49983/" in door.ctl("show", "a1").stdout

    door.ctl("set", "a1", "--door", "closed:49983")
    hop = door.api.get("/v1/sandboxes/a1/diagnosis").expect(200)["hops"][0]
    assert hop["status"] == "ok" and hop["detail"].startswith("closed to all")
    assert ["port", "49983", "closed"] in [line.split() for line in door.ctl("show", "a1").stdout.splitlines()]


def test_a_weftd_that_is_gone_is_found_from_outside(door):
    door.kill()
    done = door.ctl("door", "check", "--config", door.config, check=False)
    assert done.returncode == FAULT, done.stdout
    found = lines(done)
    assert found["haproxy"][0] == "ok" and "Connection refused" in found["socket"][1] and "status 503" in found["answer"][1]
    door.start()


def test_an_edge_on_this_host_is_no_door(host, folder, fake, run):
    os.makedirs(f"{folder}/weft/door")
    with open(f"{folder}/weft/door/edge.cfg", "w", encoding="ascii") as file:
        file.write("defaults\n  mode http\n  timeout client 9s\nfrontend edge\n  bind 127.0.0.1:8002\n  http-request return status 200\n")
    with open(f"{folder}/edge.log", "ab") as log:
        edge = host.popen(["haproxy", "-db", "-f", f"{folder}/weft/door/edge.cfg"], stdout=log, stderr=log)
    try:
        poll_until(lambda: 8002 in {bound.port for bound in host.bound_sockets() if bound.protocol == "tcp"})
        fake.answers = [answer(200, STATUS)]
        assert lines(run("door")) == {"door": ("ok", "no front door is in use")}
    finally:
        edge.kill()
        edge.wait()


# ---- set and show ----


def test_set_changes_the_door_port_by_port(fake, run):
    door = {"public": True, "token_sha256": "x" * 43 + "=", "ports": {"80": "closed"}, "host_label": "a1"}
    fake.answers = [answer(200, sandbox(door=door)), answer(200, sandbox())] * 4
    assert run("set", "a1", "--door", "token", "--door", "public:8080").returncode == DONE
    assert run("set", "a1", "--door", "none:80").returncode == DONE
    assert run("set", "a1", "--door-token", "y" * 43 + "=", "--door", "closed:81").returncode == DONE
    assert run("set", "a1", "--door-token", "none").returncode == DONE
    kept = {key: door[key] for key in ("public", "token_sha256", "ports")}
    assert [request[2] for request in fake.requests if request[0] == "PATCH"] == [
        {"door": {**kept, "public": False, "ports": {"80": "closed", "8080": "public"}}},
        {"door": {**kept, "ports": {}}},
        {"door": {**kept, "token_sha256": "y" * 43 + "=", "ports": {"80": "closed", "81": "closed"}}},
        {"door": {**kept, "token_sha256": None}},
    ]


def test_register_says_who_may_come_from_the_first_moment_on(fake, run):
    fake.answers = [answer(200, sandbox())] * 3
    assert run("register", "a1", "--door", "token", "--door", "closed:81", "--door-token", "y" * 43 + "=").returncode == DONE
    assert run("register", "a1", "--door", "public").returncode == DONE
    assert run("register", "a1").returncode == DONE
    assert [request[2].get("door") for request in fake.requests if request[0] == "PUT"] == [
        {"public": False, "token_sha256": "y" * 43 + "=", "ports": {"81": "closed"}},
        {"public": True, "ports": {}},
        None,
    ]
    done = run("register", "a1", "--door", "none:81")
    assert done.returncode == USAGE and "--door none:81: allowed: public, token and closed:P" in done.stderr


@pytest.mark.parametrize("way", ["open", "closed", "none", "public:", "public:0", "token:65536", "closed:http", "publicpublicpublic"])
def test_set_names_a_way_that_is_none(run, way):
    done = run("set", "a1", "--door", way)
    assert (done.returncode, done.stdout) == (USAGE, "") and f"--door {way}: " in done.stderr


def test_a_token_is_asked_for_where_there_is_none(fake, run):
    fake.answers = [answer(200, sandbox(door={"public": True, "token_sha256": None, "ports": {}, "host_label": None}))]
    done = run("set", "a1", "--door", "token")
    assert done.returncode == FAILED and "--door-token" in done.stderr


def test_a_refused_door_is_in_the_words_of_the_command_line(fake, run):
    shown = answer(200, sandbox(door={"public": True, "token_sha256": "x" * 44, "ports": {}, "host_label": "a1"}))
    fake.answers = [shown, problem(400, "it is so", "/door/ports/49983"), shown, problem(400, "it is so", "/door/token_sha256")]
    assert run("set", "a1", "--door", "token:49983").stderr == "weftctl set: --door: it is so\n"
    assert run("set", "a1", "--door-token", "z").stderr == "weftctl set: --door-token: it is so\n"


def test_show_has_the_doors_url(fake, run):
    door = {"public": False, "token_sha256": None, "ports": {"8080": "closed"}, "host_label": "a1"}
    uses = {"options": {"door": {"domain": "box.example"}}}
    fake.answers = [
        *[answer(200, sandbox(door=door)), answer(200, {**STATUS, "uses": uses})],
        *[answer(200, sandbox(door={**door, "host_label": None})), answer(200, {**STATUS, "uses": uses})],
        *[answer(200, sandbox(door=door)), answer(200, {**STATUS, "door": None})],
    ]
    text = run("show", "a1").stdout
    assert "https://49983-a1.box.example/" in text and "nobody, for it has no token" in text and "port 8080" in text
    assert ["port", "49983", "public,"] in [line.split()[:3] for line in text.splitlines()], "E2B's agent is open all the same"
    assert "http://localhost:3002/sandbox/a1/49983/" in run("show", "a1").stdout
    assert "49983-a1" not in run("show", "a1").stdout
