"""Signed messages: what is signed, what is no such message, and that a message for one topic is none for another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_app.system.key_names import key_name
from edge_app.system.signatures import make_key, verify
from edge_app.system.signed import is_from, read_signed, write_signed

TOPIC = "traffic/v1/harbour/pole-7/commands/restart"


def test_a_message_is_from_the_key_that_has_signed_it_for_this_topic(tmp_path: Path) -> None:
    own, other = make_key(tmp_path / "own"), make_key(tmp_path / "other")
    name = key_name(own.public_key)
    text = write_signed(TOPIC, {"id": "city-1", "text": "größer"}, name, own.sign)
    signed = read_signed(json.loads(text))
    assert signed is not None
    assert json.loads(signed.document) == {"id": "city-1", "text": "größer"}
    assert is_from(signed, TOPIC, {name: own.public_key}, verify)
    assert not is_from(signed, TOPIC.replace("pole-7", "pole-8"), {name: own.public_key}, verify)
    assert not is_from(signed, TOPIC.replace("restart", "diagnose"), {name: own.public_key}, verify)
    assert not is_from(signed, TOPIC, {}, verify)
    assert not is_from(signed, TOPIC, {name: other.public_key}, verify)


GOOD = {"schema": "edge-app/signed/1", "key": "0123abcd", "signature": "A" * 86, "document": "{}"}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "text",
        {},
        GOOD | {"schema": "edge-app/command/1"},
        GOOD | {"key": "0123abc"},
        GOOD | {"key": 1},
        GOOD | {"signature": "A" * 85},
        GOOD | {"signature": "+" * 86},
        GOOD | {"document": {}},
        GOOD | {"document": "\ud800"},
    ],
)
def test_anything_else_is_no_signed_message(message: object) -> None:
    assert read_signed(message) is None


def test_the_form_is_read() -> None:
    signed = read_signed(GOOD)
    assert signed is not None
    assert (signed.key, signed.document) == ("0123abcd", "{}")
