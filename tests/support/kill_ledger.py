"""Count and deliver as fast as possible until the process is killed: kill_ledger.py FOLDER BEGIN.

Prints "at T" for each frame of its clock, "counted T" after `record` has returned for a crossing, and "sent PAYLOAD"
for each delivery, before it is deleted as acknowledged.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from pathlib import Path

from edge_app.storage.outbox import Outbox
from tests.support.ledger_cases import count, open_ledger

STEP_S = 0.1


def write_line(text: str) -> None:
    os.write(1, f"{text}\n".encode())  # in one call, so that lines of two threads never mix


def deliver(folder: Path) -> None:
    outbox = Outbox(folder)
    wanted = os.getpid() % 2 == 0  # differs from run to run as lateness does, so that a lost seal changes the content
    while True:
        for outgoing in outbox.pending(limit=3):
            late = outbox.seal(outgoing.key, wanted)
            write_line(f'sent {outgoing.payload[:-1]}, "late": {"true" if late else "false"}}}')
            outbox.delete(outgoing.key)


def main(folder: Path, begin: float) -> None:
    ledger = open_ledger(folder, interval_s=10.0)
    threading.Thread(target=deliver, args=(folder,), daemon=True).start()
    for n in itertools.count():
        now = begin + n * STEP_S
        write_line(f"at {now}")
        if n % 3 == 0:
            count(ledger, now)
            write_line(f"counted {now}")
        else:
            count(ledger, now, 0)
        ledger.tick(now)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
