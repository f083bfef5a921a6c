"""The harvest that the office orders: on disk, over restarts, for its time alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_app.errors import CommandError, StoreError
from edge_app.harvest.harvester import Harvester
from edge_app.records import Detections, Frame, FrameResult
from edge_app.rollout.harvest_order import NAME, HarvestOrder, OrderedHarvest
from edge_app.system.threads import Worker, join_all
from tests.support.brokers import eventually
from tests.support.harvest_cases import NOON, harvester, noise, pictures, tracks
from tests.support.publisher_cases import Clock

HOUR = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


def test_an_order_lasts_over_restarts_and_ends_by_the_clock(tmp_path: Path, clock: Clock) -> None:
    order = HarvestOrder(tmp_path / NAME, clock)
    assert order.until is None
    assert order.switch(4) == order.until == NOON + 4 * HOUR
    clock.now += 4 * HOUR - 1
    assert HarvestOrder(tmp_path / NAME, clock).until == NOON + 4 * HOUR
    clock.now += 1
    assert order.until is None
    assert HarvestOrder(tmp_path / NAME, clock).until is None


def test_it_is_switched_off_for_good(tmp_path: Path, clock: Clock) -> None:
    order = HarvestOrder(tmp_path / NAME, clock)
    assert order.switch(0) is None
    order.switch(4)
    assert order.switch(0) is None
    assert (order.until, HarvestOrder(tmp_path / NAME, clock).until) == (None, None)


def test_a_clock_that_was_put_back_makes_no_order_longer(tmp_path: Path, clock: Clock) -> None:
    order = HarvestOrder(tmp_path / NAME, clock)
    order.switch(4)
    clock.now -= HOUR
    assert order.until == NOON + 4 * HOUR, "a board without a clock starts with the time of its last stop"
    clock.now -= 1
    assert order.until is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "edge-app/harvest-order/1", "begun": 1, "until": "x"}'])
def test_a_damaged_order_is_none(tmp_path: Path, clock: Clock, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).write_text(text)
    assert HarvestOrder(tmp_path / NAME, clock).until is None
    assert "not kept any longer" in caplog.text


def test_an_order_that_cannot_be_kept_is_none(tmp_path: Path, clock: Clock) -> None:
    order = HarvestOrder(tmp_path / "away" / NAME, clock)
    with pytest.raises(CommandError, match="state folder"):
        order.switch(4)
    assert order.until is None


class Case:
    """An ordered harvest whose thread runs. built: number of harvesters that it has asked for."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock, self.built, self.tidied = folder / "harvest", clock, 0, 0
        self.broken = False
        self.order = HarvestOrder(folder / NAME, clock)
        self.harvest = OrderedHarvest(self.order, self.build, self.tidy)
        self.faults: list[BaseException] = []
        self.worker = Worker("harvest", self.harvest.run, lambda _, fault: self.faults.append(fault))
        self.frames = 0

    def build(self) -> Harvester:
        self.built += 1
        if self.broken:
            raise StoreError("the folder is away")
        return harvester(self.folder)

    def tidy(self) -> None:
        self.tidied += 1

    def show(self) -> None:
        """Show one more frame, of a view that is new and with a track that begins in its middle."""
        self.frames += 1
        frame = Frame(noise(self.frames), self.frames, self.clock.now, 10.0 * self.frames)
        born = tracks((self.frames, (300.0, 200.0), False), origin=(300.0, 200.0))
        self.harvest.observe(FrameResult(frame, Detections.empty(), born))

    @property
    def kept(self) -> int:
        return len(pictures(self.folder)) if self.folder.exists() else 0


@pytest.fixture
def case(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr("edge_app.rollout.harvest_order._LOOK_S", 0.01)
    made = Case(tmp_path, clock)
    made.worker.start()
    yield made
    made.harvest.close()
    join_all([made.worker], 5.0)
    assert made.faults == []


def test_frames_are_kept_while_it_is_ordered_and_at_no_other_time(
    case: Case, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    case.show()
    eventually(lambda: case.tidied)
    assert (case.built, case.folder.exists()) == (0, False)
    case.order.switch(1)
    eventually(lambda: case.show() or case.kept >= 2)  # type: ignore[func-returns-value]
    assert case.built == 1
    clock.now += HOUR
    case.show()
    eventually(lambda: "harvest ended" in caplog.text)
    kept = case.kept
    for _ in range(5):
        case.show()
    assert case.kept == kept
    case.order.switch(1)
    eventually(lambda: case.show() or case.kept > kept)  # type: ignore[func-returns-value]
    assert case.built == 2


def test_an_end_in_the_middle_keeps_the_last_frame(case: Case) -> None:
    case.order.switch(1)
    eventually(lambda: case.harvest._harvester)
    case.show()
    assert case.kept == 0
    case.harvest.close()
    join_all([case.worker], 5.0)
    assert case.kept == 1


def test_a_folder_that_is_away_is_tried_again(
    case: Case, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edge_app.rollout.harvest_order._RETRY_S", 0.01)
    case.broken = True
    case.order.switch(1)
    eventually(lambda: case.built > 1)
    assert "the folder is away; no frames are harvested" in caplog.text
    case.broken = False
    eventually(lambda: case.show() or case.kept)  # type: ignore[func-returns-value]


def test_the_file_says_what_was_ordered(tmp_path: Path, clock: Clock) -> None:
    HarvestOrder(tmp_path / NAME, clock).switch(2)
    assert json.loads((tmp_path / NAME).read_text()) == {
        "schema": "edge-app/harvest-order/1",
        "begun": NOON,
        "until": NOON + 2 * HOUR,
    }
