"""Build the objects of the program from a configuration and connect them (the composition root).

This is the only module that knows both the configuration and the classes that do the work; those get plain arguments.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timezone
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from edge_app import __version__, extras
from edge_app.camera_health.monitor import ViewMonitor
from edge_app.camera_health.quality import QualityMonitor
from edge_app.config.model import Config
from edge_app.config.mqtt import BrokerAccess
from edge_app.counting.motion import Motion
from edge_app.counting.pipeline import COUNTING_REVISION, Pipeline
from edge_app.counting.second_look import SecondLook
from edge_app.counting.tracker import Tracker, TrackerSettings
from edge_app.detectors.manifest import Manifest, default_model, refuse_shadow, refuse_unproven
from edge_app.detectors.manifest import load as load_manifest
from edge_app.detectors.tflite import TfliteDetector
from edge_app.drawing.scene import Privacy
from edge_app.drift.history import HourHistory
from edge_app.drift.seen import QuarterCollector, Seen
from edge_app.drift.signals import REVISION as SIGNALS_REVISION
from edge_app.drift.watch import DriftWatch, local_time
from edge_app.errors import ConfigError, DetectorError, GeometryError
from edge_app.harvest.harvester import Harvester
from edge_app.harvest.reviews import Review, ReviewDraw
from edge_app.measures.ground import Geometry, of_rectangle
from edge_app.measures.interval_sums import GRACE_S, IntervalSums, closes_late, nothing
from edge_app.measures.meters import Meters
from edge_app.measures.speed_meter import Measured
from edge_app.monitoring.device_status import StatusReport
from edge_app.monitoring.figure_history import FigureHistory
from edge_app.monitoring.figures import FIGURES, FigureReport
from edge_app.monitoring.health_report import Components, HealthReport
from edge_app.mqtt.command_desk import SignedWork
from edge_app.mqtt.config_desk import MAX_PACKET as MAX_OFFICE_PACKET
from edge_app.mqtt.connection import MAX_PACKET
from edge_app.mqtt.encoding import Picture, encode_counts, encode_crossing, encode_review
from edge_app.mqtt.endpoint import PATH, Endpoint, Tls
from edge_app.mqtt.events import Timing
from edge_app.mqtt.homeassistant import ANNOUNCED, Announcement, entities_of
from edge_app.mqtt.identity import Device
from edge_app.mqtt.messages import DirectionMeta, Health, LineMeta, Location, Meta
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session
from edge_app.preview.live import Preview
from edge_app.preview.main_stream import MainStream
from edge_app.preview.status_text import StatusText
from edge_app.records import DIRECTIONS, FLOWS, FrameResult, Line
from edge_app.rollout.beside import Beside
from edge_app.rollout.candidate_settings import CandidateSettings
from edge_app.rollout.harvest_order import OrderedHarvest
from edge_app.rollout.office import Configurations, Office
from edge_app.rollout.shadow import Comparison
from edge_app.rollout.shadow_messages import NUMBERS, ShadowMessages, ShadowNumbers
from edge_app.rollout.shadowing import Shadow
from edge_app.rollout.switching import CountAnewError, Detectors
from edge_app.rollout.trial import Facets
from edge_app.service import Service, Takeover
from edge_app.sources import Source, open_source
from edge_app.sources.masks import mask_source
from edge_app.sources.recording import Recording
from edge_app.sources.recording_series import RecordingSeries
from edge_app.storage.archive import Keep
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import CLOSES_S, Ledger
from edge_app.storage.outbox import Outbox
from edge_app.system import logging as logs
from edge_app.system.clock import ClockMonitor, SteadyClock
from edge_app.system.memory import free_mb

log = logging.getLogger(__name__)

_FRESH_S = 5.0
"""Frames are processed while the newest is no older than this, s."""


def build_lines(config: Config) -> tuple[Line, ...]:
    """Return the configured lines; without any, the rendered street's own line."""
    if not config.lines and config.source.kind == "street":
        from edge_app.sources.street.street import Street  # loads the drawings, so only when it is used

        return (Street.line,)
    return tuple(
        Line(o.id, o.start, o.end, o.names, o.road or "", o.bearings, o.lanes, o.queue, o.enters) for o in config.lines
    )


def build_source(config: Config, main: MainStream | None = None) -> Source:
    """Open the configured source as the service does: in real time and masked.

    main: gets the pictures of the camera's larger stream, if the camera has one.
    Raises SourceError.
    """
    s = config.source
    watcher = {"watcher": main.offer} if main and s.kind == "picamera" else {}
    return mask_source(open_source(s.kind, **s.options, **watcher), config.privacy.masks)


def build_recording(config: Config, paths: Sequence[Path], fps: float | None = None) -> Recording | RecordingSeries:
    """Open a recording, or several of one camera in a row, rotated, thinned and masked as the camera's frames are.

    fps: rate of the frames where the files' own is wrong.
    Raises SourceError.
    """
    s = config.source
    open_part = partial(Recording, rotation=s.rotation, fps=fps, fps_limit=s.fps_limit, masks=config.privacy.masks)
    return open_part(paths[0]) if len(paths) == 1 else RecordingSeries(open_part, paths)


def model_file(config: Config) -> Path | None:
    """Return the file of the configured detector, None for the built-in one.

    Raises DetectorError: when the office names one that it has not had fetched.
    """
    d = config.detector
    return d.model if d.fetched is None else _named(config, "fetched", d.fetched)


def shadow_file(config: Config) -> Path | None:
    """Return the file of the candidate that counts beside, None without one.

    Raises DetectorError: when it is named by a SHA-256 that no detector on this device has.
    """
    d = config.detector
    return _named(config, "shadow", d.shadow_sha256) if d.shadow_sha256 else d.shadow


def refuse_fetched(config: Config) -> None:
    """Refuse detectors that the office names and that could not count. Raises ConfigError."""
    d = config.detector
    try:
        if d.fetched is not None:
            refuse_unproven(load_manifest(_named(config, "fetched", d.fetched))[0], allowed=d.allow_unproven)
        if d.shadow_sha256:
            load_manifest(_named(config, "shadow", d.shadow_sha256))
    except DetectorError as error:
        raise ConfigError(str(error)) from error


def _named(config: Config, key: str, sha256: str) -> Path:
    """Return the file of a detector that was fetched, or of the device's own. Raises DetectorError: for any other."""
    from edge_app.rollout.bundles import FOLDER, Bundles  # loads HTTPS and ZIP, so only where they are used

    found = Bundles(config.store.folder / FOLDER).find(sha256)
    if found is not None:
        return found
    own = config.detector.model or default_model()
    if load_manifest(own)[0].sha256 == sha256:
        return own
    raise DetectorError(
        f"detector.{key}: no detector {sha256[:12]} is on this device: have it fetched first "
        "(`edge-app fleet fetch`), or leave the key out"
    )


def build_detector(config: Config, file: Path | None = None) -> TfliteDetector:
    """Load the configured model, or another file as that is loaded. Raises DetectorError when it does not fit."""
    d = config.detector
    file = file or model_file(config)
    return TfliteDetector(file, engines=d.threads, score=d.weak_score, same_iou=d.same_iou, any_iou=d.any_iou)


def with_classes(config: Config, manifest: Manifest) -> Config:
    """Return the configuration with the classes that the detector counts, where the file names none."""
    if "classes" in config.counting.model_fields_set:
        return config
    return config.model_copy(update={"counting": config.counting.model_copy(update={"classes": manifest.counted})})


def build_pipeline(config: Config, detector: TfliteDetector) -> Pipeline:
    """Build detector, tracker and line counters into one pipeline, with nothing counted yet."""
    counting, lines = with_classes(config, detector.manifest).counting, build_lines(config)
    return Pipeline(
        detector,
        Tracker(tracker_settings(config)),
        lines,
        counting.classes,
        band=counting.dead_band,
        region=config.detector.region,
        motion=Motion() if config.detector.motion else None,
        second_look=SecondLook(lines) if config.detector.second_look else None,
    )


def tracker_settings(config: Config) -> TrackerSettings:
    """Return the settings of the tracker."""
    t = config.tracker
    return TrackerSettings(
        strong=config.detector.score, association_radius=t.gate, confirm_s=t.confirm_s, lost_s=t.lost_s
    )


def build_geometry(config: Config) -> Geometry | None:
    """Return where points of the picture lie on the road, None where that is not given.

    Raises ConfigError: when no plane follows from it, or a line lies beyond.
    """
    try:
        geometry = geometry_of(config)
        if geometry is not None:
            geometry.refuse_beyond(build_lines(config))
    except GeometryError as error:
        raise ConfigError(f"geometry: {error}") from error
    return geometry


def geometry_of(config: Config) -> Geometry | None:
    """Return the same whatever the lines. Raises GeometryError: corners that are no picture of a rectangle."""
    g = config.geometry
    if g.rectangle is not None and g.sides_m is not None:
        return of_rectangle(g.rectangle, g.sides_m, g.distortion)
    if g.points:
        return Geometry(tuple(p[:2] for p in g.points), tuple(p[2:] for p in g.points), g.distortion)
    return None


def build_meters(config: Config) -> Meters | None:
    """Build the meters of a recording, None where nothing is measured. Raises ConfigError: as `build_geometry` does."""
    geometry, lines = build_geometry(config), build_lines(config)
    return Meters(lines, geometry) if nothing(lines, geometry) else None


def build_measures(config: Config, lines: Sequence[Line]) -> IntervalSums | None:
    """Build what the service measures beside the count, None where nothing is configured.

    Raises ConfigError: as `build_geometry` does.
    """
    geometry = build_geometry(config)
    if nothing(lines, geometry) or config.mqtt.crossings:
        return IntervalSums(lines, geometry, config.counting.interval_s)
    return None


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


def build_announcement(config: Config, device: Device, lines: Sequence[Line]) -> Announcement:
    """Build the announcement to Home Assistant; switched off, it removes what was announced before."""
    h, c = config.homeassistant, config.counting
    entities = entities_of(lines, c.classes, c.interval_s, speeds=config.geometry.given) if h.enabled else {}
    return Announcement(device, entities, prefix=h.prefix, record_file=config.store.folder / ANNOUNCED)


def build_endpoints(config: Config) -> tuple[Endpoint, ...]:
    """Return the broker's addresses, in the order in which they are tried, with login and TLS files."""
    return endpoints_of(config.mqtt)


def endpoints_of(m: BrokerAccess) -> tuple[Endpoint, ...]:
    """Return the addresses that a table [mqtt] gives."""
    tls = Tls(m.ca_file, m.cert_file, m.key_file) if m.tls else None
    password = m.password.get_secret_value() if m.password else ""
    way = m.transport, m.path or PATH
    return tuple(Endpoint(host, m.port, m.username or "", password, tls, *way) for host in m.addresses)


def build_session(config: Config, device: Device, installation: Callable[[], str]) -> Session:
    """Build the connection to the broker, not connected yet. Raises ConfigError when the TLS files do not fit."""
    return Session(
        build_endpoints(config),
        config.mqtt.client_id or device.client_id,
        protocol=config.mqtt.protocol,
        will=lambda: will(device, time.time(), installation()),
        timing=Timing(
            keepalive=config.mqtt.keepalive_s, max_packet=MAX_OFFICE_PACKET if config.office.keys else MAX_PACKET
        ),
    )


def build_device(config: Config, model: str) -> Device:
    """Return the device's identity in messages, with a new boot id for each start of the program.

    model: SHA-256 of the detector file.
    """
    d = config.device
    boot_id = secrets.token_hex(6)
    return Device(d.site, d.device, boot_id, __version__, model, counting_hash(config, model), config.mqtt.prefix)


def counting_hash(config: Config, model: str) -> str:
    """Return the hash of everything that changes a count. model: SHA-256 of the detector file."""
    settings = json.dumps(config.counting_settings(model, COUNTING_REVISION), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(settings.encode()).hexdigest()


def build_ledger(config: Config, device: Device, lines: Sequence[Line]) -> Ledger:
    """Open the ledger and lock the state folder for this process. Raises StoreError."""
    c, d = config.counting, config.device
    measures = nothing(lines, build_geometry(config))
    arms = [FLOWS] if FLOWS in measures else []
    return Ledger(
        config.store.folder,
        [*(line.id for line in lines), *arms],
        Counting(c.classes, c.interval_s, device.config[:12], device.model[:12], measures),
        device.boot_id,
        partial(encode_counts, device),
        names=(d.site, d.device),
        capacity=config.store.max_intervals,
        grace_s=_grace_s(lines),
    )


def _grace_s(lines: Sequence[Line]) -> float:
    """Return the time, s, after its end at which an interval closes."""
    return GRACE_S if closes_late(lines) else CLOSES_S


def build_shadow(
    config: Config,
    device: Device,
    in_service: Manifest,
    installation: Callable[[], str],
    publish: Callable[[str, str], None],
) -> Shadow | None:
    """Build what lets a candidate count beside the detector in service, None where none is configured.

    One that cannot be loaded says so in `health`, and counting goes on. config: with the classes in service.
    installation: returns the present one. publish: takes topic and message of a comparison.
    """
    d, c, lines = config.detector, config.counting, build_lines(config)
    if d.shadow is None:
        return None
    comparison = Comparison([line.id for line in lines], c.classes, c.interval_s, _grace_s(lines))
    try:
        file = shadow_file(config)
        assert file is not None
        candidate, _ = load_manifest(file)
        refuse_shadow(candidate, in_service, c.classes)
    except DetectorError as error:
        log.error("%s; counting goes on without it", error)
        return Shadow("", None, comparison, lambda _: None, failed=str(error))
    messages = ShadowMessages(
        device,
        candidate.sha256,
        counting_hash(config, candidate.sha256),
        c.interval_s,
        ShadowNumbers(config.store.folder / NUMBERS),
        installation,
        publish,
    )
    return Shadow(candidate.sha256[:12], candidate_settings(config, file), comparison, messages.tell)


def candidate_settings(config: Config, model: Path) -> CandidateSettings:
    """Return what counts with a candidate as the service counts. config: with the classes in service."""
    d, lines = config.detector, build_lines(config)
    return CandidateSettings(
        str(model.absolute()),
        d.weak_score,
        d.same_iou,
        d.any_iou,
        tracker_settings(config),
        lines,
        config.counting.classes,
        config.counting.dead_band,
        d.region,
        d.motion,
        d.second_look,
    )


def build_meta(config: Config, device: Device, lines: Sequence[Line], model_name: str = "") -> Meta:
    """Return the message that describes the device. model_name: of the detector, for people."""
    d = config.device
    return Meta(
        site=d.site,
        device=d.device,
        location=Location(lat=d.lat, lon=d.lon) if d.lat is not None and d.lon is not None else None,
        time_zone=d.time_zone,
        lines=[_line_meta(line) for line in lines],
        classes=config.counting.classes,
        interval_s=config.counting.interval_s,
        model=device.model[:12],
        config=device.config[:12],
        version=__version__,
        counting=config.counting_settings(device.model, COUNTING_REVISION),
        model_name=model_name,
    )


def _line_meta(line: Line) -> LineMeta:
    directions = {
        direction: DirectionMeta(name=line.names.get(direction), bearing_deg=line.bearings.get(direction))
        for direction in DIRECTIONS
        if direction in line.names or direction in line.bearings
    }
    return LineMeta(
        id=line.id,
        start=line.start,
        end=line.end,
        names=line.names,
        road=line.road,
        directions=directions,
        lanes=line.lanes,
        queue=line.queue,
        enters=line.enters,
    )


def build_publisher(
    config: Config,
    device: Device,
    lines: Sequence[Line],
    session: Session,
    outbox: Outbox,
    health: Callable[[], Health],
    installation: Callable[[], str],
    clock: SteadyClock,
    *,
    model_name: str = "",
    signed_work: SignedWork | None = None,
    utc: Callable[[], float] = time.time,
    office: Office | None = None,
    follows: bool = False,
) -> Publisher:
    """Build the publisher of counts, status, meta and health.

    health: returns the newest health message. model_name: of the detector, for people. utc: the system's clock, UTC s.
    office, follows, signed_work: see `Publisher`.
    """
    return Publisher(
        session,
        outbox,
        device,
        build_meta(config, device, lines, model_name),
        health,
        interval_s=config.counting.interval_s,
        installation=installation,
        crossings=config.mqtt.crossings,
        birth_messages=build_announcement(config, device, lines).birth_messages,
        office=office,
        follows=follows,
        signed_work=signed_work,
        utc=lambda: clock.at(utc(), time.monotonic()),
    )


def build_office(
    config: Config,
    configurations: Configurations,
    live: Live,
    running: Callable[[], Service],
    publisher: Callable[[], Publisher],
) -> Office:
    """Build what takes configurations from the office.

    live: what of them is taken over while counting goes on. running, publisher: return those parts, which are built
    later.
    """
    return Office(
        config.store.folder,
        configurations,
        running=live,
        facets=lambda: Facets(running().heart.age("frame") < _FRESH_S, publisher().connected),
        again=lambda: running().start_again(),
    )


class Live:
    """What of a running service other configurations change while it counts: texts, the detector, the candidate beside.

    The thread of the office calls its methods; any thread may read its properties. config: at the start. detector:
    loaded, of that configuration.
    """

    def __init__(self, config: Config, detector: TfliteDetector) -> None:
        self.beside = Beside()
        self._detectors = Detectors(detector, partial(build_detector, config), free_mb)
        self._wanted, self._settled = detector, True
        self._told = self._compared = True

    def begin(
        self,
        config: Config,
        device: Device,
        ledger: Ledger,
        publisher: Publisher,
        running: Service,
        preview: Preview,
        status: StatusReport,
        drift: DriftWatch | None,
        harvest: Harvester | OrderedHarvest | None,
    ) -> None:
        """Begin with the parts of a service, once they are all built, and let the configured candidate count beside."""
        self._present, self.device = config, device
        self._ledger, self._publisher, self._running = ledger, publisher, running
        self._preview, self._status, self._drift, self._harvest = preview, status, drift, harvest
        self._compare()

    def close(self) -> None:
        """Free all detectors."""
        self._detectors.close()

    @property
    def config(self) -> str:
        """Hash of everything that changes a count at this moment."""
        return self.device.config

    def manifest_file(self) -> Path:
        """Return the manifest of the detector that counts."""
        return self._detectors.present.path.with_suffix(".json")

    def renew(self, config: object) -> None:
        """Take a configuration over that `may_go_on` allows.

        Its detector takes over at a whole second, when it is loaded. Raises CountAnewError: when it cannot beside the
        present one. DetectorError: when it cannot count at all.
        """
        assert isinstance(config, Config)
        detector = self._detectors.ready(model_file(config) or default_model())
        refuse_unproven(detector.manifest, allowed=config.detector.allow_unproven)
        config = with_classes(config, detector.manifest)
        if config.counting.classes != self._present.counting.classes:
            raise CountAnewError("the other detector counts other classes")
        if detector is not self._wanted:
            self._wanted = detector
            model = detector.manifest.sha256
            device = replace(self.device, model=model, config=counting_hash(config, model))
            taken = partial(self._take_over, config, device, detector)
            self._running.take_over(Takeover(detector, device.config[:12], device.model[:12], taken))
        else:
            self._compared &= config.detector.shadow == self._present.detector.shadow
            self._present = config
            self._tell()

    def settle(self) -> None:
        """Have the detectors freed that do not count; soon, where one is about to take over."""
        self._settled = False

    def step(self) -> None:
        """Do what is due after a detector has taken over."""
        if not self._told:
            self._tell()
        if not self._compared:
            self._compare()
        if not self._settled and self._wanted is self._detectors.present:
            self._detectors.forget_others()
            self._settled = True

    def _take_over(self, config: Config, device: Device, detector: TfliteDetector) -> None:
        """Note that a detector counts now; called in the counting thread, before anything is recorded by it."""
        self._present, self.device = config, device
        self._detectors.took_over(detector)
        self._told = self._compared = False
        log.info("another detector counts", extra={"model": detector.manifest.name, "config": device.config[:12]})
        try:
            self._tell()  # at once: what was counted under a configuration goes out before its first interval
        except (OSError, MemoryError) as fault:  # the next step tries again
            log.warning("the other detector is not told of yet: %s", fault)

    def _tell(self) -> None:
        config, device, detector = self._present, self.device, self._detectors.present
        lines = build_lines(config)
        logs.set_level(config.log.level)
        announcement = build_announcement(config, device, lines)
        meta = build_meta(config, device, lines, detector.manifest.name)
        self._publisher.renew(meta, announcement.birth_messages)
        self._preview.rename(lines)
        self._status.rename(lines)
        self._status.change(device, detector.manifest.name)
        if not self._told:
            if self._drift is not None:
                self._drift.change(drift_setting(config, device))
            if self._harvest is not None:
                self._harvest.model = device.model
        self._told = True

    def _compare(self) -> None:
        """Let the configured candidate count beside the present detector, in place of the one before."""
        self._compared = True
        manifest, installation = self._detectors.present.manifest, lambda: self._ledger.installation
        self.beside.change(build_shadow(self._present, self.device, manifest, installation, self._publisher.compare))


def drift_setting(config: Config, device: Device) -> str:
    """Return what the hours of months depend on."""
    # In another zone every hour is another one of the week, and of another revision the signals mean something else.
    return f"{device.config[:12]} {config.device.time_zone} {SIGNALS_REVISION}"


def _announce(device: Device, publisher: Publisher, measured: Measured) -> None:
    """Have a crossing published at once."""
    speed = None if measured.speed is None else (measured.speed.kmh, measured.speed.error_kmh)
    publisher.tell(*encode_crossing(device, measured.crossing, speed, measured.lane))


def broker_problem(publisher: Publisher) -> str:
    """Return the reason why counts do not reach the broker, "" when they do."""
    problem = "" if publisher.problem == publisher.store_problem else publisher.problem
    return problem or ("" if publisher.connected else "not connected yet: try again in a few seconds")


def _start_facts(config: Config, device: Device, model: str, lines: Sequence[Line]) -> dict[str, object]:
    """Return what the journal says of a service that starts: enough to know later what counted, and how."""
    return {
        "version": device.version,
        "device": f"{device.site}/{device.device}",
        "source": config.source.kind,
        "lines": len(lines),
        "model": f"{model} {device.model[:12]}",
        "config": device.config[:12],
    }


def _observe(
    preview: Preview,
    collect: Callable[[FrameResult], object],
    beside: Beside,
    review: ReviewDraw | None,
    result: FrameResult,
) -> None:
    beside.offer(result)
    preview.update(result)
    collect(result)
    if review is not None:
        review.observe(result)


def _told(clock: SteadyClock) -> float:
    """Return the told time, UTC s."""
    return clock.at(time.time(), time.monotonic())


@contextmanager
def service(
    config: Config,
    source: Source | None = None,
    *,
    file: str = "",
    office: Configurations | None = None,
    follows: bool = False,
) -> Iterator[Service]:
    """Build everything that `edge-app run` needs, yield the service, and free it all in reverse order.

    source: an open source to use instead of the configured one; it is closed here too. file: name of the configuration
    file, for the log. office: knows what the office may change; used only with keys of one. follows: one has run before
    in this process, and has not said that it stops.
    Raises StoreError, DetectorError, SourceError and ConfigError, each in one sentence.
    """
    with ExitStack() as stack:
        detector = build_detector(config)
        live = Live(config, detector)
        stack.callback(live.close)
        refuse_unproven(detector.manifest, allowed=config.detector.allow_unproven)
        config = with_classes(config, detector.manifest)
        main = MainStream(config.privacy.masks)
        source = mask_source(source, config.privacy.masks) if source else build_source(config, main)
        stack.callback(source.close)
        lines, pipeline = build_lines(config), build_pipeline(config, detector)
        device, folder, report = (
            build_device(config, detector.manifest.sha256),
            config.store.folder,
            HealthReport(looks=True),
        )
        ledger = build_ledger(config, device, lines)
        session = build_session(config, device, lambda: ledger.installation)
        outbox = Outbox(folder, Keep(config.store.keep_days * 86_400.0, config.store.keep_mb), ledger.standby)
        stack.callback(outbox.close)
        quality = build_quality(config, source)
        clock = SteadyClock(lambda: quality.unsynced)
        desk = None
        if office is not None and config.office.keys:
            desk = build_office(config, office, live, lambda: running, lambda: publisher)
        addresses = " or ".join(str(to) for to in build_endpoints(config))
        about = device, detector.manifest.name, addresses, lines, config.counting.interval_s
        status = StatusReport(own_report := HealthReport(), *about)
        preview = build_preview(config, lambda: notes(), main)
        figures = build_figures(config, told := partial(_told, clock), live=source.live)
        take = figures.take if figures else lambda _: None
        drift = build_drift(config, device, live=source.live, on_quarter=take, shift=lambda: quality.shift)
        order = extras.harvest_order(config, told)
        harvest = extras.harvester(config, device, order)
        if harvest is not None and drift is not None:
            harvest.drifted = lambda: bool(drift.state.kinds - {"traffic"})
        signed_work = extras.signed_work(
            config,
            device,
            preview,
            order,
            parts=lambda: extras.diagnosis(config, file, status.json, live.manifest_file, drift),
            synced=lambda: not quality.unsynced,
            restart=lambda: running.start_again(),
            stopped=(over := threading.Event()),
            now=told,
        )
        stack.callback(over.set)
        publisher = build_publisher(
            *(config, device, lines, session, outbox, report.health, lambda: ledger.installation, clock),
            model_name=detector.manifest.name,
            signed_work=signed_work,
            office=desk,
            follows=follows,
        )
        review = build_review(config, lambda: live.device, publisher.review)
        notes = StatusText(source, pipeline, publisher, lambda: running.frames, lambda: quality.raised)
        running = Service(
            source,
            pipeline,
            ledger,
            publisher,
            harvest=harvest,
            quality=quality,
            clock=clock,
            measures=build_measures(config, lines),
            on_measured=partial(_announce, device, publisher) if config.mqtt.crossings else lambda _: None,
            on_result=partial(_observe, preview, build_collector(drift, figures, quality), live.beside, review),
            status=status.text,
            office=desk.run if desk else None,
        )
        files = {"device": config.mqtt.cert_file, "authority": config.mqtt.ca_file}
        certificates = {name: file for name, file in files.items() if file}
        report.components = own_report.components = Components(
            *(source, pipeline, ledger, quality, publisher, running, folder, certificates, drift),
            office=desk,
            shadow=live.beside,
            figures=figures,
            review=review,
            harvest_until=lambda: order.until if order else None,
        )
        live.begin(config, device, ledger, publisher, running, preview, status, drift, harvest)
        stack.enter_context(live.beside)
        stack.enter_context(extras.snapshot_server(folder, preview, lambda: broker_problem(publisher), status.json))
        stack.enter_context(extras.broadcast(config, preview))
        stack.enter_context(extras.metrics(config, lambda: live.device, report.components, lines))
        log.info("watching", extra={**_start_facts(config, device, detector.manifest.name, lines), "file": file})
        yield running
