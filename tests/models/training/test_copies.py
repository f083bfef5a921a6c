"""Test, without MLflow, that its absence is one sentence and ends no training that goes on."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from models.training import copies
from models.training.commands import main
from tests.support.run_cases import run_folder

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture
def _without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)


@pytest.mark.usefixtures("_without_mlflow")
def test_asked_for_without_the_extra_it_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path / "one", [2.0], {0: 0.4})
    assert main(["runs", str(folder.path), "--mlflow", str(tmp_path / "x.sqlite")]) == 1
    assert capsys.readouterr().err == "MLflow is not installed: pip install '.[models,mlflow]'.\n"


@pytest.mark.usefixtures("_without_mlflow")
def test_a_run_that_was_copied_before_goes_on_without(tmp_path: Path) -> None:
    folder, said = run_folder(tmp_path / "one", [2.0], {0: 0.4}), list[str]()
    (folder.path / "mlflow.txt").write_text(f"{tmp_path / 'x.sqlite'}\n")
    with copies.of(folder, None, said.append) as copy:
        copy()
    assert said == ["MLflow is not installed: pip install '.[models,mlflow]'. The training goes on without."]


def test_every_advice_to_install_keeps_the_versions_that_tensorflow_needs() -> None:
    text = "".join(path.read_text("utf-8") for path in sorted(MODELS.rglob("*.py")))
    advised = re.findall(r"pip install '\.\[([^\]]*)\]'", text)
    assert advised
    assert all("models" in extras.split(",") for extras in advised), advised
