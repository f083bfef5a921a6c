"""Counts and delivers as fast as it can, telling what it did, until somebody kills it: kill_ledger.py FOLDER BEGIN.

Prints "at T" for each frame of its clock, "counted T" after each crossing that `record` has taken, and "sent PAYLOAD"
for each delivery, before it is deleted as acknowledged.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from pathlib import Path

from edge_app.storage.sqlite import Outbox
from tests.support.ledger_cases import count, open_ledger

STEP_S = 0.1


def tell(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # one write: whole lines or nothing, also when two threads tell


def deliver(folder: Path) -> None:
    outbox = Outbox(folder)
    wish = os.getpid() % 2 == 0  # differs from run to run, as lateness does: only a seal that lasts keeps one content
    while True:
        for outgoing in outbox.pending(limit=3):
            late = outbox.seal(outgoing.key, wish)
            tell(f'sent {outgoing.payload[:-1]}, "late": {"true" if late else "false"}}}')
            outbox.delete(outgoing.key)


def main(folder: Path, begin: float) -> None:
    ledger = open_ledger(folder, interval_s=10.0)
    threading.Thread(target=deliver, args=(folder,), daemon=True).start()
    for n in itertools.count():
        now = begin + n * STEP_S
        tell(f"at {now}")
        if n % 3 == 0:
            count(ledger, now)
            tell(f"counted {now}")
        else:
            count(ledger, now, 0)
        ledger.tick(now)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
