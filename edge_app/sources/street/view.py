"""Project the rendered street with its camera: a pinhole on a pole that looks straight across the road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CAMERA_HEIGHT: Final = 5.8
"""Height of the lens above ground, m."""
_FOCAL, _HORIZON = 2.133, 0.139  # as shares of the frame's height


@dataclass(frozen=True, slots=True)
class View:
    """Projection of the street into a frame of width x height px."""

    width: int
    height: int

    def scale(self, distance: float) -> float:
        """Return the px per metre at `distance` m from the camera."""
        return _FOCAL * self.height / distance

    def project(self, x: float, distance: float, up: float = 0.0) -> tuple[float, float]:
        """Return the px of the point `x` m right of the camera, `distance` m away, `up` m above ground."""
        scale = self.scale(distance)
        return self.width / 2 + x * scale, self.height * _HORIZON + (CAMERA_HEIGHT - up) * scale

    def reach(self, distance: float) -> float:
        """Return the metres that the frame shows to either side at `distance` m."""
        return self.width / 2 / self.scale(distance)
