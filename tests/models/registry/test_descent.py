"""Test the rules about ancestors: what is wrong any number of steps back refuses, in a sentence that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.common.errors import LineageError
from models.lineage.files import published, unrecorded
from models.lineage.records import DataSet, Lineage, Link, Step, as_json, extended, parse
from models.registry import operations, report
from models.registry.gate_input import GateInput
from models.registry.policy import Policy
from models.registry.rule_result import RuleResult
from models.registry.rules import decide
from models.registry.storage import Registry
from tests.support.registry_cases import (
    AT,
    CANDIDATE,
    POLICY,
    PRODUCTION,
    SETS,
    add,
    chain,
    empty_registry,
    evaluation_json,
    gate_input,
    manifest_json,
    picture_set,
    put_model,
    sha256,
    step,
    with_value,
)


def refusals(one: GateInput, policy: Policy = POLICY) -> list[RuleResult]:
    """Return the results that refuse."""
    return [result for result in decide(policy, one) if not result.passed]


def behind(first: Step, data: list[DataSet], steps: int) -> Lineage:
    """Return the record of a model `steps` trainings after a first one; all those between are clean."""
    between = [(step(f"clean{number}"), [picture_set(f"clean{number}")]) for number in range(steps - 1)]
    return chain((first, data), *between, (step("last"), [*SETS.values()]))


BACK = [1, 2, 3]
BAD: dict[str, tuple[str, Step, list[DataSet]]] = {
    "no commercial use": ("licence", step("early"), [picture_set("judges", "CC-BY-NC-4.0")]),
    "share alike": ("licence", step("early"), [picture_set("judges", "CC-BY-SA-2.0")]),
    "no licence": ("licence", step("early"), [picture_set("judges", "none stated")]),
    "one bad licence of two": ("licence", step("early"), [picture_set("judges", "CC-BY-4.0 AND CC-BY-NC-2.0")]),
    "pictures without their credit": ("licence", step("early"), [picture_set("judges", "CC-BY-2.0", credited=8)]),
    "weights that may not ship": ("licence", step("early", licence="CC-BY-NC-4.0"), [picture_set("judges")]),
    "weights without a licence": ("licence", step("early", licence=""), [picture_set("judges")]),
    "changed code": ("origin", step("early", code="2265463+changes"), [picture_set("judges")]),
    "code outside a checkout": ("origin", step("early", code="unknown"), [picture_set("judges")]),
    "code that nobody states": ("origin", step("early", code=""), [picture_set("judges")]),
    "changed code after a restart": ("origin", step("early", code="2265463 2265464+changes"), [picture_set("judges")]),
    "a camera that evaluates": ("unseen", step("early"), [picture_set("judges", cameras=("luongduc-01",))]),
    "a clip that evaluates": ("unseen", step("early"), [picture_set("judges", cameras=("two",))]),
    "a set without cameras": ("unseen", step("early"), [picture_set("judges", cameras=())]),
    "pictures without hashes": ("unseen", step("early"), [replace(picture_set("judges"), hashes="")]),
    "pictures that evaluate": ("unseen", step("early"), [picture_set("jakarta", cameras=("another name",))]),
    "frames of a clip": ("unseen", step("early"), [picture_set("two.mp4", cameras=("another name",))]),
}


@pytest.mark.parametrize("back", BACK)
@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_far_up_refuses_alone_and_is_named(what: str, back: int) -> None:
    rule, first, data = BAD[what]
    found = refusals(gate_input(record=behind(first, data, back)))
    assert {result.rule for result in found} == {rule}
    assert any(f"run early, {back} step" in f"{result.subject} {result.says}" for result in found)


@pytest.mark.parametrize("back", BACK)
def test_a_clean_chain_passes(back: int) -> None:
    credited = picture_set("people", "CC-BY-2.0")
    assert not refusals(gate_input(record=behind(step("early"), [picture_set("another"), credited], back)))


@pytest.mark.parametrize("back", BACK)
def test_weights_without_a_record_refuse_until_a_person_accepts_them_by_name(back: int) -> None:
    digest = sha256(b"found somewhere")
    between = [(step(f"run{number}"), list(SETS.values())) for number in range(back)]
    one = gate_input(record=chain(*between, first=unrecorded("found.npz", digest)))
    (refused,) = refusals(one)
    assert refused.rule == "origin"
    assert "found.npz" in refused.subject
    assert digest[:12] in refused.says
    assert not refusals(one, replace(POLICY, accepted={digest[:12]: "seen by the council"}))
    assert refusals(one, replace(POLICY, accepted={"0" * 12: "another"}))


@pytest.mark.parametrize("what", ["no commercial use", "a camera that evaluates", "pictures that evaluate"])
def test_nobody_can_accept_a_licence_a_camera_or_a_picture(what: str) -> None:
    _, first, data = BAD[what]
    record = behind(first, data, 2)
    accepted = {one.id[:12]: "I like it" for one in record.ancestors()}
    assert refusals(gate_input(record=record), replace(POLICY, accepted=accepted))


@pytest.mark.parametrize("what", ["changed code", "pictures without hashes"])
def test_what_is_not_known_can_be_accepted(what: str) -> None:
    _, first, data = BAD[what]
    record = behind(first, data, 2)
    accepted = {one.id[:12]: "seen by the council" for one in record.ancestors() if one.step.name == "early"}
    assert not refusals(gate_input(record=record), replace(POLICY, accepted=accepted))


@pytest.mark.parametrize("role", ["mixed", "teacher", "run"])
def test_every_way_to_take_from_another_model_counts(role: Any) -> None:
    other = chain((step("early"), [picture_set("judges", "CC-BY-NC-4.0")]))
    links = (Link(published().head, "start"), Link(other.head, role, "d" * 64, 0.1))
    record = extended(step("last", parents=links), SETS.values(), [published(), other])
    assert {result.rule for result in refusals(gate_input(record=record))} == {"licence"}


def test_attribution_of_the_first_weights_travels() -> None:
    theirs = Step("published", "theirs", "MIT", "https://example.org/weights", "Weights of the Example Institute, MIT")
    record = chain((step("early"), [picture_set("early")]), (step("last"), [*SETS.values()]), first=extended(theirs))
    lines = manifest_json(record=record)["origin"]["attribution"]
    assert lines[0] == "Weights of the Example Institute, MIT"
    assert "Pictures of early, CC-BY-4.0" in lines
    assert not refusals(gate_input(record=record))
    for line in lines:
        bare = with_value(
            manifest_json(record=record), ("origin", "attribution"), [one for one in lines if one != line]
        )
        (refused,) = refusals(gate_input(record=record, manifest=bare))
        assert refused.rule == "attribution"
        assert line in refused.says


def test_published_weights_need_origin_and_licence() -> None:
    for bare, rule in (({"origin": ""}, "origin"), ({"licence": ""}, "licence")):
        theirs = replace(published().steps[published().head], **bare)  # type: ignore[arg-type]  # texts only
        record = chain((step("last"), [*SETS.values()]), first=extended(theirs))
        assert rule in {result.rule for result in refusals(gate_input(record=record))}


def test_a_picture_that_evaluates_is_named_with_the_set_and_the_ancestor() -> None:
    data = picture_set("jakarta", cameras=("another name",))
    (refused,) = refusals(gate_input(record=behind(step("early"), [data], 2)))
    assert refused.subject == "jakarta"
    assert "jakarta-" in refused.says
    assert "a picture of jakarta of run early, 2 steps back (3 such pictures)" in refused.says


def test_an_evaluation_that_lists_no_pictures_or_frames_shows_nothing() -> None:
    for path in (("sets", "jakarta", "pictures"), ("counting", "clips", "one.mp4", "frames")):
        (refused,) = refusals(gate_input(with_value(evaluation_json(), path, [])))
        assert refused.rule == "unseen"
        assert "evaluate it again" in refused.says


# --- records that are missing, of another model, or changed


def put(folder: Path, change: Callable[[Path], object]) -> tuple[Registry, list[RuleResult]]:
    """Return a registry with a candidate whose entry was changed afterwards, and what refuses it."""
    one = empty_registry(folder)
    add(one, PRODUCTION, name="first", trained=False)
    operations.adopt(one, POLICY, one.entry("first"), at=AT, why="there was none")
    record = behind(step("early"), [picture_set("early", "CC-BY-4.0")], 2)
    path = put_model(folder / "arrived", CANDIDATE, name="ours", record=record)
    documents = {}
    for name, content in (("evaluation", evaluation_json()),):
        documents[f"{name}.json"] = folder / f"{name}.json"
        documents[f"{name}.json"].write_text(json.dumps(content))
    operations.add(one, path, documents, name="ours", at=AT)
    change(one.entry_folder("ours"))
    found = operations.decide(one, POLICY, one.entry("ours"))
    return one, [result for result in found if not result.passed and result.rule in ("origin", "unseen", "licence")]


def test_a_record_comes_with_the_model_and_is_complete(tmp_path: Path) -> None:
    one, refused = put(tmp_path, lambda _: None)
    assert not refused
    assert {path.suffix for path in one.pictures.iterdir()} == {".npz"}


def edited(*path: str, value: object) -> Callable[[Path], None]:
    """Return a change of a record: the first step or set in which the path leads to something gets another value."""

    def change(folder: Path) -> None:
        file = folder / "lineage.json"
        content = json.loads(file.read_text())
        group, field = path
        for row in content[group].values():
            if row["name"] == "early":
                row[field] = value
        file.write_text(json.dumps(content))

    return change


def kept(folder: Path) -> list[Path]:
    """Return the files with hashes of a registry, given the folder of an entry."""
    return [*(folder.parents[2] / "models" / "pictures").iterdir()]


TAMPERED: dict[str, Callable[[Path], object]] = {
    "a licence": edited("sets", "licence", value="CC0-1.0"),
    "cameras": edited("sets", "cameras", value=["elsewhere"]),
    "code": edited("steps", "code", value="2265464"),
    "a step less": edited("steps", "parents", value=[]),
    "not JSON of ours": lambda folder: (folder / "lineage.json").write_text("[]"),
    "hashes of pictures": lambda folder: [path.write_bytes(path.read_bytes()[:-1]) for path in kept(folder)],
    "no hashes of pictures": lambda folder: [path.rename(path.with_suffix(".gone")) for path in kept(folder)],
    "no record": lambda folder: (folder / "lineage.json").unlink(),
    "another record": lambda folder: (folder / "lineage.json").write_text(json.dumps(as_json(published()))),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_record_that_is_missing_or_was_changed_refuses(what: str, tmp_path: Path) -> None:
    _, refused = put(tmp_path, TAMPERED[what])
    (record,) = [result for result in refused if result.subject == "record"]
    assert record.rule == "origin"
    assert "add the model" in record.says.lower()


def test_a_manifest_that_names_more_data_than_the_record_refuses() -> None:
    manifest = manifest_json()
    manifest["origin"]["training"]["data"].append(dict(manifest["origin"]["training"]["data"][0], sha256="9" * 64))
    assert "hanoi in the record" in {result.subject for result in refusals(gate_input(manifest=manifest))}


def test_a_record_says_which_name_was_changed() -> None:
    content = as_json(chain((step("early"), [picture_set("early")])))
    next(iter(content["sets"].values()))["licence"] = "MIT"
    with pytest.raises(LineageError, match="'early' was changed"):
        parse(content)
    del content["sets"][next(iter(content["sets"]))]
    with pytest.raises(LineageError, match="lacks an ancestor or a data set of 'early'"):
        parse(content)


def test_a_refusal_shows_the_name_by_which_a_person_may_accept_it() -> None:
    for what in ("changed code", "pictures without hashes"):
        _, first, data = BAD[what]
        found = refusals(gate_input(record=behind(first, data, 2)))
        (name,) = {one.says.rpartition("(step ")[2].rstrip(")") for one in found}
        assert not refusals(gate_input(record=behind(first, data, 2)), replace(POLICY, accepted={name: "seen"}))


def test_names_with_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    data = [picture_set("City [/of] [red]X", "CC-BY-NC-4.0")]
    report.print_decision(report.console(), refusals(gate_input(record=behind(step("early"), data, 1))))
    assert "City [/of] [red]X of run early" in " ".join(capsys.readouterr().out.split())
