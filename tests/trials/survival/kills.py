"""Run tests/trials/kills.py as a row: kill the program at random while its broker is killed too."""

from __future__ import annotations

from dataclasses import replace

from tests.support.invariants import check
from tests.trials.kills import Plan, survive
from tests.trials.survival.rows import Outcome, Row, Trial


def run(trial: Trial) -> Outcome:
    """Kill in real time: 200 kills take about a quarter of an hour."""
    plan = Plan(3, 1, longest_s=5.0, pause_s=5.0) if trial.short else Plan(200, 20)
    evidence = survive(trial.folder, replace(plan, report=trial.report))
    findings = check(evidence)
    logged = sum(len(run.counted) for run in evidence.runs)
    return Outcome(
        f"{evidence.killed} kills: {logged} crossings logged as counted, {len(evidence.intervals)} intervals received, "
        f"{evidence.unsent} unsent",
        tuple(f"{finding.promise}: {finding.found}" for finding in findings if not finding.held),
    )


ROW = Row("kills", "SIGKILL 200 times at random", "nothing counted is lost, delivered twice or renumbered", run)
