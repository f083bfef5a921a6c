"""The page of a street in a real browser, while it stays open: its state, its flags, and where the keyboard is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.fleet import note_status
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from edge_app.mqtt.device_messages import Status
from edge_app.web.languages import messages
from tests.city.cases import NAME, changed, series
from tests.city.test_storing import make_site, roll, store
from tests.support.browser import CHROMIUM, Browser
from tests.support.local_page import AXE, violations
from tests.support.paths import ROOT

LIBRARIES = ROOT / "edge_app/city/page/libraries/supercluster.min.js"
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
    pytest.mark.skipif(not LIBRARIES.is_file(), reason="needs the page's libraries (npm and deploy/page_libraries.py)"),
]
TEXTS = messages("en")
CHOICE = "document.querySelector('.card select')"
REFRESH = f"{CHOICE}.dispatchEvent(new Event('change'))"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A street where it is about noon, with two quarters of which 20 minutes have flags."""
    made = open_database(f"sqlite:///{tmp_path_factory.mktemp('city') / 'city.sqlite3'}")
    now = int(time.time())
    make_site(made, f"Etc/GMT{now // 3600 % 24 - 12:+d}")
    flags = ["moved"] * 15 + ["blurred,dark"] * 5 + [""] * 10
    counted = series(30, start=now // 900 * 900 - 1800)
    settings = [one.settings for flag in flags for one in series(1, flags=flag)]
    store(made, [changed(one, settings=its) for one, its in zip(counted, settings, strict=True)])
    roll(made)
    tell_state(made, "online")
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The page of the street, open."""
    with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
        browser = Browser(tmp_path_factory.mktemp("profile"), 1280, 900)
        try:
            browser.open(f"http://127.0.0.1:{server.port}/")
            browser.click(".list a")
            browser.wait_for("document.querySelector('.chart .u-legend') !== null")
            yield browser
            assert browser.errors == []
        finally:
            browser.close()


def tell_state(database: Database, state: str) -> None:
    now = int(time.time())
    at = datetime.fromtimestamp(now, timezone.utc)
    status = Status.model_validate({"state": state, "at": at, "boot_id": "b", "version": "0.1.0"})
    with database.begin() as connection:
        note_status(connection, {(NAME.site, NAME.device): status}, now)


def test_quality_flags_are_told_in_words_with_their_minutes(page: Browser) -> None:
    """Of the quarter with two flags only their time together is known."""
    told = page.run("document.querySelector('.flags').textContent")
    share = TEXTS["city.flagged_share"].format(share="66.7")
    alone = TEXTS["fleet.flag_minutes"].format(flag=TEXTS["flag.moved"], n=15)
    both = [TEXTS["city.flag_minutes_most"].format(flag=TEXTS[f"flag.{flag}"], n=5) for flag in ("blurred", "dark")]
    assert told == f"{share} {'; '.join([alone, *both])}"
    assert AXE is None or violations(page) == []


def test_an_open_page_tells_that_its_device_went_offline(page: Browser, database: Database) -> None:
    offline = TEXTS["city.state.offline"]
    assert page.run("document.querySelector('h1 + .state').textContent") != offline
    tell_state(database, "offline")
    page.run(REFRESH)
    page.wait_for(f"document.querySelector('h1 + .state.offline')?.textContent === {offline!r}")
    assert page.run("document.querySelector('#view p.muted').hidden") is False


def test_who_uses_the_keyboard_stays_where_they_are(page: Browser) -> None:
    page.run(f"(() => {{ {CHOICE}.focus(); {CHOICE}.value = '/week'; {REFRESH}; }})()")
    page.wait_for("document.querySelectorAll('.chart .u-series').length === 5")
    assert page.run(f"document.activeElement === {CHOICE}")
    page.run("(() => { window.link = [...document.querySelectorAll('a[download]')].at(1); link.focus(); })()")
    page.run(REFRESH)
    page.wait_for("!link.isConnected")
    assert page.run("document.activeElement.href.split('?')[0] === link.href.split('?')[0]")
    assert page.run("document.activeElement.textContent === link.textContent")
