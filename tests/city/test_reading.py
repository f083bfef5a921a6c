"""Messages that devices send are read; what none sends is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.city.reading import UnreadableError, read_counts, read_flows
from edge_app.city.records import LineName
from edge_app.mqtt.count_messages import MEASURES
from edge_app.mqtt.examples import EXAMPLES
from tests.city.cases import vector

MESSAGE: dict[str, Any] = dict(EXAMPLES["counts"])
NAME = LineName(MESSAGE["site"], MESSAGE["device"], MESSAGE["line"])


def payload(**values: Any) -> bytes:
    return json.dumps({**MESSAGE, **values}).encode()


def test_the_contracts_example_is_read_whole() -> None:
    interval = read_counts(NAME, payload(), 2e9)
    assert interval.id.hex == MESSAGE["id"]
    assert (interval.name, interval.seq, interval.end - interval.start) == (NAME, MESSAGE["seq"], 60)
    assert sum(interval.counts) == sum(sum(ways.values()) for ways in MESSAGE["counts"].values())
    assert not interval.aside


def test_a_class_of_a_newer_release_is_kept_beside_the_known_ones() -> None:
    counts = {"car": {"left_to_right": 3, "right_to_left": 0}, "scooter": {"left_to_right": 2, "right_to_left": 1}}
    interval = read_counts(NAME, payload(counts=counts), 2e9)
    assert interval.counts == vector(3)
    assert json.loads(interval.others) == {"scooter": {"left_to_right": 2, "right_to_left": 1}}


def test_an_id_of_another_form_is_one_too() -> None:
    one, other = (read_counts(NAME, payload(id=text), 2e9).id for text in ("first", "second"))
    assert one == read_counts(NAME, payload(id="first"), 2e9).id
    assert one != other


def test_what_ends_in_the_future_is_set_aside() -> None:
    end = read_counts(NAME, payload(), 2e9).end
    assert read_counts(NAME, payload(), end - 301).aside
    assert not read_counts(NAME, payload(), end - 299).aside


def test_measures_are_kept_as_they_came() -> None:
    interval = read_counts(NAME, payload(), 2e9)
    assert json.loads(interval.measures) == {key: MESSAGE[key] for key in MEASURES}
    plain = {key: value for key, value in MESSAGE.items() if key not in MEASURES}
    assert read_counts(NAME, json.dumps(plain).encode(), 2e9).measures == ""


def test_the_contracts_flows_are_read() -> None:
    message = EXAMPLES["flows"]
    name = LineName(message["site"], message["device"], "_flows")
    interval = read_flows(name, json.dumps(message).encode(), 2e9)
    assert json.loads(interval.measures)["flows"] == message["flows"]
    assert (sum(interval.counts), interval.seq) == (0, message["seq"])
    with pytest.raises(UnreadableError, match="no name of a line"):
        read_counts(name, json.dumps({**MESSAGE, "line": "_flows"}).encode(), 2e9)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"site": "elsewhere"}, "not those of the topic"),
        ({"start": "2026-11-29T09:13:00Z"}, "longer than 0 s and at most a day"),
        ({"start": "2026-11-27T09:13:00Z"}, "longer than 0 s and at most a day"),
        ({"start": "2026-11-29T09:11:00.5Z"}, "whole seconds"),
        ({"seq": 0}, "seq: must be 1 to"),
        ({"seq": 10**9}, "seq: must be 1 to"),
        ({"coverage": 1.5}, "coverage"),
        ({"counts": {"car": {"left_to_right": 2**40, "right_to_left": 0}}}, "more than any road has"),
        ({"counts": {"car": {"left_to_right": -1, "right_to_left": 0}}}, "counts.car.left_to_right"),
        ({"frames": 2**50}, "a number that no device reaches"),
        ({"installation": "x"}, "installation"),
        ({"model": "a\0b"}, "the character NUL"),
    ],
)
def test_what_no_device_sends_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        read_counts(NAME, payload(**values), 2e9)
    assert words in str(refused.value)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_payload_ends_the_reader(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        read_counts(NAME, data, 2e9)
