"""Build what counts: lines, source, detector, tracker and line counters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edge_app.config.model import Config
from edge_app.counting.motion import Motion
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.second_look import SecondLook
from edge_app.counting.tracker import Tracker, TrackerSettings
from edge_app.detectors.manifest import Manifest, default_model, refuse_unproven
from edge_app.detectors.manifest import load as load_manifest
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import ConfigError, DetectorError
from edge_app.preview.main_stream import MainStream
from edge_app.records import Line
from edge_app.sources import Source, open_source
from edge_app.sources.masks import mask_source
from edge_app.sources.recording import Recording
from edge_app.sources.recording_series import RecordingSeries


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
    """Refuse a configuration that names detectors that could not count, or are not here. Raises ConfigError."""
    d = config.detector
    try:
        if d.fetched is not None:
            refuse_unproven(load_manifest(_named(config, "fetched", d.fetched))[0], allowed=d.allow_unproven)
        if d.shadow_sha256:
            load_manifest(_named(config, "shadow", d.shadow_sha256))
    except DetectorError as error:
        raise ConfigError(f"{error}; nothing else of this configuration is used, neither lines nor masks") from error


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
        "(`edge-app fleet fetch`), which has it used by itself, or leave the key out"
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
