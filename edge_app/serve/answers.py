"""What the service answers, as frozen models: the API sends them, the client reads them, `predict` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from edge_app.detectors.manifest import Manifest
from edge_app.http.problems import Problem
from edge_app.records import LABELS, Detections

LEAST_CONFIDENCE = 0.05
"""Lowest score that a box can be asked for; below it a detector guesses."""
CONFIDENCE = 0.2
"""Lowest score of a box when nobody asks for another: from it on a device begins a track."""

Corners = tuple[float, float, float, float]


class Answer(BaseModel):
    """Part of an answer. Unknown fields are kept out, so that a newer service stays readable."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, serialize_by_alias=True)


class Box(Answer):
    """One vehicle. px: x0, y0, x1, y1 of the upright picture, origin top left. relative: the same in 0..1."""

    label: Annotated[str, Field(alias="class", examples=["car"])]
    score: Annotated[float, Field(ge=0, le=1)]
    px: Corners
    relative: Corners


class Milliseconds(Answer):
    """Where the time went: in the queue, decoding the picture, detecting, and all together."""

    waiting: float
    decoding: float
    detecting: float
    total: float


class Prediction(Answer):
    """The boxes of one picture, strongest first. width, height: px of the upright picture."""

    model: str
    model_sha256: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    ms: Milliseconds


class ModelAnswer(Answer):
    """One model that can be asked for by its name."""

    name: str
    sha256: str
    width: int
    height: int
    classes: tuple[str, ...]
    passed_gate: bool
    default: bool


class Models(Answer):
    """All models of a service."""

    models: tuple[ModelAnswer, ...]


class NamedAnswer(Answer):
    """One picture of a batch: its prediction or its problem."""

    name: str
    prediction: Prediction | None = None
    problem: Problem | None = None


class Batch(Answer):
    """The answers of a batch, in the order of its pictures."""

    answers: tuple[NamedAnswer, ...]


class Health(Answer):
    """Whether the service lives, and whether it takes work."""

    alive: bool
    ready: bool


def boxes_of(detections: Detections, width: int, height: int, confidence: float) -> tuple[Box, ...]:
    """Return the detections with at least this score, as they are: not one bit is rounded away.

    width, height: px of the picture.
    """
    rows = zip(
        detections.boxes.astype(float).tolist(),
        detections.scores.astype(float).tolist(),
        detections.classes.tolist(),
        strict=True,
    )
    return tuple(
        Box(
            label=LABELS[kind],
            score=score,
            px=(x0, y0, x1, y1),
            relative=(x0 / width, y0 / height, x1 / width, y1 / height),
        )
        for (x0, y0, x1, y1), score, kind in rows
        if score >= confidence
    )


def model_answer(manifest: Manifest, classes: Sequence[str], *, default: bool) -> ModelAnswer:
    """Return what callers may know of a model. classes: those it is asked for."""
    size = manifest.input
    return ModelAnswer(
        name=manifest.name,
        sha256=manifest.sha256,
        width=size.width,
        height=size.height,
        classes=tuple(classes),
        passed_gate=manifest.proven,
        default=default,
    )
