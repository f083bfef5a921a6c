"""Test that what is wrong in a file of settings is told in words, whichever command reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from models.common.errors import BuildError
from models.folds import description as folds
from models.training.sampling import changed
from models.training.settings import Settings

JARGON = ("Input should", "Field required", "Extra inputs", "String should", "pydantic")


def _folds(folder: Path) -> None:
    (folder / "folds.toml").write_text('schema = "edge-app/folds/1"\nfolds = 1\n')
    folds.read(folder / "folds.toml")


def _sampled(_folder: Path) -> None:
    changed(Settings(), {"rat": 1})


def _batch(_folder: Path) -> None:
    changed(Settings(), {"batch": "many"})


def _half(_folder: Path) -> None:
    changed(Settings(), {"batch": 2.5})


def _rate(_folder: Path) -> None:
    changed(Settings(), {"rate": "fast"})


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (_folds, 'folds: there is no such key (did you mean "fold"?)'),
        (_sampled, 'rat: there is no such key (did you mean "rate"?)'),
        (_batch, 'batch: must be a whole number, not "many"'),
        (_half, "batch: must be a whole number, not 2.5"),
        (_rate, 'rate: must be a number, not "fast"'),
    ],
)
def test_a_wrong_setting_is_told_in_words(tmp_path: Path, read: Callable[[Path], None], says: str) -> None:
    with pytest.raises(BuildError) as told:
        read(tmp_path)
    assert says in str(told.value)
    assert not [word for word in JARGON if word in str(told.value)]
