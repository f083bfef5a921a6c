"""Keep what people ask of the office's process, and which process that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, delete, func, not_, select, update

from edge_app.city.database.engine import insert_new
from edge_app.city.database.tables import OFFICE, ORDER, ORDER_FILE

OrderKind: TypeAlias = Literal["config", "restart", "snapshot", "harvest", "pause", "go_on", "take_back"]
OrderState: TypeAlias = Literal["waiting", "sent", "answered", "refused", "expired"]
ALIVE_S: Final = 60
"""A process that was seen within this time runs."""
WAITS_S: Final = 600
"""An order that no process has taken for so long is expired: nobody wants a restart a day late."""
FILE_KEPT_S: Final = 86_400
"""How long the city keeps what a device has sent for an order: it may be a picture of a street."""
_WAITS: Final = ORDER.c.state == "waiting"
_NONE: Final = "no process of the office has taken it within ten minutes"


@dataclass(frozen=True, slots=True)
class Holder:
    """The process with the signing key. name: empty where none runs. seen: UTC s. problem: what it cannot do."""

    name: str = ""
    beats: int = 0
    seen: int = 0
    problem: str = ""

    def alive(self, now: float) -> bool:
        """Return whether it runs. now: UTC s."""
        return bool(self.name) and now - self.seen < ALIVE_S


def read_holder(connection: Connection) -> Holder:
    """Return the process that has the key."""
    row = connection.execute(select(OFFICE).where(OFFICE.c.id == 1)).one_or_none()
    return Holder() if row is None else Holder(row.holder, row.beats, row.seen, row.problem)


def take_over(connection: Connection, found: Holder, name: str, now: float) -> bool:
    """Be the process that has the key, in place of one that was found; return False where another was quicker."""
    insert_new(connection, OFFICE, [{"id": 1, "holder": "", "beats": 0, "seen": 0, "problem": ""}])
    same = (OFFICE.c.id == 1, OFFICE.c.holder == found.name, OFFICE.c.beats == found.beats)
    values = {"holder": name, "beats": found.beats + 1, "seen": int(now), "problem": ""}
    return connection.execute(update(OFFICE).where(*same).values(values)).rowcount == 1


def beat(connection: Connection, name: str, now: float, problem: str = "") -> bool:
    """Say that this process runs; return False where another one has taken over. In the transaction of a change it
    makes sure that only the process with the key changes anything."""
    values = {"beats": OFFICE.c.beats + 1, "seen": int(now), "problem": problem}
    mine = update(OFFICE).where(OFFICE.c.id == 1, OFFICE.c.holder == name)
    return connection.execute(mine.values(values)).rowcount == 1


def let_go(connection: Connection, name: str) -> None:
    """Say that this process ends."""
    mine = update(OFFICE).where(OFFICE.c.id == 1, OFFICE.c.holder == name)
    connection.execute(mine.values({"holder": "", "beats": OFFICE.c.beats + 1}))


def place_order(
    connection: Connection, who: str, kind: OrderKind, subject: str, args: Mapping[str, Any], now: float
) -> int:
    """Ask the office's process for something, and return the id of the order. subject: site/device, or a roll-out."""
    row = {"who": who, "at": int(now), "kind": kind, "subject": subject, "args": dict(args)}
    row |= {"state": "waiting", "answer": "", "changed": int(now)}
    (key,) = connection.execute(ORDER.insert().values(row)).inserted_primary_key or (0,)
    return int(key)


def read_orders(connection: Connection, subject: str | None = None, most: int = 50) -> Sequence[Row[Any]]:
    """Return the newest orders, newest first. subject: only those about it."""
    statement = select(ORDER).order_by(ORDER.c.id.desc()).limit(most)
    return connection.execute(statement if subject is None else statement.where(ORDER.c.subject == subject)).all()


def read_order_file(connection: Connection, order_id: int, now: float) -> tuple[str, bytes] | None:
    """Return the name and the content of what a device has sent for an order; None where there is none any more.

    now: UTC s. What is too old is not told, also where nobody has removed it yet.
    """
    kept = select(ORDER_FILE).join(ORDER, ORDER.c.id == ORDER_FILE.c.order_id).where(file_is_kept(now))
    row = connection.execute(kept.where(ORDER_FILE.c.order_id == order_id)).one_or_none()
    return None if row is None else (row.name, row.content)


def file_is_kept(now: float) -> ColumnElement[bool]:
    """Return the condition that what a device has sent for an order may still be shown. now: UTC s."""
    return ORDER.c.changed >= int(now) - FILE_KEPT_S


def any_waiting(connection: Connection) -> bool:
    """Return whether an order waits."""
    return connection.execute(select(ORDER.c.id).where(_WAITS).limit(1)).first() is not None


def waiting_orders(connection: Connection, now: float) -> Sequence[Row[Any]]:
    """Return the orders that wait, oldest first; those that have waited for too long are expired."""
    expire_late(connection, now)
    return connection.execute(select(ORDER).where(_WAITS).order_by(ORDER.c.id)).all()


def expire_late(connection: Connection, now: float) -> None:
    """Note that orders which have waited for too long are not carried out any more."""
    late = update(ORDER).where(_WAITS, ORDER.c.at < int(now) - WAITS_S)
    connection.execute(late.values(state="expired", answer=_NONE, changed=int(now)))


def count_waiting(connection: Connection) -> int:
    """Return how many orders wait."""
    return connection.execute(select(func.count()).select_from(ORDER).where(_WAITS)).scalar_one()


def move_order(connection: Connection, order_id: int, state: OrderState, answer: str, now: float) -> None:
    """Note what has become of an order."""
    connection.execute(
        update(ORDER).where(ORDER.c.id == order_id).values(state=state, answer=answer[:2000], changed=int(now))
    )


def abandon_sent(connection: Connection, now: float) -> None:
    """Note that nobody waits any more for the answers to orders that a former process has sent."""
    why = "it was sent, and the office's process ended before an answer came: look whether it was done"
    sent = update(ORDER).where(ORDER.c.state == "sent")
    connection.execute(sent.values(state="expired", answer=why, changed=int(now)))


def keep_file(connection: Connection, order_id: int, name: str, content: bytes) -> None:
    """Keep what a device has sent for an order."""
    connection.execute(ORDER_FILE.insert(), {"order_id": order_id, "name": name, "content": content})


def forget_files(connection: Connection, now: float) -> None:
    """Remove what devices have sent a day ago."""
    old = select(ORDER.c.id).where(not_(file_is_kept(now)))
    connection.execute(delete(ORDER_FILE).where(ORDER_FILE.c.order_id.in_(old)))
