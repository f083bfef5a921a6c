"""Test that the model card agrees with the registry, and that a difference is reported."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.card import model_card as card
from models.common.errors import BuildError, RegistryError
from models.registry import history
from models.registry.storage import Registry
from tests.support.paths import ARTEFACTS
from tests.support.registry_cases import folds_json


def test_the_card_is_up_to_date_and_its_plots_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert card.main(["--check"]) == 0, capsys.readouterr().err
    shown = [Path(link).name for link in re.findall(r"\]\(([^)]*\.svg)\)", card.CARD.read_text())]
    assert [Path(name).stem for name in shown] == list(card.PLOTS)
    for name in shown:
        plot = (ARTEFACTS / "card" / name).read_text()
        assert plot.lstrip().startswith(("<?xml", "<svg"))
        for found in re.findall(r'data:image/png;base64,([^"]*)"', plot):
            image = cv2.imdecode(np.frombuffer(base64.b64decode(found), np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert len(np.unique(image.reshape(-1, 3), axis=0)) < 64, f"{name} holds more than a heat map"


def test_a_wrong_figure_is_reported_and_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    true = card.CARD.read_text()
    changed = tmp_path / "MODEL_CARD.md"
    changed.write_text(true.replace("| 640x384 | 7 | 123 |", "| 640x384 | 7 | 132 |"))
    monkeypatch.setattr(card, "CARD", changed)
    assert card.main(["--check"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "MODEL_CARD.md does not say what the registry says: run python -m models.card."
    ]
    assert changed.read_text() != true
    assert card.main([]) == 0
    assert changed.read_text() == true


def test_a_card_without_a_place_for_figures_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "MODEL_CARD.md"
    changed.write_text("# Card\n")
    monkeypatch.setattr(card, "CARD", changed)
    assert card.main([]) == 1
    assert "around its figures" in capsys.readouterr().err
    assert changed.read_text() == "# Card\n"


def copied(folder: Path) -> Registry:
    """Return a copy of the entries and the history of this repository."""
    shutil.copytree(Registry().root / "entries", folder / "entries")
    shutil.copy(Registry().root / "history.jsonl", folder)
    return Registry(folder, folder, folder)


def test_a_file_in_production_that_was_never_measured_is_reported(tmp_path: Path) -> None:
    registry = copied(tmp_path)
    for evaluation in tmp_path.glob("entries/*/evaluation.json"):
        evaluation.unlink()
    with pytest.raises(RegistryError, match=r"512x288 is in production, but was never measured"):
        card.figures(registry)


def test_plots_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ap50.svg").write_text("<svg/>")
    (tmp_path / "precision-recall.svg").write_text("<svg/>")
    (tmp_path / "confusion-another.svg").write_text("<svg/>")
    default = next(e for e in Registry().entries() if e.size == "512x288")
    with pytest.raises(BuildError, match=f"confusion-{default.name}.svg"):
        card.copy_plots(tmp_path, tmp_path / "card", default)


def test_the_first_paragraph_says_what_the_recipe_reaches_in_countries_not_seen(tmp_path: Path) -> None:
    registry = copied(tmp_path)
    text = card.CARD.read_text()
    default = registry.entry(history.succession(registry.history(), "512x288")[-1].name)
    folds = registry.entry_folder(default.name) / "folds.json"
    folds.unlink(missing_ok=True)
    assert "was not measured" in card.updated(text, registry).split("\n\n")[2]
    folds.write_text(json.dumps(folds_json()))
    first = " ".join(card.updated(text, registry).split("\n\n")[2].split())
    assert "mean AP50 of car 0.600, motorcycle 0.600 (the recipe before: car 0.550, motorcycle 0.550;" in first
    assert card.updated(card.updated(text, registry), Registry()) == text
