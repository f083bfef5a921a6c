"""Write the folder of a training as a process of it would have left it, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from models.training.folder import RunFolder
from models.training.settings import Settings

SETTINGS = Settings(steps=100, judge_every=50, precision="float32")


def pictures(train: str = "a", validation: str = "b") -> dict[str, Any]:
    """Return the content of data.json for two sets of pictures, known by their hashes."""
    rows = [{"name": "city", "sha256": train, "split": "train"}]
    rows += [{"name": "city", "sha256": validation, "split": "validation"}]
    return {"data": rows, "parent": {"sha256": "c", "from": "published"}, "trusted": []}


def run_folder(
    path: Path,
    losses: Sequence[float],
    scores: Mapping[int, float],
    settings: Settings = SETTINGS,
    data: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Write a run that reported these losses, every 25 steps, and was judged at these steps; a line took 30 s."""
    folder = RunFolder(path)
    folder.begin(settings, data or pictures())
    rows: list[dict[str, Any]] = [{"step": 25 * i, "loss": one} for i, one in enumerate(losses, 1)]
    for row in rows:
        row |= {"losses": {"class": 0.75 * row["loss"], "box": 0.25 * row["loss"]}, "rate": 4e-4, "images_per_s": 8.0}
    rows += [{"step": step, "validation": {"score": score, "car": score / 2}} for step, score in scores.items()]
    for i, row in enumerate(sorted(rows, key=lambda row: (row["step"], "validation" in row))):
        folder.append_metrics({**row, "seconds": 30.0, "at": 1_800_000_000.0 + 30 * i})
    return folder
