"""Payloads: the contract's example, stable ids and bytes, and schemas that fit what is published."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.errors import ConfigError
from edge_app.mqtt import encoding, identity, schemas
from edge_app.mqtt.identity import Device
from edge_app.mqtt.messages import CountsMessage, Health, LineMeta, Location, Meta, SourceHealth, Status
from edge_app.records import DIRECTIONS, VEHICLES, Counts, IntervalCounts
from edge_app.storage.sqlite import ClosedInterval
from tests.support.schemas import validate

DEVICE = Device("delft", "cam-1", "boot", "0.1.0", "ab" * 32, "cd" * 32)
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp()


def closed(
    line: str = "north", start: float = NOON, interval_s: float = 60.0, counts: Counts | None = None
) -> ClosedInterval:
    counts = counts or {"car": {"left_to_right": 3, "right_to_left": 0}}
    return ClosedInterval(IntervalCounts(line, start, interval_s, counts, 59.4, 890, 2, ("dark",)), 7, counts, "boot")


def test_counts_match_the_contract_exactly() -> None:
    payload = encoding.with_late(encoding.encode_counts(DEVICE, closed()), False)
    assert validate("counts", payload) == {
        "schema": "edge-app/counts/1",
        "id": identity.interval_id(DEVICE, "north", NOON),
        "site": "delft",
        "device": "cam-1",
        "line": "north",
        "start": "2026-11-23T12:00:00Z",
        "end": "2026-11-23T12:01:00Z",
        "interval_s": 60,
        "counts": {"car": {"left_to_right": 3, "right_to_left": 0}},
        "totals": {"car": {"left_to_right": 3, "right_to_left": 0}},
        "seq": 7,
        "boot_id": "boot",
        "coverage": 0.99,
        "frames": 890,
        "dropped": 2,
        "quality": ["dark"],
        "late": False,
        "model": "abababababab",
        "config": "cdcdcdcdcdcd",
    }
    assert '"interval_s":60,' in payload


def test_interval_ids_never_change() -> None:
    """Consumers have stored them: with changed ids they would count a road's history twice."""
    assert identity.interval_id(DEVICE, "north", NOON) == "8f1d2762eff2173045ad43a41c2bce80"


def test_interval_ids_differ_by_device_line_and_start() -> None:
    other = Device("delft", "cam-2", "boot", "0.1.0")
    intervals = [(DEVICE, "north", NOON), (other, "north", NOON), (DEVICE, "south", NOON), (DEVICE, "north", NOON + 60)]
    assert len({identity.interval_id(*interval) for interval in intervals}) == len(intervals)


both = st.fixed_dictionaries({direction: st.integers(0, 10**9) for direction in DIRECTIONS})


@settings(deadline=None, max_examples=50)
@given(
    st.text(min_size=1, max_size=20),
    st.integers(0, 4_000_000_000).map(float),
    st.sampled_from([1.0, 10.0, 60.0, 0.5]),
    st.dictionaries(st.sampled_from(VEHICLES), both, min_size=1),
    st.booleans(),
)
def test_every_interval_fits_its_schema_and_can_be_read_back(
    line: str, start: float, interval_s: float, counts: Counts, late: bool
) -> None:
    interval = closed(line, start, interval_s, counts)
    payload = encoding.with_late(encoding.encode_counts(DEVICE, interval), late)
    assert payload == encoding.with_late(encoding.encode_counts(DEVICE, interval), late)
    validate("counts", payload)
    back = CountsMessage.model_validate_json(payload)
    assert (back.line, back.start.timestamp(), back.interval_s, back.late) == (line, start, interval_s, late)
    assert {label: both.model_dump() for label, both in back.counts.items()} == counts


def test_a_reader_accepts_keys_that_were_added_later() -> None:
    newer = json.loads(encoding.encode_status(DEVICE, "online", NOON)) | {"added": "later"}
    assert Status.model_validate(newer).state == "online"
    validate("status", json.dumps(newer))


@pytest.mark.parametrize("key", ["counts", "totals", "seq", "coverage", "late", "id"])
def test_the_schema_requires_every_key_of_the_contract(key: str) -> None:
    document = json.loads(encoding.with_late(encoding.encode_counts(DEVICE, closed()), False))
    del document[key]
    with pytest.raises(jsonschema.ValidationError):
        validate("counts", json.dumps(document))


def test_status_meta_and_health_fit_their_schemas() -> None:
    meta = Meta(
        site="delft",
        device="cam-1",
        location=Location(lat=52.0, lon=4.36),
        time_zone="Europe/Amsterdam",
        lines=[LineMeta(id="north", start=(0.1, 0.5), end=(0.9, 0.5), names={"left_to_right": "northbound"})],
        classes=["car"],
        interval_s=60,
        model="ab",
        config="cd",
        version="0.1.0",
    )
    at = datetime.fromtimestamp(NOON, timezone.utc)
    health = Health(at=at, frames_per_s=15.0, frames_dropped=0, unsent=0, source=SourceHealth(state="ok"))
    status = encoding.encode_status(DEVICE, "offline", NOON + 0.25)
    assert validate("status", status)["at"] == "2026-11-23T12:00:00.250000Z"
    assert validate("meta", encoding.encode(meta))["lines"][0]["names"] == {"left_to_right": "northbound"}
    assert validate("health", encoding.encode(health))["at"] == "2026-11-23T12:00:00Z"


@pytest.mark.parametrize("name", ["", "Delft", "a/b", "a b", "a+", "#", "é"])
def test_a_name_that_cannot_be_part_of_a_topic_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="site: "):
        Device(name, "cam-1", "boot", "0.1.0")
    with pytest.raises(ConfigError, match="device: "):
        Device("delft", name, "boot", "0.1.0")


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [reference for child in node.values() for reference in references(child)]
    return [reference for child in node for reference in references(child)] if isinstance(node, list) else []


def resolve(document: Any, reference: str) -> Any:
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


def test_asyncapi_is_complete() -> None:
    document = json.loads(json.dumps(schemas.asyncapi("0.1.0")))
    assert document["asyncapi"] == "3.0.0"
    assert all(resolve(document, reference) for reference in references(document))
    bindings = {
        resolve(document, operation["channel"]["$ref"])["address"]: operation["bindings"]["mqtt"]
        for operation in document["operations"].values()
    }
    prefix = "traffic/v1/{site}/{device}"
    assert {address: (binding["qos"], binding["retain"]) for address, binding in bindings.items()} == {
        f"{prefix}/status": (1, True),
        f"{prefix}/meta": (1, True),
        f"{prefix}/counts/{{line}}": (1, False),
        f"{prefix}/latest/{{line}}": (1, True),
        f"{prefix}/health": (0, False),
    }
    for name, channel in document["channels"].items():
        assert set(channel["parameters"]) == {part[1:-1] for part in channel["address"].split("/") if part[0] == "{"}
        message = resolve(document, next(iter(channel["messages"].values()))["$ref"])
        assert resolve(document, message["payload"]["$ref"])["title"] == schemas.schemas()[name]["title"]
