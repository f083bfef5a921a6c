"""The composition root: the one place that builds objects from a configuration and wires them."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from edge_app import __version__
from edge_app.certificate import expiry_warning
from edge_app.clock import ClockWatch
from edge_app.config import Config
from edge_app.detectors.manifest import refuse_unproven
from edge_app.detectors.tflite import TfliteDetector
from edge_app.endpoint import Endpoint, Tls
from edge_app.errors import PreviewError, StoreError
from edge_app.harvest.folder import HarvestFolder, Quota, is_harvest
from edge_app.harvest.harvester import Harvester
from edge_app.harvest.picture import Retouch
from edge_app.health import readings
from edge_app.ledger import Ledger
from edge_app.messages import Device, Health, LineMeta, Location, Meta, Percentiles, SourceHealth, encode_counts
from edge_app.mqtt import Timing
from edge_app.pipeline import Pipeline
from edge_app.preview.hatch import Hatch
from edge_app.preview.live import Broadcast, Preview
from edge_app.preview.notes import Notes
from edge_app.preview.rtsp import RtspServer, Stream
from edge_app.preview.scene import Privacy
from edge_app.publisher import Publisher, will
from edge_app.records import Line
from edge_app.service import Service
from edge_app.session import Session
from edge_app.sources import Source, open_source
from edge_app.sources.masks import masked
from edge_app.sources.recording import Recording
from edge_app.store import Outbox
from edge_app.tracker import Tracker, TrackerSettings
from edge_app.view.quality import QualityWatch
from edge_app.view.watch import ViewWatch

log = logging.getLogger(__name__)


def build_lines(config: Config) -> tuple[Line, ...]:
    """The configured lines, or the street's own where none is given."""
    if not config.lines and config.source.kind == "street":
        from edge_app.sources.street import Street  # loads the drawings: only when it is used

        return (Street.line,)
    return tuple(Line(line.id, line.start, line.end, line.names) for line in config.lines)


def build_source(config: Config) -> Source:
    """The camera, as it behaves in service: in real time, and masked. Raises SourceError."""
    return masked(open_source(config.source.kind, **config.source.options), config.privacy.masks)


def build_recording(config: Config, path: Path) -> Recording:
    """A recording to look at offline, turned, thinned and masked as the camera is. Raises SourceError."""
    s = config.source
    return Recording(path, rotation=s.rotation, fps_limit=s.fps_limit, masks=config.privacy.masks)


def build_detector(config: Config) -> TfliteDetector:
    """Raises DetectorError."""
    d = config.detector
    return TfliteDetector(d.model, engines=d.threads, score=d.weak_score, same_iou=d.same_iou, any_iou=d.any_iou)


def build_pipeline(config: Config, detector: TfliteDetector) -> Pipeline:
    t = config.tracker
    settings = TrackerSettings(strong=config.detector.score, gate=t.gate, confirm_s=t.confirm_s, lost_s=t.lost_s)
    return Pipeline(
        detector,
        Tracker(settings),
        build_lines(config),
        config.counting.classes,
        band=config.counting.dead_band,
        region=config.detector.region,
    )


def build_quality(config: Config, source: Source) -> QualityWatch:
    v = config.view
    view = ViewWatch(dark=v.dark, blurred=v.blurred, moved=v.moved) if v.watch else None
    return QualityWatch(view, ClockWatch() if source.live else None)


def build_harvest(config: Config, folder: HarvestFolder, model: str, source: str, clip: str = "") -> Harvester:
    """model: its hash. source: what the frames show. clip: the recording that they are from, if they are."""
    h, d = config.harvest, config.detector
    retouch = Retouch(config.privacy.masks, d.region, h.longest_side)
    return Harvester(folder, retouch, strong=d.score, every_s=h.every_s, model=model, source=source, clip=clip)


def _harvest(config: Config, device: Device) -> Harvester | None:
    """None when it is off, and when its folder cannot be used: counting matters more. What was harvested before it was
    switched off still goes when it is too old."""
    h = config.harvest
    if not h.enabled and not is_harvest(h.folder):
        return None
    try:
        folder = HarvestFolder(h.folder, Quota(h.frames_per_day, h.mb_per_day, h.expire_days, h.keep_free_mb))
    except StoreError as error:
        log.error("%s; no frames are harvested", error)
        return None
    if not h.enabled:
        folder.expire(datetime.now(timezone.utc).date())
        return None
    log.info("harvesting", extra={"folder": str(h.folder), "masks": len(config.privacy.masks), "days": h.expire_days})
    return build_harvest(config, folder, device.model, f"{device.site}/{device.device}")


def build_preview(config: Config, pipeline: Pipeline, notes: Callable[[], Sequence[str]] = lambda: ()) -> Preview:
    privacy = Privacy(config.privacy.pixelate, config.detector.region)
    return Preview(pipeline, build_lines(config), config.counting.classes, privacy, notes)


def _broadcast(config: Config, preview: Preview) -> AbstractContextManager[object]:
    """Nothing where it is off, and where it cannot be served: counting matters more."""
    p = config.preview
    if not p.enabled:
        return nullcontext()
    login = (p.username, p.password.get_secret_value()) if p.username and p.password else None
    annotated = Stream("/annotated", p.rate, (p.width, p.width * 9 // 16))
    plain = Stream("/plain", p.plain_rate, (p.plain_width, p.plain_width * 9 // 16))
    try:
        server = RtspServer((annotated, plain), address=p.address, port=p.port, login=login, encoder=p.encoder)
    except PreviewError as error:
        log.error("%s; counting goes on without a preview", error)
        return nullcontext()
    log.info("preview", extra={"port": server.port, "password": login is not None, "encoder": server.encoder})
    return Broadcast(preview, server, annotated, plain)


def _hatch(folder: Path, preview: Preview) -> AbstractContextManager[object]:
    try:
        return Hatch(folder, preview)
    except StoreError as error:
        log.error("%s", error)
        return nullcontext()


def build_endpoint(config: Config) -> Endpoint:
    m = config.mqtt
    tls = Tls(m.ca_file, m.cert_file, m.key_file) if m.tls else None
    password = m.password.get_secret_value() if m.password else ""
    return Endpoint(m.host, m.port, m.username or "", password, tls)


def build_session(config: Config, device: Device) -> Session:
    """Raises ConfigError when the TLS files do not fit."""
    return Session(
        build_endpoint(config),
        config.mqtt.client_id or device.client_id,
        protocol=config.mqtt.protocol,
        will=lambda: will(device, time.time()),
        timing=Timing(keepalive=config.mqtt.keepalive_s),
    )


def build_device(config: Config, detector: TfliteDetector) -> Device:
    """Who speaks: a new boot id for each start of the program."""
    d = config.device
    boot_id = secrets.token_hex(6)
    return Device(d.site, d.device, boot_id, __version__, detector.manifest.sha256, config.sha256)


def build_ledger(config: Config, device: Device, lines: Sequence[Line]) -> Ledger:
    """Takes the state folder for this process alone; raises StoreError."""
    c = config.counting
    names = [line.id for line in lines]
    encode = partial(encode_counts, device)
    folder, capacity = config.store.folder, config.store.max_intervals
    return Ledger(folder, names, c.classes, c.interval_s, device.boot_id, encode, capacity=capacity)


def build_meta(config: Config, device: Device, lines: Sequence[Line]) -> Meta:
    d = config.device
    return Meta(
        site=d.site,
        device=d.device,
        location=Location(lat=d.lat, lon=d.lon) if d.lat is not None and d.lon is not None else None,
        time_zone=d.time_zone,
        lines=[LineMeta(id=line.id, start=line.start, end=line.end, names=line.names) for line in lines],
        classes=config.counting.classes,
        interval_s=config.counting.interval_s,
        model=device.model[:12],
        config=device.config[:12],
        version=__version__,
    )


@contextmanager
def service(config: Config, source: Source | None = None) -> Iterator[Service]:
    """Everything of `edge-app run`, built and, at the end, freed in the reverse order.

    source: one that is open already, instead of the configured one; it is closed here too.
    Raises StoreError, DetectorError, SourceError and ConfigError, each in one sentence.
    """
    with ExitStack() as stack:
        detector = build_detector(config)
        stack.callback(detector.close)
        refuse_unproven(detector.manifest, allowed=config.detector.allow_unproven)
        source = masked(source, config.privacy.masks) if source else build_source(config)
        stack.callback(source.close)
        lines = build_lines(config)
        pipeline = build_pipeline(config, detector)
        device = build_device(config, detector)
        session = build_session(config, device)
        ledger = build_ledger(config, device, lines)
        outbox = Outbox(config.store.folder)
        stack.callback(outbox.close)
        quality = build_quality(config, source)
        report = _Report(config, source, pipeline, ledger, quality)
        meta = build_meta(config, device, lines)
        interval_s = config.counting.interval_s
        publisher = Publisher(session, outbox, device, meta, report.health, interval_s=interval_s)
        report.publisher = publisher
        notes = Notes(source, pipeline, publisher, lambda: report.service.frames)
        preview = build_preview(config, pipeline, notes)
        harvest = _harvest(config, device)
        report.service = Service(
            source, pipeline, ledger, publisher, harvest=harvest, quality=quality, watch=preview.watch
        )
        stack.enter_context(_hatch(config.store.folder, preview))
        stack.enter_context(_broadcast(config, preview))
        log.info("watching", extra={"source": config.source.kind, "lines": len(lines), "model": device.model[:12]})
        yield report.service


class _Report:
    """Gathers the health message from all rooms; called in the publisher's thread."""

    publisher: Publisher
    service: Service

    def __init__(
        self, config: Config, source: Source, pipeline: Pipeline, ledger: Ledger, quality: QualityWatch
    ) -> None:
        self._quality = quality
        self._folder = config.store.folder
        self._certificates = [file for file in (config.mqtt.cert_file, config.mqtt.ca_file) if file]
        self._source, self._pipeline, self._ledger = source, pipeline, ledger
        self._since = self._begun = time.monotonic()
        self._frames = 0

    def health(self) -> Health:
        status, device = self._source.status, readings(self._folder)
        detect = self._pipeline.times.percentiles().get("detect")
        return Health(
            at=datetime.now(timezone.utc),
            uptime_s=round(time.monotonic() - self._begun, 1),
            frames_per_s=round(self._rate(), 2),
            frames_dropped=self.service.dropped,
            inference_ms=Percentiles(p50=round(detect.p50, 2), p95=round(detect.p95, 2)) if detect else None,
            unsent=self.publisher.unsent,
            lost=self._ledger.dropped,
            temperature_c=device.cpu_celsius,
            memory_mb=round(device.rss_mb, 1),
            memory_available_mb=round(device.available_mb, 1),
            disk_free_mb=None if device.disk_free_mb is None else round(device.disk_free_mb, 1),
            source=SourceHealth(
                state=status.state,
                width=status.width,
                height=status.height,
                reconnects=status.reconnects,
                repeated=status.repeated,
                detail=status.detail,
            ),
            quality=self._quality.now,
            problem=self._problem(),
        )

    def _problem(self) -> str:
        """The gravest one: what is lost, what is not delivered, what will not be delivered soon, what is not seen."""
        return (
            self._ledger.problem
            or self.publisher.problem
            or expiry_warning(self._certificates, time.time())
            or self._quality.problem
        )

    def _rate(self) -> float:
        """Frames/s processed since the last report."""
        now, frames = time.monotonic(), self.service.frames
        elapsed, done = now - self._since, frames - self._frames
        self._since, self._frames = now, frames
        return done / elapsed if elapsed > 0 else 0.0
