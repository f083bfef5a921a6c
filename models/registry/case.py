"""Everything the gate looks at, in one record. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from models.registry.comparison import Comparison
from models.registry.figures import Evaluation
from models.registry.lineage import Lineage


@dataclass(frozen=True, slots=True)
class Production:
    """What a candidate would replace. evaluation: None while nobody has measured it."""

    file: str
    sha256: str
    bytes: int
    evaluation: Evaluation | None


@dataclass(frozen=True, slots=True)
class Case:
    """Everything the gate looks at. size: input, width and height px. withdrawn: why it was rolled back, unless it was
    measured again since. production: None where no model of this size is in production."""

    sha256: str
    bytes: int
    size: tuple[int, int]
    lineage: Lineage
    evaluation: Evaluation | None
    comparison: Comparison | None
    production: Production | None
    withdrawn: str = ""

    @property
    def measured(self) -> Evaluation:
        return self.evaluation or Evaluation()

    @property
    def theirs(self) -> Evaluation:
        """Production's figures; empty ones fail every rule that needs them."""
        return (self.production.evaluation if self.production else None) or Evaluation()

    @property
    def slot(self) -> str:
        return f"{self.size[0]}x{self.size[1]}"

    @property
    def sets(self) -> list[str]:
        return sorted({*self.measured.sets, *self.theirs.sets})
