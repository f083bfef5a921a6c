"""Find where the next labelled picture would help most: views and classes with most unfound vehicles. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.evaluation.coco import LARGE, SMALL
from models.evaluation.detection import SetResult
from models.evaluation.labelled import SCORED

_FEWEST: Final = 5
"""Pictures and boxes below which a slice says nothing."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Vehicles of one class that one camera shows in one light and the model does not find.

    images: pictures there. boxes: labelled ones. unfound: those of them that were not found.
    size: the size of most unfound ones. share: the share of the unfound that has this size, 0..1.
    """

    group: str
    camera: str
    light: str
    label: str
    images: int
    boxes: int
    unfound: int
    size: str
    share: float

    @property
    def per_image(self) -> float:
        """Unfound vehicles per picture."""
        return self.unfound / self.images


def gaps(sets: Sequence[SetResult]) -> list[Gap]:
    """Return the gaps of all sets, most unfound vehicles per picture first."""
    found = [gap for one in sets for gap in _of_set(one)]
    return sorted(found, key=lambda gap: (-gap.per_image, gap.camera, gap.label))


def sentence(ranked: Sequence[Gap]) -> str:
    """Return what to label next, in one sentence."""
    if not ranked or not ranked[0].unfound:
        return "Nothing that is labelled goes unfound: label other cameras."
    first = ranked[0]
    vehicles = f"{first.label}es" if first.label.endswith("s") else f"{first.label}s"
    return (
        f"The next labelled picture helps most from views like {first.camera} ({first.light}): "
        f"{first.per_image:.1f} of {first.boxes / first.images:.1f} {vehicles} a picture are not found there, "
        f"{first.share:.0%} of them {first.size}."
    )


def size_class(area: float) -> str:
    """Return small, medium or large for a box of so many px² of the model's input."""
    return "small" if area < SMALL**2 else "large" if area >= LARGE**2 else "medium"


def _of_set(one: SetResult) -> list[Gap]:
    rows: dict[tuple[str, str], list[int]] = {}
    for i, (picture, light) in enumerate(zip(one.picture_set.pictures, one.picture_set.light, strict=True)):
        rows.setdefault((picture.camera, light), []).append(i)
    return [
        gap
        for (camera, light), chosen in rows.items()
        if len(chosen) >= _FEWEST
        for label in SCORED
        if (gap := _gap(one, camera, light, label, chosen)).boxes >= _FEWEST
    ]


def _gap(one: SetResult, camera: str, light: str, label: str, chosen: Sequence[int]) -> Gap:
    sizes: Counter[str] = Counter()
    boxes = 0
    for i in chosen:
        observation, outcomes = one.used[i], one.errors[i]
        mine = (observation.classes == SCORED.index(label)) & ~observation.ignored
        boxes += int(mine.sum())
        areas = np.prod(observation.truth[:, 2:] - observation.truth[:, :2], axis=1)
        sizes.update(size_class(float(area)) for area in areas[mine & outcomes.unfound])
    unfound = sum(sizes.values())
    size, number = sizes.most_common(1)[0] if sizes else ("medium", 0)
    return Gap(
        one.picture_set.name,
        camera,
        light,
        label,
        len(chosen),
        boxes,
        unfound,
        size,
        number / unfound if unfound else 0.0,
    )
