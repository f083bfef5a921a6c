"""The page of an installed device in a browser: log in, draw, save through the keeper, log out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.config.load import load
from tests.support.box import PASSWORD, Box
from tests.support.browser import CHROMIUM, Browser
from tests.support.local_page import AXE, violations

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with Box(tmp_path_factory.mktemp("box")) as running:
        yield running


def test_a_technician_logs_in_draws_saves_and_leaves(box: Box, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile", 390, 844, touch=True, flags=("--ignore-certificate-errors",))
    try:
        browser.open(box.url)
        browser.wait_for("document.getElementById('password') && document.title === 'Traffic counter'")
        assert browser.run("document.cookie") == ""
        browser.type("#password", "wrong password")
        browser.click("#enter")
        browser.wait_for("document.getElementById('problem').textContent === 'That is not the password.'")
        assert not AXE or violations(browser) == []
        browser.type("#password", PASSWORD)
        browser.click("#enter")
        browser.wait_for("document.getElementById('state')?.textContent === 'Counting'", 30.0)
        assert "session=" not in str(browser.run("document.cookie")), "scripts must not read it"
        browser.run("location.hash = '#lines'")
        browser.wait_for("document.getElementById('waiting')?.hidden", 30.0)
        left, top, width, height = browser.run(
            "(() => {const r = document.getElementById('sheet').getBoundingClientRect();"
            "return [r.x, r.y, r.width, r.height]})()"
        )
        browser.drag((left + width * 0.45, top + height * 0.6), (left + width * 0.45, top + height * 0.95))
        browser.click("[data-tool=geometry]")
        for x, y in ((0.3, 0.9), (0.6, 0.9), (0.55, 0.65), (0.35, 0.65)):
            browser.drag((left + width * x, top + height * y))
        browser.type("[data-key=side_a]", "6")
        browser.type("[data-key=side_b]", "7.25")
        browser.wait_for("document.querySelectorAll('#sheet .metres').length > 10", 30.0)
        browser.wait_for("/ 30 km.h/.test(document.querySelector('.shape.line').innerText)", 30.0)
        browser.wait_for("!document.getElementById('save').disabled", 30.0)
        browser.click("#save")
        browser.wait_for("document.getElementById('saved').textContent.includes('the service counts with it')", 90.0)
        browser.wait_for("document.getElementById('layers').textContent.includes('revision 1 by page, 127.0.0.1')")
        (line,) = load(box.config).lines
        assert line.start[0] == pytest.approx(0.45, abs=0.02)
        assert load(box.config).geometry.sides_m == (6.0, 7.25)
        assert "lines" not in box.config.read_text(), "the file of the person stays as it was"
        browser.click("#logout")
        browser.wait_for("document.getElementById('password') !== null")
        assert browser.run("fetch('state').then((answer) => answer.status)") == 401
        assert not browser.errors
    finally:
        browser.close()
