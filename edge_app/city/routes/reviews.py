"""Routes of pictures that people review, of the accuracy that follows from them, and of devices' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, Field

from edge_app.city.access import Right
from edge_app.city.accuracy import accuracy_of
from edge_app.city.answers import Answer
from edge_app.city.calendar import moment
from edge_app.city.database import reviews as stored
from edge_app.city.database.figures import read_figures
from edge_app.city.figures import columns_of
from edge_app.city.routes.city import City, Writer, needs
from edge_app.city.routes.data import From, To, span_of
from edge_app.http.problems import RefusalError
from edge_app.records import Direction

_MOST_DAYS: Final = 35
_JPEG: Final = "image/jpeg"
Named = Annotated[str, Path(max_length=100, pattern="^[A-Za-z0-9_-]+$")]
Device = Annotated[str, Query(max_length=200, pattern="^[A-Za-z0-9_-]+/[A-Za-z0-9_-]+$", description="SITE/DEVICE")]
Said = Literal["car", "motorcycle", "bus", "truck", "bicycle", "none", "unclear"]


class Waiting(Answer):
    """A picture that waits for an answer. What was counted is not told: it would be believed."""

    id: UUID
    device: str
    line: str
    at: AwareDatetime
    direction: Direction
    box: Annotated[Sequence[int], Field(description="Of the vehicle: x0, y0, x1, y1 px of the picture")]


class Reviews(Answer):
    """Pictures that wait, in no order that tells anything."""

    waiting: Annotated[int, Field(description="Of all devices")]
    reviews: Sequence[Waiting]


class AnswerBody(Answer):
    """What a person sees: a class, `none` where no vehicle crosses, `unclear` where nobody can tell."""

    answer: Said


class Judged(Answer):
    """What was counted."""

    counted: str
    right: Annotated[bool | None, Field(description="null: unclear")]


class AccuracyOfDevice(Answer):
    """How often the crossings of a camera have the right class. Vehicles that were not counted are in no picture."""

    device: str
    waiting: int
    answered: int
    share: Annotated[
        float | None, Field(description="Weighted, 0..1; null until doubtful and certain ones have answers")
    ]
    low: Annotated[float | None, Field(description="Of its interval of 95 %")]
    high: float | None


class AccuracyOfDevices(Answer):
    """Devices of which pictures have come."""

    devices: Sequence[AccuracyOfDevice]


class FiguresOfDevice(Answer):
    """Figures of a device by quarter of an hour, as columns."""

    device: str
    start: Annotated[Sequence[int], Field(description="Begin of each quarter, UTC s")]
    columns: Annotated[
        Mapping[str, Sequence[float | None]],
        Field(description="Name as in `figures` of health, with dots -> value of each quarter; null: not measured"),
    ]


def review_routes(city: City) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/v1")
    _add_reviews(routes, city)
    _add_told(routes, city)
    return routes


def _add_reviews(routes: APIRouter, city: City) -> None:
    @routes.get("/reviews", summary="Pictures of crossings that wait for a person")
    def reviews(_: Writer, device: Device | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Reviews:
        name = None if device is None else _parts(device)
        with city.database.connect() as connection:
            many, rows = stored.count_waiting(connection), stored.read_waiting(connection, name, limit)
        told = [
            Waiting(
                id=row.id,
                device=f"{row.topic_site}/{row.device}",
                line=row.name,
                at=moment(row.at),
                direction=row.direction,
                box=row.box,
            )
            for row in rows
        ]
        return Reviews(waiting=many, reviews=told)

    @routes.get(
        "/reviews/{review:uuid}.jpg",
        summary="The picture",
        response_class=Response,
        responses={200: {"content": {_JPEG: {"schema": {"type": "string", "format": "binary"}}}}},
    )
    def review_picture(review: UUID, _: Writer) -> Response:
        with city.database.connect() as connection:
            picture = stored.read_picture(connection, review)
        if picture is None:
            raise _no_picture()
        return Response(picture, media_type=_JPEG, headers={"cache-control": "private, no-store"})

    @routes.put("/reviews/{review:uuid}", summary="Say what a picture shows; again in place of what was said before")
    def answer_review(review: UUID, content: AnswerBody, who: Writer) -> Judged:
        with city.database.begin() as connection:
            counted = stored.answer_review(connection, review, content.answer, who.name, int(city.utc()))
        if counted is None:
            raise _no_picture()
        right = None if content.answer == stored.UNCLEAR else content.answer == counted
        return Judged(counted=counted, right=right)


def _add_told(routes: APIRouter, city: City) -> None:
    reads = [needs(Right.READ)]

    @routes.get("/accuracy", summary="How often each camera's class is right, by what people saw", dependencies=reads)
    def accuracy(days: Annotated[int, Query(ge=1, le=366, description="The last so many")] = 90) -> AccuracyOfDevices:
        with city.database.connect() as connection:
            found = stored.read_devices(connection, int(city.utc()) - days * 86_400)
        return AccuracyOfDevices(devices=[_accuracy(one) for one in found])

    @routes.get(
        "/devices/{site}/{device}/figures", summary="Figures of a device by quarter of an hour", dependencies=reads
    )
    def figures(site: Named, device: Named, begin: From, to: To) -> FiguresOfDevice:
        with city.database.connect() as connection:
            told = read_figures(connection, (site, device), *span_of(begin, to, _MOST_DAYS))
        return FiguresOfDevice(device=f"{site}/{device}", start=[at for at, _ in told], columns=columns_of(told))


def _accuracy(one: stored.OfDevice) -> AccuracyOfDevice:
    found = accuracy_of(one.pictures)
    share, low, high = (round(value, 4) for value in (found.share, found.low, found.high)) if found else (None,) * 3
    return AccuracyOfDevice(
        device=one.device, waiting=one.waiting, answered=one.answered, share=share, low=low, high=high
    )


def _parts(device: str) -> tuple[str, str]:
    site, _, name = device.partition("/")
    return site, name


def _no_picture() -> RefusalError:
    return RefusalError(HTTPStatus.NOT_FOUND, "there is no such picture, or none any more", code="no_picture")
