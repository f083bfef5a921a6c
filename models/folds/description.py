"""Read FOLDS.toml: which cameras each fold holds back, and which of the others validate."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.common.errors import BuildError
from models.common.wording import first_fault
from models.data import splits
from models.data.shards import Entry
from models.data.splits import Split
from models.evaluation.light import Light

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed where it is not needed

SCHEMA: Final = "edge-app/folds/1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fold(_Part):
    """Patterns of camera names. test: held back, and judged by. validation: of the rest, by which a training looks."""

    test: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...] = Field(min_length=1)


class Slice(_Part):
    """Pictures of a kind. light: as guessed from a picture. cameras: patterns of names, where no picture can tell."""

    light: tuple[Light, ...] = ()
    cameras: tuple[str, ...] = ()


class Folds(_Part):
    """fold: name -> fold. never: licences whose pictures judge where they are held back, and never teach.

    slice: name -> pictures of a kind that are shown apart in each fold. They are part of it all the same.
    """

    schema_: str = Field(alias="schema", pattern=f"^{SCHEMA}$")
    never: tuple[str, ...] = ()
    fold: dict[str, Fold] = Field(min_length=2)
    slice: dict[str, Slice] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _apart(self) -> Folds:
        everywhere = [pattern for one in self.fold.values() for pattern in one.test]
        twice = sorted({pattern for pattern in everywhere if everywhere.count(pattern) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is held back in two folds; a source has one")
        return self


def read(path: Path) -> Folds:
    """Return the folds in a file. Raises BuildError: when it cannot be read or says something impossible."""
    try:
        return Folds.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"{path} cannot be read: {error}.") from error
    except ValidationError as error:
        raise BuildError(f"{path}: {first_fault(error, Folds)}.") from error


def held_back(folds: Folds, entries: Sequence[Entry]) -> dict[str, set[str]]:
    """Return name of a fold -> the cameras that it holds back.

    Raises BuildError: when a camera is held back in two folds, or in none: then nothing could judge it apart.
    """
    cameras = {entry.camera for entry in entries}
    found = {
        name: {camera for camera in cameras if any(fnmatch.fnmatchcase(camera, pattern) for pattern in one.test)}
        for name, one in folds.fold.items()
    }
    for camera in sorted(cameras):
        names = [name for name, mine in found.items() if camera in mine]
        if len(names) != 1:
            raise BuildError(f"Camera {camera} is held back in {' and '.join(names) or 'no fold'}; it must be in one.")
    return found


def split(folds: Folds, name: str, entries: Sequence[Entry]) -> Split:
    """Return the split of one fold; nothing that it holds back trains or validates, nor what may never teach.

    Raises DataError: when near-duplicates are in two parts. Raises BuildError: see held_back.
    """
    back = held_back(folds, entries)[name] | {entry.camera for entry in entries if entry.licence in folds.never}
    rest = [entry for entry in entries if entry.camera not in back]
    chosen = splits.by_patterns(rest, folds.fold[name].validation, ())
    made = Split(chosen.train, chosen.validation, tuple(sorted(back)))
    splits.check(made, entries)
    return made
