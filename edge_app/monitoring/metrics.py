"""Give the figures of `health`, and more, as Prometheus metrics. The only file that imports prometheus_client.

Names follow prometheus.io/docs/practices/naming: base units, `_total` for counters. Label values are lines, directions,
classes, flags, states and stages, so the configuration fixes the number of series. Counters start at 0 with the process
unless their help says otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from edge_app.counting.stage_times import BOUNDS_S
from edge_app.drift.signals import Kind
from edge_app.errors import ConfigError
from edge_app.monitoring.certificate import ends_at
from edge_app.monitoring.health_report import Components
from edge_app.monitoring.measures import below, leaf, mean_speeds
from edge_app.mqtt.identity import Device
from edge_app.records import DIRECTIONS, FLOWS, Quality, Sums
from edge_app.sources import State
from edge_app.system.readings import readings

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the exposition format."""
_MB = 1e6


def exposition(
    device: Callable[[], Device], components: Components, lines: Sequence[str], classes: Collection[str]
) -> Callable[[], bytes]:
    """Return a function that gives all present metrics as text of the type KIND.

    device: returns its identity at this moment. lines: ids of the counting lines. classes: counted classes.
    Any thread may call the function, but only one at a time.
    """
    registry = CollectorRegistry()
    registry.register(_MetricsCollector(device, components, lines, classes))
    ProcessCollector(registry=registry)  # process_resident_memory_bytes, process_cpu_seconds_total ...
    return lambda: generate_latest(registry)


class _MetricsCollector(Collector):
    def __init__(
        self,
        device: Callable[[], Device],
        components: Components,
        lines: Sequence[str],
        classes: Collection[str],
    ) -> None:
        self._device, self._components = device, components
        self._flows = [(line, direction, label) for line in lines for direction in DIRECTIONS for label in classes]

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that the registry does not call `collect` before the components are ready."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics with their present values."""
        yield InfoMetricFamily("edge_app_build", "Names of the device and versions that it runs.", value=self._build())
        yield from self._camera()
        yield from self._crossings()
        yield from self._figures()
        yield from self._reviews()
        yield from self._shadow()
        yield from self._storage()
        yield from self._delivery()
        yield from self._board()

    def _build(self) -> dict[str, str]:
        d = self._device()
        return {
            "site": d.site,
            "device": d.device,
            "version": d.version,
            "model": d.model[:12],
            "config": d.config[:12],
        }

    def _camera(self) -> Iterator[Metric]:
        service, status = self._components.service, self._components.source.status
        age = service.heart.age("frame")
        last = time.time() - age if math.isfinite(age) else 0.0
        yield _counter("frames_processed", "Frames that were processed.", service.frames)
        yield _counter("frames_still", "Processed frames in which nothing moved: no inference.", service.frames_still)
        yield _counter("frames_dropped", "Frames that were replaced by newer ones unprocessed.", service.dropped)
        yield _gauge("last_frame_timestamp_seconds", "UTC time of the last processed frame, 0 before any.", last)
        yield _state_set(
            "camera_state",
            "1 for the camera's present state.",
            "state",
            get_args(State),
            [status.state],
        )
        yield _counter("camera_reconnects", "Times the camera was opened again.", status.reconnects)
        yield _counter("camera_repeated_frames", "Frames identical to their predecessor.", status.repeated)
        yield _state_set(
            "quality", "1 for each raised quality flag.", "flag", get_args(Quality), self._components.raised
        )
        yield _state_set("drift", "1 for each change over weeks.", "kind", get_args(Kind), self._drifted())
        yield self._stages()

    def _drifted(self) -> Collection[str]:
        return self._components.drift.state.kinds if self._components.drift else ()

    def _figures(self) -> Iterator[Metric]:
        """Yield the figures of the newest quarter of an hour; what has none of them is absent."""
        figures = self._components.figures.newest if self._components.figures else None
        if figures is None:
            return
        for name, text, part in (
            ("program", "Of the program in the newest quarter of an hour.", figures.software),
            ("picture", "Of the camera's picture in the newest quarter of an hour.", figures.input),
            ("detector", "Of detector and tracker in the newest quarter of an hour.", figures.output),
        ):
            family = GaugeMetricFamily(f"edge_app_{name}_figure", text, labels=["figure"])
            for figure, value in (part.model_dump() if part else {}).items():
                if isinstance(value, int | float):
                    family.add_metric([figure], value)
            yield family

    def _reviews(self) -> Iterator[Metric]:
        if self._components.review is not None:
            dropped = self._components.publisher.reviews_dropped
            yield _counter("reviews_taken", "Pictures that were drawn for a review.", self._components.review.taken)
            yield _counter("reviews_dropped", "Of them, those that the broker has not had.", dropped)

    def _stages(self) -> Metric:
        family = HistogramMetricFamily(
            "edge_app_stage_seconds",
            "Time for a frame: motion, detect (inference and what belongs to it), track, count, latency (all).",
            labels=["stage"],
        )
        for stage, spent in self._components.pipeline.times.histograms().items():
            buckets = [(f"{bound:g}", n) for bound, n in zip(BOUNDS_S, spent.cumulative, strict=False)]
            family.add_metric([stage], [*buckets, ("+Inf", spent.cumulative[-1])], spent.seconds)
        return family

    def _crossings(self) -> Iterator[Metric]:
        totals = self._components.service.totals
        vehicles = CounterMetricFamily(
            "edge_app_vehicles", "Vehicles that crossed a line.", labels=["line", "direction", "class"]
        )
        for line, direction, label in self._flows:
            vehicles.add_metric([line, direction, label], totals.count(line, label, direction))
        yield vehicles
        yield _flows_of(self._components.service.flows)
        duplicates = self._components.pipeline.duplicates
        yield _counter("duplicate_crossings", "Second tracks on a just counted vehicle, left out.", duplicates)

    def _shadow(self) -> Iterator[Metric]:
        shadow = self._components.shadow.health if self._components.shadow else None
        if shadow is None:
            return
        intervals = CounterMetricFamily(
            "edge_app_shadow_intervals", "Intervals of the candidate that counts beside.", labels=["outcome"]
        )
        intervals.add_metric(["compared"], shadow.compared)
        intervals.add_metric(["given_up"], shadow.given_up)
        vehicles = CounterMetricFamily(
            "edge_app_shadow_vehicles",
            "Vehicles that each detector counted in compared intervals.",
            labels=["detector"],
        )
        vehicles.add_metric(["candidate"], shadow.vehicles)
        vehicles.add_metric(["in_service"], shadow.in_service_vehicles)
        yield intervals
        yield vehicles

    def _storage(self) -> Iterator[Metric]:
        ledger = self._components.ledger
        coverage = GaugeMetricFamily(
            "edge_app_interval_coverage_ratio",
            "Share of the last closed interval during which frames were processed.",
            labels=["line"],
        )
        speed = GaugeMetricFamily(
            "edge_app_interval_speed_meters_per_second",
            "Mean speed at the line in the last closed interval; absent where no vehicle was measured.",
            labels=["line", "direction"],
        )
        for line, interval in ledger.newest.items():
            if line != FLOWS:
                coverage.add_metric([line], interval.coverage)
            for direction, kmh in mean_speeds(interval):
                speed.add_metric([line, direction], kmh / 3.6)
        yield coverage
        yield speed
        fault = bool(ledger.problem or self._components.publisher.store_problem)
        yield _gauge("storage_fault", "1 while the state folder cannot be used.", fault)
        yield _counter("storage_damaged", "Times a damaged or missing database was replaced.", len(ledger.warnings))
        yield _gauge("unstored_crossings", "Crossings in memory that are not on disk yet.", ledger.unstored)
        yield _counter("moved_crossings", "Crossings too late for their own interval.", ledger.late_crossings)
        yield _counter("intervals_skipped", "Missed intervals that were too many to be made up.", ledger.skipped)
        yield _counter("intervals_dropped", "Unsent intervals lost since the state folder was made.", ledger.dropped)
        yield _gauge("clock_behind_seconds", "Lag of the clock behind the newest closed interval.", ledger.behind_s)

    def _delivery(self) -> Iterator[Metric]:
        publisher = self._components.publisher
        oldest = publisher.oldest_end
        age = max(0.0, time.time() - oldest) if oldest is not None else 0.0
        yield _gauge("outbox_intervals", "Closed intervals without the broker's acknowledgement.", publisher.unsent)
        yield _gauge("outbox_oldest_age_seconds", "Time since the end of the oldest of them; 0 without any.", age)
        yield _counter("intervals_delivered", "Intervals that the broker has acknowledged.", publisher.delivered)
        yield _gauge("broker_connected", "1 while the broker accepts the device.", publisher.connected)
        yield _counter("broker_connections", "Times the broker has accepted the device.", publisher.connections)
        yield _counter(
            "signed_commands_refused", "Commands of the office that were refused.", publisher.refused_commands
        )
        yield self._expiry()

    def _expiry(self) -> Metric:
        family = GaugeMetricFamily(
            "edge_app_certificate_expiry_timestamp_seconds",
            "End of the certificate, UTC; 0 when it cannot be read.",
            labels=["certificate"],
        )
        for name, file in self._components.certificates.items():
            try:
                family.add_metric([name], ends_at(file))
            except ConfigError:  # health reports in words that it cannot be read
                family.add_metric([name], 0.0)
        return family

    def _board(self) -> Iterator[Metric]:
        now = readings(self._components.folder)
        if now.cpu_celsius is not None:
            yield _gauge("temperature_celsius", "Hottest sensor of the processor.", now.cpu_celsius)
        if now.disk_free_mb is not None:
            yield _gauge("disk_free_bytes", "Free space on the disk of the state folder.", now.disk_free_mb * _MB)
        if now.available_mb is not None:
            yield _gauge("memory_available_bytes", "Available memory of the machine.", now.available_mb * _MB)


def _flows_of(flows: Sums) -> Metric:
    family = CounterMetricFamily(
        "edge_app_flows", "Vehicles that went through the junction, by the lines of entry and exit.", labels=_WAY
    )
    ways = below(flows, "flows")
    for origin in ways:
        for to in below(ways, origin):
            classes = below(ways, origin, to)
            for label in classes:
                family.add_metric([origin, to, label], leaf(classes, label))
    return family


_WAY = ("from", "to", "class")


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"edge_app_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"edge_app_{name}", text, value=float(value))


def _state_set(name: str, text: str, label: str, states: Sequence[str], active: Collection[str]) -> Metric:
    """Return a gauge for each state: 1 for the active ones, 0 for the others."""
    family = GaugeMetricFamily(f"edge_app_{name}", text, labels=[label])
    for state in states:
        family.add_metric([state], float(state in active))
    return family
