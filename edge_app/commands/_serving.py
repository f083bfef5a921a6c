"""Build what `predict` and `serve` share: the models with their engines; tell which package is missing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.errors import ConfigError, ServeError
from edge_app.system.memory import keep_freed_memory

if TYPE_CHECKING:
    from edge_app.detectors.tflite import TfliteDetector
    from edge_app.serve.predictor import Found, Wish


MOST_BYTES: Final = 1_000_000_000
"""Largest picture of one's own, which may be larger than those of strangers; a larger file is not read at all."""
_MOST_PIXELS: Final = 400_000_000
_AHEAD: Final = 2
"""Pictures under way for each engine."""
_TOKEN: Final = "EDGE_APP_TOKEN"
_AT_ONCE: Final = 4
"""Requests at a time to a service."""


@dataclass(frozen=True, slots=True)
class Eye:
    """What looks at pictures. submit: takes the bytes of one. ahead: pictures that may be under way.

    model_sha256: of the detector that looks.
    """

    submit: Callable[[bytes], Future[Found]]
    ahead: int
    model_sha256: str


def local_eye(wish: Wish, stack: ExitStack) -> Eye:
    """Return an eye in this process, with an engine a core. wish.model: a file. Raises DetectorError."""
    from edge_app.serve.engines import Engines
    from edge_app.serve.pictures import PictureLimits
    from edge_app.serve.predictor import Predictor

    keep_freed_memory()
    threads = os.cpu_count() or 1
    detectors = build_detectors([Path(wish.model)] if wish.model else [], threads)
    engines = Engines(threads, 2 * _AHEAD * threads)
    stack.callback(engines.close)
    predictor = Predictor(detectors, engines, PictureLimits(MOST_BYTES, _MOST_PIXELS))
    (detector,) = detectors.values()
    ask = replace(wish, model="")
    return Eye(lambda content: predictor.submit("predict", content, ask), _AHEAD * threads, detector.manifest.sha256)


def remote_eye(url: str, wish: Wish, stack: ExitStack) -> Eye:
    """Return an eye of a service. wish.model: a name that it has. Raises ServeError, RefusalError."""
    from edge_app.http.problems import RefusalError
    from edge_app.serve.client import Client
    from edge_app.serve.predictor import Found

    client = stack.enter_context(Client(url, os.environ.get(_TOKEN, "")))
    try:
        models = {model.name: model.sha256 for model in client.models()}
    except RefusalError as refused:
        if refused.status != HTTPStatus.UNAUTHORIZED:
            raise
        why = "is not known to the service" if os.environ.get(_TOKEN) else "is empty, and the service needs a token"
        raise ConfigError(
            f"--url {url}: the environment variable {_TOKEN} {why}; put one of its tokens there"
        ) from None
    if not models:
        raise ServeError(f"the service at {url} has no model")
    if wish.model and wish.model not in models:
        raise ConfigError(f"--model {wish.model}: the service has {', '.join(models)}")
    pool = stack.enter_context(ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="request"))

    def ask(content: bytes) -> Found:
        prediction = client.predict(content, model=wish.model, confidence=wish.confidence)
        return Found(
            prediction, client.draw(content, model=wish.model, confidence=wish.confidence) if wish.draw else None
        )

    sha256 = models[wish.model] if wish.model else next(iter(models.values()))
    return Eye(lambda content: pool.submit(ask, content), _AHEAD * _AT_ONCE, sha256)


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
    from edge_app.assembly.counter import build_detector
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
        for engine in detector.engines:
            if not engine.loaded:  # now, where it can be told, and not at the first picture
                engine.load()
        detectors[detector.manifest.name] = detector
    return detectors
