"""SSD detectors as TFLite files: the only file that knows the runtime.

ai-edge-litert where it is installed, its predecessor tflite-runtime elsewhere (32-bit Raspberry Pi OS).
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.detectors import Outputs
from edge_app.detectors.letterbox import Picture, letterbox
from edge_app.detectors.manifest import Manifest, default_model, load
from edge_app.detectors.ssd import anchors, decode, strongest, suppress
from edge_app.errors import DetectorError
from edge_app.records import LABELS, VEHICLES, Detections, FloatArray, Image

RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")


def _interpreter(content: bytes, threads: int) -> Any:
    for name in RUNTIMES:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and name.startswith(error.name):
                continue
            raise
        with _without_chatter():
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        return interpreter
    raise DetectorError("no TFLite runtime is installed; pip install ai-edge-litert (or tflite-runtime)")


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keeps the runtime's INFO lines off stderr, and passes on whatever else was written meanwhile.

    The runtime writes "Created TensorFlow Lite XNNPACK delegate" from C++ and has no setting for it.
    """
    with os.fdopen(os.memfd_create("stderr"), "w+b") as said:  # in memory: a device's disk may be full or read-only
        stderr = os.dup(2)
        try:
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not line.startswith(b"INFO: ")))


class TfliteEngine:
    """One interpreter on a number of threads of its own.

    weakest: raw score from which on something is said. wanted: bool (C,), the labels that are looked for.
    """

    def __init__(
        self, content: bytes, manifest: Manifest, path: Path, threads: int, weakest: float, wanted: NDArray[np.bool_]
    ) -> None:
        try:
            self._runtime = _interpreter(content, threads)
        except (ValueError, RuntimeError, MemoryError) as error:
            reason = str(error).splitlines()[0]
            raise DetectorError(f"the runtime cannot load the model {path}: {reason}") from error
        self._weakest, self._wanted = weakest, wanted
        self._input = _input_index(self._runtime, manifest, path)
        self._codes, self._scores = _output_indices(self._runtime, manifest, path)
        self._runtime.invoke()  # the first one is slow

    def infer(self, picture: Picture) -> Outputs:
        """Raises DetectorError when the runtime fails."""
        try:
            self.invoke(picture.pixels)
        except (RuntimeError, ValueError) as error:
            raise DetectorError(f"inference failed: {str(error).splitlines()[0]}") from error
        scores = self._joined(self._scores, len(self._wanted))
        anchors, labels = strongest(scores, self._weakest, self._wanted)
        return Outputs(anchors, labels, scores[anchors, labels], self._joined(self._codes, 4)[anchors])

    def invoke(self, pixels: Image) -> None:
        """One bare inference, uint8 (1, h, w, 3), whose outputs nobody takes: the yardstick of `bench`."""
        self._runtime.set_tensor(self._input, pixels)
        self._runtime.invoke()

    def _joined(self, indices: list[int], columns: int) -> FloatArray:
        """A copy, out of the runtime's own memory: no view of that may live on, or the next inference refuses."""
        joined: FloatArray = np.concatenate([self._runtime.tensor(i)().reshape(-1, columns) for i in indices])
        return joined


class TfliteDetector:
    """An int8 SSD with its manifest.

    model: a .tflite file with its .json beside it; None for the default that ships. engines: interpreters, for as
    many pictures at once. threads: of each of them; on the same cores two engines on one thread each do more than one
    on two, whose threads wait for each other at every layer. score: weakest detection reported. same_iou and any_iou:
    see `ssd.suppress`. Raises DetectorError when model, manifest or runtime do not fit.
    """

    def __init__(
        self,
        model: Path | None = None,
        *,
        engines: int = 1,
        threads: int = 1,
        score: float = 0.15,
        same_iou: float = 0.55,
        any_iou: float = 0.5,
    ) -> None:
        cv2.setNumThreads(1)  # its pool would compete with the interpreters for the same few cores
        self.path = model or default_model()
        self.manifest, content = load(self.path)
        self._same_iou, self._any_iou = same_iou, any_iou
        self._sigmoid = self.manifest.score == "sigmoid"
        weakest = _logit(score) if self._sigmoid else score
        # Only vehicles are decoded; a rider seen as a person is part of the motorcycle.
        wanted = np.array([name in VEHICLES for name in self.manifest.labels])
        self._classes = np.array([LABELS.index(n) if n in VEHICLES else -1 for n in self.manifest.labels], np.int16)
        self.engines = tuple(
            TfliteEngine(content, self.manifest, self.path, threads, weakest, wanted) for _ in range(engines)
        )
        self._anchors = anchors(self.manifest.input.width, self.manifest.input.height, self.manifest.layers)

    def detect(self, image: Image) -> Detections:
        """Vehicles in a uint8 (H, W, 3) BGR picture, boxes in its px, strongest first: all steps, one after another."""
        picture = self.prepare(image)
        return self.decode(picture, self.engines[0].infer(picture))

    def prepare(self, image: Image) -> Picture:
        size = self.manifest.input
        return letterbox(image, size.width, size.height, size.pad, size.detail)

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        scores = outputs.scores
        if self._sigmoid:
            scores = np.float32(1) / (np.float32(1) + np.exp(-scores))
        boxes = decode(outputs.codes, self._anchors[outputs.anchors], self.manifest.box_coding.scales)
        kept = suppress(boxes, scores, outputs.labels, self._same_iou, self._any_iou)
        return Detections(picture.original(boxes[kept]), scores[kept], self._classes[outputs.labels[kept]])

    def blank(self) -> Image:
        """An input with nothing in it, uint8 (1, h, w, 3)."""
        size = self.manifest.input
        return np.full((1, size.height, size.width, 3), size.pad, np.uint8)

    def close(self) -> None:
        self.engines = ()


def _logit(score: float) -> float:
    """The inverse of the sigmoid; every logit is above that of 0, none above that of 1."""
    return math.log(score / (1 - score)) if 0 < score < 1 else math.copysign(math.inf, score - 0.5)


def _input_index(runtime: Any, manifest: Manifest, path: Path) -> int:
    detail = runtime.get_input_details()[0]
    want = (1, manifest.input.height, manifest.input.width, 3)
    if tuple(detail["shape"]) != want or detail["dtype"] != np.uint8:
        raise DetectorError(
            f"the model {path} takes {_describe(detail)}, but its manifest says uint8 {want}: they do not fit"
        )
    return int(detail["index"])


def _output_indices(runtime: Any, manifest: Manifest, path: Path) -> tuple[list[int], list[int]]:
    """Tensor indices of the box codes and of the scores, each in the order of the anchor layers."""
    details = {detail["name"]: detail for detail in runtime.get_output_details()}
    found: dict[str, list[int]] = {"boxes": [], "scores": []}
    for output in manifest.outputs:
        if output.name not in details:
            raise DetectorError(f"the model {path} has no output {output.name!r}, which its manifest names")
        detail = details[output.name]
        layers = manifest.layers if output.layer is None else manifest.layers[output.layer : output.layer + 1]
        cells = [(layer.cells(manifest.input.width, manifest.input.height), len(layer.priors)) for layer in layers]
        columns = 4 if output.role == "boxes" else len(manifest.labels)
        want = sum(rows * cols * priors for (rows, cols), priors in cells) * columns
        if int(np.prod(detail["shape"])) != want or detail["dtype"] != np.float32:
            raise DetectorError(
                f"output {output.name!r} of the model {path} is {_describe(detail)}, but the anchors of its manifest "
                f"need {want} float32 values"
            )
        found[output.role].append(int(detail["index"]))
    return found["boxes"], found["scores"]


def _describe(detail: dict[str, Any]) -> str:
    shape: NDArray[np.int32] = detail["shape"]
    return f"{np.dtype(detail['dtype']).name} {tuple(int(n) for n in shape)}"
