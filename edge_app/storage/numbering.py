"""Number closed intervals: each takes the next number of its line and the sum of everything before. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from edge_app.records import IntervalCounts
from edge_app.storage.counts import add_counts
from edge_app.storage.outbox import ClosedInterval
from edge_app.storage.saved_state import EncodedInterval, LineState, SavedState


def next_number(
    before: LineState | None,
    interval: IntervalCounts,
    installation: str,
    boot_id: str,
    encode: Callable[[ClosedInterval], str],
    *,
    names: tuple[str, str] | None = None,
) -> EncodedInterval:
    """Return an interval with the number after that of `before`, the state of its line; None for a new line.

    names: of the site and device that counted it; None for the present ones.
    """
    before = before or LineState(interval.line, 0, {}, 0.0, 0.0)
    totals = add_counts(before.totals, interval.counts)
    state = LineState(interval.line, before.seq + 1, totals, interval.start, interval.end)
    payload = encode(ClosedInterval(interval, state.seq, totals, boot_id, installation, names))
    return EncodedInterval(state, payload, installation, interval.config, interval, names)


def close_former(
    saved: SavedState,
    left: Sequence[IntervalCounts],
    boot_id: str,
    encode: Callable[[ClosedInterval], str],
    *,
    same_names: bool,
) -> tuple[list[EncodedInterval], dict[str, LineState]]:
    """Return open intervals of an earlier run as closed ones under its numbers, and its lines after them.

    same_names: False when it counted under another site or device name, whose numbers are not for these payloads.
    """
    names = (saved.identity.site, saved.identity.device) if saved.identity.site else None
    lines, closed = {state.line: state for state in saved.lines}, list[EncodedInterval]()
    installation = saved.identity.installation
    if not same_names:
        installation, lines = secrets.token_hex(4), {}
    for interval in sorted(left, key=lambda interval: interval.start):
        numbered = next_number(lines.get(interval.line), interval, installation, boot_id, encode, names=names)
        lines[interval.line] = numbered.state
        closed.append(numbered)
    return closed, lines
