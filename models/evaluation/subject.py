"""Hold a model that is evaluated, and everything that was found about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from edge_app.detectors.manifest import load
from models.evaluation.coco import ClassResult
from models.evaluation.counting import ClipResult
from models.evaluation.detection import SetResult
from models.evaluation.drawn_street import Answers
from models.evaluation.speed import Speed

Role: TypeAlias = Literal["model", "float", "baseline"]
_COMMON: str = "ssdlite_mobilenet_v2_"


@dataclass(frozen=True, slots=True)
class Subject:
    """A detector file.

    name: short, unique. size: width and height of its input, px. bytes: size of the file.
    role: "model" for one that was asked about, "float" for the float32 file of the first, "baseline" for what they are
    compared with.
    """

    name: str
    path: Path
    sha256: str
    size: tuple[int, int]
    bytes: int
    role: Role


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Everything that was found about one model; what was not asked for is empty or None.

    sets: one result for each set of pictures. pooled: class -> result over all pictures as one set.
    counted: one result for each clip. speed: of one inference. street: light -> what it calls the rendered street's
    vehicles.
    """

    subject: Subject
    sets: tuple[SetResult, ...] = ()
    pooled: Mapping[str, ClassResult] | None = None
    counted: tuple[ClipResult, ...] = ()
    speed: Speed | None = None
    street: Mapping[str, Answers] = field(default_factory=dict)

    def set(self, name: str) -> SetResult:
        """Return the result on the set of this name."""
        return next(found for found in self.sets if found.picture_set.name == name)


def subjects(models: Sequence[Path], float_file: Path | None = None, baseline: Path | None = None) -> list[Subject]:
    """Return the models, then the float file and the baseline where given.

    A baseline that is among the models stays one of them.
    Raises DetectorError: when a file is absent or does not fit its manifest.
    """
    roles: dict[Path, Role] = {path.resolve(): "model" for path in models}
    for path, role in ((float_file, "float"), (baseline, "baseline")):
        if path:
            roles.setdefault(path.resolve(), role)  # type: ignore[arg-type]
    names = short_names(list(roles))
    return [_subject(name, path, role) for name, (path, role) in zip(names, roles.items(), strict=True)]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return a short unique name for each file, with folder names before it when another file has the same name."""
    names = [path.stem.removeprefix(_COMMON) for path in paths]
    for level in range(3):
        twice = {name for name in names if names.count(name) > 1}
        names = [
            f"{path.parents[level].name}-{name}" if name in twice and level < len(path.parents) else name
            for name, path in zip(names, paths, strict=True)
        ]
    return [name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names, 1)]


def _subject(name: str, path: Path, role: Role) -> Subject:
    manifest, content = load(path)
    size = (manifest.input.width, manifest.input.height)
    return Subject(name, path, manifest.sha256, size, len(content), role)
