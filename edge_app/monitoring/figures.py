"""Tell the figures of each quarter of an hour, and keep them: of the program, of the picture, of the detector."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Final

import numpy as np

from edge_app.drift.seen import QUARTER_S, Seen
from edge_app.monitoring.figure_history import FigureHistory, started
from edge_app.mqtt.figures import Figures, InputFigures, OutputFigures, Percentiles, SoftwareFigures
from edge_app.system.readings import Readings

log = logging.getLogger(__name__)

FIGURES: Final = "figures"
"""Folder in the state folder."""
_GRACE_S: Final = 5.0
"""Time, s, for the first frame behind a quarter, which ends what was seen in it."""
_DAY_S: Final = 86_400.0
_MOST: Final = 4
"""Quarters that wait for being told, at most."""
_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the program. frames, dropped: since its start. stages_ms: stage -> median and 95th percentile, ms."""

    frames: int
    dropped: int
    stages_ms: dict[str, tuple[float, float]]
    unsent: int
    readings: Readings


@dataclass(slots=True)
class _Looks:
    """Samples of a quarter that began at `begin`, UTC s. first: that before, from which frames are counted."""

    begin: float
    first: Sample
    first_at: float
    samples: list[Sample] = field(default_factory=list)
    last_at: float = 0.0


class FigureReport:
    """Figures of a running device.

    history: on disk. now: returns the told time, UTC s. The counting thread calls `take`, the one of health `sample`;
    any thread may read `newest` and `problem`.
    """

    def __init__(self, history: FigureHistory, now: Callable[[], float]) -> None:
        self._history, self._now = history, now
        self._looks: _Looks | None = None
        self._seen: dict[float, Seen] = {}
        self._lock = threading.Lock()
        self._starts = self._begun()
        self.newest: Figures | None = None
        self.problem = ""

    def take(self, seen: Seen) -> None:
        """Take what was seen in a quarter that has ended."""
        with self._lock:
            self._seen[seen.begin] = seen
            for old in sorted(self._seen)[:-_MOST]:
                del self._seen[old]

    def sample(self, sample: Sample) -> None:
        """Take a look at the program; tell the quarter that has ended since the last one. Call it once a minute."""
        now = self._now()
        begin = (now - _GRACE_S) // QUARTER_S * QUARTER_S
        looks = self._looks
        if looks is None or begin != looks.begin:
            if looks is not None and looks.samples and begin > looks.begin:
                self._tell(looks)
            first, first_at = (looks.samples[-1], looks.last_at) if looks and looks.samples else (sample, now)
            self._looks = looks = _Looks(begin, first, first_at)
        looks.samples.append(sample)
        looks.last_at = now

    def _tell(self, looks: _Looks) -> None:
        with self._lock:
            seen = self._seen.pop(looks.begin, None)
        end = looks.begin + QUARTER_S
        self._starts = [at for at in self._starts if at > end - _DAY_S]
        self.newest = Figures(
            start=datetime.fromtimestamp(looks.begin, timezone.utc),
            software=_software(looks, sum(at <= end for at in self._starts)),
            input=_input(seen) if seen else None,
            output=_output(seen) if seen else None,
        )
        try:
            self._history.add(looks.begin, self.newest.model_dump_json())
            self.problem = ""
        except OSError as error:  # the city has them all the same
            if not self.problem:
                log.warning("the history of figures cannot be written: %s", error.strerror)
            self.problem = f"the history of figures cannot be written ({error.strerror})"

    def _begun(self) -> list[float]:
        now = self._now()
        try:
            before = self._history.starts(now - _DAY_S, now)
            self._history.add(now, started(now))
        except OSError as error:
            log.warning("the history of figures cannot be used: %s", error.strerror)
            before = []
        return [*before, now]


def _software(looks: _Looks, starts: int) -> SoftwareFigures:
    last, readings = looks.samples[-1], [one.readings for one in looks.samples]
    elapsed = looks.last_at - looks.first_at
    frames, dropped = last.frames - looks.first.frames, last.dropped - looks.first.dropped
    throttled = [one.throttled for one in readings if one.throttled is not None]
    return SoftwareFigures(
        frames_per_s=_rounded(frames / elapsed) if elapsed > 0 else None,
        dropped_share=_share(dropped, frames + dropped),
        stages_ms={
            stage: Percentiles(p50=round(p50, 2), p95=round(p95, 2)) for stage, (p50, p95) in last.stages_ms.items()
        },
        unsent=max(one.unsent for one in looks.samples),
        memory_mb=_rounded(_most(one.rss_mb for one in readings)),
        temperature_c=_rounded(_most(one.cpu_celsius for one in readings)),
        throttled_share=_share(sum(throttled), len(throttled)),
        disk_free_mb=_rounded(
            min((one.disk_free_mb for one in readings if one.disk_free_mb is not None), default=None)
        ),
        starts=starts,
    )


def _input(seen: Seen) -> InputFigures:
    pictures = {name: _rounded(_median(seen.pictures.get(name, ()))) for name in _PICTURE}
    return InputFigures(
        **pictures,
        shift=_rounded(seen.shift) if seen.pictures else None,
        still_share=_share(seen.still, seen.frames),
        empty_share=_share(seen.empty, seen.frames),
    )


def _output(seen: Seen) -> OutputFigures:
    ended, crossed = len(seen.lengths), len(seen.scores)
    return OutputFigures(
        detections=_rounded(seen.detections / seen.searched) if seen.searched else None,
        detection_score=_share(seen.detection_scores, seen.detections),
        size_px=_rounded(_median(seen.sizes)),
        track_s=_rounded(_median(seen.lengths)),
        died_share=_share(seen.died, ended),
        fragment_share=_share(seen.fragments, ended),
        classes=dict(sorted(seen.classes.items())),
        directions=dict(seen.directions),
        score=_share(sum(seen.scores), crossed),
        doubtful_share=_share(seen.doubtful, crossed),
    )


_PICTURE: Final = ("brightness", "contrast", "sharpness", "noise")


def _share(part: float, of: float) -> float | None:
    return _rounded(min(1.0, max(0.0, part / of))) if of > 0 else None


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _most(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
