"""Run the example consumer of the documents as a child process that may be killed, and read what it has stored."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from edge_app.mqtt.embedded_broker import HOST
from edge_app.records import Counts
from tests.support.paths import ROOT

_FOR_EVER = "1e9"


class Consumer:
    """docs/examples/consumer.py, alone with its documents, in a folder of its own.

    tls: files of authority, certificate and key; none for a broker without TLS.
    """

    def __init__(self, folder: Path, port: int, tls: Sequence[Path] = ()) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._port, self._tls = folder, port, tls
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        database = self._folder / "city.sqlite3"
        script = (sys.executable, str(ROOT / "docs/examples/consumer.py"), HOST, str(self._port), str(database))
        tls = (_FOR_EVER, *map(str, self._tls)) if self._tls else ()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen((*script, *tls), stdout=log, stderr=log)

    def kill(self) -> None:
        """Send SIGKILL, when it runs."""
        process, self._process = self._process, None
        if process is not None:
            assert process.poll() is None, self.said
            process.kill()
            process.wait()

    close = kill

    @property
    def _log(self) -> Path:
        return self._folder / "consumer.log"

    @property
    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def lines(self, beginning: str) -> list[str]:
        """Return what it has printed with this beginning: "conflict", "lost", "set aside"."""
        return re.findall(rf"(?m)^{beginning}.*$", self.said)

    @property
    def intervals(self) -> list[dict[str, Any]]:
        """Decoded intervals that it has stored, in order of installation, line and number."""
        return self._stored("ORDER BY installation, line, seq")

    @property
    def arrived(self) -> list[dict[str, Any]]:
        """Those that it has not set aside, in the order in which they were received."""
        return self._stored("WHERE NOT aside ORDER BY received")

    def _stored(self, chosen: str) -> list[dict[str, Any]]:
        path = self._folder / "city.sqlite3"
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30.0)) as db:
            try:
                rows = db.execute(f"SELECT payload FROM interval {chosen}").fetchall()
            except sqlite3.OperationalError:  # it has not made its tables yet
                return []
        return [json.loads(payload) for (payload,) in rows]

    @property
    def series(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """Stored intervals by installation and line, in order of number."""
        by: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for interval in self.intervals:
            by[interval["installation"], interval["line"]].append(interval)
        return by


def missing(series: Sequence[dict[str, Any]]) -> int:
    """Return how many numbers from 1 to the newest one of a line are not there."""
    numbers = {int(interval["seq"]) for interval in series}
    return max(numbers) - len(numbers)


def wrong_totals(series: Sequence[dict[str, Any]]) -> int:
    """Return how many intervals of a line have `totals` that are not the running sums of `counts`."""
    sums: Counter[tuple[str, str]] = Counter()
    wrong = 0
    for interval in series:
        sums.update(by_class(interval["counts"]))
        wrong += +sums != by_class(interval["totals"])
    return wrong


def by_class(counts: Counts) -> Counter[tuple[str, str]]:
    """Return the counts of a message by class and direction, without zeros."""
    return Counter({(label, way): n for label, ways in counts.items() for way, n in ways.items() if n})


def by_the_rule(arrived: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the intervals of one line that count, of those that arrived in this order, as the documents have it.

    Of two installations that overlap in time the interval without `clock_stepped` counts, else the later one.
    """
    order = {installation: n for n, installation in enumerate(dict.fromkeys(i["installation"] for i in arrived))}

    def rank(interval: dict[str, Any]) -> tuple[bool, int]:
        return "clock_stepped" not in interval["quality"], order[interval["installation"]]

    return [
        interval
        for interval in arrived
        if all(
            rank(interval) >= rank(other)
            for other in arrived
            if other["start"] < interval["end"] and interval["start"] < other["end"]
        )
    ]
