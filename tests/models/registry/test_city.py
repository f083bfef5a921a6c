"""Test a city's own registry: its policy from a template, production adopted, what is left out, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.common.errors import RegistryError
from models.registry import opening, plan, report, template
from models.registry.__main__ import main
from models.registry.benchmark import MAY_LACK, Benchmark, parse_benchmark
from models.registry.figures import parse_evaluation
from models.registry.gate_input import GateInput
from models.registry.policy import DEFAULT_POLICY, Policy, load
from models.registry.rule_result import RuleResult
from models.registry.rules import RULES, decide
from tests.support.paths import ARTEFACTS
from tests.support.registry_cases import (
    CANDIDATE,
    POLICY,
    PRODUCTION,
    SIZE,
    Json,
    comparison_json,
    evaluation_json,
    gate_input,
    put_model,
    sha256,
    with_value,
    without,
)

AT = "2026-11-29T08:15:00Z"


def measured(model: bytes, *, clips: bool = False) -> Json:
    """Return the evaluation of a model on a city's two poles, whose few buses have too few boxes."""
    made = evaluation_json(model) | {"at": AT}
    made["sets"] = {f"pole-{n}": one for n, one in zip((7, 9), made["sets"].values(), strict=True)}
    made["sets"]["pole-9"]["classes"]["bus"] = {"n": 12, "ap50": 0.5}
    for one in made["sets"].values():
        one["bicycles"] = {"n": 0, "not_motorcycle": None, "called": {}}
    if not clips:
        del made["counting"]
    return made


def compared(*, clips: bool) -> Json:
    """Return the comparison of the candidate with production; without clips there are no counts."""
    found = comparison_json(measured=parse_evaluation(measured(CANDIDATE, clips=clips)))
    return found if clips else found | {"baseline_counts": None}


def city(folder: Path, *, clips: bool = False) -> list[str]:
    """Write a city's models, measurements and policy. Return the option of its registry."""
    put_model(folder, PRODUCTION, name="theirs", trained=False)
    put_model(folder, CANDIDATE, name="ours")
    (folder / "theirs.result.json").write_text(json.dumps(measured(PRODUCTION, clips=clips)))
    (folder / "ours.result.json").write_text(json.dumps(measured(CANDIDATE, clips=clips)))
    (folder / "comparison.json").write_text(json.dumps(compared(clips=clips)))
    assert main(["template", str(folder / "city"), "--evaluation", str(folder / "theirs.result.json")]) == 0
    return ["--registry", str(folder / "city")]


def add(folder: Path, name: str, *documents: str) -> list[str]:
    """Return the words that add a model with its evaluation, and with further documents."""
    words = ["add", str(folder / f"{name}.tflite"), "--evaluation", str(folder / f"{name}.result.json")]
    return [*words, *documents]


@pytest.mark.parametrize("clips", [False, True])
def test_a_city_goes_from_its_benchmark_to_a_promotion_and_back(
    clips: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = city(tmp_path, clips=clips), tmp_path
    ours = {path: path.read_bytes() for path in ARTEFACTS.glob("*.*")}
    assert "pole-9/bus, 12 boxes of 40" in capsys.readouterr().out
    assert main([*add(here, "theirs"), *there]) == 0
    assert main(["adopt", "theirs", "--why", "it runs on our devices", *there]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert first.startswith(f"theirs ({sha256(PRODUCTION)[:12]}) replaces nothing")
    assert main([*add(here, "ours"), *there]) == 0
    assert main(["check", "ours", *there]) == 1
    assert "was not compared with theirs" in capsys.readouterr().out.splitlines()[1]
    assert main([*add(here, "ours", "--comparison", str(here / "comparison.json")), *there]) == 0
    assert main(["promote", "ours", "--why", "more motorcycles", *there]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == (
        f"ours ({sha256(CANDIDATE)[:12]}) was compared with theirs ({sha256(PRODUCTION)[:12]}), in production for "
        f"{SIZE}, on pole-7 (3 pictures, 400 boxes), pole-9 (3 pictures, 412 boxes) and "
        f"{'2 clips (one.mp4, two.mp4)' if clips else 'no clips'}, measured on 2026-11-29 at 08:15 UTC; production on "
        f"2026-11-29 at 08:15 UTC. Rules: {here / 'city' / 'policy.toml'}."
    )
    left_out = [line for line in lines if "not part of this benchmark" in line]
    assert len(left_out) == (4 if clips else 8)  # the last line tells their number
    product = here / "city" / "production" / f"ssdlite_mobilenet_v2_{SIZE}.tflite"
    assert product.read_bytes() == CANDIDATE
    assert str(product) in lines[-1]
    assert main(["rollback", SIZE, "--why", "misses buses", *there]) == 0
    assert product.read_bytes() == PRODUCTION
    assert ours == {path: path.read_bytes() for path in ARTEFACTS.glob("*.*")}


@pytest.mark.parametrize("size", ["300x300", "512x288", "640x384"])
def test_a_city_begins_with_what_the_release_has_in_production(size: str, tmp_path: Path) -> None:
    there = city(tmp_path)
    assert main(["add", str(ARTEFACTS / f"ssdlite_mobilenet_v2_{size}.tflite"), *there]) == 0
    name = f"ssdlite_mobilenet_v2_{size}"
    assert main(["adopt", name, *there]) == 1  # without a reason
    assert main(["adopt", name, "--why", "this release ships it", *there]) == 0
    there_too = tmp_path / "city" / "production" / f"{name}.tflite"
    assert there_too.read_bytes() == (ARTEFACTS / there_too.name).read_bytes()


def test_another_file_without_a_record_is_not_adopted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = city(tmp_path)
    path = tmp_path / "theirs.json"
    content = json.loads(path.read_text())
    del content["origin"]["lineage"]
    path.write_text(json.dumps(content))
    assert main([*add(tmp_path, "theirs"), *there]) == 0
    before = all_files_of(tmp_path / "city")
    assert main(["adopt", "theirs", "--why", "we like it", *there]) == 1
    assert "nothing was changed" in capsys.readouterr().out
    assert all_files_of(tmp_path / "city") == before


def all_files_of(folder: Path) -> dict[Path, bytes]:
    """Return path -> content of every file in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def policy(**lacks: str) -> Policy:
    """Return this repository's policy with a benchmark of its sets. lacks: what it leaves out, _ for a space."""
    named = {what.replace("_", " "): why for what, why in lacks.items()}
    sets = {"luongduc": ("car", "motorcycle"), "jakarta": ("car", "motorcycle")}
    clips = () if "counts" in named else ("one.mp4", "two.mp4")
    return replace(POLICY, benchmark=Benchmark("city", sets, clips, named))


def evaluations(change: Any) -> GateInput:
    """Return the input of the gate with both evaluations changed."""
    return gate_input(
        change(evaluation_json()),
        production=change(evaluation_json(PRODUCTION)),
        comparison=comparison_json(measured=parse_evaluation(change(evaluation_json()))),
    )


def no_slices(content: Json) -> Json:
    """Return an evaluation whose slices have too few boxes."""
    for one in content["sets"].values():
        one["slices"] = {}
        for found in one["classes"].values():
            found["by_size"] = {}
    return content


def no_motorcycles(content: Json) -> Json:
    """Return an evaluation of pictures in which nobody asked what motorcycles are called."""
    for one in content["sets"].values():
        del one["motorcycles"]
    return content


LACKING = {
    "counts": lambda content: without(content, ("counting",)),
    "worse bicycles": lambda content: without(content, ("sets", "luongduc", "bicycles", "not_motorcycle")),
    "worse slice": no_slices,
    "int8": lambda content: without(content, ("against_float",)),
    "bicycles": no_motorcycles,
    "folds": lambda content: content,
}


@pytest.mark.parametrize("what", MAY_LACK)
def test_what_a_benchmark_has_nothing_for_is_told_apart_from_what_was_not_measured(what: str) -> None:
    found = evaluations(LACKING[what])
    found = replace(found, folds=None) if what == "folds" else found
    asked, left_out = decide(policy(), found), decide(policy(**{what.replace(" ", "_"): "we have none"}), found)
    assert [result for result in asked if not result.passed]
    assert not [result for result in left_out if not result.passed]
    apart = [result for result in left_out if result.left_out]
    assert apart
    assert all(result.says == "not part of this benchmark: we have none" for result in apart)
    assert all(result.as_json()["left_out"] for result in apart)
    assert not any(result.left_out for result in asked)


BENCHMARK = {"name": "city", "clips": ["a.mp4"], "sets": {"pole-7": ["car"]}}


@pytest.mark.parametrize("what", sorted({rule.__name__.replace("_", " ") for rule in RULES} - {*MAY_LACK}))
def test_no_rule_about_origin_or_better_can_be_left_out(what: str) -> None:
    with pytest.raises(ValueError, match="only these can be left out"):
        parse_benchmark(BENCHMARK | {"not_part": {what: "we do not like it"}})


@pytest.mark.parametrize(
    "change",
    [
        {"sets": {}},
        {"sets": {"pole-7": []}},
        {"clips": []},
        {"not_part": {"counts": "though there is a clip"}},
        {"not_part": {"int8": " "}},
    ],
    ids=str,
)
def test_half_a_benchmark_is_refused(change: Json) -> None:
    parse_benchmark(BENCHMARK)
    with pytest.raises(ValueError, match="benchmark"):
        parse_benchmark(BENCHMARK | change)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        (("sets", "jakarta"), "benchmark jakarta"),
        (("sets", "jakarta", "classes", "car"), "benchmark jakarta"),
        (("counting", "clips", "one.mp4"), "benchmark one.mp4"),
    ],
    ids=["set", "class", "clip"],
)
def test_a_part_of_the_benchmark_that_neither_was_measured_on_fails(path: tuple[Any, ...], subject: str) -> None:
    found = evaluations(lambda content: without(content, path))
    refused = [result for result in decide(policy(), found) if not result.passed]
    assert (subject, True) in [(result.subject, "not measured" in result.says) for result in refused]


def made(content: Json, name: str = "City") -> tuple[plan.Plan, str]:
    """Return plan and text of the policy of a city whose production reached this."""
    found = plan.from_evaluations([parse_evaluation(content)], POLICY)
    return found, template.text(found, POLICY, name)


@pytest.mark.parametrize("name", ["City", 'Gdańsk "Nord"', "a\\b", "new\nline = 1"])
@pytest.mark.parametrize("clips", [False, True])
def test_a_template_is_a_policy_that_production_itself_passes(clips: bool, name: str, tmp_path: Path) -> None:
    content = measured(PRODUCTION, clips=clips)
    content["sets"][f"{name} 2"] = content["sets"].pop("pole-9")
    path = template.write(tmp_path, made(content, name)[1], again=False)
    written = load(path)
    assert written.benchmark.name == name
    assert written.benchmark.sets == {f"{name} 2": ("car", "motorcycle"), "pole-7": ("car", "motorcycle")}
    assert written.margins == POLICY.margins
    assert written.licences == POLICY.licences
    floors = [result for result in decide(written, gate_input(content)) if result.rule == "floors"]
    assert len(floors) == (7 if clips else 5)
    assert all(result.passed for result in floors)


def test_a_benchmark_that_was_not_measured_has_no_floors_and_promotes_nothing(tmp_path: Path) -> None:
    assert main(["template", str(tmp_path), "--set", "luongduc=car,motorcycle", "--clip", "one.mp4"]) == 0
    refused = [result for result in decide(load(tmp_path / "policy.toml"), gate_input()) if not result.passed]
    assert [result.rule for result in refused] == ["floors"]
    assert "less a little" in refused[0].says


def test_crossings_decide_which_counts_are_compared() -> None:
    content = measured(PRODUCTION, clips=True)
    content["counting"]["all"]["classes"] = {"car": {"f1": 0.9, "true": 20}, "bus": {"f1": 0.5, "true": 3}}
    found, _ = made(content)
    assert found.counted == ["car"]
    assert found.floors[SIZE]["counting"]["car"] == 0.86
    assert "23 crossings" in found.few


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Name the benchmark"),
        (["--set", "pole-7"], "NAME=CLASS"),
        (["--set", "=car"], "NAME=CLASS"),
        (["--evaluation", "absent.json"], "cannot be read"),
        (["--evaluation", "few.json"], "Label more pictures"),
        (["--evaluation", "whole.json", "few.json"], "different pictures"),
        (["--evaluation", "whole.json", "--clip", "a.mp4"], "Name the benchmark"),
    ],
)
def test_a_template_that_cannot_be_is_refused_in_one_sentence(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = measured(PRODUCTION)
    for one in few["sets"].values():
        one["classes"] = {"car": {"n": 39, "ap50": 0.9}}
    Path("few.json").write_text(json.dumps(few))
    Path("whole.json").write_text(json.dumps(measured(PRODUCTION)))
    assert main(["template", "city", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not Path("city").exists()


def test_a_policy_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    template.write(tmp_path, "one", again=False)
    with pytest.raises(RegistryError, match="--replace"):
        template.write(tmp_path, "two", again=False)
    assert template.write(tmp_path, "two", again=True).read_text() == "two"


@pytest.mark.parametrize("command", ["check", "promote", "adopt"])
def test_a_registry_without_a_policy_names_the_command_that_writes_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "ours", "--registry", str(tmp_path)]) == 1
    assert f"template {tmp_path}" in capsys.readouterr().err


def test_the_release_s_own_registry_keeps_its_product_and_policy_when_it_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = []
    for words in ([], ["--registry", str(ARTEFACTS / "registry")]):
        assert main(["check", "roads-b-512x288", *words]) == 1
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert str(DEFAULT_POLICY) in outputs[0]


OPENINGS = {
    "no production": (replace(gate_input(), production=None), "compared with nothing"),
    "no comparison": (replace(gate_input(), comparison=None), "no comparison is on record"),
    "another model": (gate_input(comparison=comparison_json(b"other")), f"is of {sha256(b'other')[:12]} with"),
    "other pictures": (
        gate_input(comparison=with_value(comparison_json(), ("sets", "jakarta"), "a" * 64)),
        "about other pictures or clips",
    ),
    "another production": (gate_input(comparison=comparison_json(CANDIDATE, b"old")), f"with {sha256(b'old')[:12]}"),
}


@pytest.mark.parametrize("case", OPENINGS)
def test_the_first_sentence_says_what_was_not_compared(case: str) -> None:
    found, says = OPENINGS[case]
    sentence = opening.compared("ours", found, "theirs")
    assert says in sentence
    assert sentence.endswith(".")


def test_the_first_sentence_tells_when_production_was_measured_on_something_else() -> None:
    other = with_value(evaluation_json(PRODUCTION), ("sets", "jakarta", "images"), 98)
    assert "production on jakarta (98 pictures" in opening.compared("ours", gate_input(production=other), "theirs")


def test_failed_checks_without_a_figure_are_counted_apart() -> None:
    decision = decide(POLICY, evaluations(lambda content: without(content, ("counting",))))
    assert " of them not measured)" in report.tally(decision)
    assert report.tally([RuleResult("size", "ratio", True, "")]) == "0 of 1 checks failed"
