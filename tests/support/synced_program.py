"""Run `edge-app` as if a time service had set the clock, as in a container none does: synced_program.py ARGUMENT ..."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from edge_app.system.clock import ClockMonitor

    ClockMonitor.unsynced = property(lambda _self: False)  # type: ignore[assignment]
    from edge_app.cli import main

    sys.exit(main(sys.argv[1:]))
