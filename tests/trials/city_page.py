"""Measure the city's page with a thousand sites and a year: `python -m tests.trials.city_page --database sqlite`.

A database of its own is filled by SQL: hours and days of a year of every site, quarters of eight days. Then Chromium
opens the page on loopback, a new one each time: with an empty cache, and idle before. Told: the time from the begin of
the navigation until the map shows all sites, requests and bytes of that, and how long the answers take that it waits
for; medians, and the least. On a busy machine take the processor times: of the program, which runs in this process
together with what asks, and of all processes of the browser.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import httpx

from edge_app.city.api import build_api
from edge_app.city.database.engine import Database, open_database
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.http.server import Server
from tests.support.browser import CHROMIUM, Browser
from tests.support.city_crowd import fill
from tests.support.postgres import postgres

_IDLE_S: Final = 0.02
_SITE: Final = "/api/v1/sites/site-00007"
_SEEN: Final = "performance.getEntriesByName({name!r})[0]?.startTime ?? 0"
_LOADED: Final = """
(() => {
  const all = [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')];
  return [all.length, all.reduce((sum, one) => sum + one.transferSize, 0)];
})()
"""
_CHOOSE_YEAR: Final = """
(() => {
  const choice = document.querySelector('.heat-span');
  choice.value = 'year';
  choice.dispatchEvent(new Event('change'));
})()
"""


@contextmanager
def filled(kind: str, sites: int, days: int) -> Iterator[Database]:
    """Yield a database with a city, PostgreSQL or SQLite."""
    with ExitStack() as stack:
        if kind == "postgresql":
            url = stack.enter_context(postgres()).url
        else:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/city.sqlite3"
        database = open_database(url)
        stack.callback(database.close)
        began = time.monotonic()
        fill(database, sites, int(time.time()), days=days)
        print(f"{kind}: {sites:,} sites, {days} days, filled in {time.monotonic() - began:.0f} s", flush=True)
        yield database


def repeated(what: str, runs: int, once: Callable[[], tuple[float, str]]) -> None:
    """Do something some times and tell how long it took, s, and the processor time of this process."""
    took, used, more = list[float](), list[float](), ""
    for _ in range(runs):
        before = time.process_time()
        seconds, more = once()
        took.append(seconds)
        used.append(time.process_time() - before)
    wall, cpu = (f"{statistics.median(values) * 1e3:.0f} ms ({min(values) * 1e3:.0f})" for values in (took, used))
    print(f"{what:<34} {wall:>18}  processor {cpu:>16}  {more}", flush=True)


def answered(client: httpx.Client, path: str) -> tuple[float, str]:
    """Ask once; return how long it took, s, and the size of the answer."""
    began = time.perf_counter()
    answer = client.get(path)
    took = time.perf_counter() - began
    answer.raise_for_status()
    return took, f"{len(answer.content) / 1e3:.0f} kB, {int(answer.headers['content-length']) / 1e3:.0f} kB compressed"


def opened(base: str, path: str, name: str, then: str = "") -> tuple[float, str]:
    """Open a page with an empty cache; return when its mark was set, s. then: is run first, and counted from."""
    assert CHROMIUM
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(Path(folder), 1280, 900)
        try:
            _settle(browser)
            used = browser.processor_s
            browser.open(base + path)
            asked = 0.0
            if then:
                browser.wait_for("document.querySelector('.heat-span') !== null")
                time.sleep(1.0)
                asked = float(browser.run("performance.now()"))
                used = browser.processor_s
                browser.run(then)
            at = float(browser.wait_for(_SEEN.format(name=name))) - asked
            used = browser.processor_s - used
            requests, size = browser.run(_LOADED)
        finally:
            browser.close()
    return at / 1e3, f"browser {used * 1e3:.0f} ms, {requests} requests, {size / 1e3:.0f} kB"


def _settle(browser: Browser) -> None:
    """Wait until a browser that has just started is idle, as that of a person is, at most ten seconds."""
    for _ in range(20):
        before = browser.processor_s
        time.sleep(0.5)
        if browser.processor_s - before < _IDLE_S:
            return


def main() -> None:
    """Fill, serve and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    now = datetime.now(timezone.utc).replace(microsecond=0)
    begin, end = (at.isoformat().replace("+00:00", "Z") for at in (now - timedelta(days=given.days), now))
    live = Live()
    with (
        filled(given.database, given.sites, given.days) as database,
        Server(build_api(City(database, live)), "127.0.0.1", 0) as server,
        httpx.Client(timeout=60) as client,
    ):
        base = f"http://127.0.0.1:{server.port}"
        hours = f"{base}{_SITE}/hours?from={begin}&to={end}"
        repeated("map with all sites", given.runs, lambda: opened(base, "/", "map"))
        repeated("answer: all sites", given.runs, lambda: answered(client, f"{base}/api/v1/sites?limit=10000"))
        repeated("answer: hours of a year", given.runs, lambda: answered(client, hours))
        street = "/street/site-00007"
        repeated("heat map of a year, once chosen", given.runs, lambda: opened(base, street, "year", _CHOOSE_YEAR))
        live.end()


if __name__ == "__main__":
    main()
