"""Run a device: capture, counting, inference and delivery in threads of their own, which start and end together.

An unexpected fault in a thread ends the process with exit code 1, and systemd starts it again. Expected faults are
waited out: camera, broker or disk gone in their adapters, which show them in health; a lack of memory, and what else
passes, here: the frame is dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from edge_app.camera_health.quality import QualityMonitor
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.running_totals import RunningTotals
from edge_app.counting.stages import Stages
from edge_app.detectors import Detector
from edge_app.errors import EdgeAppError, GeometryError, SourceEnded
from edge_app.measures.interval_sums import IntervalSums, Summed, speed_of
from edge_app.measures.speed_meter import Measured
from edge_app.mqtt.publisher import Publisher
from edge_app.records import FLOWS, Crossing, Frame, FrameResult, Quality, Sums
from edge_app.sources import Source
from edge_app.storage.counts import add_sums
from edge_app.storage.ledger import Ledger
from edge_app.system.clock import SETTLE_S, SteadyClock, rfc3339
from edge_app.system.memory import release_startup_memory
from edge_app.system.readings import process_age_s
from edge_app.system.systemd import notify, watchdog_interval
from edge_app.system.threads import PAUSE_S, Faults, Heartbeats, Latest, Worker, join_all

log = logging.getLogger(__name__)

_WAIT_S = 1.0
"""Longest wait for a frame; then time goes on without one, so that intervals close all the same."""
_STALE_S = 30.0
"""After so long without a processed frame the watchdog of systemd is no longer reset."""


_STARTED_S = 10.0
"""Time, s, after which the start is over, and what only the start needed is given back."""
_ENOUGH_S = 60.0
"""Time, s, for which frames must come often enough before that is logged: a busy machine would fill the log."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Times granted at the stop, s: drain to the broker, join to all threads; together below TimeoutStopSec."""

    drain: float = 5.0
    join: float = 10.0


@dataclass(frozen=True, slots=True)
class Takeover:
    """Detector that takes over while counting goes on.

    config, model: hashes that its intervals name, as the ledger takes them. taken: is called in the counting thread
    with the first frame that it has seen, before that is recorded.
    """

    detector: Detector
    config: str
    model: str
    taken: Callable[[], None]


class Harvest(Protocol):
    """What keeps frames to be labelled. One thread calls `observe` and `close`, another one `run`, which ends then."""

    def observe(self, result: FrameResult) -> None: ...

    def close(self) -> None: ...

    def run(self, stop: threading.Event) -> None: ...


class Service:
    """Source, pipeline, ledger and publisher, run in their threads until the stop.

    wall, monotonic: return the time, UTC s, and s of a clock that never steps. harvest: observes every frame after it
    was counted; None where no frames are kept. quality: gives the quality flags of each frame; None for no flags.
    clock: keeps the told time. measures: measures beside the count; None for nothing. on_measured: called in the
    counting thread with every crossing, its speed and its lane, where those are measured half a second after it.
    on_result: called in the counting thread with every result after its crossings are on disk. status: returns one line
    on the state of the device for systemd; called about once a second. office: body of the thread that takes
    configurations from the office.
    """

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        ledger: Ledger,
        publisher: Publisher,
        *,
        deadlines: Deadlines = Deadlines(),
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        heart: Heartbeats | None = None,
        harvest: Harvest | None = None,
        quality: QualityMonitor | None = None,
        clock: SteadyClock | None = None,
        measures: IntervalSums | None = None,
        on_measured: Callable[[Measured], None] = lambda _measured: None,
        on_result: Callable[[FrameResult], None] = lambda _result: None,
        status: Callable[[], str] = lambda: "",
        office: Callable[[threading.Event], None] | None = None,
    ) -> None:
        self._source, self._pipeline, self._ledger, self._publisher = source, pipeline, ledger, publisher
        self._harvest, self._quality, self._on_result, self._status = harvest, quality, on_result, status
        self._deadlines, self._wall, self._monotonic = deadlines, wall, monotonic
        self._clock, self._doubted = clock or SteadyClock(), False
        self._slow: dict[str, float] = {}
        self._measures, self._on_measured, self._measures_fault = measures, on_measured, ""
        self.heart = heart or Heartbeats()
        self.frames = self.frames_still = 0
        self.totals = RunningTotals()
        self.flows: Sums = {}
        self._slot: Latest[Frame] = Latest(lossless=not source.live)
        self._over, self._again = threading.Event(), False
        self._fault: BaseException | None = None
        self._reading, self._counting, self._viewing = Faults("camera"), Faults("counting"), Faults("preview")
        self._stages = Stages(self._slot, pipeline, self._failed, load_all=not source.live)
        self._workers = (
            Worker("capture", self._capture, self._failed),
            Worker("counting", self._count, self._failed),
            *self._stages.workers,
            Worker("publisher", lambda stop: publisher.run(stop, deadlines.drain), self._failed),
            *([Worker("harvest", partial(self._run_harvest, harvest), self._failed)] if harvest else []),
            *([Worker("office", office, self._failed)] if office else []),
        )

    @property
    def dropped(self) -> int:
        """Frames that arrived but were never processed, because a newer one was there."""
        return self._slot.dropped + self._source.status.dropped + self._counting.count

    @property
    def measures_problem(self) -> str:
        """One sentence on why something that is configured is not measured; empty when all is."""
        return self._measures_fault or (self._measures.problem if self._measures else "")

    @property
    def slow_lines(self) -> Sequence[str]:
        """Lines at which frames came too rarely for the traffic within the last minute. Any thread may ask."""
        return sorted(self._slow.copy())

    def take_over(self, takeover: Takeover) -> None:
        """Let another detector take over between two frames, within about a second; any thread may call it.

        Tracks, numbers and totals go on, and no frame is lost: the open intervals end there.
        """
        self._stages.change(takeover.detector, takeover, lambda frame: frame.captured_at + self._error_of(frame))

    def start_again(self) -> None:
        """Have `run` end as at a stop, and return True. Any thread may call it."""
        self._again = True
        self._over.set()

    def run(self, stop: threading.Event) -> bool:
        """Run until `stop` is set, a recording is over or a thread fails; return True after `start_again`.

        Then the program is about to build another service, and does not tell the broker that it has stopped.

        Raises the first fault of a thread, and StuckThreadError when one does not end in time.
        """
        for worker in self._workers:
            worker.start()
        notify("READY=1")
        period = min(_WAIT_S, (watchdog_interval() or 60.0) / 3)
        waits, told = round(_STARTED_S / period), ""
        while not stop.wait(period) and not self._over.is_set():
            told = self._tell_status(told)
            if self.heart.age("frame") < _STALE_S:
                notify("WATCHDOG=1")
            waits -= 1
            if waits == 0:
                release_startup_memory()
        again = self._again and not stop.is_set() and self._fault is None
        self._publisher.stays = again
        notify("WATCHDOG=1" if again else "STOPPING=1")
        self._source.close()
        self._slot.close()
        join_all(self._workers, self._deadlines.join + self._deadlines.drain)
        if self._fault is not None:
            raise self._fault
        return again

    def _tell_status(self, before: str) -> str:
        """Tell systemd the state of the device where it is another one than `before`, and return it."""
        try:
            status = self._status()
        except (OSError, MemoryError):  # told again in a second
            return before
        if status != before:
            notify(f"STATUS={status}")
        return status

    def _failed(self, name: str, fault: BaseException) -> None:
        if isinstance(fault, EdgeAppError):
            log.error("%s: %s", name, fault)
        else:
            log.critical("thread %s died", name, exc_info=fault)
        self._fault = self._fault or fault
        self._over.set()

    def _capture(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                try:
                    self._take_frame()
                except (OSError, MemoryError) as fault:
                    self._reading.note(fault)
                    stop.wait(PAUSE_S)
        except SourceEnded as ended:
            if not stop.is_set():
                log.info("%s", self._source.status.detail or ended)
        finally:
            self._slot.close()

    def _take_frame(self) -> None:
        # A function of its own, so that no frame is kept in memory while the next one is waited for.
        frame = self._source.read(_WAIT_S)
        self._reading.clear()
        if frame is not None:
            self._slot.put(frame)

    def _count(self, stop: threading.Event) -> None:
        dropped = 0
        try:
            while not self._stages.finished:
                try:
                    result = self._stages.next(_WAIT_S)
                    self._set_clock()
                    if result is not None:
                        now_dropped = self.dropped
                        self._record(self._by_told_time(result), now_dropped - dropped)
                        dropped = now_dropped
                        self._counting.clear()
                    elif stop.is_set():
                        break
                    elif self._measures is not None:
                        self._tell(self._measures.overdue())
                    self._add_measures(self._now())
                    self._ledger.tick(self._now())
                except (OSError, MemoryError) as fault:  # the frame is dropped
                    self._counting.note(fault)
        finally:
            self._stages.close()
            with suppress(OSError, MemoryError):
                self._end_measures(self._now())
            self._ledger.close(self._now())
            if self._harvest is not None:
                self._harvest.close()
            self._over.set()

    def _now(self) -> float:
        return self._clock.at(self._wall(), self._monotonic())

    def _set_clock(self) -> None:
        """Let the ledger know of a step of the told time before anything is recorded by it."""
        step = self._clock.update(self._wall(), self._monotonic())
        before, self._doubted = self._doubted, bool(self._clock.doubted)
        if step:
            log.warning("the clock was set %s by %.1f s", "forward" if step > 0 else "back", abs(step))
            self._ledger.set_clock(self._now(), step)
        elif self._doubted and not before:
            log.warning(
                "the clock was set by %+.1f s: counts keep the time of before until that has lasted for %.0f s",
                *(self._clock.doubted, SETTLE_S),
            )
        elif before and not self._doubted:
            log.info("the clock was set back to the time that counts have kept")

    def _by_told_time(self, result: FrameResult) -> FrameResult:
        """Return the result by the told time, if the system's clock gave others."""
        frame = result.frame
        error = self._error_of(frame)
        if not error:
            return result
        crossings = tuple(replace(crossing, at=crossing.at + error) for crossing in result.crossings)
        return replace(result, frame=replace(frame, captured_at=frame.captured_at + error), crossings=crossings)

    def _error_of(self, frame: Frame) -> float:
        """Return the seconds to add to the time of a frame to have the told time."""
        return self._clock.error_of(frame.captured_at, frame.monotonic) if self._source.live else 0.0

    def _record(self, result: FrameResult, dropped: int) -> None:
        frame, crossings = result.frame, result.crossings
        if isinstance(result.change, Takeover):
            self._ledger.change(result.change.config, result.change.model, frame.captured_at)
            result.change.taken()
        unstored = self._ledger.unstored
        quality = self._flags(frame)
        self._note_slow(result.slow, frame.monotonic)
        measured = self._observe(result)  # first: who is under way is saved with the crossing
        unseen, slow = _with_flows(result.unseen), _with_flows(result.slow)
        self._ledger.record(frame.captured_at, crossings, dropped, quality, unseen=unseen, slow=slow)
        self.frames += 1
        self.frames_still += result.still
        if self.frames == 1:
            log.info("first frame", extra={"after_s": round(process_age_s() or 0.0, 2)})
        self.heart.beat("frame")
        self.totals.add(crossings)
        for crossing in crossings:
            _log_crossing(crossing, stored=self._ledger.unstored <= unstored)
        self._tell(measured)
        try:
            self._on_result(result)
            if self._harvest is not None:
                self._harvest.observe(result)
        except (OSError, MemoryError) as fault:
            self._viewing.note(fault)

    def _observe(self, result: FrameResult) -> Collection[Measured]:
        """Return the crossings of half a second ago; none when memory is short: no crossing waits for them."""
        if self._measures is None:
            return ()
        try:
            measured = self._measures.observe(result)
            if result.crossings:
                self._ledger.keep_under_way(FLOWS, self._measures.under_way)
            return measured
        except (OSError, MemoryError) as fault:
            self._viewing.note(fault)
        except GeometryError as error:  # of a picture whose size nobody has expected
            self._end_measures(result.frame.captured_at)
            self._measures, self._measures_fault = None, f"nothing is measured: {error}"
            log.error("%s", self._measures_fault)
        return ()

    def _tell(self, measured: Collection[Measured]) -> None:
        for one in measured:
            if sums := speed_of(one):
                self._ledger.measure_crossing(one.crossing, sums)
            self._on_measured(one)

    def _add_measures(self, now: float) -> None:
        if self._measures is not None:
            self._add(self._measures.take(now))
            self._ledger.keep_under_way(FLOWS, self._measures.under_way)

    def _end_measures(self, now: float) -> None:
        if self._measures is not None:
            measured, rest = self._measures.finish(now)
            self._tell(measured)
            self._add(rest)
            self._ledger.keep_under_way(FLOWS, {})

    def _add(self, summed: Collection[Summed]) -> None:
        for line, at, sums in summed:
            self._ledger.measure(line, at, sums)
            if line == FLOWS:
                self.flows = add_sums(self.flows, sums)

    def _flags(self, frame: Frame) -> Collection[Quality]:
        """Return the quality flags of a frame; those of before when memory is short: no crossing waits for them."""
        stepped: tuple[Quality, ...] = ("clock_stepped",) if self._doubted else ()
        if self._quality is None:
            return stepped
        try:
            return (*self._quality.flags(frame), *stepped)
        except (OSError, MemoryError) as fault:
            self._counting.note(fault)
            return (*self._quality.raised, *stepped)

    def _run_harvest(self, harvest: Harvest, stop: threading.Event) -> None:
        faults = Faults("harvest")
        while True:
            try:
                return harvest.run(stop)
            except (OSError, MemoryError) as fault:
                faults.note(fault)
                stop.wait(PAUSE_S)

    def _note_slow(self, slow: frozenset[str], now: float) -> None:
        """Log the lines for which frames have become too rare, or come often enough again. now: monotonic s."""
        for line in sorted(slow - self._slow.keys()):
            log.warning("frames come too rarely for the traffic at line %s: vehicles can pass unseen", line)
        self._slow |= dict.fromkeys(slow, now)
        for line in [line for line, last in self._slow.items() if now - last >= _ENOUGH_S]:
            log.info("frames come often enough again for the traffic at line %s", line)
            del self._slow[line]


def _with_flows(lines: frozenset[str]) -> frozenset[str]:
    """Return the lines, and what stands for one of turning flows, which need all of them."""
    return lines | {FLOWS} if lines else lines


def _log_crossing(crossing: Crossing, *, stored: bool) -> None:
    """Log "counted" only when the crossing is on disk: a crossing that the log calls counted is never lost."""
    log.info(
        "counted" if stored else "counted in memory, not on disk yet",
        extra={
            "line": crossing.line,
            "class": crossing.label,
            "direction": crossing.direction,
            "at": rfc3339(round(crossing.at, 3)),
            "track": crossing.track_id,
            "score": round(crossing.score, 2),
        },
    )
