"""Copy runs into an MLflow store, a SQLite file that `mlflow ui` opens. Only this file knows MLflow.

The folders of the runs are the record, the store is a copy: each call brings it up to date, and what a call could not
write the next one does. So a store that is locked, full or broken costs a training nothing.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from models.common.errors import BuildError
from models.training import runs, weights
from models.training.folder import RunFolder
from models.training.runs import Run

_EXPERIMENT: Final = "edge-app"
_ID, _LINES = "id", "lines"
"""Tags: which run it is, and how many lines of its metrics.jsonl are in the store."""
_STATUS: Final = {"running": "RUNNING", "ended": "FINISHED", "diverged": "FAILED", "stopped": "KILLED"}
_ARTEFACTS: Final = ("settings.json", "data.json", "lineage.json", "code.txt")
_WAIT_S: Final = 2.0
"""So long another process may be writing."""
_MOST: Final = 500
"""Metrics in one call; MLflow refuses more than 1000."""


class StoreError(BuildError):
    """The store cannot be written now; one sentence."""


class Store:
    """An MLflow store.

    path: the SQLite file, made when absent; artefacts lie in a folder of its name with ".artefacts" behind it.
    Raises BuildError: when MLflow is not installed.
    """

    def __init__(self, path: Path) -> None:
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # what a city trains is nobody else's business
        # MLflow itself misses the other two at the first write only.
        if any(importlib.util.find_spec(name) is None for name in ("mlflow", "sqlalchemy", "alembic")):
            # With the extra "models", whose bounds pip forgets otherwise: TensorFlow cannot use the newest protobuf.
            raise BuildError("MLflow is not installed: pip install '.[models,mlflow]'.")
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)  # each migration of a new file is a line otherwise
        self.path = path.resolve()
        self._mlflow = mlflow
        self._client: Any = None

    def copy(self, name: str, folder: RunFolder) -> None:
        """Bring what the store says of a run up to date. Raises StoreError: when it cannot be written."""
        try:
            self._copy(runs.read(name, folder))
        except StoreError:
            raise
        except Exception as error:  # MLflow, SQLAlchemy and SQLite have no class of errors in common
            raise StoreError(f"{self.path}: {_first_line(error)}") from error

    def _copy(self, run: Run) -> None:
        self._check()
        client, lines = self._opened(), run.folder.metrics()
        found = self._found(client, run)
        run_id = found.info.run_id
        done = int(found.data.tags.get(_LINES, 0))
        for metrics in _batches(list(self._metrics(lines[done:]))):
            client.log_batch(run_id, metrics=metrics)
        client.log_batch(run_id, metrics=self._best(run, lines), params=self._params(run), tags=self._tags(run))
        if not done or run.state != "running":
            for artefact in _ARTEFACTS:
                if (run.folder.path / artefact).exists():
                    client.log_artifact(run_id, str(run.folder.path / artefact))
        client.set_tag(run_id, _LINES, str(len(lines)))
        if run.state == "running":
            client.update_run(run_id, status=_STATUS[run.state])
        else:
            client.set_terminated(run_id, _STATUS[run.state], _time(lines[-1:]))

    def _check(self) -> None:
        """Find out within seconds, where MLflow would try for minutes, whether the file can be written.

        Raises StoreError: when it cannot, or is a database of something else, which MLflow would write its tables into.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, timeout=_WAIT_S)
        try:
            connection.execute("BEGIN IMMEDIATE")
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            connection.rollback()
        finally:
            connection.close()
        if tables and "experiments" not in tables:
            raise StoreError(f"{self.path} is a database of something else: name another file.")

    def _opened(self) -> Any:
        if self._client is None:
            self._client = self._mlflow.MlflowClient(tracking_uri=f"sqlite:///{self.path}")
        return self._client

    def _found(self, client: Any, run: Run) -> Any:
        """Return the run in the store; it is made when it is not there."""
        experiment = client.get_experiment_by_name(_EXPERIMENT)
        place = Path(f"{self.path}.artefacts").as_uri()
        number = experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT, place)
        identity = run.folder.identity()
        known = client.search_runs([number], filter_string=f"tags.{_ID} = '{identity}'", max_results=1)
        if known:
            return known[0]
        return client.create_run(number, _time(run.folder.metrics()[:1]), run_name=run.name, tags={_ID: identity})

    def _metrics(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
        for line in lines:
            named = {name: line[name] for name in ("loss", "rate", "images_per_s") if name in line}
            named |= {f"loss/{name}": value for name, value in line.get("losses", {}).items()}
            named |= {f"validation/{name}": value for name, value in line.get("validation", {}).items()}
            for name, value in named.items():
                yield self._metric(name, value, line)

    def _best(self, run: Run, lines: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Return the figures of the best weights: MLflow's own table shows the last ones."""
        best = run.best
        if best is None:
            return []
        line = next(line for line in reversed(lines) if "validation" in line and line["step"] == best.step)
        return [self._metric(f"best/{name}", value, line) for name, value in best.figures.items()]

    def _metric(self, name: str, value: float, line: Mapping[str, Any]) -> Any:
        # A line always has the same time, so that a call that was cut off can be repeated.
        return self._mlflow.entities.Metric(name, float(value), _time([line]) or 0, int(line["step"]))

    def _params(self, run: Run) -> list[Any]:
        return [self._mlflow.entities.Param(name, runs.as_text(value)) for name, value in run.settings.items()]

    def _tags(self, run: Run) -> list[Any]:
        tags = {
            "state": run.state,
            "data": run.trained_on,
            "judged on": run.judged_on,
            "from": run.begun_from,
            "code": run.folder.code(),
            "mlflow.source.name": "models.training",
            "mlflow.source.git.commit": "".join(run.folder.code().split()[-1:]).partition("+")[0],
            "weights": weights.digest(weights.load(best)) if (best := run.folder.weights).exists() else "",
            "minutes": "" if run.minutes is None else f"{run.minutes:.1f}",
        }
        return [self._mlflow.entities.RunTag(name, text) for name, text in tags.items() if text]


def _batches(metrics: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(metrics), _MOST):
        yield metrics[start : start + _MOST]


def _time(lines: Sequence[Mapping[str, Any]]) -> int | None:
    """Return when the first of some lines of metrics.jsonl was written, ms since 1970; None where it does not say."""
    return next((int(1000 * line["at"]) for line in lines if "at" in line), None)


def _first_line(error: Exception) -> str:
    """Return the first line of an error's text as a sentence, SQLite's own words rather than those around it."""
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".") + "."
