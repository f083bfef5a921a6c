"""A detector takes over while a whole service counts, and goes again: each crossing is counted once, and no other."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_app.app import service
from edge_app.config.model import Config
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import Crossing, Frame
from edge_app.service import Service, Takeover
from edge_app.sources import Source
from edge_app.sources.recording import Recording
from edge_app.sources.street.street import Street
from edge_app.storage.ledger import Ledger
from edge_app.storage.sqlite import FILE
from tests.support.shared import SHARED, needs
from tests.support.two_hashes import twin

SMALL = "ssdlite_mobilenet_v2_300x300.tflite"


class Prompting:
    """Source that calls a function before some of its frames are read. at: number of the frame -> function.

    `wall` and `monotonic` are clocks that stand at its newest frame.
    """

    def __init__(self, source: Source, at: dict[int, Callable[[], None]]) -> None:
        self._source, self._at, self._read = source, at, 0
        self.live, self.status, self.close = source.live, source.status, source.close
        self._newest = source.read(1.0)
        self._first = self._newest

    def wall(self) -> float:
        assert self._newest is not None
        return self._newest.captured_at

    def monotonic(self) -> float:
        assert self._newest is not None
        return self._newest.monotonic

    def read(self, timeout: float) -> Frame | None:
        if self._read in self._at:
            self._at[self._read]()
        self._read += 1
        frame, self._first = self._first or self._source.read(timeout), None
        self._newest = frame or self._newest
        return frame


@dataclass
class Counted:
    """What a service has counted. intervals: messages in its outbox, by start."""

    crossings: list[Crossing]
    intervals: list[dict[str, Any]]
    frames: int


def count(
    folder: Path, source: Source, changes: dict[int, tuple[str, Path]], monkeypatch: pytest.MonkeyPatch, line: list[Any]
) -> Counted:
    """Count a source to its end. changes: number of a frame -> name and file of the detector that takes over there."""
    config = Config.model_validate(
        {
            "device": {"site": "delft", "device": "cam-1"},
            "source": {"kind": "street"},
            "detector": {"second_look": False},
            "counting": {"interval_s": 10, "classes": ["car", "truck", "bus", "motorcycle"]},
            "mqtt": {"port": 1},
            "store": {"folder": folder},
            "lines": line,
        }
    )
    crossings, running, record = list[Crossing](), list[Service](), Ledger.record

    def recorded(self: Ledger, at: float, found: Any, *rest: Any, **looks: Any) -> None:
        crossings.extend(found)
        record(self, at, found, *rest, **looks)

    def change(name: str, file: Path) -> Callable[[], None]:
        detector = TfliteDetector(file, engines=config.detector.threads)
        return lambda: running[0].take_over(Takeover(detector, f"config-{name}", f"model-{name}", lambda: None))

    monkeypatch.setattr(Ledger, "record", recorded)
    prompting = Prompting(source, {number: change(*to) for number, to in changes.items()})
    monkeypatch.setattr("edge_app.app.Service", partial(Service, wall=prompting.wall, monotonic=prompting.monotonic))
    with service(config, prompting) as built:
        running.append(built)
        built.run(threading.Event())
    monkeypatch.setattr(Ledger, "record", record)
    rows = sqlite3.connect(folder / FILE).execute("SELECT payload FROM outbox ORDER BY key").fetchall()
    return Counted(
        crossings, sorted(map(json.loads, (row[0] for row in rows)), key=lambda one: one["start"]), built.frames
    )


def is_whole(counted: Counted) -> bool:
    """Return whether intervals follow each other without a gap in number and time."""
    ends, starts = [one["end"] for one in counted.intervals[:-1]], [one["start"] for one in counted.intervals[1:]]
    return ends == starts and [one["seq"] for one in counted.intervals] == [*range(1, 1 + len(counted.intervals))]


def compare(
    tmp_path: Path,
    source: Callable[[], Source],
    there: int,
    back: int,
    monkeypatch: pytest.MonkeyPatch,
    line: list[Any],
) -> Counted:
    """Count with a change to the same detector under another hash, and back; nothing may differ but the intervals."""
    from edge_app.detectors.manifest import default_model

    alone = count(tmp_path / "alone", source(), {}, monkeypatch, line)
    changes = {there: ("new", twin(tmp_path)), back: ("old", default_model())}
    changed = count(tmp_path / "changed", source(), changes, monkeypatch, line)
    assert changed.frames == alone.frames
    assert changed.crossings == alone.crossings
    assert len(alone.crossings) > 3
    assert is_whole(changed)
    return changed


@pytest.mark.long
def test_a_drawn_street_is_counted_the_same_across_a_change_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def street() -> Street:
        return Street(width=640, height=360, fps=8.0, seed=5, flow=(30.0, 30.0), seconds=25.0)

    line = [{"id": "road", "start": Street.line.start, "end": Street.line.end}]
    changed = compare(tmp_path, street, 60, 120, monkeypatch, line)
    told = [(one["start"][-6:], one["model"], one["coverage"]) for one in changed.intervals]
    models = [model for _, model, _ in told]
    assert models == sorted(models, key=models.index)  # each model's intervals are in a row
    assert [model for model, before in zip(models, ["", *models], strict=False) if model != before][1:] == [
        "model-new",
        "model-old",
    ]
    assert all(coverage > 0.98 for _, _, coverage in told[1:-1])


@needs("clips")
@pytest.mark.long
def test_a_real_clip_is_counted_the_same_across_a_change_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [{"id": "main", "start": [0.02, 0.5], "end": [0.98, 0.5]}]
    compare(
        tmp_path,
        lambda: Recording(SHARED / "clips" / "intel_car-detection.mp4", fps_limit=6.0),
        100,
        260,
        monkeypatch,
        line,
    )
