"""Name the JSON documents that one command writes and another reads."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

EVALUATION: Final = "edge-app/evaluation/1"
"""result.json of models.evaluation: the figures of one model."""
COMPARISON: Final = "edge-app/comparison/1"
"""comparison.json of models.evaluation: candidate minus baseline, with intervals."""
SPLIT: Final = "edge-app/split/1"
"""split.json of models.data: which cameras train, validate and test."""
TOTALS: Final = ("event_f1", "any_class_f1", "effectiveness")
"""Names of the counting scores over all clips together, in an evaluation and in a comparison."""
DrawnLight: TypeAlias = Literal["day", "dusk"]
STREET_LIGHTS: Final[tuple[DrawnLight, ...]] = ("day", "dusk")
"""Lights in which an evaluation asks about the rendered street."""
