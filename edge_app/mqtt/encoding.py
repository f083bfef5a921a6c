"""Encode payloads as JSON: equal values always give equal text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel

from edge_app.mqtt.identity import Device, interval_id
from edge_app.mqtt.messages import CountsMessage, State, Status
from edge_app.system.clock import rfc3339

if TYPE_CHECKING:
    from edge_app.storage.sqlite import ClosedInterval


def encode(payload: BaseModel) -> str:
    """Return the payload as JSON with its keys in the order of the model's fields."""
    return payload.model_dump_json(by_alias=True)


def encode_status(device: Device, state: State, at: float) -> str:
    """Return the status message. at: UTC s."""
    fields = {"state": state, "at": rfc3339(at), "boot_id": device.boot_id, "version": device.version}
    return encode(Status.model_validate(fields))


def encode_counts(device: Device, closed: ClosedInterval) -> str:
    """Return the counts message without `late`, which is decided only when the interval is first sent."""
    counts = closed.counts
    message = CountsMessage.model_validate(
        {
            "id": interval_id(device, counts.line, counts.start),
            "site": device.site,
            "device": device.device,
            "line": counts.line,
            "start": rfc3339(counts.start),
            "end": rfc3339(counts.end),
            "interval_s": counts.interval_s,
            "counts": counts.counts,
            "totals": closed.totals,
            "seq": closed.seq,
            "boot_id": closed.boot_id,
            "coverage": round(counts.coverage, 4),
            "frames": counts.frames,
            "dropped": counts.dropped,
            "quality": counts.quality,
            "late": False,
            "model": device.model[:12],
            "config": device.config[:12],
        }
    )
    return message.model_dump_json(by_alias=True, exclude={"late"})


def with_late(payload: str, late: bool) -> str:
    """Return the final counts message: a payload from `encode_counts` with `late` added."""
    return json.dumps(json.loads(payload) | {"late": late}, separators=(",", ":"), ensure_ascii=False)
