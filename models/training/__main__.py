"""`python -m models.training COMMAND`: make a better detector from annotated pictures."""

from __future__ import annotations

import sys

from models.training.commands import main

if __name__ == "__main__":
    sys.exit(main())
