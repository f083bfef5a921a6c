"""Tell of what is missing what is being done about it. Pure: no clock, no I/O."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from edge_app.city.asking import Asked, DeviceName
from edge_app.city.calendar import moment
from edge_app.city.gap_answers import GapAnswer, GapPage

_STUCK_S: Final = 6 * 3600
_STUCK_TIMES: Final = 12
"""So often a device is asked in some six hours in which it is here: it waits an hour between the last ones."""


_Series: TypeAlias = Iterable[tuple[Any, list[tuple[int, int]]]]
AFTER: Final = r"^(open\.[0-9]{1,10}\.[0-9]{1,10}|lost\.[0-9]{1,10})\.[0-9]{1,18}$|^$"
"""How `GapPage.next` looks; an empty one is before all."""


def gap_page(
    series: _Series,
    asked: Iterable[tuple[int, Asked]],
    away: Collection[DeviceName],
    most: int,
    after: str = "",
) -> GapPage:
    """Return a part of what is missing or lost: what may still come by line, then what is lost, the newest first.

    most: so many gaps at most. after: `next` of the part before, as `AFTER` has it.
    """
    found, rows, ahead = 0, list[tuple[tuple[int, ...], Any, tuple[Any, ...]]](), _place(after)
    for row, missing in series:
        found += len(missing) + len(row.gone)
        rows += [((0, row.line_id, row.id, one[0]), row, one) for one in missing]
        rows += [((1, -row.id, -one[0], 0), row, tuple(one)) for one in row.gone]
    later = (one for one in rows if one[0] > ahead)
    part = heapq.nsmallest(most + 1, later, key=lambda one: one[0])
    shown, known = part[:most], _of_series(asked)
    gaps = [_lost(row, *one) if place[0] else _open(row, one[0], one[1], known, away) for place, row, one in shown]
    return GapPage(gaps, _name(shown[-1][0]) if len(part) > most else None, found)


def _place(after: str) -> tuple[int, ...]:
    """Return where in the order a gap is that `next` names."""
    kind, *numbers = after.split(".")
    if kind == "open":
        return 0, *map(int, numbers)
    return (1, *(-int(number) for number in numbers), 0) if kind == "lost" else (-1,)


def _name(place: tuple[int, ...]) -> str:
    lost, one, other, last = place
    return f"lost.{-one}.{-other}" if lost else f"open.{one}.{other}.{last}"


def is_stuck(gap: GapAnswer, now: float) -> bool:
    """Return whether a gap does not come though its device is here and was asked for hours. now: UTC s."""
    asked_long = gap.asked is not None and gap.asked.timestamp() < now - _STUCK_S
    return gap.state == "asked" and asked_long and gap.times >= _STUCK_TIMES


def gaps_of(series: _Series, asked: Iterable[tuple[int, Asked]], away: Collection[DeviceName]) -> list[GapAnswer]:
    """Return what is missing or lost, with what is being done about it. asked: with the key of the series."""
    known, gaps = _of_series(asked), list[GapAnswer]()
    for row, missing in series:
        gaps += [_open(row, first, last, known, away) for first, last in missing]
        gaps += [_lost(row, *one) for one in row.gone]
    return gaps


def _of_series(asked: Iterable[tuple[int, Asked]]) -> dict[int, list[Asked]]:
    of_series: dict[int, list[Asked]] = defaultdict(list)
    for key, one in asked:
        of_series[key].append(one)
    return of_series


def _open(
    row: Any, first: int, last: int, known: Mapping[int, Sequence[Asked]], away: Collection[DeviceName]
) -> GapAnswer:
    was_asked = [one for one in known.get(row.id, ()) if one.gap.first <= last and first <= one.reach]
    doing = _doing(was_asked, away=(row.topic_site, row.device) in away)
    return GapAnswer(line=_line(row), installation=row.installation, first=first, last=last, **doing)


def _lost(row: Any, first: int, last: int, why: str) -> GapAnswer:
    return GapAnswer(line=_line(row), installation=row.installation, first=first, last=last, state="lost", reason=why)


def _line(row: Any) -> str:
    return f"{row.topic_site}/{row.device}/{row.name}"


def _doing(asked: Sequence[Asked], *, away: bool) -> dict[str, Any]:
    """Return what is being done about a gap. asked: all that was asked for of it; times are UTC s."""
    state = "away" if away else "asked" if asked else "waiting"
    if not asked:
        return {"state": state}
    return {
        "state": state,
        "asked": moment(min(one.first for one in asked)),
        "newest": moment(max(one.newest for one in asked)),
        "next": None if away else moment(min(one.again for one in asked)),
        "times": max(one.times for one in asked),
    }
