"""What is known of pictures beside their labels, found once for a training and kept in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.common.geometry import covered_share, iou_matrix
from models.data.marks import MARKED, marks
from models.data.samples import BICYCLE, CLASSES, OTHER, Sample
from models.training import weights
from models.training.framing import Scene

_COVERED: Final = 0.3
"""Share of a detector's box that a mark covers: then the mark is right."""
_SAME: Final = 0.5
"""IoU from which a label is of what is marked."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Of one picture. boxes: float32 (R, 4) x0 y0 x1 y1 in 0..1 of vehicles without a label; kinds: int8 (R,), OTHER
    where nothing is to be taught. doubtful: bool (N,), labels of which nothing is to be taught."""

    boxes: FloatArray
    kinds: NDArray[np.int8]
    doubtful: NDArray[np.bool_]

    def added(self, scene: Scene) -> Scene:
        """The scene as it is to be taught."""
        return self._with(scene, self.kinds)

    def excused(self, scene: Scene) -> Scene:
        """The scene as it is to be judged by: none of these is expected, nor held against a detector."""
        return self._with(scene, np.full(len(self.boxes), OTHER, np.int8))

    def _with(self, scene: Scene, kinds: NDArray[np.int8]) -> Scene:
        return Scene(
            scene.image,
            scene.aspect,
            np.concatenate([scene.boxes, self.boxes]),
            np.concatenate([scene.kinds, kinds]),
            np.concatenate([scene.ignored | self.doubtful, kinds == OTHER]),
            np.concatenate([scene.placed, np.ones(len(self.boxes), bool)]),
        )


Hints = Mapping[str, Hint]
"""By a picture's sha256."""


def with_marks(found: Hints, samples: Sequence[Sample], path: Path = MARKED) -> Hints:
    """The hints and what a person has marked, which takes the place of what detectors said there, and of labels that
    call a bicycle a motorcycle or a van a bus."""
    bicycles, cars, nothing = (marks(what, path) for what in ("bicycles", "cars", "nothing"))
    none, result = np.empty((0, 4), np.float32), dict(found)
    for sample in samples:
        of_bicycles, of_cars, empty = (boxes.get(sample.sha256, none) for boxes in (bicycles, cars, nothing))
        mine = np.concatenate([of_bicycles, of_cars])
        if not (len(mine) or len(empty)):
            continue
        unknown = Hint(none, np.empty(0, np.int8), np.zeros(len(sample.boxes), bool))
        hint = found.get(sample.sha256, unknown)
        marked = np.concatenate([mine, empty])
        left = covered_share(hint.boxes, marked).max(axis=1, initial=0) < _COVERED
        kinds = [BICYCLE] * len(of_bicycles) + [CLASSES.index("car")] * len(of_cars)
        result[sample.sha256] = Hint(
            np.concatenate([hint.boxes[left], mine]),
            np.concatenate([hint.kinds[left], np.array(kinds, np.int8)]),
            hint.doubtful | (iou_matrix(sample.boxes, mine) >= _SAME).any(axis=1),
        )
    return result


def save(path: Path, found: Hints) -> None:
    """One .npz, whole or not at all."""
    arrays = {}
    for name, hint in found.items():
        kinds = hint.kinds.astype(np.float32)[:, None]
        arrays[f"{name}/more"] = np.concatenate([hint.boxes, kinds], axis=1)
        arrays[f"{name}/doubtful"] = hint.doubtful.astype(np.float32)
    weights.save(path, arrays)


def load(path: Path) -> Hints:
    """What `save` wrote; nothing where there is no file. Raises BuildError."""
    if not path.exists():
        return {}
    arrays = weights.load(path)
    found = {}
    for key, more in arrays.items():
        name, _, part = key.partition("/")
        if part == "more":
            doubtful = arrays[f"{name}/doubtful"].astype(bool)
            found[name] = Hint(more[:, :4], more[:, 4].astype(np.int8), doubtful)
    return found
