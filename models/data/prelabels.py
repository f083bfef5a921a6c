"""Label pictures with a detector, for a person to correct: faster than drawing, and nothing to train on by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, Detections
from edge_app.system.names import stays_below
from models.data import fingerprints
from models.data.boxes import Boxes, with_boxes
from models.data.fingerprints import PictureError
from models.data.formats import Shown
from models.data.problems import Problems
from models.data.report.scenes import scene
from models.data.samples import CLASSES, NO_LICENCE, Sample, digest


def prelabelled(pictures: Mapping[str, Path], model: Path, score: float, problems: Problems) -> Iterator[Shown]:
    """Yield pictures with a detector's labels, and list those that cannot be used.

    pictures: name -> file. model: a detector (.tflite, its .json beside it). score: from which a detection is a label.
    Raises DetectorError: when the model does not load.
    """
    detector = TfliteDetector(model, score=score)
    try:
        for name, path in pictures.items():
            sample = _sample(name, path, model.name, problems)
            if sample is None:
                continue
            image = scene(sample)
            yield _shown(sample, detector.detect(image), (image.shape[1], image.shape[0]))
    finally:
        detector.close()


def _sample(name: str, path: Path, model: str, problems: Problems) -> Sample | None:
    """Return a picture without labels; list it and return None when it cannot be used."""
    if not stays_below(name):
        problems.add("unusable name", path, f"no file can be written under the name {name!r}")
        return None
    try:
        picture = fingerprints.usable(path.read_bytes())
        info = fingerprints.inspect(picture.image)
    except PictureError as error:
        problems.add("unreadable picture", path, f"it is {error}")
        return None
    except OSError as error:
        problems.add("unreadable picture", path, str(error.strerror))
        return None
    if picture.changes:
        problems.add("picture changed", path, "; ".join(picture.changes))
    return Sample(
        name=name,
        image=picture.image,
        width=info.width,
        height=info.height,
        aspect=info.width / info.height,
        boxes=np.empty((0, 4), np.float32),
        classes=np.empty(0, np.int16),
        ignored=np.empty(0, np.bool_),
        sha256=digest(picture.image),
        origin=f"labels by {model}, unchecked",
        licence=NO_LICENCE,
        camera=name,
    )


def _shown(sample: Sample, found: Detections, size: tuple[int, int]) -> Shown:
    """Return the picture with the detections of vehicles. size: of the picture that they were found in, px."""
    corners = np.clip(found.boxes / np.array(size * 2, np.float32), 0, 1).astype(np.float32)
    known = np.array([LABELS[int(kind)] in CLASSES for kind in found.classes], np.bool_)
    whole = known & (corners[:, 2:] > corners[:, :2]).all(axis=1)
    kinds = np.array([CLASSES.index(LABELS[int(kind)]) for kind in found.classes[whole]], np.int16)
    labels = Boxes(corners[whole], kinds, np.zeros(len(kinds), np.bool_))
    says = tuple(f"detector {score:.2f}" for score in found.scores[whole])
    return Shown(with_boxes(sample, labels), says, unchecked=True)
