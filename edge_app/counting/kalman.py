"""Predict and correct place and velocity: a Kalman filter with constant velocity for each track.

Kalman, "A New Approach to Linear Filtering and Prediction Problems", 1960. Pure: no clock, no I/O.

Variances are float32 (N, 3), of position, of both, of velocity, the same for x and y, in box sizes and seconds: a
detector's centre trembles by a few hundredths of a box; a vehicle that approaches gains a few box sizes/s each second;
an unknown one may pass at four box sizes/s.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_app.records import FloatArray

_MEASURED: Final = np.float32(0.06**2)
_ACCELERATION: Final = 4.0
_FIRST_SPEED: Final = 4.0**2
UNKNOWN: Final = np.array([_MEASURED, 0, _FIRST_SPEED], np.float32)
"""Variance of a track that has one detection."""
RETURNED: Final = np.array([0.3**2, 0, _FIRST_SPEED], np.float32)
"""The same of a vehicle that stood hidden and shows again: it may have started meanwhile."""


def predict(position: FloatArray, velocity: FloatArray, variance: FloatArray, elapsed: float) -> None:
    """Move positions (N, 2), px, on with their velocities (N, 2), px/s, in place. elapsed: s."""
    t = np.float32(elapsed)
    position += velocity * t
    of_position, of_both, of_velocity = variance.T
    of_position += 2 * t * of_both + t * t * of_velocity + _ACCELERATION * t**3 / 3
    of_both += t * of_velocity + _ACCELERATION * t * t / 2
    of_velocity += _ACCELERATION * t


def correct(variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Correct the variance in place by a detection; return what its distance from the prediction is multiplied with.

    Gain (N, 1) gives the correction of the position, rate (N, 1), 1/s, that of the velocity.
    """
    position, both, velocity = variance.T
    total = position + _MEASURED
    gain, rate = position / total, both / total
    velocity -= rate * both
    left = 1 - gain
    position *= left
    both *= left
    return gain[:, None], rate[:, None]
