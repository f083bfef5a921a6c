"""Resample clips to find how far chance moves the counting scores: each is cut into the ten segments of effectiveness.

A segment carries the crossings that were paired, missed and counted falsely in it; a paired one belongs to where it
truly happened. Each clip keeps its length and its number of segments, so the interval says what other minutes at these
cameras would give. The same draws serve every model: differences are paired. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_app.offline.scoring import SEGMENT_WEIGHTS, SEGMENTS, Key, Pairing, pairings
from models.evaluation.bootstrap import ROUNDS, SEED
from models.evaluation.counting import ClipResult

Figures = Mapping[str, NDArray[np.float64]]
"""Score -> its value in each resampled set: event_f1, any_class_f1, effectiveness and GROUP/f1."""


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Crossings of one class group and direction in each segment of a clip, int64 (SEGMENTS,)."""

    paired: NDArray[np.int64]
    missed: NDArray[np.int64]
    false: NDArray[np.int64]

    @classmethod
    def of(cls, pairing: Pairing, length: float) -> Parts:
        """Return the parts of a pairing. length: of the clip, s."""

        def into(times: Sequence[float]) -> NDArray[np.int64]:
            place = np.clip(np.array(times) / length * SEGMENTS, 0, SEGMENTS - 1).astype(np.int64)
            return np.bincount(place, minlength=SEGMENTS)

        return cls(into([true for true, _ in pairing.pairs]), into(pairing.missed), into(pairing.false))


def draws(clips: int, rounds: int = ROUNDS, seed: int = SEED) -> NDArray[np.int64]:
    """Return which segment stands in each place of the resampled clips, int64 (rounds, clips, SEGMENTS)."""
    return np.random.default_rng(seed).integers(SEGMENTS, size=(rounds, clips, SEGMENTS))


def figures(counted: Sequence[ClipResult], drawn: NDArray[np.int64]) -> Figures:
    """Return every score in every resampled set, nan where nothing was to be counted and nothing was counted.

    drawn: what `draws` returned.
    """
    by_class = [_parts(clip, any_class=False) for clip in counted]
    any_class = [_parts(clip, any_class=True) for clip in counted]
    groups = sorted({group for clip in by_class for group, _ in clip})
    found = {"event_f1": _f1(by_class, drawn), "any_class_f1": _f1(any_class, drawn)}
    found["effectiveness"] = _centred_effectiveness(counted, by_class, drawn)
    for group in groups:
        own = [{key: parts for key, parts in clip.items() if key[0] == group} for clip in by_class]
        found[f"{group}/f1"] = _f1(own, drawn)
    return found


def _parts(clip: ClipResult, *, any_class: bool) -> dict[Key, Parts]:
    found = pairings(clip.truth, clip.events, any_class=any_class)
    return {key: Parts.of(pairing, clip.truth.length) for key, pairing in found.items()}


def _f1(clips: Sequence[Mapping[Key, Parts]], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    paired, wrong = np.zeros(len(drawn)), np.zeros(len(drawn))
    for i, clip in enumerate(clips):
        for parts in clip.values():
            paired += parts.paired[drawn[:, i]].sum(axis=1)
            wrong += (parts.missed + parts.false)[drawn[:, i]].sum(axis=1)
    with np.errstate(invalid="ignore"):
        return 2 * paired / (2 * paired + wrong)


def _effectiveness(clips: Sequence[Mapping[Key, Parts]], drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the effectiveness of edge_app.offline.scoring in every resampled set.

    Each paired crossing counts in the segment where it truly happened.
    """
    weighted, everything = np.zeros(len(drawn)), np.zeros(len(drawn))
    for i, clip in enumerate(clips):
        for parts in clip.values():
            true = (parts.paired + parts.missed)[drawn[:, i]].sum(axis=1)
            gaps = np.cumsum((parts.missed - parts.false)[drawn[:, i]], axis=1)
            error = np.sqrt(gaps**2 @ np.array(SEGMENT_WEIGHTS))
            # max(0, 1 - error / true) * true
            weighted += np.maximum(true - error, 0) * (true > 0)
            everything += true
    with np.errstate(invalid="ignore"):
        return weighted / everything


def _centred_effectiveness(
    counted: Sequence[ClipResult], clips: Sequence[Mapping[Key, Parts]], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the effectiveness, shifted so that the clips as they are give the exact figure.

    The exact score also counts a paired crossing a moment late or early; the segments do not.
    """
    true = sum(clip.score.overall.true for clip in counted)
    if not true:
        return np.full(len(drawn), np.nan)
    as_they_are = np.broadcast_to(np.arange(SEGMENTS), (1, len(counted), SEGMENTS))
    exact = sum(clip.score.weighted for clip in counted) / true
    values = _effectiveness(clips, drawn) + exact - _effectiveness(clips, as_they_are)
    return np.clip(values, 0, 1)
