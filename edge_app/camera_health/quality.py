"""The quality flags of a running device: what the view and the clock are like while a frame is counted."""

from __future__ import annotations

import logging

from edge_app.camera_health.measures import small_grey
from edge_app.camera_health.monitor import View, ViewMonitor
from edge_app.records import Frame, Quality
from edge_app.system.clock import ClockMonitor

log = logging.getLogger(__name__)


class QualityMonitor:
    """Looks at a frame about once a second. `flags` is called by one thread, the rest may be read from any.

    view: None where the view is not judged. clock: None where time is that of a recording.
    """

    def __init__(self, view: ViewMonitor | None, clock: ClockMonitor | None) -> None:
        self._watch, self._clock = view, clock
        self._view = View()
        self.raised: frozenset[Quality] = frozenset()
        """All flags as of the frame counted last, the clock's too."""

    def flags(self, frame: Frame) -> frozenset[Quality]:
        """What is wrong as this frame is counted."""
        if self._watch is not None and self._watch.due(frame.monotonic):
            self._tell(self._watch.look(small_grey(frame.image), frame.monotonic))
        clock: frozenset[Quality] = frozenset({"clock_unsynced"} if self._clock and self._clock.unsynced else ())
        self.raised = self._view.flags | clock
        return self.raised

    @property
    def now(self) -> tuple[Quality, ...]:
        """The flags of the view as last judged, in order of name."""
        return tuple(sorted(self._view.flags))

    @property
    def problem(self) -> str:
        """What is wrong with the view, in one sentence; empty when all is well."""
        return self._view.problem

    def _tell(self, view: View) -> None:
        before, self._view = self._view.flags, view
        if view.flags - before:
            log.warning("%s", view.problem)
        elif before and not view.flags:
            log.info("the camera's picture is as it was")
