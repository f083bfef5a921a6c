"""The camera of the rendered street: a pinhole on a pole that looks straight across the road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CAMERA: Final = 5.8
"""Height of the lens above ground, m."""
_FOCAL, _HORIZON = 2.133, 0.139  # of the frame's height


@dataclass(frozen=True, slots=True)
class View:
    """Projects the ground of the street into a frame of width x height px."""

    width: int
    height: int

    def scale(self, distance: float) -> float:
        """Px a metre at `distance` m from the camera."""
        return _FOCAL * self.height / distance

    def at(self, x: float, distance: float, up: float = 0.0) -> tuple[float, float]:
        """Px of the point `x` m right of the camera, `distance` m away, `up` m above ground."""
        scale = self.scale(distance)
        return self.width / 2 + x * scale, self.height * _HORIZON + (CAMERA - up) * scale

    def reach(self, distance: float) -> float:
        """How far the frame shows to either side at `distance`, m."""
        return self.width / 2 / self.scale(distance)
