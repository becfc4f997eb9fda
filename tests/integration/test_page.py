# SPDX-License-Identifier: GPL-2.0-or-later
"""The status page in a real browser: it shows the current state, follows the event stream, and runs no foreign markup."""

import os
import subprocess

import pytest

from harness.api import Api
from harness.browser import Browser
from harness.daemon import build_dir
from harness.wait import PATIENCE, poll_until

URL = "http://127.0.0.1:9090/"
EVIL = "<b>evil<script>document.body.remove()</script>"


def listens(host):
    """Whether the page's port is open. The control socket opens before it."""
    try:
        host.connect("127.0.0.1", 9090).close()
        return True
    except ConnectionRefusedError:
        return False


@pytest.fixture
def page(host, folder):
    """(the client of the control socket, a browser on the page)"""
    sock = os.path.join(folder, "c.sock")
    with open(os.path.join(folder, "log"), "wb") as log:
        served = host.popen(
            [os.path.join(build_dir(), "tests", "control_harness"), sock, "--http", "127.0.0.1:9090"],
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )
    try:
        poll_until(lambda: listens(host))
        browser = Browser(host)
        try:
            yield Api(sock), browser
            errors, asked = browser.complaints()
            assert not errors, errors
            assert asked and all(url.startswith((URL, "data:")) for url in asked), asked
        finally:
            browser.close()
    finally:
        served.terminate()
        assert served.wait(PATIENCE) == 0


def show(browser, count):
    browser.open(URL)
    browser.wait(f'document.documentElement?.dataset.sandboxes === "{count}" && document.querySelector("#live")?.textContent === "live"')


def kept_screenshot(browser, name):
    """A screenshot for people, in the folder of WEFT_SCREENSHOTS."""
    if os.environ.get("WEFT_SCREENSHOTS"):
        browser.screenshot(os.path.join(os.environ["WEFT_SCREENSHOTS"], name + ".png"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("count", [0, 3, 1000])
def test_the_page_shows_every_sandbox(page, count, dark):
    api, browser = page
    for number in range(count):
        api.register(f"s{number}", {"ports": [8080]} if number < 3 else {})
    browser.dark(dark)
    show(browser, count)
    assert browser.evaluate('document.querySelectorAll("tr.row").length') == count
    ids = browser.evaluate('[...document.querySelectorAll("tr.row .id")].map((cell) => cell.textContent)')
    assert ids == [f"s{number}" for number in range(count)]
    assert ("No sandbox" in browser.evaluate("document.querySelector('#empty').checkVisibility() ? document.querySelector('#empty').textContent : ''")) == (count == 0)
    lightness = browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (lightness < 128) == dark
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    kept_screenshot(browser, f"page-{count}-{'dark' if dark else 'light'}")


def test_the_page_lives_on_the_events(page):
    api, browser = page
    api.register("a1", {"ports": [8080]})
    show(browser, 1)
    broken = 'document.querySelector("tr.row .hop.fail")?.textContent'
    assert browser.evaluate(broken) == "tap"
    api.patch("a1", {"labels": {"state": "ready"}})
    browser.wait('document.querySelector("tr.row td.ready") !== null && document.querySelector("tr.row .hop.fail") === null')
    # The page may have learned the state from the list, before the event.
    browser.wait('document.querySelector("tr.row").lastChild.textContent.includes("waiting")')
    api.register("a2")
    browser.wait('document.querySelectorAll("tr.row").length === 2')
    api.unregister("a1")
    browser.wait('document.querySelectorAll("tr.row").length === 1')


def test_a_row_opens_to_addresses_events_and_a_diagnosis(page):
    api, browser = page
    api.register("a1", {"ports": [8080]})
    show(browser, 1)
    browser.evaluate('document.querySelector("tr.row").click()')
    browser.wait('document.querySelector("tr.more").textContent.includes("weftctl diagnose a1")')
    api.get("/v1/sandboxes/a1/diagnosis").expect(200)
    browser.evaluate('document.querySelector("tr.row").click(); document.querySelector("tr.row").click()')
    browser.wait('document.querySelector("tr.more").textContent.includes("NO-CARRIER")')
    assert " ago" in browser.evaluate('document.querySelector("tr.more").textContent')
    text = browser.evaluate('document.querySelector("tr.more").textContent')
    assert "127.0.0.1:20000" in text and "10.11.0.1" in text and "no VM is attached" in text
    kept_screenshot(browser, "page-open")


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
        show(browser, 2)
        closed = 'document.querySelector("#not-open").textContent'
        browser.wait(f'{closed}.includes("127.0.0.1:49983 is in use by")')
        stranger.close()
        browser.wait(f'{closed} === ""')
        row = 'document.querySelectorAll("tr.row")[%d]'
        browser.wait(f'{row % 0}.lastChild.textContent.includes("waiting \u2192 attached")')
        assert browser.evaluate(f'{row % 1}.querySelector(".hop.fail").textContent') == "tap"
        # A guest that stalls is not a fault of tcp.
        poll_until(lambda: daemon.api.get("/v1/sandboxes/a1/diagnosis").expect(200)["broken"] == "tcp")
        browser.evaluate(f"{row % 0}.click()")
        browser.wait('document.querySelector("tr.more").textContent.includes("FAIL  tcp")')
        text = browser.evaluate('document.querySelector("tr.more").textContent')
        assert "creating \u2192 waiting (registered)" in text and "gone" not in text

        first.serve("8080,http,a1")
        browser.wait(f'{row % 0}.querySelector("td.ready") !== null')
        host.run(["curl", "-s", "http://10.11.0.1:8080/"])
        browser.wait(f'{row % 0}.querySelector("polyline")?.getAttribute("points").length > 0', 60)
        errors, asked = browser.complaints()
        assert not errors and all(url.startswith((URL, "data:")) for url in asked), (errors, asked)
    finally:
        browser.close()


def test_nothing_that_a_caller_sends_is_markup(page):
    api, browser = page
    api.register("a1")
    api.get("/v1/sandboxes/a1/diagnosis").expect(200)
    api.unregister("a1")
    api.register("a1", {"labels": {EVIL: '<img src=x onerror="document.title=1">', "b": "</script><script>document.title=2</script>"}})
    show(browser, 1)
    browser.evaluate('document.querySelector("tr.row").click()')
    browser.wait('document.querySelector("tr.more").textContent.includes("NO-CARRIER")')
    assert browser.evaluate('document.querySelectorAll("img, iframe, b").length') == 0
    assert EVIL in browser.evaluate('document.querySelector(".labels").textContent')
    assert browser.evaluate("document.title") == "weft"


def test_rows_can_be_searched_and_filtered(page):
    api, browser = page
    for name, state in (("red-1", "ready"), ("red-2", "failed"), ("blue-1", "ready")):
        api.register(name)
        api.patch(name, {"labels": {"state": state, "team": name.split("-")[0]}})
    show(browser, 3)
    shown = '[...document.querySelectorAll("tr.row:not([hidden]) .id")].map((cell) => cell.textContent)'
    search = 'const s = document.querySelector("#search"); s.value = "%s"; s.dispatchEvent(new Event("input"))'
    browser.evaluate("{" + search % "team=red" + "}")
    assert browser.evaluate(shown) == ["red-1", "red-2"]
    browser.evaluate("document.querySelector('.chip.failed').click()")
    assert browser.evaluate(shown) == ["red-2"]
    browser.evaluate("document.querySelector('.chip.failed').click()")
    browser.evaluate("{" + search % "" + "}")
    assert browser.evaluate(shown) == ["red-1", "red-2", "blue-1"]
