"""The office's layer: what a change makes of it, what the audit says, and payloads of every kind."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.city.desired import (
    Change,
    Layer,
    Reported,
    changed,
    differences,
    document,
    json_in,
    read_desired,
    read_reported,
)

LAYER = Layer({"counting": {"interval_s": 300, "dead_band": 0.2}, "log": {"level": "debug"}}, ("detector.region",))


def test_a_change_keeps_what_it_does_not_name() -> None:
    made = changed(
        LAYER, Change({"counting.interval_s": 60, "detector.score": 0.4}, ("log.level",), ("counting.dead_band",))
    )
    assert made.set == {"counting": {"interval_s": 60}, "detector": {"score": 0.4}}
    assert made.unset == ("detector.region", "log.level")


def test_setting_or_leaving_a_key_takes_back_its_default() -> None:
    assert changed(LAYER, Change({"detector.region": [[0, 0], [1, 1]]})).unset == ()
    assert changed(LAYER, Change(left=("detector.region",))).unset == ()


def test_lines_are_one_key() -> None:
    lines = [{"id": "a", "start": [0, 0.5], "end": [1, 0.5]}]
    made = changed(Layer(), Change({"lines": lines}))
    assert made.set == {"lines": lines}
    assert changed(made, Change(left=("lines",))).set == {}


def test_the_audit_has_old_and_new() -> None:
    after = changed(LAYER, Change({"counting.interval_s": 60}, ("log.level",)))
    assert differences(LAYER, after) == {
        "counting.interval_s": [300, 60],
        "log.level": ["debug", "default"],
    }
    assert differences(LAYER, LAYER) == {}


def signed(text: str) -> bytes:
    return json.dumps(
        {"schema": "edge-app/signed/1", "key": "0123abcd", "signature": "A" * 86, "document": text}
    ).encode()


def test_what_was_sent_is_read_again() -> None:
    text = json.dumps(document(LAYER, 12, "2026-12-01T10:00:00Z", "anna"))
    assert read_desired(signed(text)) == (LAYER, 12)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[", b"\xff", signed("{}"), signed("["), signed('{"schema": 1}')])
def test_anything_else_is_no_layer(payload: bytes) -> None:
    assert read_desired(payload) == (Layer(), 0)


REPORT = {
    "schema": "edge-app/config-reported/1",
    "state": "rolled_back",
    "revision": 11,
    "highest": 12,
    "problems": ["no frames"],
}


def test_a_report_is_read() -> None:
    assert read_reported(json.dumps(REPORT).encode()) == Reported("rolled_back", 11, 12, ("no frames",))


@pytest.mark.parametrize("wrong", [{"schema": "x"}, {"state": "new"}, {"state": ["none"]}])
def test_what_is_no_report_is_unknown(wrong: dict[str, object]) -> None:
    assert read_reported(json.dumps(REPORT | wrong).encode()).state == "unknown"


ODD = [
    '{"log": {"level": "\\ud800"}}',
    '{"detector": {"score": NaN}}',
    '{"detector": {"score": 1e999}}',
    '{"lines": [null]}',
    '{"log": ' * 200 + "1" + "}" * 200,
]


@pytest.mark.parametrize("tables", ODD)
def test_what_no_configuration_holds_is_no_layer_even_where_it_is_signed(tables: str) -> None:
    text = json.dumps(document(LAYER, 12, "2026-12-01T10:00:00Z", "anna") | {"set": 12345}).replace("12345", tables)
    assert read_desired(signed(text)) == (Layer(), 0)


@pytest.mark.parametrize("revision", [-1, 2**53, 1.5, "12", True, 10**400])
def test_a_number_that_is_no_revision_is_none(revision: object) -> None:
    assert read_desired(signed(json.dumps(document(LAYER, 1, "x", "anna") | {"revision": revision})))[1] == 0
    assert read_reported(json.dumps(REPORT | {"highest": revision}).encode()).highest == 0


def test_a_text_of_a_device_can_be_written_and_shown() -> None:
    told = {"problems": ["a\0b", "\x1b[2Jc", "d\u202ee"], "release": {"id": "1", "state": "back", "problem": "f\0"}}
    found = read_reported(json.dumps(REPORT | told).encode())
    assert found.problems == ("a b", " [2Jc", "d e")
    assert found.release is not None
    assert found.release.problem == "f "
    halves = json.dumps(REPORT | {"problems": ["\ud800"]}).encode()
    assert read_reported(halves).state == "unknown", "no text at all"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=8,
)


@given(anything)
def test_every_text_that_is_read_has_an_encoding_and_no_command_for_a_terminal(content: object) -> None:
    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (text for one in value for text in texts(one))
        elif isinstance(value, dict):
            yield from (text for pair in value.items() for one in pair for text in texts(one))

    for text in texts(json_in(json.dumps(content).encode())):
        assert text.isprintable()
        assert text.encode("utf-8", "strict") is not None


@given(st.binary(max_size=200))
def test_no_payload_raises(payload: bytes) -> None:
    read_desired(payload)
    read_desired(signed(payload.decode("latin-1")))
    read_reported(payload)
