"""The map in a real browser: hundreds of sites in groups, the city's tiles, search, and traffic as it comes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from edge_app.city.api import build_api
from edge_app.city.database.engine import open_database
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import ATTACHMENT, SITE
from edge_app.city.live import Live
from edge_app.city.records import Interval, LineName
from edge_app.city.routes.city import City
from edge_app.city.tiles import Tiles, read_tiles
from edge_app.http.server import Server
from tests.city.cases import changed, series, vector
from tests.support.browser import CHROMIUM, Browser
from tests.support.city_crowd import CENTRE, fill
from tests.support.local_page import AXE, violations
from tests.support.paths import ROOT
from tests.support.tiles import picture_file, vector_file

LIBRARY = ROOT / "edge_app/city/page/libraries/supercluster.min.js"
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
    pytest.mark.skipif(not LIBRARY.is_file(), reason="needs the page's libraries (npm and deploy/page_libraries.py)"),
]
SITES = 300
NOW = 1_795_000_020  # a whole minute
IN_GROUPS = "[...document.querySelectorAll('.group .many')].reduce((sum, one) => sum + Number(one.textContent), 0)"
PINS = "document.querySelectorAll('.pin .site').length"
DRAWN = "performance.getEntriesByName('map').length"


@dataclass(frozen=True)
class Crowd:
    """A city of SITES sites that is served without and with tiles. plain, drawn, painted: addresses of its pages."""

    plain: str
    drawn: str
    painted: str
    live: Live


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, empty_file: Path) -> Iterator[Crowd]:
    folder = tmp_path_factory.mktemp("crowd")
    database = open_database(f"sqlite:///{shutil.copy(empty_file, folder / 'city.sqlite3')}")
    fill(database, SITES, NOW, days=2, quarter_days=1)
    with database.begin() as connection:  # two lines of one device
        for number in (251, 252):
            here = update(SITE).where(SITE.c.id == f"site-{number:05}")
            connection.execute(here.values(road="Twin Bridge", lat=CENTRE[0], lon=CENTRE[1]))
        connection.execute(update(ATTACHMENT).where(ATTACHMENT.c.site_id == "site-00101").values(turned=True))
        Storing().store(
            connection,
            [changed(one, end=one.end - 60, start=one.start - 60) for one in told(51, 4, minutes=5)],
            float(NOW),
        )
    live = Live()
    with ExitStack() as stack:
        stack.callback(database.close)

        def served(tiles: Tiles | None) -> str:
            server = stack.enter_context(
                Server(build_api(City(database, live, tiles=tiles, utc=lambda: float(NOW))), "127.0.0.1", 0)
            )
            return f"http://127.0.0.1:{server.port}"

        drawn = served(read_tiles(vector_file(folder / "v.pmtiles", CENTRE)))
        painted = served(read_tiles(picture_file(folder / "p.pmtiles", CENTRE)))
        yield Crowd(served(None), drawn, painted, live)
        live.end()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    made = Browser(tmp_path, 1280, 900)
    yield made
    made.close()


def told(number: int, vehicles: int, minutes: int = 3) -> list[Interval]:
    """Return the last minutes of one site of the crowd, all of them from left to right."""
    name = LineName(f"district-{number % 20}", f"pole-{number}", "main")
    start = NOW - minutes * 60
    return [changed(one, counts=vector(vehicles)) for one in series(minutes, name=name, start=start)]


@pytest.mark.skipif(not AXE, reason="needs axe-core (deploy/prepare.sh test fetches it where npm is)")
@pytest.mark.parametrize(("size", "theme"), [((390, 844), "dark"), ((1280, 900), "light")], ids=["phone", "desktop"])
def test_people_of_all_kinds_can_use_groups_and_tiles(
    crowd: Crowd, tmp_path: Path, size: tuple[int, int], theme: str
) -> None:
    browser = Browser(tmp_path, *size, touch=size[0] < 500)
    try:
        browser.prefer_theme(theme)
        for address in (crowd.plain, crowd.drawn):
            browser.open(address)
            browser.wait_for(f"{DRAWN} && document.querySelectorAll('.group').length > 2")
            if address == crowd.drawn:
                browser.wait_for("document.querySelector('.credits') !== null")
            assert violations(browser) == []
            assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0
        assert browser.errors == []
    finally:
        browser.close()


def test_groups_hold_every_site_and_open_by_the_keyboard(crowd: Crowd, browser: Browser) -> None:
    browser.open(crowd.plain)
    browser.wait_for(DRAWN)
    assert browser.run(f"{IN_GROUPS} + {PINS}") == SITES
    before = browser.run(IN_GROUPS)
    label = browser.run("document.querySelector('.group .unseen').textContent")
    assert label.split(" sites: ")[0].isdecimal()
    assert "counting" in label
    for _ in range(12):
        if browser.run("document.activeElement.matches('.site')"):
            break
        browser.run(
            "(document.activeElement.matches('.group') ? document.activeElement : "
            "document.querySelector('.group')).focus()"
        )
        browser.run("window.opened = document.activeElement")
        browser.press("Enter")
        browser.wait_for("window.opened !== document.activeElement && document.activeElement.closest('#map')")
    assert browser.run("document.activeElement.matches('.site')"), "no group opens down to a site"
    assert browser.run(IN_GROUPS) < before
    browser.run("document.activeElement.click()")
    browser.wait_for("location.pathname.startsWith('/street/site-')")
    assert browser.errors == []


def test_sites_at_the_very_same_place_can_each_be_reached(crowd: Crowd, browser: Browser) -> None:
    browser.open(crowd.plain)
    browser.wait_for(DRAWN)
    browser.type("#search", "twin bridge")
    browser.wait_for("document.querySelector('.group .many')?.textContent === '2'")
    browser.click(".group")
    browser.wait_for(f"{PINS} === 2")
    hit = """
        [...document.querySelectorAll('.pin .site')].map(pin => {
          const box = pin.getBoundingClientRect();
          return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2) === pin;
        })
    """
    browser.wait_for(f"({hit}).every(Boolean)")
    assert browser.errors == []


def test_search_and_states_choose_what_is_on_the_map_and_in_the_list(crowd: Crowd, browser: Browser) -> None:
    browser.open(crowd.plain)
    browser.wait_for(DRAWN)
    assert browser.run("document.querySelectorAll('.list li').length") == 100
    assert browser.run("document.querySelector('.list + p').textContent").startswith(f"{SITES - 100} more")
    browser.type("#search", "QUÀY road")
    wanted = browser.wait_for("(many => many < 100 && many)(document.querySelectorAll('.list li').length)")
    assert wanted == SITES / 50
    assert browser.run(f"{IN_GROUPS} + {PINS}") == wanted
    browser.run("document.getElementById('search').focus()")
    for key, road in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0)):
        browser.press(key)
        assert browser.run("[...document.querySelectorAll('.list a')].indexOf(document.activeElement)") == road
    browser.type("#search", "")
    browser.wait_for("document.querySelectorAll('.list li').length === 100")
    browser.run("document.querySelector('.states .offline').focus()")
    browser.press("Enter")
    offline = int(browser.run("document.querySelector('.states .offline').textContent").split(": ")[1])
    assert 0 < offline < 100
    assert browser.run("document.querySelectorAll('.list .state.offline').length") == offline
    assert browser.run(f"{IN_GROUPS} + {PINS}") == offline
    assert browser.run("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert browser.errors == []


def test_what_comes_live_changes_its_own_row_and_pin_alone(crowd: Crowd, browser: Browser) -> None:
    browser.open(crowd.plain)
    browser.wait_for(DRAWN)
    browser.type("#search", "Mill Road 2")  # site 51
    browser.wait_for("document.querySelector('.list .road')?.textContent === 'Mill Road 2'")
    assert browser.run("[...document.querySelectorAll('.list .way')].map(w => w.lastChild.textContent)") == ["240", "0"]
    crowd.live.tell(told(51, 10, minutes=1))  # in place of the oldest of the five minutes before
    browser.wait_for("document.querySelector('.list .way').lastChild.textContent === '312'")
    browser.type("#search", "Quay Road 3")  # site 100
    browser.wait_for(f"document.querySelectorAll('.list li').length === 1 && {PINS} === 1")
    browser.run("document.querySelector('.list li').kept = true; document.querySelector('.pin .site').kept = true")
    for number in (100, 101):
        crowd.live.tell(told(number, 5))
    browser.wait_for("document.querySelectorAll('.list .way').length === 2")
    assert browser.run("[...document.querySelectorAll('.list .way')].map(w => w.lastChild.textContent)") == ["300", "0"]
    browser.wait_for("document.querySelectorAll('.pin .way').length === 2")
    label = browser.run("document.querySelector('.pin .site .unseen').textContent")
    assert "into town: 300 per hour, out of town: 0 per hour" in label
    assert browser.run("document.querySelector('.list li').kept && document.querySelector('.pin .site').kept")
    browser.type("#search", "Mill Road 3")  # site 101, whose line is turned there
    browser.wait_for("document.querySelector('.list .road')?.textContent === 'Mill Road 3'")
    assert browser.run("[...document.querySelectorAll('.list .way')].map(w => w.lastChild.textContent)") == ["0", "300"]
    browser.type("#search", "Quay Road")
    browser.wait_for("document.querySelectorAll('.list .way').length === 2")  # it is known still
    assert browser.errors == []


@pytest.mark.parametrize("kind", ["drawn", "painted"])
def test_the_citys_tiles_are_drawn_from_its_file_alone(crowd: Crowd, browser: Browser, kind: str) -> None:
    address = getattr(crowd, kind)
    colour = {"drawn": [188, 215, 234], "painted": [0, 120, 60]}[kind]  # water; the one colour of the pictures
    browser.open(address)
    pixels = f"""
        [...document.querySelectorAll('.leaflet-tile-pane canvas')].some(one => {{
          const all = one.getContext('2d').getImageData(0, 0, one.width, one.height).data;
          for (let at = 0; at < all.length; at += 4)
            if (all[at] === {colour[0]} && all[at + 1] === {colour[1]} && all[at + 2] === {colour[2]}) return true;
          return false;
        }})
    """
    browser.wait_for(pixels)
    assert browser.run("document.querySelector('.credits').textContent").strip() == "© The City & others"
    assert browser.run("document.querySelector('.credits a').href") == "https://example.org/map"
    assert browser.run("document.querySelectorAll('.credits img').length") == 0
    asked = browser.run("performance.getEntriesByType('resource').map(one => one.name)")
    assert all(one.startswith(address) for one in asked)
    assert browser.errors == []


def test_the_first_picture_needs_few_requests_and_bytes(crowd: Crowd, browser: Browser) -> None:
    browser.open(crowd.plain)
    browser.wait_for(DRAWN)
    sizes = browser.run("performance.getEntriesByType('resource').map(one => one.transferSize)")
    assert len(sizes) <= 22
    assert sum(sizes) < 110_000
    assert not any(
        "uplot.min" in one for one in browser.run("performance.getEntriesByType('resource').map(r => r.name)")
    )
