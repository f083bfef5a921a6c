"""Check everything that the service will need: each part is opened as in service and gives one finding."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.app import (
    build_detector,
    build_endpoints,
    build_lines,
    build_pipeline,
    build_source,
    counting_hash,
    with_classes,
)
from edge_app.config.lint import lint
from edge_app.config.model import Config
from edge_app.counting.second_look import most_parts
from edge_app.detectors.manifest import Manifest, refuse_unproven
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import BrokerError, ConfigError, DetectorError, PreviewError, SourceEnded, SourceError
from edge_app.harvest.folder import folder_problem
from edge_app.monitoring.device_status import DeviceStatus
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Connected
from edge_app.mqtt.identity import client_id_of
from edge_app.mqtt.session import probe as probe_broker
from edge_app.preview.rtsp import choose_encoder, viewer_command
from edge_app.preview.snapshot_socket import request_broker_problem, request_status
from edge_app.records import Frame
from edge_app.sources import Source, SourceStatus
from edge_app.sources import probe as probe_source
from edge_app.storage.folder_lock import refuse_file
from edge_app.system.clock import kernel_unsynced
from edge_app.system.readings import readings
from edge_app.web.line_check import DetectorView, Finding, LineObserver, check_line, check_rate

_BROKER_S: Final = 5.0
_FIRST_FRAME_S: Final = 12.0
_LOST_S: Final = 2.5
"""A camera that is still lost so long after it was opened, which includes a second attempt, is not waited for."""
_RATE_S: Final = 2.0
_OBSERVE_S: Final = 6.0
_INFERENCES: Final = 20
_BYTES_AN_INTERVAL: Final = 1100
"""Size of a stored interval on disk, index included."""
_LEAST_FREE_MB: Final = 20.0
"""Room, MB, below which the database of a running service can soon not grow any more."""
_TEN_YEARS_S: Final = 10 * 365 * 86_400


def findings(config: Config, stop: threading.Event) -> Iterator[Finding]:
    """Yield all findings about a valid configuration, each as soon as it is known, until `stop` is set."""
    yield (configuration := check_configuration(config))
    for sentence in lint(config):
        what, _, rest = sentence.partition(": ")
        yield Finding("warn", what, f"{rest}.")
    yield check_clock(time.time(), unsynced=kernel_unsynced())
    running_pid = _running_pid(config.store.folder)
    if configuration.level != "FAIL":
        yield check_state_folder(config.store.folder, config.store.max_intervals, running_pid, config.store.keep_mb)
    if running_pid:
        yield from _check_service(config.store.folder)
    if config.harvest.enabled:
        yield check_harvest(config)
    if config.preview.enabled:
        yield check_preview(config)
    if _may_disconnect_service(config, running_pid):
        yield _check_broker_of_service(config)
    else:
        yield _check_broker(config)
    if not stop.is_set():
        yield from _check_pipeline(config, stop, running=running_pid is not None)


def check_configuration(config: Config) -> Finding:
    """Check what only the device tells of a configuration that was read: the service refuses the same."""
    try:
        refuse_file(config.store.folder)
    except ConfigError as error:
        return Finding("FAIL", "configuration", _sentence(error))
    return Finding("ok", "configuration", "valid.")


def check_clock(now: float, *, unsynced: bool) -> Finding:
    """Check the system's time, UTC s: a clock that was never set shows a time before this program was installed.

    unsynced: the kernel says that no time service has set it.
    """
    installed = Path(__file__).stat().st_mtime
    shown = f"{datetime.fromtimestamp(now, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    # Two days of grace: an archive may have been made in a time zone ahead, and its files carry that time.
    if installed - 2 * 86_400 <= now < installed + _TEN_YEARS_S:
        if not unsynced:
            return Finding("ok", "clock", f"{shown}.")
        sentence = (
            f"{shown}, but no time service has set it, so every interval carries clock_unsynced: set up NTP "
            "(timedatectl set-ntp true) with a time server that this device reaches."
        )
        return Finding("warn", "clock", sentence)
    sentence = f"{shown} cannot be right, and every count carries it: set up NTP (timedatectl set-ntp true)."
    return Finding("FAIL", "clock", sentence)


def _running_pid(folder: Path) -> str | None:
    """Return the pid of the service that uses this state folder, None when none runs.

    Only reads: a lock file made here, perhaps as root, would keep the service's own user out.
    """
    path = folder / "ledger.lock"
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(OSError):
            return path.read_text(errors="replace").strip() or "unknown"
        return "unknown"
    except OSError:
        return None  # no service ran here yet, or the file may not be read: check_state_folder tries the folder itself
    return None


def check_state_folder(folder: Path, max_intervals: int, running_pid: str | None, keep_mb: float = 0.0) -> Finding:
    """Check that the state folder can be written and has room; nothing is left in it, and it is not created.

    running_pid: the service that uses the folder, from `_running_pid`.
    """
    what = "state folder"
    if running_pid:
        return _check_used_folder(folder, running_pid)
    # os.path.exists is also False for a name that is too long, or below a folder that may not be read.
    existing = next(parent for parent in (folder, *folder.absolute().parents) if os.path.exists(parent))  # noqa: PTH110
    try:
        with suppress(FileNotFoundError):  # it is made at the start
            folder.stat()
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            file.write(bytes(65_536))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sentence = f"{folder} cannot be used ({reason} at {existing}): give it room and write access, or name another."
        return Finding("FAIL", what, sentence)
    free, needed = readings(existing).disk_free_mb or 0.0, max_intervals * _BYTES_AN_INTERVAL / 1e6 + keep_mb
    if free < needed:
        sentence = (
            f"{folder} has {free:.0f} MB free, but store.max_intervals and store.keep_mb may fill "
            f"{needed:.0f} MB in an outage: free some space, or lower them."
        )
        return Finding("warn", what, sentence)
    return Finding("ok", what, f"{folder} can be written, {free:.0f} MB are free.")


def _check_used_folder(folder: Path, running_pid: str) -> Finding:
    """Check the folder of a running service, which alone may write there: its disk may be full all the same."""
    used, free = f"{folder} is in use, the service is running (pid {running_pid})", readings(folder).disk_free_mb
    if free is not None and free < _LEAST_FREE_MB:
        sentence = f"{used}, but its disk has only {free:.1f} MB free, and counts need room: free some space."
        return Finding("FAIL", "state folder", sentence)
    return Finding("ok", "state folder", f"{used}{'' if free is None else f', {free:.0f} MB are free'}.")


def _check_service(folder: Path) -> Iterator[Finding]:
    """Yield what the running service says of itself: the disk, the camera, the clock and the broker as it sees them."""
    try:
        answer = request_status(folder)
        status = DeviceStatus.model_validate_json(answer or b"")
    except (PreviewError, ValueError):
        return  # of another user, or of an older release
    wrong = status.wrong
    if not wrong:
        yield Finding("ok", "service", f"it counts, {status.health.frames_per_s:.1f} frames/s.")
    for sentence in wrong:
        yield Finding(
            "FAIL" if not status.counting and sentence == wrong[0] else "warn", "service", _sentence(sentence)
        )


def check_harvest(config: Config) -> Finding:
    """Check whether frames can be kept; nothing is created."""
    h, masks = config.harvest, len(config.privacy.masks)
    problem = folder_problem(h.folder)
    if problem:
        return Finding("FAIL", "harvest", f"{h.folder} {problem}.")
    sentence = (
        f"at most {h.frames_per_day} frames and {h.mb_per_day:g} MB a day are kept in {h.folder} for {h.expire_days} "
        f"days, behind {masks} mask{'s' * (masks != 1)}."
    )
    return Finding("ok", "harvest", sentence)


def check_preview(config: Config) -> Finding:
    """Check whether the preview can be served; no port is opened, since the service may be serving it."""
    p = config.preview
    try:
        encoder = choose_encoder(p.encoder)
    except PreviewError as error:
        return Finding("FAIL", "preview", _sentence(error).removeprefix("preview: "))
    viewers = f"{p.username} with the password" if p.password else "whoever is on this device"
    url = f"rtsp://{f'[{p.address}]' if ':' in p.address else p.address}:{p.port}/annotated and /plain"
    command = viewer_command(p.address, p.port, p.username if p.password else None)
    return Finding("ok", "preview", f"{url}, encoded by {encoder}, for {viewers}. Watch with: {command}")


def _check_broker(config: Config) -> Finding:
    """Try each address of the broker; the service needs one of them."""
    d, m = config.device, config.mqtt
    # An id of its own: with the service's id the broker would disconnect the running service.
    client_id = f"{m.client_id or client_id_of(d.site, d.device)}-check"
    accepted: list[tuple[Endpoint, Connected]] = []
    problems: list[str] = []
    for to in build_endpoints(config):
        try:
            accepted.append((to, probe_broker(to, client_id, protocol=m.protocol, timeout_s=_BROKER_S)))
        except (BrokerError, ConfigError) as error:
            problems.append(_sentence(error).removeprefix("broker "))
    if not accepted:
        return Finding("FAIL", "broker", " ".join(problems))
    old = [to for to, found in accepted if found.protocol != "5"]
    sentences = [f"{', '.join(str(to) for to, _ in accepted)} accept{'s' * (len(accepted) == 1)} us with MQTT "]
    sentences[0] += f"{', '.join(dict.fromkeys(found.protocol for _, found in accepted))}."
    if old:
        why = "in which a broker does not report a forbidden topic: prefer a broker with MQTT 5"
        sentences.append(f"{old[0]} has only MQTT {accepted[0][1].protocol}, {why}.")
    limits = dict.fromkeys(limit for _, found in accepted for limit in found.limits.sentences())
    sentences += [*problems, *(f"{limit[0].upper()}{limit[1:]}." for limit in limits)]
    return Finding("ok" if len(sentences) == 1 else "warn", "broker", " ".join(sentences))


def _may_disconnect_service(config: Config, running_pid: str | None) -> bool:
    """Return True when a connection of the check could end that of the service.

    A broker may bind client ids to certificates or user names (mosquitto's use_username_as_clientid): then an id of
    its own does not help. Where the lock may not be read, a service may be running.
    """
    unreadable = False
    try:
        (config.store.folder / "ledger.lock").open("rb").close()
    except OSError as error:
        unreadable = isinstance(error, PermissionError)
    return bool(config.mqtt.cert_file or config.mqtt.username) and (running_pid is not None or unreadable)


def _check_broker_of_service(config: Config) -> Finding:
    problem = request_broker_problem(config.store.folder)
    if problem is None:
        sentence = "the running service has the connection; stop it to check the broker, or run this as its user."
        return Finding("warn", "broker", sentence)
    if problem:
        return Finding("FAIL", "broker", f"the running service says: {_sentence(problem.removeprefix('broker '))}")
    return Finding("ok", "broker", f"the running service is connected to {_addresses(config)}.")


def _addresses(config: Config) -> str:
    return " or ".join(str(to) for to in build_endpoints(config))


def _sentence(error: object) -> str:
    text = str(error)
    return text if text.endswith((".", "?")) else f"{text}."


def _check_pipeline(config: Config, stop: threading.Event, *, running: bool) -> Iterator[Finding]:
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
        yield Finding("FAIL", "model", _sentence(error))
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
    digits = counting_hash(own, detector.manifest.sha256)[:12]
    yield Finding("ok", "config", f"{digits} is what meta and every interval in counts name as config.")
    return detector, p50


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
        return Finding("FAIL", "gate", _sentence(error))
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
        status = probe_source(source, seconds=_RATE_S, timeout=_FIRST_FRAME_S)
    except SourceError as error:
        if not stop.is_set():
            yield Finding("FAIL", "source", _sentence(error))
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
