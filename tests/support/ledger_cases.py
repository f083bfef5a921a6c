"""Shared parts of the ledger's tests: a fixed time, a ledger of one line, and readers of its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_app.records import Crossing, IntervalCounts
from edge_app.storage.counts import Counting
from edge_app.storage.journal import Journal
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import ClosedInterval, Outbox
from edge_app.storage.saved_state import Identity, SavedState

NOON = 1_700_000_040.0  # a multiple of 60
CLASSES = ("car", "motorcycle")


def encode(closed: ClosedInterval) -> str:
    i = closed.counts
    return json.dumps(
        {
            "line": i.line,
            "start": i.start,
            "end": i.end,
            "config": i.config,
            "installation": closed.installation,
            "counts": i.counts,
            "totals": closed.totals,
            "seq": closed.seq,
            "boot_id": closed.boot_id,
            "coverage": i.coverage,
        }
    )


def open_ledger(
    folder: Path,
    lines: Iterable[str] = ("north",),
    *,
    interval_s: float = 60.0,
    capacity: int = 1000,
    boot: str = "b1",
    config: str = "",
    **options: Any,
) -> Ledger:
    counting = Counting(CLASSES, interval_s, config)
    options.setdefault("clock", lambda: 0.0)  # else a slow machine would see the disk fail for too long
    return Ledger(folder, list(lines), counting, boot, encode, capacity=capacity, **options)


def crossing(at: float, line: str = "north", label: str = "car") -> Crossing:
    return Crossing(at, 7, 1, label, line, "left_to_right", 0.9)


def count(ledger: Ledger, at: float, n: int = 1, line: str = "north") -> None:
    """Record one frame with n crossings at its time."""
    ledger.record(at, [crossing(at, line) for _ in range(n)], 0)


def cars(interval: IntervalCounts | dict[str, Any], key: str = "counts") -> int:
    counts = interval.counts if isinstance(interval, IntervalCounts) else interval[key]
    return int(counts["car"]["left_to_right"])


def payloads(folder: Path) -> list[dict[str, Any]]:
    """Return the decoded payloads that wait in the outbox, in order of key."""
    outbox = Outbox(folder)
    try:
        return [json.loads(outgoing.payload) for outgoing in outbox.pending(limit=100_000)]
    finally:
        outbox.close()


def on_disk(folder: Path, copy: Path) -> SavedState:
    """Return the state that a start would find if the process ended now, read from a copy of the files."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.sock"))  # a kill leaves the socket
    journal = Journal(copy, SavedState(Identity("new")), 1000)
    try:
        return journal.load()
    finally:
        journal.close()
