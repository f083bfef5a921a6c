"""What `edge-app check` looks at: each part of the service is opened as in service, and one finding says how it is."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.app import build_detector, build_endpoint, build_lines, build_pipeline, build_source
from edge_app.config.lint import lint
from edge_app.config.model import Config
from edge_app.detectors.manifest import Manifest, refuse_unproven
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import BrokerError, ConfigError, DetectorError, PreviewError, SourceEnded, SourceError
from edge_app.harvest.folder import unfit
from edge_app.mqtt.session import probe as probe_broker
from edge_app.preview.rtsp import choose_encoder
from edge_app.records import Frame
from edge_app.sources import Source, SourceStatus
from edge_app.sources import probe as probe_source
from edge_app.system.readings import readings
from edge_app.web.line_check import DetectorView, Finding, LineObserver, judge, keeps_up

_BROKER_S: Final = 5.0
_FIRST_FRAME_S: Final = 12.0
_LOST_S: Final = 2.5
"""A camera that fails so long after it was opened, a second attempt included, is not waited for."""
_RATE_S: Final = 2.0
_WATCH_S: Final = 6.0
_INFERENCES: Final = 20
_BYTES_AN_INTERVAL: Final = 1100
"""On disk, index included."""
_TEN_YEARS_S: Final = 10 * 365 * 86_400


def findings(config: Config, stop: threading.Event) -> Iterator[Finding]:
    """Everything there is to say about a valid configuration, each as soon as it is known, until `stop` is set."""
    yield Finding("ok", "configuration", f"valid, its hash is {config.sha256[:12]}.")
    for sentence in lint(config):
        what, _, rest = sentence.partition(": ")
        yield Finding("warn", what, f"{rest}.")
    yield clock(time.time())
    holder = _holder(config.store.folder)
    yield state_folder(config.store.folder, config.store.max_intervals, holder)
    if config.harvest.enabled:
        yield harvest(config)
    if config.preview.enabled:
        yield preview(config)
    yield _broker(config)
    if not stop.is_set():
        yield from _seeing(config, stop, running=holder is not None)


def clock(now: float) -> Finding:
    """A clock that was never set shows a time before this program was installed."""
    installed = Path(__file__).stat().st_mtime
    shown = f"{datetime.fromtimestamp(now, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    # Two days of grace: an archive may have been made in a time zone ahead, and its files carry that time.
    if installed - 2 * 86_400 <= now < installed + _TEN_YEARS_S:
        return Finding("ok", "clock", f"{shown}.")
    sentence = f"{shown} cannot be right, and every count carries it: set up NTP (timedatectl set-ntp true)."
    return Finding("FAIL", "clock", sentence)


def _holder(folder: Path) -> str | None:
    """The pid of the service that has the folder, or None.

    Only reads: a lock file made here, perhaps as root, would keep the service's own user out.
    """
    path = folder / "ledger.lock"
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return path.read_text(errors="replace").strip() or "unknown"
    except OSError:
        return None  # nobody was here yet, or it may not be read: what can be done here is tried in state_folder
    return None


def state_folder(folder: Path, max_intervals: int, holder: str | None) -> Finding:
    """holder: the process that has it, from `_holder`. Nothing is left in the folder, nor is it made."""
    what = "state folder"
    if holder:
        return Finding("ok", what, f"{folder} is in use, the service is running (pid {holder}).")
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there, buffering=0) as file:
            file.write(bytes(65_536))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sentence = f"{folder} cannot be used ({reason} at {there}): give it room and write access, or name another."
        return Finding("FAIL", what, sentence)
    free, full = readings(there).disk_free_mb or 0.0, max_intervals * _BYTES_AN_INTERVAL / 1e6
    if free < full:
        sentence = f"{folder} has {free:.0f} MB free, but store.max_intervals may fill {full:.0f} MB in an outage."
        return Finding("warn", what, sentence)
    return Finding("ok", what, f"{folder} can be written, {free:.0f} MB are free.")


def harvest(config: Config) -> Finding:
    """Whether frames can be kept; nothing is made."""
    h, masks = config.harvest, len(config.privacy.masks)
    unfit_for = unfit(h.folder)
    if unfit_for:
        return Finding("FAIL", "harvest", f"{h.folder} {unfit_for}.")
    sentence = (
        f"at most {h.frames_per_day} frames and {h.mb_per_day:g} MB a day are kept in {h.folder} for {h.expire_days} "
        f"days, behind {masks} mask{'s' * (masks != 1)}."
    )
    return Finding("ok", "harvest", sentence)


def preview(config: Config) -> Finding:
    """Whether it could be served; nothing is opened, the service may be serving it."""
    p = config.preview
    try:
        encoder = choose_encoder(p.encoder)
    except PreviewError as error:
        return Finding("FAIL", "preview", _sentence(error).removeprefix("preview: "))
    who = f"{p.username} with the password" if p.password else "whoever is on this device"
    where = f"rtsp://{f'[{p.address}]' if ':' in p.address else p.address}:{p.port}/annotated and /plain"
    return Finding("ok", "preview", f"{where}, encoded by {encoder}, for {who}.")


def _broker(config: Config) -> Finding:
    d, m = config.device, config.mqtt
    # An id of its own: with the service's the broker would throw the service out.
    client_id = f"{m.client_id or f'edge-app-{d.site}-{d.device}'}-check"
    try:
        version = probe_broker(build_endpoint(config), client_id, protocol=m.protocol, timeout_s=_BROKER_S)
    except (BrokerError, ConfigError) as error:
        return Finding("FAIL", "broker", _sentence(error).removeprefix("broker "))
    if version != "5":
        sentence = f"{m.host}:{m.port} accepts us, but with MQTT {version}, where a forbidden topic shows nowhere."
        return Finding("warn", "broker", sentence)
    return Finding("ok", "broker", f"{m.host}:{m.port} accepts us with MQTT {version}.")


def _sentence(error: Exception) -> str:
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."


def _seeing(config: Config, stop: threading.Event, *, running: bool) -> Iterator[Finding]:
    """Model, source and lines."""
    with ExitStack() as stack:
        detector: TfliteDetector | None = None
        try:
            detector = build_detector(config)
            stack.callback(detector.close)
            milliseconds = _inference_ms(detector)
            yield _model(detector, milliseconds)
            yield gate(detector.manifest, allowed=config.detector.allow_unproven)
        except DetectorError as error:
            yield Finding("FAIL", "model", _sentence(error))
        if running and config.source.kind == "camera":
            yield Finding("ok", "source", "the running service has the camera; stop it to check source and lines.")
            return
        try:
            source = _Watched(build_source(config), stop)
            stack.callback(source.close)
            status = probe_source(source, seconds=_RATE_S, timeout=_FIRST_FRAME_S)
        except SourceError as error:
            if not stop.is_set():
                yield Finding("FAIL", "source", _sentence(error))
            return
        yield _source(config.source.kind, status, source.first_s)
        if detector is not None and not stop.is_set():
            at_once = min(len(detector.engines), os.cpu_count() or 1)
            yield keeps_up(status.rate, at_once * 1e3 / milliseconds[0])
            yield from _lines(config, detector, source)


def _inference_ms(detector: TfliteDetector) -> tuple[float, float]:
    """p50 and p95."""
    took, blank = [], detector.blank()
    for _ in range(_INFERENCES):
        began = time.perf_counter()
        detector.engines[0].invoke(blank)
        took.append(time.perf_counter() - began)
    p50, p95 = np.percentile(took, [50, 95]) * 1e3
    return float(p50), float(p95)


def _model(detector: TfliteDetector, milliseconds: tuple[float, float]) -> Finding:
    size, engines = detector.manifest.input, len(detector.engines)
    sentence = (
        f"{detector.manifest.name} with an input of {size.width}x{size.height} loads; one inference takes "
        f"{milliseconds[0]:.1f} ms (p95 {milliseconds[1]:.1f} ms); "
        f"{engines} at a time."
    )
    return Finding("ok", "model", sentence)


def gate(manifest: Manifest, *, allowed: bool) -> Finding:
    """Whether the model was proven before it was put to work; one that says so wrongly does not even load."""
    if manifest.gate and manifest.proven:
        how = f"passed {len(manifest.gate.rules)} checks" if manifest.gate.decision == "rules" else manifest.gate.reason
        return Finding("ok", "gate", f"{manifest.name} is in production since {manifest.gate.promoted_at[:10]}: {how}.")
    try:
        refuse_unproven(manifest, allowed=allowed)
    except DetectorError as error:
        return Finding("FAIL", "gate", _sentence(error))
    sentence = f"{manifest.name} never passed the gate, and counts because detector.allow_unproven is true."
    return Finding("warn", "gate", sentence)


def _source(kind: str, status: SourceStatus, first_s: float) -> Finding:
    sentence = f"{kind}, {status.width}x{status.height} at {status.rate:.1f} frames/s, the first after {first_s:.1f} s."
    return Finding("ok", "source", sentence)


class _Watched:
    """A Source that ends when the program is to stop, and that fails when a camera stays away.

    first_s: how long the first frame took, s.
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


def _lines(config: Config, detector: TfliteDetector, source: Source) -> Iterator[Finding]:
    """A few seconds of the road through detector and tracker, as in service."""
    pipeline, size = build_pipeline(config, detector), (source.status.width, source.status.height)
    watches = [LineObserver(line, size) for line in build_lines(config)]
    times: list[float] = []
    for frame in _frames(source, _WATCH_S):
        tracks = pipeline.process(frame).tracks
        times.append(frame.monotonic)
        for watch in watches:
            watch.see(tracks)
    lasted = times[-1] - times[0] if times else 0.0
    rate = (len(times) - 1) / lasted if lasted else source.status.rate
    for watch in watches:
        yield from judge(watch, DetectorView(config.detector.region, detector.manifest), rate, lasted)


def _frames(source: Source, seconds: float) -> Iterator[Frame]:
    """Fewer where a recording ends or the program is to stop."""
    deadline = time.monotonic() + seconds
    with suppress(SourceEnded):
        while time.monotonic() < deadline:
            frame = source.read(0.5)
            if frame is not None:
                yield frame
