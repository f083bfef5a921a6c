"""Sentences of the office are taken apart, so that the page tells them in every language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from edge_app.city.wording import SENTENCES, parts_of
from edge_app.rollout.health_rule import usual_of, worse
from edge_app.rollout.stop_rule import StopRule
from edge_app.rollout.strays import too_many
from edge_app.web.languages import NAMES, messages
from tests.support.paths import ROOT

FILES = [*sorted((ROOT / "edge_app/rollout").glob("*.py")), *sorted((ROOT / "edge_app/city").rglob("*.py"))]
WRITERS = {file: file.read_text("utf-8") for file in FILES if file.name != "wording.py"}
ENDS = ("applied", "trying", "open")
JOINTS = re.compile(r" (?=of group|of all groups|to pass or|than before)|\b(?:has|fewer|more) |, (?:and|so .*)$")
"""Where a sentence is put together."""
PUT_TOGETHER = {"camera_state", "camera_blind", "no_answer", "pieces_alone", *(f"revision_{n}" for n in ENDS)}
"""Codes of sentences whose parts are written in several places; the tests of those places have them whole."""
PLACE = re.compile(r"\{(\w+)\}")


def told(sentence: str) -> list[tuple[str, dict[str, str | int | float]]]:
    return [(one.code or one.detail, dict(one.parameters)) for one in parts_of(sentence)]


@pytest.mark.parametrize("language", NAMES)
def test_every_part_has_words_in_every_language(language: str) -> None:
    texts = {key.removeprefix("because."): text for key, text in messages(language).items() if "because." in key}
    assert texts.keys() == SENTENCES.keys()
    for code, sentence in SENTENCES.items():
        assert set(PLACE.findall(texts[code])) == set(PLACE.findall(sentence)), code
        assert language == "en" or texts[code] != messages("en")[f"because.{code}"] or code == "bytes", code


@pytest.mark.parametrize("code", sorted(SENTENCES.keys() - PUT_TOGETHER))
def test_every_sentence_is_one_that_the_office_writes(code: str) -> None:
    """A sentence that is written otherwise now would be English on every page."""
    source = " ".join(re.sub(r'"\s*f?"', "", text) for text in WRITERS.values())
    for fragment in PLACE.split(SENTENCES[code])[::2]:
        for words in JOINTS.split(fragment.strip(" %()")):
            assert words in source, words


def reasons() -> Iterator[tuple[str, str]]:
    """Yield every reason that is given to a device of a roll-out, with 7 for what is filled in, and where."""
    for file, text in WRITERS.items():
        for node in ast.walk(ast.parse(text)):
            for given in node.keywords if isinstance(node, ast.Call) else ():
                parts = given.value.values if isinstance(given.value, ast.JoinedStr) else [given.value]
                words = [one.value if isinstance(one, ast.Constant) else "7" for one in parts]
                if given.arg == "reason" and re.search("[a-z]{3}", "".join(map(str, words))):
                    yield "".join(map(str, words)), f"{file.name}:{given.value.lineno}"


def test_every_reason_of_a_device_is_known() -> None:
    found = [(words, place) for words, place in reasons() if words != "7, so a person must look"]
    assert len(found) > 20
    words = [(words.replace("as 7", "as a/7").replace("with 7", "with a/7"), place) for words, place in found]
    assert [place for words, place in words if not any(part.code for part in parts_of(words))] == []


def test_the_rules_are_taken_apart() -> None:
    rule = StopRule()
    for _ in range(400):
        rule.add({"car": 20.0}, {"car": 30.0})
    of_all = {"name": "all classes", "share": 33.3, "candidate": 8000, "before": 12_000}
    assert told("; ".join(rule.reasons())) == [("counts_fewer", of_all), ("counts_fewer", {**of_all, "name": "car"})]
    quarters = [(at * 900, {"frames_per_s": 15.0 if at < 96 else 3.0}) for at in range(100)]
    sentence = worse(quarters[96:], usual_of(quarters, 96 * 900), 100 * 900.0)
    assert told(sentence) == [("slow", {"rate": 3.0, "before": 15.0})]
    odd = {"north/pole-1": "5% fewer of car (1,000 against 1,052)"}
    many = too_many(odd, {"north/pole-1": 1, "a/b": 0}, lambda devices: devices, "count otherwise than is usual there")
    assert told("; ".join(many)) == [
        ("of_group", {"n": 1, "group": 2}),
        ("are_odd", {"n": 1}),
        ("usual_fewer", {"device": "north/pole-1", "share": 5, "name": "car", "counted": 1000, "usual": 1052}),
    ]


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("", []),
        ("took it back by itself: counting.fps: must be; 7", ["went_back", "counting.fps: must be", "7"]),
        ("blind (its camera is lost): it gets the candidate when that is over", ["camera_state", "gets_then"]),
        ("not heard of since 2026-12-02T08:00:00Z: it goes back when it comes back", ["not_heard", "back_when_back"]),
        ("has kept the candidate, a person must look: it gives no reason", ["has_kept", "no_reason"]),
        ("the fair is over; it has begun: really", ["the fair is over", "begun", "really"]),
        ("the harbour: closed", ["the harbour: closed"]),
    ],
)
def test_what_people_and_devices_say_stays_as_it_is(sentence: str, parts: list[str]) -> None:
    assert [code for code, _ in told(sentence)] == parts


def test_a_version_is_no_number() -> None:
    assert told("went back to 1.0, and had 2.0 before") == [("back_to", {"version": "1.0", "before": "2.0"})]
    trouble = "of 1,200 devices of all groups 2 took it back by themselves (a/1, b/2), 1 are gone (c/3)"
    assert told(trouble) == [
        ("of_all_groups", {"n": 1200}),
        ("took_back", {"n": 2, "names": "a/1, b/2"}),
        ("are_gone", {"n": 1, "names": "c/3"}),
    ]
