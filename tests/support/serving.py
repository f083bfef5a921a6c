"""A service of the detector in this process, on a free port, with everything real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import httpx

from edge_app.commands._options import load_config
from edge_app.detectors.tflite import TfliteDetector
from edge_app.http.server import Server
from edge_app.serve import counting
from edge_app.serve.access import Access, Client
from edge_app.serve.answers import LEAST_CONFIDENCE
from edge_app.serve.api import Service, build_api
from edge_app.serve.bodies import BodyLimits, Budget
from edge_app.serve.counting import Counting
from edge_app.serve.engines import Engines
from edge_app.serve.jobs import Jobs
from edge_app.serve.leash import ClipLimits
from edge_app.serve.metrics import Metrics
from edge_app.serve.pictures import PictureLimits
from edge_app.serve.predictor import Predictor
from edge_app.serve.uploads import Clips
from tests.support.plain_http import plain_client


@dataclass(frozen=True, slots=True)
class Serving:
    """A running service. http: a plain client of it."""

    port: int
    http: httpx.Client
    engines: Engines
    clips: Clips | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


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
    folder: Path | None = None,
    instance: str = "",
) -> Iterator[Serving]:
    """Serve the production model with one engine within the context. folder: of the jobs, None for no jobs."""
    with ExitStack() as stack:
        # Beside other tests on the same cores a count of a lower priority would get nothing for minutes.
        stack.enter_context(patch.object(counting, "_NICE", 0))
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
            clips=_clips(folder, instance, detector, stack) if folder else None,
        )
        server = Server(build_api(service), "127.0.0.1", 0, connections=connections, head_s=head_s)
        stack.enter_context(server)
        http = stack.enter_context(plain_client(server.port))
        yield Serving(server.port, http, engines, service.clips)


def _clips(folder: Path, instance: str, detector: TfliteDetector, stack: ExitStack) -> Clips:
    jobs, name = Jobs(folder, keep_s=3600.0, instance=instance), detector.manifest.name
    models, limits = {name: detector.path}, ClipLimits(2_000_000, minutes=1, rate=120)
    counting = Counting(jobs, models, at_once=1, each=2, room=8, longest_s=100.0, limits=limits)
    stack.callback(counting.close)
    return Clips(jobs, counting, BodyLimits(20_000_000, 30.0), [name], lambda lines: load_config(None, lines))
