"""Read the manifest of a detector and check it against the model file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, model_validator

from edge_app.detectors.gate import SHA256, GateRecord, ManifestTable
from edge_app.detectors.ssd import AnchorLayer
from edge_app.errors import DetectorError
from edge_app.records import LABELS, VEHICLES

DEFAULT_MODEL = "ssdlite_mobilenet_v2_512x288.tflite"
COUNTED: Final = tuple(label for label in VEHICLES if label != "bicycle")
"""Vehicles that every detector is made to count."""
_Positive = Annotated[int, Field(gt=0, le=4096)]
_Above0 = Annotated[float, Field(gt=0)]


class Input(ManifestTable):
    """Input of a model: uint8 RGB, scaled without changing the aspect ratio, centred on grey of value `pad`.

    width, height: px. detail: share of the input to which larger frames are first shrunk; below 1 for a model whose
    training pictures had fewer pixels than its input, because it does not know crisper ones.
    """

    width: _Positive
    height: _Positive
    colour: Literal["RGB"]
    dtype: Literal["uint8"]
    resize: Literal["letterbox"]
    pad: Annotated[int, Field(ge=0, le=255)]
    detail: Annotated[float, Field(gt=0, le=1)] = 1.0


class Output(ManifestTable):
    """One output tensor: box codes or class scores, of one anchor layer, or of all layers in order where it is None."""

    name: str
    role: Literal["boxes", "scores"]
    layer: int | None


class BoxCoding(ManifestTable):
    order: Literal["ty tx th tw"]
    scales: tuple[_Above0, _Above0, _Above0, _Above0]


class Layer(ManifestTable):
    """One anchor layer. first, step: x, y px, see ssd.AnchorLayer; without them cells divide the picture evenly."""

    stride: _Positive
    priors: Annotated[tuple[tuple[_Above0, _Above0], ...], Field(min_length=1)]
    first: tuple[float, float] | None = None
    step: tuple[float, float] | None = None


class Anchors(ManifestTable):
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    relative_to: Literal["min"]


class Manifest(ManifestTable):
    """Content of `NAME.json` beside `NAME.tflite`; further keys (quantisation, scores) are for people.

    stage: "production" needs a gate record that proves it, or `load` refuses the model.
    counts: vehicles that it is made to count; see `counted`.
    """

    contract: Literal["edge-app/detector/1"] = Field(alias="schema")
    name: str
    file: str
    sha256: SHA256
    input: Input
    outputs: tuple[Output, ...]
    labels: tuple[str, ...]
    score: Literal["sigmoid", "none"]
    box_coding: BoxCoding
    anchors: Anchors
    licence: str
    origin: Any
    stage: Literal["candidate", "production"] = "candidate"
    gate: GateRecord | None = None
    counts: tuple[str, ...] = COUNTED

    @model_validator(mode="after")
    def _fits(self) -> Manifest:
        unknown = [label for label in self.labels if label not in LABELS]
        if unknown or not self.labels:
            raise ValueError(f"labels must be some of {', '.join(LABELS)}, not {', '.join(unknown) or 'none'}")
        if not set(self.labels) & set(VEHICLES):
            raise ValueError(f"labels must name a vehicle, not only {', '.join(self.labels)}")
        strange = [label for label in self.counts if label not in VEHICLES or label not in self.labels]
        if "counts" in self.model_fields_set and (strange or not self.counts):
            raise ValueError(f"counts must be vehicles among the labels, not {', '.join(strange) or 'none'}")
        want: list[int | None] = [None] if len(self.outputs) == 2 else [*range(len(self.anchors.layers))]
        for role in ("boxes", "scores"):
            if [o.layer for o in self.outputs if o.role == role] != want:
                raise ValueError(f"outputs: one tensor of {role} for each anchor layer, in order, or one for all")
        return self

    @property
    def layers(self) -> tuple[AnchorLayer, ...]:
        return tuple(AnchorLayer(layer.stride, layer.priors, layer.first, layer.step) for layer in self.anchors.layers)

    @property
    def proven(self) -> bool:
        """Return whether the model passed the gate; for a candidate nothing shows that it counts well enough."""
        return self.stage == "production" and self.gate is not None and self.gate.problem(self.sha256) is None

    @property
    def counted(self) -> tuple[str, ...]:
        """Vehicles counted where `counting.classes` names none; bicycles once the gate has asked for them."""
        shown = self.gate is not None and self.proven and self.gate.bicycles_shown
        return tuple(label for label in VEHICLES if label in self.counts and (label != "bicycle" or shown))


def default_model() -> Path:
    """Return the path of the default model: inside the installed package, or in models/ of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "models" / DEFAULT_MODEL
    return installed if installed.exists() else package.parent / "models" / "artefacts" / DEFAULT_MODEL


def load(model: Path) -> tuple[Manifest, bytes]:
    """Return the manifest beside a .tflite file, and the content of the file, whose hash has been checked.

    Raises DetectorError: when either is missing, unreadable or does not fit the other, and when the manifest says that
    the model is in production but has no gate record for this very file.
    """
    path = model.with_suffix(".json")
    manifest = _read_manifest(path)
    try:
        content = model.read_bytes()
    except OSError as error:
        raise DetectorError(f"cannot read the model {model}: {error.strerror}; check [detector] model") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != manifest.sha256:
        raise DetectorError(
            f"the model {model} is not the file its manifest describes (sha256 {digest[:12]}, expected "
            f"{manifest.sha256[:12]}): it is damaged or was replaced; copy the .tflite and the .json again"
        )
    if manifest.stage == "production" and not manifest.proven:
        problem = manifest.gate.problem(digest) if manifest.gate else "it carries no gate record"
        raise DetectorError(
            f"the model {model} says that it is in production, but {problem}: promote it with python -m "
            'models.registry, or set "stage": "candidate" in its manifest'
        )
    return manifest, content


def refuse_unproven(manifest: Manifest, *, allowed: bool) -> None:
    """Raise DetectorError for a model that has not passed the gate, unless the operator allows it."""
    if not (manifest.proven or allowed):
        raise DetectorError(
            f"the model {manifest.name} (sha256 {manifest.sha256[:12]}) is a candidate that has not passed the gate: "
            "promote it with python -m models.registry, or set detector.allow_unproven = true to count with it anyway"
        )


def refuse_shadow(candidate: Manifest, in_service: Manifest, classes: Iterable[str]) -> None:
    """Raise DetectorError for a candidate that cannot be compared with the detector in service.

    classes: those that are counted.
    """
    if candidate.sha256 == in_service.sha256:
        raise DetectorError(
            f"the candidate {candidate.name} is the detector in service (sha256 {candidate.sha256[:12]}): name another "
            "file at detector.shadow"
        )
    unknown = [label for label in classes if label not in candidate.labels]
    if unknown:
        raise DetectorError(
            f"the candidate {candidate.name} knows no {' and no '.join(unknown)}, which is counted here: name another "
            "file at detector.shadow"
        )


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DetectorError(
            f"cannot read the manifest {path}: {error.strerror}; each model needs its .json beside it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise DetectorError(
            f"the manifest {path} is not valid at {where}: {first['msg'].removeprefix('Value error, ')}"
        ) from error
