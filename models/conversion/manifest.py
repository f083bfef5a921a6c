"""Write the manifest beside every detector file: what a device must know to use the file. Pure.

edge_app trusts nothing else: the manifest holds the hash, the preprocessing, the tensors and their meaning, the
anchors, and where all of it comes from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from models.common.errors import BuildError
from models.common.files import json_bytes, replace_file
from models.conversion import published_weights
from models.conversion.anchors import Size, anchor_layers, layer_count
from models.conversion.network import ROAD_USERS, output_names
from models.lineage import files
from models.lineage.records import Lineage

SCHEMA: Final = "edge-app/detector/1"
PAD: Final = 128
"""Grey level around a letterboxed frame."""
Manifest: TypeAlias = dict[str, Any]


DEFAULT_SIZES: Final = (Size(300, 300), Size(512, 288), Size(640, 384))


def describe(
    size: Size,
    model: bytes,
    quantisation: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    ends: tuple[list[str], list[str]] | None = None,
    layers: Sequence[Mapping[str, Any]] | None = None,
) -> Manifest:
    """Return the manifest of one built file, without scores.

    model: content of the .tflite. quantisation: how it was quantised. data: calibration data, licence and attribution.
    ends: names of the outputs for boxes and for scores; those of the source's network when not given.
    layers: the anchor layers of these outputs; those of the source's network when not given.
    """
    boxes, scores = ends or output_names(layer_count(size))
    outputs = [{"name": n, "role": "boxes", "layer": k} for k, n in enumerate(boxes)]
    outputs += [{"name": n, "role": "scores", "layer": k} for k, n in enumerate(scores)]
    return {
        "schema": SCHEMA,
        "name": size.model_name,
        "file": f"{size.model_name}.tflite",
        "sha256": hashlib.sha256(model).hexdigest(),
        "input": {
            "width": size.width, "height": size.height, "colour": "RGB", "dtype": "uint8",
            "resize": "letterbox", "pad": PAD,
        },
        "outputs": outputs,
        "labels": list(ROAD_USERS),
        "score": "sigmoid",
        "box_coding": {"order": "ty tx th tw", "scales": [10, 10, 5, 5]},
        "anchors": {"layers": list(layers or anchor_layers(size)), "relative_to": "min"},
        "quantisation": dict(quantisation),
        "licence": "Apache-2.0",
        "origin": origin(data),
        "scores": {},
    }  # fmt: skip


def origin(data: Mapping[str, Any]) -> Manifest:
    """Return where weights and calibration data come from."""
    return {
        "package": published_weights.PACKAGE,
        "version": published_weights.VERSION,
        "integrity": published_weights.INTEGRITY,
        "upstream": "SSDLite-MobileNetV2 300x300 trained on COCO, TensorFlow object detection model zoo",
        "changes": "class heads cut to 6 road users, cut before sigmoid and box decoding, quantised to int8",
        "calibration_data": dict(data),
    }


def write(folder: Path, manifest: Manifest, model: bytes, record: Lineage | None = None) -> Path:
    """Write a model and its manifest into a folder, the manifest last. Return the path of the model.

    record: of its ancestors, which the manifest names and which is written beside it.

    A model in production is replaced by models.registry alone, so its file is refused here; the same file may get a new
    manifest, which keeps its stage and gate record.
    Raises BuildError: when the folder cannot be written, or another model is in production there.
    """
    path = folder / str(manifest["file"])
    manifest = dict(manifest) | _kept(path, str(manifest["sha256"]))
    if record:
        manifest["origin"] = {**manifest["origin"], **stated(record)}
    try:
        replace_file(path, model)
        if record:
            files.write(files.beside(path), record)
        replace_file(path.with_suffix(".json"), json_bytes(manifest))
    except OSError as error:
        raise BuildError(f"{error.filename or path} cannot be written: {error.strerror or error}.") from error
    return path


def stated(record: Lineage) -> Manifest:
    """Return what a manifest says of its ancestors: the name of the record, one line each, and what is owed to whom."""
    rows = [
        {
            "name": one.called,
            "licence": one.step.licence,
            "data": sorted({f"{found.name}, {found.licence}" for found in one.sets}),
        }
        for one in record.ancestors()
    ]
    return {"lineage": {"head": record.head, "ancestors": rows}, "attribution": record.attribution()}


def _kept(path: Path, sha256: str) -> Manifest:
    """Return stage and gate record of the model in production at this path, when it is the same model."""
    try:
        present = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(present, dict) or present.get("stage") != "production":
        return {}
    if present.get("sha256") != sha256:
        raise BuildError(
            f"{path} is in production: build into another folder, then `python -m models.registry add` it."
        )
    return {key: present[key] for key in ("stage", "gate") if key in present}
