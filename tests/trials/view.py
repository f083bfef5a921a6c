"""Measure the view monitor on real clips, unaltered and altered.

`python -m tests.trials.view [CLIP ...]` prints a table. Each clip is shown for a minute unaltered, in a loop, where
every flag is a false alarm, and then altered for a minute: the table has the seconds until the right flag, and the
wrong flags.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from edge_app.camera_health.measures import small_grey
from edge_app.camera_health.monitor import ViewMonitor, ViewState
from edge_app.records import Image
from tests.support.shared import SHARED

MINUTE = 60
Alteration = Callable[[Image], Image]
"""Function from a picture to an altered copy."""


def darkened(image: Image) -> Image:
    return (image * 0.08).astype(np.uint8)


def night(image: Image) -> Image:
    """Reduce the exposure to a sixth, add two headlights and the noise of a sensor at high gain."""
    dim = image.astype(np.float32) / np.float32(6)
    height, width = image.shape[:2]
    for x in (0.45, 0.52):
        cv2.circle(dim, (int(x * width), int(0.6 * height)), width // 40, (255, 255, 255), -1)
    noisy: Image = np.clip(dim + np.random.default_rng(1).normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    return noisy


def covered(image: Image) -> Image:
    """Return a cloth in front of the lens: a soft gradient of grey, and noise."""
    height, width = image.shape[:2]
    cloth = np.linspace(60, 110, width, dtype=np.float32)[None, :, None] + np.zeros((height, 1, 3), np.float32)
    return np.clip(cloth + np.random.default_rng(1).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def black(image: Image) -> Image:
    """Return a hand on the lens: black with noise."""
    return np.clip(np.random.default_rng(1).normal(6, 3, image.shape), 0, 255).astype(np.uint8)


def blurred(sigma: float) -> Alteration:
    """Return a Gaussian blur. sigma: thousandths of the width."""
    return lambda image: cv2.GaussianBlur(image, (0, 0), sigma * image.shape[1] / 1000).astype(np.uint8)


def moved(right: float, down: float, angle: float = 0.0, zoom: float = 1.0) -> Alteration:
    """Return the view of a turned camera; the parts that come into view are mirrored ones.

    right, down: parts of the frame. angle: degrees. zoom: factor.
    """

    def turn(image: Image) -> Image:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
        matrix[:, 2] += right * width, down * height
        turned: Image = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
        return turned

    return turn


def truck(image: Image) -> Image:
    """Add a truck that stands before the camera and fills half the picture."""
    out: Image = image.copy()
    height, width = image.shape[:2]
    out[height // 5 :, width // 4 : 3 * width // 4 + width // 8] = 150
    out[height // 2 : height // 2 + 4, width // 4 : 3 * width // 4 + width // 8] = 30
    return out


def as_is(image: Image) -> Image:
    return image


TRIALS: dict[str, tuple[Alteration, set[str]]] = {
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
"""Alterations and the flags expected of each; "-" means that none is right too."""


def pictures(clip: Path) -> list[Image]:
    """Return one picture for each second of the clip."""
    capture = cv2.VideoCapture(str(clip))
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
    found: list[Image] = []
    step, index = max(1, round(rate)), 0
    while capture.grab():
        if index % step == 0:
            found.append(capture.retrieve()[1].astype(np.uint8))
        index += 1
    return found


def states(images: list[Image], alteration: Alteration) -> Iterator[tuple[float, ViewState]]:
    """Yield seconds since the alteration and the state, once a second, beginning a minute before."""
    monitor = ViewMonitor()
    for second, image in zip(range(2 * MINUTE), cycle(images), strict=False):
        shown = image if second < MINUTE else alteration(image)
        yield second - MINUTE, monitor.update(small_grey(shown), float(second))


def result(images: list[Image], alteration: Alteration, expected: set[str]) -> str:
    """Return a cell of the table: s until each expected flag was raised; false flags in capitals."""
    raised: dict[str, float] = {}
    shift = ""
    for second, state in states(images, alteration):
        for flag in state.flags:
            raised.setdefault(flag, second)
        if "moved" in state.flags:
            shift = f" ({state.right:+.0%}, {state.down:+.0%})"
    texts = {flag: f"{flag} {at:.0f} s" + (shift if flag == "moved" else "") for flag, at in raised.items()}
    right_ones = [texts[flag] for flag in raised if flag in expected]
    false_ones = [f"FALSE {texts[flag]}" for flag in raised if flag not in expected]
    missed = ["MISSED"] if expected and "-" not in expected and not expected & raised.keys() else []
    return ", ".join(right_ones + false_ones + missed) or "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clips", nargs="*", type=Path, metavar="CLIP", help="videos (default: all of the shared data)")
    for clip in parser.parse_args().clips or sorted((SHARED / "clips").glob("*.mp4")):
        images = pictures(clip)
        print(f"{clip.stem} ({len(images)} pictures)")
        for name, (alteration, expected) in TRIALS.items():
            print(f"  {name:30} {result(images, alteration, expected)}", flush=True)


if __name__ == "__main__":
    main()
