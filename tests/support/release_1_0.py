# mypy: ignore-errors
"""Run the storage of release 1.0 on a state folder: python release_1_0.py FOLDER ACTION BEGIN END.

It uses no module of the tests, since it runs beside the code of that release. ACTION "count" records a frame with one
car each second and closes intervals; "kill" does the same and leaves the last one as a SIGKILL does; "deliver" prints
what waits, one payload a line, and takes it as acknowledged.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from edge_app.records import Crossing
from edge_app.storage.ledger import Ledger
from edge_app.storage.sqlite import Outbox


def encode(closed):
    i = closed.counts
    document = {"site": "delft", "device": "cam-1", "line": i.line, "start": i.start, "end": i.end, "counts": i.counts}
    return json.dumps({**document, "totals": closed.totals, "seq": closed.seq, "boot_id": closed.boot_id})


def count(folder: Path, begin: float, end: float, *, killed: bool) -> None:
    ledger = Ledger(folder, ["north"], ("car", "motorcycle"), 60.0, "old", encode, capacity=1000)
    now = begin
    while now < end:
        ledger.record(now, [Crossing(now, 7, 1, "car", "north", "left_to_right", 0.9)], 0)
        ledger.tick(now)
        now += 1.0
    if killed:
        os._exit(0)
    ledger.close(end)


def deliver(folder: Path) -> None:
    outbox = Outbox(folder)
    for outgoing in outbox.pending(limit=100_000):
        late = outbox.seal(outgoing.key, True)
        print(json.dumps({**json.loads(outgoing.payload), "late": late}))
        getattr(outbox, "delete", getattr(outbox, "acknowledge", None))(outgoing.key)


if __name__ == "__main__":
    state, action, begin, end = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    if action == "deliver":
        deliver(state)
    else:
        count(state, begin, end, killed=action == "kill")
