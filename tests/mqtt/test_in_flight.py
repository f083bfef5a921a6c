"""Messages in flight: when an interval counts as delivered, and when it stays."""

from __future__ import annotations

import pytest

from edge_app.errors import StoreError
from edge_app.mqtt.held_back import HeldBack
from edge_app.mqtt.in_flight import InFlight, Sent

COUNTS, LATEST = Sent("counts/quay", 7, required=True), Sent("latest/quay", 7)


@pytest.fixture
def held_back() -> HeldBack:
    return HeldBack(60.0, lambda: 0.0)


@pytest.fixture
def in_flight(held_back: HeldBack) -> InFlight:
    sent = InFlight(held_back)
    sent.add(1, COUNTS)
    sent.add(2, LATEST)
    return sent


def test_an_interval_is_delivered_when_both_of_its_messages_are_answered(in_flight: InFlight) -> None:
    in_flight.settle(2, "")
    assert in_flight.carries(7)
    assert in_flight.acknowledged == []
    in_flight.settle(1, "")
    assert (in_flight.acknowledged, in_flight.carries(7), len(in_flight)) == ([7], False, 0)


def test_a_broker_may_refuse_latest_and_not_counts(in_flight: InFlight, held_back: HeldBack) -> None:
    in_flight.settle(2, "Not authorized")
    in_flight.settle(1, "")
    assert in_flight.acknowledged == [7]
    in_flight.add(3, COUNTS)
    in_flight.add(4, LATEST)
    in_flight.settle(3, "Not authorized")
    in_flight.settle(4, "")
    assert in_flight.acknowledged == [7]
    assert held_back.holds("counts/quay")


def test_the_answer_to_a_message_of_a_lost_connection_is_none(in_flight: InFlight) -> None:
    in_flight.forget()
    in_flight.settle(1, "")
    assert (in_flight.acknowledged, len(in_flight), in_flight.has(1)) == ([], 0, False)
    in_flight.add(5, COUNTS)
    in_flight.settle(2, "")
    assert in_flight.acknowledged == []
    in_flight.settle(5, "")
    assert in_flight.acknowledged == [7]


def test_what_could_not_be_noted_holds_nothing_up(held_back: HeldBack) -> None:
    def fails(_: str) -> None:
        raise StoreError("the disk is full")

    in_flight = InFlight(held_back)
    in_flight.add(1, Sent("counts/quay", 7, required=True, on_answer=fails))
    in_flight.settle(1, "")
    assert in_flight.acknowledged == [7]
