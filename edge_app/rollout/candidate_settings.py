"""Hand the settings of a candidate to the process that counts with it, as one line of JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edge_app.counting.tracker import TrackerSettings
from edge_app.records import Line, Region


@dataclass(frozen=True, slots=True)
class CandidateSettings:
    """Everything that counts with the candidate as the service counts with its own detector.

    model: .tflite file. weak_score, same_iou, any_iou: as TfliteDetector takes them. All else: as Pipeline does.
    """

    model: str
    weak_score: float
    same_iou: float
    any_iou: float
    tracker: TrackerSettings
    lines: Sequence[Line]
    classes: Sequence[str]
    band: float
    region: Region | None
    motion: bool
    second_look: bool

    def encode(self) -> str:
        """Return one line of JSON."""
        lines = [{"id": line.id, "start": line.start, "end": line.end} for line in self.lines]
        return json.dumps({**asdict(self), "lines": lines})

    @classmethod
    def decode(cls, text: str) -> CandidateSettings:
        """Return what `encode` has written."""
        told = json.loads(text)
        lines = [Line(one["id"], tuple(one["start"]), tuple(one["end"])) for one in told["lines"]]
        region = tuple(told["region"]) if told["region"] else None
        return cls(**{**told, "lines": lines, "region": region, "tracker": TrackerSettings(**told["tracker"])})
