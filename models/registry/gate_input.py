"""Hold everything that the gate's rules read, in one record. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edge_app.detectors.manifest import COUNTED
from models.common.fold_table import FoldTable
from models.registry.comparison import Comparison
from models.registry.figures import Evaluation
from models.registry.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Production:
    """The model that a candidate would replace.

    file: name of its .tflite. bytes: size of that file. evaluation: its figures, None when it was never measured.
    counts: classes that it is made to count.
    """

    file: str
    sha256: str
    bytes: int
    evaluation: Evaluation | None
    counts: tuple[str, ...] = COUNTED


@dataclass(frozen=True, slots=True)
class GateInput:
    """A candidate, its measurements, and the model that it would replace.

    sha256, bytes: of the candidate's .tflite.
    size: width and height of its input, px.
    evaluation, comparison: its measurements, None when there are none.
    production: None when no model of this size is in production.
    withdrawn: why it was rolled back, empty when it was not or was measured again since.
    counts: classes that it is made to count. folds: what its recipe reaches on countries not seen, None when unknown.
    """

    sha256: str
    bytes: int
    size: tuple[int, int]
    lineage: Lineage
    evaluation: Evaluation | None
    comparison: Comparison | None
    production: Production | None
    withdrawn: str = ""
    counts: tuple[str, ...] = COUNTED
    folds: FoldTable | None = None

    @property
    def measured(self) -> Evaluation:
        """The candidate's figures; an empty evaluation, which fails every rule that needs one, when there are none."""
        return self.evaluation or Evaluation()

    @property
    def baseline(self) -> Evaluation:
        """The figures of the model in production; an empty evaluation when there are none."""
        return (self.production.evaluation if self.production else None) or Evaluation()

    @property
    def size_name(self) -> str:
        """The input size as in file names, "512x288"."""
        return f"{self.size[0]}x{self.size[1]}"

    @property
    def sets(self) -> list[str]:
        """Names of all sets of pictures in either evaluation, sorted."""
        return sorted({*self.measured.sets, *self.baseline.sets})
