"""Build what `predict` and `serve` share: the models with their engines; tell which package is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.detectors.tflite import TfliteDetector


@contextmanager
def serve_extra(command: str) -> Iterator[None]:
    """Turn the absence of a package of the extra `serve` into a ConfigError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("edge_app", "models"):
            raise
        raise ConfigError(
            f"`edge-app {command}` needs the package {error.name}: pip install 'edge-app[serve]'"
        ) from error


def build_detectors(models: Sequence[Path], threads: int) -> dict[str, TfliteDetector]:
    """Load the models, each with an engine a thread, and return them by name, the default first.

    models: .tflite files; none for the production model. Raises DetectorError, and ConfigError for one name twice.
    """
    from edge_app.app import build_detector
    from edge_app.config.model import Config
    from edge_app.serve.answers import LEAST_CONFIDENCE

    detectors: dict[str, TfliteDetector] = {}
    for model in models or (None,):
        config = Config()
        wanted = {"model": model, "threads": threads, "weak_score": LEAST_CONFIDENCE}
        config = config.model_copy(update={"detector": config.detector.model_copy(update=wanted)})
        detector = build_detector(config)
        if detector.manifest.name in detectors:
            raise ConfigError(f'two models are called "{detector.manifest.name}": give each once')
        detectors[detector.manifest.name] = detector
    return detectors
