r"""Take frames through a pipeline in stages, a few at once, and give the results in the order of the frames.

    frames -> prepare -> engine -> decode, track, count -> crossings
                     \-> engine -/

Preparing and counting are done by the thread that calls `next`; each engine has a thread that does nothing but
inference and finds its next picture waiting. So the cores never idle because one frame is being tracked, and Python's
lock, which an engine gives up, is what the rest of the work has for itself.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from time import perf_counter

from edge_app.counting.pipeline import Pipeline, PreparedFrame
from edge_app.detectors import Engine
from edge_app.records import Frame, FrameResult
from edge_app.system.threads import Latest, Worker

_AHEAD = 2
"""Frames under way for each engine: the one it looks at and one that waits for it, so that it never waits itself."""


@dataclass(slots=True, eq=False)
class _Job:
    """fault: what its engine died of."""

    prepared: PreparedFrame
    began: float
    done: bool = False
    fault: BaseException | None = None


class Stages:
    """Takes frames from a slot. One thread calls `next`; whoever builds it starts and joins the `workers`.

    failed: told when a worker itself dies; what an engine raises comes out of `next` instead.
    """

    def __init__(self, frames: Latest[Frame], pipeline: Pipeline, failed: Callable[[str, BaseException], None]) -> None:
        self._frames, self._pipeline = frames, pipeline
        engines = pipeline.detector.engines
        self._most = _AHEAD * len(engines)
        self._todo: SimpleQueue[_Job | None] = SimpleQueue()
        self._under_way: deque[_Job] = deque()
        self.workers = tuple(
            Worker(f"engine {n}", partial(self._serve, engine), failed) for n, engine in enumerate(engines, 1)
        )

    @property
    def finished(self) -> bool:
        """No frame will come, and none is under way."""
        return not self._under_way and self._frames.finished

    def next(self, timeout: float) -> FrameResult | None:
        """The next frame in their order; None when none got through within `timeout` s, or nothing will ever come.

        Waits for no later frame: what is under way comes out as soon as it is ready. Raises what an engine raised.
        """
        while self._stirs(timeout):
            if self._room and (frame := self._frames.get(0)) is not None:
                self._begin(frame)
            elif self._ready:
                return self._end(self._under_way.popleft())
            else:
                break
        return None

    def close(self) -> None:
        """Ends the workers once they have done what they are at; what nobody has begun is left."""
        try:
            while True:
                self._todo.get_nowait()
        except Empty:
            for _ in self.workers:
                self._todo.put(None)

    @property
    def _room(self) -> bool:
        return len(self._under_way) < self._most

    @property
    def _ready(self) -> bool:
        return bool(self._under_way) and self._under_way[0].done

    def _stirs(self, timeout: float) -> bool:
        """Whether there is something to do or nothing will ever be, now or within `timeout` s."""
        with self._frames.news:
            return self._frames.news.wait_for(
                lambda: self._ready or (self._room and self._frames.waiting) or self.finished, timeout
            )

    def _begin(self, frame: Frame) -> None:
        began = perf_counter()
        job = _Job(self._pipeline.prepare(frame), began)
        self._under_way.append(job)
        self._todo.put(job)

    def _end(self, job: _Job) -> FrameResult:
        if job.fault is not None:
            raise job.fault
        result = self._pipeline.count(job.prepared)
        self._pipeline.times.add("latency", perf_counter() - job.began)
        return result

    def _serve(self, engine: Engine, _stop: threading.Event) -> None:
        # Ends by `close` alone, not by the event: what is under way when all threads are asked to stop still counts.
        while (job := self._todo.get()) is not None:
            try:
                job.prepared.infer(engine)
            except BaseException as fault:  # whatever it is, it is the caller of `next` who must hear of it
                job.fault = fault
            with self._frames.news:
                job.done = True
                self._frames.news.notify_all()
