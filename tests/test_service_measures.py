"""The service measures beside the count: from a rendered street to a broker, and what of it survives a crash."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edge_app.app import service
from edge_app.config.model import Config
from edge_app.mqtt.events import Message
from edge_app.sources.street.street import Street
from edge_app.sources.street.view import View
from tests.support.brokers import collect, mosquitto, subscribed
from tests.support.schemas import validate

SIZE = 640, 360


def configuration(folder: Path, port: int) -> Config:
    """Return a junction of two arms on the rendered street, with everything measured."""
    view = View(*SIZE)
    marks = [view.project(x, distance) for x, distance in ((-3, 16.5), (3, 16.5), (3, 23), (-3, 23))]
    upright = {"lanes": [0.55], "queue": [[0.3, 0.3], [0.7, 0.9]]}
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
