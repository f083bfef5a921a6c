"""Test the registry on disk with files of a few bytes: promotion, rollback, refusals, failures, committed files."""

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
from models.registry.storage import Registry
from tests.support.registry_cases import (
    AT,
    CANDIDATE,
    FILE,
    POLICY,
    PRODUCTION,
    SIZE,
    add,
    all_files,
    empty_registry,
    in_production,
    manifest_json,
    registry_options,
    sha256,
    with_value,
)


def test_a_promotion_and_back(registry: Registry) -> None:
    before = [path.read_bytes() for path in registry.product_files(SIZE)]
    assert all(result.passed for result in promote(registry, POLICY, registry.entry("ours"), at=AT))
    assert in_production(registry) == CANDIDATE
    gate = json.loads(registry.product_files(SIZE)[1].read_text())["gate"]
    assert gate["decision"] == "rules"
    assert (gate["model_sha256"], gate["replaces"]) == (sha256(CANDIDATE), sha256(PRODUCTION))
    assert gate["policy_sha256"] == sha256(DEFAULT_POLICY.read_bytes())
    assert gate["evaluation_sha256"] == sha256((registry.entry_folder("ours") / "evaluation.json").read_bytes())
    assert {rule["rule"] for rule in gate["rules"]} >= {"floors", "better", "licence", "worse class", "latency"}
    assert status(registry) == {"first": "former", "ours": "production"}
    rollback(registry, SIZE, at=AT, why="seen to miss buses")
    assert [path.read_bytes() for path in registry.product_files(SIZE)] == before
    assert in_production(registry) == PRODUCTION
    assert status(registry) == {"first": "production", "ours": "withdrawn"}
    assert [event.kind for event in registry.history()] == ["added", "adopted", "added", "promoted", "rolled back"]


def status(one: Registry) -> dict[str, str]:
    """Return name of an entry -> its status."""
    return {entry.name: history.status(one.history(), entry.sha256, entry.size) for entry in one.entries()}


def test_a_model_that_was_rolled_back_stays_out_until_it_is_measured_again(registry: Registry) -> None:
    promote(registry, POLICY, registry.entry("ours"), at=AT)
    rollback(registry, SIZE, at=AT, why="seen to miss buses")
    found = promote(registry, POLICY, registry.entry("ours"), at=AT)
    (refused,) = [result for result in found if not result.passed]
    assert "seen to miss buses" in refused.says
    assert in_production(registry) == PRODUCTION
    add(registry, CANDIDATE, name="ours", against=PRODUCTION)
    assert all(result.passed for result in promote(registry, POLICY, registry.entry("ours"), at=AT))


def test_a_refusal_changes_nothing(registry: Registry) -> None:
    other = add(registry, b"a model nobody compared", name="other")
    before = all_files(registry)
    assert [v for v in promote(registry, POLICY, other, at=AT) if not v.passed]
    assert all_files(registry) == before


def test_a_rollback_goes_one_step_back_and_no_more_is_kept(registry: Registry) -> None:
    models = [PRODUCTION, CANDIDATE, b"the third one.", b"the fourth one"]
    promote(registry, POLICY, registry.entry("ours"), at=AT)
    for one, before in zip(models[2:], models[1:], strict=False):
        entry = add(registry, one, name=one.decode().replace(" ", "-").strip("."), against=before)
        assert not [v for v in promote(registry, POLICY, entry, at=AT) if not v.passed]
    assert {path.name for path in (registry.root / "former").iterdir()} == {
        f"{sha256(b'the third one.')}.{kind}" for kind in ("tflite", "json")
    }
    rollback(registry, SIZE, at=AT, why="trial")
    assert in_production(registry) == b"the third one."
    with pytest.raises(Exception, match="not kept any more: take it from git"):
        rollback(registry, SIZE, at=AT, why="trial")


def test_only_the_first_of_a_size_is_adopted(registry: Registry) -> None:
    with pytest.raises(Exception, match="is in production already"):
        adopt(registry, POLICY, registry.entry("ours"), at=AT, why="I like it")


def test_a_first_model_needs_a_reason_and_licences_all_the_same(tmp_path: Path) -> None:
    one = empty_registry(tmp_path)
    entry = add(one, CANDIDATE, name="ours", measured=False)
    with pytest.raises(Exception, match="--why"):
        adopt(one, POLICY, entry, at=AT, why=" ")
    path = tmp_path / "arrived" / "ours.json"
    path.write_text(
        json.dumps(with_value(manifest_json(), ("origin", "training", "data", 0, "licence"), "none stated"))
    )
    entry = operations.add(one, path.with_suffix(".tflite"), {}, name=None, at=AT)
    found = adopt(one, POLICY, entry, at=AT, why="there is none")
    assert [result.rule for result in found if not result.passed] == ["licence"]
    assert not one.product_files(SIZE)[0].exists()


@pytest.mark.parametrize("text", ["../../x", "/etc/x", "", "512x288/..", "A" * 64, "0" * 63, "512x288\n"])
def test_a_malformed_hash_or_size_becomes_no_path(registry: Registry, text: str) -> None:
    for path_of in (registry.candidate_file, registry.former_files, registry.product_files):
        with pytest.raises(RegistryError):
            path_of(text)


def test_nothing_to_roll_back_to(registry: Registry) -> None:
    for size in (SIZE, "640x384"):
        with pytest.raises(Exception, match="nothing to go back to"):
            rollback(registry, size, at=AT, why="trial")


@pytest.mark.parametrize("kind", [0, 1])
def test_a_file_exchanged_by_hand_is_refused(registry: Registry, kind: int) -> None:
    path = registry.product_files(SIZE)[kind]
    path.write_bytes(json.dumps({"sha256": "0" * 64}).encode())
    with pytest.raises(Exception, match="is not what the registry put there"):
        promote(registry, POLICY, registry.entry("ours"), at=AT)


def test_a_candidate_damaged_in_the_store_is_refused(registry: Registry) -> None:
    registry.candidate_file(sha256(CANDIDATE)).write_bytes(b"something else")
    with pytest.raises(Exception, match="add the model again"):
        promote(registry, POLICY, registry.entry("ours"), at=AT)
    assert in_production(registry) == PRODUCTION


def test_a_damaged_former_model_is_not_brought_back(registry: Registry) -> None:
    promote(registry, POLICY, registry.entry("ours"), at=AT)
    registry.former_files(sha256(PRODUCTION))[0].write_bytes(b"something else")
    with pytest.raises(Exception, match="is damaged"):
        rollback(registry, SIZE, at=AT, why="trial")
    assert in_production(registry) == CANDIDATE


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
    registry: Registry, step: int, back: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    change: Callable[[], object] = lambda: promote(registry, POLICY, registry.entry("ours"), at=AT)  # noqa: E731
    old, new = PRODUCTION, CANDIDATE
    if back:
        change()
        change, old, new = lambda: rollback(registry, SIZE, at=AT, why="trial"), CANDIDATE, PRODUCTION
    committed = {path: path.read_bytes() for path in registry.product_files(SIZE)}
    with pytest.MonkeyPatch.context() as patch:
        failing_at(patch, step)
        with contextlib.suppress(RegistryError):
            change()
    recorded = history.succession(registry.history(), SIZE)[-1].sha256
    try:
        assert sha256(in_production(registry)) == recorded
    except (AssertionError, DetectorError):
        assert recorded == sha256(old)
        assert main(["check", "ours", *registry_options(registry)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(
            f"run `git restore {' '.join(map(str, registry.folders))}`, which also takes back what was not committed; "
            "a folder that is in no git has to come from a copy."
        )
        for path, content in committed.items():
            path.write_bytes(content)
    if in_production(registry) == old:
        change()
    assert in_production(registry) == new
    assert [event.kind for event in registry.history()].count("promoted") == 1
    assert history.succession(registry.history(), SIZE)[-1].sha256 == sha256(new)


def test_a_change_takes_as_many_steps_as_the_failures_reach(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_at(monkeypatch, 5)
    promote(registry, POLICY, registry.entry("ours"), at=AT)
    monkeypatch.undo()
    failing_at(monkeypatch, 9)  # four former files to delete
    rollback(registry, SIZE, at=AT, why="trial")


@pytest.mark.skipif(not shutil.which("git"), reason="needs git (apt install git)")
def test_the_command_that_the_sentence_names_takes_the_change_back(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = ["git", "-C", str(registry.production.parent), "-c", "user.name=x", "-c", "user.email=x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    with monkeypatch.context() as patch:
        failing_at(patch, 3)
        assert main(["promote", "ours", *registry_options(registry)]) == 1
    assert "No space left" in capsys.readouterr().err
    with pytest.raises(DetectorError, match="not the file its manifest describes"):
        load(registry.product_files(SIZE)[0])
    assert main(["promote", "ours", *registry_options(registry)]) == 1
    manifest = capsys.readouterr().err
    subprocess.run([*git, *manifest[manifest.index("`git ") + 5 : manifest.rindex("`")].split()], check=True)
    assert in_production(registry) == PRODUCTION
    assert main(["promote", "ours", *registry_options(registry)]) == 0
    assert in_production(registry) == CANDIDATE


# --- what is committed


@pytest.mark.parametrize("size", ["300x300", "512x288", "640x384"])
def test_the_committed_registry_agrees_with_the_product(size: str) -> None:
    one = Registry()
    last = history.succession(one.history(), size)[-1]
    manifest, _ = load(one.product_files(size)[0])
    assert manifest.proven
    assert manifest.sha256 == last.sha256
    assert manifest.gate is not None
    assert manifest.gate.promoted_at == last.at
    assert one.entry(last.name).sha256 == last.sha256
    assert one.product_files(SIZE)[0].name == FILE


@pytest.mark.parametrize("size", ["300x300", "512x288", "640x384"])
def test_the_committed_registry_can_roll_back_one_step(size: str) -> None:
    one = Registry()
    before = history.succession(one.history(), size)[-2]
    assert load(one.former_files(before.sha256)[0])[0].sha256 == before.sha256


def test_no_other_former_model_is_committed() -> None:
    one = Registry()
    kept = {history.succession(one.history(), size)[-2].sha256 for size in ("300x300", "512x288", "640x384")}
    assert {path.stem for path in (one.root / "former").iterdir()} == kept
