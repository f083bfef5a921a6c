"""Run `python -m models.card`: write or check the figures of the model card."""

from __future__ import annotations

import sys

from models.card.model_card import main

if __name__ == "__main__":
    sys.exit(main())
