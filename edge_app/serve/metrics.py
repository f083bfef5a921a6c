"""Figures of the service for Prometheus; names and units as those of a device."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the exposition format."""
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one service. waiting: returns the number of pictures that no engine has begun.

    Labels are routes and statuses, so their number is bounded whatever callers send.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            "edge_app_serve_answers", "Requests that were answered.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "edge_app_serve_answer_seconds",
            "Time from a request's headers to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._boxes = Counter("edge_app_serve_boxes", "Boxes that were answered.", registry=self._registry)
        self._pictures = Counter("edge_app_serve_pictures", "Pictures that were looked at.", registry=self._registry)
        gauge = Gauge("edge_app_serve_waiting", "Pictures that no engine has begun.", registry=self._registry)
        gauge.set_function(waiting)
        ProcessCollector(registry=self._registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer. route: path as the service knows it, never as it was asked for."""
        self._answers.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def predicted(self, boxes: int) -> None:
        """Count a picture that was looked at, and its boxes."""
        self._pictures.inc()
        self._boxes.inc(boxes)

    def text(self) -> bytes:
        """Return all figures as text of the type KIND."""
        return generate_latest(self._registry)
