# SPDX-License-Identifier: GPL-2.0-or-later
"""The front door's answers: Debian's HAProxy with the files of weft-door, over weftd."""

import base64
import contextlib
import hashlib
import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.front_door import APP, ask, curl, to
from harness.wait import PATIENCE, poll_until, readable

TOKEN = "sesame"
TOKEN_SHA256 = base64.b64encode(hashlib.sha256(TOKEN.encode()).digest()).decode()
SECRET = {"public": False, "token_sha256": TOKEN_SHA256, "ports": {"8081": "public", "8082": "closed"}}

HOLD = "2s"
LOCAL = "http://127.0.0.1:3002"
PLAIN = "text/plain; charset=utf-8"
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
RESERVED = "This endpoint is reserved for the E2B control plane and is not reachable through the sandbox URL"
NEEDS = "Sandbox is secured with traffic access token."


def body(name, message, code, **more):
    """E2B's bytes."""
    return json.dumps({"sandboxId": name, "message": message, **more, "code": code}, separators=(",", ":"))


def by_host(host, path="/"):
    return [LOCAL + path, "-H", f"Host: {host}"]


def by_headers(name, port, path="/", *more):
    return ["--path-as-is", LOCAL + path, *to(name, port), *more]


# As captured from E2B's own proxies, but where they are wrong: they answer bad ports with 500, and take 70000 and 0 for ports.
BAD_REQUESTS = [
    ("missing header", [LOCAL, "-H", "E2b-Sandbox-Id: open"]),
    ("missing header", [LOCAL, "-H", "E2b-Sandbox-Port: 8080"]),
    ("missing header", [LOCAL, "-H", "E2b-Sandbox-Id;", "-H", "E2b-Sandbox-Port: 8080"]),
    ("Invalid host", [LOCAL]),
    ("Invalid host", ["http://localhost:3002"]),
    ("Invalid host", ["http://[::1]:3002"]),
    ("Invalid host", by_host("sandbox.box.example")),
    ("Invalid host", by_host("sandbox.")),
    ("Invalid host", by_host("LOCALHOST:3002") + to("open", 8080)),
    ("Invalid host", by_host("8080-open")),
    ("Invalid host", by_host("open.box.example")),
    ("Invalid host", [LOCAL, "--http1.0", "-H", "Host;"]),
    ("Invalid sandbox port", by_host("port-open.box.example")),
    ("Invalid sandbox port", by_host("-open.box.example")),
    ("Invalid sandbox port", by_host("0-open.box.example")),
    ("Invalid sandbox port", by_host("70000-open.box.example")),
    ("Invalid sandbox port", by_host("18446744073709551696-open.box.example")),
    ("Invalid sandbox port", by_headers("open", "8080x")),
    ("Invalid sandbox port", by_headers("open", "-1")),
    ("Invalid sandbox port", [f"{LOCAL}/sandbox/open"]),
    ("Invalid sandbox port", [f"{LOCAL}/sandbox/open/x/"]),
    ("Invalid sandbox ID", by_host("8080-.box.example")),
    ("Invalid sandbox ID", by_host("8080-Open.box.example")),
    ("Invalid sandbox ID", by_host("8080-op_en.box.example")),
    ("Invalid sandbox ID", by_headers("op/en", 8080)),
    ("Invalid sandbox ID", by_headers("open,other", 8080)),
    ("Invalid sandbox ID", by_headers("a" * 65, 8080)),
    ("Invalid sandbox ID", [f"{LOCAL}/sandbox/op%65n/8080/"]),
    # Which of two counts is no proxy's business to guess.
    ("Duplicate routing header", by_headers("open", 8080) + ["-H", "E2b-Sandbox-Id: other"]),
    ("Duplicate routing header", by_headers("open", 8080) + ["-H", "E2b-Sandbox-Port: 8080"]),
    ("Duplicate routing header", by_headers("open", 8080) + ["-H", "E2b-Traffic-Access-Token: a", "-H", "E2b-Traffic-Access-Token: b"]),
    ("Duplicate routing header", by_host("8080-open.box.example") + ["-H", "E2b-Sandbox-Id: a", "-H", "E2b-Sandbox-Id: b"]),
]

REACHED = [
    ("/a?b=c", by_host("8080-open.box.example", "/a?b=c")),
    ("/", by_host("8080-open-ignored-too.box.example:443")),
    ("/", by_host("0008080-open.box.example")),
    ("/x", by_headers("open", 8080, "/x")),
    ("/x", ["http://[::1]:3002/x", *to("open", 8080)]),
    ("/x", by_host("sandbox.box.example", "/x") + to("open", 8080)),
    ("/", [f"{LOCAL}/sandbox/open/8080"]),
    ("/x//y?z=/sandbox", [f"{LOCAL}/sandbox/open/8080/x//y?z=/sandbox"]),
    # E2B's headers count on a host that is no sandbox's own, and they alone then; the path of a sandbox's own host is its own.
    ("/sandbox/other/8080/", by_headers("open", 8080, "/sandbox/other/8080/")),
    ("/sandbox/other/8080/", by_host("8080-open.box.example", "/sandbox/other/8080/") + to("other", 1)),
]

CONTROL = ["init", "freeze", "unfreeze", "collapse", "fsfreeze", "fsthaw", "upgrade"]
CONTROL_PATHS = [f"/{name}" for name in CONTROL] + [
    *("/init/", "//init", "/files/../init", "/./init", "/init/.", "/../init", "/a/b/../../init", "/init/x/..", "/%69nit", "/a%2f..%2finit"),
    "/init?x=y",
    *("/a" * depth + "/.." * depth + "/init" for depth in (95, 200, 2500)),
]
OPEN_PATHS = ["/init/x", "/INIT", "/initial", "/x/init", "/init/..", "/..init", "/health?/init"]


def request(host, arguments):
    return curl(host, *arguments)


def test_who_is_meant_and_what_is_refused_at_once(host, weftd, door):
    daemon = weftd()
    door()
    door.guest(daemon, "open")
    with ThreadPoolExecutor(4) as pool:
        for (text, arguments), answer in zip(BAD_REQUESTS, pool.map(lambda one: request(host, one[1]), BAD_REQUESTS)):
            told = f"{arguments}: {answer}"
            assert (answer.status, answer.reason, answer.text) == (400, "Bad Request", text + "\r\n"), told
            assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == (PLAIN, "nosniff"), told
            assert "server" not in answer.headers
        for (target, arguments), answer in zip(REACHED, pool.map(lambda one: request(host, one[1]), REACHED)):
            assert answer.status == 200, f"{arguments}: {answer}"
            assert (answer.body["name"], answer.body["target"]) == ("open", target), f"{arguments}: {answer}"

        # Before any look-up: there is no sandbox "none".
        paths = [by_headers("none", 49983, path) for path in CONTROL_PATHS]
        for path, answer in zip(CONTROL_PATHS, pool.map(lambda one: request(host, one), paths)):
            assert (answer.status, answer.headers["content-type"]) == (404, JSON), f"{path}: {answer}"
            assert answer.body["message"] == RESERVED
        assert curl(host, *by_headers("none", 49983, "/init")).text == f'{{"message":"{RESERVED}","path":"/init","code":404}}'
        for path in OPEN_PATHS:
            assert curl(host, *by_headers("none", 49983, path)).status == 502, path
        assert curl(host, *by_headers("none", 49983, "/%zz")).status == 400

    answer = curl(host, f"{LOCAL}/health")
    assert (answer.status, answer.text) == (200, "healthy\r\n")


def refused(host, name, port, *more):
    return curl(host, *by_headers(name, port, "/", *more))


def test_each_refusal_is_e2bs(host, weftd, door):
    daemon = weftd(config={"door": {"hold": HOLD}})
    front = door()
    door.guest(daemon, "open")
    door.guest(daemon, "secret", {"door": SECRET})
    door.guest(daemon, "full", {"limits": {"connections": 1}})
    door.guest(daemon, "asleep")
    daemon.api.patch("asleep", {"paused": True})
    daemon.api.register("boot")

    holder = host.connect("127.0.0.1", 3002)
    holder.sendall(b"GET /events HTTP/1.1\r\nHost: 8080-full.box.example\r\n\r\n")
    first = b""
    while b"data: 0" not in first:
        first += holder.recv(65536)
    wrong = ["-H", "E2b-Traffic-Access-Token: wrong"]
    again = "The sandbox is still transitioning. Try again in a moment."
    cases = [
        (502, "Bad Gateway", body("none", "The sandbox was not found", 502), ("none", 8080)),
        (502, "Bad Gateway", body("open", "The sandbox is running but port is not open", 502, port=8001), ("open", 8001)),
        (502, "Bad Gateway", body("secret", "The sandbox is running but port is not open", 502, port=8082), ("secret", 8082)),
        (502, "Bad Gateway", body("open", "The sandbox is running but port is not open", 502, port=8080), ("open", 8080, "-X", "DROP", f"{LOCAL}/drop")),
        (502, "Bad Gateway", body("open", "The sandbox is running but port is not open", 502, port=8080), ("open", 8080, f"{LOCAL}/garbage")),
        (409, "Conflict", body("asleep", again, 409), ("asleep", 8080)),
        (409, "Conflict", body("boot", again, 409), ("boot", 8080)),
        (403, "Forbidden", body("secret", f"{NEEDS} Token header 'e2b-traffic-access-token' is missing", 403), ("secret", 8080)),
        (403, "Forbidden", body("secret", f"{NEEDS} Token header 'e2b-traffic-access-token' is missing", 403), ("secret", 8080, "-H", "E2b-Traffic-Access-Token;")),
        (403, "Forbidden", body("secret", f"{NEEDS} Provided token in header 'e2b-traffic-access-token' is invalid", 403), ("secret", 8080, *wrong)),
        (
            *(429, "Too Many Requests"),
            '{"sandboxId":"full","message":"The sandbox has too many concurrent incoming connections (limit: 1)","code":429,"connectionLimit":1}',
            ("full", 8080),
        ),
    ]
    # curl takes several URLs as several requests: the table's own replaces the usual one.
    def run(case):
        name, port, *more = case[3]
        url = next((word for word in more if word.startswith("http")), LOCAL + "/")
        return curl(host, url, *to(name, port), *(word for word in more if word != url))

    with ThreadPoolExecutor(len(cases)) as pool:
        for (status, reason, text, what), answer in zip(cases, pool.map(run, cases)):
            assert (answer.status, answer.reason, answer.text) == (status, reason, text), f"{what}: {answer}"
            assert answer.headers["content-type"] == JSON and "weft-refused" not in answer.headers
    holder.close()
    assert curl(host, *by_headers("secret", 8080, "/", "-H", f"E2b-Traffic-Access-Token: {TOKEN}")).body["name"] == "secret"
    assert refused(host, "secret", 49983).text == body("secret", "The sandbox is running but port is not open", 502, port=49983)

    # The log tells who and why, and no token.
    for name, port, reason in (("none", 8080, "not-found"), ("secret", 8080, "token-invalid"), ("boot", 8080, "starting"), ("full", 8080, "limit")):
        front.wait_log(f"sandbox={name} ", f"port={port} ", f'reason="{reason}"')
    front.wait_log("sandbox=secret", "status=200")
    log = front.log() + daemon.log()
    for word in (TOKEN, TOKEN_SHA256, TOKEN_SHA256[:20], base64.b64encode(hashlib.sha256(b"wrong").digest()).decode()):
        assert word not in log


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_browsers_get_pages(host, weftd, door, version):
    weftd()
    door()
    agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"
    accept = "text/html,application/xhtml+xml,*/*;q=0.8"
    cases = [
        (HTML, {"User-Agent": agent, "Accept": accept, "Sec-Fetch-Mode": "navigate"}),
        (HTML, {"User-Agent": agent}),
        (HTML, {"User-Agent": "OPERA/9"}),
        (HTML, {"User-Agent": agent, "Sec-Fetch-Mode": "navigate", "X-Requested-With": "XMLHttpRequest"}),
        (HTML, {"User-Agent": agent, "Accept": "text/html, application/json"}),
        (JSON, {"User-Agent": agent, "Sec-Fetch-Mode": "navigate", "Accept": "application/json"}),
        (JSON, {"User-Agent": agent, "Accept": "application/json"}),
        (JSON, {"User-Agent": agent, "X-Requested-With": "XMLHttpRequest"}),
        *((JSON, {"User-Agent": agent, "Accept": accept, "Sec-Fetch-Mode": mode}) for mode in ("cors", "no-cors", "same-origin", "websocket")),
        (JSON, {"User-Agent": "curl/8"}),
        (JSON, {"User-Agent": "python-httpx/0.27", "Accept": accept, "Sec-Fetch-Mode": "navigate"}),
    ]
    for kind, headers in cases:
        words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        answer = curl(host, version, *by_headers("none", 8080), *words)
        assert (answer.status, answer.headers["content-type"]) == (502, kind), f"{headers}: {answer}"
        assert ("<title>Sandbox Not Found</title>" in answer.text) == (kind == HTML)
    page = curl(host, version, *by_headers("none", 49983, "/init"), "-A", agent)
    assert page.status == 404 and "<title>Endpoint Not Available</title>" in page.text and "49983" in page.text


def test_what_reaches_the_guest_and_what_comes_back(host, weftd, door):
    daemon = weftd()
    front = door()
    door.guest(daemon, "open")
    sent = {
        **{"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "a", "X-Forwarded-Proto": "b", "Forwarded": "for=6.6.6.6", "X-Real-Ip": "7.7.7.7"},
        **{"Weft-Refused": "limit", "Weft-Limit": "3", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__", "Connection": "Upgrade, HTTP2-Settings"},
        **{"E2b-Traffic-Access-Token": TOKEN, "Authorization": "Basic abc", "Cookie": "a=b; c=d"},
    }
    words = [word for name, value in sent.items() for word in ("-H", f"{name}: {value}")]
    got = curl(host, *by_host("8080-open.box.example", "/%7Ea/../b?c=%20d+e"), "--path-as-is", "-A", "me", *words).body
    headers = {name.lower(): value for name, value in got["headers"]}
    assert got["target"] == "/%7Ea/../b?c=%20d+e"
    assert headers["host"] == "8080-open.box.example"
    for name in ("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "weft-refused", "weft-limit", "upgrade", "http2-settings"):
        assert name not in headers
    for name in ("X-Real-Ip", "E2b-Traffic-Access-Token", "Authorization", "Cookie"):
        assert headers[name.lower()] == sent[name]

    # A guest's own status, words and headers pass, but for two, which say nothing if they are none of weftd's words.
    for status in (200, 404, 409, 429, 502, 503):
        answer = curl(host, *by_headers("open", 8080, f"/says/{status}/Weft-Refused/odd"))
        assert (answer.status, answer.reason, answer.text) == (status, "My Own", "own")
        assert answer.headers["server"] == "guest" and "weft-refused" not in answer.headers
    assert "weft-limit" not in curl(host, *by_headers("open", 8080, "/says/200/Weft-Limit/3")).headers
    # What a guest says in weftd's place hides its own answer, and no more: its clients come in again.
    for _ in range(40):
        assert curl(host, *by_headers("open", 8080, "/says/200/Weft-Refused/token-invalid")).status == 403
    assert curl(host, *by_headers("open", 8080)).status == 200
    assert curl(host, *by_headers("open", 8080, "/says/200/Weft-Refused/limit")).headers["content-type"] == JSON
    # Twice, weftd never says it: one of weftd's words does not let in another, into the log, for one.
    for agent in ("curl", "Mozilla"):
        answer = curl(host, *by_headers("open", 8080, "/says/200/Weft-Refused/limit%0d%0aWeft-Refused:%20odd"), "-A", agent)
        assert (answer.status, answer.text) == (200, "own") and "weft-refused" not in answer.headers, answer
    assert "odd" not in front.log()


def guess(host, count, name="secret", source="127.0.0.1"):
    """Wrong tokens on one connection, as fast as it goes: the statuses."""
    seen = []
    with host.connect("127.0.0.1", 3002, source=source) as made:
        stream = made.makefile("rb")
        for number in range(count):
            made.sendall(f"GET / HTTP/1.1\r\nHost: 8080-{name}.box.example\r\nE2b-Traffic-Access-Token: {number}\r\n\r\n".encode())
            seen.append(int(stream.readline().split()[1]))
            length = 0
            while (line := stream.readline().strip()) != b"":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            stream.read(length)
    return seen


def is_limited(answer):
    return answer.status == 429


def test_guessing_tokens_is_limited_and_shuts_out_nobody_who_was_right(host, weftd, door):
    daemon = weftd()
    door(edit={"haproxy.cfg": {"gpc0_rate(10s)": "gpc0_rate(4s)"}})
    for name in ("secret", "beside"):
        door.guest(daemon, name, {"door": SECRET})
    right = ["-H", f"E2b-Traffic-Access-Token: {TOKEN}"]
    assert refused(host, "secret", 8080, *right).status == 200
    seen = guess(host, 1000)
    assert seen[:10] == [403] * 10 and set(seen) == {403, 429}
    assert daemon.api.status()["door"]["refused"]["token-invalid"] < 200  # a slow machine takes more than 4 s
    # Whoever was right before, on the same address, goes on, and so does another address, and another sandbox.
    poll_until(lambda: guess(host, 30)[-1] == 429)
    assert refused(host, "secret", 8080, *right).status == 200
    assert refused(host, "secret", 8080, "--interface", "127.0.0.2", "-H", "E2b-Traffic-Access-Token: x").status == 403
    assert refused(host, "beside", 8080, *right).status == 200
    # A slow machine may forget it in between.
    limited = poll_until(lambda: guess(host, 30) and next(filter(is_limited, [refused(host, "secret", 8080, "-H", "E2b-Traffic-Access-Token: y")]), None))
    assert limited.body == {"sandboxId": "secret", "message": "Too many wrong traffic access tokens from this address. Try again in a few seconds.", "code": 429}
    assert limited.headers["retry-after"] == "10"
    # Without a token nothing was guessed, and it is over soon.
    assert refused(host, "secret", 8080).status == 403
    poll_until(lambda: refused(host, "secret", 8080, "-H", "E2b-Traffic-Access-Token: z").status == 403, interval=0.5)


def test_a_token_that_a_public_port_took_is_no_known_one(host, weftd, door):
    """There, nobody looks at it. Each guess would be made at such a port first, and then pass at the others."""
    daemon = weftd()
    door(edit={"haproxy.cfg": {"rate(10s)": "rate(1h)", "expire 10s": "expire 1h"}})
    door.guest(daemon, "secret", {"door": {**SECRET, "ports": {"8080": "public"}}})

    def status(port, token):
        return refused(host, "secret", port, "-H", f"E2b-Traffic-Access-Token: {token}").status

    assert {status(8080, number) for number in range(40)} == {200}
    assert [status(8081, number) for number in range(40)] == [403] * 21 + [429] * 19


SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: 8080-b1.box.example\r\n\r\n"
FIRST = "Host: 8080-a1.box.example\r\n"
# Each reaches one sandbox with one request, or none. {name}: bytes; None: whatever is answered, b1 must not have been asked.
SMUGGLING = [
    f"POST / HTTP/1.1\r\n{FIRST}Content-Length: {len(SMUGGLED)}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    f"POST / HTTP/1.1\r\n{FIRST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    f"POST / HTTP/1.1\r\n{FIRST}Transfer-Encoding: xchunked\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    f"POST / HTTP/1.1\r\n{FIRST}Content-Length: 5\r\nContent-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    f"POST / HTTP/1.1\r\n{FIRST}Content-Length: {len(SMUGGLED)},{len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    f"POST / HTTP/1.1\r\n{FIRST}Content-Length: +{len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    f"POST / HTTP/1.1\r\n{FIRST}Content-Length : {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
    f"POST / HTTP/1.0\r\n{FIRST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    f"GET / HTTP/1.1\r\n{FIRST}Host: 8080-b1.box.example\r\n\r\n",
    f"GET http://8080-b1.box.example/ HTTP/1.1\r\n{FIRST}\r\n",
    f"GET / HTTP/1.1\r\n{FIRST} Host: 8080-b1.box.example\r\n\r\n",
    f"GET / HTTP/1.1\r\n{FIRST}X: y\rHost: 8080-b1.box.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 8080-a1.box.example, 8080-b1.box.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: a1\r\nE2b-Sandbox-Id: b1\r\nE2b-Sandbox-Port: 8080\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nE2b-Sandbox-Id: a1\r\nE2b_Sandbox_Id: b1\r\nE2b-Sandbox-Port: 8080\r\n\r\n",
    "GET /#/ HTTP/1.1\r\nHost: 8080-a1.box.example\r\n\r\n",
]


def test_nothing_is_smuggled(host, weftd, door):
    daemon = weftd()
    front = door()
    for name in ("a1", "b1"):
        door.guest(daemon, name)
    for text in SMUGGLING:
        with host.connect("127.0.0.1", 3002) as made:
            made.sendall(text.encode())
            made.sendall(b"GET /end HTTP/1.1\r\nHost: 8080-a1.box.example\r\nConnection: close\r\n\r\n")
            got = b""
            try:
                while more := made.recv(65536):
                    got += more
            except ConnectionResetError:
                pass
        assert b"/smuggled" not in got and b'"name": "b1"' not in got, f"{text!r}: {got!r}"
        assert re.match(rb"HTTP/1.[01] (200|400|422|501)", got), f"{text!r}: {got!r}"
    front.wait_log("sandbox=a1", "status=200")
    assert "sandbox=b1" not in front.log()


def test_without_weftd_the_door_says_so(host, weftd, door):
    daemon = weftd()
    front = door()
    daemon.stop()
    answer = curl(host, *by_headers("open", 8080))
    assert (answer.status, answer.headers["content-type"]) == (503, JSON)
    assert answer.body == {"sandboxId": "open", "message": "The front door does not reach weftd on this host. Try again in a moment.", "code": 503}
    page = curl(host, *by_headers("open", 8080), "-A", "Mozilla")
    assert page.headers["content-type"] == HTML and "<title>Front Door Unavailable</title>" in page.text
    assert curl(host, f"{LOCAL}/health").status == 503
    front.wait_log("sandbox=open", 'reason="weftd-away"', "status=503")
    daemon.start()
    assert curl(host, *by_headers("open", 8080)).status == 502
    assert curl(host, f"{LOCAL}/health").status == 200


def upload(host, name, expect, path="/up"):
    """What a client of 100 MB is told before it has sent all of that. With EXPECT it sends nothing without an answer."""
    left = 100 << 20
    with host.connect("127.0.0.1", 3002, timeout=PATIENCE) as made:
        made.sendall(f"POST {path} HTTP/1.1\r\nHost: {APP}-{name}.box.example\r\nContent-Length: {left}\r\n{expect}\r\n".encode())
        while not expect and left and not readable(made, 0):
            made.settimeout(0.05)
            with contextlib.suppress(socket.timeout, BrokenPipeError, ConnectionResetError):  # the answer is there all the same
                left -= made.send(bytes(1 << 18))
        made.settimeout(PATIENCE)
        assert left
        return made.recv(65536)


def test_uploads_that_are_refused_get_their_answer(host, weftd, door):
    daemon = weftd(config={"door": {"hold": "100ms"}})
    door()
    door.guest(daemon, "open")
    daemon.api.register("boot")
    for expect in ("", "Expect: 100-continue\r\n"):
        assert upload(host, "boot", expect).startswith(b"HTTP/1.1 409 ")
        assert upload(host, "none", expect).startswith(b"HTTP/1.1 502 ")
        assert upload(host, "open", expect, "/early").startswith(b"HTTP/1.1 413 ")
    done = host.run(["sh", "-c", f"head -c 100M /dev/zero | curl -sS --noproxy '*' -m 60 -T - -H 'Host: {APP}-open.box.example' {LOCAL}/up"])
    assert json.loads(done.stdout)["got"] == 100 << 20


def test_a_head_that_never_ends_is_given_up(host, weftd, door):
    weftd()
    door(edit={"haproxy.cfg": {"timeout http-request 10s": "timeout http-request 300ms"}})
    assert ask(host, "GET / HTTP/1.1\r\nHost: localhost\r\n").startswith(b"HTTP/1.1 408 ")
