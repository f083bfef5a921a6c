"""Raise the quality flags of a running device, from the camera's view and the clock."""

from __future__ import annotations

import logging

from edge_app.camera_health.measures import small_grey
from edge_app.camera_health.monitor import ViewMonitor, ViewState
from edge_app.records import Frame, Quality
from edge_app.system.clock import ClockMonitor

log = logging.getLogger(__name__)

_UNSYNCED = "no time service has set the clock: intervals may lie at a wrong time until one does"


class QualityMonitor:
    """Monitor of view and clock. One thread calls `flags`, any thread may read the rest.

    view: None where the view is not checked. clock: None where time is that of a recording. synthetic: the road is a
    rendered one.
    """

    def __init__(self, view: ViewMonitor | None, clock: ClockMonitor | None, *, synthetic: bool = False) -> None:
        self._view_monitor, self._clock = view, clock
        self._always: frozenset[Quality] = frozenset({"synthetic"} if synthetic else ())
        self._view = ViewState()
        self._clock_doubted = False
        self.raised: frozenset[Quality] = frozenset()
        """All flags of the last counted frame, that of the clock included."""

    def flags(self, frame: Frame) -> frozenset[Quality]:
        """Return the flags for this frame; about once a second its view is checked."""
        monitor = self._view_monitor
        if monitor is not None and monitor.is_due(frame.monotonic):
            self._set_view(monitor.update(small_grey(frame.image), frame.monotonic))
        clock: frozenset[Quality] = frozenset({"clock_unsynced"} if self._note_clock() else ())
        self.raised = self._view.flags | clock | self._always
        return self.raised

    @property
    def unsynced(self) -> bool:
        """True while no time service has set the clock, where that matters."""
        return bool(self._clock and self._clock.unsynced)

    @property
    def shift(self) -> tuple[float, float]:
        """Return how far the view has moved to the right and down, in parts of the frame; 0 unless it is `moved`."""
        return self._view.right, self._view.down

    @property
    def present(self) -> tuple[Quality, ...]:
        """Return the present flags of view and clock, in order of name."""
        return tuple(sorted(self._view.flags | ({"clock_unsynced"} if self.unsynced else set())))

    @property
    def problem(self) -> str:
        """Return the faults of the view, else of the clock, in one sentence; empty when there are none.

        The counts of a rendered street are invented anyway, at whatever time.
        """
        return self._view.problem or (_UNSYNCED if self.unsynced and not self._always else "")

    def _note_clock(self) -> bool:
        """Return True while no time service has set the clock, and log when that changes."""
        before, self._clock_doubted = self._clock_doubted, self.unsynced
        if self._clock_doubted and not before:
            log.warning(_UNSYNCED)
        elif before and not self._clock_doubted:
            log.info("a time service has set the clock")
        return self._clock_doubted

    def _set_view(self, view: ViewState) -> None:
        before, self._view = self._view.flags, view
        if view.flags - before:
            log.warning("%s", view.problem)
        elif before and not view.flags:
            log.info("the camera's picture is normal again")
