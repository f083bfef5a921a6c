"""Test the whole chain without TensorFlow: runs that go on from each other, an export, and what the gate says of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.common.errors import LineageError
from models.conversion.manifest import write
from models.data import drawn
from models.data.samples import Sample
from models.lineage import files
from models.lineage.__main__ import main
from models.lineage.records import Lineage
from models.registry import operations
from models.registry.collect import gate_input
from models.registry.rules import decide
from models.training import ancestry, weights
from models.training import folder as folders
from models.training.ancestry import Sources
from models.training.folder import RunFolder
from models.training.scenes import Parts, lineage
from models.training.settings import Settings
from tests.support.registry_cases import AT, POLICY, empty_registry, evaluation_json, manifest_json, sha256, with_value

PICTURES = list(drawn.samples(8, seed=3))


def pictures(origin: str, licence: str, rows: Sequence[int] = range(8)) -> Parts:
    """Return drawn pictures as if another had made them, those of one camera to validate."""
    made = [replace(PICTURES[row], origin=origin, licence=licence) for row in rows]
    return Parts(tuple(made[: len(made) // 2]), tuple(made[len(made) // 2 :]))


def run(path: Path, parts: Parts, sources: Sources, code: str = "2265463") -> Path:
    """Make a run's folder as `train` does, with weights that it has written. Return them."""
    folder = RunFolder(path)
    rows = lineage(parts.training, "train") + lineage(parts.validation, "validation")
    folder.begin(Settings(steps=2), {"data": rows, "parent": {"sha256": "f" * 64, "from": "test"}})
    folder.note_code(code)
    ancestry.begin(folder, parts, sources)
    made = {"unit/kernel": np.full((2, 2), len(str(path)), np.float32)}
    files.note_weights(path, weights.digest(made))
    weights.save(folder.weights, made)
    return folder.weights


def begun(start: Path | None) -> Sources:
    """Return what a run takes that begins from a file of weights, or from the published ones."""
    sources = Sources()
    sources.start(start)
    return sources


def exported(weights_file: Path, parts: Parts, out: Path, code: str = "2265463") -> Path:
    """Write a detector's file as `export` does. Return its path."""
    folder = RunFolder(weights_file.parent)
    sources = begun(weights_file)
    sources.run(folder)
    record = ancestry.exported(folder, parts, sources, code, out)
    made = manifest_json(b"a model")
    made["origin"]["training"] |= {"data": folder.data()["data"], "code": folder.code()}
    return write(out, made, b"a model", record)


def refused(model: Path, folder: Path) -> dict[str, str]:
    """Return rule and subject -> sentence of what the gate refuses about a model's descent, after it was added."""
    one = empty_registry(folder)
    measured = folder / "result.json"
    content = evaluation_json(b"a model")
    shown = [{"name": s.name, "sha256": s.sha256, "fingerprint": s.fingerprint} for s in PICTURES[:3]]
    measured.write_text(json.dumps(with_value(content, ("sets", "jakarta", "pictures"), shown)))
    entry = operations.add(one, model, {"evaluation.json": measured}, name="ours", at=AT)
    found = decide(POLICY, gate_input(one, entry))
    rules = ("origin", "licence", "attribution", "unseen")
    return {f"{r.rule}: {r.subject}": r.says for r in found if r.rule in rules and not r.passed}


OTHERS = [5, 6, 7]
"""Pictures that do not evaluate."""


def test_two_clean_steps_do_not_wash_what_was_learned_before(tmp_path: Path) -> None:
    judges = pictures("theirs", "CC-BY-NC-4.0", [0, 1, 2, 3])
    clean = pictures("ours", "LicenseRef-own", OTHERS)
    first = run(tmp_path / "runs" / "early", judges, begun(None))
    last = run(tmp_path / "runs" / "last", clean, begun(first))
    found = refused(exported(last, clean, tmp_path / "out"), tmp_path / "gate")
    assert "run early, 2 steps back" in found["licence: theirs of run early, 2 steps back"]
    assert "of run early, 2 steps back" in found["unseen: jakarta"]
    assert {name.partition(":")[0] for name in found} == {"licence", "unseen"}


def test_an_export_with_other_pictures_than_the_training_says_so(tmp_path: Path) -> None:
    clean = pictures("ours", "LicenseRef-own", OTHERS)
    last = run(tmp_path / "runs" / "last", clean, begun(None))
    model = exported(last, pictures("theirs", "CC-BY-NC-4.0", [4, 5]), tmp_path / "out")
    assert {"licence: theirs of export of last"} == {*refused(model, tmp_path / "gate")}


@pytest.mark.parametrize("where", ["run", "export"])
def test_changed_code_in_the_run_or_in_the_export_refuses(tmp_path: Path, where: str) -> None:
    clean = pictures("ours", "LicenseRef-own", OTHERS)
    dirty = {where: "2265463+changes"}
    last = run(tmp_path / "runs" / "last", clean, begun(None), dirty.get("run", "2265463"))
    model = exported(last, clean, tmp_path / "out", dirty.get("export", "2265463"))
    found = refused(model, tmp_path / "gate")
    assert found
    assert {name.partition(":")[0] for name in found} == {"origin"}
    assert all("commit" in says for says in found.values())


def test_the_hashes_of_all_ancestors_travel_with_the_export(tmp_path: Path) -> None:
    parts = [pictures(f"set {n}", "CC-BY-4.0", [n, n + 1]) for n in (3, 4, 5)]
    start: Path | None = None
    for number, one in enumerate(parts):
        start = run(tmp_path / f"place{number}" / f"run{number}", one, begun(start))
    assert start is not None
    model = exported(start, parts[-1], tmp_path / "out")
    record = files.read(files.beside(model))
    assert len(record.ancestors()) == 5
    assert len(files.picture_hashes(record, [tmp_path / "out" / "pictures"])) == 4
    manifest = json.loads(model.with_suffix(".json").read_text())
    assert manifest["origin"]["lineage"]["head"] == record.head
    assert {"Pictures of set 3, CC-BY-4.0", "Pictures of set 5, CC-BY-4.0"} <= {*manifest["origin"]["attribution"]}


def test_weights_that_were_copied_without_their_record_have_none(tmp_path: Path) -> None:
    first = run(tmp_path / "runs" / "early", pictures("ours", "LicenseRef-own", OTHERS), begun(None))
    copy = tmp_path / "copied.npz"
    copy.write_bytes(first.read_bytes())
    sources = begun(copy)
    said: list[str] = []
    sources.warn(said.append)
    assert "copied.npz has no record" in said[0]
    last = run(tmp_path / "runs" / "last", pictures("ours", "LicenseRef-own", OTHERS), sources)
    model = exported(last, pictures("ours", "LicenseRef-own", OTHERS), tmp_path / "out")
    assert [*refused(model, tmp_path / "gate")] == ["origin: copied.npz, 2 steps back"]


def of(path: Path) -> Lineage:
    """Return the lineage of a file of weights."""
    return files.of_weights(path, weights.digest(weights.load(path)))


def test_the_record_of_other_weights_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path / "runs" / "early", pictures("ours", "LicenseRef-own", OTHERS), begun(None))
    copy = tmp_path / "copied.npz"
    copy.write_bytes(first.read_bytes())
    files.write(files.beside(copy), files.for_weights(of(first), weights.digest(weights.load(first))))
    assert of(copy).head == of(first).head
    weights.save(copy, {"unit/kernel": np.zeros((2, 2), np.float32)})
    with pytest.raises(LineageError, match="other weights"):
        of(copy)
    weights.save(first, {"unit/kernel": np.zeros((2, 2), np.float32)})
    with pytest.raises(LineageError, match="did not write"):
        of(first)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": "edge-app/lineage/1"}', '{"schema": 1}', "[" * 5000])
def test_a_damaged_record_is_one_sentence_with_its_path(tmp_path: Path, content: str) -> None:
    first = run(tmp_path / "runs" / "early", pictures("ours", "LicenseRef-own", OTHERS), begun(None))
    (first.parent / files.RUN).write_text(content)
    with pytest.raises(LineageError, match=r"lineage\.json cannot be"):
        of(first)


def test_a_teacher_without_a_record_counts_and_a_published_one_is_known(tmp_path: Path) -> None:
    model = tmp_path / "teacher.tflite"
    model.write_bytes(b"x")
    content = manifest_json(b"x", trained=False) | {"name": "teacher"}
    content["origin"].pop("lineage")
    model.with_suffix(".json").write_text(json.dumps(content))
    assert files.of_detector(model).head == files.published().head
    content["origin"]["training"] = {}
    model.with_suffix(".json").write_text(json.dumps(content))
    assert files.of_detector(model).steps[files.of_detector(model).head].kind == "unrecorded"
    with pytest.raises(LineageError, match="is no manifest"):
        files.of_detector(tmp_path / "absent.tflite")


def test_a_restart_by_other_code_is_remembered(tmp_path: Path) -> None:
    one = RunFolder(tmp_path)
    assert one.code() == ""
    for code in ("a", "a", "b+changes", "a"):
        one.note_code(code)
    assert one.code() == "a b+changes"


def test_code_counts_as_changed_only_when_code_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("models/training/folder.py", "models/artefacts/x.json", "edge_app/a.py", "docs/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(folders, "__file__", str(tmp_path / "models/training/folder.py"))
    assert folders.code_revision() == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    (tmp_path / "docs/a.md").write_text("changed")
    (tmp_path / "models/artefacts/x.json").write_text("changed")
    (tmp_path / "models/artefacts/new.json").write_text("new")
    assert folders.code_revision().isalnum()
    (tmp_path / "models/new.py").write_text("new")
    assert folders.code_revision().endswith("+changes")


def sample(number: int) -> Sample:
    """Return one of the drawn pictures."""
    return PICTURES[number]


@pytest.mark.parametrize(("credits", "credited"), [(("by A", "by B"), 2), (("by A", ""), 1), (("", ""), 0)])
def test_pictures_of_many_people_are_credited_one_by_one(
    tmp_path: Path, credits: tuple[str, str], credited: int
) -> None:
    made = [replace(sample(i), licence="CC-BY-2.0", credit=text) for i, text in enumerate(credits)]
    (one,) = files.data_sets(made, "train", tmp_path)
    assert (one.credited, len(one.credits)) == (credited, credited)
    assert all("CC-BY-2.0" in line for line in one.credits)


def test_the_name_of_a_digest_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(LineageError, match="cannot be read"):
        files.digest_of_file(tmp_path / "absent")
    (tmp_path / "there").write_bytes(b"x")
    assert files.digest_of_file(tmp_path / "there") == sha256(b"x")


def test_the_commands_keep_show_and_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(tmp_path / "runs" / "early", pictures("ours", "LicenseRef-own", OTHERS), begun(None))
    assert main(["keep", str(first), "--out", str(tmp_path / "kept"), "--name", "mine.npz"]) == 0
    kept = tmp_path / "kept" / "mine.npz"
    assert of(kept).head == of(first).head
    assert files.picture_hashes(of(kept), [tmp_path / "kept" / "pictures"])
    assert main(["show", str(kept)]) == 0
    output = capsys.readouterr().out
    assert "run early" in output
    assert "train: ours, LicenseRef-own, 1 pictures" in output
    theirs = tmp_path / "theirs.npz"
    weights.save(theirs, {"unit/kernel": np.ones((2, 2), np.float32)})
    words = ["--name", "theirs", "--licence", "MIT", "--origin", "https://example.org", "--attribution", "Theirs, MIT"]
    assert main(["state", str(theirs), *words]) == 0
    assert main(["state", str(theirs), *words]) == 1
    assert of(theirs).attribution() == ["Theirs, MIT"]
    assert main(["credits", str(theirs)]) == 0
    assert "Theirs, MIT" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "absent.npz")]) == 1
