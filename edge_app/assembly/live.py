"""Change a service while it counts: texts, the detector, the candidate beside."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge_app.assembly.counter import (
    build_detector,
    build_lines,
    model_file,
    shadow_file,
    tracker_settings,
    with_classes,
)
from edge_app.assembly.device import build_announcement, build_meta, counting_hash
from edge_app.assembly.measures import closing_grace_s
from edge_app.assembly.watching import drift_setting
from edge_app.config.model import Config
from edge_app.detectors.manifest import Manifest, default_model, refuse_shadow, refuse_unproven
from edge_app.detectors.manifest import load as load_manifest
from edge_app.detectors.tflite import TfliteDetector
from edge_app.drift.watch import DriftWatch
from edge_app.errors import DetectorError
from edge_app.harvest.harvester import Harvester
from edge_app.monitoring.device_status import StatusReport
from edge_app.mqtt.identity import Device
from edge_app.mqtt.publisher import Publisher
from edge_app.preview.live import Preview
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
from edge_app.storage.ledger import Ledger
from edge_app.system import logging as logs
from edge_app.system.memory import free_mb

log = logging.getLogger(__name__)

_FRESH_S = 5.0
"""Frames are processed while the newest is no older than this, s."""


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
    comparison = Comparison([line.id for line in lines], c.classes, c.interval_s, closing_grace_s(lines))
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
