"""Print the answers of the registry's commands: one line a rule, one line an entry, one line an event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from models.registry import history
from models.registry.collect import candidate_manifest, gate_input
from models.registry.history import Event
from models.registry.lineage import Lineage
from models.registry.rule_result import RuleResult
from models.registry.storage import Entry, Registry


def console() -> Console:
    """Return the console of stdout; 160 columns wide for a file or a pipe, so that a rule with its figures fits."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=160)


def print_opening(out: Console, says: str, policy: Path) -> None:
    """Print what was compared with what, and by which policy. says: the sentence."""
    out.print(Text(f"{says} Rules: {policy}."), soft_wrap=True)


def print_decision(out: Console, decision: Sequence[RuleResult]) -> None:
    """Print one line for each rule result: passed, not part of the benchmark, and failed ones next to the prompt."""
    table = Table("rule", "of", "figure", "", box=None, pad_edge=False)
    for result in sorted(decision, key=lambda one: (not one.passed, one.left_out)):
        mark = "[dim]not part[/]" if result.left_out else "[green]ok[/]" if result.passed else "[bold red]FAILED[/]"
        table.add_row(result.rule, Text(result.subject), Text(result.says), mark)  # Text: no markup
    out.print(table)


def tally(decision: Sequence[RuleResult]) -> str:
    """Return how many checks failed, for want of a figure or by the benchmark left out, as the end of a sentence."""
    left_out = sum(one.left_out for one in decision)
    failed, asked = sum(not one.passed for one in decision), len(decision) - left_out
    apart = f"; {left_out} not part of this benchmark" if left_out else ""
    unmeasured = sum(one.bound is not None and one.figure is None for one in decision)
    lacking = f" ({unmeasured} of them not measured)" if unmeasured else ""
    return f"{failed} of {asked} checks failed{lacking}{apart}"


def print_entries(out: Console, registry: Registry) -> None:
    """Print one line for each entry with its status."""
    table = Table("name", "input", "status", "sha256", "added", "evaluated", box=None, pad_edge=False)
    events = registry.history()
    for entry in registry.entries():
        measured = "yes" if registry.document(entry.name, "evaluation.json") else "no"
        now = history.status(events, entry.sha256, entry.size)
        table.add_row(entry.name, entry.size, now, entry.sha256[:12], entry.added_at[:10], measured)
    out.print(table)


def print_entry(out: Console, registry: Registry, entry: Entry) -> None:
    """Print lineage, figures and history of one entry."""
    found, events = gate_input(registry, entry), registry.history()
    rows = Table.grid(padding=(0, 2))
    rows.add_row("name", entry.name)
    rows.add_row("status", history.status(events, entry.sha256, entry.size))
    rows.add_row("sha256", entry.sha256)
    rows.add_row("input", f"{entry.size}, {entry.bytes} bytes")
    for name, value in _lineage(found.lineage):
        rows.add_row(Text(name), Text(value))
    for name, figures in found.measured.sets.items():
        classes = [
            f"{label} {one.ap50:.3f} ({one.n})"
            for label, one in figures.labelled.classes.items()
            if one.ap50 is not None
        ]
        rows.add_row(f"AP50 {name}", ", ".join(classes))
    totals = [f"{name} {value:.3f}" for name, value in found.measured.counting.totals.items() if value is not None]
    rows.add_row("counts", ", ".join(totals) or "not measured")
    upstream = candidate_manifest(registry, entry).get("origin")
    rows.add_row("upstream", str((upstream if isinstance(upstream, dict) else {}).get("upstream", "not stated")))
    out.print(rows)
    out.print()
    print_events(out, [event for event in events if entry.sha256 in (event.sha256, event.replaces)])


def _lineage(lineage: Lineage) -> list[tuple[str, str]]:
    rows = [("licence", lineage.licence or "none stated")]
    if training := lineage.training:
        rows += [("run", training.run), ("code", training.code), ("settings", training.config_sha256[:12])]
        rows.append(("parent weights", training.parent[:12]))
    rows.append(("record", lineage.fault or f"{len(lineage.ancestors)} steps"))
    rows += [
        (f"ancestor {one.back}", f"{one.called}: {one.step.code[:40] or one.step.kind}") for one in lineage.ancestors
    ]
    rows += [(f"data {one.name}", f"{one.licence}, {one.images} pictures, {one.sha256[:12]}") for one in lineage.data]
    return rows


def print_events(out: Console, events: Sequence[Event]) -> None:
    """Print one line for each event."""
    for event in events:
        after = f", replaces {event.replaces[:12]}" if event.replaces else ""
        why = f": {event.why}" if event.why else ""
        out.print(
            f"{event.at}  {event.size}  {event.kind} {event.name} ({event.sha256[:12]}{after}){why}", soft_wrap=True
        )
