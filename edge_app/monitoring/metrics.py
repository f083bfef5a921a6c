"""The same figures as in `health`, and more of them, as Prometheus metrics. The only file that knows prometheus_client.

Names follow prometheus.io/docs/practices/naming: base units, `_total` for what only grows. Labels are the lines,
directions, classes, flags, states and stages there are, so their number is fixed by the configuration. Counters begin
anew with the process unless their help says otherwise.
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
from edge_app.errors import ConfigError
from edge_app.monitoring.certificate import ends_at
from edge_app.monitoring.health_report import Components
from edge_app.mqtt.identity import Device
from edge_app.records import DIRECTIONS, Quality
from edge_app.sources import State
from edge_app.system.readings import readings

KIND = "text/plain; version=0.0.4; charset=utf-8"
_MB = 1e6


def exposition(
    device: Device, components: Components, lines: Sequence[str], classes: Collection[str]
) -> Callable[[], bytes]:
    """What gives all metrics as they stand, as text of the type KIND; any thread may call it, one at a time."""
    registry = CollectorRegistry()
    registry.register(_Figures(device, components, lines, classes))
    ProcessCollector(registry=registry)  # process_resident_memory_bytes, process_cpu_seconds_total ...
    return lambda: generate_latest(registry)


class _Figures(Collector):
    def __init__(self, device: Device, components: Components, lines: Sequence[str], classes: Collection[str]) -> None:
        self._device, self._components = device, components
        self._ways = [(line, way, label) for line in lines for way in DIRECTIONS for label in classes]

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry then does not ask for all figures before there are any."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("edge_app_build", "Who this is, and what software counts.", value=self._build())
        yield from self._seen()
        yield from self._counted()
        yield from self._kept()
        yield from self._delivered()
        yield from self._board()

    def _build(self) -> dict[str, str]:
        d = self._device
        return {
            "site": d.site,
            "device": d.device,
            "version": d.version,
            "model": d.model[:12],
            "config": d.config[:12],
        }

    def _seen(self) -> Iterator[Metric]:
        service, status, quality = self._components.service, self._components.source.status, self._components.quality
        age = service.heart.age("frame")
        last = time.time() - age if math.isfinite(age) else 0.0
        yield _counter("frames_processed", "Frames that were looked at and counted.", service.frames)
        yield _counter("frames_dropped", "Frames never looked at, since newer ones were there.", service.dropped)
        yield _gauge("last_frame_timestamp_seconds", "When the last frame was counted; 0 before the first.", last)
        yield _choice(
            "camera_state", "1 for the state in which the camera is.", "state", get_args(State), [status.state]
        )
        yield _counter("camera_reconnects", "Times the camera was opened again.", status.reconnects)
        yield _counter("camera_repeated_frames", "Frames identical to the one before.", status.repeated)
        yield _choice("quality", "1 for each flag that is raised.", "flag", get_args(Quality), quality.raised)
        yield self._stages()

    def _stages(self) -> Metric:
        family = HistogramMetricFamily(
            "edge_app_stage_seconds",
            "Time for a frame: detect (inference with what belongs to it), track, count, latency (all, waits too).",
            labels=["stage"],
        )
        for stage, spent in self._components.pipeline.times.histograms().items():
            buckets = [(f"{bound:g}", n) for bound, n in zip(BOUNDS_S, spent.cumulative, strict=False)]
            family.add_metric([stage], [*buckets, ("+Inf", spent.cumulative[-1])], spent.seconds)
        return family

    def _counted(self) -> Iterator[Metric]:
        totals = self._components.service.totals
        vehicles = CounterMetricFamily(
            "edge_app_vehicles", "Vehicles that crossed a line.", labels=["line", "direction", "class"]
        )
        for line, direction, label in self._ways:
            vehicles.add_metric([line, direction, label], totals.count(line, label, direction))
        yield vehicles
        again = self._components.pipeline.duplicates
        yield _counter("duplicate_crossings", "Second tracks on a vehicle just counted, left out.", again)

    def _kept(self) -> Iterator[Metric]:
        ledger = self._components.ledger
        coverage = GaugeMetricFamily(
            "edge_app_interval_coverage_ratio",
            "Part of the last closed interval in which frames were really processed.",
            labels=["line"],
        )
        for line, interval in ledger.newest.items():
            coverage.add_metric([line], interval.coverage)
        yield coverage
        fault = bool(ledger.disk_problem or self._components.publisher.store_problem)
        yield _gauge("storage_fault", "1 while the state folder cannot be used.", fault)
        yield _counter("storage_damaged", "Times a damaged or missing database was begun anew.", len(ledger.warnings))
        yield _gauge("unstored_crossings", "Crossings in memory that are not on disk yet.", ledger.unstored)
        yield _counter("moved_crossings", "Crossings too late for their own interval.", ledger.late_crossings)
        yield _counter("intervals_skipped", "Missed intervals, too many to be made up.", ledger.skipped)
        yield _counter("intervals_dropped", "Intervals lost unsent since installation.", ledger.dropped)
        yield _gauge("clock_behind_seconds", "How far the clock is behind the newest closed interval.", ledger.behind_s)

    def _delivered(self) -> Iterator[Metric]:
        publisher = self._components.publisher
        oldest = publisher.oldest_end
        age = max(0.0, time.time() - oldest) if oldest is not None else 0.0
        yield _gauge("outbox_intervals", "Closed intervals without the broker's acknowledgement.", publisher.unsent)
        yield _gauge("outbox_oldest_age_seconds", "How long the oldest of them has waited; 0 when there is none.", age)
        yield _counter("intervals_delivered", "Intervals that the broker has acknowledged.", publisher.delivered)
        yield _gauge("broker_connected", "1 while the broker accepts us.", publisher.connected)
        yield _counter("broker_connections", "Times the broker has accepted us.", publisher.connections)
        yield self._expiry()

    def _expiry(self) -> Metric:
        family = GaugeMetricFamily(
            "edge_app_certificate_expiry_timestamp_seconds", "When it ends, UTC.", labels=["certificate"]
        )
        for name, file in self._components.certificates.items():
            try:
                family.add_metric([name], ends_at(file))
            except ConfigError:  # health says in words that it cannot be read
                family.add_metric([name], 0.0)
        return family

    def _board(self) -> Iterator[Metric]:
        now = readings(self._components.folder)
        if now.cpu_celsius is not None:
            yield _gauge("temperature_celsius", "The hottest sensor of the processor.", now.cpu_celsius)
        if now.disk_free_mb is not None:
            yield _gauge("disk_free_bytes", "On the disk of the state folder.", now.disk_free_mb * _MB)
        yield _gauge("memory_available_bytes", "Of the machine.", now.available_mb * _MB)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"edge_app_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"edge_app_{name}", text, value=float(value))


def _choice(name: str, text: str, label: str, choices: Sequence[str], chosen: Collection[str]) -> Metric:
    family = GaugeMetricFamily(f"edge_app_{name}", text, labels=[label])
    for choice in choices:
        family.add_metric([choice], float(choice in chosen))
    return family
