# SPDX-License-Identifier: GPL-2.0-or-later
"""The status page in a real browser: it shows what is and what was measured, follows the event stream, and runs no foreign markup."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

import harness
from harness.api import Api
from harness.browser import Browser
from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

URL = "http://127.0.0.1:9090/"
EVIL = "<b>evil<script>document.body.remove()</script>"
IDS = '[...document.querySelectorAll(".row")].sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top).map((row) => row.dataset.id)'
LOST = 'document.querySelector("#lost").checkVisibility() ? document.querySelector("#lost").textContent : ""'
PANEL = 'document.querySelector("#panel").textContent'


def row(name):
    return f"document.querySelector('.row[data-id=\"{name}\"]')"


def listens(host, port=9090):
    """Whether the page's port is open. The control socket opens before it."""
    try:
        host.connect("127.0.0.1", port).close()
        return True
    except ConnectionRefusedError:
        return False


class Page:
    """A control_harness with the page, and a browser."""

    def __init__(self, host, folder):
        self.host = host
        self.folder = folder
        self.socket = os.path.join(folder, "c.sock")
        self.api = Api(self.socket)
        self.browser = None
        self.served = None
        self.lost = False  # what the page asks for finds nobody, at times

    def serve(self, *options):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.served = self.host.popen(
                [os.path.join(build_dir(), "tests", "control_harness"), self.socket, "--http", "127.0.0.1:9090", *options],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )
        poll_until(lambda: listens(self.host))

    def show(self, count, url=URL):
        self.browser.open(url)
        self.browser.wait(f'document.documentElement?.dataset.sandboxes === "{count}" && document.querySelector("#live")?.textContent === "live"')

    def stop(self):
        if self.served.poll() is None:
            self.served.terminate()
        return self.served.wait(PATIENCE)


@pytest.fixture
def page(host, folder):
    made = Page(host, folder)
    made.serve()
    try:
        made.browser = Browser(host)
        try:
            yield made
            errors, asked = made.browser.complaints()
            assert not [error for error in errors if not (made.lost and "Failed to load resource: " in str(error))], errors
            assert asked and all(url.startswith((URL, "data:", "http://localhost:9191/")) for url in asked), asked
        finally:
            made.browser.close()
    finally:
        assert made.stop() in (0, -signal.SIGKILL)


def kept_screenshot(browser, name):
    """A screenshot for people, in the folder of WEFT_SCREENSHOTS."""
    if os.environ.get("WEFT_SCREENSHOTS"):
        browser.screenshot(os.path.join(os.environ["WEFT_SCREENSHOTS"], name + ".png"))


def looks(page, name):
    """The page in light and dark, narrow and wide: nothing is cut off at the side."""
    browser = page.browser
    for dark in (False, True):
        browser.dark(dark)
        for width in (400, 1600):
            browser.size(width)
            browser.wait("document.documentElement.scrollWidth <= innerWidth")
            lightness = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
            assert (lightness < 128) == dark
            kept_screenshot(browser, f"{name}-{'dark' if dark else 'light'}-{width}")


@pytest.mark.parametrize("count", [0, 3, 2000])
def test_the_page_shows_every_sandbox_and_draws_those_in_sight(page, count):
    for number in range(count):
        page.api.register(f"s{number}", {"ports": [8080]} if number < 3 else {})
    page.show(count)
    browser = page.browser
    shown = browser.evaluate(IDS)
    assert shown == [f"s{number}" for number in range(len(shown))]
    assert len(shown) == count if count < 10 else 10 <= len(shown) <= 60
    browser.wait('document.title === "somehost \u2013 weft"')
    empty = "document.querySelector('#empty').checkVisibility() ? document.querySelector('#empty').textContent : ''"
    assert ("No sandbox is registered" in browser.evaluate(empty)) == (count == 0)
    looks(page, f"page-{count}")
    if count > 100:
        browser.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        browser.wait(row(f"s{count - 1}") + " !== null")
        assert browser.evaluate(row("s0")) is None
        head = browser.evaluate('document.querySelector("#head").getBoundingClientRect().top')
        assert head == 0, "the head stays in sight"
        kept_screenshot(browser, f"page-{count}-end")


def test_the_page_lives_on_the_events(page):
    api, browser = page.api, page.browser
    api.register("a1", {"ports": [8080]})
    page.show(1)
    assert browser.evaluate(f'{row("a1")}.querySelector(".waiting") !== null')
    api.patch("a1", {"labels": {"state": "ready"}})
    browser.wait(f'{row("a1")}.querySelector(".ready") !== null')
    # The page may have learned the state from a snapshot, before the event.
    browser.wait(f'{row("a1")}.lastChild.textContent.includes("waiting")')
    api.register("a2", {"name": "web"})
    browser.wait('document.querySelectorAll(".row").length === 2')
    browser.wait(row("a2") + '.children[0].textContent.includes("web")')
    api.unregister("a1")
    browser.wait('document.querySelectorAll(".row").length === 1')
    # Nothing is asked for whole again: the stream brings all changes.
    _errors, asked = browser.complaints()
    assert not [url for url in asked if url.endswith("/v1/sandboxes")], asked


def test_an_answer_that_an_event_has_overtaken_is_not_believed(page):
    """The answer about "slow" waits in the page until the stream has told of its end. The address has a # that no id has."""
    api, browser = page.api, page.browser
    page.show(0, URL + "#%zz")
    browser.evaluate("""(() => {
        const real = window.fetch;
        window.fetch = async (path, options) => {
            const reply = await real(path, options);
            if (path === "/v1/sandboxes/slow" && !window.release) await new Promise((go) => { window.release = go; });
            return reply;
        };
    })()""")
    api.register("slow")
    browser.wait('typeof window.release === "function"')
    api.unregister("slow")
    api.register("next")
    browser.wait('document.querySelectorAll(".row").length === 1')
    browser.evaluate("window.release()")
    api.register("last")
    browser.wait(row("last") + " !== null")
    assert browser.evaluate(IDS) == ["next", "last"]


def test_hops_are_drawn_as_measured_with_the_time_and_no_others(page):
    api, browser = page.api, page.browser
    api.register("a1", {"ports": [8080]})
    api.register("a2")
    page.show(2, URL + "#a1")
    hops = f"[...{row('a1')}.querySelectorAll('.hop')].map((hop) => hop.textContent)"
    browser.wait(PANEL + '.includes("weftctl diagnose a1")')
    assert browser.evaluate(hops) == [] and "not diagnosed" in browser.evaluate(row("a1") + ".textContent")
    assert browser.evaluate('document.querySelector("button.measure")') is None

    api.get("/v1/sandboxes/a1/diagnosis").expect(200)
    browser.evaluate('location.hash = "a2"')
    browser.wait(PANEL + '.includes("weftctl diagnose a2")')
    browser.evaluate('location.hash = "a1"')
    browser.wait(PANEL + '.includes("NO-CARRIER")')
    text = browser.evaluate(PANEL)
    assert "127.0.0.1:20000" in text and "10.11.0.1" in text and "no VM is attached" in text and "s ago" in text
    assert browser.evaluate(hops) == ["veth", "tap"], "a hop that was not tried is none"
    assert "measured " in browser.evaluate(row("a1") + ".textContent")
    # A VM that has not come yet is no fault.
    red = browser.evaluate('getComputedStyle(document.querySelector("#lost")).backgroundColor')
    assert browser.evaluate(f"{row('a1')}.querySelector('.hop.fail')") is None
    assert browser.evaluate(f"getComputedStyle({row('a1')}.querySelector('.dot')).backgroundColor") != red
    kept_screenshot(browser, "page-measured")

    # A change of state makes it old, and nothing else takes its place.
    poll_until(lambda: api.patch("a1", {"labels": {"state": "attached"}})["since"] and api.patch("a1", {"labels": {"state": "detached"}})
               and browser.evaluate(f"{row('a1')}.querySelector('.old') !== null"))
    assert browser.evaluate(hops) == ["veth", "tap"]
    browser.wait(row("a1") + '.textContent.includes(", old")')


def test_a_failed_sandbox_comes_first_with_its_cause(page):
    api, browser = page.api, page.browser
    for name in ("a1", "a2", "a3"):
        api.register(name)
    why = "tap0 was deleted under a VM"
    api.patch("a2", {"labels": {"state": "failed", "reason": why}})
    api.patch("a3", {"labels": {"state": "detached"}})
    page.show(3)
    assert browser.evaluate(IDS) == ["a2", "a3", "a1"]
    assert browser.evaluate(f"{row('a2')}.children[2].textContent") == why
    assert browser.evaluate(f"{row('a2')}.querySelectorAll('.hop').length") == 0
    browser.wait('document.title.startsWith("(1) somehost")')
    browser.evaluate("document.querySelector('#order').value = 'slot'; document.querySelector('#order').dispatchEvent(new Event('change'))")
    browser.wait(IDS + '.join() === "a1,a2,a3"')
    browser.evaluate("[...document.querySelectorAll('#head button')].find((one) => one.textContent === 'Sandbox').click()")
    browser.evaluate("[...document.querySelectorAll('#head button')].find((one) => one.textContent === 'Sandbox').click()")
    browser.wait(IDS + '.join() === "a3,a2,a1"')


def test_who_is_asleep_is_told_and_what_wakes_it(page):
    api, browser = page.api, page.browser
    api.register("a1", {"ports": [80, {"guest_port": 53, "proto": "udp"}], "wake": {}})
    api.register("a2")
    page.show(2, URL + "#a1")
    word = f"{row('a1')}.children[1].textContent"
    assert "waiting" in browser.evaluate(word)
    for name in ("a1", "a2"):
        api.patch(name, {"labels": {"state": "paused"}})
    browser.wait(f'{word}.startsWith("asleep")')
    browser.wait(row("a2") + '.children[1].textContent.startsWith("paused")')
    browser.wait(f'{PANEL}.includes("woken by published ports: 80, 53/udp")')
    assert api.request("POST", "/v1/sandboxes/a1/wake").status == 202
    browser.wait(f'{word}.startsWith("waking")')
    browser.wait(f'{PANEL}.includes("its manager was asked at") && {PANEL}.includes("because of api")')
    browser.wait(f'{PANEL}.includes("wanted (api)")')
    api.patch("a1", {"labels": {"state": "ready"}})
    browser.wait(f'{word}.startsWith("ready") && !{PANEL}.includes("was asked at")')
    browser.evaluate("location.hash = '#a2'")
    browser.wait(f'{PANEL}.includes("nothing wakes it while it is paused")')


def test_a_daemon_that_is_down_is_told_over_everything(page):
    api, browser = page.api, page.browser
    for number in range(30):
        api.register(f"s{number}")
    page.show(30)
    assert browser.evaluate(LOST) == ""
    page.lost = True
    page.served.send_signal(signal.SIGKILL)
    page.served.wait(PATIENCE)
    browser.wait(LOST + '.startsWith("Not reachable since ")')
    assert browser.evaluate("/since \\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('#lost').textContent)")
    browser.wait('document.title.startsWith("(not reachable)")')
    assert browser.evaluate('getComputedStyle(document.querySelector("#all")).filter') != "none"
    looks(page, "page-lost")
    page.serve()
    page.api.register("new")
    browser.wait(LOST + ' === ""')
    browser.wait(IDS + '.join() === "new"')


@contextlib.contextmanager
def forwarded(host, path):
    """The unix socket PATH under http://localhost:9191/, as `ssh -L` makes it."""
    relay = host.popen([sys.executable, os.path.join(os.path.dirname(harness.__file__), "relay.py"), "9191", path])
    try:
        poll_until(lambda: listens(host, 9191))
        yield "http://localhost:9191/"
    finally:
        relay.terminate()
        relay.wait(PATIENCE)


def test_over_the_socket_a_button_measures_anew(page):
    api, browser = page.api, page.browser
    api.register("a1")
    with forwarded(page.host, page.socket) as url:
        page.show(1, url + "#a1")
        browser.wait('document.querySelector("button.measure") !== null')
        # To look is not to measure.
        assert api.get("/v1/sandboxes/a1/diagnosis?last=true").expect(200)["measured_at"] is None
        browser.evaluate('document.querySelector("button.measure").click()')
        browser.wait(PANEL + '.includes("NO-CARRIER")')
        # So it is with the host.
        browser.evaluate('document.querySelector("#host-card").open = true')
        browser.wait('document.querySelector("button.examine") !== null')
        assert api.get("/v1/doctor?last=true").expect(200)["measured_at"] is None
        browser.evaluate('document.querySelector("button.examine").click()')
        card = 'document.querySelector("#host-card").textContent'
        browser.wait(card + '.includes("1 problem: ip_forward: ip_forward is 0")')
        assert "sysctl net.ipv4.ip_forward=1" in browser.evaluate(card) and "all there" not in browser.evaluate(card)
        kept_screenshot(browser, "page-host")
        page.lost = True


def test_nothing_that_a_caller_sends_is_markup(page):
    api, browser = page.api, page.browser
    api.register("a1", {"labels": {EVIL: '<img src=x onerror="document.title=1">', "b": "</script><script>document.title=2</script>"}})
    api.patch("a1", {"labels": {"state": "failed", "reason": EVIL, EVIL: "1"}})
    api.get("/v1/sandboxes/a1/diagnosis").expect(200)
    page.show(1, URL + "#a1")
    browser.wait(PANEL + '.includes("NO-CARRIER")')
    assert browser.evaluate('document.querySelectorAll("img, iframe, b").length') == 0
    assert EVIL in browser.evaluate('document.querySelector("#panel .labels").textContent')
    assert EVIL in browser.evaluate('document.querySelector("#panel .reason").textContent')
    browser.wait('document.title === "(1) somehost \u2013 weft"')


@pytest.mark.parametrize("domain, base", [(None, None), ("", None), ("box.example", "https://{}-web.box.example/"),
                                          ("localhost", "http://{}-web.localhost:3002/")])  # fmt: skip
def test_each_sandboxs_url_at_the_front_door_is_a_link(page, domain, base):
    api, browser = page.api, page.browser
    if domain is not None:
        page.stop()
        page.serve("--door", domain)
    door = {"token_sha256": "A" * 43 + "=", "ports": {"8080": "token", "9000": "closed"}}
    api.register("A_1", {"ports": [8080, {"guest_port": 53, "proto": "udp"}], "ready_port": 49983, "door": door})
    api.register("a2", {"name": "web", "ports": [8080], "ready_port": 49983, "door": door})
    links = "[...document.querySelectorAll('#panel a')].map((link) => link.href)"
    text = "[...document.querySelectorAll('#panel section')].find((one) => one.textContent.startsWith('Front door'))?.textContent"
    page.show(2, URL + "#a2")
    browser.wait(PANEL + '.includes("8080/tcp")')
    if domain is None:
        assert browser.evaluate(links) == []
        return
    base = base or "http://localhost:3002/sandbox/a2/{}/"
    browser.wait(f"({links}).length === 2")
    assert browser.evaluate(links) == [base.format(49983), base.format(8080)]
    assert "(with the token)" in browser.evaluate(text) and base.format(9000) + " (closed)" in browser.evaluate(text)
    # In a host name this id has no place.
    browser.evaluate('location.hash = "A_1"')
    browser.wait(f"({links})[0]?.includes('A_1')")
    assert browser.evaluate(links) == [f"http://localhost:3002/sandbox/A_1/{port}/" for port in (49983, 8080)]
    kept_screenshot(browser, "page-door")


def test_traffic_is_drawn_from_the_first_moment(page):
    api, browser = page.api, page.browser
    for number in range(300):
        api.register(f"s{number}", {"ports": [8080], "labels": {"rate": str(1000 * number)} if number % 3 == 1 else {}})
        if number % 5 == 0:
            api.patch(f"s{number}", {"labels": {"state": "ready"}})
    page.show(300)
    graph = row("s1") + '?.querySelector(".to").getAttribute("points").split(" ")'
    browser.wait(graph + ".length === 60")
    browser.wait(f"new Set({graph}.map((point) => point.split(',')[1])).size > 1")
    browser.wait(row("s1") + '.querySelector(".rates, .from-text").textContent.includes("500 B/s")')
    browser.wait(row("s1") + '.querySelector(".number").textContent === "3 (1 held)"')
    browser.wait('document.querySelector("#connections").textContent === "240"')
    looks(page, "page-300")
    browser.evaluate("{const w = document.querySelector('#window'); w.value = '10'; w.dispatchEvent(new Event('change'))}")
    browser.wait(graph + ".length === 10")
    browser.evaluate("{const o = document.querySelector('#order'); o.value = 'traffic'; o.dispatchEvent(new Event('change'))}")
    browser.wait(IDS + '[0] === "s298"')


def test_rows_can_be_searched_and_filtered(page):
    api, browser = page.api, page.browser
    for name, state in (("red-1", "ready"), ("red-2", "failed"), ("blue-1", "ready")):
        api.register(name)
        api.patch(name, {"labels": {"state": state, "team": name.split("-")[0]}})
    page.show(3)
    search = '{const s = document.querySelector("#search"); s.value = "%s"; s.dispatchEvent(new Event("input"))}'
    browser.evaluate(search % "team=red")
    browser.wait(IDS + '.join() === "red-2,red-1"')
    browser.evaluate("document.querySelector('.chip.failed').click()")
    browser.wait(IDS + '.join() === "red-2"')
    browser.evaluate("document.querySelector('.chip.failed').click()")
    browser.evaluate(search % "")
    browser.wait(IDS + '.join() === "red-2,red-1,blue-1"')


def test_weftds_own_page_tells_what_was_and_what_comes(host, weftd, guest):
    stranger = host.listen(49983, "127.0.0.1")
    daemon = weftd({"http": {"listen": "127.0.0.1:9090"}})
    daemon.api.register("a1", {"ports": [8080], "ready_port": 8080})
    daemon.api.register("a2")
    daemon.api.register("gone")
    daemon.api.unregister("gone")
    first = guest("ns-1")
    daemon.api.wait("a1", "attached")
    browser = Browser(host)
    try:
        browser.open(URL + "#a1")
        browser.wait('document.documentElement?.dataset.sandboxes === "2"')
        problem = 'document.querySelector("#host-summary").textContent'
        browser.wait(f'{problem}.includes("127.0.0.1:49983 is in use by")')
        browser.wait('document.title.startsWith("(1) ")')
        stranger.close()
        browser.wait(f'!{problem}.includes("49983")')
        browser.wait(f'{row("a1")}.lastChild.textContent.includes("waiting \u2192 attached")')
        # A guest that stalls is not a fault of tcp.
        poll_until(lambda: daemon.api.get("/v1/sandboxes/a1/diagnosis").expect(200)["broken"] == "tcp")
        browser.evaluate('location.hash = "a2"')
        browser.wait(PANEL + '.startsWith("a2")')
        browser.evaluate('location.hash = "a1"')
        browser.wait(PANEL + '.includes("FAIL  tcp")')
        text = browser.evaluate(PANEL)
        assert "creating \u2192 waiting (registered)" in text and "gone" not in text

        first.serve("8080,http,a1")
        browser.wait(f'{row("a1")}.querySelector(".ready") !== null')
        flat = f"new Set({row('a1')}.querySelector('.from').getAttribute('points').split(' ').map((point) => point.split(',')[1])).size === 1"
        poll_until(lambda: host.run(["curl", "-s", "http://10.11.0.1:8080/"]) and not browser.evaluate(flat))
        errors, asked = browser.complaints()
        assert all(url.startswith((URL, "data:")) for url in asked), asked
        assert not errors, errors
    finally:
        browser.close()
