"""Count scenes that are composed of real pixels: hard cases that are too rare in recordings to measure them there.

`python -m tests.trials.composed CLIPS_DIR [--variants 20] [--case NAME] [--service] [--keep DIR]` cuts cars and riders
out of two clips and puts them on an empty road of the same clip: parked and hidden beside the line, trembling on it,
behind posts and signs, at the border with burnt-in text. Each case comes in twenty variants of vehicles, places and
speeds. It prints how many scenes were counted exactly, the false and lost vehicles, and how many were taken for another
class: a cut-out rider is often a cyclist for the detector, and every class is counted here. It takes about ten minutes
on two cores, and some seconds with detections that were kept.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from edge_app.assembly.counter import build_detector, build_pipeline
from edge_app.config.model import Config
from edge_app.console.terminal import bar, stdout, table
from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import (
    DIRECTIONS,
    LABELS,
    VEHICLES,
    Crossing,
    Detections,
    Direction,
    FloatArray,
    Frame,
    Image,
    Line,
)
from edge_app.sources.recording import Recording
from tests.trials.detected import DetectionStore, add_keep, read

ROAD, RIDERS = "us_sideview_overhead_cars.mp4", "vn_roadside_ezviz_day.mp4"
FPS = 12.0
_STEP = 6
"""One frame in so many is searched for vehicles."""
_SCORE = 0.9
_DIFFERENCE = 22
"""Least difference of a vehicle's pixel from the empty road, of 255."""
_RIGHT, _LEFT = DIRECTIONS

Path1D: TypeAlias = Callable[[float], float]
"""Function from time, s, to px."""


@dataclass(frozen=True, slots=True, eq=False)
class Cutout:
    """A vehicle. image: uint8 (h, w, 3). alpha: float32 (h, w, 1), 0..1."""

    image: Image
    alpha: FloatArray

    @property
    def length(self) -> int:
        return int(self.image.shape[1])

    def scaled(self, length: float) -> Cutout:
        size = round(length), max(1, round(self.image.shape[0] * length / self.length))
        alpha = cv2.resize(self.alpha, size, interpolation=cv2.INTER_AREA)[..., None].astype(np.float32)
        return Cutout(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA).astype(np.uint8), alpha)

    def mirrored(self) -> Cutout:
        return Cutout(np.ascontiguousarray(self.image[:, ::-1]), np.ascontiguousarray(self.alpha[:, ::-1]))


@dataclass(frozen=True, slots=True, eq=False)
class Actor:
    """A vehicle on its way. x: of its centre, at a time. y: of its centre, px. opacity: 0..1, at a time."""

    cutout: Cutout
    x: Path1D
    y: float
    opacity: Path1D = field(default=lambda _time: 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Actors from the farthest to the nearest, and what is counted at an upright line at `line` px.

    covers: x0, y0, x1, y1 px of posts and signs in front of all. clock: x, y px of a burnt-in clock. shake: px.
    label: class of all of them.
    """

    actors: Sequence[Actor]
    seconds: float
    line: float
    expected: Sequence[Direction]
    covers: Sequence[tuple[float, float, float, float]] = ()
    clock: tuple[float, float] | None = None
    shake: float = 0.0
    label: str = "car"


def material(path: Path, label: str, store: DetectionStore) -> tuple[Image, list[Cutout]]:
    """Return the empty road of a clip and vehicles cut out of it."""
    frames = [frame for frame in read(Recording(path)) if frame.index % _STEP == 0]
    road: Image = np.median(np.stack([frame.image for frame in frames]), axis=0).astype(np.uint8)
    cutouts: list[Cutout] = []
    seen = store.detected(path.name, lambda: frames).observations
    for image, (_, found) in zip((frame.image for frame in frames), seen, strict=True):
        boxes = [box for row, box in enumerate(found.boxes) if _is_alone(found, row, image, label)]
        cutouts += [_cut_out(image, road, box) for box in boxes]
    return road, cutouts


def _is_alone(found: Detections, row: int, image: Image, label: str) -> bool:
    box, (height, width) = found.boxes[row], image.shape[:2]
    if found.scores[row] < _SCORE or LABELS[found.classes[row]] != label:
        return False
    if min(*box[:2], width - box[2], height - box[3]) < 8:
        return False
    others = np.delete(found.boxes, row, axis=0)
    apart = (others[:, :2] > box[2:] + 6).any(axis=1) | (others[:, 2:] < box[:2] - 6).any(axis=1)
    return bool(apart.all())


def _cut_out(image: Image, road: Image, box: FloatArray) -> Cutout:
    margin = 0.06 * (box[2:] - box[:2])
    x0, y0 = np.maximum(box[:2] - margin, 0).astype(int).tolist()
    x1, y1 = (box[2:] + margin).astype(int).tolist()
    part, empty = image[y0:y1, x0:x1], road[y0:y1, x0:x1]
    differs = (np.abs(part.astype(np.int16) - empty).max(axis=2) > _DIFFERENCE).astype(np.uint8)
    size = max(3, (x1 - x0) // 8)
    closed = cv2.morphologyEx(differs, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    outlines, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(part.shape[:2], np.uint8)
    if outlines:
        cv2.drawContours(filled, [max(outlines, key=cv2.contourArea)], -1, (255,), cv2.FILLED)
    soft = (cv2.GaussianBlur(filled, (3, 3), 0)[..., None] / 255).astype(np.float32)
    return Cutout(part.copy(), soft)


def frames_of(scene: Scene, road: Image, seed: int) -> Iterator[Frame]:
    """Yield the frames of a scene, with the noise of a camera."""
    rng, height, width = np.random.default_rng(seed), *road.shape[:2]
    for index in range(round(scene.seconds * FPS)):
        time, canvas = index / FPS, road.astype(np.float32)
        for actor in scene.actors:
            paint(canvas, actor.cutout, actor.x(time), actor.y, actor.opacity(time))
        for x0, y0, x1, y1 in (tuple(map(round, cover)) for cover in scene.covers):
            part = canvas[y0:y1, x0:x1]
            part[:] = np.random.default_rng(5).normal(110, 12, (*part.shape[:2], 1))
        if scene.clock:
            _burn_in(canvas, f"{index // round(FPS):02d}:{index % 60:02d}", scene.clock)
        shift = rng.uniform(-scene.shake, scene.shake, 2) if scene.shake else np.zeros(2)
        moved = cv2.warpAffine(
            canvas, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        image = np.clip(moved + rng.normal(0, 2, moved.shape), 0, 255).astype(np.uint8)
        yield Frame(image, index, time, time)


def _burn_in(canvas: FloatArray, text: str, place: tuple[float, float]) -> None:
    x, y = map(round, place)
    board = np.zeros((34, 96, 3), np.uint8)
    cv2.putText(board, text, (4, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.95, (255, 255, 255), 2)
    part = canvas[y : y + 34, x : x + 96]
    part[:] = board[: part.shape[0], : part.shape[1]]


def paint(canvas: FloatArray, cutout: Cutout, x: float, y: float, opacity: float) -> None:
    h, w = cutout.image.shape[:2]
    left, top = round(x - w / 2), round(y - h / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + w, canvas.shape[1]), min(top + h, canvas.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    alpha = cutout.alpha[inside] * np.float32(opacity)
    canvas[y0:y1, x0:x1] += alpha * (cutout.image[inside] - canvas[y0:y1, x0:x1])


def stands_until(leaves: float, at: float, length: float, acceleration: float) -> Path1D:
    """Return the way of a vehicle that stands and drives off to the right.

    acceleration: lengths/s^2, up to 1.5 lengths/s.
    """

    def x(time: float) -> float:
        since = max(0.0, time - leaves)
        rising = min(since, 1.5 / acceleration)
        return at + length * (acceleration * rising**2 / 2 + 1.5 * (since - rising))

    return x


def stops(arrives: float, then: Path1D, length: float) -> Path1D:
    """Return the way of a vehicle that comes from the left, brakes, and stands at a time where `then` begins."""

    def x(time: float) -> float:
        if time >= arrives:
            return then(time)
        before = arrives - time
        braking = min(before, 1.5)
        return then(arrives) - length * (braking**2 / 2 + 1.5 * (before - braking))

    return x


def passes(at: float, time: float, speed: float) -> Path1D:
    """Return the way of a vehicle that is at a place, px, at a time; speed: px/s, negative to the left."""
    return lambda now: at + speed * (now - time)


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What scenes are made of. cars drive to the right."""

    cars: Sequence[Cutout]
    riders: Sequence[Cutout]
    size: tuple[int, int]
    rng: np.random.Generator

    def car(self, length: float = 125.0) -> Cutout:
        return self.cars[int(self.rng.integers(len(self.cars)))].scaled(length)

    def rider(self, length: float = 70.0) -> Cutout:
        return self.riders[int(self.rng.integers(len(self.riders)))].scaled(length)

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))


LINE, LANE, NEAR_LANE = 268.0, 174.0, 262.0


def parked_beyond(stage: Stage) -> Scene:
    car = stage.car()
    place = LINE + stage.between(0.1, 0.7) * car.length
    x = stands_until(stage.between(1.5, 3.5), place, car.length, stage.between(0.3, 1.5))
    return Scene([Actor(car, x, LANE)], 8.0, LINE, [])


def hidden_beyond(stage: Stage) -> Scene:
    """A car stops beyond the line, a lorry (a car twice as large) stops before it and drives on, then the car too."""
    car, lorry = stage.car(), stage.car(stage.between(260, 300))
    place = LINE + stage.between(0.1, 0.7) * car.length
    x = stops(2.5, stands_until(stage.between(8.5, 10), place, car.length, stage.between(0.3, 0.9)), car.length)
    waits = stands_until(stage.between(6.5, 7.5), place + stage.between(-20, 20), lorry.length, 0.8)
    nearer = Actor(lorry, stops(4.5, waits, lorry.length), 200.0)
    return Scene([Actor(car, x, LANE), nearer], 13.0, LINE, [_RIGHT, _RIGHT])


def trembling_queue(stage: Stage) -> Scene:
    """Cars that can hardly be seen stand in a row, one of them on the line, in a camera that shakes."""
    off = stage.between(-0.1, 0.1)
    actors = []
    for place in (-1.15, 0.0, 1.15):
        car, low, rate = stage.car(), stage.between(0.15, 0.5), stage.between(0.5, 3)
        x = LINE + (place + off) * car.length

        def opacity(time: float, low: float = low, rate: float = rate) -> float:
            return low + 0.25 * float(np.sin(rate * time)) ** 2

        actors.append(Actor(car, passes(x, 0, 0), LANE, opacity))
    return Scene(actors, 10.0, LINE, [], shake=stage.between(1, 3))


def two_tracks(stage: Stage) -> Scene:
    """A car stops on the line behind a signpost, which cuts it into two boxes, and drives on."""
    car = stage.car()
    place = LINE + stage.between(-0.3, 0.3) * car.length
    x = stops(2.5, stands_until(stage.between(4.5, 6.0), place, car.length, stage.between(0.3, 0.9)), car.length)
    middle, half = place + stage.between(-0.2, 0.2) * car.length, stage.between(5, 10)
    return Scene([Actor(car, x, LANE)], 9.5, LINE, [_RIGHT], [(middle - half, 60, middle + half, 360)], shake=1.0)


def rider_behind_sign(stage: Stage) -> Scene:
    """Two riders, one closely behind the other, pass behind a sign at the line."""
    first, second = stage.rider(), stage.rider()
    speed, gap = stage.between(90, 200), stage.between(1.1, 1.7) * 70
    ways = passes(LINE, 2.5, speed), passes(LINE - gap, 2.5, speed)
    middle, half = LINE + stage.between(-30, 50), stage.between(20, 45)
    actors = [Actor(rider, way, LANE) for rider, way in zip((first, second), ways, strict=True)]
    return Scene(actors, 5.5, LINE, [_RIGHT, _RIGHT], [(middle - half, 100, middle + half, 230)], label="motorcycle")


def burnt_in_text(stage: Stage) -> Scene:
    """Cars leave the picture near the line, where a clock is burnt in."""
    line = stage.size[0] - stage.between(0.9, 1.3) * 125
    ways = [passes(line, 1.5 + 2.5 * n + stage.between(0, 0.5), stage.between(100, 220)) for n in range(2)]
    actors = [Actor(stage.car(), way, LANE) for way in ways]
    clock = stage.size[0] - stage.between(85, 100), LANE + stage.between(-25, 35)
    return Scene(actors, 6.5, line, [_RIGHT, _RIGHT], clock=clock)


def near_vehicle(stage: Stage) -> Scene:
    """A car leaves the picture while a near one, twice as large, comes in there and drives over the line."""
    line = stage.size[0] - stage.between(0.9, 1.3) * 125
    leaves = Actor(stage.car(), passes(line, 1.5, stage.between(100, 220)), LANE)
    large = stage.car(stage.between(230, 270)).mirrored()
    comes = Actor(large, passes(line, stage.between(2.5, 3.5), -stage.between(150, 300)), LANE + stage.between(20, 60))
    return Scene([leaves, comes], 6.0, line, [_RIGHT, _LEFT])


def post(stage: Stage) -> Scene:
    """Cars pass behind a post on the line, 4 to 12 % of the picture wide."""
    half = stage.between(0.02, 0.06) * stage.size[0]
    middle = LINE + stage.between(-0.03, 0.03) * stage.size[0]
    actors: list[Actor] = []
    for n, lane in enumerate((LANE, NEAR_LANE, LANE, NEAR_LANE)):
        to_left = lane == LANE
        car, speed = stage.car(), stage.between(90, 260)
        way = passes(LINE, 2.0 + 1.6 * n, -speed if to_left else speed)
        actors.append(Actor(car.mirrored() if to_left else car, way, lane))
    return Scene(actors, 9.5, LINE, [_LEFT, _RIGHT, _LEFT, _RIGHT], [(middle - half, 0, middle + half, 360)])


CASES: dict[str, Callable[[Stage], Scene]] = {
    "parked beyond the line": parked_beyond,
    "stops beyond it, hidden": hidden_beyond,
    "queue trembles on it": trembling_queue,
    "two tracks on a car": two_tracks,
    "riders behind a sign": rider_behind_sign,
    "burnt-in text": burnt_in_text,
    "a near vehicle comes": near_vehicle,
    "post of 4 to 12 %": post,
}


def scenes(
    names: Sequence[str], variants: int, cars: Sequence[Cutout], riders: Sequence[Cutout], size: tuple[int, int]
) -> Iterator[tuple[str, int, Scene]]:
    """Yield name, seed and scene of each variant; the same seed gives the same scene."""
    for name in names:
        for seed in range(variants):
            yield name, seed, CASES[name](Stage(cars, riders, size, np.random.default_rng(seed)))


def line_of(scene: Scene, road: Image) -> Line:
    return Line("main", (scene.line / road.shape[1], 0.98), (scene.line / road.shape[1], 0.09))


def counted_as_in_service(scene: Scene, seed: int, road: Image, detector: TfliteDetector) -> list[Crossing]:
    """Return what the default settings count, with motion and second look, bicycles too."""
    line = line_of(scene, road)
    config = Config.model_validate(
        {
            "lines": [{"id": line.id, "start": line.start, "end": line.end}],
            "counting": {"classes": VEHICLES},
        }
    )
    pipeline = build_pipeline(config, detector)
    return [one for frame in frames_of(scene, road, seed) for one in pipeline.process(frame).crossings]


def counted(name: str, seed: int, scene: Scene, road: Image, store: DetectionStore) -> list[Crossing]:
    """Return what the default tracker and line counter count of whole pictures, bicycles too."""
    line = line_of(scene, road)
    found = store.detected(f"{name} {seed}", lambda: frames_of(scene, road, seed))
    return found.crossings(line, VEHICLES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, metavar="CLIPS_DIR")
    parser.add_argument("--variants", type=int, default=20)
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--service", action="store_true", help="with motion and second look; keeps no detections")
    add_keep(parser)
    given = parser.parse_args()
    made_by = (Path(__file__), given.clips / ROAD, given.clips / RIDERS)
    detector = build_detector(Config())
    store = DetectionStore(given.keep, detector, made_by)
    road, cars = material(given.clips / ROAD, "car", store)
    _, riders = material(given.clips / RIDERS, "motorcycle", store)
    names, size = given.case or list(CASES), (road.shape[1], road.shape[0])
    exact, false, lost, other = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    with bar("composed", len(names) * given.variants) as progress:
        for name, seed, scene in scenes(names, given.variants, cars, riders, size):
            if given.service:
                crossings = counted_as_in_service(scene, seed, road, detector)
            else:
                crossings = counted(name, seed, scene, road, store)
            got, expected = Counter[str](c.direction for c in crossings), Counter[str](scene.expected)
            exact[name] += got == expected
            false[name] += (got - expected).total()
            lost[name] += (expected - got).total()
            other[name] += sum(c.label != scene.label for c in crossings)
            progress.forward()
    rows = table("case", "scenes", "exact", "false", "lost", "other class")
    for name in names:
        rows.add_row(name, *(str(n) for n in (given.variants, exact[name], false[name], lost[name], other[name])))
    stdout().print(rows)
    return int(any(exact[name] < given.variants for name in names))


if __name__ == "__main__":
    sys.exit(main())
