"""Measures the judgement of the view: real clips as they are, and altered.

`python -m tests.trials.view [CLIP ...]` prints a table: each clip is watched for a minute as it is (played again and
again, every flag is a false alarm), then altered for a minute: seconds until the right flag, and wrong flags beside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from edge_app.camera_health.measures import small_grey
from edge_app.camera_health.monitor import ViewMonitor
from edge_app.records import Image
from tests.support.shared import SHARED

MINUTE = 60
Alter = Callable[[Image], Image]


def darkened(image: Image) -> Image:
    return (image * 0.08).astype(np.uint8)


def night(image: Image) -> Image:
    """Exposure down to a sixth, two headlights, and noise as of a sensor at high gain."""
    dim = image.astype(np.float32) / np.float32(6)
    height, width = image.shape[:2]
    for x in (0.45, 0.52):
        cv2.circle(dim, (int(x * width), int(0.6 * height)), width // 40, (255, 255, 255), -1)
    noisy: Image = np.clip(dim + np.random.default_rng(1).normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    return noisy


def covered(image: Image) -> Image:
    """A cloth before the lens: a soft gradient of grey, and noise."""
    height, width = image.shape[:2]
    cloth = np.linspace(60, 110, width, dtype=np.float32)[None, :, None] + np.zeros((height, 1, 3), np.float32)
    return np.clip(cloth + np.random.default_rng(1).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def black(image: Image) -> Image:
    """A hand on the lens: black with noise."""
    return np.clip(np.random.default_rng(1).normal(6, 3, image.shape), 0, 255).astype(np.uint8)


def blurred(sigma: float) -> Alter:
    """sigma: thousandths of the width."""
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / 1000).astype(np.uint8)


def moved(right: float, down: float, angle: float = 0.0, zoom: float = 1.0) -> Alter:
    """Turned as a camera on its pole: parts of the frame and degrees; what comes into view is unknown, so mirrored."""

    def turn(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
        matrix[:, 2] += right * width, down * height
        turned: Image = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
        return turned

    return turn


def truck(image: Image) -> Image:
    """A truck that stands before the camera and fills half the picture."""
    out: Image = image.copy()
    height, width = image.shape[:2]
    out[height // 5 :, width // 4 : 3 * width // 4 + width // 8] = 150
    out[height // 2 : height // 2 + 4, width // 4 : 3 * width // 4 + width // 8] = 30
    return out


def as_is(image: Image) -> Image:
    return image


TRIALS: dict[str, tuple[Alter, set[str]]] = {
    "as it is": (as_is, set()),
    "truck fills half": (truck, set()),
    "half the light": (lambda image: (image * 0.5).astype(np.uint8), set()),
    "night, headlights": (night, {"dark", "-"}),
    "darkened to 8 %": (darkened, {"dark", "blind"}),
    "covered, cloth": (covered, {"blind"}),
    "covered, black": (black, {"blind", "dark"}),
    "blurred, 4/1000 of the width": (blurred(4), {"blurred"}),
    "blurred, 8/1000": (blurred(8), {"blurred"}),
    "moved 3 % right": (moved(0.03, 0), {"moved"}),
    "moved 8 %, 5 % down": (moved(0.08, 0.05), {"moved"}),
    "moved 20 % left": (moved(-0.2, 0), {"moved"}),
    "turned 3 degrees, 4 % right": (moved(0.04, 0, 3), {"moved"}),
}


def pictures(clip: Path) -> list[Image]:
    """One picture for each second of the clip."""
    capture = cv2.VideoCapture(str(clip))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    found: list[Image] = []
    step, index = max(1, round(rate)), 0
    while capture.grab():
        if index % step == 0:
            found.append(capture.retrieve()[1].astype(np.uint8))
        index += 1
    return found


def watch(images: list[Image], alter: Alter) -> Iterator[tuple[float, frozenset[str], float, float]]:
    """Seconds since the alteration, flags and shift, once a second; before it as it is."""
    eye = ViewMonitor()
    for second, image in zip(range(2 * MINUTE), cycle(images), strict=False):
        shown = image if second < MINUTE else alter(image)
        view = eye.look(small_grey(shown), float(second))
        yield second - MINUTE, view.flags, view.right, view.down


def judge(images: list[Image], alter: Alter, wanted: set[str]) -> str:
    """In the table's words: s until a wanted flag was raised; false ones in capitals."""
    raised: dict[str, float] = {}
    shift = ""
    for second, flags, right, down in watch(images, alter):
        for flag in flags:
            raised.setdefault(flag, second)
        if "moved" in flags:
            shift = f" ({right:+.0%}, {down:+.0%})"
    told = {flag: f"{flag} {at:.0f} s" + (shift if flag == "moved" else "") for flag, at in raised.items()}
    right_ones = [told[flag] for flag in raised if flag in wanted]
    false_ones = [f"FALSE {told[flag]}" for flag in raised if flag not in wanted]
    missed = ["MISSED"] if wanted and "-" not in wanted and not wanted & raised.keys() else []
    return ", ".join(right_ones + false_ones + missed) or "-"


def main() -> None:
    clips = [Path(name) for name in sys.argv[1:]] or sorted((SHARED / "clips").glob("*.mp4"))
    for clip in clips:
        images = pictures(clip)
        print(f"{clip.stem} ({len(images)} looks)")
        for name, (alter, wanted) in TRIALS.items():
            print(f"  {name:30} {judge(images, alter, wanted)}", flush=True)


if __name__ == "__main__":
    main()
