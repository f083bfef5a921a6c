"""Check model, source, speed and lines: some seconds of the road go through the pipeline, as in service."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.assembly.counter import build_detector, build_lines, build_pipeline, build_source, with_classes
from edge_app.assembly.device import counting_hash
from edge_app.assembly.measures import build_geometry
from edge_app.checks.device import check_config
from edge_app.checks.sentence import as_sentence
from edge_app.config.model import Config
from edge_app.counting.second_look import most_parts
from edge_app.detectors.manifest import Manifest, refuse_shadow, refuse_unproven
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import ConfigError, DetectorError, SourceEnded, SourceError
from edge_app.records import Frame
from edge_app.rollout.candidate_process import refused_priority
from edge_app.sources import Source, SourceStatus, probe
from edge_app.web.line_check import DetectorView, Finding, LineObserver, check_line, check_rate
from edge_app.web.speed_check import expected_speeds

_FIRST_FRAME_S: Final = 12.0
_LOST_S: Final = 2.5
"""A camera that is still lost so long after it was opened, which includes a second attempt, is not waited for."""
_RATE_S: Final = 2.0
_OBSERVE_S: Final = 6.0
_INFERENCES: Final = 20


def check_pipeline(config: Config, stop: threading.Event, *, running: bool) -> Iterator[Finding]:
    """Check model, source, speed and lines."""
    with ExitStack() as stack:
        loaded = yield from _check_detector(config, stack)
        if running and config.source.kind == "camera":
            yield Finding("ok", "source", "the running service has the camera; stop it to check source and lines.")
            return
        opened = yield from _check_source(config, stop, stack)
        if loaded is None or opened is None or stop.is_set():
            return
        detector, inference_ms = loaded
        source, rate = opened
        at_once = min(len(detector.engines), os.cpu_count() or 1)
        yield check_rate(rate, at_once * 1e3 / inference_ms)
        yield from check_speeds(config, (source.status.width, source.status.height), rate)
        yield from _check_lines(config, detector, source)


def _check_detector(config: Config, stack: ExitStack) -> Generator[Finding, None, tuple[TfliteDetector, float] | None]:
    """Yield the findings about the model; return the detector and its median ms for an inference, None at a failure.

    stack: closes the detector.
    """
    try:
        detector = build_detector(config)
        stack.callback(detector.close)
        p50, p95 = _inference_ms(detector)
    except DetectorError as error:
        yield Finding("FAIL", "model", as_sentence(error))
        return None
    size, engines = detector.manifest.input, len(detector.engines)
    sentence = (
        f"{detector.manifest.name} with an input of {size.width}x{size.height} loads; one inference takes "
        f"{p50:.1f} ms (p95 {p95:.1f} ms); {engines} at a time."
    )
    yield Finding("ok", "model", sentence)
    if parts := most_parts(build_lines(config)) if config.detector.second_look else 0:
        sentence = (
            f"where vehicles at the lines are small, a frame takes {1 + parts} inferences instead of one, "
            f"{(1 + parts) * p50:.1f} ms; detector.second_look = false switches this off."
        )
        yield Finding("ok", "second look", sentence)
    yield check_gate(detector.manifest, allowed=config.detector.allow_unproven)
    own = with_classes(config, detector.manifest)
    yield check_classes(own.counting.classes, detector.manifest)
    yield check_config(config.store.folder, counting_hash(own, detector.manifest.sha256))
    if own.detector.shadow is not None:
        yield check_shadow(own.detector.shadow, detector.manifest, own.counting.classes)
    return detector, p50


def check_shadow(model: Path, in_service: Manifest, classes: Sequence[str]) -> Finding:
    """Check the candidate that is to count beside. classes: those that are counted."""
    try:
        candidate = TfliteDetector(model)
        candidate.close()
        refuse_shadow(candidate.manifest, in_service, classes)
    except DetectorError as error:
        return Finding("FAIL", "shadow", as_sentence(error))
    if refused := refused_priority():
        return Finding("FAIL", "shadow", as_sentence(refused))
    sentence = (
        f"{candidate.manifest.name} counts beside {in_service.name} when processor time is free; its counts go to "
        "shadow/LINE and are not used."
    )
    return Finding("ok", "shadow", sentence)


def check_speeds(config: Config, size: tuple[int, int], rate: float) -> Iterator[Finding]:
    """Yield the error to expect of speeds at each line, where a geometry is given. size: px. rate: frames/s."""
    try:
        geometry = build_geometry(config)
    except ConfigError as error:
        yield Finding("FAIL", "geometry", as_sentence(str(error).removeprefix("geometry: ")))
        return
    if geometry is None:
        return
    yield from expected_speeds(geometry, build_lines(config), size, rate)


def _inference_ms(detector: TfliteDetector) -> tuple[float, float]:
    """Return p50 and p95 of one inference, ms."""
    times, blank = [], detector.blank()
    for _ in range(_INFERENCES):
        began = time.perf_counter()
        detector.engines[0].invoke(blank)
        times.append(time.perf_counter() - began)
    p50, p95 = np.percentile(times, [50, 95]) * 1e3
    return float(p50), float(p95)


def check_gate(manifest: Manifest, *, allowed: bool) -> Finding:
    """Check whether the model passed the model gate. A false claim is found earlier: such a model does not load."""
    if manifest.gate and manifest.proven:
        how = f"passed {len(manifest.gate.rules)} checks" if manifest.gate.decision == "rules" else manifest.gate.reason
        since = manifest.gate.promoted_at[:10]
        return Finding("ok", "gate", f"{manifest.name} has been in production since {since}: {how}.")
    try:
        refuse_unproven(manifest, allowed=allowed)
    except DetectorError as error:
        return Finding("FAIL", "gate", as_sentence(error))
    sentence = f"{manifest.name} never passed the gate, and counts because detector.allow_unproven is true."
    return Finding("warn", "gate", sentence)


def check_classes(classes: Sequence[str], manifest: Manifest) -> Finding:
    """Check whether the counted classes are those that the detector has been judged by."""
    counted = f"{', '.join(classes)} {'are' if len(classes) > 1 else 'is'} counted"
    if "bicycle" in classes and "bicycle" not in manifest.counted:
        sentence = f"{counted}, but {manifest.name} has not passed the gate with bicycles: many go as motorcycles."
        return Finding("warn", "classes", sentence)
    return Finding("ok", "classes", f"{counted}.")


def _check_source(
    config: Config, stop: threading.Event, stack: ExitStack
) -> Generator[Finding, None, tuple[Source, float] | None]:
    """Yield the finding about the source; return it with its measured frames/s, None at a failure or a stop.

    stack: closes the source.
    """
    try:
        source = _StoppableSource(build_source(config), stop)
        stack.callback(source.close)
        status = probe(source, seconds=_RATE_S, timeout=_FIRST_FRAME_S)
    except SourceError as error:
        if not stop.is_set():
            yield Finding("FAIL", "source", as_sentence(error))
        return None
    sentence = (
        f"{config.source.kind}, {status.width}x{status.height} at {status.rate:.1f} frames/s, the first frame after "
        f"{source.first_s:.1f} s."
    )
    if config.source.kind == "street":  # not "ok": somebody may have meant a camera
        sentence = f"NO CAMERA: a rendered road, whose counts are invented ({sentence.removesuffix('.')})."
    yield Finding("warn" if config.source.kind == "street" else "ok", "source", sentence)
    return source, status.rate


class _StoppableSource:
    """A Source that ends when the program is to stop, and fails when a camera stays lost.

    first_s: time to the first frame, s; 0 before it.
    """

    def __init__(self, source: Source, stop: threading.Event) -> None:
        self._source, self._stop, self._opened = source, stop, time.monotonic()
        self.live, self.first_s = source.live, 0.0

    @property
    def status(self) -> SourceStatus:
        return self._source.status

    def read(self, timeout: float) -> Frame | None:
        if self._stop.is_set():
            raise SourceEnded("Stopped.")
        frame, waited = self._source.read(timeout), time.monotonic() - self._opened
        if frame is not None:
            self.first_s = self.first_s or waited
        elif not self.first_s and waited > _LOST_S and self.status.state == "lost":
            raise SourceError(self.status.detail)
        return frame

    def close(self) -> None:
        self._source.close()


def _check_lines(config: Config, detector: TfliteDetector, source: Source) -> Iterator[Finding]:
    """Run some seconds of the road through detector and tracker, as in service, and check each line."""
    pipeline, size = build_pipeline(config, detector), (source.status.width, source.status.height)
    observers = [LineObserver(line, size) for line in build_lines(config)]
    times: list[float] = []
    for frame in _frames(source, _OBSERVE_S):
        tracks = pipeline.process(frame).tracks
        times.append(frame.monotonic)
        for observer in observers:
            observer.update(tracks)
    lasted = times[-1] - times[0] if times else 0.0
    rate = (len(times) - 1) / lasted if lasted else source.status.rate
    view = DetectorView(config.detector.region, detector.manifest)
    for observer in observers:
        yield from check_line(observer, view, rate, lasted)


def _frames(source: Source, seconds: float) -> Iterator[Frame]:
    """Yield frames for so many seconds, or until a recording ends or the program is to stop."""
    deadline = time.monotonic() + seconds
    with suppress(SourceEnded):
        while time.monotonic() < deadline:
            frame = source.read(0.5)
            if frame is not None:
                yield frame
