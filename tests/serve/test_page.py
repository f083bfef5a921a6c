"""The page of the service in a real browser: pictures, the slider, a clip with its line; by mouse and by finger."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.serve.access import new_token, parse_tokens
from tests.support.browser import CHROMIUM, Browser
from tests.support.pictures import encoded, street_picture
from tests.support.serving import Serving, serving
from tests.support.streets import recorded_street

pytestmark = [pytest.mark.servers, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)")]
JPEG = encoded(street_picture())
SHOWN = "document.querySelector('#pictures article p')?.textContent"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(folder=tmp_path_factory.mktemp("service") / "jobs") as running:
        yield running


PHONE = pytest.param((390, 844, True), id="phone")


@pytest.fixture(params=[pytest.param((1280, 800, False), id="desktop"), PHONE])
def browser(service: Serving, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Browser]:
    width, height, touch = request.param
    made = Browser(tmp_path, width, height, touch=touch)
    made.open(f"{service.url}/")
    made.wait_for("typeof take === 'function'")
    yield made
    assert made.errors == []
    made.close()


def drop(browser: Browser, name: str, kind: str, content: bytes) -> None:
    """Give the page a file, as a drop does."""
    data = base64.b64encode(content).decode()
    browser.run(
        f"take([new File([Uint8Array.from(atob('{data}'), c => c.charCodeAt(0))], '{name}', {{type: '{kind}'}})])"
    )


def test_boxes_come_and_go_with_the_slider(browser: Browser) -> None:
    drop(browser, "street.jpg", "image/jpeg", JPEG)
    browser.wait_for(f"/ms$/.test({SHOWN} ?? '')")
    assert "car" in browser.run(SHOWN) or "truck" in browser.run(SHOWN)
    few = browser.run("shownBoxes(pictures[0].prediction).length")
    browser.run("byId('threshold').value = 0.05; byId('threshold').oninput()")
    assert browser.run("shownBoxes(pictures[0].prediction).length") >= few > 0
    browser.run("byId('threshold').value = 1; byId('threshold').oninput()")
    assert browser.run(SHOWN).startswith("no vehicle")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert not browser.run("byId('save').disabled")


def test_what_is_no_picture_is_told(browser: Browser) -> None:
    drop(browser, "notes.jpg", "image/jpeg", b"no picture")
    browser.wait_for(f"/this is no picture/.test({SHOWN} ?? '')")
    seen = "[...document.querySelectorAll('button, canvas')].filter(one => one.checkVisibility()).map(one => one.id)"
    assert browser.run(seen) == ["save"]  # nothing to download, nothing to cancel
    browser.wait_for("byId('status').textContent === '0 of 1 pictures done, 1 failed'")


@pytest.mark.parametrize("browser", [PHONE], indirect=True)
def test_a_clip_is_counted_on_the_line_that_was_drawn(browser: Browser, service: Serving, tmp_path: Path) -> None:
    recorded_street(tmp_path / "clip.mp4", 1)
    drop(browser, "clip.mp4", "video/mp4", (tmp_path / "clip.mp4").read_bytes())
    browser.wait_for("byId('video').videoWidth > 0")
    browser.run(
        "for (const [kind, x, y] of [['pointerdown', .5, .2], ['pointermove', .5, .9]]) {"
        "const area = byId('sheet').getBoundingClientRect(); byId('sheet').setPointerCapture = () => {};"
        "byId('sheet').dispatchEvent(new PointerEvent(kind, {pointerId: 1, buttons: 1,"
        "clientX: area.left + x * area.width, clientY: area.top + y * area.height}))}"
    )
    assert browser.run("ends()") == pytest.approx([0.5, 0.2, 0.5, 0.9], abs=0.01)
    browser.click("#count")
    browser.wait_for("!!document.querySelector('#result table') || byId('clip-status').className", within=300)
    assert browser.run("byId('clip-status').textContent") == "counted"
    assert "car" in browser.run("byId('result').textContent")
    assert browser.run("byId('arrow').getAttribute('d')").startswith("M")
    browser.run("[...document.querySelectorAll('#result button')].find(one => one.textContent === 'Remove').click()")
    browser.wait_for("byId('clip-status').textContent === 'removed from the service'")
    assert service.http.get("/counts").json() == []


def test_everything_has_a_name_for_those_who_cannot_see(browser: Browser) -> None:
    drop(browser, "street.jpg", "image/jpeg", JPEG)
    browser.wait_for(f"/ms$/.test({SHOWN} ?? '')")
    nameless = browser.run(
        "[...document.querySelectorAll('button,input,canvas,video,progress,section')].filter(one =>"
        "!(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim())).map(one => one.outerHTML)"
    )
    assert nameless == []
    assert browser.run("document.documentElement.lang") == "en"
    assert browser.run("document.querySelectorAll('h1').length") == 1


def test_with_tokens_the_page_asks_for_one(tmp_path: Path) -> None:
    token, line = new_token("me", ["predict"])
    with serving(tokens=parse_tokens(line)) as service:
        browser = Browser(tmp_path)
        browser.open(f"{service.url}/")
        browser.wait_for("typeof take === 'function'")
        drop(browser, "street.jpg", "image/jpeg", JPEG)
        browser.wait_for("!byId('token-row').hidden")
        browser.run(f"byId('token').value = '{token}'")
        browser.click("#retry")
        browser.wait_for(f"/ms$/.test({SHOWN} ?? '')")
        assert browser.errors == []
        browser.close()


def test_the_page_loads_nothing_from_elsewhere(service: Serving) -> None:
    answer = service.http.get("/")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert service.http.get("/page/..%2fapi.py").status_code == 404
    assert service.http.get("/page/other.js").status_code == 404
