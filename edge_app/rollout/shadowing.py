"""Let a candidate count beside the detector in service, and tell how both compare. The counts in service never wait.

The counting thread leaves each counted frame here, as a reference. A thread of its own decides whether the candidate is
to see it, copies it into the memory shared with the candidate's process, and pairs what comes back.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from edge_app.mqtt.device_messages import ShadowHealth
from edge_app.records import Crossing, Frame, FrameResult
from edge_app.rollout.candidate_messages import Answer
from edge_app.rollout.candidate_process import CandidateProcess
from edge_app.rollout.candidate_settings import CandidateSettings
from edge_app.rollout.shadow import Compared, Comparison
from edge_app.system.threads import Worker

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_STOP_S: Final = 5.0
_MOST_WAITING: Final = 4
"""Frames that wait to be copied; there are more only when this thread gets no time."""
_TOO_SLOW: Final = "no processor time was left for the candidate: frames waited for it"


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """A frame as the service has counted it. once: see `FrameResult`."""

    frame: Frame
    crossings: Sequence[Crossing]
    once: bool


class Shadow:
    """A candidate that counts beside the detector in service.

    model: first digits of its SHA-256. settings: None where it cannot count at all. comparison: decides which intervals
    are compared. tell: called in a thread of its own with each interval that was. failed: one sentence on why it cannot
    count at all.

    Attribute: `pid` of the candidate's process, None before it is started.
    """

    def __init__(
        self,
        model: str,
        settings: CandidateSettings | None,
        comparison: Comparison,
        tell: Callable[[Compared], None],
        *,
        failed: str = "",
    ) -> None:
        self._model, self._settings, self._comparison, self._tell = model, settings, comparison, tell
        self.failed = failed
        self.pid: int | None = None
        self._waiting: deque[_Counted] = deque()
        self._overflow = self._stopping = self._ready = False
        self._shown: deque[tuple[int, float, Sequence[Crossing]]] = deque()
        self._wake_up, self._wake = os.pipe()
        os.set_blocking(self._wake_up, False)
        os.set_blocking(self._wake, False)
        self._waking, self._closed = threading.Lock(), False
        self._worker = Worker("shadow", self._run, self._died)

    def __enter__(self) -> Shadow:
        if not self.failed:
            self._worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self._notify()
        self._worker.stop()
        if not self._worker.join(_STOP_S):  # it ends no service, nor keeps one from its end
            log.warning("the candidate's process has not ended yet")
            return
        with self._waking:  # the counting thread may be leaving a frame at this moment
            self._closed = True
            os.close(self._wake)
            os.close(self._wake_up)

    def offer(self, result: FrameResult) -> None:
        """Leave a frame that was counted in service; it never waits. Called by the counting thread alone."""
        if self.failed or self._stopping:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._overflow = True
        else:
            self._waiting.append(_Counted(result.frame, result.crossings, result.once))
        self._notify()

    @property
    def health(self) -> ShadowHealth:
        """What `health` tells; any thread may read it."""
        sums = self._comparison.sums
        return ShadowHealth(
            model=self._model,
            state=self._state(),
            compared=sums.compared,
            given_up=sums.given_up,
            why=self.failed or self._comparison.why,
            vehicles=sums.candidate,
            in_service_vehicles=sums.in_service,
        )

    @property
    def backlog(self) -> int:
        """Number of frames that the candidate has yet to decide about or to answer; any thread may read it."""
        return len(self._waiting) + len(self._shown)

    def _state(self) -> Literal["starting", "comparing", "resting", "failed"]:
        if self.failed:
            return "failed"
        if not self._ready:
            return "starting"
        return "resting" if self._comparison.rests else "comparing"

    def _notify(self) -> None:
        with self._waking, suppress(OSError):  # full: the thread is going to wake up anyway
            if not self._closed:
                os.write(self._wake, b"\0")

    def _died(self, _name: str, fault: BaseException) -> None:
        log.error("the candidate is not compared any more", exc_info=fault)
        self._fail(f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__)

    def _fail(self, why: str) -> None:
        self._comparison.give_up(why)
        self.failed = why
        self._waiting.clear()
        log.warning("no candidate counts beside the detector in service: %s", why)

    def _run(self, _stop: threading.Event) -> None:
        assert self._settings is not None
        try:
            process = CandidateProcess(self._settings)
        except OSError as error:
            self._fail(f"its process cannot be started ({error.strerror or error})")
            return
        self.pid = process.pid
        try:
            while not (self._stopping or self.failed):
                select.select([process.answers, self._wake_up], [], [], _LOOK_S)
                self._step(process)
        finally:
            process.close()

    def _step(self, process: CandidateProcess) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_up, 4096)
        for answer in process.read():
            self._pair(answer)
        if process.ready and not self._ready:
            self._ready = True
            log.info("a candidate counts beside the detector in service", extra={"model": self._model})
        if process.failed:
            self._fail(process.failed)
        while self._waiting and not self.failed:
            self._see(process, self._waiting.popleft())

    def _pair(self, answer: Answer) -> None:
        """Count the next frame that is answered: they are answered in order."""
        run, at, crossings = self._shown.popleft()
        if run == self._comparison.runs:  # else its interval was given up
            for compared in self._comparison.add(at, crossings, answer.crossings):
                self._tell(compared)

    def _see(self, process: CandidateProcess, counted: _Counted) -> None:
        frame = counted.frame
        if self._overflow:
            self._overflow = False
            self._comparison.give_up(_TOO_SLOW)
        if not self._comparison.wants(frame.captured_at, frame.monotonic, able=process.ready):
            return
        if process.show(frame, once=counted.once):
            self._shown.append((self._comparison.runs, frame.captured_at, counted.crossings))
        else:
            self._comparison.give_up(_TOO_SLOW)
