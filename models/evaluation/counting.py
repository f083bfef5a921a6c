"""Count clips with known crossings: each frame is decoded once and passed to every model's own pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config, LineConfig
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.stage_times import StageTimes
from edge_app.offline.replay import decoded
from edge_app.offline.scoring import Event, Score, Truth, read_truth, score
from edge_app.records import Crossing
from edge_app.sources.recording import Recording
from models.data.fingerprints import fingerprint

_WAIT_S: Final = 0.5
FRAMES: Final = 40
"""Frames of a clip, evenly spread, whose hashes are kept."""


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One clip as one model counted it.

    truth: the known crossings. events: the counted ones. score: how far they agree.
    frames: perceptual hashes of some of its frames, by which the gate knows pictures that were taken from the clip.
    """

    truth: Truth
    events: tuple[Event, ...]
    score: Score
    frames: tuple[str, ...] = ()


def count(
    models: Sequence[Path], truths: Sequence[Path], config: Config, forward: Callable[[str], None] = lambda _: None
) -> list[list[ClipResult]]:
    """Return for each model its result on every clip, scored as `edge-app evaluate` does.

    models: .tflite files. truths: truth files; a clip lies in ../clips of its truth. config: of the pipelines.
    forward: called with the clip's name after each of its frames.
    Raises ConfigError, SourceError or DetectorError: when a clip or a model cannot be used.
    """
    made: list[list[ClipResult]] = [[] for _ in models]
    for path in truths:
        truth = read_truth(path)
        pipelines = [_pipeline(config, model, truth) for model in models]
        source = Recording(path.resolve().parent.parent / "clips" / truth.clip)
        every = max(1, round(truth.length * truth.fps / FRAMES))
        crossings, frames = _run(source, pipelines, lambda name=truth.clip: forward(name), every)  # type: ignore[misc]
        for counted, found in zip(made, crossings, strict=True):
            events = tuple(Event(c.frame / truth.fps, c.label, c.direction) for c in found)
            counted.append(ClipResult(truth, events, score(truth, events), frames))
    return made


def total(counted: Sequence[ClipResult]) -> Score:
    """Return the score of all clips together."""
    result = counted[0].score
    for clip in counted[1:]:
        result = result + clip.score
    return result


def _pipeline(config: Config, model: Path, truth: Truth) -> Pipeline:
    line = LineConfig(id=truth.line.id, start=truth.line.start, end=truth.line.end)
    detector = config.detector.model_copy(update={"model": model})
    own = config.model_copy(update={"lines": (line,), "detector": detector})
    made = build_detector(own)
    # A candidate is judged by all that it is made to count, before the gate has said that it may.
    counts = own.counting.model_copy(update={"classes": made.manifest.counts})
    return build_pipeline(own.model_copy(update={"counting": counts}), made)


def _run(
    source: Recording, pipelines: Sequence[Pipeline], forward: Callable[[], None], every: int
) -> tuple[list[list[Crossing]], tuple[str, ...]]:
    """Return the crossings of each pipeline, and the perceptual hash of every `every`-th frame."""
    crossings: list[list[Crossing]] = [[] for _ in pipelines]
    frames: list[str] = []
    seen = 0
    with decoded(source, StageTimes()) as slot:
        while not slot.finished:
            frame = slot.get(_WAIT_S)
            if frame is None:
                continue
            if seen % every == 0:
                frames.append(fingerprint(frame.image))
            seen += 1
            for found, pipeline in zip(crossings, pipelines, strict=True):
                found += pipeline.process(frame).crossings
            forward()
    return crossings, tuple(frames)
