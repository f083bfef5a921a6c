"""Keep what candidates have counted beside the detectors in service, by hour, and read it as pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, and_, or_, select

from edge_app.city.database.engine import put
from edge_app.city.database.tables import COMPARED
from edge_app.mqtt.count_messages import DirectionCounts, ShadowMessage
from edge_app.records import VEHICLES

HOUR_S: Final = 3600
_MOST: Final = 2**31 - 1
"""What the column holds; no street has so many."""
KEPT_S: Final = 90 * 86_400
"""A comparison is of use for as long as its roll-out lasts."""
_KEY: Final = tuple(column.name for column in COMPARED.primary_key)
_Row: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[dict[str, float], dict[str, float]]
"""Vehicles by class, as the candidate and as the detector of before have counted them over the same frames."""


def note_compared(connection: Connection, messages: Iterable[ShadowMessage]) -> None:
    """Add intervals to the hours in which they begin.

    Numbers rise on their line: what is not above the newest of its hour is what a broker gives again, and adds nothing.
    """
    by_key: dict[tuple[Any, ...], list[ShadowMessage]] = {}
    for message in messages:
        by_key.setdefault(_key(message), []).append(message)
    if not by_key:
        return
    rows = {tuple(row[name] for name in _KEY): row for row in _known(connection, by_key)}
    for key, found in by_key.items():
        row = rows.setdefault(key, _empty(key))
        for message in sorted(found, key=lambda one: one.seq):
            if message.seq > row["newest"]:
                _add(row, "beside", message.counts)
                _add(row, "used", message.in_service.counts)
                row["newest"] = message.seq
    put(connection, COMPARED, [rows[key] for key in sorted(by_key)])


def forget_compared(connection: Connection, before: int) -> None:
    """Remove the hours that began before a time, UTC s."""
    connection.execute(COMPARED.delete().where(COMPARED.c.start < before))


def read_pairs(
    connection: Connection, candidate: str, devices: Mapping[str, str], since: int, until: int
) -> dict[tuple[int, str], Pair]:
    """Return the pairs of a candidate: hour, UTC s, and device -> what both have counted; all lines together.

    candidate: first 12 digits of its SHA-256. devices: site/device -> the same of its detector of before. since, until:
    the hours that begin in between. The candidate may have counted beside the other one, or in service.
    """
    formers = sorted(set(devices.values()))
    either = or_(COMPARED.c.model == candidate, and_(COMPARED.c.model.in_(formers), COMPARED.c.in_service == candidate))
    within = and_(COMPARED.c.start >= since, COMPARED.c.start < until)
    pairs: dict[tuple[int, str], Pair] = {}
    for row in connection.execute(select(COMPARED).where(either, within)).mappings():
        name = f"{row['topic_site']}/{row['device']}"
        beside = row["model"] == candidate
        if devices.get(name) != (row["in_service"] if beside else row["model"]):
            continue
        pair = pairs.setdefault((row["start"], name), ({}, {}))
        for sums, column in zip(pair, ("beside", "used") if beside else ("used", "beside"), strict=True):
            for kind in VEHICLES:
                sums[kind] = sums.get(kind, 0.0) + row[f"{column}_{kind}"]
    return pairs


def _key(message: ShadowMessage) -> tuple[Any, ...]:
    start = int(message.start.timestamp()) // HOUR_S * HOUR_S
    of_line = message.site, message.device, message.line, message.installation
    return message.model, message.in_service.model, *of_line, start


def _known(connection: Connection, keys: Collection[tuple[Any, ...]]) -> Iterable[_Row]:
    """Return the rows of these keys that are there."""
    same = or_(*(and_(*(COMPARED.c[name] == value for name, value in zip(_KEY, key, strict=True))) for key in keys))
    return [dict(row) for row in connection.execute(select(COMPARED).where(same)).mappings()]


def _empty(key: tuple[Any, ...]) -> _Row:
    sums = {f"{column}_{kind}": 0 for column in ("beside", "used") for kind in VEHICLES}
    return {**dict(zip(_KEY, key, strict=True)), "newest": -1, **sums}


def _add(row: _Row, column: str, counts: Mapping[str, DirectionCounts]) -> None:
    for kind, ways in counts.items():
        if kind in VEHICLES:
            vehicles = row[f"{column}_{kind}"] + ways.left_to_right + ways.right_to_left
            row[f"{column}_{kind}"] = min(vehicles, _MOST)
