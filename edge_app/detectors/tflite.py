"""Run SSD detectors from TFLite files: the only module that knows the runtime.

The runtime is ai-edge-litert where it is installed, elsewhere (32-bit Raspberry Pi OS) its predecessor tflite-runtime.
"""

from __future__ import annotations

import contextlib
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
from edge_app.detectors.manifest import Manifest, Output, default_model, load
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
        with _hidden_info_lines():
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
        return interpreter
    raise DetectorError("no TFLite runtime is installed; pip install ai-edge-litert (or tflite-runtime)")


@contextmanager
def _hidden_info_lines() -> Iterator[None]:
    """Keep the runtime's INFO lines off stderr, and pass on everything else that was written meanwhile.

    The runtime writes "Created TensorFlow Lite XNNPACK delegate" from C++ and has no setting against it.
    """
    with os.fdopen(os.memfd_create("stderr"), "w+b") as captured:  # in memory: a disk may be full or read-only
        stderr = os.dup(2)
        try:
            os.dup2(captured.fileno(), 2)
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            captured.seek(0)
            others = b"".join(line for line in captured if not line.startswith(b"INFO: "))
            if others:
                with contextlib.suppress(OSError):  # nobody can read it: that must not cost the model
                    os.write(2, others)


class TfliteEngine:
    """One interpreter with its own threads, which takes its memory when it is loaded.

    content: of the model file at `path`. threads: their number. min_score: lowest raw score in the outputs.
    wanted: bool (C,), the labels in the outputs.
    """

    def __init__(
        self, content: bytes, manifest: Manifest, path: Path, threads: int, min_score: float, wanted: NDArray[np.bool_]
    ) -> None:
        self._content, self._manifest, self._path, self._threads = content, manifest, path, threads
        self._min_score, self._wanted = min_score, wanted
        self._runtime: Any = None

    @property
    def loaded(self) -> bool:
        return self._runtime is not None

    def load(self) -> None:
        """Build the interpreter. Raises DetectorError: when the model does not load or does not fit its manifest."""
        try:
            runtime = _interpreter(self._content, self._threads)
        except (ValueError, RuntimeError, MemoryError) as error:
            reason = str(error).splitlines()[0]
            raise DetectorError(f"the runtime cannot load the model {self._path}: {reason}") from error
        self._input = _input_index(runtime, self._manifest, self._path)
        self._codes, self._scores = _output_indices(runtime, self._manifest, self._path)
        runtime.invoke()  # the first one is slow
        self._runtime = runtime

    def infer(self, picture: Picture) -> Outputs:
        """Run the network on a picture. Raises DetectorError: when the runtime fails."""
        try:
            self.invoke(picture.pixels)
        except (RuntimeError, ValueError) as error:
            raise DetectorError(f"inference failed: {str(error).splitlines()[0]}") from error
        scores = self._copy_outputs(self._scores, len(self._wanted))
        anchors, labels = strongest(scores, self._min_score, self._wanted)
        return Outputs(anchors, labels, scores[anchors, labels], self._copy_outputs(self._codes, 4)[anchors])

    def invoke(self, pixels: Image) -> None:
        """Run one bare inference on uint8 (1, h, w, 3) and leave the outputs: the reference of `bench`."""
        if self._runtime is None:
            self.load()
        self._runtime.set_tensor(self._input, pixels)
        self._runtime.invoke()

    def _copy_outputs(self, indices: list[int], columns: int) -> FloatArray:
        """Return tensors as one array with this number of columns.

        It is a copy: a view of the runtime's own memory that lives on would make the next inference fail.
        """
        rows: FloatArray = np.concatenate([self._runtime.tensor(i)().reshape(-1, columns) for i in indices])
        return rows


class TfliteDetector:
    """Detector with an int8 SSD model.

    model: .tflite file with its .json beside it; None for the default model.
    engines: number of interpreters, for as many pictures at once, each 14 MB; the first is loaded, others on demand.
    threads: of each interpreter. On the same cores two engines with one thread each do more than one with two, whose
    threads wait for each other at every layer.
    score: lowest score of a detection, 0..1. same_iou, any_iou: see `ssd.suppress`.
    Raises DetectorError: when model, manifest or runtime do not fit.
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
        cv2.setNumThreads(1)  # OpenCV's pool would compete with the interpreters for the same few cores
        self.path = model or default_model()
        self.manifest, content = load(self.path)
        self._same_iou, self._any_iou = same_iou, any_iou
        self._sigmoid = self.manifest.score == "sigmoid"
        min_score = _logit(score) if self._sigmoid else score
        # Only vehicles are decoded; a rider detected as a person is part of the motorcycle.
        wanted = np.array([name in VEHICLES for name in self.manifest.labels])
        self._classes = np.array([LABELS.index(n) if n in VEHICLES else -1 for n in self.manifest.labels], np.int16)
        self.engines = tuple(
            TfliteEngine(content, self.manifest, self.path, threads, min_score, wanted) for _ in range(engines)
        )
        self.engines[0].load()
        self._anchors = anchors(self.manifest.input.width, self.manifest.input.height, self.manifest.layers)

    def detect(self, image: Image) -> Detections:
        """Take an image, uint8 (H, W, 3) BGR, through all steps; return its vehicles, boxes in px, strongest first."""
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
        keep = suppress(boxes, scores, outputs.labels, self._same_iou, self._any_iou)
        return Detections(picture.to_original(boxes[keep]), scores[keep], self._classes[outputs.labels[keep]])

    def blank(self) -> Image:
        """Return an empty input, uint8 (1, h, w, 3)."""
        size = self.manifest.input
        return np.full((1, size.height, size.width, 3), size.pad, np.uint8)

    def close(self) -> None:
        self.engines = ()


def _logit(score: float) -> float:
    """Return the inverse of the sigmoid: minus infinity for 0, plus infinity for 1."""
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
    """Return the tensor indices of the box codes and of the scores, each in the order of the anchor layers."""
    details = {detail["name"]: detail for detail in runtime.get_output_details()}
    found: dict[str, list[int]] = {"boxes": [], "scores": []}
    for output in manifest.outputs:
        if output.name not in details:
            raise DetectorError(f"the model {path} has no output {output.name!r}, which its manifest names")
        detail = details[output.name]
        want = _output_length(manifest, output)
        if int(np.prod(detail["shape"])) != want or detail["dtype"] != np.float32:
            raise DetectorError(
                f"output {output.name!r} of the model {path} is {_describe(detail)}, but the anchors of its manifest "
                f"need {want} float32 values"
            )
        found[output.role].append(int(detail["index"]))
    return found["boxes"], found["scores"]


def _output_length(manifest: Manifest, output: Output) -> int:
    """Return the number of values that an output must have for the anchors of the manifest."""
    layers = manifest.layers if output.layer is None else manifest.layers[output.layer : output.layer + 1]
    cells = [(layer.cells(manifest.input.width, manifest.input.height), len(layer.priors)) for layer in layers]
    columns = 4 if output.role == "boxes" else len(manifest.labels)
    return sum(rows * cols * priors for (rows, cols), priors in cells) * columns


def _describe(detail: dict[str, Any]) -> str:
    shape: NDArray[np.int32] = detail["shape"]
    return f"{np.dtype(detail['dtype']).name} {tuple(int(n) for n in shape)}"
