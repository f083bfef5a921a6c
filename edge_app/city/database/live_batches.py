"""Let pages know what any worker has stored: workers are other processes, on other machines too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, delete, not_, select

from edge_app.city.database.engine import among
from edge_app.city.database.tables import LIVE_BATCH

_KEPT_S: Final = 120
"""A page looks every second; more than that it misses only while it cannot reach the database."""


def note_batch(connection: Connection, content: str, now: int) -> None:
    """Note a batch, as the last thing before its commit: a page waits for lower numbers for a time. now: UTC s."""
    connection.execute(LIVE_BATCH.insert().values(at=now, content=content))


def read_batches(connection: Connection, above: int, known: Collection[int]) -> Sequence[tuple[int, str]]:
    """Return number and content of the batches above a number, but those that are known, in the order of numbers."""
    new = select(LIVE_BATCH.c.id, LIVE_BATCH.c.content).where(LIVE_BATCH.c.id > above)
    if known:
        new = new.where(not_(among(connection, LIVE_BATCH.c.id, known)))
    return [(row.id, row.content) for row in connection.execute(new.order_by(LIVE_BATCH.c.id))]


def numbers_of_batches(connection: Connection) -> Sequence[int]:
    """Return the numbers of all batches that are kept."""
    return connection.execute(select(LIVE_BATCH.c.id).order_by(LIVE_BATCH.c.id)).scalars().all()


def forget_batches(connection: Connection, now: int) -> None:
    """Delete the batches that every page has told of. now: UTC s. Those that another worker deletes are left to it."""
    old = select(LIVE_BATCH.c.id).where(LIVE_BATCH.c.at < now - _KEPT_S).order_by(LIVE_BATCH.c.id)
    connection.execute(delete(LIVE_BATCH).where(LIVE_BATCH.c.id.in_(old.with_for_update(skip_locked=True))))
