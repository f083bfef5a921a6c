"""Read the closed intervals that the state folder keeps, without making the service wait: for the local page.

Delivered ones are in the archive, the others in the outbox. The archive has no index by time, and needs none: its rows
have rising numbers and a rising running time, which is never more than the time that has gone by.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from edge_app.records import Counts, Sums
from edge_app.storage.sqlite import Reader

_AT_ONCE: Final = 500
"""Rows read in one go: a long read would keep the service's log from being written back to the file."""
_PAST_THE_END: Final = 300
"""Intervals in a row after the wanted time at which reading ends: they are delivered nearly in the order of time."""


@dataclass(frozen=True, slots=True)
class PastInterval:
    """Counts of one line in one closed interval.

    start, end: UTC s. counts: class -> direction -> n. coverage: 0..1. quality: its flags. speed: class -> direction ->
    sums, as in the message; empty where none is measured.
    """

    installation: str
    line: str
    start: float
    end: float
    counts: Counts
    coverage: float
    quality: tuple[str, ...]
    speed: Sums = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenCrossing:
    """Crossing in an interval that is not over yet. at: UTC s. direction: one of DIRECTIONS."""

    at: float
    line: str
    label: str
    direction: str


class PastIntervals:
    """Closed intervals in a state folder, and the crossings of the open ones. For one thread at a time.

    Every method raises StoreError: when the file cannot be read. Without a file there are no intervals.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file_id: tuple[int, int] | None = None
        self._archived = self._queued = -1
        self._ahead: set[tuple[str, str, int]] = set()

    def new(self, since: float, now: float) -> tuple[bool, Iterator[PastInterval]]:
        """Return the intervals since the call before, and whether all of them are returned anew.

        since: UTC s from which on the first call, and the one after the file was replaced, return them; some older
        ones come too. now: the present time, UTC s.
        """
        reader = Reader.open(self._folder)
        if reader is None:
            anew, self._file_id = self._file_id is not None, None
            return anew, iter(())
        anew = reader.file_id != self._file_id
        if anew:
            self._file_id, self._queued, self._ahead = reader.file_id, -1, set()
            self._archived = _first_number(reader, now - since) - 1
        return anew, self._read_new(reader)

    def between(self, start: float, end: float, now: float) -> list[PastInterval]:
        """Return the intervals that begin within this time, UTC s, in the order of delivery."""
        reader = Reader.open(self._folder)
        if reader is None:
            return []
        with reader:
            # The outbox first: what is delivered in between is then found twice, and not missed.
            waiting = {key: interval for _, key, interval in _waiting(reader, -1) if start <= interval.start < end}
            found: dict[tuple[str, str, int], PastInterval] = {}
            beyond = 0
            for _, key, interval in _archived(reader, _first_number(reader, now - start) - 1):
                if start <= interval.start < end:
                    found[key] = interval
                beyond = beyond + 1 if interval.start >= end else 0
                if beyond > _PAST_THE_END:
                    break
        return list((found | waiting).values())

    def open_crossings(self) -> list[OpenCrossing]:
        """Return the crossings of the intervals that are not over yet."""
        reader = Reader.open(self._folder)
        if reader is None:
            return []
        with reader:
            rows = reader.rows("SELECT at, line, label, direction FROM crossing")
        return [OpenCrossing(*row) for row in rows]

    def _read_new(self, reader: Reader) -> Iterator[PastInterval]:
        with reader:  # the outbox first, as in `between`
            for number, key, interval in _waiting(reader, self._queued):
                self._queued = number
                self._ahead.add(key)
                yield interval
            for number, key, interval in _archived(reader, self._archived):
                self._archived = number
                if key in self._ahead:
                    self._ahead.discard(key)
                else:
                    yield interval


def _first_number(reader: Reader, ago_s: float) -> int:
    """Return the number of the first row of the archive that was delivered at most `ago_s` of running time ago."""
    (low, high, running) = reader.rows(
        "SELECT coalesce(min(number), 0), coalesce(max(number), -1) + 1,"
        " (SELECT value FROM about WHERE name = 'running_s') FROM archive"
    )[0]
    while low < high:
        middle = (low + high) // 2
        number, at = reader.rows("SELECT number, running_s FROM archive WHERE number >= ? LIMIT 1", middle)[0]
        if at < running - ago_s:
            low = number + 1
        else:
            high = middle
    return int(low)


def _archived(reader: Reader, after: int) -> Iterator[tuple[int, tuple[str, str, int], PastInterval]]:
    sql = "SELECT number, installation, line, seq, payload FROM archive WHERE number > ? ORDER BY number LIMIT ?"
    yield from _intervals(reader, sql, after)


def _waiting(reader: Reader, after: int) -> Iterator[tuple[int, tuple[str, str, int], PastInterval]]:
    sql = (
        "SELECT o.key, w.installation, w.line, w.seq, CAST(o.payload AS BLOB) FROM outbox o"
        " JOIN waiting w ON w.key = o.key WHERE o.key > ? ORDER BY o.key LIMIT ?"
    )
    yield from _intervals(reader, sql, after)


def _intervals(reader: Reader, sql: str, after: int) -> Iterator[tuple[int, tuple[str, str, int], PastInterval]]:
    """Yield number, key and content of the rows with a number above `after`; a damaged one is left out."""
    while rows := reader.rows(sql, after, _AT_ONCE):
        for number, installation, line, seq, payload in rows:
            interval = _parsed(installation, line, payload)
            if interval is not None:
                yield number, (installation, line, seq), interval
        after = rows[-1][0]


def _parsed(installation: str, line: str, payload: bytes) -> PastInterval | None:
    try:
        data: Any = json.loads(payload if payload[:1] == b"{" else zlib.decompress(payload))
        start, end = (datetime.fromisoformat(data[key].replace("Z", "+00:00")).timestamp() for key in ("start", "end"))
        return PastInterval(
            installation,
            line,
            start,
            end,
            data["counts"],
            float(data["coverage"]),
            tuple(data["quality"]),
            data.get("speed", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error):
        return None
