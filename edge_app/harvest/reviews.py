"""Draw crossings at random for people to review: one doubtful and one certain crossing of each stretch of time.

Doubtful crossings alone would say little of a camera: they are the wrong ones more often. So others are drawn as well,
and each picture says for how many crossings of its kind it stands, by which an accuracy can be weighted.

Reservoir sampling (Vitter, "Random sampling with a reservoir", 1985) gives each crossing of a stretch the same chance,
however many follow. Pure but for the encoding of two pictures at the end of a stretch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_app.drawing.jpeg import jpeg_within
from edge_app.drawing.scene import Privacy, cut_out
from edge_app.records import Crossing, FrameResult, Image

MOST_BYTES: Final = 11_000
"""Of a picture: with the rest of its message it fits what commands and pieces may have."""
_MARGIN: Final = 0.4
"""Part of a box's sides that is shown around it."""
_LEAST: Final = 48
"""Shortest side of a picture before it is scaled, px: of a smaller part nobody can tell what it shows."""
_LONGEST: Final = 320


@dataclass(frozen=True, slots=True)
class Review:
    """A picture of a crossing. picture: JPEG. box: of the vehicle in it, x0, y0, x1, y1 px.

    stands_for: crossings of its kind, doubtful or not, of which it was drawn.
    """

    crossing: Crossing
    picture: bytes
    box: tuple[int, int, int, int]
    stands_for: int


@dataclass(slots=True)
class _Drawn:
    """The crossing of one kind that is drawn so far. of: crossings of this kind."""

    of: int = 0
    crossing: Crossing | None = None
    image: Image | None = None
    box: tuple[int, int, int, int] = (0, 0, 0, 0)


class ReviewDraw:
    """Draw of one camera, used by one thread.

    every_s: length of a stretch, s, on a grid of UTC. privacy: of the pictures; masks are in the frames. tell: gets
    each review. uniform: returns a number of 0..1, 1 excluded.

    Attribute: `taken` counts the reviews; any thread may read it.
    """

    def __init__(
        self,
        every_s: float,
        privacy: Privacy,
        tell: Callable[[Review], object],
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._every_s, self._privacy, self._tell, self._uniform = every_s, privacy, tell, uniform
        self._stretch: float | None = None
        self._kinds = {kind: _Drawn() for kind in (True, False)}
        self.taken = 0

    def observe(self, result: FrameResult) -> None:
        """Take a frame that was counted, in order; tell the reviews of a stretch that has ended with it."""
        stretch = result.frame.captured_at // self._every_s
        if stretch != self._stretch:
            self._end()
            self._stretch = stretch
        for crossing in result.crossings:
            kind = self._kinds[crossing.doubtful]
            kind.of += 1
            if self._uniform() * kind.of < 1:
                self._draw(kind, crossing, result)

    def _draw(self, kind: _Drawn, crossing: Crossing, result: FrameResult) -> None:
        rows = np.flatnonzero(result.tracks.ids == crossing.track_id)
        if not len(rows):
            return
        box = result.tracks.boxes[rows[0]]
        kind.crossing = crossing
        kind.image, kind.box = cut_out(result, box, self._privacy, margin=_MARGIN, least=_LEAST, longest=_LONGEST)

    def _end(self) -> None:
        kinds, self._kinds = self._kinds, {kind: _Drawn() for kind in (True, False)}
        for drawn in kinds.values():
            if drawn.crossing is not None and drawn.image is not None:
                self.taken += 1
                self._tell(Review(drawn.crossing, jpeg_within(drawn.image, MOST_BYTES), drawn.box, drawn.of))
