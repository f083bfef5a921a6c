"""The registry on disk, with files of a few bytes: promotion, rollback, and what a power cut in between leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_app.detectors.manifest import load
from edge_app.errors import DetectorError
from models.registry import history, operations
from models.registry.__main__ import main
from models.registry.operations import adopt, promote, rollback
from models.registry.placing import finish, interrupted
from models.registry.shelf import ROOM, Entry, Shelf
from tests.models.registry_cases import (
    FILE,
    OURS,
    POLICY,
    SIZE,
    THEIRS,
    compared,
    manifest,
    put_model,
    result,
    sha256,
    shelf,
    with_value,
)

AT = "2026-11-25T00:00:00Z"


def add(
    one: Shelf, model: bytes, *, name: str, measured: bool = True, against: bytes | None = None, trained: bool = True
) -> Entry:
    folder = one.registry.parent / "arrived"
    path = put_model(folder, model, name=name, trained=trained)
    documents = {}
    if measured:
        documents["evaluation.json"] = folder / "result.json"
        documents["evaluation.json"].write_text(json.dumps(result(model)))
    if against is not None:
        documents["comparison.json"] = folder / "comparison.json"
        documents["comparison.json"].write_text(json.dumps(compared(model, against)))
    return operations.add(one, path, documents, name=name, at=AT)


@pytest.fixture
def two(tmp_path: Path) -> Shelf:
    """THEIRS in production, OURS a candidate that would pass."""
    one = shelf(tmp_path)
    first = add(one, THEIRS, name="first", trained=False)
    assert all(verdict.passed for verdict in adopt(one, POLICY, first, at=AT, why="there was none"))
    add(one, OURS, name="ours", against=THEIRS)
    return one


def in_production(one: Shelf) -> bytes:
    """What a device would load. Raises DetectorError when it would not."""
    said, content = load(one.slot(SIZE)[0])
    assert said.proven
    return content


def test_a_promotion_and_back(two: Shelf) -> None:
    before = [path.read_bytes() for path in two.slot(SIZE)]
    assert all(verdict.passed for verdict in promote(two, POLICY, two.entry("ours"), at=AT))
    assert in_production(two) == OURS
    gate = json.loads(two.slot(SIZE)[1].read_text())["gate"]
    assert gate["decision"] == "rules"
    assert (gate["model_sha256"], gate["replaces"]) == (sha256(OURS), sha256(THEIRS))
    assert gate["policy_sha256"] == sha256((ROOM / "policy.toml").read_bytes())
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


def everything(one: Shelf) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in one.registry.parent.rglob("*") if path.is_file()}


def test_each_rollback_goes_one_further_back_and_two_are_kept(two: Shelf) -> None:
    models = [THEIRS, OURS, b"the third one.", b"the fourth one"]
    promote(two, POLICY, two.entry("ours"), at=AT)
    for one, before in zip(models[2:], models[1:], strict=False):
        entry = add(two, one, name=one.decode().replace(" ", "-").strip("."), against=before)
        assert not [v for v in promote(two, POLICY, entry, at=AT) if not v.passed]
    assert {path.name for path in (two.registry / "former").iterdir()} == {
        f"{sha256(model)}.{kind}" for model in (OURS, b"the third one.") for kind in ("tflite", "json")
    }
    for expected in (b"the third one.", OURS):
        rollback(two, SIZE, at=AT, why="trial")
        assert in_production(two) == expected
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


# --- a power cut


class PowerCutError(BaseException):
    """Nothing after it runs, and nothing in the registry's code catches it."""


def cut(monkeypatch: pytest.MonkeyPatch, after: int, *, done: bool) -> None:
    """The power fails at the so many-th change to the disk, done or not yet done."""
    left = [after]

    def failing(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0 and not done:
                raise PowerCutError
            answer = change(*args, **options)
            if left[0] < 0:
                raise PowerCutError
            return answer

        return call

    for owner, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, failing(getattr(owner, name)))


STEPS = range(13)


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("back", [False, True], ids=["promote", "rollback"])
def test_a_power_cut_leaves_a_pair_or_what_can_be_repaired(two: Shelf, step: int, done: bool, back: bool) -> None:
    change: Callable[[], object] = lambda: promote(two, POLICY, two.entry("ours"), at=AT)  # noqa: E731
    old, new = THEIRS, OURS
    if back:
        change()
        change, old, new = lambda: rollback(two, SIZE, at=AT, why="trial"), OURS, THEIRS
    with pytest.MonkeyPatch.context() as patch:
        cut(patch, step, done=done)
        try:
            change()
            finished = True
        except PowerCutError:
            finished = False
    decided = interrupted(two)
    try:
        assert in_production(two) in (old, new)
    except DetectorError:
        assert decided  # the only state that does not load is one that a repair ends
    finish(two)
    found = in_production(two)
    assert found == (new if finished or decided else found)
    assert history.succession(two.history(), SIZE)[-1].sha256 == sha256(found)
    assert not (two.registry / "pending").exists()
    if found == old:
        change()
    assert in_production(two) == new
    kinds = [event.kind for event in two.history()]
    assert kinds.count("promoted") == 1
    assert kinds.count("rolled back") == int(back)
    if not back:
        rollback(two, SIZE, at=AT, why="and back")
        assert in_production(two) == old


def test_the_power_cuts_reach_from_the_first_step_to_the_last(two: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, STEPS[-1] + 1, done=False)
    promote(two, POLICY, two.entry("ours"), at=AT)  # takes fewer steps than were tried
    monkeypatch.undo()
    rollback(two, SIZE, at=AT, why="trial")
    add(two, OURS, name="ours", against=THEIRS)
    cut(monkeypatch, 8, done=False)
    with pytest.raises(PowerCutError):
        promote(two, POLICY, two.entry("ours"), at=AT)


KILLED = """
import os, signal, sys
from pathlib import Path
from models.registry.__main__ import main
replace = Path.replace
def killed(self, target):
    if Path(target).name == {last!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = killed
main(sys.argv[1:])
"""


def test_killed_between_the_two_files_and_repaired_by_the_next_command(
    two: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    last = two.slot(SIZE)[1].name
    command = [sys.executable, "-c", KILLED.format(last=last), "promote", "ours", *places(two)]
    done = subprocess.run(command, cwd=ROOM.parents[1], env=os.environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(DetectorError, match="not the file its manifest describes"):
        load(two.slot(SIZE)[0])
    assert main(["check", "ours", *places(two)]) == 1
    assert "repair" in capsys.readouterr().err
    assert main(["repair", *places(two)]) == 0
    assert "promoted ours" in capsys.readouterr().err
    assert in_production(two) == OURS


# --- the commands


def places(one: Shelf) -> list[str]:
    return ["--registry", str(one.registry), "--production", str(one.production), "--store", str(one.store)]


def test_the_commands_from_the_first_model_to_a_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, folder = shelf(tmp_path), tmp_path / "arrived"
    there = places(one)
    theirs, ours = put_model(folder, THEIRS, name="theirs", trained=False), put_model(folder, OURS, name="ours")
    for name, content in (("a", result(THEIRS)), ("b", result()), ("c", compared())):
        (folder / f"{name}.json").write_text(json.dumps(content))
    assert main(["add", str(theirs), "--evaluation", str(folder / "a.json"), *there]) == 0
    assert main(["adopt", "theirs", "--why", "there was none", *there]) == 0
    assert main(["add", str(ours), "--evaluation", str(folder / "b.json"), *there]) == 0
    assert main(["promote", "ours", *there]) == 1
    said = capsys.readouterr().out
    assert "nothing was changed" in said
    assert [line for line in said.splitlines() if "better" in line and "FAILED" in line]
    assert main(["add", str(ours), "--comparison", str(folder / "c.json"), *there]) == 0
    assert main(["check", sha256(OURS)[:12], *there]) == 0
    assert main(["promote", "ours", "--why", "more motorcycles", *there]) == 0
    assert main(["list", *there]) == 0
    assert main(["show", "ours", *there]) == 0
    said = capsys.readouterr().out
    assert "would pass" in said
    assert "more motorcycles" in said
    assert "CC-BY-4.0, 9 pictures" in said
    assert main(["rollback", SIZE, "--why", "trial", *there]) == 0
    assert main(["history", *there]) == 0
    assert f"replaces {sha256(OURS)[:12]}): trial" in capsys.readouterr().out
    assert in_production(one) == THEIRS


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["check", "nobody"], "There is no candidate 'nobody'"),
        (["add", "absent.tflite"], "cannot read the manifest"),
        (["rollback", "9x9", "--why", "x"], "nothing to go back to"),
        (["promote", "ours", "--policy", "absent.toml"], "cannot be read"),
    ],
)
def test_mistakes_are_one_sentence(
    two: Shelf, command: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *places(two)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize("content", ["", "[1]", '{"schema": "edge-app/count-result/1"}', "{"])
@pytest.mark.parametrize("document", ["evaluation", "comparison", "split"])
def test_a_document_that_is_none_is_not_taken_in(
    two: Shelf, content: str, document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    before = everything(two)
    model = two.registry.parent / "arrived" / "ours.tflite"
    assert main(["add", str(model), f"--{document}", str(path), *places(two)]) == 1
    assert str(path) in capsys.readouterr().err
    assert everything(two) == before


POLICIES = {
    "licences = [": "licences = []\nothers = [",
    "[margins]": "[margin]",
    '"luongduc/car" = 0.70': '"luongduc/car" = 0',
    "edge-app/policy/1": "edge-app/policy/2",
    "examples = 40": "examples =",
}


@pytest.mark.parametrize("part", POLICIES)
def test_half_a_policy_is_none(two: Shelf, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.toml"
    text = (ROOM / "policy.toml").read_text()
    assert part in text
    path.write_text(text.replace(part, POLICIES[part]))
    assert main(["promote", "ours", "--policy", str(path), *places(two)]) == 1
    assert str(path) in capsys.readouterr().err
    assert in_production(two) == THEIRS


def test_one_at_a_time(two: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    with two.held():
        assert main(["promote", "ours", *places(two)]) == 1
    assert "Another process" in capsys.readouterr().err


def test_a_name_that_is_taken_by_another_model_gets_a_hash(two: Shelf) -> None:
    entry = add(two, b"a third", name="ours")
    assert entry.name == f"ours-{sha256(b'a third')[:8]}"


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


def test_no_committed_change_is_half_done() -> None:
    assert not interrupted(Shelf())
