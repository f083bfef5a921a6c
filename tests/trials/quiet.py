"""Count a quiet road twice, with and without `detector.motion`: the events must be equal, and most frames still.

`python -m tests.trials.quiet CLIPS_DIR [--minutes 10] [--apart 60] [--view NAME]` shows two real views, a road from the
side and a street with parked cars: the frames of a clip in which nothing drives, again and again, forwards and
backwards. Cars cut out of a clip drive through, one a minute, large and small, clear and faint. Each fifth of the time
has other weather: the noise of a camera, shadows of clouds, rain, a trembling camera, and night with headlights. It
prints the share of frames without inference and the events, and takes a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final, TypeAlias

import cv2
import numpy as np

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config, LineConfig
from edge_app.console.terminal import bar, stdout, table
from edge_app.detectors import Outputs
from edge_app.detectors.letterbox import Picture
from edge_app.detectors.tflite import TfliteDetector, TfliteEngine
from edge_app.records import Crossing, FloatArray, Frame, Image
from edge_app.sources.recording import Recording
from tests.trials.composed import Cutout, material, paint
from tests.trials.detected import DetectionStore, read

FPS: Final = 15.0
CARS: Final = "us_sideview_overhead_cars.mp4"
VIEWS: Final = ("road", "street")
LEAST_STILL: Final = 0.8
"""Target: share of frames without inference."""
_NOISES: Final = 16
"""Number of pictures of noise, taken in turn and shifted."""

Weather: TypeAlias = Callable[[FloatArray, float], FloatArray]
"""Function from a picture, float32 (H, W, 3) 0..255, and its time, s, to another."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An empty view. pictures: shown forwards and backwards. lanes: y px of vehicles. lengths: px of a vehicle."""

    name: str
    pictures: Sequence[Image]
    lanes: tuple[float, float]
    lengths: tuple[float, float]

    def picture(self, index: int) -> Image:
        last = len(self.pictures) - 1
        return self.pictures[last - abs(index % (2 * last) - last)] if last else self.pictures[0]


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """A car that drives through. at: s when its middle is in the picture's. speed: px/s. opacity: 0..1."""

    cutout: Cutout
    at: float
    speed: float
    y: float
    opacity: float

    def x(self, time: float, width: int) -> float:
        return width / 2 + self.speed * (time - self.at)


class Skies:
    """What the weather does to pictures of one size; the same seed gives the same weather."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        self._rng, (self._width, self._height) = np.random.default_rng(seed), size
        shape = (self._height, self._width, 1)
        self._noises = [self._rng.normal(0, 2, shape).astype(np.float32) for _ in range(_NOISES)]

    def noise(self, picture: FloatArray, _time: float) -> FloatArray:
        noise = self._noises[int(self._rng.integers(_NOISES))]
        return picture + np.roll(noise, tuple(self._rng.integers(0, 100, 2)), (0, 1))

    def cloud(self, picture: FloatArray, time: float) -> FloatArray:
        """A soft shadow of a third of the width passes every 30 s within 10 s."""
        middle = ((time % 30) / 10 * 2 - 0.5) * self._width
        away = np.abs(np.arange(self._width, dtype=np.float32) - middle) / (0.35 * self._width)
        shadow = 1 - 0.35 * np.exp(-(away**4))
        return self.noise((picture * shadow[None, :, None]).astype(np.float32), time)

    def rain(self, picture: FloatArray, time: float) -> FloatArray:
        """Four hundred streaks, each in one frame, as long as 4 % of the height."""
        streaks = np.zeros((self._height, self._width), np.uint8)
        xs, ys = self._rng.integers(0, self._width, 400), self._rng.integers(0, self._height, 400)
        length = max(2, round(0.04 * self._height))
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            cv2.line(streaks, (x, y), (x + 1, y + length), (70,), 1, cv2.LINE_AA)
        return self.noise(picture + streaks[..., None].astype(np.float32) * 0.6, time)

    def tremble(self, picture: FloatArray, time: float) -> FloatArray:
        """The mast sways by half a px, now and then by two."""
        sway = 0.5 + 1.5 * (time % 20 < 2)
        dx, dy = sway * np.sin(2 * np.pi * 3.1 * time), sway * np.sin(2 * np.pi * 2.3 * time)
        matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        size = (self._width, self._height)
        moved = cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        return self.noise(moved.astype(np.float32, copy=False), time)

    def night(self, picture: FloatArray, time: float) -> FloatArray:
        return self.noise(picture * np.float32(0.15), time)


def headlights(picture: FloatArray, passage: Passage, time: float) -> None:
    """Add the light of a car to a picture: two lamps in front and what they shine on."""
    height, width = picture.shape[:2]
    ahead = np.sign(passage.speed) * passage.cutout.length
    x, y = passage.x(time, width) + ahead / 2, passage.y + 0.1 * abs(ahead)
    columns, rows = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    for at, size, light in ((0.0, 0.07, 220.0), (0.5 * ahead, 0.4, 50.0)):
        spread = 2 * (size * passage.cutout.length) ** 2
        picture += (light * np.exp(-((columns - x - at) ** 2 + (rows - y) ** 2) / spread))[..., None]


def passages(view: View, cars: Sequence[Cutout], seconds: float, apart: float, seed: int) -> list[Passage]:
    """Return a car every `apart` s, with its size, clearness, speed and side by chance."""
    rng, found = np.random.default_rng(seed), []
    for n in range(int(seconds / apart)):
        car = cars[int(rng.integers(len(cars)))].scaled(rng.uniform(*view.lengths))
        to_left, at = rng.random() < 0.5, apart * (n + rng.uniform(0.45, 0.75))
        speed = rng.uniform(1.0, 2.5) * car.length
        car = car.mirrored() if to_left else car
        found.append(Passage(car, at, -speed if to_left else speed, rng.uniform(*view.lanes), rng.uniform(0.5, 1)))
    return found


def pictures(view: View, cars: Sequence[Passage], seconds: float, seed: int) -> Iterator[tuple[str, Frame]]:
    """Yield the weather and the frame at each time."""
    height, width = view.pictures[0].shape[:2]
    skies = Skies((width, height), seed)
    weathers: list[Weather] = [skies.noise, skies.cloud, skies.rain, skies.tremble, skies.night]
    for index in range(round(seconds * FPS)):
        time = index / FPS
        weather = weathers[min(int(time / seconds * len(weathers)), len(weathers) - 1)]
        canvas = view.picture(index).astype(np.float32)
        near = [car for car in cars if abs(car.x(time, width) - width / 2) < width / 2 + 2 * car.cutout.length]
        for car in near:
            paint(canvas, car.cutout, car.x(time, width), car.y, car.opacity)
        canvas = weather(canvas, time)
        if weather == skies.night:
            for car in near:
                headlights(canvas, car, time)
        yield weather.__name__, Frame(np.clip(canvas, 0, 255).astype(np.uint8), index, time, time)


def views(clips: Path, road: Image) -> list[View]:
    """Return the views; frames 745 to 860 of the street show parked cars alone."""
    street = [f.image for f in read(Recording(clips / "us_residential_road.mp4")) if 745 <= f.index < 860]
    return [View("road", [road], (150, 260), (40, 130)), View("street", street, (190, 300), (60, 150))]


@dataclass(slots=True)
class Sleep:
    """Frames of one weather, and those without inference."""

    frames: int = 0
    still: int = 0


class OneLook(TfliteEngine):
    """Engine that runs the network once on a picture that both pipelines show it."""

    loaded = True

    def __init__(self, engine: TfliteEngine) -> None:
        self._engine = engine
        self._newest: deque[tuple[Image, Outputs]] = deque(maxlen=5)

    def infer(self, picture: Picture) -> Outputs:
        for pixels, found in self._newest:
            if np.array_equal(picture.pixels, pixels):
                return found
        self._newest.append((picture.pixels, self._engine.infer(picture)))
        return self._newest[-1][1]


def count(
    view: View, cars: Sequence[Passage], seconds: float, detector: TfliteDetector
) -> tuple[dict[str, Sleep], list[Crossing], list[Crossing]]:
    """Return the frames by weather, the events with motion off, and those with motion on."""
    line = LineConfig(id="main", start=(0.5, 0.98), end=(0.5, 0.05))
    on, off = (
        build_pipeline(Config.model_validate({"lines": [line], "detector": {"motion": motion}}), detector)
        for motion in (True, False)
    )
    sleep: dict[str, Sleep] = {}
    found_on: list[Crossing] = []
    found_off: list[Crossing] = []
    with bar(view.name, round(seconds * FPS)) as progress:
        for weather, frame in pictures(view, cars, seconds, seed=1):
            result = on.process(frame)
            found_on += result.crossings
            found_off += off.process(frame).crossings
            part = sleep.setdefault(weather, Sleep())
            part.frames, part.still = part.frames + 1, part.still + result.still
            progress.forward()
    return sleep, found_off, found_on


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, metavar="CLIPS_DIR")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--view", choices=VIEWS, action="append", help="only this one")
    parser.add_argument("--apart", type=float, default=60.0, help="s from one vehicle to the next")
    given = parser.parse_args()
    detector = build_detector(Config())
    detector.engines = (OneLook(detector.engines[0]),)
    road, cars = material(given.clips / CARS, "car", DetectionStore(None, detector, ()))
    rows, good = table("view", "weather", "frames", "without inference"), True
    verdicts = []
    for seed, view in enumerate(views(given.clips, road)):
        if view.name not in (given.view or VIEWS):
            continue
        passing = passages(view, cars, 60 * given.minutes, given.apart, seed)
        sleep, off, on = count(view, passing, 60 * given.minutes, detector)
        for weather, part in sleep.items():
            rows.add_row(view.name, weather, str(part.frames), f"{part.still / part.frames:.1%}")
        share = sum(part.still for part in sleep.values()) / sum(part.frames for part in sleep.values())
        rows.add_row(view.name, "all", str(sum(part.frames for part in sleep.values())), f"{share:.1%}", style="bold")
        good = good and share >= LEAST_STILL and on == off
        verdicts.append(f"{view.name}: {len(passing)} cars, {len(off)} events, {'equal' if on == off else 'DIFFERENT'}")
        verdicts += [f"  without {b}\n  with    {a}" for b, a in zip_longest(off, on) if a != b]
    stdout().print(rows)
    for verdict in verdicts:
        stdout().print(verdict)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
