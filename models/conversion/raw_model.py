"""Run built files on pictures: raw answers before suppression, and time per invoke."""

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
"""Columns of the scores that are compared: those of the classes that are counted by default."""


def manifest_anchors(manifest: Manifest) -> FloatArray:
    """Return the anchors of a manifest as the product computes them.

    They are float32 (A, 4): centre y, centre x, height, width in px.
    """
    layers = [
        AnchorLayer(la["stride"], tuple(map(tuple, la["priors"])), tuple(la["first"]), tuple(la["step"]))
        for la in manifest["anchors"]["layers"]
    ]
    return anchors(manifest["input"]["width"], manifest["input"]["height"], layers)


def as_raw(codes: FloatArray, logits: FloatArray, priors: FloatArray, manifest: Manifest) -> Raw:
    """Return boxes and vehicle scores of raw outputs.

    codes: (A, 4). logits: (A, 6). priors: (A, 4), the anchors.
    """
    return Raw(decode(codes, priors, manifest["box_coding"]["scales"]), sigmoid(logits[:, VEHICLE_COLUMNS]))


class RawModel:
    """A TFLite file in memory with its manifest, which gives everything it says about one letterboxed RGB picture."""

    def __init__(self, model: bytes, manifest: Manifest, threads: int = 1) -> None:
        self.manifest = manifest
        self._runtime = interpreter(model, threads)
        self._input = int(self._runtime.get_input_details()[0]["index"])
        self._indices = {d["name"]: int(d["index"]) for d in self._runtime.get_output_details()}
        self._anchors = manifest_anchors(manifest)

    def __call__(self, image: Image) -> Raw:
        """Return boxes in px of the input and vehicle scores, before suppression.

        image: uint8 (H, W, 3) RGB of the input's size.
        """
        self.invoke(image)
        return as_raw(*self._answer(), self._anchors, self.manifest)

    def everyone(self, image: Image) -> Raw:
        """Return the same with the scores of all ROAD_USERS, people and bicycles included."""
        self.invoke(image)
        codes, logits = self._answer()
        return Raw(decode(codes, self._anchors, self.manifest["box_coding"]["scales"]), sigmoid(logits))

    def invoke(self, image: Image) -> None:
        """Run one inference without reading the answer."""
        self._runtime.set_tensor(self._input, image[None])
        self._runtime.invoke()

    def _answer(self) -> tuple[FloatArray, FloatArray]:
        return self._gather("boxes", 4), self._gather("scores", len(ROAD_USERS))

    def _gather(self, role: str, columns: int) -> FloatArray:
        names = [o["name"] for o in self.manifest["outputs"] if o["role"] == role]
        return np.concatenate([self._runtime.get_tensor(self._indices[n]).reshape(-1, columns) for n in names])


def interpreter(model: bytes, threads: int) -> Any:
    """Return a ready ai-edge-litert interpreter. Raises BuildError: when the package is not installed."""
    try:
        module = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise BuildError("Running a detector needs ai-edge-litert: pip install '.[models]'.") from error
    runtime = module.Interpreter(model_content=model, num_threads=threads)
    runtime.allocate_tensors()
    return runtime


def relative_times(models: Mapping[str, Callable[[], None]], rounds: int = 60) -> dict[str, tuple[float, float]]:
    """Return for each call its median time in ms and the ratio to the first call's, measured in turns."""
    median = {name: float(np.median(values)) for name, values in times_in_turns(models, rounds).items()}
    base = next(iter(median.values()))
    return {name: (value, value / base) for name, value in median.items()}


def times_in_turns(models: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Return the times of each call, ms float64 (rounds,).

    The calls run one after the other in every round, so that a busy machine slows them alike.
    """
    taken: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, call in models.items():
            start = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - start) * 1000)
    return {name: np.array(values) for name, values in taken.items()}
