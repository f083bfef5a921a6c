"""The page of the fleet in a real browser: devices, orders, roll-outs, and lines drawn on a picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from edge_app.city.api import build_api
from edge_app.city.database.accounts import add_account
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.orders import place_order
from edge_app.city.database.tables import COMPARABLE, ORDER, ROLLOUT, ROLLOUT_DEVICE
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.drawing.jpeg import jpeg
from edge_app.http.server import Server
from edge_app.rollout.leading import Evidence
from edge_app.web.languages import NAMES, messages
from tests.support.browser import CHROMIUM, Browser
from tests.support.fleet_city import NEW, add_device, add_stopped_rollout, answer, begin_office
from tests.support.languages import english_in
from tests.support.local_page import AXE, violations

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
]
DEVICE = "harbour/pole-7"
TEXTS = messages("en")
MANY = 240


@dataclass
class Fleet:
    """A city with a fleet: the address of its page, its database, and the roll-out's id."""

    base: str
    database: Database
    rollout: int

    def orders(self) -> list[Any]:
        with self.database.connect() as connection:
            return list(connection.execute(select(ORDER).order_by(ORDER.c.id)).all())

    def done(self, kind: str, state: str, text: str, picture: bytes = b"") -> Any:
        """Let the office's process carry out the newest order of a kind, once it is placed; return it."""
        deadline = time.monotonic() + 60
        while not (found := [one for one in self.orders() if one.kind == kind and one.state == "waiting"]):
            assert time.monotonic() < deadline, f"no order {kind}"
            time.sleep(0.05)
        answer(self.database, found[-1].id, state, text, int(time.time()), picture)
        return found[-1]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    database, now = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}"), int(time.time())
    desired = {
        "revision": 12,
        "at": "2026-12-01T10:00:00Z",
        "author": "anna",
        "set": {"counting": {"interval_s": 7}},
        "unset": ["detector.region"],
        "message": "put at the broker by somebody else",
    }
    refused = {"state": "refused", "problems": ["counting.interval_s: must be a divisor of 3600"]}
    at, day = datetime.fromtimestamp(now, timezone.utc), timedelta(days=1)
    certificates = {4: at + 20 * day, 5: at - day, 6: None}
    with database.begin() as connection:
        add_device(connection, now, desired=desired, report=refused, drift=["model"])
        for number in range(MANY):
            name = ("north", f"pole-{number}")
            ends: dict[str, Any] = {"certificate_ends": certificates[number]} if number in certificates else {}
            state = "offline" if number == 3 else "online"
            add_device(connection, now, name, model=NEW, version="0.2.0", state=state, **ends)
        kept = add_stopped_rollout(connection, now)
    city = City(database, Live(), is_genuine=lambda _topic, _payload: False)
    with Server(build_api(city), "127.0.0.1", 0) as server:
        yield Fleet(f"http://127.0.0.1:{server.port}", database, kept.id)
    database.close()


def picture() -> bytes:
    return jpeg(np.full((360, 640, 3), 90, np.uint8))


def shows(browser: Browser, words: str) -> None:
    browser.wait_for(f"document.getElementById('view')?.innerText.includes({words!r})")


def choose(browser: Browser, selector: str, value: str) -> None:
    browser.run(
        f"(() => {{ const one = document.querySelector({selector!r}); one.value = {value!r};"
        " one.dispatchEvent(new Event('change')); })()"
    )


@pytest.mark.skipif(not AXE, reason="needs axe-core (deploy/prepare.sh test fetches it where npm is)")
@pytest.mark.parametrize(("size", "theme"), [((390, 844), "dark"), ((1280, 900), "light")], ids=["phone", "desktop"])
def test_people_of_all_kinds_can_use_the_fleets_pages(
    fleet: Fleet, tmp_path: Path, size: tuple[int, int], theme: str
) -> None:
    views = {
        "/fleet": "document.querySelectorAll('tbody tr').length === 100",
        f"/device/{DEVICE}": "document.querySelectorAll('.key-form').length === 1",
        f"/device/{DEVICE}/lines": "document.querySelectorAll('.shape').length === 1",
        "/rollouts": "document.querySelectorAll('.bar').length === 2",
        f"/rollouts/{fleet.rollout}": "document.querySelectorAll('tbody tr').length > 10",
    }
    browser = Browser(tmp_path / "profile", *size, touch=size[0] < 500)
    try:
        browser.prefer_theme(theme)
        for path, shown in views.items():
            browser.open(fleet.base + path)
            browser.wait_for(shown)
            assert violations(browser) == [], path
            assert browser.run("document.documentElement.scrollWidth") <= size[0], path
            wide = "[...document.querySelectorAll('.scroll')].map(one => one.scrollWidth - one.clientWidth)"
            assert size[0] > 500 or max(browser.run(wide), default=0) <= 0, path
            for odd in ("null", "undefined", "[object", "NaN"):
                assert browser.run(f"document.body.innerText.includes({odd!r})") is False, (path, odd)
        assert browser.errors == []
    finally:
        browser.close()


def test_a_device_is_found_among_many(fleet: Fleet, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile", 1280, 900)
    rows = "document.querySelectorAll('tbody tr').length"
    try:
        browser.open(f"{fleet.base}/fleet")
        browser.wait_for(f"{rows} === 100")
        browser.click(".card > button")
        browser.wait_for(f"{rows} === 200")
        browser.type("[type=search]", "pole-23")
        browser.wait_for(f"{rows} === 11")  # pole-23 and pole-230 to pole-239
        browser.type("[type=search]", "")
        browser.run("document.querySelector('[type=search]').dispatchEvent(new Event('input'))")
        choose(browser, ".filters select", "offline")
        browser.wait_for(f"{rows} === 1")
        assert browser.run("location.search") == "?state=offline"
        browser.open(f"{fleet.base}/fleet?certificate_days=30&sort=certificate")
        browser.wait_for("document.querySelectorAll('tbody th').length === 2")
        first, second = browser.run("[...document.querySelectorAll('tbody tr')].map((row) => row.innerText)")
        assert TEXTS["fleet.certificate_ended"].replace("{day}", "") in first
        assert browser.run("[...document.querySelectorAll('.state.late, td .state.offline')].length") == 2
        assert ("pole-5" in first, "pole-4" in second) == (True, True)
        browser.open(f"{fleet.base}/fleet?office=refused")
        browser.wait_for(f"{rows} === 1")
        assert "roads-a (e5f5da65)" in browser.run("document.querySelector('tbody tr').innerText")
        browser.click("tbody a")
        browser.wait_for(f"document.querySelector('h1')?.textContent === {DEVICE!r}")
        assert browser.errors == []
    finally:
        browser.close()


def test_what_is_asked_of_a_device_is_placed_and_its_answer_shown_in_words(fleet: Fleet, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile", 1280, 900)
    button = "[...document.querySelectorAll('#view button')].find(one => one.textContent === {!r})"
    try:
        browser.open(f"{fleet.base}/device/{DEVICE}")
        shows(browser, TEXTS["fleet.no_office"])
        shows(browser, TEXTS["fleet.origin.foreign"])
        shows(browser, "counting.interval_s = 7")
        shows(browser, "counting.interval_s: must be a divisor of 3600")
        with fleet.database.begin() as connection:
            begin_office(connection, int(time.time()) + 3600)
        browser.type(".key-form input[list]", "counting.interval_s")
        browser.type(".key-form label:nth-of-type(3) input", "300")
        browser.click(".key-form button")
        order = fleet.done("config", "refused", "refused: counting.interval_s: is not to be")
        assert (order.args["values"], order.subject) == ({"counting.interval_s": 300}, DEVICE)
        shows(browser, f"{TEXTS['fleet.refused.refused']} (counting.interval_s: is not to be)")
        assert browser.run(f"document.body.innerText.includes({TEXTS['fleet.no_office']!r})") is False
        browser.type(".key-form input[list]", "mqtt.host")
        browser.click(".key-form button")
        shows(browser, TEXTS["refused.not_by_office"].replace("{keys}", "mqtt.host"))
        browser.run(f"{button.format(TEXTS['fleet.harvest_begin'])}.click()")
        assert fleet.done("harvest", "answered", "done").args == {"enabled": True, "hours": 24}
        browser.run(f"{button.format(TEXTS['fleet.order.snapshot'])}.click()")
        fleet.done("snapshot", "answered", "9 bytes", picture())
        browser.wait_for("document.querySelector('canvas.snapshot:not([hidden])')?.width === 640")
        assert browser.errors == []
    finally:
        browser.close()


def test_a_line_is_moved_on_a_picture_and_the_page_asks_whether_its_series_goes_on(
    fleet: Fleet, tmp_path: Path
) -> None:
    browser = Browser(tmp_path / "profile", 1280, 900)
    save = "document.querySelector('.drawing-side button.first')"
    place = "(b => [b.left + b.width / 2, b.top + b.height * {}])(document.querySelector({!r}).getBoundingClientRect())"
    end = place.format(0.5, "#sheet circle")
    try:
        browser.open(f"{fleet.base}/device/{DEVICE}/lines")
        browser.click("#tools button:last-child")
        fleet.done("snapshot", "answered", "9 bytes", picture())
        browser.wait_for(
            "document.querySelector('#waiting').hidden && document.querySelector('#sheet circle') !== null"
        )
        assert browser.run(f"{save}.disabled") is True
        x, y = browser.run(end)
        browser.drag((x, y), (x + 40, y - 60))
        browser.wait_for("document.querySelector('fieldset.series') !== null")
        assert browser.run("document.querySelectorAll('#former line').length") == 2
        assert browser.run(f"{save}.disabled") is True
        shows(browser, TEXTS["fleet.series_open"].replace("{name}", "Quay Road, at the bridge"))
        assert AXE is None or violations(browser) == []
        browser.click("fieldset.series input")
        assert browser.run(f"{save}.disabled") is False
        browser.click(".drawing-side button.first")
        order = fleet.done("config", "answered", "revision 13 is applied")
        (line,) = order.args["values"]["lines"]
        assert (line["id"], line["end"], line["left_to_right_bearing_deg"]) == ("quay-road", [0.92, 0.58], 275)
        assert line["start"] != [0.1, 0.62]
        assert None not in line.values()
        with fleet.database.connect() as connection:
            (row,) = connection.execute(select(COMPARABLE)).all()
        assert (row.line, row.drawn.split()[2:]) == ("quay-road", ["0.9200", "0.5800"])
        shows(browser, "revision 13 is applied")
        browser.wait_for("document.querySelectorAll('#former line').length === 0")
        x, y = browser.run(place.format(0.85, "#sheet"))
        browser.click("#tools [data-tool=line]")
        browser.drag((x - 150, y), (x + 150, y))
        browser.wait_for("document.querySelectorAll('.shape').length === 2")
        browser.run("[...document.querySelectorAll('.flip')].at(0).click()")
        shows(browser, TEXTS["fleet.turned"])
        assert browser.errors == []
    finally:
        browser.close()


def test_a_rollout_is_paused_and_taken_back_by_orders(fleet: Fleet, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile", 390, 844, touch=True)
    try:
        browser.open(f"{fleet.base}/rollouts/{fleet.rollout}")
        shows(browser, "all classes: it counts 10.4 % fewer than before")
        shows(browser, "4,210")
        assert (
            browser.run("document.querySelectorAll('.lead button:not([hidden])').length") == 0
        )  # nothing is left to do
        with fleet.database.begin() as connection:
            starving = Evidence(leans="of 2 devices 2 seem to tell a worse output than before")
            connection.execute(ROLLOUT.update().values(state="running", evidence=asdict(starving)))
        browser.open(f"{fleet.base}/rollouts/{fleet.rollout}")
        browser.wait_for("document.querySelectorAll('.lead button:not([hidden])').length === 2")
        shows(browser, "No device of this group has compared anything yet")
        shows(browser, "of 2 devices: 2 seem to tell a worse output than before")
        with fleet.database.begin() as connection:
            connection.execute(ROLLOUT.update().values(evidence=asdict(Evidence("pass"))))
            connection.execute(ROLLOUT_DEVICE.update().where(ROLLOUT_DEVICE.c.state == "back").values(state="refused"))
        browser.open(f"{fleet.base}/rollouts/{fleet.rollout}")
        shows(browser, TEXTS["fleet.decision.blind"])
        assert browser.run(f"document.body.innerText.includes({TEXTS['fleet.decision.pass']!r})") is False
        shows(browser, TEXTS["fleet.member.refused"])
        browser.type(".lead .field input", "a storm")
        browser.run("window.confirm = () => true")
        browser.run("document.querySelectorAll('.lead button:not([hidden])')[1].click()")
        order = fleet.done("take_back", "answered", "roads-b is taken back")
        assert (order.kind, order.subject, order.args) == ("take_back", "roads-b", {"why": "a storm"})
        shows(browser, "roads-b is taken back")
        assert browser.errors == []
    finally:
        browser.close()


def test_what_the_office_says_is_german_where_the_page_is(fleet: Fleet, tmp_path: Path) -> None:
    """The sentences are the office's own, as `edge-app fleet rollout show` prints them."""
    texts = messages("de")
    browser = Browser(tmp_path / "profile", 1280, 900)
    with fleet.database.begin() as connection:
        order = place_order(connection, "anna", "config", DEVICE, {"unset": ["detector.region"]}, time.time())
    answer(fleet.database, order, "answered", "revision 13 is applied", int(time.time()))
    try:
        browser.open(fleet.base)
        browser.run("localStorage.setItem('language', 'de')")
        browser.open(f"{fleet.base}/rollouts/{fleet.rollout}")
        counts = {"name": texts["fleet.sum.all_classes"], "share": "10,4", "candidate": "4.210", "before": "4.699"}
        shows(browser, texts["because.counts_fewer"].format(**counts))
        shows(browser, f"{texts['because.went_back']}; frames no longer come")
        shows(browser, texts["because.begun"])
        shows(browser, texts["who.user"].format(name="anna"))
        shows(browser, texts["who.rule"])
        assert english_in(browser.run("document.body.innerText"), "de") == []
        browser.open(f"{fleet.base}/device/{DEVICE}")
        shows(browser, texts["because.revision_applied"].format(n=13))
        assert english_in(browser.run("document.body.innerText"), "de") == []
        for path in ("fleet", "rollouts", f"device/{DEVICE}/lines"):
            browser.open(f"{fleet.base}/{path}")
            browser.wait_for("document.querySelectorAll('#view .card, #view .shape').length > 0")
            assert english_in(browser.run("document.body.innerText"), "de") == [], path
        assert browser.errors == []
    finally:
        browser.close()


def test_a_viewer_sees_devices_and_no_orders(fleet: Fleet, tmp_path: Path) -> None:
    with fleet.database.begin() as connection:
        add_account(connection, "anna", "administrator", "four random words", "test", int(time.time()))
        add_account(connection, "vera", "viewer", "four random words", "test", int(time.time()))
    browser = Browser(tmp_path / "profile", 1280, 900)
    try:
        browser.open(f"{fleet.base}/device/{DEVICE}")
        browser.wait_for("document.querySelector('[name=user]') !== null")
        browser.type("[name=user]", "vera")
        browser.type("[name=password]", "four random words")
        browser.click("form button")
        browser.wait_for(f"document.querySelector('h1')?.textContent === {DEVICE!r}")
        shows(browser, TEXTS["fleet.configs"])
        assert browser.run("document.querySelectorAll('#view button, #view form').length") == 0
        for path in ("/rollouts", f"/device/{DEVICE}/lines"):
            browser.open(fleet.base + path)
            shows(browser, TEXTS["fleet.for_administrators"])
            assert browser.run("document.getElementById('lost').hidden") is True
        assert browser.errors == []
    finally:
        browser.close()


def test_every_language_has_its_words(fleet: Fleet, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile", 1280, 900)
    try:
        browser.open(f"{fleet.base}/fleet")
        for language in NAMES:
            browser.run(f"localStorage.setItem('language', '{language}')")
            for path, key in (
                ("/fleet", "city.fleet"),
                (f"/device/{DEVICE}", "fleet.ask"),
                (f"/device/{DEVICE}/lines", "fleet.send_lines"),
                (f"/rollouts/{fleet.rollout}", "fleet.evidence"),
            ):
                browser.open(fleet.base + path)
                shows(browser, messages(language)[key])
                assert (
                    browser.run("document.body.innerText.match(/(city|fleet|shape|refused)\\.[a-z_.]+/g) || []") == []
                )
        assert browser.errors == []
    finally:
        browser.close()
