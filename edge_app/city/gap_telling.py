"""Tell of what is missing what is being done about it. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from edge_app.city.asking import Asked, DeviceName
from edge_app.city.gap_answers import GapAnswer
from edge_app.city.telling import moment

_STUCK_S: Final = 6 * 3600
_STUCK_TIMES: Final = 12
"""So often a device is asked in some six hours in which it is here: it waits an hour between the last ones."""


def is_stuck(gap: GapAnswer, now: float) -> bool:
    """Return whether a gap does not come though its device is here and was asked for hours. now: UTC s."""
    asked_long = gap.asked is not None and gap.asked.timestamp() < now - _STUCK_S
    return gap.state == "asked" and asked_long and gap.times >= _STUCK_TIMES


def gaps_of(
    series: Iterable[tuple[Any, list[tuple[int, int]]]],
    asked: Iterable[tuple[int, Asked]],
    away: Collection[DeviceName],
) -> list[GapAnswer]:
    """Return what is missing or lost, with what is being done about it. asked: with the key of the series."""
    of_series: dict[int, list[Asked]] = defaultdict(list)
    for key, one in asked:
        of_series[key].append(one)
    gaps = []
    for row, missing in series:
        device, known = (row.topic_site, row.device), of_series[row.id]
        common = {"line": f"{row.topic_site}/{row.device}/{row.name}", "installation": row.installation}
        for first, last in missing:
            was_asked = [one for one in known if one.gap.first <= last and first <= one.reach]
            gaps.append(GapAnswer(**common, first=first, last=last, **_doing(was_asked, away=device in away)))
        gaps += [GapAnswer(**common, first=a, last=b, state="lost", reason=why) for a, b, why in row.gone]
    return gaps


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
