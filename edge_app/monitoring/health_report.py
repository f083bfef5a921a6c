"""Build the health message from the figures of all components."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, Protocol

from edge_app.camera_health.monitor import VIEW_FLAGS
from edge_app.camera_health.quality import QualityMonitor
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.stage_times import Percentiles as StagePercentiles
from edge_app.drift.watch import DriftState, DriftWatch
from edge_app.harvest.reviews import ReviewDraw
from edge_app.monitoring.certificate import ended, expiry_warning, first_end
from edge_app.monitoring.figures import FigureReport, Sample
from edge_app.mqtt.device_messages import Health, ReviewHealth, ShadowHealth, SourceHealth
from edge_app.mqtt.figures import Percentiles
from edge_app.mqtt.publisher import Publisher
from edge_app.records import Quality
from edge_app.service import Service
from edge_app.sources import Source
from edge_app.storage.ledger import Ledger
from edge_app.system import logging as logs
from edge_app.system.rate_meter import RateMeter
from edge_app.system.readings import Readings, readings
from edge_app.system.redaction import redacted

NO_CANDIDATE: Final = "no candidate counts beside the detector in service"
"""Beginning of the sentence in `limits` that keeps no count from being right, nor from being delivered."""


class Shadow(Protocol):
    """A candidate that counts beside the detector in service."""

    @property
    def health(self) -> ShadowHealth | None:
        """How it compares, and whether it still counts; None without one."""
        ...


class OfficeFigures(Protocol):
    """What came of the office's configurations. problem: one sentence, for an hour. sentence: what is in use."""

    @property
    def problem(self) -> str: ...

    @property
    def sentence(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Components:
    """Components whose figures health and metrics report; any thread may read those figures.

    folder: the state folder.
    certificates: PEM files by name, "device" and "authority". drift: None where nothing is compared over months.
    office: None without keys of one.
    harvest_until: returns until when frames are kept because the office asked for it, UTC s; None while it did not.
    shadow: where a candidate may count beside; None where none ever does. figures: of each quarter of an hour; None for
    recordings. review: None where no picture leaves the device for one.
    """

    source: Source
    pipeline: Pipeline
    ledger: Ledger
    quality: QualityMonitor
    publisher: Publisher
    service: Service
    folder: Path
    certificates: Mapping[str, Path]
    drift: DriftWatch | None = None
    office: OfficeFigures | None = None
    harvest_until: Callable[[], float | None] = lambda: None
    shadow: Shadow | None = None
    figures: FigureReport | None = None
    review: ReviewDraw | None = None

    @property
    def raised(self) -> tuple[Quality, ...]:
        """All flags that are up now, in order of name; those of view and clock are of the last counted frame."""
        return self._with_slow(self.quality.raised)

    @property
    def present(self) -> tuple[Quality, ...]:
        """Flags of view, clock and rate that are up now, in order of name."""
        return self._with_slow(self.quality.present)

    def _with_slow(self, flags: Collection[Quality]) -> tuple[Quality, ...]:
        slow: tuple[Quality, ...] = ("slow",) if self.service.slow_lines else ()
        return tuple(sorted({*flags, *slow}))


class HealthReport:
    """Health of the device.

    `components` must be set before the first call. `health` belongs to one thread; any thread may read `problem`.
    looks: each call is a look at the program for its figures, so only one report has them.
    """

    components: Components

    def __init__(self, *, looks: bool = False) -> None:
        self._looks = looks
        self._started_at = time.monotonic()
        self._rate = RateMeter(over_s=0, started=self._started_at)
        self._frames = self._still = 0

    def health(self) -> Health:
        """Return the health message of this moment; frame rate and still frames are those since the call before."""
        components = self.components
        device, ledger = readings(components.folder), components.ledger
        stages = components.pipeline.times.percentiles()
        detect = stages.get("detect")
        if self._looks and components.figures is not None:
            components.figures.sample(self._sample(device, stages))
        return Health(
            at=datetime.now(timezone.utc),
            uptime_s=round(time.monotonic() - self._started_at, 1),
            frames_per_s=round(self._rate.update(components.service.frames, time.monotonic()), 2),
            frames_dropped=components.service.dropped,
            still_share=self._still_share(),
            inference_ms=Percentiles(p50=round(detect.p50, 2), p95=round(detect.p95, 2)) if detect else None,
            unsent=components.publisher.unsent,
            lost=ledger.dropped,
            unstored=ledger.unstored,
            duplicates=components.pipeline.duplicates,
            moved=ledger.late_crossings,
            late_crossings=ledger.late_crossings,
            skipped=ledger.skipped,
            temperature_c=device.cpu_celsius,
            memory_mb=_rounded(device.rss_mb),
            memory_available_mb=_rounded(device.available_mb),
            disk_free_mb=_rounded(device.disk_free_mb),
            source=self._source(),
            quality=components.present,
            drift=sorted(self._drift.kinds),
            harvest_until=_moment(components.harvest_until()),
            certificate_ends=_moment(first_end(components.certificates.values())),
            installation=ledger.installation,
            newest_seq=ledger.newest_seq,
            shadow=components.shadow.health if components.shadow else None,
            figures=components.figures.newest if components.figures else None,
            reviews=self._reviews(),
            limits=[redacted(limit) for limit in self._limits() if limit],
            problem=redacted(self.problem),
        )

    def _sample(self, device: Readings, stages: Mapping[str, StagePercentiles]) -> Sample:
        service = self.components.service
        return Sample(
            service.frames,
            service.dropped,
            {stage: (one.p50, one.p95) for stage, one in stages.items()},
            self.components.publisher.unsent,
            device,
        )

    def _reviews(self) -> ReviewHealth | None:
        draw = self.components.review
        if draw is None:
            return None
        return ReviewHealth(taken=draw.taken, dropped=self.components.publisher.reviews_dropped)

    def _still_share(self) -> float:
        service, frames, still = self.components.service, self._frames, self._still
        self._still, self._frames = service.frames_still, service.frames
        return round(min(1.0, (self._still - still) / max(1, self._frames - frames)), 3)

    @property
    def problem(self) -> str:
        """The gravest problem as one sentence, empty without any."""
        return self._gravest()[1]

    @property
    def problem_code(self) -> str:
        """Which problem that is; empty without any.

        "camera", "store", "broker", "certificate", "office", a flag of view, rate or clock, "drift_data" or
        "drift_model".
        """
        return self._gravest()[0]

    def _gravest(self) -> tuple[str, str]:
        """Return code and sentence of the gravest problem.

        A camera without a picture comes first, then lost data, a certificate that has ended, which no broker takes,
        data that are not delivered, a certificate that ends, a configuration of the office that was taken back, view,
        rate and clock, and what has changed over weeks; other traffic is no problem.
        """
        components, drift, now = self.components, self._drift, time.time()
        found = (
            ("camera", self._no_picture),
            ("store", components.ledger.problem),
            ("certificate", ended(components.certificates.values(), now)),
            ("broker", components.publisher.problem),
            ("certificate", expiry_warning(components.certificates.values(), now)),
            ("office", components.office.problem if components.office else ""),
            *self._seen(),
            *((f"drift_{kind}", drift.sentence) for kind in ("data", "model") if kind in drift.kinds),
        )
        return next((one for one in found if one[1]), ("", ""))

    @property
    def _no_picture(self) -> str:
        """One sentence on a camera that gives no picture, or always the same one; empty while it is being opened."""
        source = self.components.source.status
        return (source.detail or f"the camera is {source.state}") if source.state in ("lost", "frozen") else ""

    def _seen(self) -> tuple[tuple[str, str], ...]:
        """Return code and sentence of view, rate and clock, the gravest first; empty where nothing is wrong."""
        quality, lines = self.components.quality, ", ".join(self.components.service.slow_lines)
        view = next((flag for flag in VIEW_FLAGS if flag in quality.present), None)
        slow = f"frames come too rarely for the traffic at {lines}: vehicles can pass unseen" if lines else ""
        picture = quality.problem if view else ""
        return (view or "", picture), ("slow", slow), ("clock_unsynced", "" if view else quality.problem)

    @property
    def _drift(self) -> DriftState:
        return self.components.drift.state if self.components.drift else DriftState()

    def _limits(self) -> tuple[str, ...]:
        components = self.components
        measures = components.service.measures_problem
        months = components.drift.problem if components.drift else ""
        figures = components.figures.problem if components.figures else ""
        kept = (*components.publisher.limits, *self._storage())
        return (*kept, measures, months, figures, self._no_shadow(), *_missing_log())

    def _no_shadow(self) -> str:
        shadow = self.components.shadow.health if self.components.shadow else None
        failed = shadow is not None and shadow.state == "failed"
        return f"{NO_CANDIDATE}: {shadow.why}" if shadow and failed else ""

    def _storage(self) -> list[str]:
        sentence = "the state folder cannot be used: what is not delivered is in memory alone, and a restart loses it"
        ledger = self.components.ledger
        return [*([sentence] if ledger.in_memory else []), *ledger.limits]

    def _source(self) -> SourceHealth:
        status = self.components.source.status
        return SourceHealth(
            state=status.state,
            width=status.width,
            height=status.height,
            reconnects=status.reconnects,
            repeated=status.repeated,
            detail=redacted(status.detail),
        )


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(round(at), timezone.utc)


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 1)


def _missing_log() -> list[str]:
    n = logs.dropped()
    return [f"{n} log messages were dropped since the start: nobody reads stderr"] if n else []
