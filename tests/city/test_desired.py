"""The office's layer: what a change makes of it, what the audit says, and payloads of every kind."""

from __future__ import annotations

import json

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


@given(st.binary(max_size=200))
def test_no_payload_raises(payload: bytes) -> None:
    read_desired(payload)
    read_desired(signed(payload.decode("latin-1")))
    read_reported(payload)
