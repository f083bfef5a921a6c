"""Export trained weights to the files that a device takes: int8 and float32 TFLite, each with its manifest.

Post-training quantisation by models.conversion.quantisation, with representative pictures from the training's own
shards, spread over its cameras.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from edge_app.detectors.manifest import COUNTED
from edge_app.records import VEHICLES, FloatArray
from models.conversion import gptq, network, tensorflow_adapter
from models.conversion import quantisation as recipe
from models.conversion.anchors import Size
from models.conversion.manifest import Manifest, describe, write
from models.conversion.pictures import scaled
from models.conversion.published_weights import Graph
from models.conversion.quantisation import FLOAT, Recipe
from models.data.samples import Sample
from models.lineage.records import Lineage
from models.training import hints, ranges, scenes, scoring, trimming, validation, weights
from models.training.anchoring import anchors_of, manifest_layers
from models.training.architecture import Plan
from models.training.augment import Augmenter
from models.training.folder import RunFolder
from models.training.framing import cut
from models.training.keras_network import graph_of, keras_network
from models.training.loop import plan_of
from models.training.scenes import Drawer, decoded
from models.training.scoring import Fit
from models.training.settings import Settings

VIEWS: Final = 500
"""Pictures by which channels are found that never change."""
LICENCE: Final = "Apache-2.0"
CHANGES: Final = (
    "class heads cut to 6 road users, cut before sigmoid and box decoding, batch norm folded, a {fine} of stride 8 "
    "and two priors of stride 16 added, fine-tuned, {trimmed}quantised to int8"
)
DATA_CHANGES: Final = (
    "pictures resized and re-encoded, classes merged, shown in their true aspect, cropped and altered in training"
)


def export(
    folder: RunFolder,
    trained: weights.Weights,
    samples: Sequence[Sample],
    out: Path,
    *,
    quantisation: Recipe,
    fits: Mapping[str, Fit] = MappingProxyType({}),
    size: Size | None = None,
    mixed: Mapping[str, Any] = MappingProxyType({}),
    detail: float = 1.0,
    trim: bool = True,
    record: Lineage | None = None,
    name: str | None = None,
    bicycles: bool = False,
) -> tuple[Path, Path]:
    """Write NAME-WxH.tflite and float/NAME-WxH.tflite with their manifests. Return both paths, int8 first.

    samples: those that may calibrate. out: folder for the files. quantisation: the recipe.
    fits: of the scores, see `fitted`. size: another input size than the trained one.
    mixed: what else is in these weights, for the manifest.
    detail: how crisp frames are shown to the model, see edge_app.detectors.manifest.Input.
    trim: leave out channels that never change, see models.training.trimming.
    name: of the files, before their size; None for the run's. bicycles: whether they are made to count them.
    record: of all ancestors; written beside each file, without it nothing is promoted.
    Raises BuildError: when something is missing or does not fit.
    """
    settings = folder.settings()
    plan, size = plan_of(settings), size or settings.size
    trained = scoring.folded(trained, plan, fits)
    chosen = spread(samples, quantisation.pictures)
    graph = graph_of(plan, size, trained)
    if trim:
        plan, trained = trimming.trimmed(plan, trained, trimming.extents(graph, plan, _views(samples, settings, size)))
        graph = graph_of(plan, size, trained)
    if quantisation.rounding:
        graph = _compensated(graph, list(calibration(chosen[: recipe.ROUNDING_PICTURES], size)))
    inputs = list(calibration(chosen, size))
    # The steps of the scores come from the calibration: `fits` changed the scores after the ranges were measured.
    learned = {name: pair for name, pair in ranges.read(folder.ranges).items() if name not in plan.outputs[1]}
    files = []
    for how, place in ((quantisation, out), (FLOAT, out / "float")):
        model = recipe.converted(graph, size, plan.outputs, how, inputs if how.quantise else [], learned)
        made = _manifest(folder, trained, plan, size, model, how, chosen)
        made["origin"]["training"] |= mixed
        made["origin"]["changes"] = CHANGES.format(
            fine="deep fine layer" if settings.deep else "fine layer",
            trimmed="channels that never move left out, " if trim else "",
        )
        made["input"]["detail"] = detail
        made["counts"] = list(VEHICLES if bicycles else COUNTED)
        made["name"] = file_name(name or folder.path.resolve().name, size)
        made["file"] = f"{made['name']}.tflite"
        files.append(write(place, made, model, record))
    return files[0], files[1]


def file_name(name: str, size: Size) -> str:
    """Return the name of a detector's file without suffix: "pole-7-512x288", in letters that the registry takes."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")
    return f"{plain[:60] or 'model'}-{size}"


def fitted(folder: RunFolder, trained: weights.Weights, samples: Sequence[Sample]) -> dict[str, Fit]:
    """Return label -> fit with which scores of these weights mean shares of right detections.

    samples: labelled pictures, those of the validation.
    """
    settings = folder.settings()
    plan = plan_of(settings)
    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    network_ = keras_network(plan, settings.size, trained, ranges=ranges.read(folder.ranges))

    def predict(images: FloatArray) -> tuple[FloatArray, FloatArray]:
        codes, logits = network_(images, training=False)
        return np.asarray(codes), np.asarray(logits)

    return scoring.fits(
        validation.observe(predict, samples, hints.load(folder.hints), anchors_of(plan, settings.size), settings)
    )


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return `count` samples, as evenly over the cameras as possible, always the same."""
    by_camera: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda s: s.sha256):
        by_camera.setdefault(sample.camera, []).append(sample)
    # A street-level set with a camera for each picture counts as one camera, or most pictures would be from it.
    groups: dict[str, list[Sample]] = {}
    for camera, found in by_camera.items():
        groups.setdefault(camera if len(found) > 5 else found[0].origin, []).extend(found)
    chosen: list[Sample] = []
    while len(chosen) < count and any(groups.values()):
        chosen += [group.pop() for group in groups.values() if group]
    return chosen[:count]


def calibration(samples: Sequence[Sample], size: Size) -> Iterator[FloatArray]:
    """Yield representative inputs, float32 (1, H, W, 3) in [-1, 1].

    models.conversion.pictures says why one black and one white pixel are in each.
    """
    for sample in samples:
        image = scaled(cut(decoded(sample), size).image[..., ::-1])
        image[0, 0, 0], image[0, 0, 1] = -1, 1
        yield image


def _views(samples: Sequence[Sample], settings: Settings, size: Size) -> Iterator[FloatArray]:
    """Yield inputs as a training shows them: by night, in rain, near and far."""
    random = np.random.default_rng(settings.seed)
    chances = scenes.weights(samples, settings.balance, settings.origins)
    show = Augmenter(Drawer(samples, chances, {}, (), random), size, settings.augmentation, random)
    for _ in range(VIEWS):
        yield scaled(show().image[..., ::-1])


def _compensated(graph: Graph, inputs: Sequence[FloatArray]) -> Graph:
    names = gptq.input_names(graph)
    inner = [name for name in names if name != network.INPUT]
    run = tensorflow_adapter.runner(graph, [network.INPUT], inner)
    activations = ({network.INPUT: image, **dict(zip(inner, run(image), strict=True))} for image in inputs)
    return gptq.rounded(graph, gptq.measure(graph, activations))


def _manifest(
    folder: RunFolder,
    trained: weights.Weights,
    plan: Plan,
    size: Size,
    model: bytes,
    how: Recipe,
    chosen: Sequence[Sample],
) -> Manifest:
    names = "\n".join(sample.name for sample in chosen)
    method = "full int8, weights per output channel, float32 outputs per layer"
    aware = ", trained for it" if folder.ranges.exists() else ""
    statement = {
        "method": method + aware if how.quantise else "none",
        "recipe": asdict(how),
        "calibration_pictures": len(chosen) if how.quantise else 0,
        "calibration_list_sha256": hashlib.sha256(names.encode()).hexdigest(),
    }
    calibrated = {"sources": sorted({f"{s.origin}, {s.licence}" for s in chosen}), "changes": DATA_CHANGES}
    made = describe(size, model, statement, calibrated, ends=plan.outputs, layers=manifest_layers(plan, size))
    made["origin"]["training"] = _lineage(folder, trained)
    return made | {"licence": LICENCE}


def _lineage(folder: RunFolder, trained: weights.Weights) -> dict[str, Any]:
    data = folder.data()
    return {
        "run": folder.path.name,
        "config_sha256": folder.digest(),
        "code": folder.code(),
        "parent": data["parent"],
        "weights_sha256": weights.digest(trained),
        "changes": DATA_CHANGES,
        "data": data["data"],
    }
