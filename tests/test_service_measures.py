"""The service measures beside the count: from a rendered street to a broker, and what of it survives a crash."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_app.app import service
from edge_app.assembly.counter import build_lines
from edge_app.assembly.device import build_meta
from edge_app.config.model import Config
from edge_app.errors import GeometryError
from edge_app.measures.interval_sums import IntervalSums
from edge_app.measures.speed_meter import Measured
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.records import FrameResult
from edge_app.sources.street.street import Street
from edge_app.sources.street.view import View
from edge_app.system.threads import Worker
from tests.support.brokers import collect, mosquitto, subscribed
from tests.support.program import Program
from tests.support.schemas import validate
from tests.support.service_cases import Case

SIZE = 640, 360


def configuration(folder: Path, port: int) -> Config:
    """Return a junction of two arms on the rendered street, with everything measured."""
    view = View(*SIZE)
    marks = [view.project(x, distance) for x, distance in ((-3, 16.5), (3, 16.5), (3, 23), (-3, 23))]
    upright = {"lanes": [0.55], "queue": [[0.3, 0.45], [0.7, 0.9]]}
    return Config.model_validate(
        {
            "source": {"kind": "street"},
            "detector": {"second_look": False},
            "geometry": {"rectangle": [(x / SIZE[0], y / SIZE[1]) for x, y in marks], "sides_m": (6.0, 6.5)},
            "lines": [
                {"id": "west", "start": [0.35, 0.97], "end": [0.35, 0.4], "enters": "left_to_right", **upright},
                {"id": "east", "start": [0.65, 0.97], "end": [0.65, 0.4], "enters": "right_to_left"},
            ],
            "counting": {"interval_s": 10},
            "mqtt": {"port": port, "crossings": True},
            "store": {"folder": folder / "state"},
        },
    )


def street() -> Street:
    """Return a busy street of few pixels, so that a busy machine keeps up."""
    return Street(width=SIZE[0], height=SIZE[1], fps=10.0, seed=5, flow=(20.0, 20.0), pace="real")


def contents(messages: Sequence[Message], channel: str, topic: str) -> list[Any]:
    """Return the payloads on a topic below the device's prefix, each valid."""
    return [validate(channel, one.payload) for one in messages if one.topic.split("/", 4)[4] == topic]


class Unmeasurable(IntervalSums):
    """Measures of a road that lies beyond the horizon of every picture."""

    def observe(self, result: FrameResult) -> list[Measured]:
        raise GeometryError(f"the line reaches the horizon in pictures of {result.frame.size[0]} px")


def test_a_picture_in_which_nothing_can_be_measured_ends_the_measuring_alone(tmp_path: Path) -> None:
    case = Case(tmp_path, live=False)
    case.service._measures = Unmeasurable([], None, 60.0)

    def feed(_stop: threading.Event) -> None:
        for frame in case.frames:
            case.camera.slot.put(frame)
        case.camera.slot.close()

    feeder = Worker("feed", feed, lambda _name, fault: pytest.fail(repr(fault)))
    feeder.start()
    case.service.run(threading.Event())
    assert len(case.crossings) == 1
    assert case.service.measures_problem.startswith("nothing is measured: the line reaches the horizon in pictures of")


def test_meta_has_lanes_queues_and_arms_where_they_are_given(tmp_path: Path) -> None:
    config = configuration(tmp_path, 1)
    device = Device("demo-site", "demo-device", "boot", "0")
    west, east = validate("meta", encode(build_meta(config, device, build_lines(config))))["lines"]
    assert (west["lanes"], west["queue"], west["enters"]) == ([0.55], [[0.3, 0.45], [0.7, 0.9]], "left_to_right")
    assert set(east) == {"id", "start", "end", "names", "road", "directions", "enters"}


@pytest.mark.long
def test_measures_of_the_rendered_street_arrive_and_are_valid(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker, subscribed(broker.port) as reader:
        stop = threading.Event()
        with service(configuration(tmp_path, broker.port), street()) as running:
            thread = threading.Thread(target=running.run, args=(stop,))
            thread.start()
            flows = "traffic/v1/demo-site/demo-device/flows"
            messages = collect(reader, lambda found: sum(m.topic == flows for m in found) >= 4, 90.0)
            stop.set()
            thread.join()
        messages += collect(reader, lambda found: any(b'"stopped"' in m.payload for m in found))
    intervals = {line: contents(messages, "counts", f"counts/{line}") for line in ("west", "east")}
    check_speeds([one for of in intervals.values() for one in of])
    west = intervals["west"][1]
    assert west["occupancy"]["1"]["seen_s"] == pytest.approx(10.0 * west["coverage"], abs=0.2)
    assert set(west["occupancy"]) == {"1", "2"}
    assert sum(sum(lane.values()) for one in intervals["west"] for lane in one["headway"].values()) > 0
    assert west["queue"]["most"] >= 0
    assert "headway" not in intervals["east"][0]
    check_flows(contents(messages, "flows", "flows"))
    assert contents(messages, "latest_flows", "latest/_flows")[-1]["line"] == "_flows"
    crossings = [one for line in ("west", "east") for one in contents(messages, "crossings", f"crossings/{line}")]
    counted = sum(n for of in intervals.values() for one in of for by in one["counts"].values() for n in by.values())
    assert len(crossings) >= counted > 5
    assert any(one["speed_kmh"] is not None and one["speed_error_kmh"] > 0 for one in crossings)
    assert {one["lane"] for one in crossings if one["line"] == "west"} <= {"1", "2", None}
    assert contents(messages, "health", "health")[-1]["limits"] == []


def check_speeds(intervals: Sequence[Any]) -> None:
    """Every counted vehicle is measured or unmeasured."""
    measured = unmeasured = 0
    for one in intervals:
        for label, directions in one["counts"].items():
            for direction, counted in directions.items():
                sums = one["speed"].get(label, {}).get(direction, {"n": 0, "unmeasured": 0, "bins": {}})
                assert sums["n"] + sums["unmeasured"] == counted
                assert sum(sums["bins"].values()) == sums["n"]
                measured, unmeasured = measured + sums["n"], unmeasured + sums["unmeasured"]
    assert measured > 3  # on a machine that keeps up, nearly all
    assert measured + unmeasured > 5


def check_flows(flows: Sequence[Any]) -> None:
    """Vehicles drive straight on, and nobody is told twice."""
    assert [one["seq"] for one in flows] == list(range(1, len(flows) + 1))
    entered, left = Counter[str](), Counter[str]()
    for one in flows:
        assert set(one["flows"]) <= {"west", "east"}
        for origin, ways in one["flows"].items():
            assert set(ways) == {"east" if origin == "west" else "west"}
            left[origin] += sum(sum(n.values()) for n in ways.values())
        for name in ("entered", "entered_only"):
            for origin, n in one[name].items():
                (entered if name == "entered" else left)[origin] += sum(n.values())
    assert left["west"] + left["east"] > 1
    assert all(left[arm] <= entered[arm] for arm in ("west", "east"))


KILLED = """[source]
kind = "street"
width = 640
height = 360
fps = 10.0
flow = [{flow}, {flow}]
[detector]
second_look = false
[[lines]]
id = "west"
start = [0.35, 0.97]
end = [0.35, 0.4]
enters = "left_to_right"
[[lines]]
id = "east"
start = [0.65, 0.97]
end = [0.65, 0.4]
enters = "right_to_left"
[counting]
interval_s = 10
[mqtt]
port = {port}
[log]
format = "json"
"""


@pytest.mark.long
def test_flows_add_up_over_kills(tmp_path: Path) -> None:
    """Who was under way at a kill is told as lost: over time entered = flows + entered_only, exactly."""
    program, messages = Program(tmp_path / "device"), list[Message]()
    with mosquitto(tmp_path / "broker") as broker, subscribed(broker.port, keep=600) as reader:
        try:
            for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
                program.start(KILLED.format(port=broker.port, flow=20.0))
                messages += collect(reader, lambda _: len(program.counted) > 6, 60.0)
                program.signal(number)
                messages += collect(reader, lambda _: program.has_ended(), 30.0)
            ended = len(delivered(messages))
            program.start(KILLED.format(port=broker.port, flow=0.0))  # an empty road, on which the interval ends
            messages += collect(reader, lambda found: len(delivered(found)) > 2, 60.0)
        finally:
            program.close()
    told = delivered(messages)
    assert len(told) > ended
    assert sorted(told) == list(range(1, len(told) + 1))
    entered, left = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for one in told.values():
        for origin, ways in one["flows"].items():
            for classes in ways.values():
                left += Counter({(origin, label): n for label, n in classes.items()})
        entered += of_lines(one["entered"])
        left += of_lines(one["entered_only"])
    assert entered == left
    assert entered.total() > 3
    counted = Counter[tuple[str, str]]()
    for line, direction in (("west", "left_to_right"), ("east", "right_to_left")):
        for one in {one["seq"]: one for one in contents(messages, "counts", f"counts/{line}")}.values():
            counted += Counter({(line, label): n[direction] for label, n in one["counts"].items()})
    assert entered == counted, "a crossing is on disk with what it means for the flows"


def delivered(messages: Sequence[Message]) -> dict[int, Any]:
    """Return flows by their number."""
    return {one["seq"]: one for one in contents(messages, "flows", "flows")}


def of_lines(vehicles: Any) -> Counter[tuple[str, str]]:
    return Counter({(line, label): n for line, classes in vehicles.items() for label, n in classes.items()})
