"""The registry on disk, with files of a few bytes: promotion, rollback, what is refused, and what is committed."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app.detectors.manifest import load
from edge_app.errors import DetectorError
from models.common.errors import RegistryError
from models.registry import history, operations
from models.registry.__main__ import main
from models.registry.operations import adopt, promote, rollback
from models.registry.policy import DEFAULT_POLICY
from models.registry.shelf import Shelf
from tests.support.registry_cases import (
    AT,
    FILE,
    OURS,
    POLICY,
    SIZE,
    THEIRS,
    add,
    everything,
    in_production,
    manifest,
    places,
    sha256,
    shelf,
    with_value,
)


def test_a_promotion_and_back(two: Shelf) -> None:
    before = [path.read_bytes() for path in two.slot(SIZE)]
    assert all(verdict.passed for verdict in promote(two, POLICY, two.entry("ours"), at=AT))
    assert in_production(two) == OURS
    gate = json.loads(two.slot(SIZE)[1].read_text())["gate"]
    assert gate["decision"] == "rules"
    assert (gate["model_sha256"], gate["replaces"]) == (sha256(OURS), sha256(THEIRS))
    assert gate["policy_sha256"] == sha256(DEFAULT_POLICY.read_bytes())
    assert gate["evaluation_sha256"] == sha256((two.folder("ours") / "evaluation.json").read_bytes())
    assert {rule["rule"] for rule in gate["rules"]} >= {"floors", "better", "licence", "worse class", "latency"}
    assert status(two) == {"first": "former", "ours": "production"}
    rollback(two, SIZE, at=AT, why="seen to miss buses")
    assert [path.read_bytes() for path in two.slot(SIZE)] == before
    assert in_production(two) == THEIRS
    assert status(two) == {"first": "production", "ours": "withdrawn"}
    assert [event.kind for event in two.history()] == ["added", "adopted", "added", "promoted", "rolled back"]


def status(one: Shelf) -> dict[str, str]:
    return {entry.name: history.status(one.history(), entry.sha256, entry.size) for entry in one.entries()}


def test_what_was_rolled_back_stays_out_until_it_is_measured_again(two: Shelf) -> None:
    promote(two, POLICY, two.entry("ours"), at=AT)
    rollback(two, SIZE, at=AT, why="seen to miss buses")
    found = promote(two, POLICY, two.entry("ours"), at=AT)
    (refused,) = [verdict for verdict in found if not verdict.passed]
    assert "seen to miss buses" in refused.says
    assert in_production(two) == THEIRS
    add(two, OURS, name="ours", against=THEIRS)
    assert all(verdict.passed for verdict in promote(two, POLICY, two.entry("ours"), at=AT))


def test_a_refusal_changes_nothing(two: Shelf) -> None:
    other = add(two, b"a model nobody compared", name="other")
    before = everything(two)
    assert [v for v in promote(two, POLICY, other, at=AT) if not v.passed]
    assert everything(two) == before


def test_a_rollback_goes_one_step_back_and_no_more_is_kept(two: Shelf) -> None:
    models = [THEIRS, OURS, b"the third one.", b"the fourth one"]
    promote(two, POLICY, two.entry("ours"), at=AT)
    for one, before in zip(models[2:], models[1:], strict=False):
        entry = add(two, one, name=one.decode().replace(" ", "-").strip("."), against=before)
        assert not [v for v in promote(two, POLICY, entry, at=AT) if not v.passed]
    assert {path.name for path in (two.registry / "former").iterdir()} == {
        f"{sha256(b'the third one.')}.{kind}" for kind in ("tflite", "json")
    }
    rollback(two, SIZE, at=AT, why="trial")
    assert in_production(two) == b"the third one."
    with pytest.raises(Exception, match="not kept any more: take it from git"):
        rollback(two, SIZE, at=AT, why="trial")


def test_only_the_first_of_a_size_is_adopted(two: Shelf) -> None:
    with pytest.raises(Exception, match="is in production already"):
        adopt(two, POLICY, two.entry("ours"), at=AT, why="I like it")


def test_a_first_model_needs_a_reason_and_licences_all_the_same(tmp_path: Path) -> None:
    one = shelf(tmp_path)
    entry = add(one, OURS, name="ours", measured=False)
    with pytest.raises(Exception, match="--why"):
        adopt(one, POLICY, entry, at=AT, why=" ")
    path = tmp_path / "arrived" / "ours.json"
    path.write_text(json.dumps(with_value(manifest(), ("origin", "training", "data", 0, "licence"), "none stated")))
    entry = operations.add(one, path.with_suffix(".tflite"), {}, name=None, at=AT)
    found = adopt(one, POLICY, entry, at=AT, why="there is none")
    assert [verdict.rule for verdict in found if not verdict.passed] == ["licence"]
    assert not one.slot(SIZE)[0].exists()


def test_nothing_to_roll_back_to(two: Shelf) -> None:
    for size in (SIZE, "640x384"):
        with pytest.raises(Exception, match="nothing to go back to"):
            rollback(two, size, at=AT, why="trial")


@pytest.mark.parametrize("kind", [0, 1])
def test_a_file_exchanged_by_hand_is_noticed(two: Shelf, kind: int) -> None:
    path = two.slot(SIZE)[kind]
    path.write_bytes(json.dumps({"sha256": "0" * 64}).encode())
    with pytest.raises(Exception, match="is not what the registry put there"):
        promote(two, POLICY, two.entry("ours"), at=AT)


def test_a_candidate_damaged_in_the_store_is_noticed(two: Shelf) -> None:
    two.file_of(sha256(OURS)).write_bytes(b"something else")
    with pytest.raises(Exception, match="add the model again"):
        promote(two, POLICY, two.entry("ours"), at=AT)
    assert in_production(two) == THEIRS


def test_a_damaged_former_model_is_not_brought_back(two: Shelf) -> None:
    promote(two, POLICY, two.entry("ours"), at=AT)
    two.former(sha256(THEIRS))[0].write_bytes(b"something else")
    with pytest.raises(Exception, match="is damaged"):
        rollback(two, SIZE, at=AT, why="trial")
    assert in_production(two) == OURS


# --- a change that fails midway


def failing_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the change to the disk with this number fail, counted from 0, and all after it."""
    left = [step]

    def limited(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
            return change(*args, **options)

        return call

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, limited(getattr(Path, name)))


@pytest.mark.parametrize("step", range(9))
@pytest.mark.parametrize("back", [False, True], ids=["promote", "rollback"])
def test_a_change_that_fails_midway_is_reported_until_git_restores_the_files(
    two: Shelf, step: int, back: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    change: Callable[[], object] = lambda: promote(two, POLICY, two.entry("ours"), at=AT)  # noqa: E731
    old, new = THEIRS, OURS
    if back:
        change()
        change, old, new = lambda: rollback(two, SIZE, at=AT, why="trial"), OURS, THEIRS
    committed = {path: path.read_bytes() for path in two.slot(SIZE)}
    with pytest.MonkeyPatch.context() as patch:
        failing_at(patch, step)
        with contextlib.suppress(RegistryError):
            change()
    recorded = history.succession(two.history(), SIZE)[-1].sha256
    try:
        assert sha256(in_production(two)) == recorded
    except (AssertionError, DetectorError):
        assert recorded == sha256(old)
        assert main(["check", "ours", *places(two)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f"run `git restore {' '.join(map(str, two.slot(SIZE)))}`.")
        for path, content in committed.items():
            path.write_bytes(content)
    if in_production(two) == old:
        change()
    assert in_production(two) == new
    assert [event.kind for event in two.history()].count("promoted") == 1
    assert history.succession(two.history(), SIZE)[-1].sha256 == sha256(new)


def test_a_change_takes_as_many_steps_as_the_failures_reach(two: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_at(monkeypatch, 5)
    promote(two, POLICY, two.entry("ours"), at=AT)
    monkeypatch.undo()
    failing_at(monkeypatch, 9)  # four former files to delete
    rollback(two, SIZE, at=AT, why="trial")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git (apt install git)")
def test_the_command_that_the_sentence_names_takes_the_change_back(
    two: Shelf, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = ["git", "-C", str(two.production), "-c", "user.name=x", "-c", "user.email=x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    with monkeypatch.context() as patch:
        failing_at(patch, 3)
        assert main(["promote", "ours", *places(two)]) == 1
    assert "No space left" in capsys.readouterr().err
    with pytest.raises(DetectorError, match="not the file its manifest describes"):
        load(two.slot(SIZE)[0])
    assert main(["promote", "ours", *places(two)]) == 1
    said = capsys.readouterr().err
    subprocess.run([*git, *said[said.index("`git ") + 5 : said.rindex("`")].split()], check=True)
    assert in_production(two) == THEIRS
    assert main(["promote", "ours", *places(two)]) == 0
    assert in_production(two) == OURS


# --- what is committed


@pytest.mark.parametrize("size", ["300x300", "512x288", "640x384"])
def test_the_committed_registry_says_what_ships(size: str) -> None:
    one = Shelf()
    last = history.succession(one.history(), size)[-1]
    said, _ = load(one.slot(size)[0])
    assert said.proven
    assert said.sha256 == last.sha256
    assert said.gate is not None
    assert said.gate.promoted_at == last.at
    assert one.entry(last.name).sha256 == last.sha256
    assert one.slot(SIZE)[0].name == FILE


@pytest.mark.parametrize("size", ["300x300", "512x288", "640x384"])
def test_the_committed_registry_can_roll_back_one_step(size: str) -> None:
    one = Shelf()
    before = history.succession(one.history(), size)[-2]
    assert load(one.former(before.sha256)[0])[0].sha256 == before.sha256


def test_no_other_former_model_is_committed() -> None:
    one = Shelf()
    kept = {history.succession(one.history(), size)[-2].sha256 for size in ("300x300", "512x288", "640x384")}
    assert {path.stem for path in (one.registry / "former").iterdir()} == kept
