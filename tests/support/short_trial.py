"""Run `edge-app` with a short trial of the office's configurations: short_trial.py SECONDS ARGUMENT ..."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from edge_app.rollout import trial

    trial.TRIAL_S = float(sys.argv[1])  # type: ignore[misc]
    trial._HELD_S = min(trial._HELD_S, trial.TRIAL_S / 10)  # type: ignore[misc]
    from edge_app.cli import main

    sys.exit(main(sys.argv[2:]))
