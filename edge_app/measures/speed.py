"""Measure the speed of a vehicle at a line: the slope of its place on the road over the second around it.

The slope is that of Theil and Sen, which a few wrong boxes do not move (P. K. Sen: Estimates of the regression
coefficient based on Kendall's tau, Journal of the American Statistical Association 63, 1968). Its error follows from
the scatter around it; boxes of successive frames err alike, so that they count as fewer (G. V. Bayley and J. M.
Hammersley: The "effective" number of independent observations in an autocorrelated time series, 1946). The errors of
the geometry and of the vehicle's size come on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.measures import footprint
from edge_app.measures.ground import GroundPlane, Points

AROUND_S: Final = 0.5
"""Time, s, before and after the line that is looked at."""
_FEWEST: Final = 5
"""Fewest looks from which a speed is told."""
_SHORTEST_S: Final = 0.2
"""Shortest time, s, between the first and the last of them."""
WORST: Final = 0.10
WORST_KMH: Final = 3.0
"""A speed whose error is above both is not told: share of it, and km/h."""
_KMH: Final = 3.6
_TREMBLE: Final = 0.012
_TREMBLES: Final = ((0.5**0.5, 0.0), (0.0, 1.0))
"""Standard deviation of the edges of a box, in sizes of it, from one look to the next; two edges make the middle."""
_ALIKE: Final = 0.7
"""How alike the errors of successive boxes usually are: their correlation."""
_OWN: Final = 10
"""Number of looks that these are worth beside those at the vehicle itself."""
_MOST_ALIKE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of one vehicle at a line, km/h. error: one standard deviation."""

    kmh: float
    error_kmh: float


def measure(
    time: float,
    times: NDArray[np.float64],
    boxes: NDArray[np.float32],
    label: str,
    plane: GroundPlane,
    speed_error: Callable[[GroundPlane, Points, Points, str], float],
) -> Speed | None:
    """Return the speed of one vehicle at a time, None where looks are too few or the error is too large to tell it.

    times: (N,), s of the camera's clock, rising. boxes: (N, 4), px, each whole in the frame. speed_error: returns the
    share by which geometry and size of the vehicle may be wrong at a place, m, over a way, m, for a class.
    """
    near = np.abs(times - time) <= AROUND_S
    times, boxes = times[near] - time, boxes[near]
    edges = plane.on_road(footprint.lower_edges(boxes))
    below = np.isfinite(edges).all(axis=1)
    times, boxes = times[below], boxes[below]
    if not _enough(times):
        return None
    heading = slope(times, edges[below])
    if not np.hypot(*heading) > 0:
        return None
    at = footprint.places(plane, boxes, footprint.SOLIDS[label], heading)
    known = np.isfinite(at).all(axis=1)
    times, at = times[known], at[known]
    if not _enough(times):
        return None
    way = slope(times, at)
    speed = float(np.hypot(*way))
    if speed == 0.0:
        return Speed(0.0, 0.0)
    ahead = way / speed
    rest = at @ ahead - speed * times
    share = speed_error(plane, _median(at), way * float(times[-1] - times[0]), label)
    usual = _usual_spread(plane, boxes[known], ahead)
    kmh, error = speed * _KMH, float(np.hypot(_slope_error(times, rest, usual), speed * share)) * _KMH
    return Speed(kmh, error) if error <= max(WORST * kmh, WORST_KMH) else None


def _enough(times: NDArray[np.float64]) -> bool:
    return len(times) >= _FEWEST and bool(times[-1] - times[0] >= _SHORTEST_S)


def slope(times: NDArray[np.float64], at: Points) -> Points:
    """Return the change of a place, m/s: (2,), the median of the slopes between any two looks."""
    first, second = _pairs(len(times))
    return _median((at[second] - at[first]) / (times[second] - times[first])[:, None])


@lru_cache(maxsize=64)
def _pairs(looks: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the first and of the second look of each pair."""
    first, second = np.triu_indices(looks, 1)
    return first, second


def _usual_spread(plane: GroundPlane, boxes: NDArray[np.float32], ahead: Points) -> float:
    """Return by how much, m, places along a way usually tremble because the boxes do."""
    edges = footprint.lower_edges(boxes)
    across, down = (edges + (boxes[:, 2:] - boxes[:, :2]) * (_TREMBLE * np.array(axis)) for axis in _TREMBLES)
    places = plane.on_road(np.stack([edges, across, down])) @ ahead
    return float(_median(np.hypot(places[1] - places[0], places[2] - places[0])))


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over the first axis; for so few values numpy's own takes several times as long."""
    ordered, half = np.sort(values, axis=0), len(values) // 2
    return np.asarray(ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2)


def _slope_error(times: NDArray[np.float64], rest: NDArray[np.float64], usual: float) -> float:
    """Return the standard deviation of a slope, m/s, from what remains beside the straight line, m.

    usual: what remains of most vehicles, m. Few looks tell their own spread badly, and are alike: so much counts as
    `_OWN` further looks.
    """
    rest = rest - _median(rest)
    power, looks = float((rest**2).sum()), len(rest)
    alike = float((rest[1:] * rest[:-1]).sum()) / power if power else 0.0
    alike += (2 + 4 * alike) / looks  # a straight line fitted to few looks hides a part of it
    alike = (looks * min(max(alike, 0.0), _MOST_ALIKE) + _OWN * _ALIKE) / (looks + _OWN)
    spread = float(np.sqrt((power + _OWN * usual**2) / (looks - 2 + _OWN)))
    weights = (times - times.mean()) / float(((times - times.mean()) ** 2).sum())
    apart = np.abs(np.subtract.outer(np.arange(looks), np.arange(looks)))
    return spread * float(np.sqrt(weights @ alike**apart @ weights))
