"""Payloads: the contract's example, stable ids and bytes, and schemas that fit what is published."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.errors import ConfigError
from edge_app.mqtt import encoding, identity, schemas
from edge_app.mqtt.count_messages import CountsMessage
from edge_app.mqtt.device_messages import Health, LineMeta, Location, Meta, SourceHealth, Status
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import Device
from edge_app.records import DIRECTIONS, FLOWS, VEHICLES, Counts, IntervalCounts, Sums
from edge_app.storage.outbox import ClosedInterval
from tests.support.schemas import validate

DEVICE = Device("delft", "cam-1", "boot", "0.1.0", "ab" * 32, "cd" * 32)
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp()


def closed(
    line: str = "north", start: float = NOON, interval_s: float = 60.0, counts: Counts | None = None
) -> ClosedInterval:
    counts = counts or {"car": {"left_to_right": 3, "right_to_left": 0}}
    interval = IntervalCounts(line, start, interval_s, counts, 59.4, 890, 2, ("dark",))
    return ClosedInterval(interval, 7, counts, "boot", "0123abcd")


def test_counts_match_the_contract_exactly() -> None:
    payload = encoding.with_late(encoding.encode_counts(DEVICE, closed()), False)
    assert validate("counts", payload) == {
        "schema": "edge-app/counts/1",
        "id": identity.interval_id(DEVICE, "north", NOON, 60.0, "0123abcd", "boot"),
        "site": "delft",
        "device": "cam-1",
        "line": "north",
        "start": "2026-11-23T12:00:00Z",
        "end": "2026-11-23T12:01:00Z",
        "interval_s": 60,
        "installation": "0123abcd",
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


def test_measures_are_there_where_they_are_measured_and_every_vehicle_is_in_them() -> None:
    speed: Sums = {"car": {"left_to_right": {"n": 2, "sum": 91.234, "sum_inverse": 0.0439124, "bins": {"44": 2}}}}
    measures: dict[str, Sums] = {"speed": speed, "queue": {"vehicle_s": 3.14159, "any_s": 2.0, "most": 2}}
    counts: Counts = {"car": {"left_to_right": 3, "right_to_left": 1}, "bus": {"left_to_right": 0, "right_to_left": 0}}
    interval = replace(closed(counts=counts).counts, measures=measures)
    payload = encoding.with_late(encoding.encode_counts(DEVICE, replace(closed(), counts=interval)), False)
    message = validate("counts", payload)
    assert message["speed"] == {
        "car": {
            "left_to_right": {"n": 2, "unmeasured": 1, "sum": 91.23, "sum_inverse": 0.043912, "bins": {"44": 2}},
            "right_to_left": {"n": 0, "unmeasured": 1, "sum": 0.0, "sum_inverse": 0.0, "bins": {}},
        }
    }
    assert message["queue"] == {"vehicle_s": 3.14, "any_s": 2.0, "most": 2}
    assert not {"headway", "occupancy"} & set(message)


def test_flows_have_a_message_of_their_own() -> None:
    flows: dict[str, Sums] = {"flows": {"a": {"b": {"car": 1}}}, "entered": {}, "entered_only": {}, "left_only": {}}
    interval = IntervalCounts(FLOWS, NOON, 60.0, {}, 60.0, 900, 0, measures=flows)
    payload = encoding.encode_counts(DEVICE, ClosedInterval(interval, 1, {}, "boot", "0123abcd"))
    message = validate("flows", encoding.with_late(payload, True))
    assert (message["flows"], message["seq"], message["late"]) == ({"a": {"b": {"car": 1}}}, 1, True)
    assert not {"counts", "totals"} & set(message)


def test_an_id_differs_in_all_that_tells_intervals_apart_and_never_changes() -> None:
    known = DEVICE, "north", NOON, 60.0, "0123abcd", "boot"
    assert identity.interval_id(*known) == "31abdb04092d008f5433d7bad531d6d2"
    other = Device("delft", "cam-2", "boot", "0.1.0")
    others = [(other, *known[1:])]
    for n, value in enumerate(("south", NOON + 60, 10.0, "0123abce", "boot2"), 1):
        others.append((*known[:n], value, *known[n + 1 :]))  # type: ignore[arg-type]
    assert len({identity.interval_id(*interval) for interval in (known, *others)}) == 7


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


def test_every_key_is_explained() -> None:
    for name, schema in schemas.schemas().items():
        for where, node in [(name, schema), *schema.get("$defs", {}).items()]:
            keys = [key for key in node.get("properties", {}) if key != "schema"]
            bare = [key for key in keys if not node["properties"][key].get("description")]
            assert not bare, f"{where}: {bare}"


def test_every_schema_is_valid_and_has_only_keywords_of_its_dialect() -> None:
    known = {keyword for part in VOCABULARIES for keyword in part} | {"examples", "title", "description", "default"}
    for name, schema in schemas.schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert keywords(schema) <= known, name
    assert schemas.schemas()["counts"]["properties"]["interval_s"]["exclusiveMinimum"] == 0
    assert schemas.schemas()["counts"]["properties"]["interval_s"]["type"] == "number"
    with pytest.raises(jsonschema.ValidationError):
        validate("counts", json.dumps({**EXAMPLES["counts"], "interval_s": 0}))


VOCABULARIES = (
    ("$schema", "$ref", "$defs", "type", "const", "enum", "pattern", "required", "properties", "additionalProperties"),
    ("items", "prefixItems", "minItems", "maxItems", "anyOf", "minimum", "maximum", "exclusiveMinimum", "format"),
    ("propertyNames",),
)


def keywords(schema: Any) -> set[str]:
    """Return the keywords of a schema and of all within it."""
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key in ("properties", "$defs"):
        found |= {keyword for child in schema.get(key, {}).values() for keyword in keywords(child)}
    for key in ("items", "additionalProperties", "propertyNames"):
        found |= keywords(schema.get(key))
    for key in ("anyOf", "prefixItems"):
        found |= {keyword for child in schema.get(key, []) for keyword in keywords(child)}
    return found


@pytest.mark.parametrize("channel", sorted(EXAMPLES))
def test_every_example_fits_its_schema(channel: str) -> None:
    validate(channel, json.dumps(EXAMPLES[channel]))


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
        f"{prefix}/meta/{{config}}": (1, True),
        f"{prefix}/counts/{{line}}": (1, False),
        f"{prefix}/latest/{{line}}": (1, True),
        f"{prefix}/flows": (1, False),
        f"{prefix}/latest/_flows": (1, True),
        f"{prefix}/crossings/{{line}}": (0, False),
        f"{prefix}/shadow/{{line}}": (1, False),
        f"{prefix}/reviews/{{line}}": (1, False),
        f"{prefix}/health": (0, False),
        f"{prefix}/commands/{{command}}": (1, False),
        f"{prefix}/replies/{{command}}": (1, False),
        f"{prefix}/commands/piece": (1, False),
        f"{prefix}/pieces/{{id}}": (1, False),
        f"{prefix}/config/desired": (1, True),
        f"{prefix}/config/reported": (1, True),
    }
    protocols = {name: server["protocol"] for name, server in document["servers"].items()}
    assert protocols == {"plain": "mqtt", "tls": "secure-mqtt", "websockets": "ws", "websockets_tls": "wss"}
    for name, channel in document["channels"].items():
        assert set(channel["parameters"]) == {part[1:-1] for part in channel["address"].split("/") if part[0] == "{"}
        message = resolve(document, next(iter(channel["messages"].values()))["$ref"])
        assert resolve(document, message["payload"]["$ref"])["title"] == schemas.schemas()[name]["title"]


def test_asyncapi_has_the_prefix_of_the_devices() -> None:
    document = schemas.asyncapi("0.1.0", "city/north")
    addresses = [channel["address"] for channel in document["channels"].values()]
    assert all(address.startswith("city/north/traffic/v1/{site}/{device}/") for address in addresses)
