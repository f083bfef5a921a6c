"""Encode payloads as JSON: the same facts always give the same text."""

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
    """JSON in the order of the model's fields: equal payloads are equal texts."""
    return payload.model_dump_json(by_alias=True)


def encode_status(device: Device, state: State, at: float) -> str:
    facts = {"state": state, "at": rfc3339(at), "boot_id": device.boot_id, "version": device.version}
    return encode(Status.model_validate(facts))


def encode_counts(device: Device, closed: ClosedInterval) -> str:
    """The payload of one interval without `late`, which is not known before it is first offered to the broker."""
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
    """The payload that goes out: `encode_counts` and the flag. The same two always give the same text."""
    return json.dumps(json.loads(payload) | {"late": late}, separators=(",", ":"), ensure_ascii=False)
