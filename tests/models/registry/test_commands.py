"""Test the registry's commands, from the first model to a rollback, and that mistakes are one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_app.detectors.manifest import load as load_model
from edge_app.records import VEHICLES
from models.registry.__main__ import main
from models.registry.policy import DEFAULT_POLICY
from models.registry.storage import Registry
from tests.support.registry_cases import (
    CANDIDATE,
    PRODUCTION,
    SIZE,
    add,
    all_files,
    comparison_json,
    empty_registry,
    evaluation_json,
    folds_json,
    in_production,
    put_model,
    registry_options,
    sha256,
)


def test_the_commands_from_the_first_model_to_a_rollback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, folder = empty_registry(tmp_path), tmp_path / "arrived"
    there = registry_options(one)
    production, candidate = (
        put_model(folder, PRODUCTION, name="theirs", trained=False),
        put_model(folder, CANDIDATE, name="ours"),
    )
    documents = {"a": evaluation_json(PRODUCTION), "b": evaluation_json(), "c": comparison_json(), "d": folds_json()}
    for name, content in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    assert main(["add", str(production), "--evaluation", str(folder / "a.json"), *there]) == 0
    assert main(["adopt", "theirs", "--why", "there was none", *there]) == 0
    assert main(["add", str(candidate), "--evaluation", str(folder / "b.json"), *there]) == 0
    assert main(["promote", "ours", *there]) == 1
    output = capsys.readouterr().out
    assert "nothing was changed" in output
    assert [line for line in output.splitlines() if "better" in line and "FAILED" in line]
    assert main(["add", str(candidate), "--comparison", str(folder / "c.json"), *there]) == 0
    assert main(["check", sha256(CANDIDATE)[:12], *there]) == 1  # nobody knows how its recipe does elsewhere
    assert main(["add", str(candidate), "--folds", str(folder / "d.json"), *there]) == 0
    assert main(["check", sha256(CANDIDATE)[:12], *there]) == 0
    assert main(["promote", "ours", "--why", "more motorcycles", *there]) == 0
    assert main(["list", *there]) == 0
    assert main(["show", "ours", *there]) == 0
    output = capsys.readouterr().out
    assert "would pass" in output
    assert "more motorcycles" in output
    assert "CC-BY-4.0, 9 pictures" in output
    product = one.product_files(SIZE)[0]
    assert load_model(product)[0].counted == VEHICLES, "the gate asked what two-wheelers are called"
    assert main(["rollback", SIZE, "--why", "trial", *there]) == 0
    assert main(["history", *there]) == 0
    assert f"replaces {sha256(CANDIDATE)[:12]}): trial" in capsys.readouterr().out
    assert in_production(one) == PRODUCTION


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["check", "nobody"], "There is no candidate 'nobody'"),
        (["add", "absent.tflite"], "cannot read the manifest"),
        (["rollback", "9x9", "--why", "x"], "nothing to go back to"),
        (["promote", "ours", "--policy", "absent.toml"], "cannot be read"),
    ],
)
def test_mistakes_are_reported_in_one_sentence(
    registry: Registry, command: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *registry_options(registry)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


@pytest.mark.parametrize("content", ["", "[1]", '{"schema": "edge-app/count-result/1"}', "{"])
@pytest.mark.parametrize("document", ["evaluation", "comparison", "split"])
def test_another_kind_of_document_is_not_added(
    registry: Registry, content: str, document: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(content)
    before = all_files(registry)
    model = registry.root.parent / "arrived" / "ours.tflite"
    assert main(["add", str(model), f"--{document}", str(path), *registry_options(registry)]) == 1
    assert str(path) in capsys.readouterr().err
    assert all_files(registry) == before


POLICIES = {
    "licences = [": "licences = []\nothers = [",
    "[margins]": "[margin]",
    '"luongduc/car" = 0.70': '"luongduc/car" = 0',
    "edge-app/policy/1": "edge-app/policy/2",
    "examples = 40": "examples =",
}


@pytest.mark.parametrize("part", POLICIES)
def test_an_incomplete_policy_is_refused(
    registry: Registry, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.toml"
    text = DEFAULT_POLICY.read_text()
    assert part in text
    path.write_text(text.replace(part, POLICIES[part]))
    assert main(["promote", "ours", "--policy", str(path), *registry_options(registry)]) == 1
    assert str(path) in capsys.readouterr().err
    assert in_production(registry) == PRODUCTION


def test_two_processes_do_not_change_the_registry_at_once(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry.locked():
        assert main(["promote", "ours", *registry_options(registry)]) == 1
    assert "Another process" in capsys.readouterr().err


def test_a_name_that_is_taken_by_another_model_gets_a_hash(registry: Registry) -> None:
    entry = add(registry, b"a third", name="ours")
    assert entry.name == f"ours-{sha256(b'a third')[:8]}"
