"""Commands: what is one, in which order it is checked, and what nobody may do to the device with a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.mqtt.commands import Command, Ignored, Refused, read_command, refusal, reply, resend_args
from edge_app.mqtt.events import Message
from tests.support.publisher_cases import DEVICE
from tests.support.schemas import validate

PREFIX = DEVICE.prefix
GOOD = {"line": "a", "installation": "0123abcd", "from_seq": 1, "to_seq": 1440}


def command(name: str = "resend", /, **changes: Any) -> Message:
    document = {
        "schema": "edge-app/command/1",
        "id": "city-1",
        "at": "2026-11-29T12:00:00Z",
        "expires": "2026-11-29T13:00:00.5+01:00",
        "args": GOOD if name == "resend" else {},
        **changes,
    }
    kept = {key: value for key, value in document.items() if value is not None}
    return Message(f"{PREFIX}/commands/{name}", json.dumps(kept).encode(), 1)


def test_good_commands_are_read() -> None:
    found = read_command(PREFIX, command())
    assert isinstance(found, Command)
    assert (found.id, found.name, found.reply_to.topic) == ("city-1", "resend", f"{PREFIX}/replies/resend")
    assert resend_args(found.args).to_seq == 1440
    assert isinstance(read_command(PREFIX, command("ping", args=None)), Command)
    validate("commands", command().payload)


@pytest.mark.parametrize(
    "change",
    [
        {"at": None},
        {"expires": None},
        {"at": "yesterday"},
        {"at": 5},
        {"at": "2026-02-30T12:00:00Z"},
        {"expires": "2026-11-30T12:00:01Z"},
        {"args": []},
        {"args": None},
        {"args": {**GOOD, "line": "a/b"}},
        {"args": {**GOOD, "line": "\ud800"}},
        {"args": {**GOOD, "installation": "0123ABCD"}},
        {"args": {**GOOD, "from_seq": 0}},
        {"args": {**GOOD, "from_seq": True}},
        {"args": {**GOOD, "from_seq": 1.5}},
        {"args": {**GOOD, "from_seq": 2, "to_seq": 1}},
        {"args": {**GOOD, "to_seq": 1441}},
        {"args": {**GOOD, "to_seq": 10**60}},
    ],
)
def test_a_wrong_request_is_answered(change: dict[str, Any]) -> None:
    found = read_command(PREFIX, command(**change))
    assert isinstance(found, Refused)
    assert (found.id, found.code) == ("city-1", "bad_request")
    validate("replies", refusal(found.id, 1.8e9, found.code, found.error))


def test_the_request_is_checked_before_the_name() -> None:
    assert getattr(read_command(PREFIX, command("reboot")), "code", "") == "unknown_command"
    assert getattr(read_command(PREFIX, command("reboot", at="x")), "code", "") == "bad_request"


DEEP = b'{"schema":"edge-app/command/1","id":"a","args":' + b"[" * 8_000 + b"]" * 8_000 + b"}"
HUGE = b'{"schema":"edge-app/command/1","id":"a","args":{"from_seq":' + b"9" * 5_000 + b"}}"


@pytest.mark.parametrize(
    "message",
    [
        Message(f"{PREFIX}/commands/ping", command("ping").payload, 1, retained=True),
        Message(f"{PREFIX}/commands/ping/now", command("ping").payload),
        Message(f"{PREFIX}/commands/", command("ping").payload),
        Message(f"{PREFIX}/other", command("ping").payload),
        Message(f"{PREFIX}/commands/ping", b""),
        Message(f"{PREFIX}/commands/ping", b"\xff"),
        Message(f"{PREFIX}/commands/ping", b"[]"),
        Message(f"{PREFIX}/commands/ping", b'{"schema":"edge-app/command/1","id":"a","args":NaN}'),
        Message(f"{PREFIX}/commands/ping", DEEP),
        Message(f"{PREFIX}/commands/ping", HUGE + b" " * 20_000),
        command("ping", schema="edge-app/command/2"),
        command("ping", id=None),
        command("ping", id=""),
        command("ping", id="a" * 65),
        command("ping", id="ä"),
        command("ping", id="a\n"),
        command("ping", id=5),
    ],
)
def test_what_is_no_command_is_ignored(message: Message) -> None:
    assert isinstance(read_command(PREFIX, message), Ignored)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.text(max_size=30), st.text(max_size=40), st.binary(max_size=20))
def test_nothing_that_a_broker_sends_raises(payload: bytes, name: str, answer_to: str, correlation: bytes) -> None:
    message = Message(f"{PREFIX}/commands/{name}", payload, 1, False, 0, answer_to, correlation)
    assert isinstance(read_command(PREFIX, message), Ignored)
    near = command("ping", id="x", args={"a": name})
    read_command(PREFIX, Message(near.topic, near.payload[: len(payload)] + payload, 1))


@pytest.mark.parametrize(
    ("wanted", "used"),
    [
        (f"{PREFIX}/replies/mine/7", True),
        (f"{PREFIX}/replies/", False),
        (f"{PREFIX}/replies/+", False),
        (f"{PREFIX}/counts/a", False),
        ("traffic/v1/delft/cam-2/replies/mine", False),
        ("", False),
    ],
)
def test_a_reply_goes_only_below_the_devices_own_replies(wanted: str, used: bool) -> None:
    sent = command("ping")
    found = read_command(PREFIX, Message(sent.topic, sent.payload, 1, False, 0, wanted, b"77"))
    assert isinstance(found, Command)
    target = (found.reply_to.topic, found.reply_to.correlation)
    assert target == ((wanted, b"77") if used else (f"{PREFIX}/replies/ping", b""))


def test_replies_fit_their_schema() -> None:
    assert validate("replies", reply("a", 1.8e9, {"sent": 0, "missing": []}))["ok"] is True
    assert "result" not in validate("replies", refusal("a", 1.8e9, "busy", "No."))
