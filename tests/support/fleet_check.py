"""Compare the city's database with what the devices of a fleet have counted, by their own tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, select

from edge_app.city.database.engine import Database
from edge_app.city.database.tables import CONTRADICTION, INTERVAL, LINE, POISON, SERIES
from edge_app.city.records import COLUMNS, Vector
from edge_app.records import DIRECTIONS, VEHICLES, Counts
from tests.support.lean_ledger import Counted

_WRONG: Final = ("content", "number", "totals")
"""Contradictions that no wrong clock explains; intervals of wrong times overlap others and end in the future."""


@dataclass
class Verdict:
    """What was found. aside: intervals that end in the future, which are stored and set aside."""

    intervals: int = 0
    vehicles: int = 0
    missing: int = 0
    double: int = 0
    wrong_sums: int = 0
    strangers: int = 0
    poison: int = 0
    aside: int = 0
    contradictions: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> list[str]:
        """One sentence for each promise that is broken."""
        found = {
            "intervals are missing": self.missing,
            "intervals are double": self.double,
            "series have sums that are not the totals of their device": self.wrong_sums,
            "series are of no device": self.strangers,
            "messages were kept aside": self.poison,
        }
        found |= {f"contradictions about {kind}": self.contradictions[kind] for kind in _WRONG}
        return [f"{many} {what}" for what, many in found.items() if many]


def compare(database: Database, counted: Sequence[Counted]) -> Verdict:
    """Compare every series: numbers from 1 to the newest, each once, and their sums with the device's totals."""
    wanted = {(one.site, one.device, one.line, one.installation): one for one in counted}
    verdict = Verdict()
    with database.connect() as connection:
        for *name, many, distinct, aside, sums in _stored(connection):
            one = wanted.pop((name[0], name[1], name[2], name[3]), None)
            verdict.intervals += many
            verdict.vehicles += sum(sums)
            verdict.aside += aside
            if one is None:
                verdict.strangers += many > 0
                continue
            verdict.missing += max(0, one.newest - distinct)
            verdict.double += many - distinct
            verdict.wrong_sums += sums != _vector(one.totals)
        verdict.missing += sum(one.newest for one in wanted.values())
        verdict.poison = connection.execute(select(func.count()).select_from(POISON)).scalar_one()
        kinds = select(CONTRADICTION.c.kind, func.count()).group_by(CONTRADICTION.c.kind)
        verdict.contradictions.update(dict(map(tuple, connection.execute(kinds))))
    return verdict


def _stored(connection: Any) -> Any:
    name = LINE.c.topic_site, LINE.c.device, LINE.c.name, SERIES.c.installation
    aside = func.count().filter(INTERVAL.c.aside)
    sums = [func.coalesce(func.sum(INTERVAL.c[column]), 0) for column in COLUMNS]
    statement = (
        select(*name, func.count(INTERVAL.c.seq), func.count(INTERVAL.c.seq.distinct()), aside, *sums)
        .select_from(SERIES)
        .join(LINE, LINE.c.id == SERIES.c.line_id)
        .outerjoin(INTERVAL, INTERVAL.c.series_id == SERIES.c.id)
        .group_by(*name)
    )
    for *about, many, distinct, set_aside, rest in ((*row[:7], row[7:]) for row in connection.execute(statement)):
        yield (*about, many, distinct, set_aside, tuple(int(n) for n in rest))


def _vector(totals: Counts) -> Vector:
    return tuple(totals.get(name, {}).get(way, 0) for name in VEHICLES for way in DIRECTIONS)
