"""Describe the state of the service beside the live picture, in texts short enough for the table there."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from edge_app.counting.pipeline import Pipeline
from edge_app.mqtt.publisher import Publisher
from edge_app.sources import Source
from edge_app.system.rate_meter import RateMeter


class StatusText:
    """Texts on frame rate, source, broker, outbox and flags.

    frames: returns the number of frames counted so far. flags: returns those that are raised now.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        publisher: Publisher,
        frames: Callable[[], int],
        flags: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._source, self._pipeline, self._publisher, self._frames = source, pipeline, publisher, frames
        self._flags = flags
        self._rate = RateMeter(started=time.monotonic())

    def __call__(self) -> Sequence[str]:
        """Return the texts of this moment."""
        detect = self._pipeline.times.percentiles().get("detect")
        inference = f", detect {detect.p50:.0f} ms" if detect else ""
        broker = "broker away" if self._publisher.problem else "broker ok"
        state = self._source.status.state
        return (
            f"{self._rate.update(self._frames(), time.monotonic()):.1f} frames/s{inference}",
            *([f"camera: {state}"] if state != "ok" else []),
            f"{broker}, {self._publisher.unsent} unsent",
            *(f"flag: {flag}" for flag in sorted(self._flags())),
        )
