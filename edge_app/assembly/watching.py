"""Build what looks at picture and counts over time: quality, figures, reviews, drift, preview."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import timezone
from zoneinfo import ZoneInfo

from edge_app.assembly.counter import build_lines
from edge_app.assembly.measures import build_geometry
from edge_app.camera_health.monitor import ViewMonitor
from edge_app.camera_health.quality import QualityMonitor
from edge_app.config.model import Config
from edge_app.drawing.scene import Privacy
from edge_app.drift.history import HourHistory
from edge_app.drift.seen import QuarterCollector, Seen
from edge_app.drift.signals import REVISION as SIGNALS_REVISION
from edge_app.drift.signals import Setting
from edge_app.drift.watch import DriftWatch, local_time
from edge_app.harvest.reviews import Review, ReviewDraw
from edge_app.monitoring.figure_history import FigureHistory
from edge_app.monitoring.figures import FIGURES, FigureReport
from edge_app.mqtt.encoding import Picture, encode_review
from edge_app.mqtt.identity import Device
from edge_app.preview.live import Preview
from edge_app.preview.main_stream import MainStream
from edge_app.records import FrameResult
from edge_app.sources import Source
from edge_app.system.clock import ClockMonitor


def build_quality(config: Config, source: Source) -> QualityMonitor:
    """Build the monitor of quality flags; the clock is watched with live sources only."""
    v = config.view
    view = ViewMonitor(dark=v.dark, blurred=v.blurred, moved=v.moved) if v.watch else None
    clock = ClockMonitor() if source.live else None
    return QualityMonitor(view, clock, synthetic=config.source.kind == "street")


def build_figures(config: Config, now: Callable[[], float], *, live: bool) -> FigureReport | None:
    """Build what tells and keeps the figures of each quarter of an hour; None for recordings, whose time is not now.

    now: the told time, UTC s.
    """
    return FigureReport(FigureHistory(config.store.folder / FIGURES), now) if live else None


def build_review(
    config: Config, device: Callable[[], Device], publish: Callable[[str, str], None]
) -> ReviewDraw | None:
    """Build what draws crossings for people to review; None where no picture may leave the device for it.

    device: returns its identity at this moment. publish: takes topic and message of each.
    """
    if not (config.review.enabled and config.office.gives_pictures):
        return None

    def tell(review: Review) -> None:
        picture = Picture(review.picture, review.box, review.stands_for)
        publish(*encode_review(device(), review.crossing, picture, secrets.token_hex(16)))

    privacy = Privacy(config.privacy.pixelate, config.detector.region)
    return ReviewDraw(config.review.every_min * 60.0, privacy, tell)


def build_drift(
    config: Config,
    device: Device,
    *,
    live: bool,
    on_quarter: Callable[[Seen], object] = lambda _: None,
    shift: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0),
) -> DriftWatch | None:
    """Build what compares hours over months; None where it is off, and for recordings, whose time is not now.

    on_quarter, shift: as for `HourCollector`.
    """
    if not config.view.drift or not live:
        return None
    zone = timezone.utc if config.device.time_zone == "UTC" else ZoneInfo(config.device.time_zone)
    watch = drift_setting(config, device)
    return DriftWatch(HourHistory(config.store.folder / "drift"), watch, local_time(zone), on_quarter, shift)


def drift_setting(config: Config, device: Device) -> Setting:
    """Return what the hours of months depend on."""
    # In another zone every hour is another one of the week, and of another revision the signals mean something else.
    picture = config.picture_settings()
    taken = hashlib.sha256(json.dumps(picture, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return Setting(device.config[:12], f"{config.device.time_zone} {SIGNALS_REVISION} {taken[:12]}")


def build_collector(
    drift: DriftWatch | None, figures: FigureReport | None, quality: QualityMonitor
) -> Callable[[FrameResult], object]:
    """Return what sees every frame that was counted, for the comparison over months and for figures."""
    if drift is not None:
        return drift.observe
    return QuarterCollector(figures.take, lambda: quality.shift).observe if figures else lambda _: None


def build_preview(
    config: Config, notes: Callable[[], Sequence[str]] = lambda: (), main: MainStream | None = None
) -> Preview:
    """Build the preview, which serves nothing yet.

    notes: returns short sentences about the service's state. main: the camera's larger stream, if it has one.
    """
    privacy = Privacy(config.privacy.pixelate, config.detector.region)
    return Preview(build_lines(config), config.counting.classes, privacy, notes, main, build_geometry(config))
