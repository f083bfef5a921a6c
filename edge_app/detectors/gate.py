"""Check the record in a manifest that a detector has passed the model gate of models/registry.

It guards against mistakes (a candidate copied to a device, a model file exchanged beside its manifest, a record edited
by half), not against malice: it is a record, no signature, and whoever can write the model can write it too.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

BICYCLES: Final = "bicycles"
"""Name of the gate's rule about cyclists."""
SHA256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ManifestTable(BaseModel):
    """Table of a manifest. Unknown keys are accepted, so newer manifests stay readable."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class RuleResult(ManifestTable):
    """Result of one rule of the gate; the figures beside it are for people. left_out: was not asked, proves nothing."""

    rule: str
    subject: str
    passed: bool
    left_out: bool = False


class GateRecord(ManifestTable):
    """Record of the gate decision that put a model into production.

    decision: "rules" when it passed every rule; "initial" when it is the first of its input size, with the `reason`.
    replaces: SHA-256 of the model that was in production before it.
    """

    contract: Literal["edge-app/gate/1"] = Field(alias="schema")
    decision: Literal["rules", "initial"]
    promoted_at: str
    model_sha256: SHA256
    policy_sha256: SHA256
    evaluation_sha256: SHA256 | None
    replaces: SHA256 | None
    rules: tuple[RuleResult, ...]
    reason: str = ""

    @property
    def bicycles_shown(self) -> bool:
        """Whether the rule about cyclists was asked and held, or a person took the first file of its size as it is."""
        asked = any(one.rule == BICYCLES and one.passed and not one.left_out for one in self.rules)
        return self.decision == "initial" or asked

    def problem(self, sha256: str) -> str | None:
        """Return why this record proves nothing about a file with this hash, as the end of a sentence; else None."""
        failed = [rule for rule in self.rules if not rule.passed]
        if self.model_sha256 != sha256:
            return f"its gate record is about another file (sha256 {self.model_sha256[:12]}, not {sha256[:12]})"
        if failed:
            return f"its gate record has a failed rule ({failed[0].rule}: {failed[0].subject})"
        if self.decision == "rules" and not (self.rules and self.evaluation_sha256):
            return "its gate record lists no rule that was checked"
        if self.decision == "initial" and (self.replaces or not self.reason):
            return "its gate record calls it the first of its size, but without a reason or as a replacement"
        return None
