"""The board as a person reads it: tables for a terminal of 80 columns, one line a message for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_app.console.device_table import DeviceEntry, DeviceTable, LineEntry, Update
from edge_app.mqtt.messages import CountsMessage, DirectionCounts, Health, Status
from edge_app.records import DIRECTIONS

SIGNS: Final = dict(zip(DIRECTIONS, (">", "<"), strict=True))
"""Left to right and right to left across a line, where there is no room for names."""

_STYLES: Final = {"online": "green", "stopped": "yellow", "offline": "bold red"}
_WELL_SEEN: Final = 0.95
"""From this coverage on, counts of zero mean an empty road."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_LINE_WIDTH, _TIME_WIDTH, _CELL_WIDTH, _COVER_WIDTH = 12, 8, 8, 5


def clean(text: str) -> str:
    """Text from the network without what a terminal could take for a command."""
    return "".join(c if c.isprintable() else " " for c in text)


def age(seconds: float) -> str:
    """In the largest unit that gives a whole number of at least 1, such as "5 min"; clocks may differ a little."""
    whole = max(0, int(seconds))
    size, unit = next(((size, unit) for size, unit in _UNITS if whole >= size), (1, "s"))
    return f"{whole // size} {unit}"


def notes(counts: CountsMessage, missing: int = 0) -> list[str]:
    """What a reader of the figures must know besides, in words; an empty road and a blind camera are told apart."""
    vehicles = sum(ways.left_to_right + ways.right_to_left for ways in counts.counts.values())
    found = ["no camera"] if counts.coverage == 0 else []
    found += ["no traffic"] if vehicles == 0 and counts.coverage >= _WELL_SEEN else []
    found += counts.quality
    found += ["late"] if counts.late else []
    return found + ([f"missing {missing}"] if missing else [])


def line_text(news: Update) -> str:
    """One received message as one line of plain text."""
    who, content = f"{news.site}/{news.device}", news.content
    if isinstance(content, CountsMessage):
        return f"{content.start:%H:%M:%S} {who} {news.line}: {counts_text(content)}"
    if isinstance(content, Status):
        return f"{content.at:%H:%M:%S} {who} is {content.state}"
    if isinstance(content, Health):
        return f"{content.at:%H:%M:%S} {who} {', '.join(health_parts(content))}"
    return f"         {who} tells about itself ({type(content).__name__.lower()})"


def counts_text(counts: CountsMessage) -> str:
    """Such as "car 3> 2<, motorcycle 1> 0<; coverage 1.00"."""
    classes = ", ".join(
        f"{clean(label)} {ways.left_to_right}> {ways.right_to_left}<" for label, ways in counts.counts.items()
    )
    said = "".join(f", {note}" for note in notes(counts))
    return f"{classes}; coverage {counts.coverage:.2f}{said}"


def health_parts(health: Health, *, brief: bool = False) -> list[str]:
    if brief:
        return [f"{health.frames_per_s:.0f} frames/s", f"unsent {health.unsent}"]
    inference = [f"inference {health.inference_ms.p50:.0f} ms"] if health.inference_ms else []
    lost = [f"lost {health.lost}"] if health.lost else []
    return [f"{health.frames_per_s:.1f} frames/s", *inference, f"unsent {health.unsent}", *lost]


def device_view(device: DeviceEntry, classes: Sequence[str], rows: int) -> RenderableType:
    """One device in depth: the newest `rows` intervals of each line, and its totals since it was installed."""
    parts: list[RenderableType] = []
    for name, line in device.lines.items():
        ways = device.names(name)
        said = "   ".join(f"{sign} {clean(ways[way])}" for way, sign in SIGNS.items())
        parts += [Text(f"\nline {name}:   {said}", style="bold"), _intervals(line, classes, rows)]
    return Group(*parts)


def _intervals(line: LineEntry, classes: Sequence[str], rows: int) -> Table:
    table = _table(classes, "from UTC")
    for counts in line.recent[-rows:]:
        table.add_row(f"{counts.start:%H:%M:%S}", *_cells(counts.counts, classes), _cover(counts), _noted(counts))
    table.add_section()
    table.add_row("in all", *_cells(line.recent[-1].totals, classes), style="bold")
    return table


def devices_view(board: DeviceTable, now: datetime) -> RenderableType:
    """Every device under the prefix with the newest interval of each of its lines."""
    if not board.devices:
        return Text("No device has reported yet.", style="dim")
    parts: list[RenderableType] = [_table(board.classes, "line", "from UTC")]
    for (site, name), device in sorted(board.devices.items()):
        parts += [Text(), device_head(f"{site}/{name}", device, *_heard(device, now))]
        parts += [Text(f"  {said}", style="yellow") for said in problems(device)]
        parts += [_newest(device, board.classes)] if device.lines else []
    return Group(*parts)


def _newest(device: DeviceEntry, classes: Sequence[str]) -> Table:
    table = _table(classes, "line", "from UTC")
    table.show_header = False
    # Figures of a device that is gone are history.
    style = "dim" if device.status and device.status.state == "offline" else ""
    for name, line in sorted(device.lines.items()):
        counts = line.recent[-1]
        figures = (*_cells(counts.counts, classes), _cover(counts), _noted(counts, line.missing))
        table.add_row(name, f"{counts.start:%H:%M:%S}", *figures, style=style)
    return table


def device_head(name: str, device: DeviceEntry, *more: str) -> Text:
    """Who, whether it is there, and what else is to be said of it, in one line."""
    state = device.status.state if device.status else "unknown"
    head = Text.assemble((name, "bold"), "  ", (state, _STYLES.get(state, "yellow")), overflow="ellipsis", no_wrap=True)
    return head.append("".join(f"  {part}" for part in more))


def _heard(device: DeviceEntry, now: datetime) -> list[str]:
    heard = [f"heard {age((now - device.heard).total_seconds())} ago"] if device.heard else []
    return heard + (health_parts(device.health, brief=True) if is_online(device) and device.health else [])


def is_online(device: DeviceEntry) -> bool:
    return device.status is not None and device.status.state == "online"


def problems(device: DeviceEntry) -> Iterator[str]:
    """What the device itself says is wrong; nothing after it has gone, since nobody can tell how it is there now."""
    if device.health and is_online(device):
        source = device.health.source
        yield from (clean(text) for text in (device.health.problem, source.detail) if text)
        if source.state not in ("ok", "opening") and not source.detail:
            yield f"source: {clean(source.state)}"


def _table(classes: Iterable[str], *first: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in first:
        width = _LINE_WIDTH if name == "line" else _TIME_WIDTH
        table.add_column(f"\n{name}", width=width, no_wrap=True, overflow="ellipsis")
    for label in map(clean, classes):
        signs = "".join(f"{sign:>4}" for sign in SIGNS.values())
        table.add_column(f"{label}\n{signs}", justify="right", min_width=max(_CELL_WIDTH, len(label)), no_wrap=True)
    table.add_column("\ncover", justify="right", width=_COVER_WIDTH, no_wrap=True)
    table.add_column("\nnotes", overflow="fold")
    return table


def _cells(counts: Mapping[str, DirectionCounts], classes: Iterable[str]) -> Iterator[Text]:
    for label in classes:
        ways = counts.get(label)
        both = (ways.left_to_right, ways.right_to_left) if ways else ()
        yield Text("".join(f"{n:>4}" for n in both) or "-", style="" if any(both) else "dim")


def _cover(counts: CountsMessage) -> Text:
    style = "" if counts.coverage >= _WELL_SEEN else "yellow" if counts.coverage else "bold red"
    # Rounded down: 100 % is said of a whole interval only.
    return Text(f"{int(counts.coverage * 100)} %", style=style)


def _noted(counts: CountsMessage, missing: int = 0) -> Text:
    found = notes(counts, missing)
    return Text(", ".join(found), style="dim" if found == ["no traffic"] else "yellow")


def watch_view(board: DeviceTable, now: datetime, place: str, problem: str, *, connected: bool) -> RenderableType:
    """The whole screen of `watch`: `place` is the broker, `problem` one sentence about it."""
    state = "" if connected else "connecting"
    told = [Text(problem, style="bold red")] if problem else [Text(state, style="yellow")] if state else []
    unreadable = [Text(f"unreadable: {board.unreadable}", style="yellow")] if board.unreadable else []
    title = Text(f"broker {place}   {now:%H:%M:%S} UTC   > left to right, < right to left", style="dim")
    return Group(title, devices_view(board, now), *told, *unreadable)


def demo_view(
    board: DeviceTable, left_s: int | None, problem: str, height: int, *, over: bool = False
) -> RenderableType:
    """The screen of `demo`, at most `height` lines; left_s: until the last interval ends, None before a frame."""
    parts: list[RenderableType] = [Text()]
    for (site, name), device in board.devices.items():
        rows = max(1, (height - 8) // max(1, len(device.lines)) - 5)
        health = health_parts(device.health) if device.health else []
        parts += [device_head(f"{site}/{name}", device, *health), device_view(device, board.classes, rows)]
        parts += [Text(said, style="yellow") for said in problems(device)]
    parts += [Text(problem, style="bold red")] if problem else []
    return Group(*parts, *([] if over else [Text(f"\n{_wait(left_s)}; Ctrl-C ends", style="dim")]))


def _wait(left_s: int | None) -> str:
    if left_s is None:
        return "waiting for the first picture"
    return (
        f"{left_s} s to go; an interval arrives some 4 s after its end" if left_s else "waiting for the last interval"
    )
