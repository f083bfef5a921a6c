"""Test, without Optuna, which searches are refused and how settings are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.training import preparing
from models.training.commands import main
from models.training.sampling import Sampling, changed, nested
from models.training.settings import Settings, flat

BASE = Settings(steps=30)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sampler", "grid"], "The grid is empty"),
        (["--grid", "rate=1e-4", "--trials", "2"], "takes no grid"),
        (["--sampler", "random", "--grid", "rate=1e-4"], "takes no grid"),
        (["--sampler", "grid", "--grid", "rate=1e-4", "--origins", "nepal"], "--grid origins.nepal=0.5,1"),
        (["--sampler", "grid", "--grid", "rate=1e-4,2e-4", "--trials", "3"], "has 2 combinations, --trials asks for 3"),
        (["--sampler", "grid", "--grid", "rate=1e-4,-1"], "rate: must be more than 0"),
        (["--sampler", "grid", "--grid", "los.box=1,2"], 'los: there is no such key (did you mean "loss"?)'),
        (["--sampler", "grid", "--grid", "rate.box=1,2"], "rate holds no other settings"),
        (["--sampler", "grid", "--grid", "rate=1e-4,1e-4"], "a value is in the grid twice"),
        (["--sampler", "grid", "--grid", "riderless=[]"], "no lists"),
        (["--sampler", "grid", "--grid", "rate="], "--grid rate=: it must be"),
        (["--sampler", "grid", "--grid", "rate"], "--grid rate: it must be"),
        (["--sampler", "grid", "--grid", "rate=1", "--grid", "rate=2"], "--grid rate is given twice"),
        ([], "say how many trials"),
        (["--set", "rate=1", "--set", "rate.box=1"], "--set rate.box=1: rate holds no other settings"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence_and_leaves_no_folder(
    tmp_path: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--set" in words:
        words = [*words, "--trials", "1"]
    place = tmp_path / "study"
    shards = ["--shards", str(tmp_path / "x"), "--split", str(tmp_path / "y")]
    assert main(["search", str(place), *shards, "--steps", "10", *words]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not place.exists()


def test_a_grid_is_read_with_the_types_of_its_values() -> None:
    assert preparing.grid_of(["loss.box=1,1.5", "precision=float32, auto", "fine=true"]) == {
        "loss.box": [1, 1.5],
        "precision": ["float32", "auto"],
        "fine": [True],
    }


def test_a_name_reaches_every_setting_and_leaves_the_others() -> None:
    values: dict[str, Any] = {"rate": 1e-4, "loss.box": 2.0, "origins.v1.2 of roads": 0.5}
    found = changed(BASE, values)
    assert (found.rate, found.loss.box, found.origins) == (1e-4, 2.0, {"v1.2 of roads": 0.5})
    assert found.loss.gamma == BASE.loss.gamma
    assert nested(values) == {"rate": 1e-4, "loss": {"box": 2.0}, "origins": {"v1.2 of roads": 0.5}}


def test_every_setting_has_a_dotted_name_by_which_it_can_be_changed() -> None:
    for name, value in flat(BASE.model_dump(mode="json")):
        assert changed(BASE, {name: value}) == BASE


def test_a_grid_counts_its_combinations() -> None:
    grid = Sampling("grid", {"rate": [1e-4, 2e-4], "loss.box": [1, 2, 3]})
    assert (grid.combinations, grid.trials(None), grid.trials(4)) == (6, 6, 4)
    assert Sampling().combinations is None
