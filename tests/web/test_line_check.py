"""Test the line check on synthetic tracks: what it finds about a line that is placed well, and about others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.detectors.manifest import Manifest, default_model
from edge_app.records import Line, Region, Tracks
from edge_app.web.line_check import LEAST_FRAMES, DetectorView, Finding, LineObserver, check_line, check_rate

LINE = Line("road", (0.0, 0.5), (1.0, 0.5))
SIZE = (1280, 720)
MANIFEST = Manifest.model_validate_json(default_model().with_suffix(".json").read_bytes())


def tracks(*vehicles: tuple[float, float, float, float], seen: bool = True) -> Tracks:
    """Return tracks of vehicles given as centre x, centre y, height (px) and speed downwards (px/s).

    Each is twice as wide as high.
    """
    rows = np.array(vehicles, np.float32).reshape(-1, 4)
    centres, half = rows[:, :2], rows[:, 2:3] / 2 * np.array([2, 1], np.float32)
    n = len(rows)
    return Tracks(
        ids=np.arange(n),
        boxes=np.concatenate([centres - half, centres + half], axis=1),
        centroids=centres,
        velocities=np.stack([np.zeros(n, np.float32), rows[:, 3]], axis=1),
        classes=np.zeros(n, np.int16),
        scores=np.full(n, 0.7, np.float32),
        seen=np.full(n, seen),
        origins=centres,
        born=np.zeros(n),
        first_seen=np.zeros(n),
    )


def line_findings(observer: LineObserver, *, rate: float = 15.0, region: Region | None = None) -> list[Finding]:
    return check_line(observer, DetectorView(region, MANIFEST), rate, 6.0)


def test_a_line_that_is_well_placed() -> None:
    observer = LineObserver(LINE, SIZE)
    observer.update(tracks((640, 360, 200, 300)))
    (finding,) = line_findings(observer)
    # 200 of 1280 px are 80 of 512; 200 px at 300 px/s take 0.67 s, which is ten frames
    assert finding.level == "ok"
    seen = "vehicles seen near it in 6 s: 1, 80 px high in the model's input, 10 frames per vehicle length"
    assert seen in finding.sentence
    assert (finding.key, finding.values["height"]) == ("finding.good", "80")


def test_no_vehicle_at_the_line_is_no_failure() -> None:
    (finding,) = line_findings(LineObserver(LINE, SIZE))
    assert finding.level == "ok"
    assert "no moving vehicle" in finding.sentence


def test_only_vehicles_detected_near_the_line_count() -> None:
    observer = LineObserver(Line("half", (0.0, 0.5), (0.5, 0.5)), SIZE)
    observer.update(tracks((320, 100, 100, 300), (960, 360, 100, 300)))
    observer.update(tracks((320, 360, 100, 300), seen=False))
    assert observer.heights == {}


@given(height=st.floats(5, 20) | st.floats(22, 300))
@settings(deadline=None, max_examples=40)
def test_vehicles_too_small_for_the_model_are_a_warning(height: float) -> None:
    observer = LineObserver(LINE, SIZE)
    observer.update(tracks((640, 360, height, 10)))
    # the smallest anchor of the shipped model has 12 px; below 0.7 of it, 21 px of the frame, none overlaps by half
    assert [f.level for f in line_findings(observer)] == ["warn" if height < 21 else "ok"]


def test_a_region_makes_vehicles_larger() -> None:
    observer = LineObserver(LINE, SIZE)
    observer.update(tracks((640, 360, 16, 10)))
    assert "set detector.region" in line_findings(observer)[0].sentence
    assert line_findings(observer, region=(0.25, 0.25, 0.75, 0.75))[0].level == "ok"


@given(speed=st.floats(1, 5000), rate=st.floats(1, 60))
@settings(deadline=None, max_examples=60)
def test_too_few_frames_of_a_vehicle_are_a_warning(speed: float, rate: float) -> None:
    observer = LineObserver(LINE, SIZE)
    observer.update(tracks((640, 360, 200, speed)))
    frames = rate / (speed / 200)
    if abs(frames - LEAST_FRAMES) > 0.01:
        assert [f.level for f in line_findings(observer, rate=rate)] == ["warn" if frames < LEAST_FRAMES else "ok"]


def _driving(degrees: float, *vehicles: tuple[float, float]) -> Tracks:
    """Return vehicles, 200 px high, that drive at an angle to the line, at centre x, centre y."""
    made = tracks(*((x, y, 200.0, 300.0) for x, y in vehicles))
    speed = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32) * 300
    return replace(made, velocities=np.tile(speed, (len(vehicles), 1)))


@given(degrees=st.floats(0, 359), line=st.sampled_from([LINE, Line("turned", (1.0, 0.5), (0.0, 0.5))]))
@settings(deadline=None, max_examples=60)
def test_a_line_along_the_traffic_is_a_warning(degrees: float, line: Line) -> None:
    observer = LineObserver(line, SIZE)
    observer.update(_driving(degrees, (400, 360), (900, 360)))
    between = abs((degrees + 90) % 180 - 90)
    if abs(between - 20.5) > 1:
        (finding,) = line_findings(observer)
        assert (finding.level == "warn" and "drive along this line" in finding.sentence) is (between < 20.5)


def test_a_main_road_beside_a_line_across_its_side_road_is_no_mistake() -> None:
    observer = LineObserver(LINE, SIZE)
    observer.update(_driving(0, (300, 360), (900, 360)))
    crossing = _driving(90, (640, 360))
    observer.update(replace(crossing, ids=np.array([7])))
    assert [finding.level for finding in line_findings(observer)] == ["ok"]


def test_a_vehicle_that_stands_drives_in_no_direction() -> None:
    observer = LineObserver(LINE, SIZE)
    observer.update(replace(tracks((640, 360, 200, 0)), velocities=np.array([[9.0, 0.0]], np.float32)))
    assert [finding.level for finding in line_findings(observer)] == ["ok"]


def test_a_waiting_vehicle_counts_no_more_than_others() -> None:
    observer = LineObserver(LINE, SIZE)
    for _ in range(50):  # a truck that waits there
        observer.update(tracks((640, 360, 400, 0)))
    observer.update(tracks((100, 360, 400, 0), (300, 360, 100, 0), (500, 360, 100, 0)))
    assert "40 px high" in line_findings(observer)[0].sentence


@pytest.mark.parametrize(
    ("region", "warned"), [((0.0, 0.0, 1.0, 1.0), False), ((0.0, 0.0, 0.4, 1.0), True), ((0.0, 0.6, 1.0, 1.0), True)]
)
def test_a_line_outside_the_region_of_interest(region: Region, warned: bool) -> None:
    found = line_findings(LineObserver(LINE, SIZE), region=region)
    assert ("lies in detector.region" in found[0].sentence) is warned


@pytest.mark.parametrize(("hidden", "warned"), [(1, False), (2, False), (4, True)])
def test_a_post_that_hides_vehicles_is_a_warning(hidden: int, warned: bool) -> None:
    """One or two vehicles may be hidden by others; where most are, something stands there."""
    observer = LineObserver(LINE, SIZE)
    for track in range(5):
        for frame in range(6):
            one = tracks((640, 360, 200, 300), seen=track >= hidden or frame == 0)
            observer.update(replace(one, ids=np.array([track])))
    sentences = [finding.sentence for finding in line_findings(observer)]
    assert any("4 of 5 were hardly seen there" in sentence for sentence in sentences) is warned


def test_a_source_faster_than_the_model() -> None:
    assert check_rate(15.0, 30.0).level == "ok"
    slow = check_rate(25.0, 12.0)
    assert slow.level == "warn"
    assert "the source gives 25.0 frames/s, but the model can process only 12.0" in slow.sentence
