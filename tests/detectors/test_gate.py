"""Gate records: a model in production must carry a valid one, and a candidate needs permission to count."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app import cli
from edge_app.app import service
from edge_app.assembly.counter import with_classes
from edge_app.assembly.device import counting_hash
from edge_app.checks.road import check_classes, check_gate
from edge_app.config.model import Config, CountingConfig, DetectorConfig
from edge_app.detectors.manifest import COUNTED, Manifest, default_model, load, refuse_unproven
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import DetectorError
from edge_app.records import VEHICLES
from tests.support.videos import write_video

MODEL = default_model()
Json = dict[str, Any]


def shipped_manifest() -> Json:
    content: Json = json.loads(MODEL.with_suffix(".json").read_text("utf-8"))
    return content


def gate_record(model: bytes) -> Json:
    """Return the record of a promotion by rules."""
    return {
        "schema": "edge-app/gate/1",
        "decision": "rules",
        "promoted_at": "2026-11-25T00:00:00Z",
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "policy_sha256": "1" * 64,
        "evaluation_sha256": "2" * 64,
        "replaces": "3" * 64,
        "rules": [{"rule": "floors", "subject": "car", "passed": True, "says": "0.9, at least 0.8"}],
    }


def write_model(folder: Path, manifest: Json, model: bytes | None = None) -> Path:
    """Write a model, by default the one that ships, and its manifest with the right hash."""
    content = MODEL.read_bytes() if model is None else model
    path = folder / "own.tflite"
    path.write_bytes(content)
    manifest = manifest | {"sha256": hashlib.sha256(content).hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(manifest), "utf-8")
    return path


def candidate_manifest() -> Json:
    """Return the manifest of the default model without stage and gate record."""
    return {key: value for key, value in shipped_manifest().items() if key not in ("stage", "gate")}


@pytest.mark.parametrize("model", sorted(MODEL.parent.glob("*.tflite")), ids=lambda path: path.stem)
def test_every_model_that_ships_is_in_production_with_a_record(model: Path) -> None:
    assert load(model)[0].proven


def test_a_model_that_passed_the_rules_loads(tmp_path: Path) -> None:
    path = write_model(
        tmp_path, candidate_manifest() | {"stage": "production", "gate": gate_record(MODEL.read_bytes())}
    )
    assert TfliteDetector(path, threads=1).manifest.proven


WRONG_RECORDS: dict[str, tuple[Callable[[Json], object], str]] = {
    "no record": (lambda m: m.pop("gate"), "carries no gate record"),
    "the record of another file": (lambda m: m["gate"].update(model_sha256="a" * 64), "about another file"),
    "a failed rule": (lambda m: m["gate"]["rules"][0].update(passed=False), "failed rule (floors: car)"),
    "no rule at all": (lambda m: m["gate"].update(rules=[]), "no rule that was checked"),
    "no evaluation": (lambda m: m["gate"].update(evaluation_sha256=None), "no rule that was checked"),
    "the first without a reason": (lambda m: m["gate"].update(decision="initial", replaces=None), "without a reason"),
    "a first one that replaces": (lambda m: m["gate"].update(decision="initial", reason="so"), "as a replacement"),
    "an unknown kind of record": (lambda m: m["gate"].update(schema="edge-app/gate/9"), "gate.schema"),
    "an unknown decision": (lambda m: m["gate"].update(decision="forced"), "gate.decision"),
    "an unknown stage": (lambda m: m.update(stage="live"), "stage"),
}


@pytest.mark.parametrize("fault", WRONG_RECORDS)
def test_a_model_in_production_without_a_valid_record_is_refused(fault: str, tmp_path: Path) -> None:
    change, expected = WRONG_RECORDS[fault]
    manifest = candidate_manifest() | {"stage": "production", "gate": gate_record(MODEL.read_bytes())}
    change(manifest)
    with pytest.raises(DetectorError) as refusal:
        TfliteDetector(write_model(tmp_path, manifest))
    assert expected in str(refusal.value)
    assert "own" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_exchanged_model_file_does_not_fit_its_record(tmp_path: Path) -> None:
    """The hash in the manifest is that of the new file; the record still has the old one."""
    path = write_model(tmp_path, shipped_manifest(), MODEL.read_bytes() + b"\0")
    with pytest.raises(DetectorError, match="about another file"):
        load(path)


@pytest.mark.long
def test_count_and_bench_accept_a_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, clip = write_model(tmp_path, candidate_manifest()), write_video(tmp_path / "short.mp4", range(10))
    count = cli._parser().parse_args(["count", str(clip), "--model", str(model), "--out", str(tmp_path / "out.json")])
    assert count.main(count, threading.Event()) == 0
    assert json.loads((tmp_path / "out.json").read_text())["model"]["file"] == shipped_manifest()["file"]
    bench = cli._parser().parse_args(["bench", str(clip), "--model", str(model), "--seconds", "0.5", "--json"])
    assert bench.main(bench, threading.Event()) == 0
    assert "ratio" in capsys.readouterr().out


def test_the_service_refuses_a_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path, candidate_manifest())
    config = Config(detector=DetectorConfig(model=model))
    with pytest.raises(DetectorError, match=r"candidate .* detector\.allow_unproven = true"), service(config):
        pass
    assert not (tmp_path / "state").exists()  # refused before anything was touched


def test_run_refuses_a_candidate_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path, candidate_manifest())
    config = tmp_path / "edge-app.toml"
    config.write_text('[source]\nkind = "street"\n[detector]\nmodel = "own.tflite"\n')
    assert cli.main(["run", "--config", str(config)]) == 2
    warning, line = capsys.readouterr().err.splitlines()
    assert "NO CAMERA" in warning
    assert "has not passed the gate" in line


def test_the_operator_may_allow_a_candidate() -> None:
    manifest = Manifest.model_validate(candidate_manifest())
    refuse_unproven(manifest, allowed=True)
    with pytest.raises(DetectorError):
        refuse_unproven(manifest, allowed=False)


def test_check_tells_how_a_model_came_to_work() -> None:
    own = Manifest.model_validate(candidate_manifest())
    ships = Manifest.model_validate(shipped_manifest())
    by_rules = Manifest.model_validate(
        candidate_manifest() | {"stage": "production", "gate": gate_record(MODEL.read_bytes())}
    )
    found = [check_gate(ships, allowed=False), check_gate(by_rules, allowed=False), check_gate(own, allowed=True)]
    assert [one.level for one in found] == ["ok", "ok", "warn"]
    assert "passed 1 checks" in found[1].sentence
    refused = check_gate(own, allowed=False)
    assert refused.level == "FAIL"
    assert "allow_unproven" in refused.sentence


def with_bicycles(**rule: object) -> Json:
    """Return the manifest of a detector in production that is made to count bicycles. rule: the gate's result."""
    record = gate_record(MODEL.read_bytes())
    if rule:
        record["rules"].append({"rule": "bicycles", "subject": "all", "says": "", "passed": True} | rule)
    return candidate_manifest() | {"stage": "production", "gate": record, "counts": list(VEHICLES)}


COUNTED_BY: dict[str, tuple[Json, tuple[str, ...]]] = {
    "the shipped one": (shipped_manifest(), COUNTED),
    "a candidate made for bicycles": (candidate_manifest() | {"counts": list(VEHICLES)}, COUNTED),
    "the gate did not ask": (with_bicycles(), COUNTED),
    "the gate left it out": (with_bicycles(left_out=True), COUNTED),
    "the gate asked": (with_bicycles(passed=True), VEHICLES),
    "the gate asked, and it is not made for them": (with_bicycles(passed=True) | {"counts": list(COUNTED)}, COUNTED),
}


@pytest.mark.parametrize("case", COUNTED_BY)
def test_bicycles_are_counted_by_default_from_a_detector_that_passed_the_gate_with_them(case: str) -> None:
    content, expected = COUNTED_BY[case]
    manifest, named = Manifest.model_validate(content), CountingConfig(classes=("bicycle",))
    config = with_classes(Config(), manifest)
    assert config.counting.classes == expected
    assert with_classes(Config(counting=named), manifest).counting == named
    changed = counting_hash(config, MODEL.name) != counting_hash(Config(), MODEL.name)
    assert changed == (expected != COUNTED)
    shown = expected == VEHICLES
    assert check_classes(("car", "bicycle"), manifest).level == ("ok" if shown else "warn")


def test_the_first_of_its_size_counts_what_a_person_took_it_for() -> None:
    content = with_bicycles()
    content["gate"] |= {"decision": "initial", "replaces": None, "reason": "what our devices run"}
    assert Manifest.model_validate(content).counted == VEHICLES


@pytest.mark.parametrize("counts", [[], ["tram"], ["person"], ["car", "bicycle"]])
def test_a_detector_cannot_count_what_it_does_not_know(counts: list[str], tmp_path: Path) -> None:
    labels = ["person", "car", "motorcycle", "bus", "truck", "truck"]
    with pytest.raises(DetectorError, match=r"own\.json is not valid at file: counts must be vehicles"):
        load(write_model(tmp_path, candidate_manifest() | {"labels": labels, "counts": counts}))


@pytest.mark.parametrize(("asked", "expected"), [(True, set(VEHICLES)), (False, set(COUNTED))])
def test_count_follows_the_detector(asked: bool, expected: set[str], tmp_path: Path) -> None:
    model = write_model(tmp_path, with_bicycles(left_out=not asked))
    clip, out = write_video(tmp_path / "short.mp4", range(10)), tmp_path / "out.json"
    count = cli._parser().parse_args(["count", str(clip), "--model", str(model), "--out", str(out)])
    assert count.main(count, threading.Event()) == 0
    counts = json.loads(out.read_text())["totals"]["middle"]
    assert set(counts) == expected
