"""Whatever stands at whatever place of a message: a neighbour's counts are stored, sums go on, and the page answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from edge_app.city.api import build_api
from edge_app.city.asking import Asking
from edge_app.city.database.engine import Database
from edge_app.city.database.tables import INTERVAL, LINE
from edge_app.city.ingest import Worker
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from edge_app.mqtt.events import Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from tests.city.test_poison import COUNTS, DEVICE, REPLY, Given
from tests.support.city_api import client_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
NOW: Final = int(datetime(2026, 11, 30, tzinfo=timezone.utc).timestamp())
SITE: Final = "harbour-pole-7-quay-road"
SPAN: Final = "?from=2026-11-25T00:00:00Z&to=2026-11-30T00:00:00Z"
PATHS: Final = (
    *("/metrics", "/api/v1/fleet", "/api/v1/devices", "/api/v1/devices/harbour/pole-7"),
    *("/api/v1/devices/harbour/pole-7/office", f"/api/v1/devices/harbour/pole-7/figures{SPAN}"),
    *("/api/v1/sites", "/api/v1/sites.geojson", "/api/v1/gaps", "/api/v1/reviews", "/api/v1/inventory.csv"),
    *(f"/api/v1/sites/{SITE}/{what}{SPAN}" for what in ("changes", "measures", "counts", "hours")),
)
"""What is read of a device once more for each message."""
TOPICS: Final = {
    **{kind: kind for kind in ("status", "meta", "health", "flows")},
    "meta_config": "meta/c222920fa583",
    "config_reported": "config/reported",
    "replies": "replies/ping",
    **{kind: f"{kind}/quay-road" for kind in ("counts", "shadow", "reviews")},
    "config_desired": "config/desired",
}
CONTENTS: Final[dict[str, Any]] = {
    **EXAMPLES,
    "replies": {**REPLY, "result": {"installations": {"5b1f09c4": {"main": {"first_seq": 1, "newest_seq": 2}}}}},
    "config_desired": {
        "schema": "edge-app/config-desired/1",
        "revision": 3,
        "at": "2026-11-29T10:00:00Z",
        "author": "the office",
        "set": {"counting": {"classes": ["car", "bus"], "dead_band": 0.2}},
        "unset": ["detector.region"],
    },
}
LONG: Final = random.Random(2).randbytes(5_000).hex()
ODD: Final = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", f"1{'0' * 290}e99", "1e308", "-0.0", "0", "-1", "1.5"),
    *(str(2**31), str(2**53 - 1), str(2**63), str(-(2**63) - 1), str(2**64), f"1{'0' * 280}", "9" * 5_000),
    *(r'"a\ud800b"', r'"a\u0000b"', r'"\u001b[2J\r\n\u202e"', r'"\ud83d\ude97"', '""', '"x"', f'"{LONG}"'),
    *('"0001-01-01T00:00:00Z"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
    *('"1969-12-31T23:59:00Z"', '"2026-11-29T09:11:00"', '"Mars/Olympus"', '"../../etc/localtime"', '"posix/UTC"'),
    *("null", "true", "[]", "{}", "[1, 2, 3]", '"' + "y" * 250_000 + '"', r'{"a\u0000": 1}', r'{"\ud800": 1}'),
    *("[" * depth + "]" * depth for depth in (20, 190, 1_000, 100_000)),
    '{"a": ' * 150 + "1" + "}" * 150,
    '{"x": {"left_to_right": 9007199254740991, "right_to_left": 0}}',
    '{"z": 9007199254740991}',
)
"""JSON, or nearly, that stands in place of a value."""
_PLACE: Final = "@the place@"


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value within a content, and one to a further key of each table."""
    yield at
    if isinstance(content, dict):
        yield (*at, "a key of tomorrow")
    for key, inner in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(inner, dict | list):
            yield from places(inner, (*at, key))
        else:
            yield (*at, key)


def replaced(content: Any, at: tuple[Any, ...]) -> Any:
    """Return a content with the mark at a place."""
    if not at:
        return _PLACE
    key, *rest = at
    if isinstance(content, dict):
        return {**content, key: replaced(content.get(key), tuple(rest))}
    return [replaced(one, tuple(rest)) if number == key else one for number, one in enumerate(content)]


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Draw a message with one odd value or key, or with an odd frame around it."""
    kind = draw(st.sampled_from(sorted(TOPICS)))
    content = CONTENTS[kind]
    how = draw(st.sampled_from(("value", "value", "value", "key", "frame")))
    text = json.dumps(content)
    if how == "value":
        at, odd = draw(st.sampled_from(sorted(places(content), key=str))), draw(st.sampled_from(ODD))
        text = json.dumps(replaced(content, at)).replace(json.dumps(_PLACE), odd)
    elif how == "key":
        key = draw(st.sampled_from(sorted(content)))
        odd = draw(st.sampled_from([one for one in ODD if one.startswith('"')]))
        text = text.replace(json.dumps(key), odd, 1)
    if kind == "config_desired":
        text = json.dumps(
            {"schema": "edge-app/signed/1", "key": "0" * 8, "signature": "A" * 86, "document": text}, ensure_ascii=False
        )
    payload = text.encode()
    if how == "frame":
        payload = draw(st.sampled_from([*_framed(payload)]) | st.binary(max_size=40))
    return Message(f"{DEVICE}/{TOPICS[kind]}", payload, qos=1, retained=draw(st.booleans()))


def _framed(payload: bytes) -> Iterator[bytes]:
    yield from (b"\xef\xbb\xbf" + payload, payload.decode().encode("utf-16"), payload + b"\0", payload + b"}", b"")
    yield payload[:-1] + b", " + payload[1:]  # every key twice
    yield payload.replace(b'"', b'"\xff', 1)
    yield payload[:-7]
    yield payload + b" " * 256_000


@dataclass
class World:
    """A worker whose clock jumps, so that each of its turns does all that is due, and a client of its page."""

    database: Database
    http: httpx.Client
    inbox: Given = field(default_factory=lambda: Given([]))
    time: float = 0.0
    sent: int = 0

    def __post_init__(self) -> None:
        asking = Asking()
        self.worker = Worker(self.inbox, self.database, ROOT, asking=asking, utc=lambda: float(NOW), clock=self._clock)

    def _clock(self) -> float:
        self.time += 0.05
        return self.time

    def turn(self, *given: Message) -> None:
        """Take messages, the last of which is a neighbour's, and hold the city to what it promises."""
        self.inbox.batch = [*given, self._neighbour()]
        before = len(self.inbox.stored)
        self.worker.turn()
        self.time += 6.0
        assert self.worker.tally.database_problem == ""
        assert len(self.inbox.stored) == before + len(given) + 1
        with self.database.connect() as connection:
            of_neighbour = select(func.count()).select_from(INTERVAL).join(LINE, LINE.c.id == INTERVAL.c.line_id)
            assert connection.execute(of_neighbour.where(LINE.c.device == "pole-8")).scalar_one() == self.sent
        for path in PATHS:
            answer = self.http.get(path)
            assert answer.status_code == httpx.codes.OK, (path, answer.text)

    def _neighbour(self) -> Message:
        self.sent += 1
        begin, end = (
            datetime.fromtimestamp(NOW - 200_000 + 60 * number, timezone.utc).isoformat()
            for number in (self.sent, self.sent + 1)
        )
        own = {"device": "pole-8", "id": f"{self.sent:032x}", "seq": self.sent, "start": begin, "end": end}
        return Message(f"{ROOT}/harbour/pole-8/counts/quay-road", json.dumps({**COUNTS, **own}).encode(), qos=1)


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    with client_of(build_api(City(database, Live(), utc=lambda: float(NOW)))) as http:
        made = World(database, http)
        usual = ("meta", "status", "health", "counts", "config_reported")
        made.turn(*(Message(f"{DEVICE}/{TOPICS[kind]}", json.dumps(CONTENTS[kind]).encode(), 1) for kind in usual))
        yield made


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(odd=messages())
def test_no_value_stops_the_ingest_the_sums_or_the_page(world: World, odd: Message) -> None:
    world.turn(odd)
