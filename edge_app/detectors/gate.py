"""The record that a detector passed the gate of models/registry: what a device believes of it, and what it does not.

It guards against mistakes (a candidate copied to a device, a file exchanged under its manifest, a record edited for
half), not against malice: it is a record, no signature, and whoever can write the model can write it too.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SHA256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A table of a manifest. Additions are free: newer manifests stay readable."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Rule(Part):
    """One rule as it was judged; the figures beside it are for people."""

    rule: str
    subject: str
    passed: bool


class Gate(Part):
    """Why a model is in production.

    decision: "rules" when it passed every rule; "initial" when it is the first of its input size, with the `reason`.
    replaces: hash of the model that was in production before it.
    """

    contract: Literal["edge-app/gate/1"] = Field(alias="schema")
    decision: Literal["rules", "initial"]
    promoted_at: str
    model_sha256: SHA256
    policy_sha256: SHA256
    evaluation_sha256: SHA256 | None
    replaces: SHA256 | None
    rules: tuple[Rule, ...]
    reason: str = ""

    def doubt(self, sha256: str) -> str | None:
        """Why this record proves nothing about a file of that hash, as the end of a sentence; None when it does."""
        failed = [rule for rule in self.rules if not rule.passed]
        if self.model_sha256 != sha256:
            return f"its gate record is about another file (sha256 {self.model_sha256[:12]}, not {sha256[:12]})"
        if failed:
            return f"its gate record has a failed rule ({failed[0].rule}: {failed[0].subject})"
        if self.decision == "rules" and not (self.rules and self.evaluation_sha256):
            return "its gate record names no rule that was judged"
        if self.decision == "initial" and (self.replaces or not self.reason):
            return "its gate record calls it the first of its size, but without a reason or as a replacement"
        return None
