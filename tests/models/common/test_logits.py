"""Test the conversion between logits and scores."""

from __future__ import annotations

import numpy as np

from models.common.logits import sigmoid


def test_a_very_low_logit_is_a_score_of_nothing_without_overflow() -> None:
    np.testing.assert_allclose(sigmoid(np.array([-200, 0, 200], np.float32)), [0, 0.5, 1], atol=1e-30)
