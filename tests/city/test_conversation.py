"""Conversations with a device: which message ends them, and how."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.city.conversation import Commanding, Configuring, Outcome
from edge_app.city.desired import read_reported
from edge_app.city.releasing import Releasing, went
from edge_app.mqtt.events import Message

DEVICE = "traffic/v1/harbour/pole-7"


def report(state: str, highest: int = 12, problems: tuple[str, ...] = ()) -> Message:
    given = {"schema": "edge-app/config-reported/1", "state": state, "revision": 11, "highest": highest}
    return Message(f"{DEVICE}/config/reported", json.dumps(given | {"problems": problems}).encode())


def configuring(*, patient: bool = True) -> Configuring:
    return Configuring(DEVICE, "{}", 12, report("applied", 11).payload, b"former", patient=patient)


def test_a_layer_is_retained() -> None:
    opening = configuring().opening()
    assert (opening.topic, opening.qos, opening.retained) == (f"{DEVICE}/config/desired", 1, True)


def test_the_report_of_before_says_nothing() -> None:
    talk = configuring()
    talk.receive(report("applied", 11))
    assert talk.outcome is None
    assert talk.give_up().text == "no answer: the broker keeps it until the device comes back"


def test_a_trial_is_news_and_its_end_the_outcome() -> None:
    talk = configuring()
    talk.receive(report("trying"))
    assert (talk.outcome, talk.news) == (None, "revision 12 is on trial for two minutes")
    assert not talk.give_up().ok
    talk.receive(report("applied"))
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.text) == (True, "revision 12 is applied")


def test_who_does_not_wait_is_content_with_the_trial() -> None:
    talk = configuring(patient=False)
    talk.receive(report("trying"))
    assert talk.outcome is not None
    assert talk.outcome.ok


def test_a_refusal_and_a_rollback_say_why() -> None:
    for state, highest, told in (
        ("refused", 11, "refused: counting.interval_s: must be"),
        ("rolled_back", 12, "rolled back"),
    ):
        talk = configuring()
        talk.receive(report(state, highest, ("counting.interval_s: must be 1 to 3600",)))
        assert talk.outcome is not None
        assert not talk.outcome.ok
        assert talk.outcome.text.startswith(told)
        closing = talk.closing()
        assert (closing is not None) == (state == "refused")
        assert closing is None or (closing.payload, closing.retained) == (b"former", True)


def layer(revision: int, at: str) -> str:
    """Return a message with a layer, as signed by whoever."""
    text = json.dumps({"schema": "edge-app/config-desired/1", "revision": revision, "at": at, "set": {}, "unset": []})
    signed = {"schema": "edge-app/signed/1", "key": "0123abcd", "signature": "A" * 86, "document": text}
    return json.dumps(signed)


def used(state: str, at: str, highest: int = 12) -> Message:
    """Return the report of a device that uses a layer of revision 12 that was written then."""
    told = json.loads(report(state, highest).payload) | {"revision": 12}
    return Message(f"{DEVICE}/config/reported", json.dumps(told | {"layers": [{"name": "office", "at": at}]}).encode())


MINE, OTHER = "2026-12-01T10:00:00.100Z", "2026-12-01T10:00:00.900Z"


def test_of_two_offices_at_once_each_is_told_what_became_of_its_own_layer() -> None:
    before = report("applied", 11).payload
    first = Configuring(DEVICE, layer(12, MINE), 12, before, b"former")
    second = Configuring(DEVICE, layer(12, OTHER), 12, before, b"former")
    first_one, second_one = first.opening(), second.opening()
    for talk in (first, second):
        talk.receive(first_one)
        talk.receive(used("trying", MINE))
        talk.receive(second_one)
        talk.receive(used("refused", MINE))
    assert first.outcome is None, "what was refused is the other's"
    assert (second.outcome.ok, second.outcome.text) == (  # type: ignore[union-attr]
        False,
        "another change of the configuration was quicker: try again",
    )
    closing = second.closing()
    assert closing is not None
    assert closing.payload == first_one.payload, "the broker gets back what the device uses"
    first.receive(closing)
    first.receive(used("applied", MINE))
    assert first.outcome == Outcome(True, "revision 12 is applied")
    assert first.closing() is None


def test_who_was_overtaken_takes_nothing_back_that_came_later() -> None:
    first = Configuring(DEVICE, layer(12, MINE), 12, report("applied", 11).payload, b"former")
    first.receive(first.opening())
    first.receive(Message(f"{DEVICE}/config/desired", layer(12, OTHER).encode(), qos=1))
    first.receive(used("trying", OTHER))
    assert first.outcome is not None
    assert not first.outcome.ok
    assert first.closing() is None


def test_whose_layer_is_in_use_while_another_was_refused_is_told_so() -> None:
    first = Configuring(DEVICE, layer(12, MINE), 12, report("applied", 11).payload)
    first.receive(used("refused", MINE))
    assert first.outcome is None
    assert first.give_up().text.startswith("revision 12 is in use, and the device has refused another one")


def commanding() -> Commanding:
    return Commanding(DEVICE, "diagnose", "office-1", "{}")


def reply(**given: Any) -> Message:
    text = {"schema": "edge-app/reply/1", "id": "office-1", "ok": True, "result": {}} | given
    return Message(f"{DEVICE}/replies/diagnose", json.dumps(text).encode())


def piece(number: int, of: int, data: bytes) -> Message:
    text = {"schema": "edge-app/piece/1", "id": "office-1", "piece": number, "of": of}
    return Message(f"{DEVICE}/pieces/office-1", json.dumps(text | {"data": base64.b64encode(data).decode()}).encode())


def test_a_command_is_not_retained_and_its_reply_ends_it() -> None:
    talk = commanding()
    assert not talk.opening().retained
    talk.receive(reply(id="another"))
    assert talk.outcome is None
    talk.receive(reply(result={"until": "2026-12-02T10:00:00Z"}))
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.text) == (True, "done: until 2026-12-02T10:00:00Z")


def test_a_refusal_has_its_code() -> None:
    talk = commanding()
    talk.receive(reply(ok=False, code="unauthorised", error="No key of this device has signed it."))
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.text) == (False, "unauthorised: No key of this device has signed it.")


def test_pieces_come_in_any_order_and_twice() -> None:
    talk, whole = commanding(), b"abcdefg"
    for one in (piece(3, 3, b"g"), piece(1, 3, b"abc"), piece(1, 3, b"abc"), piece(2, 3, b"def")):
        talk.receive(one)
    assert talk.news == "3 of 3 pieces have come"
    talk.receive(reply(result={"name": "bundle.zip", "pieces": 3, "sha256": hashlib.sha256(whole).hexdigest()}))
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.name, talk.outcome.content) == (True, "bundle.zip", whole)


def test_a_piece_that_is_missing_is_told() -> None:
    talk = commanding()
    talk.receive(piece(1, 2, b"abc"))
    talk.receive(reply(result={"name": "bundle.zip", "pieces": 2, "sha256": hashlib.sha256(b"abcdef").hexdigest()}))
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.text) == (False, "1 of 2 pieces came: ask again")


@given(st.sampled_from(["replies/diagnose", "pieces/office-1", "config/reported"]), st.binary(max_size=100))
def test_no_payload_raises(topic: str, payload: bytes) -> None:
    for talk in (commanding(), configuring()):
        talk.receive(Message(f"{DEVICE}/{topic}", payload))


def releasing(name: str = "release", *, patient: bool = True) -> Releasing:
    talk = Releasing(DEVICE, name, "office-1", "{}", patient=patient)
    talk.receive(Message(f"{DEVICE}/config/reported", _said("kept", "office-0")))
    assert talk.outcome is None, "that is of an order before"
    text = {"schema": "edge-app/reply/1", "id": "office-1", "ok": True, "result": {"version": "0.2.0"}}
    talk.receive(Message(f"{DEVICE}/replies/{name}", json.dumps(text).encode()))
    return talk


def _said(state: str, identifier: str = "office-1", problem: str = "") -> bytes:
    given = {"schema": "edge-app/config-reported/1", "state": "none", "revision": 0, "highest": 0, "problems": []}
    return json.dumps(given | {"release": {"id": identifier, "state": state, "problem": problem}}).encode()


@pytest.mark.parametrize(
    ("name", "state", "ok", "text"),
    [
        ("release", "kept", True, "kept: it counts and delivers"),
        ("release", "back", False, "went back: edge-app.service has crashed 3 times"),
        ("release", "failed", False, "failed: edge-app.service has crashed 3 times"),
        ("rollback", "kept", True, "went back"),
        ("rollback", "back", True, "went back: edge-app.service has crashed 3 times"),
    ],
)
def test_a_release_ends_with_what_the_device_reports(name: str, state: str, ok: bool, text: str) -> None:
    talk = releasing(name)
    assert (talk.outcome, talk.news) == (None, "it has the order")
    for step, news in (("installing", "installed"), ("judging", "has to count"), ("counts", "probation")):
        talk.receive(Message(f"{DEVICE}/config/reported", _said(step)))
        assert talk.outcome is None
        assert news in talk.news
    problem = "" if state == "kept" else "edge-app.service has crashed 3 times"
    talk.receive(Message(f"{DEVICE}/config/reported", _said(state, problem=problem)))
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.text) == (ok, text)


def test_who_does_not_wait_ends_when_the_device_has_the_release() -> None:
    talk = releasing(patient=False)
    assert talk.outcome is not None
    assert (talk.outcome.ok, talk.outcome.text) == (True, "done: version 0.2.0")


def test_a_release_is_waited_for_until_its_own_report() -> None:
    assert went(read_reported(b"{}"), "office-1") == ("waiting", "")
    assert went(read_reported(_said("kept", "office-0")), "office-1") == ("waiting", "")
    assert went(read_reported(_said("counts")), "office-1")[0] == "running"
    assert went(read_reported(_said("unheard of", problem="x")), "office-1") == ("failed", "x")
    assert not releasing().give_up().ok
