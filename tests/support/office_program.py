"""Run `edge-app` as a device of an office in a test: office_program.py TRIAL_S SYNCED ARGUMENT ...

TRIAL_S: length of a trial of the office's configurations, s; 0 for the program's own. SYNCED: 1 where its clock counts
as set by a time service, which a test's machine need not have.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from edge_app.rollout import trial
    from edge_app.system.clock import ClockMonitor

    if float(sys.argv[1]):
        trial.TRIAL_S = float(sys.argv[1])  # type: ignore[misc]
        trial._HELD_S = min(trial._HELD_S, trial.TRIAL_S / 10)  # type: ignore[misc]
    if sys.argv[2] == "1":
        ClockMonitor.unsynced = property(lambda _self: False)  # type: ignore[assignment]
    from edge_app.cli import main

    sys.exit(main(sys.argv[3:]))
