"""Test the gate's rules: each refuses alone, and nothing missing or worse ever helps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.detectors.gate import BICYCLES
from edge_app.detectors.manifest import COUNTED
from edge_app.records import VEHICLES
from models.common.errors import RegistryError
from models.lineage.files import published
from models.registry import rules
from models.registry.comparison import parse_comparison
from models.registry.figures import parse_evaluation
from models.registry.gate_input import GateInput
from models.registry.rules import FIRST, decide
from tests.support.registry_cases import (
    FILE,
    POLICY,
    PRODUCTION,
    SETS,
    Json,
    N,
    at,
    comparison_json,
    evaluation_json,
    folds_json,
    gate_input,
    manifest_json,
    paths_in,
    sha256,
    with_value,
    without,
)


def failed(one: GateInput) -> set[str]:
    """Return the names of the rules that refuse."""
    return {result.rule for result in decide(POLICY, one) if not result.passed}


def passing(one: GateInput) -> set[tuple[str, str]]:
    """Return rule and subject of every result that passes."""
    return {(result.rule, result.subject) for result in decide(POLICY, one) if result.passed}


def test_a_good_candidate_passes() -> None:
    assert failed(gate_input()) == set()
    assert len(decide(POLICY, gate_input())) > 40


# --- each rule alone


def worse(path: tuple[Any, ...], value: object) -> Callable[[], GateInput]:
    """Return a maker of the input with one figure of the candidate's evaluation changed."""
    return lambda: gate_input(with_value(evaluation_json(), path, value))


def comparison(path: tuple[Any, ...], value: object) -> Callable[[], GateInput]:
    """Return a maker of the input with one value of the comparison changed."""
    return lambda: gate_input(comparison=with_value(comparison_json(), path, value))


def lineage(path: tuple[Any, ...], value: object) -> Callable[[], GateInput]:
    """Return a maker of the input with one value of the training's lineage changed."""
    return lambda: gate_input(manifest=with_value(manifest_json(), ("origin", "training", *path), value))


def called(what: str, **answers: int) -> Callable[[], GateInput]:
    """Return a maker of the input in which two-wheelers of every set are called something else."""

    def made() -> GateInput:
        content = evaluation_json()
        for one in content["sets"].values():
            one[what]["called"] |= answers
            assert sum(one[what]["called"].values()) == one[what]["n"]
        return gate_input(content)

    return made


def few_cyclists(n: int = POLICY.bicycles - 1) -> GateInput:
    """Return the input with a few cyclists, all of them called bicycle, in candidate and production."""
    few = {"n": n, "not_motorcycle": 1.0, "called": {"bicycle": n}}
    mine, theirs = evaluation_json(), evaluation_json(PRODUCTION)
    for content in (mine, theirs):
        for one in content["sets"].values():
            one["bicycles"] = few
    return gate_input(mine, production=theirs)


def more_bicycles() -> GateInput:
    """Return the input with one bicycle more than production was asked about."""
    one = with_value(evaluation_json(), (*SET, "bicycles", "n"), 41)
    return gate_input(with_value(one, (*SET, "bicycles", "called", "bicycle"), 33))


def with_checked(content: Json) -> Json:
    """Return an evaluation in which labels of luongduc were checked by eye, with the same figures by these."""
    made = copy.deepcopy(content)
    one = made["sets"]["luongduc"]
    one |= {"checked": copy.deepcopy(one["classes"]), "checked_slices": copy.deepcopy(one["slices"])}
    one["checked_marks"] = "e" * 64
    return made


def by_checked(path: tuple[Any, ...], value: object) -> Callable[[], GateInput]:
    """Return a maker of the input with checked labels and one figure of luongduc changed in the candidate's."""
    mine, theirs = with_checked(evaluation_json()), with_checked(evaluation_json(PRODUCTION))
    return lambda: gate_input(with_value(mine, (*SET, *path), value), production=theirs)


BEFORE = gate_input().production or pytest.fail("there is a production")
RECIPE = ("candidate", "classes")
SET = ("sets", "luongduc")
CHOSEN = ("differences", "all/ap50")
ALONE: dict[str, tuple[str, Callable[[], GateInput]]] = {
    "another model was measured": ("file", worse(("model", "sha256"), "a" * 64)),
    "another input was measured": ("file", worse(("model", "input"), [288, 512])),
    "it was rolled back": ("file", lambda: replace(gate_input(), withdrawn="rolled back on 2026-11-24")),
    "its code is not known": ("origin", lineage(("code",), "")),
    "its settings are not known": ("origin", lineage(("config_sha256",), "")),
    "its parent is not known": ("origin", lineage(("parent",), {})),
    "a set has no hash": ("origin", lineage(("data", 0, "sha256"), "")),
    "trained on nothing": ("origin", lineage(("data",), [])),
    "a set without a licence": ("licence", lineage(("data", 0, "licence"), "none stated")),
    "a set that says nothing": ("licence", lineage(("data", 1, "licence"), None)),
    "no commercial use": ("licence", lineage(("data", 0, "licence"), "CC-BY-NC-4.0")),
    "no derivatives": ("licence", lineage(("data", 0, "licence"), "CC-BY-ND-4.0")),
    "weights without a licence": (
        "licence",
        lambda: gate_input(manifest=with_value(manifest_json(), ("licence",), "")),
    ),
    "an evaluation camera was trained on": ("unseen", lineage(("data", 0, "cameras"), ["luongduc-01"])),
    "an evaluation set was trained on": (
        "unseen",
        lambda: both(("sets", "jakarta", "sha256"), SETS["hanoi"].sha256),
    ),
    "a clip was trained on": ("unseen", lineage(("data", 0, "cameras"), ["two"])),
    "cameras of the training unknown": ("unseen", lineage(("data", 0, "cameras"), [])),
    "chosen by an evaluation camera": (
        "unseen",
        lambda: gate_input(split={"train": ["x"], "validation": ["jakarta-01"]}),
    ),
    "production was not measured": ("yardstick", lambda: replace(gate_input(), production=None)),
    "other pictures": (
        "yardstick",
        lambda: gate_input(production=with_value(evaluation_json(PRODUCTION), (*SET, "images"), 98)),
    ),
    "its manifest credits nobody": (
        "attribution",
        lambda: gate_input(manifest=with_value(manifest_json(), ("origin", "attribution"), [])),
    ),
    "other labels": ("yardstick", worse((*SET, "classes", "car", "n"), N + 1)),
    "other clips": (
        "yardstick",
        worse(("counting", "clips"), {"one.mp4": evaluation_json()["counting"]["clips"]["one.mp4"]}),
    ),
    "compared on other pictures": ("yardstick", comparison(("sets", "jakarta"), "a" * 64)),
    "compared on a set less": ("yardstick", comparison(("sets",), {"luongduc": sha256(b"luongduc")})),
    "compared on other clips": ("yardstick", comparison(("clips",), ["one.mp4"])),
    "production counted otherwise": ("yardstick", comparison(("baseline_counts", "event_f1"), 0.96)),
    "a class below its floor": ("floors", lambda: both((*SET, "classes", "car", "ap50"), 0.69)),
    "counts below their floor": ("floors", lambda: both(("counting", "all", "event_f1"), 0.91)),
    "better, but maybe by chance": ("better", comparison((*CHOSEN, "ci"), [-0.001, 0.08])),
    "no better": ("better", comparison((*CHOSEN, "ci"), [0.0, 0.0])),
    "faster, but not by enough": ("better", lambda: chosen([-0.002, 0.004], (0.02, 0.05))),
    "faster, and maybe worse": ("as good", lambda: chosen([-0.011, 0.004], (0.03, 0.05))),
    "compared with another": ("better", comparison(("baseline",), "a" * 64)),
    "another was compared": ("better", comparison(("candidate",), "a" * 64)),
    "a class is worse": ("worse class", worse((*SET, "classes", "car", "ap50"), 0.81)),
    "a camera is worse": ("worse slice", worse((*SET, "slices", "camera:luongduc-01", "classes", "car", "ap50"), 0.7)),
    "night is worse": ("worse slice", worse((*SET, "slices", "light:day", "classes", "motorcycle", "ap50"), 0.7)),
    "a class is worse by checked labels": ("worse class", by_checked(("checked", "car", "ap50"), 0.81)),
    "a camera is worse by checked labels": (
        "worse slice",
        by_checked(("checked_slices", "camera:luongduc-01", "classes", "car", "ap50"), 0.7),
    ),
    "other labels were checked": ("yardstick", by_checked(("checked_marks",), "d" * 64)),
    "small ones are worse": ("worse slice", worse((*SET, "classes", "car", "by_size", "small", "ap50"), 0.7)),
    "more bicycles are motorcycles": ("worse bicycles", worse((*SET, "bicycles", "not_motorcycle"), 0.74)),
    "other bicycles are marked": ("worse bicycles", lambda: more_bicycles()),
    "cyclists are not called bicycle": ("bicycles", called("bicycles", bicycle=27, nothing=9)),
    "cyclists are called motorcycle": ("bicycles", called("bicycles", motorcycle=4, nothing=3)),
    "motorcycles are called bicycle": ("bicycles", called("motorcycles", bicycle=10, motorcycle=144)),
    "too few cyclists": ("bicycles", lambda: few_cyclists()),
    "production counts bicycles, and this one does not": (
        "bicycles",
        lambda: replace(gate_input(), counts=COUNTED, production=replace(BEFORE, counts=VEHICLES)),
    ),
    "the recipe is worse on other countries": (
        "folds",
        lambda: gate_input(folds=with_value(folds_json(), (*RECIPE, "car", "folds", "south"), 0.57)),
    ),
    "no folds": ("folds", lambda: replace(gate_input(), folds=None)),
    "a drawn vehicle is called something else": ("street", worse(("street", "dusk", "named"), 25)),
    "drawn vehicles are called something else in some looks": ("street", worse(("street", "day", "right"), 62)),
    "the street was not looked at": ("street", worse(("street",), {})),
    "more drawn vehicles are right than there are": ("street", worse(("street", "day", "named"), 27)),
    "counts are worse": ("worse counts", worse(("counting", "all", "effectiveness"), 0.89)),
    "counts of a class are worse": ("worse counts", worse(("counting", "all", "classes", "motorcycle", "f1"), 0.885)),
    "slower": ("latency", worse(("speed", "relative_to", "ratio"), 1.06)),
    "timed beside another file": ("latency", worse(("speed", "relative_to", "file"), "another.tflite")),
    "timed beside itself, under the same name": ("latency", worse(("model", "file"), FILE)),
    "timed beside another hash": ("latency", worse(("speed", "relative_to", "sha256"), "a" * 64)),
    "larger": ("size", lambda: replace(gate_input(), bytes=1101)),
    "int8 lost too much": ("int8", worse(("against_float", "motorcycle", "ap50_float"), 0.871)),
}


def chosen(ap50: list[float], saved: tuple[float, float]) -> GateInput:
    """Return the input with these differences of precision and of time, given as the ends of their intervals."""
    rows = {"all/ap50": {"delta": sum(ap50) / 2, "ci": ap50}, "time/saved": {"delta": sum(saved) / 2, "ci": [*saved]}}
    return gate_input(comparison=comparison_json() | {"differences": rows})


def both(path: tuple[Any, ...], value: object) -> GateInput:
    """Return the input with one figure changed in candidate and production alike, so that no comparison is worse."""
    return gate_input(
        with_value(evaluation_json(), path, value),
        production=with_value(evaluation_json(b"the one before"), path, value),
    )


@pytest.mark.parametrize("what", ALONE)
def test_each_rule_alone_refuses(what: str) -> None:
    rule, made = ALONE[what]
    expected = {rule}
    if what == "production was not measured":  # then there is nothing to compare with
        worse_ones = {"worse class", "worse slice", "worse bicycles", "worse counts"}
        expected = {"yardstick", "better", "latency", "size"} | worse_ones
    assert failed(made()) == expected


def test_every_rule_has_been_seen_to_refuse_alone() -> None:
    named = {rule.__name__.replace("_", " ") for rule in rules.RULES}
    assert {rule for rule, _ in ALONE.values()} == named


def test_a_time_with_the_hash_of_the_model_in_production_needs_no_name() -> None:
    assert failed(gate_input(without(evaluation_json(), ("model", "file")))) == {"latency"}
    one = with_value(evaluation_json(), ("speed", "relative_to", "sha256"), sha256(PRODUCTION))
    assert failed(gate_input(with_value(one, ("model", "file"), FILE))) == set()


def test_exactly_the_margin_passes_in_spite_of_rounding() -> None:
    assert failed(gate_input(with_value(evaluation_json(), (*SET, "classes", "car", "ap50"), 0.82))) == set()
    assert failed(gate_input(with_value(evaluation_json(), (*SET, "classes", "car", "ap50"), 0.8199))) == {
        "worse class"
    }


def test_where_labels_were_checked_by_eye_only_these_say_which_class_is_worse() -> None:
    """A vehicle that nobody labelled counts as false as labelled: a detector that finds more of them is not worse."""
    assert failed(by_checked(("classes", "car", "ap50"), 0.81)()) == set()
    assert failed(by_checked(("slices", "camera:luongduc-01", "classes", "car", "ap50"), 0.6)()) == set()
    assert failed(by_checked(("checked", "car", "by_size", "small", "ap50"), 0.6)()) == {"worse slice"}
    subjects = {subject for rule, subject in passing(by_checked(("score",), 0.2)()) if rule == "worse class"}
    assert "luongduc/car AP50, labels checked" in subjects
    assert "jakarta/car AP50" in subjects


def test_labels_checked_in_one_evaluation_alone_compare_nothing() -> None:
    for mine, theirs in ((with_checked, copy.deepcopy), (copy.deepcopy, with_checked)):
        one = gate_input(mine(evaluation_json()), production=theirs(evaluation_json(PRODUCTION)))
        assert failed(one) == {"yardstick", "worse class", "worse slice"}


def test_too_few_examples_do_not_refuse_and_do_not_excuse_a_missing_class() -> None:
    few = with_value(evaluation_json(), (*SET, "classes", "bus"), {"n": POLICY.examples - 1, "ap50": 0.0})
    before = with_value(
        evaluation_json(b"the one before"), (*SET, "classes", "bus"), {"n": POLICY.examples - 1, "ap50": 0.9}
    )
    assert failed(gate_input(few, production=before)) == set()
    many = with_value(before, (*SET, "classes", "bus", "n"), POLICY.examples)
    assert failed(gate_input(production=many)) == {"yardstick", "worse class"}


def test_too_few_marked_bicycles_are_not_compared() -> None:
    n = POLICY.bicycles - 1
    few = {"n": n, "not_motorcycle": 0.0, "called": {"bicycle": n}}
    before = with_value(evaluation_json(b"the one before"), (*SET, "bicycles"), few | {"not_motorcycle": 0.9})
    assert failed(gate_input(with_value(evaluation_json(), (*SET, "bicycles"), few), production=before)) == set()


def test_what_two_wheelers_are_called_is_asked_only_of_a_detector_that_counts_bicycles() -> None:
    bad = gate_input(
        with_value(evaluation_json(), (*SET, "bicycles", "called"), {"nothing": 40}), manifest=with_counts(COUNTED)
    )
    asked = [result for result in decide(POLICY, bad) if result.rule == BICYCLES]
    assert [(result.passed, result.left_out) for result in asked] == [(True, True)]
    assert failed(bad) == set()
    counting = gate_input(with_value(evaluation_json(), (*SET, "bicycles", "called"), {"nothing": 40}))
    assert failed(counting) == {BICYCLES}


def with_counts(counts: tuple[str, ...]) -> Any:
    """Return the manifest of a candidate that is made to count these."""
    return manifest_json() | {"counts": list(counts)}


def test_a_policy_of_before_asks_for_its_new_tables() -> None:
    old = replace(POLICY, cyclists=None, folds={})
    refused = {result.rule: result.says for result in decide(old, gate_input()) if not result.passed}
    assert set(refused) == {"bicycles", "folds"}
    assert all("write one, or say why not" in says for says in refused.values())


def test_a_policy_without_a_street_does_not_ask_for_it() -> None:
    unasked = gate_input(with_value(evaluation_json(), ("street",), {}))
    found = decide(replace(POLICY, street=None), unasked)
    assert [(result.passed, result.left_out) for result in found if result.rule == "street"] == [(True, True)]
    assert all(result.passed for result in found)


def test_a_fold_with_few_boxes_says_nothing() -> None:
    one = with_value(folds_json(), ("boxes", "car", "south"), 39)
    worse_there = with_value(one, (*RECIPE, "car", "folds", "south"), 0.0)
    assert failed(gate_input(folds=worse_there)) == set()


def test_a_set_of_single_scenes_needs_no_slice_by_camera() -> None:
    one, before = evaluation_json(), evaluation_json(PRODUCTION)
    for content in (one, before):
        content["sets"]["luongduc"] |= {"cameras": ["a", "b", "c"]}
        content["sets"]["luongduc"]["slices"] = {"light:day": content["sets"]["luongduc"]["slices"]["light:day"]}
    assert failed(gate_input(one, production=before)) == set()
    for content in (one, before):
        content["sets"]["luongduc"]["cameras"] = ["a", "b"]
    assert failed(gate_input(one, production=before)) == {"worse slice"}


def test_published_weights_need_no_training_but_a_licence() -> None:
    assert failed(gate_input(manifest=manifest_json(trained=False), record=published())) == set()
    bare = with_value(manifest_json(trained=False), ("licence",), "none stated")
    assert {v.rule for v in decide(POLICY, gate_input(manifest=bare, record=published()), FIRST) if not v.passed} == {
        "licence"
    }


def test_a_size_without_floors_is_refused() -> None:
    one = gate_input(with_value(evaluation_json(), ("model", "input"), [416, 256]))
    assert {"floors", "int8"} <= failed(replace(one, size=(416, 256)))


def test_a_candidate_without_measurements_fails_every_rule_that_needs_a_figure() -> None:
    nothing = replace(gate_input(), evaluation=None, comparison=None, production=None, folds=None)
    assert failed(nothing) == {rule.__name__.replace("_", " ") for rule in rules.RULES} - {
        "origin",
        "licence",
        "attribution",
    }


# --- what is missing


def read(path: tuple[Any, ...]) -> bool:
    """Return True when a rule needs the figure.

    The others are for people; of clips only the names count, and the number of boxes of a slice is taken from whichever
    evaluation says more.
    """
    unused = path[-1] in ("ap75", "bytes", "ms", "threads", "schema") or path == ("model", "file")
    one_clip = path[:2] == ("counting", "clips") and len(path) > 2
    named = "pictures" in path and path[-1] == "name"
    boxes = path[-1] == "n" and ("slices" in path or "by_size" in path)
    return not (unused or one_clip or boxes or named)


NONSENSE: list[Any] = [None, float("nan"), float("inf"), "0.99", -1, [], {}, True]


@pytest.mark.parametrize("path", [path for path in paths_in(evaluation_json()) if read(path)], ids=str)
def test_a_missing_figure_refuses(path: tuple[Any, ...]) -> None:
    assert failed(gate_input(without(evaluation_json(), path)))
    for nonsense in NONSENSE:
        assert failed(gate_input(with_value(evaluation_json(), path, nonsense))), nonsense


@pytest.mark.parametrize(
    "path", [p for p in paths_in(comparison_json()) if p[-1] != "schema" and "time/saved" not in p], ids=str
)
def test_a_missing_difference_refuses(path: tuple[Any, ...]) -> None:
    for nonsense in NONSENSE[:2] + NONSENSE[3:]:
        found = failed(gate_input(comparison=with_value(comparison_json(), path, nonsense)))
        expected = "yardstick" if {"baseline_counts", "sets", "clips"} & {*path} else "better"
        assert {expected} <= found <= {expected, "as good"}


def test_a_candidate_as_good_may_be_better_with_checked_labels_alone() -> None:
    for ap50, require_schema, refused in (
        ([-0.009, 0.004], [0.001, 0.02], set()),
        ([-0.009, 0.004], [-0.001, 0.02], {"better"}),
        ([-0.011, 0.004], [0.001, 0.02], {"as good"}),
    ):
        rows = {"all/ap50": {"delta": 0.0, "ci": ap50}, "checked/ap50": {"delta": 0.01, "ci": require_schema}}
        assert failed(gate_input(comparison=comparison_json() | {"differences": rows})) == refused


def test_a_candidate_as_good_may_be_better_in_time_alone() -> None:
    assert failed(chosen([-0.009, 0.004], (0.03, 0.05))) == set()
    assert failed(chosen([-0.009, 0.004], (-0.01, 0.01))) == {"better"}
    for nonsense in NONSENSE[:2] + NONSENSE[3:]:
        missing = with_value(comparison_json(), ("differences", "time/saved"), nonsense)
        assert failed(gate_input(comparison=missing)) == set(), "time is asked for only where AP is no better"


@pytest.mark.parametrize("content", [None, [], {}, {"schema": "edge-app/evaluation/9"}, "text", 3])
def test_another_schema_is_refused(content: Any) -> None:
    for reader in (parse_evaluation, parse_comparison):
        with pytest.raises(RegistryError, match="schema"):
            reader(content)


# --- what is worse


SHARES = [
    path
    for path in paths_in(evaluation_json())
    if path[-1] in ("ap50", "not_motorcycle", "f1", "event_f1", "any_class_f1", "effectiveness", "ap50_int8")
    and "clips" not in path
]
"""Figures of which more is better."""
COSTS = [("speed", "relative_to", "ratio"), *(p for p in paths_in(evaluation_json()) if p[-1] == "ap50_float")]
steps = st.lists(st.floats(-0.1, 0.1), min_size=len(SHARES) + len(COSTS), max_size=len(SHARES) + len(COSTS))
losses = st.lists(
    st.floats(0, 0.1) | st.just(0.0), min_size=len(SHARES) + len(COSTS), max_size=len(SHARES) + len(COSTS)
)


def changed(content: Json, by: list[float]) -> Json:
    """Return the evaluation with every figure so much better (positive) or worse (negative)."""
    made = copy.deepcopy(content)
    for path, step in zip([*SHARES, *COSTS], by, strict=True):
        value = at(made, path) + (step if path in SHARES else -step)
        at(made, path[:-1])[path[-1]] = min(1.0, max(0.0, value)) if path[-1] != "ratio" else value
    return made


@given(first=steps, loss=losses, gain=st.floats(-0.1, 0.1), lost=st.floats(0, 0.1), larger=st.integers(0, 300))
@settings(deadline=None, max_examples=60)
def test_worse_figures_pass_no_further_rule(
    first: list[float], loss: list[float], gain: float, lost: float, larger: int
) -> None:
    before = changed(evaluation_json(), first)
    after = changed(before, [-part for part in loss])
    ci = (*CHOSEN, "ci")
    one = replace(gate_input(before, comparison=with_value(comparison_json(), ci, [gain, 0.3])), bytes=1000)
    other = replace(
        gate_input(after, comparison=with_value(comparison_json(), ci, [gain - lost, 0.3])), bytes=1000 + larger
    )
    assert passing(other) <= passing(one)
    if failed(one):
        assert failed(other)


@cache
def refused_ones() -> list[GateInput]:
    """Return the inputs that one rule refuses and that have an evaluation."""
    made = [make() for _, make in ALONE.values()]
    return [one for one in made if one.evaluation]


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_removing_figures_from_one_that_is_refused_never_lets_it_pass(data: st.DataObject) -> None:
    assert failed(data.draw(st.sampled_from(refused_ones())))
    bad = with_value(evaluation_json(), (*SET, "classes", "car", "ap50"), 0.1)
    for path in data.draw(st.lists(st.sampled_from(SHARES), max_size=6, unique=True)):
        bad = without(bad, path)
    assert failed(gate_input(bad))


@given(st.text(max_size=30) | st.sampled_from(["CC-BY-SA-4.0", "GPL-3.0", "apache-2.0", "CC BY 4.0", "MIT "]))
@settings(deadline=None, max_examples=40)
def test_only_a_named_licence_is_one(licence: str) -> None:
    one = gate_input(manifest=with_value(manifest_json(), ("origin", "training", "data", 0, "licence"), licence))
    assert (failed(one) == set()) == (licence in POLICY.licences)
    assert failed(one) <= {"licence"}
