"""Put what is measured beside the counts into words: mean speeds of a line, turning flows of a junction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edge_app.console.columns import SIGNS, shortened
from edge_app.console.device_table import DeviceEntry
from edge_app.mqtt.count_messages import CountsMessage, FlowsMessage
from edge_app.system.names import clean

_WAYS, _NAME_WIDTH = 12, 40
"""Most ways, and characters of the name of a line: one device must not take the screen from all others."""
_INDENT: Final = "  "


def measured_lines(device: DeviceEntry) -> Iterator[str]:
    """Yield one text for each line with speeds in its newest interval, and one for the newest turning flows."""
    for name, line in sorted(device.lines.items()):
        if speeds := speeds_text(line.recent[-1]):
            yield f"{_INDENT}{_name(name)}: {speeds}"
    if device.flows is not None:
        yield f"{_INDENT}{device.flows.start:%H:%M:%S} {flows_text(device.flows)}"


def speeds_text(counts: CountsMessage) -> str:
    """Return the mean speeds of an interval, such as "mean speed > 48 < 52 km/h"; empty without any."""
    told = []
    for direction, sign in SIGNS.items():
        found = [ways[direction] for ways in (counts.speed or {}).values() if direction in ways]
        number = sum(speeds.n for speeds in found)
        if number:
            told.append(f"{sign} {sum(speeds.sum for speeds in found) / number:.0f}")
    return f"mean speed {' '.join(told)} km/h" if told else ""


def flows_text(flows: FlowsMessage) -> str:
    """Return the vehicles that took each way, such as "flows north to south 3, entered 4"."""
    ways = [
        f"{_name(origin)} to {_name(to)} {sum(vehicles.values())}"
        for origin, found in flows.flows.items()
        for to, vehicles in found.items()
        if sum(vehicles.values())
    ]
    more = [f"{len(ways) - _WAYS} more ways"] if len(ways) > _WAYS else []
    entered = sum(sum(vehicles.values()) for vehicles in flows.entered.values())
    return f"flows {', '.join([*ways[:_WAYS], *more, f'entered {entered}'])}"


def _name(line: str) -> str:
    return shortened(clean(line), _NAME_WIDTH)
