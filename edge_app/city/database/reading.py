"""Read what the page and the API show: sites with their state, and sums over steps of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection, Row, Select, Text, and_, cast, func, or_, select, tuple_

from edge_app.city.calendar import Step
from edge_app.city.database.attached import counts_of_site, counts_there
from edge_app.city.database.contradictions import count_contradictions
from edge_app.city.database.engine import among
from edge_app.city.database.missing import gaps_of, numbered_series
from edge_app.city.database.tables import (
    ATTACHMENT,
    DEVICE,
    DIRTY,
    LINE,
    POISON,
    QUARTER,
    SITE,
    STEP,
)
from edge_app.city.reach import within_s
from edge_app.city.records import COLUMNS, SYNTHETIC, Vector, added
from edge_app.city.sums import QUARTER_S, is_new

AnyStep: TypeAlias = Literal["quarter"] | Step
_FEW: Final = 1000
"""Devices up to which they are asked for by name."""


@dataclass(frozen=True, slots=True)
class Total:
    """Sum of one step of a site.

    length_s: of the intervals that begin in it; covered_s: of that, seen. straddling_s: of that, beyond its end.
    doubtful: of the vehicles. late_s: of the intervals that arrived late. reached_s: seconds seen of the step by
    intervals that begin before it, where that was asked for.
    """

    start: int
    length_s: int
    covered_s: float
    flagged_s: int
    straddling_s: int
    counts: Vector
    flags: Mapping[str, int] = field(default_factory=dict)
    settings: Sequence[tuple[str, str]] = ()
    doubtful: int = 0
    late_s: int = 0
    reached_s: float = 0.0

    @property
    def seen_s(self) -> float:
        """Seconds of the step's own time that were seen, whichever step their interval counts in."""
        return within_s(self) + self.reached_s

    @property
    def vehicles(self) -> int:
        """All of them, in both directions."""
        return sum(self.counts)

    @property
    def synthetic(self) -> bool:
        """Whether some of it is invented; known where its flags are."""
        return SYNTHETIC in self.flags

    def plus(self, other: Total) -> Total:
        """Return the sum with what else counts in the same step."""
        return Total(
            self.start,
            self.length_s + other.length_s,
            self.covered_s + other.covered_s,
            self.flagged_s + other.flagged_s,
            self.straddling_s + other.straddling_s,
            added(self.counts, other.counts),
            {flag: self.flags.get(flag, 0) + other.flags.get(flag, 0) for flag in {*self.flags, *other.flags}},
            [*self.settings, *other.settings],
            self.doubtful + other.doubtful,
            self.late_s + other.late_s,
            self.reached_s + other.reached_s,
        )


@dataclass(frozen=True, slots=True)
class Site:
    """A site as it is described, with what the device that counts there last said.

    newest: begin of its newest quarter with an interval, UTC s, 0 without any. longest_s: of the intervals of its line.
    """

    row: Row[Any]
    device: Row[Any] | None
    line: str
    newest: int
    longest_s: int

    @property
    def synthetic(self) -> bool:
        """Whether its device says that it invents what it counts."""
        return self.device is not None and SYNTHETIC in self.device.health.get("quality", ())


def read_sites(
    connection: Connection,
    now: float,
    identifier: str | None = None,
    *,
    after: str = "",
    most: int | None = None,
    meta: bool = False,
    public: bool = False,
) -> list[Site]:
    """Return all sites by their id, or the one of this id. now: UTC s, when a line must be attached.

    after: only ids behind this one. most: so many at most. meta: with that of each device, which is long.
    public: only those that are shown to everybody.
    """
    lasts = or_(ATTACHMENT.c.ends.is_(None), ATTACHMENT.c.ends > int(now))
    now_attached = and_(ATTACHMENT.c.site_id == SITE.c.id, ATTACHMENT.c.begins <= int(now), lasts)
    of_line = select(func.max(QUARTER.c.start)).where(QUARTER.c.line_id == ATTACHMENT.c.line_id)
    newest = of_line.scalar_subquery().label("newest")
    statement = (
        select(
            SITE,
            LINE.c.topic_site,
            LINE.c.device,
            LINE.c.name.label("line"),
            LINE.c.longest_s,
            ATTACHMENT.c.turned,
            newest,
        )
        .outerjoin(ATTACHMENT, now_attached)
        .outerjoin(LINE, LINE.c.id == ATTACHMENT.c.line_id)
        .order_by(SITE.c.id)
    )
    if identifier is not None:
        statement = statement.where(SITE.c.id == identifier)
    if public:
        statement = statement.where(SITE.c.public)
    if after:
        statement = statement.where(SITE.c.id > after)
    if most is not None:  # a range: for a list of ids SQLite would read all attachments for each
        behind = select(SITE.c.id).where(SITE.c.id > after).order_by(SITE.c.id).offset(most).limit(1)
        beyond = connection.execute(behind).scalar()
        statement = statement.where(SITE.c.id < beyond) if beyond is not None else statement
    rows = connection.execute(statement).all()
    counting = select(*(column for column in DEVICE.c if meta or column.name != "meta"))
    names = {(row.topic_site, row.device) for row in rows if row.device is not None}
    if len(names) < _FEW:  # not ten thousand for one site
        counting = counting.where(tuple_(DEVICE.c.topic_site, DEVICE.c.device).in_(sorted(names)))
    devices = {(row.topic_site, row.device): row for row in connection.execute(counting)}
    found: dict[str, Site] = {}
    for row in rows:
        device = devices.get((row.topic_site, row.device))
        found.setdefault(row.id, Site(row, device, row.line or "", row.newest or 0, row.longest_s or 0))
    return list(found.values())


def public_sites(connection: Connection) -> frozenset[str]:
    """Return the ids of the sites that are shown to everybody."""
    return frozenset(connection.execute(select(SITE.c.id).where(SITE.c.public)).scalars())


def read_devices(
    connection: Connection, after: tuple[str, str] = ("", ""), most: int | None = None
) -> Sequence[Row[Any]]:
    """Return all devices by their names. after: only those behind this one. most: so many at most."""
    names = tuple_(DEVICE.c.topic_site, DEVICE.c.device)
    statement = select(DEVICE).where(names > after).order_by(DEVICE.c.topic_site, DEVICE.c.device).limit(most)
    return connection.execute(statement).all()


def read_totals(
    connection: Connection, site: str, start: int, end: int, step: AnyStep, *, straddling: bool = False
) -> list[Total]:
    """Return the sums of a site that begin in [start, end), UTC s, by time; steps without an interval are left out.

    Of steps longer than a quarter the flags are not told: `read_steps` finds them too. straddling: of such steps only
    those with an interval that reaches over their end.
    """
    if step == "quarter":
        return read_quarters(connection, start, end, [site]).get(site, [])
    where = and_(STEP.c.site_id == site, STEP.c.step == step, STEP.c.start >= start, STEP.c.start < end)
    over = [STEP.c.straddling_s > 0] if straddling else []
    return [
        Total(
            row.start,
            row.length_s,
            row.covered_s,
            row.flagged_s,
            row.straddling_s,
            _counts(row),
            doubtful=row.doubtful,
            late_s=row.late_s,
        )
        for row in connection.execute(select(STEP).where(where).where(*over).order_by(STEP.c.start))
    ]


def read_quarters(
    connection: Connection,
    start: int,
    end: int,
    sites: Collection[str] | None = None,
    *,
    reaching: bool = False,
    new_at: int | None = None,
) -> dict[str, list[Total]]:
    """Return the quarters that begin in [start, end), UTC s, by time, for each site that has any.

    sites: only these. reaching: also those before of which an interval reaches beyond `start`. new_at: of those that
    reach into none behind them, only such as are new at a time, UTC s.
    """
    statement = _within(_quarter_rows(), start, end, reaching=reaching)
    if new_at is not None:
        is_one = is_new(QUARTER.c.start, QUARTER.c.straddling_s, new_at)
        statement = statement.where(or_(is_one, QUARTER.c.straddling_s > 0))
    if sites is not None:
        statement = statement.where(among(connection, ATTACHMENT.c.site_id, sites))
    found: dict[str, dict[int, Total]] = defaultdict(dict)
    for row in connection.execute(statement):
        of_site, settings = found[row.site_id], [tuple(one) for one in row.settings]
        total = Total(
            row.start,
            row.length_s,
            row.covered_s,
            row.flagged_s,
            row.straddling_s,
            _counts(row),
            row.flags,
            settings,
            row.doubtful,
            row.late_s,
        )
        of_site[row.start] = of_site[row.start].plus(total) if row.start in of_site else total
    return {identifier: list(quarters.values()) for identifier, quarters in found.items()}


class Passed(NamedTuple):
    """What passed a site in a quarter, all together; otherwise like `Total`."""

    start: int
    length_s: int
    covered_s: float
    straddling_s: int
    vehicles: int
    synthetic: bool

    def plus(self, other: Passed) -> Passed:
        """Return the sum with what else counts in the same quarter."""
        return Passed(
            self.start,
            self.length_s + other.length_s,
            self.covered_s + other.covered_s,
            self.straddling_s + other.straddling_s,
            self.vehicles + other.vehicles,
            self.synthetic or other.synthetic,
        )


def read_passed(connection: Connection, start: int, end: int, sites: Collection[str]) -> dict[str, list[Passed]]:
    """Return the quarters that begin in [start, end), UTC s, by time, for each of some sites that has any.

    Also those before of which an interval reaches beyond `start`. For many sites at once: a tenth of the work of
    `read_quarters`.
    """
    vehicles = reduce(add, (QUARTER.c[name] for name in COLUMNS))
    synthetic = cast(QUARTER.c.flags, Text).like(f'%"{SYNTHETIC}"%')
    seconds = [QUARTER.c[name] for name in ("start", "length_s", "covered_s", "straddling_s")]
    statement = select(ATTACHMENT.c.site_id, *seconds, vehicles, synthetic)
    statement = statement.join(ATTACHMENT, counts_there()).where(among(connection, ATTACHMENT.c.site_id, sites))
    statement = _within(statement, start, end, reaching=True)
    found: dict[str, dict[int, Passed]] = defaultdict(dict)
    row: Any
    for row in connection.execute(statement):
        of_site, passed = found[row[0]], Passed(*row[1:])
        of_site[passed.start] = of_site[passed.start].plus(passed) if passed.start in of_site else passed
    return {site: list(quarters.values()) for site, quarters in found.items()}


def _within(statement: Select[Any], start: int, end: int, *, reaching: bool) -> Select[Any]:
    """Return a statement about quarters, of those alone that begin in [start, end), UTC s, by time.

    reaching: also of those before of which an interval reaches beyond `start`.
    """
    statement = statement.where(QUARTER.c.start < end).order_by(QUARTER.c.start)
    if not reaching:
        return statement.where(QUARTER.c.start >= start)
    return statement.join(LINE, LINE.c.id == QUARTER.c.line_id).where(
        QUARTER.c.start > start - QUARTER_S - LINE.c.longest_s,  # a range, in which the next condition chooses
        or_(QUARTER.c.start >= start, QUARTER.c.start + QUARTER_S + QUARTER.c.straddling_s > start),
    )


def read_quarter_page(
    connection: Connection, site: str, start: int, end: int, *, newest_first: bool, offset: int, limit: int
) -> tuple[list[Total], int]:
    """Return some quarters of a site in [start, end), UTC s, that were seen and not invented, and their number of all.

    offset: how many to pass over. limit: how many at most.
    """
    statement = _quarter_rows().where(
        ATTACHMENT.c.site_id == site,
        QUARTER.c.start >= start,
        QUARTER.c.start <= end - QUARTER_S,
        QUARTER.c.covered_s > 0,
        cast(QUARTER.c.flags, Text).not_like(f'%"{SYNTHETIC}"%'),
    )
    many = connection.execute(select(func.count()).select_from(statement.subquery())).scalar_one()
    order = QUARTER.c.start.desc() if newest_first else QUARTER.c.start
    rows = connection.execute(statement.order_by(order).offset(offset).limit(limit))
    # One line counts at a site at a time, from quarter to quarter: no two rows are of one quarter.
    return [
        Total(row.start, row.length_s, row.covered_s, row.flagged_s, row.straddling_s, _counts(row)) for row in rows
    ], many


def _quarter_rows() -> Select[Any]:
    """Return the quarters of all sites, with the counts as each site has them."""
    counts = [column.label(name) for name, column in counts_of_site().items()]
    others = [column for column in QUARTER.c if column.name not in COLUMNS]
    return select(ATTACHMENT.c.site_id, *others, *counts).join(ATTACHMENT, counts_there())


def _counts(row: Row[Any]) -> Vector:
    return tuple(getattr(row, name) for name in COLUMNS)


def read_series(connection: Connection) -> list[tuple[Row[Any], list[tuple[int, int]]]]:
    """Return the series with numbers that are missing or gone, with their gaps."""
    found = ((row, list(gaps_of(row))) for row in numbered_series(connection))
    return [(row, gaps) for row, gaps in found if gaps or row.gone]


def read_poison(connection: Connection, most: int = 200, before: int | None = None) -> Sequence[Row[Any]]:
    """Return the newest messages that were kept aside, newest first. before: only those with a lower id."""
    statement = select(POISON).order_by(POISON.c.id.desc()).limit(most)
    return connection.execute(statement if before is None else statement.where(POISON.c.id < before)).all()


def read_tallies(connection: Connection) -> tuple[dict[str, int], int, int]:
    """Return contradictions by kind and messages that were kept aside, all so far, and quarters to be added up.

    The oldest of both are deleted and are counted too.
    """
    waiting = connection.execute(select(func.count()).select_from(DIRTY)).scalar_one()
    return count_contradictions(connection), count_aside(connection), waiting


def count_aside(connection: Connection) -> int:
    """Return how many messages were kept aside so far; the oldest are deleted, and were numbered too."""
    return connection.execute(select(func.max(POISON.c.id))).scalar() or 0


def is_there(connection: Connection) -> None:
    """Ask the database anything."""
    connection.execute(select(1))
