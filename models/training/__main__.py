"""Run `python -m models.training COMMAND`: train, search, export and verify detectors."""

from __future__ import annotations

import sys

from models.training.commands import main

if __name__ == "__main__":
    sys.exit(main())
