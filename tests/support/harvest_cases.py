"""Share helpers of the tests of the harvest: synthetic detections, tracks and pictures, candidates, a harvester."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.harvest.folder import HarvestFolder, Quota
from edge_app.harvest.harvester import Candidate, Harvester
from edge_app.harvest.picture import Redaction
from edge_app.harvest.selection import FrameScore
from edge_app.records import LABELS, Detections, Frame, FrameResult, Image, Tracks
from edge_app.sources.masks import Mask

CAR, MOTORCYCLE = LABELS.index("car"), LABELS.index("motorcycle")
ROOMY: Final = Quota(frames=1000, mb=1000, days=30, keep_free_mb=0)
NOON: Final = 1_795_608_000.0  # 2026-11-25 12:00 UTC
DAY: Final = "2026-11-25"


def box(at: tuple[float, float]) -> list[float]:
    """Return x0, y0, x1, y1 of a box of 80 x 60 px around a centre."""
    x, y = at
    return [x - 40, y - 30, x + 40, y + 30]


def detections(*rows: tuple[tuple[float, float], float, int]) -> Detections:
    """Return detections, each given by centre, score and class."""
    boxes = np.array([box(at) for at, _, _ in rows], np.float32).reshape(-1, 4)
    scores, classes = [score for _, score, _ in rows], [kind for _, _, kind in rows]
    return Detections(boxes, np.array(scores, np.float32), np.array(classes, np.int16))


def tracks(
    *vehicles: tuple[int, tuple[float, float], bool], kind: int = CAR, origin: tuple[float, float] = (0, 0)
) -> Tracks:
    """Return tracks, each given by id, centre and whether it was matched in this frame."""
    n = len(vehicles)
    centres = np.array([at for _, at, _ in vehicles], np.float32).reshape(-1, 2)
    return Tracks(
        ids=np.array([track for track, _, _ in vehicles], np.int64),
        boxes=np.array([box(at) for _, at, _ in vehicles], np.float32).reshape(-1, 4),
        centroids=centres,
        velocities=np.zeros((n, 2), np.float32),
        classes=np.full(n, kind, np.int16),
        scores=np.full(n, 0.7, np.float32),
        seen=np.array([matched for _, _, matched in vehicles], np.bool_),
        origins=np.tile(np.array(origin, np.float32), (n, 1)),
        born=np.zeros(n),
        first_seen=np.zeros(n),
    )


def white(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def noise(seed: int, width: int = 640, height: int = 360) -> Image:
    """Return a picture of random blocks, different for each seed."""
    small = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def candidate(image: Image, index: int = 0, found: Detections | None = None, known: Tracks | None = None) -> Candidate:
    """Return a candidate of frame `index`, `index` seconds after noon, with these detections and tracks."""
    frame = Frame(image, index, NOON + index, float(index))
    result = FrameResult(frame, found or Detections.empty(), known or tracks())
    return Candidate(result, FrameScore({"missed": 1}, 1.0))


def harvester(folder: Path, quota: Quota = ROOMY, *masks: Mask, now: float = NOON, clip: str = "") -> Harvester:
    redaction = Redaction(masks, None, 4096)
    return Harvester(
        HarvestFolder(folder, quota, clip),
        redaction,
        strong=0.2,
        every_s=1,
        model="a" * 64,
        source="here/pole-1",
        clip=clip,
        wall=lambda: now,
    )


def pictures(folder: Path) -> list[Path]:
    """Return the kept pictures in a harvest folder, in order of their names."""
    return sorted(folder.glob("*/JPEGImages/*.jpg"))
