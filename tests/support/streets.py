"""A small rendered street for tests."""

from __future__ import annotations

from typing import Literal

from edge_app.sources.street.street import Street


def small_street(
    *,
    seed: int = 1,
    light: Literal["day", "dusk", "cycle"] = "day",
    flow: tuple[float, float] = (20.0, 20.0),
    seconds: float | None = None,
) -> Street:
    """Return a street of 640 x 360 px; see `Street`."""
    return Street(width=640, height=360, seed=seed, light=light, flow=flow, seconds=seconds)
