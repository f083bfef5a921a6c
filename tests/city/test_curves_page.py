"""Curves of the page in a real browser: days on which clocks are changed, and devices with long intervals."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import pytest

from edge_app.city.api import build_api
from edge_app.city.database.engine import open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from edge_app.web.languages import messages
from tests.city.test_clock_changes import BERLIN, fill_day, local, make_street
from tests.city.test_storing import roll
from tests.support.browser import CHROMIUM, Browser
from tests.support.paths import ROOT

LIBRARIES = ROOT / "edge_app/city/page/libraries/supercluster.min.js"
pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium (apt install chromium)"),
    pytest.mark.skipif(not LIBRARIES.is_file(), reason="needs the page's libraries (npm and deploy/page_libraries.py)"),
]
QUARTER_S: Final = 900
SHOWN: Final = """
    (() => {
      const over = document.querySelector('.chart .u-over');
      const box = over.getBoundingClientRect();
      over.dispatchEvent(new MouseEvent('mouseenter'));
      over.dispatchEvent(new MouseEvent('mousemove', { clientX: box.left + box.width * PART, clientY: box.top + 20 }));
      return [...document.querySelectorAll('.chart .u-value')].map((one) => one.textContent);
    })()
"""
"""Script that puts the cursor on a part of the chart: what the legend tells then."""


def newest_change(hours: int) -> str:
    """Return the newest Sunday before today on which a day in Berlin has so many hours."""
    day = datetime.now(BERLIN).replace(hour=12) - timedelta(days=1)
    while True:
        name = day.date().isoformat()
        if local((day + timedelta(days=1)).date().isoformat()) - local(name) == hours * 3600:
            return name
        day -= timedelta(days=1)


def show_day(browser: Browser, base: str, site: str, day: str) -> None:
    browser.open(f"{base}/street/{site}")
    browser.wait_for("document.querySelector('.u-legend') !== null")
    date = "document.querySelector('input[type=date]')"
    browser.run(f"(() => {{ {date}.value = {day!r}; {date}.dispatchEvent(new Event('change')); }})()")
    browser.wait_for(f"!document.querySelector('.tiles').textContent.startsWith({messages('en')['city.today']!r})")


def told_at(browser: Browser, second: int, length: int) -> list[str]:
    """Return what the legend tells of the quarter that begins so long after the begin of a day of this length, s."""
    script = SHOWN.replace("PART", str(second / (length - QUARTER_S)))
    browser.run(script)
    values: list[str] = browser.wait_for(f"((told) => (told[0].includes(':') ? told : null))({script})")
    return values


@pytest.mark.parametrize("hours", [23, 25])
def test_a_day_of_a_clock_change_is_beside_the_usual_of_the_same_local_time(tmp_path: Path, hours: int) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    day = newest_change(hours)
    begin = make_street(database, day)
    fill_day(database, begin)
    roll(database)
    browser = Browser(tmp_path / "profile", 1280, 900)
    try:
        with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
            show_day(browser, f"http://127.0.0.1:{server.port}", "quay", day)
            choice = "document.querySelector('.card select')"
            browser.run(f"(() => {{ {choice}.value = '/week'; {choice}.dispatchEvent(new Event('change')); }})()")
            browser.wait_for("document.querySelectorAll('.chart .u-series').length === 5")
            for clock, many in (("10:30", "60"), ("11:15", "315"), ("11:45", "315"), ("12:15", "60")):
                time, usual, _, shown, before = told_at(browser, local(day, clock) - begin, hours * 3600)
                assert (time, usual, shown, before) == (clock, many, many, many)
        assert browser.errors == []
    finally:
        browser.close()
        database.close()


@pytest.mark.parametrize("hours", [23, 25])
def test_the_public_page_has_a_true_axis_where_clocks_are_changed(tmp_path: Path, hours: int) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    day = {23: "2026-03-29", 25: "2026-10-25"}[hours]
    begin = make_street(database, day)
    fill_day(database, begin, local(day, "13:00"))
    roll(database)
    browser = Browser(tmp_path / "profile", 1280, 900)
    try:
        with Server(
            build_api(City(database, Live(), utc=lambda: float(local(day, "13:00")))), "127.0.0.1", 0
        ) as server:
            browser.open(f"http://127.0.0.1:{server.port}/public/quay")
            browser.wait_for("document.querySelector('article .usual') !== null")
            marks = "[...document.querySelectorAll('.day text')].map((one) => Number(one.getAttribute('x')))"
            expected = [480 * (local(day, f"{hour:02}:00") - begin) / (hours * 3600) for hour in (0, 6, 12, 18)]
            assert browser.run(marks) == pytest.approx(expected)
            words = browser.run("document.querySelector('article').innerText")
            assert messages("en")["public.as_usual"] in words
            assert "about 11:00" in words
            assert "1,260 an hour" in words
            # The peak of both curves, which have no gap, is at the same place.
            peak = """
                ['usual', 'today'].map((name) => {
                  const path = document.querySelector(`.day .${name}`);
                  const d = path.getAttribute('d');
                  const points = [...d.matchAll(/[ML]([-.0-9]+),([-.0-9]+)/g)].map((one) => one.slice(1).map(Number));
                  const top = Math.min(...points.map(([, y]) => y));
                  const xs = points.filter(([, y]) => y === top).map(([x]) => x);
                  return [d.split('M').length - 1, Math.round(xs[0]), Math.round(xs.at(-1))];
                })
            """
            wide = 480 * 900 / (hours * 3600)
            first, last = (480 * (local(day, clock) - begin) / (hours * 3600) for clock in ("11:00", "12:00"))
            assert browser.run(peak) == [
                [1, round(first), round(last)],
                [1, round(first + wide / 2), round(last - wide / 2)],
            ]
        assert browser.errors == []
    finally:
        browser.close()
        database.close()


HEAT: Final = """
    import('/page/heat.js').then(({ heatMap }) => {
      const told = heatMap(HOURS, 'Europe/Berlin', 1, NOW, []);
      document.body.append(told);
      const all = [...told.querySelectorAll('rect > title')].map((one) => one.textContent);
      return all.filter((one) => one.startsWith('DAY'));
    })
"""


@pytest.mark.parametrize(
    ("day", "cells", "third"),
    [
        ("2026-03-29", 23, None),
        ("2026-10-25", 24, "2026-10-25, 2:00: 150 an hour, 75 % seen"),
        ("2026-10-24", 24, "2026-10-24, 2:00: 100 an hour, 100 % seen"),
    ],
)
def test_the_heat_map_adds_an_hour_up_that_is_there_twice_and_leaves_out_one_that_is_not(
    tmp_path: Path, day: str, cells: int, third: str | None
) -> None:
    """The first of two hours has 100 vehicles, the second 125 in the half that was seen: 225 in an hour and a half."""
    begin = local(day)
    end = local((datetime.fromisoformat(day) + timedelta(days=1)).date().isoformat())
    starts = list(range(begin, end, 3600))
    second = local(day, "02:00", fold=1) if end - begin > 86_400 else None
    hours = {
        "start": datetime.fromtimestamp(begin, timezone.utc).isoformat(),
        "seconds": [start - begin for start in starts],
        "vehicles": [125 if start == second else 100 for start in starts],
        "covered": [0.5 if start == second else 1.0 for start in starts],
        "seen_s": [1800.0 if start == second else 3600.0 for start in starts],
    }
    database = open_database(f"sqlite:///{tmp_path / 'city.sqlite3'}")
    browser = Browser(tmp_path / "profile", 1280, 900)
    script = HEAT.replace("HOURS", json.dumps(hours)).replace("NOW", str(end + 5 * 3600)).replace("DAY", day)
    try:
        with Server(build_api(City(database, Live())), "127.0.0.1", 0) as server:
            browser.open(f"http://127.0.0.1:{server.port}/")
            browser.wait_for("document.querySelector('h1') !== null")
            told = browser.run(script)
        assert len(told) == cells
        assert [one for one in told if ", 2:00" in one] == ([third] if third else [])
        assert browser.errors == []
    finally:
        browser.close()
        database.close()
