"""What the tests of the harvest share: made looks and tracks, pictures, a moment of a noon, and a harvester."""

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
    x, y = at
    return [x - 40, y - 30, x + 40, y + 30]


def seen(*found: tuple[tuple[float, float], float, int]) -> Detections:
    """Centre, score and class of each."""
    boxes = np.array([box(at) for at, _, _ in found], np.float32).reshape(-1, 4)
    scores, classes = [score for _, score, _ in found], [kind for _, _, kind in found]
    return Detections(boxes, np.array(scores, np.float32), np.array(classes, np.int16))


def tracks(
    *vehicles: tuple[int, tuple[float, float], bool], kind: int = CAR, origin: tuple[float, float] = (0, 0)
) -> Tracks:
    """Id, centre and whether it was seen in this frame."""
    n = len(vehicles)
    centres = np.array([at for _, at, _ in vehicles], np.float32).reshape(-1, 2)
    return Tracks(
        ids=np.array([track for track, _, _ in vehicles], np.int64),
        boxes=np.array([box(at) for _, at, _ in vehicles], np.float32).reshape(-1, 4),
        centroids=centres,
        velocities=np.zeros((n, 2), np.float32),
        classes=np.full(n, kind, np.int16),
        scores=np.full(n, 0.7, np.float32),
        seen=np.array([there for _, _, there in vehicles], np.bool_),
        origins=np.tile(np.array(origin, np.float32), (n, 1)),
        born=np.zeros(n),
    )


def white(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def noise(seed: int, width: int = 640, height: int = 360) -> Image:
    """A picture like no other, in large blocks."""
    small = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def moment(image: Image, index: int = 0, found: Detections | None = None, known: Tracks | None = None) -> Candidate:
    frame = Frame(image, index, NOON + index, float(index))
    result = FrameResult(frame, found or Detections.empty(), known or tracks())
    return Candidate(result, FrameScore({"missed": 1}, 1.0))


def harvester(folder: Path, quota: Quota = ROOMY, *masks: Mask, now: float = NOON, clip: str = "") -> Harvester:
    redaction = Redaction(masks, None, 4096)
    made = HarvestFolder(folder, quota, clip)
    return Harvester(
        made, redaction, strong=0.2, every_s=1, model="a" * 64, source="here/pole-1", clip=clip, wall=lambda: now
    )


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/JPEGImages/*.jpg"))
