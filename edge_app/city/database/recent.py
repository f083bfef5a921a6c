"""Read what each site has counted in the last minutes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Final

from sqlalchemy import Connection, and_, or_, select

from edge_app.city.database.days import DAY_S
from edge_app.city.database.tables import ATTACHMENT, INTERVAL, LINE, SETTINGS
from edge_app.city.overlaps import Piece, counting
from edge_app.city.records import COLUMNS
from edge_app.records import DIRECTIONS

LAST_S: Final = 300
"""How long the last minutes are."""


@dataclass(frozen=True, slots=True)
class Recent:
    """The last minutes of a site.

    end: of its newest interval, UTC s. length_s: of the intervals together; seen_s: of that, in which no vehicle could
    pass unseen. vehicles: by DIRECTIONS, as the site has them.
    """

    end: int
    length_s: int
    seen_s: float
    vehicles: tuple[int, int]


def read_recent(connection: Connection, now: float, first: str, last: str) -> dict[str, Recent]:
    """Return the last minutes of the sites from one id to another that have any, by id. now: UTC s.

    They are the intervals that end within the `LAST_S` before the end of the newest one, or that one alone, where it is
    longer. A site whose newest interval ended long before its next one should have come has none.
    """
    at = int(now)
    ways = [reduce(add, [INTERVAL.c[name] for name in COLUMNS[side :: len(DIRECTIONS)]]) for side in (0, 1)]
    lately = and_(
        INTERVAL.c.line_id == LINE.c.id,
        INTERVAL.c.aside.is_(False),
        INTERVAL.c.start > at - 2 * LAST_S - 2 * LINE.c.longest_s,
        INTERVAL.c.start > at - 2 * LAST_S - 2 * DAY_S,  # a constant, by which the planner leaves out partitions
        INTERVAL.c.start >= ATTACHMENT.c.begins,
    )
    attached = and_(
        ATTACHMENT.c.site_id >= first,
        ATTACHMENT.c.site_id <= last,
        ATTACHMENT.c.begins <= at,
        or_(ATTACHMENT.c.ends.is_(None), ATTACHMENT.c.ends > at),
    )
    rows = connection.execute(
        select(ATTACHMENT.c.site_id, ATTACHMENT.c.turned, LINE.c.longest_s, INTERVAL, SETTINGS.c.flags, *ways)
        .join(LINE, LINE.c.id == ATTACHMENT.c.line_id)
        .join(INTERVAL, lately)
        .join(SETTINGS, SETTINGS.c.id == INTERVAL.c.settings_id)
        .where(attached)
    )
    found, longest = defaultdict[str, list[Piece]](list), dict[str, int]()
    for row in rows:
        left, right = row[-2:]
        counts = (right, left) if row.turned else (left, right)
        piece = Piece(
            row.start, row.start + row.length_s, row.series_id, row.arrived_ms, counts, row.coverage, row.flags
        )
        found[row.site_id].append(piece)
        longest[row.site_id] = row.longest_s
    sums = {site: _sum(counting(pieces), at - LAST_S - longest[site]) for site, pieces in found.items()}
    return {site: told for site, told in sums.items() if told is not None}


def _sum(pieces: Sequence[Piece], oldest: int) -> Recent | None:
    end = pieces[-1].end
    if end <= oldest:
        return None
    last = [piece for piece in pieces if piece.end > end - LAST_S]
    lengths = [piece.end - piece.start for piece in last]
    left, right = (sum(piece.counts[side] for piece in last) for side in (0, 1))
    seen = sum(length * piece.coverage for length, piece in zip(lengths, last, strict=True))
    return Recent(end, sum(lengths), seen, (left, right))
