"""Another detector takes over between two frames: at a whole second, and no frame is seen by both or by none."""

from __future__ import annotations

import numpy as np

from edge_app.counting.stages import Stages
from edge_app.records import Frame, FrameResult
from edge_app.system.threads import Latest
from tests.support.scripted import DOWN, NOON, Scripted, ScriptedEngine, frames, pipeline
from tests.support.trajectories import Sensor

RATE, SECONDS = 15, 5


def told(frame: Frame) -> float:
    return frame.captured_at


def run(changes: dict[int, str]) -> tuple[list[FrameResult], list[str]]:
    """Count a drive; before the frame with a number the named detector is asked to take over.

    Returns the results, and the detector that has seen each frame.
    """
    looks = Sensor().observe([DOWN], SECONDS)
    seen: list[str] = [""] * len(looks)

    class Named(Scripted):
        """Detector that notes which frames it has seen: they carry their number in the first pixel."""

        def __init__(self, name: str) -> None:
            super().__init__(looks, [ScriptedEngine(), ScriptedEngine()])
            self.name = name

        def prepare(self, image):  # type: ignore[no-untyped-def]
            number = int(image[0, 0, 0])
            seen[number] = self.name
            picture = super().prepare(image)
            return type(picture)(picture.pixels, picture.width, picture.height, picture.scale, number, 0)

    detectors = {name: Named(name) for name in ("a", "b", "c")}
    slot, failed = Latest[Frame](lossless=True), list[BaseException]()
    stages = Stages(slot, pipeline(detectors["a"]), lambda _name, fault: failed.append(fault))
    for worker in stages.workers:
        worker.start()
    results: list[FrameResult] = []
    for frame in frames(looks, Sensor()):
        image = np.full_like(frame.image, frame.index)
        if frame.index in changes:
            stages.change(detectors[changes[frame.index]], changes[frame.index], told)
        slot.put(Frame(image, frame.index, frame.captured_at, frame.monotonic))
        while len(results) <= frame.index:
            result = stages.next(5.0)
            assert result is not None
            results.append(result)
    stages.close()
    for worker in stages.workers:
        assert worker.join(5.0)
    assert not failed
    return results, seen


def test_it_takes_over_at_the_next_whole_second_and_back_with_every_crossing_once() -> None:
    alone, _ = run({})
    results, seen = run({7: "b", 37: "a"})
    assert [n for n, name in enumerate(seen) if name == "b"] == list(range(RATE, 3 * RATE))
    assert [(n, one.change) for n, one in enumerate(results) if one.change] == [(RATE, "b"), (3 * RATE, "a")]
    assert results[RATE].frame.captured_at == NOON + 1
    crossings = [crossing for one in results for crossing in one.crossings]
    assert crossings == [crossing for one in alone for crossing in one.crossings]
    assert len(crossings) == 1
    assert [one.tracks.ids.tolist() for one in results] == [one.tracks.ids.tolist() for one in alone]


def test_the_last_one_that_is_asked_for_takes_over_and_no_other() -> None:
    results, seen = run({5: "b", 8: "c"})
    assert set(seen) == {"a", "c"}
    assert [one.change for one in results if one.change] == ["c"]


def test_one_that_is_asked_for_with_a_second_waits_for_the_next_one() -> None:
    _, seen = run({RATE: "b"})
    assert seen.index("b") == 2 * RATE
