"""Compare the view of a camera with what was learnt: dark, blind, blurred, moved, with hysteresis in seconds.

Pure: no clock, no camera; time comes in with the pictures. The view is learnt while nothing is wrong, and is held in
memory alone, so that each start of the program learns it anew: after a camera was turned and the lines were drawn
again, restart the service.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_app.camera_health import measures
from edge_app.camera_health.measures import Cells, Field, Grey
from edge_app.records import Quality

EVERY_S: Final = 1.0
"""Time between pictures, s."""
VIEW_FLAGS: Final[tuple[Quality, ...]] = ("blind", "dark", "blurred", "moved")
"""Flags of what the camera sees, the gravest first."""
_MEDIAN_OF: Final = 5
"""Number of pictures whose median shows the road without the traffic on it."""
_LEARN_PICTURES: Final = 20
"""Number of pictures after which the view is known well enough to be compared."""
_FORGET_PICTURES: Final = 600
"""Time constant, in pictures, with which the learnt view follows sun and seasons."""
_FEWEST: Final = 3
"""Smallest number of cells with edges, of about 144, with which a view can be recognised."""
_SUDDEN_S: Final = 60.0
"""Darkness within this time, s, after a bright picture is a cover, not the night."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """Present state of the view.

    flags: present faults. right, down: shift of the view in parts of the frame, 0 unless moved.
    """

    flags: frozenset[Quality] = frozenset()
    right: float = 0.0
    down: float = 0.0

    @property
    def problem(self) -> str:
        """Return the faults in one sentence for a person; empty when there are none."""
        phrases = [_PHRASES[flag] for flag in VIEW_FLAGS if flag in self.flags]
        if phrases and "moved" in self.flags and (self.right or self.down):
            phrases[-1] += f" (by {self.right * 100:+.0f} % of the width and {self.down * 100:+.0f} % of the height)"
        return "The camera's picture: " + "; ".join(phrases) if phrases else ""


_PHRASES: Final = {
    "dark": "too dark to count, check the light and the exposure",
    "blind": "nothing can be seen, check whether something covers the lens",
    "blurred": "less sharp than before, clean and focus the lens",
    "moved": "the view has moved and lines may be wrong, turn the camera back or draw the lines again and restart",
}


class _Flag:
    """Flag that turns on after its condition has held for on_s without a break, and off after off_s without it."""

    def __init__(self, on_s: float, off_s: float) -> None:
        self._wait = {False: on_s, True: off_s}
        self._since: float | None = None
        self.on = False

    def update(self, wrong: bool | None, at: float) -> bool:
        """Return the flag at this time, s. wrong: the condition; None when it is unknown, which changes nothing."""
        if wrong is None or wrong == self.on:
            self._since = None
        else:
            self._since = at if self._since is None else self._since
            if at - self._since >= self._wait[self.on]:
                self.on, self._since = wrong, None
        return self.on


class ViewMonitor:
    """Monitor of one camera's view, used by one thread.

    dark: brightness, 0..255, below which three quarters of a dark picture lie.
    blurred: share of the learnt sharpness below which a picture is blurred.
    moved: smallest shift, part of the frame.
    To go off, dark, blind and blurred need a clearly better picture than the one that raised them.
    """

    def __init__(self, *, dark: float = 24.0, blurred: float = 0.6, moved: float = 0.015) -> None:
        self._dark_below, self._blurred_below, self._moved_from = dark, blurred, moved
        self._flags: dict[Quality, _Flag] = {
            "dark": _Flag(5.0, 10.0),
            "blind": _Flag(3.0, 5.0),
            "blurred": _Flag(8.0, 10.0),
            "moved": _Flag(8.0, 10.0),
        }
        self._pictures: deque[Grey] = deque(maxlen=_MEDIAN_OF)
        self._learnt = _LearntView()
        self._last_light, self._last_lit_at = 0.0, -math.inf
        self._next = -math.inf
        self.state = ViewState()

    def is_due(self, at: float) -> bool:
        """Return whether it is time for a picture. at: s of a clock that never steps."""
        return at >= self._next

    def update(self, picture: Grey, at: float) -> ViewState:
        """Return the state after a picture at this time, s.

        picture: float32 (H, W), 0..255, about 256 px wide; after a change of size the view is learnt anew.
        """
        self._next = at + EVERY_S
        self._remember(picture)
        dark, blind = self._is_dark(picture), self._is_blind(picture, at)
        blurred = moved = None
        shift = (0.0, 0.0)
        if not dark and not blind and len(self._pictures) == _MEDIAN_OF:
            road = np.median(np.stack(self._pictures), axis=0).astype(np.float32)
            blurred, moved, shift = self._compare(road)
        wrong = {"dark": dark, "blind": blind, "blurred": blurred, "moved": moved}
        flags = frozenset(name for name, flag in self._flags.items() if flag.update(wrong[name], at))
        if shift == (0.0, 0.0):
            shift = (self.state.right, self.state.down)  # as last found
        self.state = ViewState(flags, *(shift if "moved" in flags else (0.0, 0.0)))
        return self.state

    def _remember(self, picture: Grey) -> None:
        if self._pictures and self._pictures[-1].shape != picture.shape:
            self._pictures.clear()
            self._learnt = _LearntView()
        self._pictures.append(picture)

    def _is_dark(self, picture: Grey) -> bool:
        slack = 1.25 if self._flags["dark"].on else 1.0
        return measures.brightness(picture) < self._dark_below * slack

    def _is_blind(self, picture: Grey, at: float) -> bool:
        """Return whether the picture shows nothing anywhere.

        In the dark that is the night, unless the darkness came suddenly or not even noise is left.
        """
        shows = measures.contrast(picture) > measures.STRUCTURED
        empty = float(shows.mean()) < (0.06 if self._flags["blind"].on else 0.03)
        level = measures.brightness(picture)
        if level >= self._dark_below:
            if not empty:
                self._last_light, self._last_lit_at = level, at
            return empty
        was_bright = at - self._last_lit_at < _SUDDEN_S and self._last_light > 2.5 * self._dark_below
        sudden = self._flags["blind"].on or was_bright
        return empty and (sudden or float(picture.std()) < 0.5)

    def _compare(self, road: Grey) -> tuple[bool | None, bool | None, tuple[float, float]]:
        """Return blurred, moved (None: unknown) and the shift in parts of the frame; learn the view when all is well.

        road: median of the last pictures.
        """
        learnt = self._learnt
        field, sharp = measures.edges(road), measures.sharpness(road)
        shows = (measures.contrast(road) > measures.STRUCTURED).astype(np.float32)
        if not learnt.ready:
            learnt.add(field, sharp, shows)
            return None, None, (0.0, 0.0)
        blurred = self._is_blurred(sharp, shows)
        moved, shift = self._is_moved(field)
        if not blurred and moved is False and not self._flags["moved"].on:
            learnt.add(field, sharp, shows)
        return blurred, moved, shift

    def _is_blurred(self, sharp: Cells, shows: Cells) -> bool | None:
        """Return whether most cells are less sharp than learnt; None when too few can be compared.

        A car changes its own cells; a blurred lens changes nearly all.
        """
        both = (shows > 0) & (self._learnt.shows > 0.5)
        if both.sum() < 0.25 * (self._learnt.shows > 0.5).sum() or both.sum() < _FEWEST:
            return None
        ratio = float(np.median(sharp[both] / (self._learnt.sharp[both] + 1e-6)))
        return ratio < self._blurred_below * (1.2 if self._flags["blurred"].on else 1.0)

    def _is_moved(self, field: Field) -> tuple[bool | None, tuple[float, float]]:
        """Return whether the learnt edges are found elsewhere, clearly better than at their place, and the shift.

        The median picture is compared cell by cell: a car that fills half the picture leaves the other half in place.
        """
        reference, none = self._learnt.field, (0.0, 0.0)
        in_place, known = measures.similarity(reference, field)
        if known < _FEWEST:
            return None, none
        right, down = measures.shift(reference, field)
        height, width = reference.shape
        part = (right / width, down / height)
        shifted = measures.similarity_after_shift(reference, field, right, down)
        # Along the edges of a road everything stays similar: a small margin is enough where the peak is clear.
        if shifted > 0.6 and shifted > in_place + 0.12 and max(map(abs, part)) >= self._moved_from:
            return True, part
        if in_place > 0.25:
            return False, none
        # Nothing is in place. With nearly as many edges as before the camera was turned; with fewer there is fog or
        # rain, and nothing is known.
        return (True if measures.count_edged_cells(field) > 0.6 * known else None), none


class _LearntView:
    """The view while nothing is wrong: means of edges, sharpness and the cells that show something."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def ready(self) -> bool:
        return self._count >= _LEARN_PICTURES

    def add(self, field: Field, sharp: Cells, shows: Cells) -> None:
        """Take one picture into the means: at first each has the same weight, later old ones are forgotten."""
        self._count = min(self._count + 1, _FORGET_PICTURES)
        if self._count == 1:
            self.field, self.sharp, self.shows = field, sharp, shows
            return
        part = 1.0 / self._count
        self.field = self.field + np.complex64(part) * (field - self.field)
        self.sharp = self.sharp + np.float32(part) * (sharp - self.sharp)
        self.shows = self.shows + np.float32(part) * (shows - self.shows)
