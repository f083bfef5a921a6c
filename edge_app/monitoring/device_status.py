"""Tell how the device is at this moment: as a record for `edge-app status`, and as one line for systemd."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Final, Literal

from pydantic import Field

from edge_app.camera_health.monitor import VIEW_FLAGS
from edge_app.monitoring.certificate import ends_at
from edge_app.monitoring.health_report import NO_CANDIDATE, HealthReport
from edge_app.monitoring.measures import mean_speeds
from edge_app.mqtt.count_messages import DirectionCounts
from edge_app.mqtt.device_messages import Health
from edge_app.mqtt.identity import Device
from edge_app.mqtt.payload import Flag, Payload
from edge_app.records import Counts, Direction, IntervalCounts, Line
from edge_app.system.names import clean
from edge_app.system.rate_meter import RateMeter
from edge_app.system.redaction import redacted

_FRESH_S: Final = 10.0
"""A device that has processed no frame for so long is not counting."""
_SEEN: Final = 0.95
"""Share of an interval that must have been seen, so that its counts can be believed."""
_DOUBTS: Final[Mapping[str, str]] = {
    "synthetic": "there is NO CAMERA: the road is rendered, and every count is invented",
    "blind": "the camera sees nothing",
    "dark": "the picture is too dark",
    "blurred": "the picture is blurred",
    "moved": "the camera has moved",
    "slow": "frames come too rarely to follow every vehicle",
}
"""Flags with which vehicles are counted wrongly or not at all, the gravest first. The clock is no reason to doubt."""
_RATE_S: Final = 5.0
_LONGEST: Final = 400


class IntervalStatus(Payload):
    """A closed interval of one line."""

    start: datetime
    end: datetime
    counts: Mapping[str, DirectionCounts]
    coverage: float
    quality: Sequence[Flag] = ()
    speed_kmh: Mapping[Direction, float] = Field(default_factory=dict, description="Means, where speeds are measured")


class LineStatus(Payload):
    """A counting line: its newest closed interval, and what was counted since the start of the program."""

    id: str
    names: Mapping[Direction, str] = Field(default_factory=dict)
    newest: IntervalStatus | None = None
    since_start: Mapping[str, DirectionCounts] = Field(default_factory=dict)


class DeviceStatus(Payload):
    """State of a running device.

    counting: fresh frames of the source are processed. why_not: one sentence where it is not. problem_code: which kind
    the problem of `health` is, as HealthReport names it. broker: its addresses. office: what of its configurations is
    in use; empty where it has sent none.
    certificates: name -> end of validity. clock_set: a time service has set the clock.
    """

    schema_id: Literal["edge-app/device-status/1"] = Field(default="edge-app/device-status/1", alias="schema")
    site: str
    device: str
    version: str
    model: str
    model_name: str
    config: str
    counting: bool
    why_not: str = ""
    problem_code: str = ""
    broker: str
    connected: bool
    clock_set: bool
    quality: Sequence[Flag] = ()
    certificates: Mapping[str, datetime] = Field(default_factory=dict)
    office: str = ""
    lines: Sequence[LineStatus]
    health: Health

    @property
    def wrong(self) -> list[str]:
        """Return what keeps the device from counting well and delivering, one sentence each, the gravest first."""
        limits = [limit for limit in self.health.limits if not limit.startswith(NO_CANDIDATE)]
        found = [*([] if self.counting else [self.why_not]), self.health.problem, *self._doubts, *limits]
        return list(dict.fromkeys(sentence for sentence in found if sentence))

    def outdated(self, config: str) -> str:
        """Return one sentence when the service counts with another configuration than the present one, "" when not.

        config: hash of the present one. Only what changes a count is in the hash.
        """
        if config.startswith(self.config):
            return ""
        return f"the service still runs {self.config}, and the file now gives {config[: len(self.config)]}: restart it"

    @property
    def _doubts(self) -> list[str]:
        """Why the counts of this moment and of the last closed intervals are not to be believed."""
        newest = [line.newest for line in self.lines if line.newest is not None]
        flags = {*self.quality, *(flag for interval in newest for flag in interval.quality)}
        # `problem` tells all faults of the view in one sentence, where it tells them.
        told = set(VIEW_FLAGS) if self.problem_code in VIEW_FLAGS else {self.problem_code}
        doubts = [f"{sentence} (flag {flag})" for flag, sentence in _DOUBTS.items() if flag in flags - told]
        # The interval in which the program started cannot be whole, and nothing is to be done about it.
        started = self.health.at - timedelta(seconds=self.health.uptime_s)
        seen = min((interval.coverage for interval in newest if interval.start >= started), default=1.0)
        unseen = f"only {int(seen * 100)} % of the last interval was seen, so vehicles are missing from its counts"
        return [*doubts, *([unseen] if seen < _SEEN else [])]


class StatusReport:
    """State of the running device, from the figures of its components.

    One thread calls `text`, any others `json`. health: a report that nothing else asks. broker: its addresses.
    interval_s: length of an interval, s.
    """

    def __init__(
        self,
        health: HealthReport,
        device: Device,
        model: str,
        broker: str,
        lines: Sequence[Line],
        interval_s: float = 60.0,
    ) -> None:
        self._health, self._device, self._model, self._broker = health, device, model, broker
        self._interval_s = interval_s
        self._lines = tuple(lines)
        self._rate = RateMeter(over_s=_RATE_S, started=time.monotonic())
        self._telling = threading.Lock()

    def change(self, device: Device, model: str) -> None:
        """Tell of another detector from now on. device: with its hashes. model: its name."""
        self._device, self._model = device, model

    def rename(self, lines: Sequence[Line]) -> None:
        """Use the names of these lines, which are otherwise the same."""
        self._lines = tuple(lines)

    def text(self) -> str:
        """Return one line on whether the device counts and delivers, without secrets.

        The judge of a new release reads the broker and the number of intervals in it (deploy/releases.sh).
        """
        components = self._health.components
        rate = self._rate.update(components.service.frames, time.monotonic())
        vehicles = sum(_sum(by_class) for by_class in components.service.totals.by_line.copy().values())
        why_not, unsent = self._why_not(), components.publisher.unsent
        counting = f"NOT counting: {why_not}" if why_not else f"counting, {rate:.1f} frames/s"
        problem = self._health.problem
        broker = "connected" if components.publisher.connected else "not connected"
        intervals = f"{sum(components.ledger.newest_seq.values())} intervals of {self._interval_s:.0f} s"
        parts = [counting, f"{vehicles} vehicles since the start", f"broker {broker}, {unsent} unsent", intervals]
        sentence = "; ".join([*parts, *([problem] if problem and problem != why_not else [])])
        # A line end from a foreign text, such as a broker's reason, would begin another setting for systemd.
        return clean(redacted(sentence))[:_LONGEST]

    def json(self) -> str:
        """Return a `DeviceStatus` as JSON, without secrets."""
        components, device = self._health.components, self._device
        with self._telling:
            told = self._health.health()
        health = told.model_copy(update={"frames_per_s": round(self._rate.value, 2)})
        why_not, newest = self._why_not(), components.ledger.newest
        status = DeviceStatus(
            site=device.site,
            device=device.device,
            version=device.version,
            model=device.model[:12],
            model_name=self._model,
            config=device.config[:12],
            counting=not why_not,
            why_not=redacted(why_not),
            problem_code=self._health.problem_code,
            broker=self._broker,
            connected=components.publisher.connected,
            clock_set=not components.quality.unsynced,
            quality=components.raised,
            certificates=self._certificates(),
            office=redacted(components.office.sentence) if components.office else "",
            lines=[self._line(line, newest.get(line.id)) for line in self._lines],
            health=health,
        )
        return status.model_dump_json(by_alias=True)

    def _why_not(self) -> str:
        """Return why no vehicle can be counted now, "" when it can."""
        source, age = self._health.components.source.status, self._health.components.service.heart.age("frame")
        if source.state != "ok" and age > 1.0:
            return source.detail or f"the source is {source.state}"
        if age > _FRESH_S:
            return "no frame was processed yet" if age == float("inf") else f"no frame was processed for {age:.0f} s"
        return ""

    def _line(self, line: Line, newest: IntervalCounts | None) -> LineStatus:
        totals = self._health.components.service.totals.by_line.get(line.id, {})
        return LineStatus(
            id=line.id,
            names=line.names,
            newest=interval_status(newest) if newest else None,
            since_start=_direction_counts(totals),
        )

    def _certificates(self) -> dict[str, datetime]:
        ends = {}
        for name, file in self._health.components.certificates.items():
            try:
                ends[name] = datetime.fromtimestamp(ends_at(file), timezone.utc)
            except ValueError:  # `problem` of the health report says so
                continue
        return ends


def interval_status(counts: IntervalCounts) -> IntervalStatus:
    """Return a closed interval as the status has it."""
    start, end = (datetime.fromtimestamp(at, timezone.utc) for at in (counts.start, counts.end))
    by_class = _direction_counts(counts.counts)
    return IntervalStatus(
        start=start,
        end=end,
        counts=by_class,
        coverage=counts.coverage,
        quality=counts.quality,
        speed_kmh={direction: round(kmh, 1) for direction, kmh in mean_speeds(counts)},
    )


def _direction_counts(counts: Counts) -> dict[str, DirectionCounts]:
    return {label: DirectionCounts.model_validate(by_direction) for label, by_direction in dict(counts).items()}


def _sum(counts: Counts) -> int:
    return sum(n for by_direction in dict(counts).values() for n in by_direction.values())
