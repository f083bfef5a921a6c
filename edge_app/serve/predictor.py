"""Find the vehicles of a picture with the detector of a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus

from edge_app.detectors.tflite import TfliteDetector
from edge_app.http.problems import RefusalError
from edge_app.records import VEHICLES
from edge_app.serve.answers import Milliseconds, ModelAnswer, Prediction, boxes_of, model_answer
from edge_app.serve.drawn import drawn
from edge_app.serve.engines import Engines
from edge_app.serve.pictures import PictureLimits, decode


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked about a picture. model: its name; "" for the default. confidence: lowest score of a box, 0..1.

    draw: whether the picture with its boxes drawn is wanted too.
    """

    model: str = ""
    confidence: float = 0.0
    draw: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A prediction, and the picture with its boxes as JPEG where it was asked for."""

    prediction: Prediction
    jpeg: bytes | None = None


class Predictor:
    """Models with an engine for each thread of a pool.

    detectors: by name, the default first; each has as many engines as the pool has threads.
    """

    def __init__(self, detectors: Mapping[str, TfliteDetector], engines: Engines, limits: PictureLimits) -> None:
        self._detectors, self._engines, self._limits = detectors, engines, limits
        self._default = next(iter(detectors))

    @property
    def models(self) -> tuple[ModelAnswer, ...]:
        """The models, the default first."""
        return tuple(
            model_answer(
                detector.manifest,
                [label for label in detector.manifest.labels if label in VEHICLES],
                default=name == self._default,
            )
            for name, detector in self._detectors.items()
        )

    def submit(self, client: str, content: bytes, wish: Wish) -> Future[Found]:
        """Have a picture looked at by the next free engine; decoding is part of its work.

        client: whoever asks, for turns. content: bytes of a JPEG, PNG, WebP or BMP.
        Raises RefusalError: for an unknown model or a full queue; the future raises it for what is no picture.
        """
        name = wish.model or self._default
        detector = self._detectors.get(name)
        if detector is None:
            known = ", ".join(self._detectors)
            raise RefusalError(HTTPStatus.NOT_FOUND, f'there is no model "{name[:80]}": ask for one of {known}')
        asked = time.perf_counter()
        return self._engines.submit(client, self._work(detector, content, wish, asked))

    def _work(self, detector: TfliteDetector, content: bytes, wish: Wish, asked: float) -> Callable[[int], Found]:
        def work(number: int) -> Found:
            began = time.perf_counter()
            image = decode(content, self._limits)
            decoded = time.perf_counter()
            picture = detector.prepare(image)
            detections = detector.decode(picture, detector.engines[number].infer(picture))
            height, width = image.shape[:2]
            boxes = boxes_of(detections, width, height, wish.confidence)
            now = time.perf_counter()
            prediction = Prediction(
                model=detector.manifest.name,
                model_sha256=detector.manifest.sha256,
                width=width,
                height=height,
                boxes=boxes,
                ms=_milliseconds(asked, began, decoded, now),
            )
            return Found(prediction, drawn(image, boxes) if wish.draw else None)

        return work


def _milliseconds(asked: float, began: float, decoded: float, now: float) -> Milliseconds:
    ms = [round(1000 * seconds, 2) for seconds in (began - asked, decoded - began, now - decoded, now - asked)]
    return Milliseconds(waiting=ms[0], decoding=ms[1], detecting=ms[2], total=ms[3])
