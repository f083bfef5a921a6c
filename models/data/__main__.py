"""Run `python -m models.data COMMAND`."""

from __future__ import annotations

import sys

from models.data.commands import main

if __name__ == "__main__":
    sys.exit(main())
