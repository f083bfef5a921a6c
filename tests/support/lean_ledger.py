"""What a device has on its card, in memory: numbers, totals, queue and archive by the device's own code.

Beside the ledger of a device it has no file, no thread and no frames: an interval is seen whole, and time passes in
steps of an interval. So ten thousand of them fit into one process.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from edge_app.mqtt.encoding import encode_counts
from edge_app.mqtt.identity import Device
from edge_app.records import Counts, Crossing, Quality
from edge_app.storage.archive import Keep
from edge_app.storage.counts import Counting
from edge_app.storage.intervals import Intervals
from edge_app.storage.journal import Journal
from edge_app.storage.ledger import CAPACITY
from edge_app.storage.ledger_state import LedgerState
from edge_app.storage.outbox import Outbox
from edge_app.storage.saved_state import Identity, SavedState
from edge_app.storage.sqlite import Standby

NOWHERE: Final = Path("in-memory")
"""Names the tables in errors; nothing is there."""


@dataclass(frozen=True)
class Counted:
    """What a device has counted on a line under an installation. newest: number of the newest closed interval."""

    site: str
    device: str
    line: str
    installation: str
    newest: int
    totals: Counts


def tables_in_memory(identity: Identity) -> tuple[Journal, Standby]:
    """Return a ledger's tables in memory, and where an outbox finds them."""
    journal, standby = Journal(NOWHERE, SavedState(identity), CAPACITY, in_memory=True), Standby()
    standby.connection = journal.connection
    return journal, standby


class LeanLedger:
    """Ledger of one device; what it holds outlives `begin_run`, as a card outlives the restarts of a device.

    device: as it runs now. The archive takes 8 MB at most, since it is in memory.
    """

    def __init__(self, device: Device, lines: Sequence[str], counting: Counting) -> None:
        self._lines, self._counting = lines, counting
        identity = Identity(secrets.token_hex(4), device.site, device.device)
        self._state = LedgerState(device.boot_id, partial(encode_counts, device), identity)
        self._journal, self._standby = tables_in_memory(identity)
        self._intervals = Intervals(lines, counting, max_gap_s=2 * counting.interval_s)
        self.outbox = Outbox(NOWHERE, Keep(), self._standby)
        self.counted = 0
        """Vehicles that were given to it, in open intervals too."""

    def begin_run(self, device: Device) -> None:
        """Go on after a restart: another boot id, the same numbers, and the intervals that were open."""
        self._state.boot_id, self._state.encode = device.boot_id, partial(encode_counts, device)
        self._intervals = Intervals(
            self._lines,
            self._counting,
            max_gap_s=2 * self._counting.interval_s,
            restored=self._intervals.open,
            closed_ends={line: state.end for line, state in self._state.lines.items()},
        )
        self.outbox.close()
        self.outbox = Outbox(NOWHERE, Keep(), self._standby)

    def record(self, now: float, vehicles: Sequence[Crossing], quality: Sequence[Quality] = ()) -> int:
        """Count vehicles that passed until now, UTC s by the device's clock; return how many intervals have closed.

        A clock that has stepped back across a closed interval begins another installation, as `Ledger.set_clock` does.
        """
        if self._intervals.is_behind(now):
            for interval in self._intervals.restart(now):
                self._state.enqueue(interval)
            self._state.end_all()
            self._state.begin_installation()
        self._intervals.record(now, vehicles, 0, quality)
        self.counted += len(vehicles)
        for interval in self._intervals.advance(now):
            self._state.enqueue(interval)
        closed, self._state.closed = self._state.closed, []
        identity = self._state.identity if self._state.begun else None
        self._journal.save([], [], closed, identity=identity, synced=False)
        self._state.begun = False
        return len(closed)

    @property
    def installation(self) -> str:
        """Under which the next intervals are numbered."""
        return self._state.identity.installation

    @property
    def newest_seq(self) -> dict[str, int]:
        """Newest number of each line under the installation."""
        return {line: state.seq for line, state in self._state.lines.items()}

    @property
    def still_open(self) -> int:
        """Vehicles in intervals that have not closed."""
        return sum(sum(ways.values()) for interval in self._intervals.open for ways in interval.counts.values())

    def counted_by_series(self) -> list[Counted]:
        """Return what has been numbered, of every installation."""
        of = self._state.identity
        rows = self._journal.connection.rows("SELECT installation, line, seq, totals FROM series WHERE seq > 0")
        return [
            Counted(of.site, of.device, line, installation, seq, json.loads(totals))
            for installation, line, seq, totals in rows
        ]

    def close(self) -> None:
        """Give the memory back."""
        self.outbox.close()
        self._journal.close()
