"""Look at orders that were placed: whether one is still under way, and which have a file."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from edge_app.city.database.orders import WAITS_S, file_is_kept
from edge_app.city.database.tables import ORDER, ORDER_FILE


def is_under_way(connection: Connection, kind: str, subject: str, now: float) -> bool:
    """Return whether the same was asked of a subject, and neither done nor given up yet. now: UTC s."""
    same = ORDER.c.subject == subject, ORDER.c.kind == kind, ORDER.c.state.in_(("waiting", "sent"))
    rows = connection.execute(select(ORDER.c.state, ORDER.c.at).where(*same)).all()
    return any(row.state == "sent" or row.at >= int(now) - WAITS_S for row in rows)


def with_files(connection: Connection, order_ids: Collection[int], now: float) -> set[int]:
    """Return those of some orders for which a device has sent something that may still be shown. now: UTC s."""
    kept = select(ORDER_FILE.c.order_id).join(ORDER, ORDER.c.id == ORDER_FILE.c.order_id).where(file_is_kept(now))
    statement = kept.where(ORDER_FILE.c.order_id.in_(list(order_ids)))
    return set(connection.execute(statement).scalars())
