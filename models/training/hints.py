"""Keep what is known of pictures beside their labels, found once for a training and stored in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.common.geometry import covered_share, iou_matrix
from models.data.marks import MARKED, What, marks
from models.data.samples import BICYCLE, CLASSES, OTHER, Sample
from models.training import weights
from models.training.framing import Scene

_COVERED: Final = 0.3
"""Share of a detector's box that a mark covers: from here on the mark replaces it."""
_SAME: Final = 0.5
"""IoU from which a label is about a marked object."""
_KINDS: Final[Mapping[What, int]] = {
    "bicycles": BICYCLE,
    "cars": CLASSES.index("car"),
    "buses": CLASSES.index("bus"),
    "trucks": CLASSES.index("truck"),
}


@dataclass(frozen=True, slots=True)
class Hint:
    """Additions and doubts about the labels of one picture with N labels.

    boxes: float32 (R, 4), x0 y0 x1 y1 in 0..1, of vehicles without a label.
    kinds: int8 (R,), their classes, OTHER where nothing is to be learned.
    doubtful: bool (N,), labels from which nothing is to be learned.
    """

    boxes: FloatArray
    kinds: NDArray[np.int8]
    doubtful: NDArray[np.bool_]

    def added(self, scene: Scene) -> Scene:
        """Return the scene with the hint as it is to be learned."""
        return self._with(scene, self.kinds)

    def excused(self, scene: Scene) -> Scene:
        """Return the scene with the hint as it is to be validated by: none of these is expected or counted as false."""
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
"""sha256 of a picture -> hint."""


def with_marks(found: Hints, samples: Sequence[Sample], path: Path = MARKED) -> Hints:
    """Return the hints together with what a person has marked.

    Marks replace what detectors said there, and labels that call a bicycle a motorcycle or a van a bus. Marked are also
    vehicles whose label is right where a detector says something else: without the mark nothing would be learned there.
    """
    nothing = marks("nothing", path)
    marked_as = [(kind, marks(what, path)) for what, kind in _KINDS.items()]
    none, result = np.empty((0, 4), np.float32), dict(found)
    for sample in samples:
        boxes_of = [(kind, boxes.get(sample.sha256, none)) for kind, boxes in marked_as]
        mine, empty = np.concatenate([boxes for _, boxes in boxes_of]), nothing.get(sample.sha256, none)
        if not (len(mine) or len(empty)):
            continue
        unknown = Hint(none, np.empty(0, np.int8), np.zeros(len(sample.boxes), bool))
        hint = found.get(sample.sha256, unknown)
        marked = np.concatenate([mine, empty])
        left = covered_share(hint.boxes, marked).max(axis=1, initial=0) < _COVERED
        kinds = [kind for kind, boxes in boxes_of for _ in boxes]
        result[sample.sha256] = Hint(
            np.concatenate([hint.boxes[left], mine]),
            np.concatenate([hint.kinds[left], np.array(kinds, np.int8)]),
            hint.doubtful | (iou_matrix(sample.boxes, mine) >= _SAME).any(axis=1),
        )
    return result


def save(path: Path, found: Hints) -> None:
    """Write the hints as one .npz, in one step."""
    arrays = {}
    for name, hint in found.items():
        kinds = hint.kinds.astype(np.float32)[:, None]
        arrays[f"{name}/more"] = np.concatenate([hint.boxes, kinds], axis=1)
        arrays[f"{name}/doubtful"] = hint.doubtful.astype(np.float32)
    weights.save(path, arrays)


def load(path: Path) -> Hints:
    """Return what `save` wrote; nothing when the file is absent. Raises BuildError: when it cannot be read."""
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
