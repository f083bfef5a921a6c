"""Figures of the city side for Prometheus; names and units as those of a device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_app.city.pace import State

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the exposition format."""


@dataclass(frozen=True, slots=True)
class OfficeFigures:
    """State of the office. running: its process, and without a problem. orders: that wait for it.

    rollouts: by kind and state. stops: of roll-outs by the rule, so far. asking: roll-outs that the rule has paused, so
    that a person decides. stuck: devices at which a person must look.
    """

    running: bool
    problem: bool
    orders: int
    rollouts: Mapping[tuple[str, str], int]
    stops: int
    asking: int
    stuck: int


@dataclass(frozen=True, slots=True)
class Figures:
    """State of a city. sites, devices: number by state. waiting: quarters to add up. newest: UTC s, 0 for never.

    Each state and kind is there, of those that nothing has with 0: an alert that looks for a rise must not miss the
    first one.

    missing, lost: numbers of intervals, missing by state. gaps: ranges of them by state. stuck_gaps: that do not come
    though they were asked for again and again. contradictions: by kind. aside: messages. archive: files by state.
    overdue: days that should be there by now. drifting: devices by kind of drift. office: what only an office has.
    done, worker: of the worker in this process.
    """

    version: str
    sites: Mapping[str, int]
    devices: Mapping[str, int]
    missing: Mapping[str, int]
    lost: int
    gaps: Mapping[str, int]
    stuck_gaps: int
    contradictions: Mapping[str, int]
    aside: int
    waiting: int
    newest: int
    archive: Mapping[str, int]
    overdue: int
    drifting: Mapping[str, int]
    office: OfficeFigures
    done: Mapping[str, int]
    worker: State


def metrics_text(figures: Figures) -> bytes:
    """Return all figures as text of the type KIND."""
    registry = CollectorRegistry()
    registry.register(_Told(figures))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """Yield each family of figures."""
        told = self._figures
        yield _gauge("build_info", "Version of the program.", {told.version: 1}, "version")
        yield _gauge("sites", "Sites by state.", told.sites, "state")
        yield _gauge("devices", "Devices by state.", told.devices, "state")
        missing = "Intervals that are missing and may still come, by what is done about it."
        yield _gauge("missing_intervals", missing, told.missing, "state")
        yield _gauge("lost_intervals", "Intervals that will never come.", {"": told.lost})
        yield _gauge("gaps", "Ranges that are missing or lost, by what is done about it.", told.gaps, "state")
        stuck = "Ranges that do not come though their devices are here and were asked again and again for hours."
        yield _gauge("stuck_gaps", stuck, {"": told.stuck_gaps})
        yield _gauge("contradictions", "What did not fit together so far, by kind.", told.contradictions, "kind")
        yield _gauge("aside_messages", "Messages that no device sends, kept aside so far.", {"": told.aside})
        yield _gauge("waiting_quarters", "Quarters of an hour that wait to be added up.", {"": told.waiting})
        yield _gauge("archive_files", "Files of the archive by state.", told.archive, "state")
        yield _gauge("archive_overdue_days", "Days that should be in the archive by now.", {"": told.overdue})
        yield _gauge("drifting_devices", "Devices that are here and tell a drift, by its kind.", told.drifting, "kind")
        yield from _office(told.office)
        heard = {"": told.newest} if told.newest else {}  # a new city has nothing to be silent yet
        yield _gauge("newest_message_timestamp_seconds", "When a device was heard last.", heard)
        behind = "Age of the newest intervals that come to the worker of this process."
        yield _gauge("worker_behind_seconds", behind, {"": told.worker.behind_s})
        silent = "Since the last message to the worker of this process, while it is connected."
        yield _gauge("worker_silent_seconds", silent, {"": told.worker.silent_s})
        done = CounterMetricFamily("edge_app_city_ingest", "What the worker of this process has done.", labels=["what"])
        for what, many in sorted(told.done.items()):
            done.add_metric([what], many)
        yield done


def _office(told: OfficeFigures) -> Iterator[Metric]:
    yield _gauge("office_running", "1 while a process with the signing key runs.", {"": told.running})
    yield _gauge("office_problem", "1 while it runs and cannot do its work.", {"": told.problem})
    yield _gauge("orders_waiting", "Orders of the page that nobody has taken yet.", {"": told.orders})
    family = GaugeMetricFamily("edge_app_city_rollouts", "Roll-outs by kind and state.", labels=["kind", "state"])
    for labels, many in sorted(told.rollouts.items()):
        family.add_metric(labels, many)
    yield family
    yield _gauge("rollout_stops", "Roll-outs that the rule has stopped so far.", {"": told.stops})
    yield _gauge("rollouts_asking", "Roll-outs that the rule has paused: a person decides.", {"": told.asking})
    yield _gauge("rollout_devices_stuck", "Devices of roll-outs at which a person must look.", {"": told.stuck})


def _gauge(name: str, what: str, values: Mapping[str, float], label: str = "") -> Metric:
    family = GaugeMetricFamily(f"edge_app_city_{name}", what, labels=[label] if label else [])
    for key, value in sorted(values.items()):
        family.add_metric([key] if label else [], value)
    return family
