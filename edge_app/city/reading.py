"""Read messages of devices; what no device sends is refused with a reason and kept aside. Pure: no I/O."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from pydantic import Field, ValidationError

from edge_app.city.calendar import FAR
from edge_app.city.records import NONE, Interval, LineName, Settings, Vector
from edge_app.errors import EdgeAppError
from edge_app.mqtt.count_messages import (
    MEASURES,
    CountsMessage,
    DirectionCounts,
    FlowsMessage,
    ReviewMessage,
    ShadowMessage,
)
from edge_app.mqtt.payload import Number, Payload
from edge_app.records import DIRECTIONS, FLOWS, VEHICLES
from edge_app.system.names import clean

AHEAD_S: Final = 300
"""An interval that ends later than so after its arrival is set aside (docs/mqtt.md)."""
_LONGEST_S: Final = 86_400
_HIGHEST: Final = 50_000_000
"""Numbers above cannot be: 95 years of minutes."""
_MOST_FRAMES: Final = 2**31 - 1
_MOST_VEHICLES: Final = 1_000_000
"""Of a class and direction in one interval: eleven a second all day. So the sum of as many intervals as a quarter of an
hour has seconds, and that of all classes, are numbers that the database holds."""
_VEHICLES: Final = frozenset(VEHICLES)
_JPEG: Final = b"\xff\xd8\xff"
_LONGEST_SIDE: Final = 10_000
_LARGEST_PICTURE: Final = 16_000
_OF_FLOWS: Final = ("flows", "entered", "entered_only", "left_only")
_NUL: Final = rb"\u0000"
_PERHAPS_ENDLESS: Final = re.compile(rb"NaN|Infinity|[:,\[\s]-?[0-9.]+[eE]\+?[0-9]{3}|[0-9]{200}")
"""What a payload has where one of its numbers may be none, or too large for a float, as 210 digits with two of an
exponent; nearly no other has it."""
_ID: Final = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME: Final = 100
_LONGEST_FLAGS: Final = 200
"""Together they fit into an entry of an index of PostgreSQL, 2,704 bytes."""
_MODEL: Final = re.compile(r"[0-9a-f]{12}")
_INSTALLATION: Final = re.compile(r"[0-9a-f]{8}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LEVEL: Final = re.compile(r"[a-z0-9-]+")
_EDGE: Final = re.compile(r"[0-9]{1,4}")
_M = TypeVar("_M", bound=Payload)


class UnreadableError(EdgeAppError, ValueError):
    """A message that no device of the contract sends."""


class NewestOfLine(Payload):
    """Numbers of a line as the reply to `ping` tells them."""

    newest_seq: Number


class PingResult(Payload):
    """Result of `ping`, as far as it is used: installation -> line -> its numbers."""

    installations: Mapping[str, Mapping[str, NewestOfLine]] = Field(default_factory=dict)


class MissingNumbers(Payload):
    """Numbers that did not come, both included, and why."""

    from_seq: Number
    to_seq: Number
    reason: str


class ResendResult(Payload):
    """Result of `resend`, as far as it is used."""

    missing: Sequence[MissingNumbers] = ()


def read_payload(model: type[_M], payload: bytes) -> _M:
    """Return a message of this model. Raises UnreadableError."""
    if _NUL in payload:
        raise UnreadableError("a text has the character NUL, which no database takes")
    try:
        message = model.model_validate_json(payload)
    except ValidationError as error:
        raise _unreadable(error) from None
    if _PERHAPS_ENDLESS.search(payload):
        json.loads(payload, parse_constant=_finite, parse_float=_finite, parse_int=_finite)
    return message


def read_result(model: type[_M], result: Mapping[str, Any] | None) -> _M:
    """Return the result of a reply as a model. Raises UnreadableError."""
    try:
        return model.model_validate(result or {})
    except ValidationError as error:
        raise _unreadable(error) from None


def _unreadable(error: ValidationError) -> UnreadableError:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the message"  # keys, which the message chooses
    return UnreadableError(f"{clean(where[:_LONGEST_NAME])}: {clean(first['msg'][:200])}")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise UnreadableError(f"{number[:20]} is no number that a database or a float holds")
    return value


def read_shadow(name: LineName, payload: bytes) -> ShadowMessage:
    """Return the comparison of a line. Raises UnreadableError: also when it is not that of its topic."""
    message = read_payload(ShadowMessage, payload)
    if (message.site, message.device, message.line) != name:
        raise UnreadableError("site, device and line: are not those of the topic")
    check_name(name, message.installation)
    check_newest(message.seq)
    for model in (message.model, message.in_service.model):
        if not _MODEL.fullmatch(model):
            raise UnreadableError(f"model: {model[:80]!r} is not 12 hexadecimal digits")
    every = (ways for one in (message, message.in_service) for ways in one.counts.values())
    if any(max(ways.left_to_right, ways.right_to_left) > _MOST_VEHICLES for ways in every):
        raise UnreadableError(f"counts: more than {_MOST_VEHICLES:,} vehicles")
    if not 0 <= message.start.timestamp() < FAR:
        raise UnreadableError("start: is no time that a calendar has")
    return message


def read_levels(topic: str, root: str) -> list[str]:
    """Return the levels of a topic below the root of all. Raises UnreadableError: for that of no device.

    A broker may deliver such a one: a topic that is no UTF-8 arrives as none.
    """
    begin, *levels = topic.removeprefix(root).split("/")
    if not topic.startswith(root) or begin or len(levels) < len(("site", "device", "kind")):
        raise UnreadableError("topic: is that of no device")
    return levels


def check_name(name: LineName, installation: str = "") -> None:
    """Refuse what is no name of a line, or no id of an installation; the database could not put it into an index.

    Raises UnreadableError: naming what is wrong.
    """
    if not _NAME.fullmatch(name.line):
        raise UnreadableError(f"line: {name.line[:80]!r} is no name of a line")
    for level in (name.site, name.device):
        if len(level) > _LONGEST_NAME:
            raise UnreadableError(f"site or device: longer than {_LONGEST_NAME} characters")
        if not _LEVEL.fullmatch(level):
            raise UnreadableError(f"site or device: {level[:80]!r} has other signs than a-z, 0-9 and hyphens")
    if installation and not _INSTALLATION.fullmatch(installation):
        raise UnreadableError(f"installation: {installation[:80]!r} is not 8 hexadecimal digits")


def check_newest(seq: int) -> int:
    """Return the newest number that a device tells of. Raises UnreadableError: for one that no device reaches."""
    if not 0 <= seq <= _HIGHEST:
        raise UnreadableError(f"newest number: must be 0 to {_HIGHEST}")
    return seq


def check_text(text: str, key: str, longest: int = _LONGEST_NAME) -> str:
    """Return a text that goes into an index. Raises UnreadableError: when it is longer than any device's."""
    if len(text) > longest:
        raise UnreadableError(f"{key}: longer than {longest} characters")
    return text


def read_counts(name: LineName, payload: bytes, arrived: float) -> Interval:
    """Return the interval of a message on `counts/{line}`.

    name: of the topic. arrived: UTC s. Raises UnreadableError: for anything that no device sends.
    """
    message = read_payload(CountsMessage, payload)
    if name.line == FLOWS:
        raise UnreadableError(f"line: {name.line!r} is no name of a line")
    _check_measures(message)
    measures = {key: message.model_dump(mode="json", include={key})[key] for key in MEASURES if getattr(message, key)}
    return _interval(
        name,
        message,
        arrived,
        counts=_vector(message.counts, _MOST_VEHICLES),
        totals=_vector(message.totals, 2**53),
        others=_others(message.counts),
        measures=json.dumps(measures, sort_keys=True) if measures else "",
    )


def _check_measures(message: CountsMessage) -> None:
    counted = sum(n.left_to_right + n.right_to_left for n in message.counts.values())
    if sum((message.doubtful or {}).values()) > min(counted, _MOST_VEHICLES):
        raise UnreadableError("doubtful: more than it counts, or than any road has")
    speeds = (sums for ways in (message.speed or {}).values() for sums in ways.values())
    if not all(_EDGE.fullmatch(edge) for sums in speeds for edge in sums.bins):
        raise UnreadableError("speed: a bin whose edge is no speed in km/h")


def read_flows(name: LineName, payload: bytes, arrived: float) -> Interval:
    """Return the interval of a message on `flows`; otherwise like `read_counts`."""
    message = read_payload(FlowsMessage, payload)
    content = message.model_dump(mode="json", include=set(_OF_FLOWS))
    return _interval(name, message, arrived, measures=json.dumps(content, sort_keys=True))


@dataclass(frozen=True, slots=True)
class ReadReview:
    """A picture of a crossing that a device has sent. at: UTC s. box: px of the picture. picture: JPEG."""

    id: UUID
    name: LineName
    at: int
    label: str
    direction: str
    score: float
    doubtful: bool
    stands_for: int
    model: str
    box: tuple[int, int, int, int]
    picture: bytes


def read_review(name: LineName, payload: bytes) -> ReadReview:
    """Return the picture of a message on `reviews/{line}`. Raises UnreadableError: for what no device sends."""
    message = read_payload(ReviewMessage, payload)
    if LineName(message.site, message.device, message.line) != name:
        raise UnreadableError("site, device and line are not those of the topic")
    check_name(name)
    check_text(message.model, "model")
    if message.label not in _VEHICLES:
        raise UnreadableError("class: none of the vehicles")
    if max(message.box) > _LONGEST_SIDE:
        raise UnreadableError("box: beyond any picture")
    try:
        picture = base64.b64decode(message.picture, validate=True)
    except ValueError:
        raise UnreadableError("picture: is no base64") from None
    if len(picture) > _LARGEST_PICTURE:
        raise UnreadableError("picture: larger than any device sends")
    if not picture.startswith(_JPEG):
        raise UnreadableError("picture: is no JPEG")
    at = int(message.at.timestamp())
    if not 0 <= at <= FAR:
        raise UnreadableError("at: no time between 1970 and 2999")
    return ReadReview(
        UUID(message.id),
        name,
        at,
        message.label,
        message.direction,
        message.score,
        message.doubtful,
        message.stands_for,
        message.model,
        message.box,
        picture,
    )


def _interval(
    name: LineName,
    message: CountsMessage | FlowsMessage,
    arrived: float,
    *,
    counts: Vector = NONE,
    totals: Vector = NONE,
    others: str = "",
    measures: str,
) -> Interval:
    if LineName(message.site, message.device, message.line) != name:
        raise UnreadableError("site, device and line are not those of the topic")
    check_name(name)
    start, end = _second(message.start, "start"), _second(message.end, "end")
    if start < 0 or end > FAR:
        raise UnreadableError("start, end: no times between 1970 and 2999, of which every calendar has the days")
    if not 0 < end - start <= _LONGEST_S:
        raise UnreadableError("end: an interval is longer than 0 s and at most a day")
    if not 1 <= message.seq <= _HIGHEST:
        raise UnreadableError(f"seq: must be 1 to {_HIGHEST}, not {message.seq}")
    if max(message.frames, message.dropped) > _MOST_FRAMES:
        raise UnreadableError("frames or dropped: a number that no device reaches")
    flags = ",".join(sorted({flag.replace(",", " ")[:40] for flag in message.quality}))
    check_text(flags, "quality", _LONGEST_FLAGS)
    for key in ("model", "config", "boot_id"):
        check_text(getattr(message, key), key)
    return Interval(
        id=_identity(message.id),
        name=name,
        installation=message.installation,
        seq=message.seq,
        start=start,
        end=end,
        counts=counts,
        totals=totals,
        coverage=message.coverage,
        frames=message.frames,
        dropped=message.dropped,
        settings=Settings(message.model, message.config, message.boot_id, float(message.interval_s), flags),
        others=others,
        measures=measures,
        aside=end > arrived + AHEAD_S,
    )


def _identity(text: str) -> UUID:
    """Return an id as 16 bytes: that of every device of ours as it is, any other text as its hash."""
    return UUID(text if _ID.fullmatch(text) else hashlib.sha256(text.encode()).hexdigest()[:32])


def _second(at: datetime, key: str) -> int:
    if at.microsecond:
        raise UnreadableError(f"{key}: intervals begin and end at whole seconds")
    return int(at.timestamp())


def _vector(counts: Mapping[str, DirectionCounts], most: int) -> Vector:
    vector: Vector = ()
    for name in VEHICLES:
        ways = counts.get(name)
        vector += (ways.left_to_right, ways.right_to_left) if ways else (0, 0)
    if max(vector) > most:
        raise UnreadableError(f"counts: {max(vector)} is more than any road has")
    return vector


def _others(counts: Mapping[str, DirectionCounts]) -> str:
    if counts.keys() <= _VEHICLES:
        return ""
    unknown = {
        name: {way: getattr(ways, way) for way in DIRECTIONS} for name, ways in counts.items() if name not in _VEHICLES
    }
    return json.dumps(unknown, sort_keys=True)
