"""Encode payloads as JSON: equal values always give equal text."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from edge_app.mqtt.count_messages import CountsMessage, CrossingMessage, FlowsMessage, ReviewMessage, ShadowMessage
from edge_app.mqtt.device_messages import State, Status
from edge_app.mqtt.identity import Device, interval_id
from edge_app.records import FLOWS, Counts, Crossing, Sums
from edge_app.storage.archive import with_late as with_late
from edge_app.system.clock import rfc3339

if TYPE_CHECKING:
    from edge_app.storage.outbox import ClosedInterval


def encode(payload: BaseModel) -> str:
    """Return the payload as JSON with its keys in the order of the model's fields."""
    return payload.model_dump_json(by_alias=True)


def encode_status(device: Device, state: State, at: float, installation: str = "") -> str:
    """Return the status message. at: UTC s."""
    fields = {
        "state": state,
        "at": rfc3339(at),
        "boot_id": device.boot_id,
        "version": device.version,
        "installation": installation,
    }
    return encode(Status.model_validate(fields))


def encode_crossing(
    device: Device, crossing: Crossing, speed: tuple[float, float] | None, lane: int | None
) -> tuple[str, str]:
    """Return topic and message of a crossing. speed: km/h, with its standard deviation; None where it is not known."""
    fields = {
        "site": device.site,
        "device": device.device,
        "line": crossing.line,
        "at": rfc3339(round(crossing.at, 3)),
        "class": crossing.label,
        "direction": crossing.direction,
        "score": round(crossing.score, 3),
        "speed_kmh": None if speed is None else round(speed[0], 1),
        "speed_error_kmh": None if speed is None else round(speed[1], 1),
        "lane": None if lane is None else str(lane),
    }
    return f"{device.prefix}/crossings/{crossing.line}", encode(CrossingMessage.model_validate(fields))


@dataclass(frozen=True, slots=True)
class ComparedCounts:
    """What a candidate and the detector in service counted on a line in one interval.

    start, end: UTC s. interval_s: configured length, s. seq: number of the comparison on its line. frames: that both
    have seen. model, config: of the candidate, SHA-256.
    """

    line: str
    start: float
    end: float
    interval_s: float
    seq: int
    frames: int
    model: str
    config: str
    candidate: Counts
    in_service: Counts


def encode_shadow(device: Device, compared: ComparedCounts, installation: str) -> tuple[str, str]:
    """Return topic and message of a comparison."""
    where = (compared.line, compared.start, compared.interval_s, installation, f"{device.boot_id}/{compared.model}")
    fields = {
        "id": interval_id(device, *where),
        "site": device.site,
        "device": device.device,
        "line": compared.line,
        "start": rfc3339(compared.start),
        "end": rfc3339(compared.end),
        "interval_s": compared.interval_s,
        "installation": installation,
        "seq": compared.seq,
        "frames": compared.frames,
        "model": compared.model[:12],
        "config": compared.config[:12],
        "counts": compared.candidate,
        "in_service": {"model": device.model[:12], "config": device.config[:12], "counts": compared.in_service},
    }
    return f"{device.prefix}/shadow/{compared.line}", encode(ShadowMessage.model_validate(fields))


@dataclass(frozen=True, slots=True)
class Picture:
    """Picture of a crossing. jpeg: its bytes. box: of the vehicle in it, px. stands_for: crossings it was drawn of."""

    jpeg: bytes
    box: tuple[int, int, int, int]
    stands_for: int


def encode_review(device: Device, crossing: Crossing, picture: Picture, identifier: str) -> tuple[str, str]:
    """Return topic and message of a picture for a review. identifier: 32 hexadecimal digits, of this picture alone."""
    fields = {
        "id": identifier,
        "site": device.site,
        "device": device.device,
        "line": crossing.line,
        "at": rfc3339(round(crossing.at, 3)),
        "class": crossing.label,
        "direction": crossing.direction,
        "score": round(crossing.score, 3),
        "doubtful": crossing.doubtful,
        "stands_for": picture.stands_for,
        "model": device.model[:12],
        "box": picture.box,
        "picture": base64.b64encode(picture.jpeg).decode(),
    }
    return f"{device.prefix}/reviews/{crossing.line}", encode(ReviewMessage.model_validate(fields))


def encode_counts(device: Device, closed: ClosedInterval) -> str:
    """Return the counts message, or that of flows, without `late`, which is decided when the interval is first sent."""
    counts = closed.counts
    if closed.names:
        device = replace(device, site=closed.names[0], device=closed.names[1])
    fields: dict[str, Any] = {
        "id": interval_id(device, counts.line, counts.start, counts.interval_s, closed.installation, closed.boot_id),
        "site": device.site,
        "device": device.device,
        "line": counts.line,
        "start": rfc3339(counts.start),
        "end": rfc3339(counts.end),
        "interval_s": counts.interval_s,
        "installation": closed.installation,
        "seq": closed.seq,
        "boot_id": closed.boot_id,
        "coverage": round(counts.coverage, 4),
        "frames": counts.frames,
        "dropped": counts.dropped,
        "quality": counts.quality,
        "late": False,
        "model": counts.model or device.model[:12],
        "config": counts.config or device.config[:12],
        **_rounded(counts.measures),
    }
    message: CountsMessage | FlowsMessage
    if counts.line == FLOWS:
        message = FlowsMessage.model_validate(fields)
    else:
        fields |= {"counts": counts.counts, "totals": closed.totals}
        if "speed" in counts.measures:
            fields["speed"] = _with_unmeasured(counts.counts, fields["speed"])
        message = CountsMessage.model_validate(fields)
    return message.model_dump_json(by_alias=True, exclude={"late"})


_DIGITS: Final = {"sum_inverse": 6}
"""Decimal places of a sum; of others two."""


def _rounded(sums: Sums) -> dict[str, Any]:
    return {
        name: _rounded(value) if isinstance(value, Mapping) else round(value, _DIGITS.get(name, 2))
        for name, value in sums.items()
    }


def _with_unmeasured(counts: Counts, speed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sums of speeds of all that was counted: who has no speed is unmeasured, for whatever reason."""
    found: dict[str, dict[str, Any]] = {}
    for label, directions in counts.items():
        for direction, counted in directions.items():
            sums = {**_NO_SPEED, **speed.get(label, {}).get(direction, {})}
            if counted:
                found.setdefault(label, {})[direction] = {**sums, "unmeasured": counted - sums["n"]}
    return found


_NO_SPEED: Final = {"n": 0, "sum": 0.0, "sum_inverse": 0.0, "bins": {}}
