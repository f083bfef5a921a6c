"""Encode payloads as JSON: equal values always give equal text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import BaseModel

from edge_app.mqtt.identity import Device, interval_id
from edge_app.mqtt.messages import CountsMessage, State, Status
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


def encode_counts(device: Device, closed: ClosedInterval) -> str:
    """Return the counts message without `late`, which is decided only when the interval is first sent."""
    counts = closed.counts
    if closed.names:
        device = replace(device, site=closed.names[0], device=closed.names[1])
    message = CountsMessage.model_validate(
        {
            "id": interval_id(
                device, counts.line, counts.start, counts.interval_s, closed.installation, closed.boot_id
            ),
            "site": device.site,
            "device": device.device,
            "line": counts.line,
            "start": rfc3339(counts.start),
            "end": rfc3339(counts.end),
            "interval_s": counts.interval_s,
            "installation": closed.installation,
            "counts": counts.counts,
            "totals": closed.totals,
            "seq": closed.seq,
            "boot_id": closed.boot_id,
            "coverage": round(counts.coverage, 4),
            "frames": counts.frames,
            "dropped": counts.dropped,
            "quality": counts.quality,
            "late": False,
            "model": counts.model or device.model[:12],
            "config": counts.config or device.config[:12],
        }
    )
    return message.model_dump_json(by_alias=True, exclude={"late"})
