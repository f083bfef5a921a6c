"""Keep pictures of crossings for a limited time, and what people have said that they show for a year."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, delete, func, select, update

from edge_app.city.accuracy import Reviewed
from edge_app.city.database.audit import note_change
from edge_app.city.database.engine import insert_new
from edge_app.city.database.tables import LINE, REVIEW
from edge_app.city.reading import ReadReview

KEPT_S: Final = 400 * 86_400
"""Time, s, for which answers are kept."""
NONE: Final = "none"
UNCLEAR: Final = "unclear"
"""Answers that are no class: no vehicle has crossed there, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class OfDevice:
    """Pictures of one device: SITE/DEVICE. waiting: without an answer, and still there. answered: unclear ones too."""

    device: str
    waiting: int
    answered: int
    pictures: Sequence[Reviewed]


def store_reviews(connection: Connection, reviews: Sequence[tuple[int, ReadReview]], arrived: int) -> None:
    """Keep pictures; one that is known stays as it is. reviews: key of the line, and each picture. arrived: UTC s."""
    rows = [
        {
            "id": one.id,
            "line_id": line,
            "at": one.at,
            "arrived": arrived,
            "label": one.label,
            "direction": one.direction,
            "score": one.score,
            "doubtful": one.doubtful,
            "stands_for": one.stands_for,
            "model": one.model,
            "box": list(one.box),
            "picture": one.picture,
        }
        for line, one in reviews
    ]
    insert_new(connection, REVIEW, rows)


def forget_reviews(connection: Connection, now: int, pictures_s: int) -> None:
    """Delete pictures that came more than `pictures_s` ago, and answers after `KEPT_S`. now: UTC s."""
    old = REVIEW.c.arrived < now - pictures_s
    connection.execute(update(REVIEW).where(old, REVIEW.c.picture.is_not(None)).values(picture=None))
    connection.execute(delete(REVIEW).where(REVIEW.c.arrived < now - KEPT_S))


def read_waiting(connection: Connection, device: tuple[str, str] | None, most: int) -> Sequence[Any]:
    """Return pictures without an answer, in no order that tells anything. device: site and device; None for all."""
    columns = REVIEW.c.id, REVIEW.c.at, REVIEW.c.direction, REVIEW.c.box, LINE.c.topic_site, LINE.c.device, LINE.c.name
    waits = REVIEW.c.answer.is_(None), REVIEW.c.picture.is_not(None)
    statement = select(*columns).join(LINE, LINE.c.id == REVIEW.c.line_id).where(*waits)
    if device is not None:
        statement = statement.where(LINE.c.topic_site == device[0], LINE.c.device == device[1])
    return connection.execute(statement.order_by(REVIEW.c.id).limit(most)).all()


def read_picture(connection: Connection, identifier: UUID) -> bytes | None:
    """Return the picture of this id, JPEG; None where there is none, or none any more."""
    picture: bytes | None = connection.execute(select(REVIEW.c.picture).where(REVIEW.c.id == identifier)).scalar()
    return picture


def answer_review(connection: Connection, identifier: UUID, answer: str, who: str, now: int) -> str | None:
    """Note what a picture shows, in place of what was said before; return the class that was counted.

    None where there is no such picture. now: UTC s. Who said it is with the answer; an answer that takes the place of
    another one is in the audit.
    """
    before: str | None = connection.execute(select(REVIEW.c.answer).where(REVIEW.c.id == identifier)).scalar()
    if before not in (None, answer):
        note_change(connection, now, who, "review.answer", str(identifier), {"answer": (before, answer)})
    change = update(REVIEW).where(REVIEW.c.id == identifier).values(answer=answer, who=who, answered=now)
    counted: str | None = connection.execute(change.returning(REVIEW.c.label)).scalar()
    return counted


def read_devices(connection: Connection, since: int) -> list[OfDevice]:
    """Return the devices of which pictures have come since a time, UTC s, by name, with those pictures."""
    columns = LINE.c.topic_site, LINE.c.device, REVIEW.c.doubtful, REVIEW.c.stands_for, REVIEW.c.label, REVIEW.c.answer
    there = REVIEW.c.picture.is_not(None).label("there")
    statement = select(*columns, there).join(LINE, LINE.c.id == REVIEW.c.line_id).where(REVIEW.c.at >= since)
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(statement):
        found[f"{row.topic_site}/{row.device}"].append(row)
    return [
        OfDevice(
            device,
            sum(row.answer is None and row.there for row in rows),
            sum(row.answer is not None for row in rows),
            [Reviewed(row.doubtful, row.stands_for, _right(row)) for row in rows],
        )
        for device, rows in sorted(found.items())
    ]


def count_waiting(connection: Connection) -> int:
    """Return how many pictures wait for an answer."""
    waits = REVIEW.c.answer.is_(None), REVIEW.c.picture.is_not(None)
    return connection.execute(select(func.count()).select_from(REVIEW).where(*waits)).scalar_one()


def answered_pictures(connection: Connection) -> Iterator[Row[Any]]:
    """Yield the pictures that a person has named a class of, with their line, by time."""
    told = REVIEW.c.answer.is_not(None), REVIEW.c.answer.not_in((NONE, UNCLEAR)), REVIEW.c.picture.is_not(None)
    columns = LINE.c.topic_site, LINE.c.device, LINE.c.name
    yield from connection.execute(
        select(REVIEW, *columns).join(LINE, LINE.c.id == REVIEW.c.line_id).where(*told).order_by(REVIEW.c.at)
    )


def _right(row: Row[Any]) -> bool | None:
    return None if row.answer in (None, UNCLEAR) else row.answer == row.label
