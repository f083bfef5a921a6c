"""Show devices and their messages: as tables for a terminal of any width, or as one line for each message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_app.console.columns import SIGNS, Columns, Fitted, columns, shortened
from edge_app.console.device_table import DeviceEntry, DeviceTable, LineEntry, Update
from edge_app.console.measured import flows_text, measured_lines, speeds_text
from edge_app.mqtt.count_messages import CountsMessage, DirectionCounts, FlowsMessage
from edge_app.mqtt.device_messages import Health, Status
from edge_app.system.names import clean

_STYLES: Final = {"online": "green", "stopped": "yellow", "offline": "bold red"}
_GOOD_COVERAGE: Final = 0.95
"""From this coverage on, counts of zero mean an empty road."""
_FLAGS, _FLAG_WIDTH, _SENTENCE = 12, 40, 500
"""Most flags, and characters of a flag and of a sentence: one device must not take the screen from all others."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def age(seconds: float) -> str:
    """Return an age in the largest unit that gives a whole number of at least 1, such as "5 min".

    A negative age, which clocks that differ a little give, is 0 s.
    """
    n = max(0, int(seconds))
    size, unit = next(((size, unit) for size, unit in _UNITS if n >= size), (1, "s"))
    return f"{n // size} {unit}"


def notes(counts: CountsMessage, missing: int = 0) -> list[str]:
    """Return remarks on an interval, in words, that tell an empty road from a blind camera.

    missing: number of missing intervals on the line.
    """
    vehicles = sum(n.left_to_right + n.right_to_left for n in counts.counts.values())
    found = ["no camera"] if counts.coverage == 0 else []
    found += ["no traffic"] if vehicles == 0 and counts.coverage >= _GOOD_COVERAGE else []
    found += [shortened(clean(flag), _FLAG_WIDTH) for flag in counts.quality[:_FLAGS]]
    found += [f"{len(counts.quality) - _FLAGS} more"] if len(counts.quality) > _FLAGS else []
    found += ["late"] if counts.late else []
    return found + ([f"missing {missing}"] if missing else [])


def line_text(update: Update) -> str:
    """Return one received message as one line of plain text."""
    device, content = f"{update.site}/{update.device}", update.content
    if isinstance(content, CountsMessage):
        return f"{content.start:%H:%M:%S} {device} {update.line}: {counts_text(content)}"
    if isinstance(content, FlowsMessage):
        return f"{content.start:%H:%M:%S} {device} {flows_text(content)}"
    if isinstance(content, Status):
        return f"{content.at:%H:%M:%S} {device} is {clean(content.state)}"
    if isinstance(content, Health):
        return f"{content.at:%H:%M:%S} {device} {', '.join(health_parts(content))}"
    return f"         {device} describes itself ({type(content).__name__.lower()})"


def counts_text(counts: CountsMessage) -> str:
    """Return the counts of an interval, such as "car 3> 2<, motorcycle 1> 0<; coverage 1.00"."""
    classes = ", ".join(f"{clean(label)} {n.left_to_right}> {n.right_to_left}<" for label, n in counts.counts.items())
    told = [speeds] if (speeds := speeds_text(counts)) else []
    remarks = "".join(f", {note}" for note in [*told, *notes(counts)])
    return f"{classes}; coverage {counts.coverage:.2f}{remarks}"


def health_parts(health: Health, *, brief: bool = False) -> list[str]:
    """Return the figures of a health message as short texts; brief: only rate and unsent intervals."""
    if brief:
        return [f"{health.frames_per_s:.0f} frames/s", f"unsent {health.unsent}"]
    inference = [f"inference {health.inference_ms.p50:.0f} ms"] if health.inference_ms else []
    lost = [f"lost {health.lost}"] if health.lost else []
    return [f"{health.frames_per_s:.1f} frames/s", *inference, f"unsent {health.unsent}", *lost]


def device_view(device: DeviceEntry, classes: Sequence[str], rows: int) -> RenderableType:
    """Show one device in detail: the newest `rows` intervals of each line, and its totals since the installation."""
    parts: list[RenderableType] = []
    for name, line in device.lines.items():
        names = device.names(name)
        directions = "   ".join(f"{sign} {clean(names[direction])}" for direction, sign in SIGNS.items())
        parts += [Text(f"\nline {name}:   {directions}", style="bold"), _intervals(line, classes, rows)]
    return Group(*parts)


def _intervals(line: LineEntry, classes: Sequence[str], rows: int) -> RenderableType:
    recent = line.recent[-rows:]

    def made(room: int) -> Table:
        fitted = columns(room, classes, [*(counts.counts for counts in recent), recent[-1].totals])
        table = fitted.table()
        for counts in recent:
            table.add_row(f"{counts.start:%H:%M:%S}", *_cells(counts.counts, fitted), _coverage(counts), _notes(counts))
        table.add_section()
        table.add_row("in all", *_cells(recent[-1].totals, fitted), style="bold")
        return table

    return Fitted(made)


def devices_view(devices: DeviceTable, now: datetime) -> RenderableType:
    """Show every device under the prefix with the newest interval of each of its lines. now: UTC."""
    if not devices.entries:
        return Text("No device has reported yet.", style="dim")
    return Fitted(lambda room: _devices(devices, now, _fitted(devices, room)))


def _fitted(devices: DeviceTable, room: int) -> Columns:
    lines = [(name, line) for device in devices.entries.values() for name, line in device.lines.items()]
    return columns(
        room, devices.classes, [line.recent[-1].counts for _, line in lines], ["", *(name for name, _ in lines)]
    )


def _devices(devices: DeviceTable, now: datetime, fitted: Columns) -> RenderableType:
    parts: list[RenderableType] = [fitted.table()]
    for (site, name), device in sorted(devices.entries.items()):
        parts += [Text(), device_head(f"{site}/{name}", device, *_device_state(device, now))]
        parts += [Text(f"  {problem}", style="yellow") for problem in problems(device)]
        told = (name for name in sorted(device.lines) if device.named(name) or len(name) > fitted.line)
        parts += [_directions(name, device) for name in told]
        parts += [_newest(device, fitted)] if device.lines else []
        parts += [Text(text, style="dim", overflow="fold") for text in measured_lines(device)]
    return Group(*parts)


def _directions(name: str, device: DeviceEntry) -> Text:
    """Return one line with the whole id of a line and the names of its directions."""
    names = device.names(name)
    both = "   ".join(f"{sign} {clean(names[direction])}" for direction, sign in SIGNS.items())
    return Text(f"  {clean(name)}:  {both}", style="dim", overflow="fold")


def _newest(device: DeviceEntry, fitted: Columns) -> Table:
    table = fitted.table(show_header=False)
    # Figures of a device that is offline are old.
    style = "dim" if device.status and device.status.state == "offline" else ""
    for name, line in sorted(device.lines.items()):
        counts = line.recent[-1]
        figures = (*_cells(counts.counts, fitted), _coverage(counts), _notes(counts, line.missing))
        table.add_row(name, f"{counts.start:%H:%M:%S}", *figures, style=style)
    return table


def device_head(name: str, device: DeviceEntry, *more: str) -> Text:
    """Return one line with a device's name, its state and further texts."""
    state = clean(device.status.state) if device.status else "unknown"
    head = Text.assemble((name, "bold"), "  ", (state, _STYLES.get(state, "yellow")), overflow="fold")
    return head.append("".join(f"  {part}" for part in more))


def _device_state(device: DeviceEntry, now: datetime) -> list[str]:
    heard = [f"heard {age((now - device.heard).total_seconds())} ago"] if device.heard else []
    return heard + (health_parts(device.health, brief=True) if is_online(device) and device.health else [])


def is_online(device: DeviceEntry) -> bool:
    return device.status is not None and device.status.state == "online"


def problems(device: DeviceEntry) -> Iterator[str]:
    """Yield the problems that an online device reports; an offline one's are outdated."""
    if device.health and is_online(device):
        source, problem = device.health.source, device.health.problem
        for text in dict.fromkeys((problem, source.detail)):  # a lost camera is mostly the gravest problem itself
            if text:
                yield shortened(clean(text), _SENTENCE)
        if source.state not in ("ok", "opening") and not source.detail and source.state not in problem:
            yield f"source: {clean(source.state)}"


def _cells(counts: Mapping[str, DirectionCounts], fitted: Columns) -> Iterator[Text]:
    for label in fitted.classes:
        found = counts.get(label)
        seen = found is not None and (found.left_to_right or found.right_to_left)
        yield Text(fitted.cell(label, found), style="" if seen else "dim")


def _coverage(counts: CountsMessage) -> Text:
    style = "" if counts.coverage >= _GOOD_COVERAGE else "yellow" if counts.coverage else "bold red"
    # Rounded down, so that 100 % means the whole interval.
    return Text(f"{int(counts.coverage * 100)} %", style=style)


def _notes(counts: CountsMessage, missing: int = 0) -> Text:
    texts = notes(counts, missing)
    return Text(", ".join(texts), style="dim" if texts == ["no traffic"] else "yellow")


def watch_view(devices: DeviceTable, now: datetime, broker: str, problem: str, *, connected: bool) -> RenderableType:
    """Show the whole screen of `watch`.

    now: UTC. broker: its address. problem: one sentence about the connection, "" when there is none.
    """
    parts = [Text(f"broker {broker}   {now:%H:%M:%S} UTC   > left to right, < right to left", style="dim")]
    state = Text(problem, style="bold red") if problem else Text("" if connected else "connecting", style="yellow")
    footer = [state] if state else []
    if devices.unreadable:
        footer.append(Text(f"unreadable messages: {devices.unreadable}", style="yellow"))
    return Group(*parts, devices_view(devices, now), *footer)


def demo_view(
    devices: DeviceTable, left_s: int | None, problem: str, height: int, *, over: bool = False
) -> RenderableType:
    """Show the screen of `demo` in at most `height` lines.

    left_s: time to the end of the last interval, s; None before the first frame. problem: one sentence about the
    connection. over: whether the demo has ended.
    """
    parts: list[RenderableType] = [Text()]
    for (site, name), device in devices.entries.items():
        rows = max(1, (height - 8) // max(1, len(device.lines)) - 5)
        health = health_parts(device.health) if device.health else []
        parts += [device_head(f"{site}/{name}", device, *health), device_view(device, devices.classes, rows)]
        parts += [Text(text, style="yellow") for text in problems(device)]
    parts += [Text(problem, style="bold red")] if problem else []
    parts += [] if over else [Text(f"\n{_remaining(left_s)}; Ctrl-C ends", style="dim")]
    return Group(*parts)


def _remaining(left_s: int | None) -> str:
    if left_s is None:
        return "waiting for the first picture"
    return (
        f"{left_s} s to go; an interval arrives some 4 s after its end" if left_s else "waiting for the last interval"
    )
