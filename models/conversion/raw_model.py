"""Run built files on pictures: raw answers, time per invoke. How good they are: models.evaluation."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_app.detectors.ssd import AnchorLayer, anchors, decode
from edge_app.records import FloatArray, Image
from models.common.errors import BuildError
from models.common.logits import sigmoid
from models.conversion.fidelity import Raw
from models.conversion.manifest import Manifest
from models.conversion.network import ROAD_USERS

VEHICLE_COLUMNS: Final = [i for i, name in enumerate(ROAD_USERS) if name not in ("person", "bicycle")]
"""Columns of the scores that are compared: what is counted by default."""


def manifest_anchors(manifest: Manifest) -> FloatArray:
    """Anchors float32 (A, 4) centre y, centre x, height, width in px, as the product computes them."""
    layers = [
        AnchorLayer(la["stride"], tuple(map(tuple, la["priors"])), tuple(la["first"]), tuple(la["step"]))
        for la in manifest["anchors"]["layers"]
    ]
    return anchors(manifest["input"]["width"], manifest["input"]["height"], layers)


def as_raw(codes: FloatArray, logits: FloatArray, priors: FloatArray, manifest: Manifest) -> Raw:
    """Boxes and vehicle scores of raw outputs: codes (A, 4), logits (A, 6)."""
    return Raw(decode(codes, priors, manifest["box_coding"]["scales"]), sigmoid(logits[:, VEHICLE_COLUMNS]))


class RawModel:
    """A TFLite file in memory with its manifest, asked for everything it says about one letterboxed RGB picture."""

    def __init__(self, model: bytes, manifest: Manifest, threads: int = 1) -> None:
        self.manifest = manifest
        self._runtime = interpreter(model, threads)
        self._input = int(self._runtime.get_input_details()[0]["index"])
        self._indices = {d["name"]: int(d["index"]) for d in self._runtime.get_output_details()}
        self._anchors = manifest_anchors(manifest)

    def __call__(self, image: Image) -> Raw:
        """uint8 (H, W, 3) RGB of the input's size -> boxes in its px and vehicle scores, before suppression."""
        self.invoke(image)
        return as_raw(*self._answer(), self._anchors, self.manifest)

    def everyone(self, image: Image) -> Raw:
        """As calling it, with the scores of all of ROAD_USERS: people and bicycles too."""
        self.invoke(image)
        codes, logits = self._answer()
        return Raw(decode(codes, self._anchors, self.manifest["box_coding"]["scales"]), sigmoid(logits))

    def invoke(self, image: Image) -> None:
        """One bare inference."""
        self._runtime.set_tensor(self._input, image[None])
        self._runtime.invoke()

    def _answer(self) -> tuple[FloatArray, FloatArray]:
        return self._gather("boxes", 4), self._gather("scores", len(ROAD_USERS))

    def _gather(self, role: str, columns: int) -> FloatArray:
        names = [o["name"] for o in self.manifest["outputs"] if o["role"] == role]
        return np.concatenate([self._runtime.get_tensor(self._indices[n]).reshape(-1, columns) for n in names])


def interpreter(model: bytes, threads: int) -> Any:
    """A ready ai-edge-litert interpreter. Raises BuildError where it is not installed."""
    try:
        module = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise BuildError("Judging a detector needs ai-edge-litert: pip install '.[models]'.") from error
    runtime = module.Interpreter(model_content=model, num_threads=threads)
    runtime.allocate_tensors()
    return runtime


def relative_times(models: Mapping[str, Callable[[], None]], rounds: int = 60) -> dict[str, tuple[float, float]]:
    """Median ms of each call, and its ratio to the first one's, measured in turns."""
    median = {name: float(np.median(values)) for name, values in times_in_turns(models, rounds).items()}
    base = next(iter(median.values()))
    return {name: (value, value / base) for name, value in median.items()}


def times_in_turns(models: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """ms float64 (rounds,) of each call, one after the other in every round so that all share the same noise."""
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, call in models.items():
            start = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - start) * 1000)
    return {name: np.array(values) for name, values in taken.items()}
