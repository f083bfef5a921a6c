"""Say by comparisons in files whether a candidate may go on: `edge-app fleet judge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from edge_app.city.compared import Compared


def judge(files: Sequence[Path], zone_name: str, candidate: str, before: str) -> int:
    """Return 0 for "pass", else 1. candidate, before: first digits of their SHA-256, empty where none is named.

    Raises ConfigError.
    """
    from edge_app.city.calendar import zone
    from edge_app.city.compared import Collected
    from edge_app.console import terminal

    tz, collected = zone(zone_name), Collected()
    for path in files:
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                collected.add(lines)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({reason_of(error)})") from None
    compared = collected.of(candidate, before)
    rule = compared.rule(tz)
    print(f"candidate {compared.candidate} {_roles(compared)}")
    if not candidate:
        print(f"If {compared.before} is the candidate, as in a roll-out, add --candidate {compared.before}.")
    print()
    rows = terminal.table("counted", "candidate", "before", "change")
    for name, found in rule.of.items():
        if found.before or found.candidate:
            rows.add_row(name, f"{found.candidate:,.0f}", f"{found.before:,.0f}", f"{found.change:+.1%}")
    terminal.stdout().print(rows)
    devices = len(compared.beside | compared.in_service)
    print(f"\n{rule.hours:,} hours of {devices} devices; {collected.unread} lines were no comparison.")
    if compared.others:
        print(f"{compared.others:,} intervals of other detectors were left out.")
    decision = rule.decide()
    for reason in rule.reasons():
        print(f"stop: {reason}")
    if decision == "pass":
        print("pass: a shortfall that must not be is out of the question")
    elif decision == "wait":
        print("wait: too little was counted to stop it, or to let it go on")
    return 0 if decision == "pass" else 1


def _roles(compared: Compared) -> str:
    """Return which detector counted in which place."""
    if not compared.in_service:
        return f"beside {compared.before} in service"
    if not compared.beside:
        return f"in service, {compared.before} beside it"
    places = f"in service on {len(compared.in_service)} devices, beside it on {len(compared.beside)}"
    return f"compared with {compared.before}: {places}"
