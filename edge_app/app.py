"""Build a whole service from a configuration and connect its parts (the composition root).

This module and those of `assembly` alone know both the configuration and the classes that do the work; those get plain
arguments.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from edge_app import extras
from edge_app.assembly.broker import build_endpoints
from edge_app.assembly.counter import build_detector, build_lines, build_pipeline, build_source, with_classes
from edge_app.assembly.device import build_device, build_ledger, build_publisher, build_session
from edge_app.assembly.live import Live, build_office
from edge_app.assembly.measures import build_measures
from edge_app.assembly.watching import (
    build_collector,
    build_drift,
    build_figures,
    build_preview,
    build_quality,
    build_review,
)
from edge_app.config.model import Config
from edge_app.detectors.manifest import refuse_unproven
from edge_app.harvest.reviews import ReviewDraw
from edge_app.measures.speed_meter import Measured
from edge_app.monitoring.device_status import StatusReport
from edge_app.monitoring.health_report import Components, HealthReport
from edge_app.mqtt.encoding import encode_crossing
from edge_app.mqtt.identity import Device
from edge_app.mqtt.publisher import Publisher
from edge_app.preview.live import Preview
from edge_app.preview.main_stream import MainStream
from edge_app.preview.status_text import StatusText
from edge_app.records import FrameResult, Line
from edge_app.rollout.beside import Beside
from edge_app.rollout.office import Configurations
from edge_app.service import Service
from edge_app.sources import Source
from edge_app.sources.masks import mask_source
from edge_app.storage.archive import Keep
from edge_app.storage.outbox import Outbox
from edge_app.system.clock import SteadyClock

log = logging.getLogger(__name__)


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
            fetched=lambda: desk.look_again() if desk else None,
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
        notes = StatusText(source, pipeline, publisher, lambda: running.frames, lambda: report.components.raised)
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
