"""Run `edge-app run` with MemoryErrors at random: python -m tests.trials.faults.child CONFIG CONTROL."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_app import cli
from edge_app.camera_health.quality import QualityMonitor
from edge_app.counting.pipeline import Pipeline
from edge_app.monitoring.health_report import HealthReport
from edge_app.mqtt.publisher import Publisher
from edge_app.preview.live import Preview
from edge_app.storage.journal import Journal
from edge_app.storage.outbox import Outbox
from tests.trials.faults.control import Control

_PLACES: tuple[tuple[type, str], ...] = (
    (Pipeline, "prepare"),
    (QualityMonitor, "flags"),
    (Preview, "update"),
    (Journal, "save"),
    (Outbox, "pending"),
    (Outbox, "delete"),
    (Publisher, "_send"),
    (HealthReport, "health"),
)


def _with_faults(call: Callable[..., Any], control: Control, chance: random.Random) -> Callable[..., Any]:
    def called(*arguments: Any, **options: Any) -> Any:
        if chance.random() < control.memory_share:
            control.note_memory_fault()
            raise MemoryError
        return call(*arguments, **options)

    return called


def main(config: str, control_file: str) -> int:
    control, chance = Control(Path(control_file)), random.Random(1)
    for owner, name in _PLACES:
        setattr(owner, name, _with_faults(getattr(owner, name), control, chance))
    return cli.main(["run", "--config", config])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
