"""The program is killed at random moments while its broker is killed too: tests/trials/kills.py, as a row."""

from __future__ import annotations

from dataclasses import replace

from tests.support.invariants import judge
from tests.trials.kills import Plan, survive
from tests.trials.survival.rows import Outcome, Row, Trial


def run(trial: Trial) -> Outcome:
    """Real time: about a quarter of an hour for 200 kills."""
    plan = Plan(3, 1, longest_s=5.0, pause_s=5.0) if trial.short else Plan(200, 20)
    evidence = survive(trial.folder, replace(plan, tell=trial.report))
    findings = judge(evidence)
    logged = sum(len(life.counted) for life in evidence.lives)
    return Outcome(
        f"{evidence.killed} kills: {logged} crossings logged as counted, {len(evidence.intervals)} intervals received, "
        f"{evidence.unsent} unsent",
        tuple(f"{finding.promise}: {finding.found}" for finding in findings if not finding.kept),
    )


ROW = Row("kills", "SIGKILL 200 times at random", "nothing counted is lost, told twice or renumbered", run)
