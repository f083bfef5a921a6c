"""The page in a real browser: what it shows, in every language, on phone and desktop, light and dark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest

from edge_app.city.api import build_api
from edge_app.city.database.accounts import add_account
from edge_app.city.database.contradictions import count_contradictions
from edge_app.city.database.engine import Database, open_database
from edge_app.city.database.figures import note_figures
from edge_app.city.database.fleet import note_health, note_status
from edge_app.city.database.inventory import put_sites, read_inventory
from edge_app.city.database.reviews import read_devices, store_reviews
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import DEVICE
from edge_app.city.live import Live
from edge_app.city.routes import kept
from edge_app.city.routes.city import City
from edge_app.city.routes.packed import packed_answer
from edge_app.city.simulator.town import counters, history
from edge_app.http.server import Server
from edge_app.mqtt.device_messages import Health, SourceHealth, Status
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.figures import Figures
from edge_app.web.languages import NAMES, messages
from tests.city.cases import NAME, changed, series
from tests.city.test_reviews import review
from tests.city.test_storing import make_site, roll
from tests.support.browser import CHROMIUM, Browser
from tests.support.languages import english_in
from tests.support.local_page import AXE, violations
from tests.support.paths import ROOT

LIBRARIES = ROOT / "edge_app/city/page/libraries/supercluster.min.js"
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
    pytest.mark.skipif(not LIBRARIES.is_file(), reason="needs the page's libraries (npm and deploy/page_libraries.py)"),
]
DAYS = 16


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A city with one street that has weeks of counts, a gap and a contradiction: its address, and the site's id."""
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('city') / 'city.sqlite3'}")
    site = make_site(database)
    now = int(time.time())
    fill(database, now)
    with database.begin() as connection:
        (described,) = read_inventory(connection)
        put_sites(connection, [described.model_copy(update={"public": True})], "test", now)
    with Server(build_api(City(database, Live(), demo=True)), "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.port}", site
    database.close()


def fill(database: Database, now: int) -> None:
    past = [changed(one, name=NAME) for one in history(counters()[0], now - DAYS * 86_400, now)]
    newest = [one for one in series(9, start=now // 60 * 60 - 540, installation="0c9e77a1") if one.seq != 4]
    with database.begin() as connection:
        Storing().store(connection, [*past[:700], *past[720:], *newest], float(now))
        device, at = (NAME.site, NAME.device), datetime.fromtimestamp(now, timezone.utc)
        online = Status(state="online", at=at, boot_id="b", version="0.1.0")
        note_status(connection, {device: online}, now)
        source = SourceHealth(state="ok", width=1280, height=720)
        health = Health(
            at=at,
            frames_per_s=15.0,
            frames_dropped=0,
            unsent=3,
            temperature_c=48.0,
            source=source,
            quality=("synthetic",),
        )
        note_health(connection, {device: health}, now)
        for quarter in range(8):
            start = datetime.fromtimestamp(now // 900 * 900 - 900 * quarter, timezone.utc).isoformat()
            note_figures(
                connection, {device: Figures.model_validate({**EXAMPLES["health"]["figures"], "start": start})}
            )
        line = Storing().line(connection, NAME)
        store_reviews(connection, [(line, review(n, doubtful=n < 3)) for n in range(1, 6)], now)
    roll(database)


def views_of(site: str) -> dict[str, str]:
    """Return the address of each view -> what is true in it once it is there."""
    return {
        "/": "document.querySelectorAll('.list li').length === 1",
        f"/street/{site}": "document.querySelectorAll('.histogram rect').length > 20",
        "/fleet": "document.querySelectorAll('tbody tr').length === 1",
        f"/device/{NAME.site}/{NAME.device}": "document.querySelectorAll('.figure canvas').length > 20",
        "/reviews": "document.querySelector('.shown .frame')?.style.width.endsWith('%')",
        "/gaps": "document.querySelectorAll('tbody tr').length >= 2",
        "/public": "document.querySelectorAll('article .usual').length === 1",
        f"/public/{site}": "document.querySelectorAll('article .ways li').length === 2",
        "/administration": "document.querySelectorAll('section form').length === 2",
        "/inventory": "document.querySelectorAll('tbody tr').length === 1",
        f"/inventory/{site}": "document.querySelectorAll('fieldset').length === 1",
    }


@pytest.mark.skipif(not AXE, reason="needs axe-core (deploy/prepare.sh test fetches it where npm is)")
@pytest.mark.parametrize(
    ("size", "theme"),
    [((390, 844), "dark"), ((1280, 900), "light")],  # colours are the same in both sizes
    ids=["phone", "desktop"],
)
def test_people_of_all_kinds_can_use_every_view(
    address: tuple[str, str], tmp_path: Path, size: tuple[int, int], theme: str
) -> None:
    base, site = address
    browser = Browser(tmp_path, *size, touch=size[0] < 500)
    try:
        browser.prefer_theme(theme)
        for path, shown in views_of(site).items():
            browser.open(base + path)
            browser.wait_for(shown)
            assert violations(browser) == [], path
            assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0, path
            assert browser.run("document.body.innerText.includes('null')") is False, path
        assert browser.errors == []
    finally:
        browser.close()


def test_invented_counts_are_said_to_be_invented(address: tuple[str, str], tmp_path: Path) -> None:
    base, site = address
    told = {
        "/": "city.all_invented",
        f"/street/{site}": "city.street_invented",
        "/fleet": "flag.synthetic",
        "/public": "public.invented",
    }
    browser = Browser(tmp_path, 390, 844, touch=True)
    try:
        for path, key in told.items():
            browser.open(base + path)
            browser.wait_for(f"document.getElementById('view')?.innerText.includes({messages('en')[key]!r})")
        assert browser.errors == []
    finally:
        browser.close()


def test_the_public_page_waits_when_the_city_is_busy(
    address: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not say that no street is public, and asks again."""
    base, asked = address[0], list[object]()

    def first_busy(*given: object) -> object:
        asked.append(given)
        if len(asked) == 1:
            raise kept.busy()
        return packed_answer(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("edge_app.city.routes.public.packed_answer", first_busy)
    monkeypatch.setattr(kept, "_AGAIN_S", 1)
    browser = Browser(tmp_path, 390, 844, touch=True)
    try:
        browser.open(f"{base}/public")
        browser.wait_for(f"document.getElementById('view')?.innerText.includes({messages('en')['public.busy']!r})")
        browser.wait_for("document.querySelectorAll('article .usual').length === 1")
    finally:
        browser.close()


def test_a_year_of_hours_comes_in_one_request(address: tuple[str, str], tmp_path: Path) -> None:
    base, site = address
    browser = Browser(tmp_path, 1280, 900)
    try:
        browser.open(f"{base}/street/{site}")
        browser.wait_for("document.querySelector('.heat-card .scroll') !== null")
        choose = (
            "const s = document.querySelector('.heat-span'); s.value = 'year'; s.dispatchEvent(new Event('change'));"
        )
        browser.run(f"(() => {{ performance.clearResourceTimings(); {choose} }})()")
        browser.wait_for("document.querySelector('canvas.year') !== null")
        asked = browser.run("performance.getEntriesByType('resource').map(one => one.name)")
        assert sum("/hours?" in one for one in asked) == 1
        assert not any("/counts" in one for one in asked)
        colours = browser.run("""
            (() => {
              const sheet = document.querySelector('canvas.year');
              const pen = sheet.getContext('2d');
              const row = pen.getImageData(0, 18 + 12 * 11 + 5, sheet.width, 1).data;
              return [sheet.width, new Set(new Uint32Array(row.buffer)).size];
            })()
        """)
        assert colours[0] == 30 + 3 * 365
        assert colours[1] > 5  # hatched where nothing was seen, and as many blues as noons differ
        if AXE:
            assert violations(browser) == []
        assert browser.errors == []
    finally:
        browser.close()


def test_another_day_is_shown_and_compared_with_a_chosen_one(address: tuple[str, str], tmp_path: Path) -> None:
    base, site = address
    browser = Browser(tmp_path, 1280, 900)
    days = [date.fromtimestamp(time.time() - ago * 86_400).isoformat() for ago in (3, 10)]
    choose = "(() => {{ const one = {}; one.value = {!r}; one.dispatchEvent(new Event('change')); }})()"
    dates = "document.querySelectorAll('input[type=date]')"
    try:
        browser.open(f"{base}/street/{site}")
        browser.wait_for("document.querySelector('.u-legend') !== null")
        browser.run(choose.format(f"{dates}[0]", days[0]))
        browser.wait_for("!document.querySelector('.tiles').textContent.startsWith('Today')")
        vehicles = browser.run("document.querySelector('.tiles .big').textContent")
        told = browser.run(
            f"fetch('/api/v1/sites/{site}/counts?step=day&from={days[0]}T00:00:00%2B02:00&to={days[0]}T00:00:00Z')"
            ".then(answer => answer.json())"
        )
        counted = sum(sum(ways.values()) for ways in told["steps"][0]["counts"].values())
        assert vehicles == f"{counted:,}"
        browser.run(choose.format("document.querySelector('.card select')", "/day"))
        browser.run(choose.format(f"{dates}[1]", days[1]))
        browser.wait_for("document.querySelector('.u-legend').querySelectorAll('.u-series').length === 5")
        if AXE:
            assert violations(browser) == []
        assert browser.errors == []
    finally:
        browser.close()


def test_pictures_are_reviewed_by_keys_and_by_hand(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    with database.begin() as connection:
        line, now = Storing().line(connection, NAME), int(time.time())
        pictures = [replace(review(n, doubtful=n < 3), at=now) for n in range(1, 5)]
        store_reviews(connection, [(line, one) for one in pictures], now)
    shown = "document.querySelector('.shown img')?.getAttribute('src')"
    with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
        browser = Browser(tmp_path / "browser", 390, 844, touch=True)
        try:
            browser.open(f"http://127.0.0.1:{server.port}/reviews")
            browser.wait_for(f"{shown}?.includes('{UUID(int=1)}')")
            browser.press("1")
            browser.wait_for("document.querySelector('.told').textContent === 'Counted as car: right.'")
            browser.wait_for(f"{shown}?.includes('{UUID(int=2)}')")
            browser.press("4")
            browser.wait_for("document.querySelector('.told').textContent === 'Counted as car: wrong.'")
            browser.wait_for(f"{shown}?.includes('{UUID(int=3)}')")
            browser.run("document.querySelector('[data-answer=car]').click()")
            browser.wait_for("document.querySelector('table').innerText.includes(' to ')")
            browser.wait_for(f"{shown}?.includes('{UUID(int=4)}')")
            browser.press("Backspace")
            browser.wait_for(f"{shown}?.includes('{UUID(int=3)}')")
            browser.press("7")
            browser.wait_for("document.querySelector('.told').textContent === 'Noted. Counted as car.'")
            browser.wait_for(f"{shown}?.includes('{UUID(int=4)}')")
            browser.press("6")
            browser.wait_for(f"document.body.innerText.includes({messages('en')['city.review_empty']!r})")
            assert browser.errors == []
        finally:
            browser.close()
    with database.connect() as connection:
        (device,) = read_devices(connection, 0)
    assert (device.waiting, device.answered) == (0, 4)
    assert [one.right for one in device.pictures] == [True, False, None, False]
    database.close()


def test_a_site_in_its_first_minutes_shows_what_it_has(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    site, now = make_site(database), int(time.time())
    with database.begin() as connection:
        Storing().store(connection, series(5, start=now // 900 * 900), float(now))
    roll(database)
    browser = Browser(tmp_path / "profile", 390, 844, touch=True)
    try:
        with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
            browser.open(f"http://127.0.0.1:{server.port}/street/{site}")
            browser.wait_for("document.querySelector('.note') !== null")
            shown = browser.run("document.querySelector('.note').textContent")
            assert shown == messages("en")["city.no_quarter"]
            assert browser.run("document.querySelectorAll('.heat .part').length") == 1
            assert "at least 15" in browser.run("document.querySelector('.heat .part').textContent")
            assert (
                browser.run("document.querySelector('.heat-card .legend').textContent")
                == messages("en")["city.heat_nothing"]
            )
            assert (
                browser.run("(one => one.scrollWidth - one.clientWidth)(document.querySelector('.heat-card .scroll'))")
                <= 0
            )
        assert browser.errors == []
    finally:
        browser.close()
        database.close()


def test_a_moved_camera_what_came_late_and_old_contradictions_are_told(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    now = int(time.time())
    site, texts = make_site(database, "UTC"), messages("de")
    health = {"quality": ["moved"], "source": {"state": "ok"}, "problem": "the view is shifted by 8 %"}
    yesterday = now // 86_400 * 86_400 - 86_400
    wrong = [changed(one, totals=one.counts) for one in series(202, start=yesterday + 36_000)]
    with database.begin() as connection:
        Storing().store(connection, wrong, float(now))
        connection.execute(DEVICE.update().values(state="online", health=health))
        many = sum(count_contradictions(connection).values())
    roll(database)
    assert many == 201  # of the first one the totals are its counts
    browser = Browser(tmp_path / "profile", 390, 844, touch=True)
    try:
        with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.port}"
            browser.open(base)
            browser.run("localStorage.setItem('language', 'de')")
            browser.open(f"{base}/street/{site}")
            browser.wait_for("document.querySelector('.tiles') !== null")
            moved = texts["city.state.moved"]
            browser.wait_for(f"document.querySelector('.state.moved')?.textContent.includes({moved!r})")
            says = texts["city.device_says"].format(words="the view is shifted by 8 %")
            why = f"{texts['city.why.moved']} {says}"
            browser.wait_for(f"document.querySelector('#view p.muted')?.textContent === {why!r}")
            day = datetime.fromtimestamp(yesterday, timezone.utc).date().isoformat()
            choice = "document.querySelector('input[type=date]')"
            browser.run(f"{choice}.value = {day!r}; {choice}.dispatchEvent(new Event('change'))")
            late = texts["city.came_late"].format(share="14")  # 202 minutes of the day
            browser.wait_for(f"document.querySelector('.tiles')?.textContent.includes({late!r})")
            browser.open(f"{base}/gaps")
            shown = texts["city.newest_of"].format(n=200, all=201)
            browser.wait_for(f"document.getElementById('view')?.textContent.includes({shown!r})")
            assert AXE is None or violations(browser) == []
        assert browser.errors == []
    finally:
        browser.close()
        database.close()


def test_a_site_is_edited_on_the_page(address: tuple[str, str], tmp_path: Path) -> None:
    base, site = address
    browser = Browser(tmp_path, 1280, 900)
    try:
        browser.open(f"{base}/inventory/{site}")
        browser.wait_for("document.querySelector('[name=road]') !== null")
        browser.type("[name=time_zone]", "Nowhere")
        browser.click("button.first")
        browser.wait_for("document.querySelector('.refused')?.textContent.includes('There is no \"Nowhere\"')")
        browser.type("[name=time_zone]", "Europe/Amsterdam")
        browser.type("[name=lanes]", "2")
        browser.click("button.first")
        browser.wait_for(
            f"document.querySelector('[role=alert]:not(#lost)').textContent === {messages('en')['city.saved']!r}"
        )
        assert browser.run("document.querySelector('[name=begins]').value") == ""
        write = "(one, at) => { one.value = at; one.dispatchEvent(new Event('input', { bubbles: true })); }"
        browser.run(f"({write})(document.querySelector('[name=ends]'), '2037-07-01T06:00')")
        browser.click("button.first")
        ends = f"fetch('/api/v1/inventory/{site}').then((told) => told.json()).then((told) => told.attachments[0].ends)"
        browser.run(f"window.ask = () => {ends}.then((at) => (window.saved = at))")
        browser.wait_for("window.ask() && window.saved === '2037-07-01T04:00:00Z'")  # as saved, in summer time
        browser.open(f"{base}/inventory/{site}")
        browser.wait_for("document.querySelector('[name=ends]')?.value.startsWith('2037-07-01T06:00')")
        browser.type("[name=time_zone]", "Asia/Kolkata")
        browser.run("document.querySelector('[name=time_zone]').dispatchEvent(new Event('change'))")
        browser.wait_for("document.querySelector('[name=ends]').value.startsWith('2037-07-01T09:30')")
        browser.type("[name=lanes]", "3")
        for answer, path in (("false", f"/inventory/{site}"), ("true", "/inventory")):  # it asks before that is lost
            browser.run(f"window.confirm = (asks) => (window.asks = asks, {answer})")
            browser.click("a[href='/inventory']")
            browser.wait_for(f"window.asks === {messages('en')['city.leave_sure']!r} && location.pathname === '{path}'")
            browser.run("window.asks = ''")
        browser.wait_for("document.querySelectorAll('tbody td')[2]?.textContent === '2'")
        assert browser.errors == []
    finally:
        browser.close()


def test_the_course_of_a_road_is_written_on_the_page_and_drawn_on_the_map(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    browser, live = Browser(tmp_path / "profile", 1280, 900), Live()
    # What the canvas of the roads shows: width and height of all that is drawn, px.
    drawn = """
        (() => {
          const sheet = document.querySelector('.leaflet-overlay-pane canvas');
          if (!sheet?.width) return null;
          const all = sheet.getContext('2d').getImageData(0, 0, sheet.width, sheet.height).data;
          const xs = [], ys = [];
          for (let at = 3; at < all.length; at += 4) if (all[at]) {
            xs.push(((at - 3) / 4) % sheet.width);
            ys.push(Math.floor((at - 3) / 4 / sheet.width));
          }
          const wide = (some) => some.reduce((a, b) => Math.max(a, b)) - some.reduce((a, b) => Math.min(a, b));
          return xs.length ? [wide(xs), wide(ys)] : null;
        })()
    """
    try:
        with Server(build_api(City(database, live)), "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.port}"
            browser.open(f"{base}/inventory/-")
            browser.wait_for("document.querySelector('[name=course]') !== null")
            for name, words in (("id", "quay"), ("road", "Quay Road"), ("course", "4.9 52.1")):
                browser.type(f"[name={name}]", words)
            browser.click("button.first")
            few = f"{messages('en')['city.course']}: {messages('en')['refused.too_few'].replace('{limit}', '2')}"
            browser.wait_for(f"document.querySelector('.refused')?.textContent === {few!r}")
            browser.type("[name=course]", "LINESTRING (4.9 52.1, 4.902 52.1, 4.902 52.101)")
            browser.click("button.first")
            browser.wait_for("location.pathname === '/inventory/quay'")
            browser.wait_for("document.querySelector('[name=course]')?.value === '4.9 52.1; 4.902 52.1; 4.902 52.101'")
            assert violations(browser) == [] if AXE else True
            browser.open(base)
            browser.wait_for("performance.getEntriesByName('map').length")
            width, height = browser.wait_for(drawn)
            # At zoom 15 they are 47 and 38 px, and the line is 8 px wide.
            assert (40 < width < 60, 34 < height < 54) == (True, True), (width, height)
            assert browser.errors == []
            live.end()
    finally:
        browser.close()
        database.close()


def test_the_first_user_is_made_on_the_page_and_logs_in(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    make_site(database)
    browser = Browser(tmp_path / "profile", 390, 844, touch=True)
    try:
        with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
            browser.open(f"http://127.0.0.1:{server.port}/administration")
            browser.wait_for("document.querySelectorAll('section form').length === 2")
            for name, words in (("name", "anna"), ("password", "four random words")):
                browser.type(f"form [name={name}]", words)
            browser.click("form button")
            for words, then in (("wrong words", ".refused:not(:empty)"), ("four random words", "section.card")):
                browser.wait_for("document.querySelector('[name=user]') !== null")
                assert violations(browser) == [] if AXE else True
                browser.type("[name=user]", "anna")
                browser.type("[name=password]", words)
                browser.click("form button")
                browser.wait_for(f"document.querySelector('{then}') !== null")
            browser.wait_for("document.querySelectorAll('tbody tr').length === 2")
            assert browser.run("document.getElementById('open').hidden") is True
            if AXE:
                assert violations(browser) == []
            browser.click("#me a")
            browser.wait_for("document.querySelector('[name=new]') !== null")
            if AXE:
                assert violations(browser) == []
            for name, words in (("password", "four random words"), ("new", "another four words")):
                browser.type(f"[name={name}]", words)
            browser.click("form button")
            browser.wait_for("document.querySelector('[name=user]') !== null")
            browser.type("[name=user]", "anna")
            browser.type("[name=password]", "another four words")
            browser.click("form button")
            browser.wait_for("document.querySelector('#me button') !== null")
            browser.click("#me button")
            browser.wait_for("document.querySelector('[name=user]') !== null")
            assert browser.errors == []
    finally:
        browser.close()
        database.close()


def test_a_viewer_sees_nothing_that_would_be_refused(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    site, now = make_site(database), int(time.time())
    with database.begin() as connection:
        add_account(connection, "anna", "administrator", "four random words", "test", now)
        add_account(connection, "vera", "viewer", "four random words", "test", now)
    browser = Browser(tmp_path / "profile", 1280, 900)
    texts = messages("en")
    try:
        with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.port}"
            browser.open(f"{base}/administration")
            browser.wait_for("document.querySelector('[name=user]') !== null")
            browser.type("[name=user]", "vera")
            browser.type("[name=password]", "four random words")
            browser.click("form button")
            for path, sentence in (
                ("/administration", "city.for_administrators"),
                ("/inventory", "city.for_engineers"),
                ("/inventory/-", "city.for_engineers"),
                (f"/inventory/{site}", "city.for_engineers"),
            ):
                if path != "/administration":
                    browser.open(base + path)
                browser.wait_for(f"document.getElementById('view')?.innerText.includes({texts[sentence]!r})")
                assert browser.run("document.getElementById('lost').hidden") is True
                assert browser.run("document.querySelectorAll('#view button, #view label.button').length") == 0
                assert violations(browser) == [] if AXE else True
            assert browser.run("[...document.querySelectorAll('#view input')].every(one => one.disabled)") is True
        assert browser.errors == []
    finally:
        browser.close()
        database.close()


def test_dates_are_those_of_the_browsers_country(address: tuple[str, str], tmp_path: Path) -> None:
    base, _ = address
    for country, day in (("en-GB", "%-d %b %Y"), ("en-US", "%b %-d, %Y")):
        browser = Browser(tmp_path / country, 390, 844, touch=True, flags=[f"--accept-lang={country}"])
        try:
            browser.open(f"{base}/administration")
            shown = browser.wait_for("document.querySelector('.stack td')?.textContent")
            assert shown.startswith(datetime.now().astimezone().strftime(day))
            browser.open(f"{base}/fleet")
            browser.wait_for("document.querySelector('.stack td') !== null")
            wide = "document.querySelector('.scroll').scrollWidth - document.querySelector('.scroll').clientWidth"
            assert browser.run(wide) <= 0
            assert browser.errors == []
        finally:
            browser.close()


def test_no_view_tells_a_sentence_of_the_citys_own_in_english(address: tuple[str, str], tmp_path: Path) -> None:
    base, site = address
    browser = Browser(tmp_path, 1280, 900)
    try:
        browser.open(base)
        browser.run("localStorage.setItem('language', 'de')")
        for path, shown in views_of(site).items():
            browser.open(f"{base}{path}{'?language=de' if path.startswith('/public') else ''}")
            browser.wait_for(shown)
            assert browser.run("document.documentElement.lang") == "de", path
            assert english_in(browser.run("document.body.innerText"), "de") == [], path
    finally:
        browser.close()


def test_it_speaks_every_language_and_finds_its_way(address: tuple[str, str], tmp_path: Path) -> None:
    base, _ = address
    browser = Browser(tmp_path, 1280, 900)
    try:
        browser.open(base)
        for language in NAMES:
            browser.wait_for("document.querySelectorAll('#language option').length === 4")
            choose = f"const s = document.getElementById('language'); s.value = '{language}';"
            browser.run(f"(() => {{ {choose} s.dispatchEvent(new Event('change')); }})()")
            title = messages(language)["city.title"]
            browser.wait_for(f"document.querySelector('h1')?.textContent === {title!r}")
            browser.wait_for("document.querySelector('.list a') !== null")
            missing = browser.run("document.body.innerText.match(/city\\.[a-z_.]+/g) || []")
            assert missing == []
        browser.click(".list a")
        browser.wait_for("document.querySelector('h1')?.textContent === 'Quay Road'")
        browser.run("history.back()")
        browser.wait_for("document.getElementById('search') !== null")
        browser.type("#search", "nothing like it")
        browser.wait_for("document.querySelector('.list li') === null")
        assert browser.errors == []
    finally:
        browser.close()


def test_refusals_are_told_in_the_language_of_the_page(address: tuple[str, str], tmp_path: Path) -> None:
    base, site = address
    file = tmp_path / "sites.csv"
    file.write_text("site,road,time_zone,lanes\nquay,Quay,Nowhere,many\n", "utf-8")
    browser = Browser(tmp_path / "profile", 1280, 900)
    try:
        browser.open(base)
        for language in NAMES:
            browser.run(f"localStorage.setItem('language', '{language}')")
            texts = messages(language)
            zone = texts["refused.unknown_zone"].replace("{zone}", "Nowhere")
            browser.open(f"{base}/inventory/{site}")
            browser.wait_for("document.querySelector('[name=road]') !== null")
            browser.type("[name=time_zone]", "Nowhere")
            browser.click("button.first")
            told = f"{texts['city.time_zone']}: {zone}"
            browser.wait_for(f"document.querySelector('.refused')?.textContent === {told!r}")
            # As somebody who leaves the edit: the browser would ask.
            browser.run("import('/page/edits.js').then((edits) => { edits.edited(false); window.left = true; })")
            browser.wait_for("window.left === true")
            browser.open(f"{base}/inventory")
            browser.wait_for("document.getElementById('file') !== null")
            browser.choose("#file", file)
            row = texts["refused.in_row"].replace("{row}", "2")
            lines = [f"{row}: {texts['city.time_zone']}: {zone}"]
            lines.append(f"{row}: {texts['city.lanes']}: {texts['refused.no_whole_number']}")
            joined = "\n".join(lines)
            browser.wait_for(f"document.querySelector('.refused')?.textContent === {joined!r}")
        assert browser.errors == []
    finally:
        browser.close()


def test_a_view_of_what_is_not_there_says_so(address: tuple[str, str], tmp_path: Path) -> None:
    base, _ = address
    browser = Browser(tmp_path / "profile", 390, 844, touch=True)
    heading = "document.querySelector('h1')?.textContent"
    try:
        for path, key in (
            ("/street/nowhere", "no_site"),
            ("/inventory/nowhere", "no_site"),
            ("/device/no/where", "no_device"),
            ("/device/no/where/lines", "no_device"),
            ("/rollouts/77", "no_rollout"),
        ):
            browser.open(base + path)
            browser.wait_for(f"{heading} === {messages('en')['refused.' + key]!r}")
            assert browser.run("document.getElementById('lost').hidden") is True, path
            assert AXE is None or violations(browser) == [], path
        browser.click("#view a")
        browser.wait_for(f"{heading} === {messages('en')['city.title']!r}")
        assert browser.errors == []
    finally:
        browser.close()


def test_a_broker_that_is_away_is_told_beside_what_was_true_before(tmp_path: Path) -> None:
    database, broker = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}"), ["connection refused"]
    city = City(database, Live(), broker=lambda: broker[0])
    browser = Browser(tmp_path / "profile", 390, 844)
    hidden = "document.getElementById('unheard')?.hidden"
    try:
        with Server(build_api(city), "127.0.0.1", 0) as server:
            browser.open(f"http://127.0.0.1:{server.port}/fleet")
            browser.wait_for(f"{hidden} === false")
            told = browser.run("document.getElementById('unheard').textContent")
            assert told == messages("en")["city.broker_away"]
            assert AXE is None or violations(browser) == []
            broker[0] = ""
            browser.open(f"http://127.0.0.1:{server.port}/fleet?trouble=true")
            browser.wait_for("document.querySelector('h1') !== null")
            browser.wait_for(
                f"{hidden} && performance.getEntriesByType('resource').some((one) => one.name.endsWith('/health'))"
            )
            assert browser.errors == []
    finally:
        browser.close()
        database.close()
