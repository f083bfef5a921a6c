"""Convert between logits and scores. Pure numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the score in 0..1 of each logit, in the type of the logits.

    Logits below -88, which fitted scores have, would overflow float32; they are raised to -80.
    """
    return np.asarray(1 / (1 + np.exp(-np.maximum(logits, -80))), logits.dtype)
