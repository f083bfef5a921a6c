"""Dark, blind, blurred, moved: the view against what it was learnt to be, with hysteresis in seconds.

Pure: no clock, no camera; time comes in with the pictures. What the view is like is learnt while nothing is wrong and
kept in memory alone, so a start of the program learns anew: after a camera was turned and the lines were drawn again,
start the service again.
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
"""Time between looks."""
_LOOKS: Final = 5
"""Looks whose median shows the road without what drives on it."""
_LEARN_LOOKS: Final = 20
"""Looks after which the view is known well enough to judge it."""
_FORGET_LOOKS: Final = 600
"""The learnt view follows sun and seasons with this time constant."""
_FEWEST: Final = 3
"""Cells with edges, of about 144, below which a view cannot be found again."""
_SUDDEN_S: Final = 60.0
"""Darkness that comes within this time of a bright picture is a cover, not the night."""


@dataclass(frozen=True, slots=True)
class View:
    """flags: what is wrong now. right and down: shift of the view in parts of the frame, 0 unless moved."""

    flags: frozenset[Quality] = frozenset()
    right: float = 0.0
    down: float = 0.0

    @property
    def problem(self) -> str:
        """One sentence for a person; empty when all is well."""
        said = [_SENTENCES[flag] for flag in ("blind", "dark", "blurred", "moved") if flag in self.flags]
        if said and "moved" in self.flags and (self.right or self.down):
            said[-1] += f" (by {self.right:+.0%} of the width and {self.down:+.0%} of the height)"
        return "The camera's picture: " + "; ".join(said) if said else ""


_SENTENCES: Final = {
    "dark": "too dark to count by, see to light or exposure",
    "blind": "nothing can be seen, see whether something covers the lens",
    "blurred": "blurred against what it was, clean and focus the lens",
    "moved": "the view has moved, so that lines may lie wrong: turn the camera back, or draw them anew and restart",
}


class _Flag:
    """On after a condition has held for on_s without a break, off after it has been gone for off_s."""

    def __init__(self, on_s: float, off_s: float) -> None:
        self._wait = {False: on_s, True: off_s}
        self._since: float | None = None
        self.on = False

    def see(self, wrong: bool | None, at: float) -> bool:
        """wrong: None when it cannot be told, which changes nothing."""
        if wrong is None or wrong == self.on:
            self._since = None
        else:
            self._since = at if self._since is None else self._since
            if at - self._since >= self._wait[self.on]:
                self.on, self._since = wrong, None
        return self.on


class ViewMonitor:
    """Judges one camera. Used by one thread.

    dark: brightness, 0..255, below which three quarters of a picture must stay. blurred: share of the learnt
    sharpness. moved: smallest shift, part of the frame. Each condition has an easier one for going away.
    """

    def __init__(self, *, dark: float = 24.0, blurred: float = 0.6, moved: float = 0.015) -> None:
        self._dark_below, self._blurred_below, self._moved_from = dark, blurred, moved
        self._flags: dict[Quality, _Flag] = {
            "dark": _Flag(5.0, 10.0),
            "blind": _Flag(3.0, 5.0),
            "blurred": _Flag(8.0, 10.0),
            "moved": _Flag(8.0, 10.0),
        }
        self._looks: deque[Grey] = deque(maxlen=_LOOKS)
        self._learnt = _Learnt()
        self._light, self._lit_at = 0.0, -math.inf
        self._next = -math.inf
        self.view = View()

    def due(self, at: float) -> bool:
        """Whether a look should be taken at this time, s of a clock that never steps."""
        return at >= self._next

    def look(self, picture: Grey, at: float) -> View:
        """Takes a small grey picture, float32 (H, W) 0..255, about 256 px wide; another size is learnt anew."""
        self._next = at + EVERY_S
        if self._looks and self._looks[-1].shape != picture.shape:
            self._looks.clear()
            self._learnt = _Learnt()
        self._looks.append(picture)
        dark, blind = self._see_dark(picture), self._see_blind(picture, at)
        blurred = moved = None
        shift = (0.0, 0.0)
        if not dark and not blind and len(self._looks) == _LOOKS:
            road = np.median(np.stack(self._looks), axis=0).astype(np.float32)
            blurred, moved, shift = self._compare(road)
        on = {"dark": dark, "blind": blind, "blurred": blurred, "moved": moved}
        flags = frozenset(name for name, flag in self._flags.items() if flag.see(on[name], at))
        if shift == (0.0, 0.0):
            shift = (self.view.right, self.view.down)  # as last found
        self.view = View(flags, *(shift if "moved" in flags else (0.0, 0.0)))
        return self.view

    def _see_dark(self, picture: Grey) -> bool:
        slack = 1.25 if self._flags["dark"].on else 1.0
        return measures.brightness(picture) < self._dark_below * slack

    def _see_blind(self, picture: Grey, at: float) -> bool:
        """Nothing anywhere. In the dark that is the night, unless it came suddenly or not even noise is left."""
        shows = measures.contrast(picture) > measures.STRUCTURED
        empty = float(shows.mean()) < (0.06 if self._flags["blind"].on else 0.03)
        level = measures.brightness(picture)
        if level >= self._dark_below:
            self._light, self._lit_at = (level, at) if not empty else (self._light, self._lit_at)
            return empty
        sudden = self._flags["blind"].on or (at - self._lit_at < _SUDDEN_S and self._light > 2.5 * self._dark_below)
        return empty and (sudden or float(picture.std()) < 0.5)

    def _compare(self, road: Grey) -> tuple[bool | None, bool | None, tuple[float, float]]:
        learnt = self._learnt
        field, sharp = measures.edges(road), measures.sharpness(road)
        shows = (measures.contrast(road) > measures.STRUCTURED).astype(np.float32)
        if not learnt.ready:
            learnt.take(field, sharp, shows)
            return None, None, (0.0, 0.0)
        blurred = self._see_blurred(sharp, shows)
        moved, shift = self._see_moved(field)
        if not blurred and moved is False and not self._flags["moved"].on:
            learnt.take(field, sharp, shows)
        return blurred, moved, shift

    def _see_blurred(self, sharp: Cells, shows: Cells) -> bool | None:
        """A car changes its own cells; a blurred lens changes nearly all."""
        both = (shows > 0) & (self._learnt.shows > 0.5)
        if both.sum() < 0.25 * (self._learnt.shows > 0.5).sum() or both.sum() < _FEWEST:
            return None
        ratio = float(np.median(sharp[both] / (self._learnt.sharp[both] + 1e-6)))
        return ratio < self._blurred_below * (1.2 if self._flags["blurred"].on else 1.0)

    def _see_moved(self, field: Field) -> tuple[bool | None, tuple[float, float]]:
        """Moved when the learnt edges are found elsewhere, and there clearly better than where they were.

        The median look is compared cell by cell: a car that fills half the picture leaves the other half in its place.
        """
        reference, none = self._learnt.field, (0.0, 0.0)
        stays, known = measures.alike(reference, field)
        if known < _FEWEST:
            return None, none
        right, down = measures.shift(reference, field)
        height, width = reference.shape
        part = (right / width, down / height)
        found = measures.shifted_alike(reference, field, right, down)
        # Along a road's edges everything stays alike: a small margin is enough where the peak is clear.
        if found > 0.6 and found > stays + 0.12 and max(map(abs, part)) >= self._moved_from:
            return True, part
        if stays > 0.25:
            return False, none
        # Nothing is where it was: turned, when there is as much to see as ever; else fog or rain, which tells nothing.
        return (True if measures.edged(field) > 0.6 * known else None), none


class _Learnt:
    """The view as it is when nothing is wrong."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def ready(self) -> bool:
        return self._count >= _LEARN_LOOKS

    def take(self, field: Field, sharp: Cells, shows: Cells) -> None:
        """A running mean at first, then one that forgets."""
        self._count = min(self._count + 1, _FORGET_LOOKS)
        if self._count == 1:
            self.field, self.sharp, self.shows = field, sharp, shows
            return
        part = 1.0 / self._count
        self.field = self.field + np.complex64(part) * (field - self.field)
        self.sharp = self.sharp + np.float32(part) * (sharp - self.sharp)
        self.shows = self.shows + np.float32(part) * (shows - self.shows)
