"""A service of the detector in this process, on a free port, with everything real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from edge_app.detectors.tflite import TfliteDetector
from edge_app.serve.access import Access, Client
from edge_app.serve.answers import LEAST_CONFIDENCE
from edge_app.serve.api import Service, build_api
from edge_app.serve.bodies import Budget
from edge_app.serve.engines import Engines
from edge_app.serve.metrics import Metrics
from edge_app.serve.pictures import PictureLimits
from edge_app.serve.predictor import Predictor
from edge_app.serve.server import Server


@dataclass(frozen=True, slots=True)
class Serving:
    """A running service. http: a plain client of it."""

    port: int
    http: httpx.Client
    engines: Engines


@contextmanager
def serving(
    *,
    tokens: Mapping[str, Client] | None = None,
    origins: tuple[str, ...] = (),
    queue: int = 16,
    most_bytes: int = 4_000_000,
    budget: int = 40_000_000,
    body_s: float = 30.0,
    connections: int = 50,
    head_s: float = 10.0,
) -> Iterator[Serving]:
    """Serve the production model with one engine within the context."""
    with ExitStack() as stack:
        detector = TfliteDetector(score=LEAST_CONFIDENCE)
        engines = Engines(1, queue)
        stack.callback(engines.close)
        service = Service(
            predictor=Predictor({detector.manifest.name: detector}, engines, PictureLimits(most_bytes)),
            engines=engines,
            access=Access(tokens, origins),
            metrics=Metrics(lambda: engines.waiting),
            budget=Budget(budget),
            most_bytes=most_bytes,
            body_s=body_s,
        )
        server = Server(build_api(service), "127.0.0.1", 0, connections=connections, head_s=head_s)
        stack.enter_context(server)
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60))
        yield Serving(server.port, http, engines)
