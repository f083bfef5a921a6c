r"""Take frames through a pipeline in stages, several at once, and return the results in the order of the frames.

    frames -> prepare -> engine -> decode, track, count -> crossings
                     \-> engine -/

The thread that calls `next` prepares and counts; each engine has a thread that does nothing but inference and finds
its next picture ready. So no core idles while a frame is being tracked; and since an engine releases Python's lock, the
other work has that lock for itself. A still frame goes past the engines, unless the tracker asks for it when its turn
to be counted has come.

Another detector takes over between two frames, at a whole second, so that each interval has one detector: frames in
progress are counted with the one that has seen them.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter

from edge_app.counting.pipeline import Pipeline, PreparedFrame
from edge_app.detectors import Detector
from edge_app.records import Frame, FrameResult
from edge_app.system.threads import Latest, Worker

_AHEAD = 2
"""Frames in progress for each engine: one in inference and one ready, so that the engine never waits."""
_ALWAYS_BUSY = 150
"""Frames in a row that find the engines busy until one more is loaded: they are too slow for the source, not only now
and then."""


@dataclass(slots=True, eq=False)
class _Job:
    """A frame in progress. began: s. done: no engine has it before it. fault: the exception that its engine raised."""

    prepared: PreparedFrame
    began: float
    done: bool = True
    fault: BaseException | None = None

    @property
    def is_unseen(self) -> bool:
        """True for a frame that no engine has had."""
        return self.fault is None and not self.prepared.outputs


@dataclass(slots=True, eq=False)
class _Change:
    """Detector that takes over. change: see `FrameResult`. told: returns the told time of a frame, UTC s."""

    detector: Detector
    change: object
    told: Callable[[Frame], float]
    at: float | None = None

    def is_due(self, frame: Frame) -> bool:
        """Return whether a frame is the first at or after a whole second that began after this was asked for."""
        now = self.told(frame)
        if self.at is None or now < self.at - 1.0:  # at first, and when the clock was set back
            self.at = math.floor(now) + 1.0
        return now >= self.at


class Stages:
    """Stages of a pipeline, fed from a slot.

    One thread calls `next`; the builder of this object starts and joins the `workers`.
    failed: called when a worker itself dies; an exception of an engine comes out of `next` instead.
    load_all: load all engines at once, as for a recording, which is counted as fast as they can. Without it a frame
    that finds an engine at work is seen once, without its parts.
    """

    def __init__(
        self,
        frames: Latest[Frame],
        pipeline: Pipeline,
        failed: Callable[[str, BaseException], None],
        *,
        load_all: bool = False,
    ) -> None:
        self._frames, self._pipeline = frames, pipeline
        engines = pipeline.detector.engines
        self._called = [threading.Event() for _ in engines]
        self._busy, self._live = 0, not load_all
        self._closed = False
        self._changes: SimpleQueue[_Change] = SimpleQueue()
        self._change: _Change | None = None
        self._todo: SimpleQueue[_Job | None] = SimpleQueue()
        self._in_progress: deque[_Job] = deque()
        self.workers = tuple(
            Worker(f"engine {n + 1}", partial(self._run_engine, n, called), failed)
            for n, called in enumerate(self._called)
        )
        for engine, called in zip(engines, self._called, strict=True):
            if engine.loaded or load_all:
                called.set()

    @property
    def finished(self) -> bool:
        """Return whether no frame is in progress and none will come."""
        return not self._in_progress and self._frames.finished

    def next(self, timeout: float) -> FrameResult | None:
        """Return the result of the next frame in order; None when none was ready within `timeout` s or none will come.

        A frame is returned as soon as it is ready and never waits for a later one. Raises the exception of an engine.
        """
        while self._wait_for_work(timeout):
            if self._has_room and (frame := self._frames.get(0)) is not None:
                self._begin(frame)
            elif self._is_ready:
                job = self._in_progress[0]
                if job.is_unseen and self._pipeline.must_infer(job.prepared):
                    self._infer(job)
                else:
                    return self._finish(self._in_progress.popleft())
            else:
                break
        return None

    def change(self, detector: Detector, change: object, told: Callable[[Frame], float]) -> None:
        """Let another detector take over between two frames; one that has not taken over yet no longer does.

        detector: with as many engines as the present one, of which those are loaded that are there. change: see
        `FrameResult`. told: returns the told time of a frame, UTC s. Any thread may call it.
        """
        self._changes.put(_Change(detector, change, told))

    def close(self) -> None:
        """End the workers after their present job; leave jobs that no engine has begun."""
        self._closed = True
        for called in self._called:
            called.set()
        try:
            while True:
                self._todo.get_nowait()
        except Empty:
            for _ in self.workers:
                self._todo.put(None)

    @property
    def _has_room(self) -> bool:
        return len(self._in_progress) < _AHEAD * sum(called.is_set() for called in self._called)

    @property
    def _is_ready(self) -> bool:
        return bool(self._in_progress) and self._in_progress[0].done

    def _wait_for_work(self, timeout: float) -> bool:
        """Return True as soon as there is work or nothing will ever come; False after `timeout` s."""
        with self._frames.changed:
            return self._frames.changed.wait_for(
                lambda: self._is_ready or (self._has_room and self._frames.waiting) or self.finished, timeout
            )

    def _begin(self, frame: Frame) -> None:
        began = perf_counter()
        self._change_before(frame)
        job = _Job(self._pipeline.prepare(frame), began)
        self._in_progress.append(job)
        if not job.prepared.still:
            self._infer(job)

    def _change_before(self, frame: Frame) -> None:
        """Have the detector that is asked for take over, if it is to begin with this frame."""
        with suppress(Empty):
            while True:
                self._change = self._changes.get_nowait()
        if self._change is not None and self._change.is_due(frame):
            self._pipeline.change(self._change.detector, self._change.change)
            self._change = None

    def _infer(self, job: _Job) -> None:
        behind = any(not other.done for other in self._in_progress)
        self._pipeline.scale(job.prepared, once=behind and self._live)
        self._busy = self._busy + 1 if behind else 0
        if self._busy >= _ALWAYS_BUSY:
            self._call_engine()
        job.done = False
        self._todo.put(job)

    def _call_engine(self) -> None:
        """Let one more engine load and work, if there is one."""
        self._busy = 0
        waiting = [called for called in self._called if not called.is_set()]
        if waiting:
            waiting[0].set()

    def _finish(self, job: _Job) -> FrameResult:
        if job.fault is not None:
            raise job.fault
        result = self._pipeline.count(job.prepared)
        self._pipeline.times.add("latency", perf_counter() - job.began)
        return result

    def _run_engine(self, number: int, called: threading.Event, _stop: threading.Event) -> None:
        """Let an engine of each detector infer. number: of the engine, from 0."""
        called.wait()
        engine = self._pipeline.detector.engines[number]
        if not engine.loaded and not self._closed:
            engine.load()
        del engine  # a detector that is not used any more goes
        # Only `close` ends this loop, not the event: frames in progress when all threads are asked to stop still count.
        while (job := self._todo.get()) is not None:
            try:
                job.prepared.infer(job.prepared.detector.engines[number])
            except BaseException as fault:  # of any kind: the caller of `next` must receive it
                job.fault = fault
            with self._frames.changed:
                job.done = True
                self._frames.changed.notify_all()
            del job  # its frame must not stay in memory while this thread waits
