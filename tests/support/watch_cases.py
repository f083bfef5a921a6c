"""Share helpers of the tests of `edge-app watch`: a device's messages, a table that received them, screens as text."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any

from rich.console import Console, RenderableType

from edge_app.console.device_table import DeviceTable
from edge_app.mqtt import encoding
from edge_app.mqtt.device_messages import Health, LineMeta, Meta, SourceHealth, State
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.records import Counts, IntervalCounts
from edge_app.storage.outbox import ClosedInterval

PREFIX = "traffic/v1"
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc).timestamp()
CLASSES = ("car", "motorcycle", "bus", "truck")
DEVICE = Device("delft", "cam-1", "boot", "0.1.0")


def at(seconds: float) -> datetime:
    """Return the time so many seconds after noon."""
    return datetime.fromtimestamp(NOON + seconds, timezone.utc)


def counts(
    seq: int,
    cars: int = 2,
    *,
    device: Device = DEVICE,
    line: str = "north",
    observed_s: float = 60.0,
    late: bool = False,
) -> Message:
    """Return the message of an interval as the publisher sends it, `cars` from left to right."""
    figures: Counts = {label: {"left_to_right": cars if label == "car" else 0, "right_to_left": 0} for label in CLASSES}
    interval = IntervalCounts(line, NOON + 60 * seq, 60, figures, observed_s, 900, 0)
    closed = ClosedInterval(interval, seq, figures, device.boot_id)
    payload = encoding.with_late(encoding.encode_counts(device, closed), late)
    return Message(f"{device.prefix}/counts/{line}", payload.encode(), 1)


def status(state: State, device: Device = DEVICE) -> Message:
    return Message(f"{device.prefix}/status", encoding.encode_status(device, state, NOON).encode(), 1, True)


def health(device: Device = DEVICE, **more: Any) -> Message:
    source = SourceHealth(state=more.pop("state", "ok"), detail=more.pop("detail", ""))
    payload = Health(at=at(0), frames_per_s=15.0, frames_dropped=0, unsent=0, source=source, **more)
    return Message(f"{device.prefix}/health", encoding.encode(payload).encode())


def meta(device: Device = DEVICE) -> Message:
    line = LineMeta(id="north", start=(0.0, 0.5), end=(1.0, 0.5), names={"left_to_right": "to town"})
    payload = Meta(
        site=device.site, device=device.device, lines=[line], classes=CLASSES, interval_s=60, model="", config="",
        version="0.1.0",
    )  # fmt: skip
    return Message(f"{device.prefix}/meta", encoding.encode(payload).encode(), 1, True)


def device_table(*received: Message) -> DeviceTable:
    """Return a table that has received these messages."""
    table = DeviceTable(PREFIX)
    for message in received:
        table.add(message)
    return table


def shown(view: RenderableType, *, colour: bool = False, width: int = 80) -> str:
    """Return a view as a terminal of `width` columns shows it; colour: with escape codes."""
    console = Console(width=width, file=io.StringIO(), force_terminal=colour, record=True, color_system="standard")
    console.print(view)
    return console.export_text(styles=colour)


def row(text: str, begins: str) -> str:
    """Return the first line that begins with a text."""
    return next(line for line in text.splitlines() if line.startswith(begins))
