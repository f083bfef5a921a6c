"""Read CYCLE.toml, which says what a cycle is made of: sets, split, training, evaluation, gate."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.common.errors import BuildError
from models.common.wording import first_fault
from models.conversion.anchors import LARGEST_SIDE, SMALLEST_SIDE, Size
from models.data.samples import NO_LICENCE
from models.training.sampling import Sampler, Sampling
from models.training.settings import Settings, flat

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed where it is not needed

SCHEMA: Final = "edge-app/cycle/1"
TEMPLATE: Final = Path(__file__).with_name("template.toml")
_NAME: Final = r"[a-z0-9][a-z0-9._-]{0,39}"


class CycleError(BuildError):
    """A cycle cannot be run as it is described; one sentence that says what, where and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PictureSet(_Part):
    """One labelled set, as `models.data import` takes it. Paths are relative to the file that names them.

    folder: of the set, or its zip. corrections: folder of what people corrected in it since, from `models.data merge`.
    test: its pictures evaluate, and never teach.
    """

    name: str = Field(pattern=rf"^{_NAME}$")
    folder: str = Field(min_length=1)
    format: Literal["yolo", "voc", "coco", "csv", "cvat", "labelstudio"]
    licence: str = ""
    origin: str = ""
    camera: str = ""
    sources: str = ""
    pictures: str = ""
    credits: str = ""
    corrections: str = ""
    aspect: float | None = None
    classes: dict[str, str] = Field(default_factory=dict)
    test: bool = False

    def paths(self) -> list[str]:
        """Return all files and folders that an import of the set reads."""
        named = (self.folder, self.sources, self.pictures, self.credits, self.corrections)
        return [path for path in named if path]

    @model_validator(mode="after")
    def _stated(self) -> PictureSet:
        missing = [name for name in ("licence", "origin", "camera") if not getattr(self, name)]
        if missing and not self.sources:
            raise ValueError(
                f'{self.name} does not say its {missing[0]} (licence: an SPDX id, "LicenseRef-own" for your own '
                f'cameras, or "{NO_LICENCE}"; camera: the fixed view, or "each")'
            )
        return self


class Split(_Part):
    """Which cameras validate and test; the others train. share: instead of validation, whole cameras at random."""

    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    share: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if bool(self.validation) == (self.share is not None):
            raise ValueError("give either validation = [cameras] or share = 0.2")
        if self.share is not None and self.test:
            raise ValueError('with share, name whole sets as tests ("test = true" in their table), not cameras')
        return self


class Training(_Part):
    """settings: those of models/training/settings.py that differ. weights: to begin from; "" for the published ones.

    mlflow: a store that gets a copy of what is trained, made when absent; "" for none.
    """

    settings: dict[str, Any] = Field(default_factory=dict)
    weights: str = ""
    trusted: tuple[str, ...] = ()
    mlflow: str = ""


class Search(_Part):
    """Short trainings before the training, whose best settings it takes.

    trials: None for the whole grid. steps: of each. grid: dotted name of a setting -> its values.
    """

    trials: int | None = Field(default=None, ge=1)
    steps: int = Field(ge=1)
    sampler: Sampler = "tpe"
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> Search:
        try:
            self.sampling.trials(self.trials)
        except BuildError as error:
            raise ValueError(str(error).rstrip(".")) from error
        return self

    @property
    def sampling(self) -> Sampling:
        """What is tried."""
        return Sampling(self.sampler, self.grid)


class Mixture(_Part):
    """What is mixed into the trained weights, which are judged again then.

    weights: file -> its share, one after the other. published_share: of the published backbone.
    """

    weights: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    published_share: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _something(self) -> Mixture:
        if not self.weights and not self.published_share:
            raise ValueError('name what is mixed in: weights = { "other.npz" = 0.3 } or published_share = 0.1')
        return self


class Qat(_Part):
    """A short training in simulated int8, after all others."""

    steps: int = Field(default=1500, ge=1)
    rate: float = Field(default=5e-5, gt=0)


class Evaluation(_Part):
    """clips: truth files, as `edge-app evaluate` reads them. agreement: of `models.data agree`, "" for none."""

    clips: tuple[str, ...] = ()
    agreement: str = ""


class Gate(_Part):
    """The city's registry. promote: what passes the gate goes into production.

    policy: "" for policy.toml in the registry's folder; if absent, it is written from what production reaches.
    """

    registry: str = Field(default="registry", min_length=1)
    production: str = Field(default="registry/production", min_length=1)
    policy: str = ""
    promote: bool = True
    why: str = "today's detector, measured on our own pictures"


class Description(_Part):
    """A whole cycle."""

    edge_app: Literal["edge-app/cycle/1"] = Field(alias="schema")
    name: str = Field(pattern=rf"^{_NAME}$")
    size: str = "512x288"
    sets: tuple[PictureSet, ...] = Field(min_length=1)
    split: Split
    training: Training = Training()
    search: Search | None = None
    mixture: Mixture | None = None
    qat: Qat | None = None
    evaluation: Evaluation = Evaluation()
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _whole(self) -> Description:
        side = re.fullmatch(r"(\d+)x(\d+)", self.size)
        if not side or not all(SMALLEST_SIDE <= int(one) <= LARGEST_SIDE for one in side.groups()):
            raise ValueError(
                f"size is {self.size!r}, it must be as 512x288, {SMALLEST_SIDE} to {LARGEST_SIDE} px a side"
            )
        twice = [name for name, count in Counter(one.name for one in self.sets).items() if count > 1]
        if twice:
            raise ValueError(f"two sets have the name {twice[0]}")
        if all(one.test for one in self.sets):
            raise ValueError("every set is a test: one at least must teach")
        if not self.split.test and not any(one.test for one in self.sets):
            raise ValueError(
                'nothing evaluates: write "test = true" in a set, or name cameras in split.test; pictures that '
                "trained or validated cannot judge"
            )
        try:
            Settings.model_validate(self._settings())  # a wrong setting is told now, not after an hour
        except ValidationError as error:
            raise ValueError(f"training.settings.{first_fault(error, Settings)}") from error
        if self.search:
            self._check_search(self.search.sampling)
        return self

    def _check_search(self, sampling: Sampling) -> None:
        stated = [name for name, _ in flat(self.training.settings) if name in sampling.names]
        if stated:
            raise ValueError(f"the search chooses {stated[0]}: leave it out of training.settings")
        try:
            sampling.check(self.settings)
        except BuildError as error:
            raise ValueError(f"search.grid: {str(error).rstrip('.')}") from error

    def _settings(self) -> dict[str, Any]:
        return self.training.settings | {"width": self.input.width, "height": self.input.height}

    @property
    def input(self) -> Size:
        """The network's input size."""
        width, _, height = self.size.partition("x")
        return Size(int(width), int(height))

    @property
    def settings(self) -> Settings:
        """Everything that decides the training."""
        return Settings.model_validate(self._settings())

    def weights(self) -> list[str]:
        """Return the files of weights that it begins with or mixes in, as they are named."""
        return [name for name in (self.training.weights, *(self.mixture.weights if self.mixture else ())) if name]

    def paths(self) -> list[str]:
        """Return all files and folders that somebody else must have made, as they are named."""
        named = [path for one in self.sets for path in one.paths()]
        named += [*self.weights(), *self.training.trusted, *self.evaluation.clips]
        return [path for path in (*named, self.evaluation.agreement, self.gate.policy) if path]


def read(path: Path) -> Description:
    """Return what a file describes. Raises CycleError: when it is none, or names something that is not there."""
    try:
        found = Description.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except IsADirectoryError as error:
        raise CycleError(f"{path} is a folder: name the file in it that describes the cycle.") from error
    except OSError as error:
        raise CycleError(
            f"{path} cannot be read ({(error.strerror or str(error)).lower()}): "
            f"`python -m models.cycle --template > {path}` begins one."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CycleError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise CycleError(f"{path}: {first_fault(error, Description)}.") from error
    absent = next((name for name in found.paths() if not (path.parent / name).exists()), None)
    if absent:
        raise CycleError(f"{path} names {absent}, which is not there (names are relative to {path.parent.resolve()}).")
    for name in found.weights():
        if not zipfile.is_zipfile(path.parent / name):
            raise CycleError(f"{path} names {name}, which holds no weights of a training (NAME.npz of a run).")
    for truth in found.evaluation.clips:
        clip = recording(path.parent, truth)
        if not (path.parent / clip).is_file():
            raise CycleError(f"{path} names {truth}, whose recording {clip} is not there.")
    return found


def recording(folder: Path, truth: str) -> Path:
    """Return the recording that a truth file names, relative to the cycle's folder: it lies in ../clips of that.

    Raises CycleError: when it is no truth file.
    """
    try:
        name = str(json.loads((folder / truth).read_text("utf-8"))["clip"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CycleError(f"{truth} is no truth file: it names no recording ({type(error).__name__}).") from error
    return Path(truth).parent.parent / "clips" / name
