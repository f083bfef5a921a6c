"""Say how often a camera's crossings have the right class, by what people have seen on pictures of them. Pure: no I/O.

Pictures are drawn of doubtful and of certain crossings apart, and doubtful ones are wrong more often: all answers in
one heap would tell a camera worse than it is. So each kind has its own share, weighted by the crossings it stands for.

Interval of each kind: Wilson, "Probable inference, the law of succession, and statistical inference" (1927), with the
effective number of answers where they weigh differently (Kish, "Survey Sampling", 1965). Of both together: the method
of variance estimates recovery (Zou and Donner, "Construction of confidence limits about effect measures", 2008).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_Z: Final = 1.959964
"""Of a normal variable, for an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A picture. stands_for: crossings of its kind. right: what the person saw is what was counted; None: no answer."""

    doubtful: bool
    stands_for: int
    right: bool | None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Share of crossings with the right class, 0..1, with its interval of 95 %."""

    share: float
    low: float
    high: float


def accuracy_of(pictures: Iterable[Reviewed]) -> Accuracy | None:
    """Return the accuracy that pictures of one camera tell; None while a kind of crossings has no answer."""
    kinds: dict[bool, list[Reviewed]] = {}
    for picture in pictures:
        kinds.setdefault(picture.doubtful, []).append(picture)
    whole = sum(one.stands_for for of_kind in kinds.values() for one in of_kind)
    share = below = above = 0.0
    for of_kind in kinds.values():
        found = _of_kind(of_kind)
        if found is None:
            return None
        weight = sum(one.stands_for for one in of_kind) / whole
        share += weight * found.share
        below += (weight * (found.share - found.low)) ** 2
        above += (weight * (found.high - found.share)) ** 2
    return Accuracy(share, max(0.0, share - math.sqrt(below)), min(1.0, share + math.sqrt(above))) if kinds else None


def _of_kind(pictures: Sequence[Reviewed]) -> Accuracy | None:
    answered = [(one.stands_for, one.right) for one in pictures if one.right is not None]
    if not answered:
        return None
    weights = sum(weight for weight, _ in answered)
    share = sum(weight for weight, right in answered if right) / weights
    low, high = wilson(share, weights**2 / sum(weight**2 for weight, _ in answered))
    return Accuracy(share, low, high)


def wilson(share: float, many: float) -> tuple[float, float]:
    """Return the limits of an interval of 95 % for a share of so many that were looked at."""
    spread = _Z**2 / many
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
