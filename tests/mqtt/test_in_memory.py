"""Test how messages that wait in memory are published: comparisons of a candidate, pictures for reviews."""

from __future__ import annotations

from collections.abc import Callable

from edge_app.mqtt.encoding import ComparedCounts, encode_shadow
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.mqtt.in_memory import InMemory
from edge_app.records import Counts
from tests.support.schemas import validate

DEVICE = Device("harbour", "pole-7", "boot", "0", "a" * 64, "b" * 64)
COUNTS: Counts = {"car": {"left_to_right": 1, "right_to_left": 0}}


class Session:
    """What was published, with the functions that take the broker's answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Callable[[str], object]]] = []

    def publish(self, message: Message, *, on_answer: Callable[[str], object]) -> int:
        assert (message.qos, message.retained) == (1, False)
        self.sent.append((message.topic, on_answer))
        return len(self.sent)

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _ in self.sent]


def waiting(number: int) -> InMemory:
    found = InMemory(100)
    for n in range(number):
        found.add(str(n), "{}")
    return found


def test_few_are_under_way_at_once_and_in_order() -> None:
    found, session = waiting(4), Session()
    found.publish_due(session.publish)
    found.publish_due(session.publish)
    assert session.topics == ["0", "1"]
    session.sent[0][1]("")
    found.publish_due(session.publish)
    assert session.topics == ["0", "1", "2"]


def test_what_was_not_acknowledged_goes_out_again_after_a_lost_connection() -> None:
    found, session = waiting(2), Session()
    found.publish_due(session.publish)
    session.sent[0][1]("")
    found.lost()
    found.publish_due(session.publish)
    assert session.topics == ["0", "1", "1"]


def test_a_refused_one_does_not_come_again() -> None:
    found, session = waiting(1), Session()
    found.publish_due(session.publish)
    session.sent[0][1]("Not authorized")
    found.lost()
    found.publish_due(session.publish)
    assert session.topics == ["0"]


def test_a_hundred_wait_and_the_oldest_go() -> None:
    found, session = waiting(150), Session()
    for n in range(150, 180):
        found.publish_due(lambda _message, *, on_answer: 0)  # never answered  # noqa: ARG005
        found.add(str(n), "{}")
    found.lost()
    found.publish_due(session.publish)
    assert session.topics[0] == "80"


def test_the_message_is_valid_and_another_candidate_has_another_id() -> None:
    one = ComparedCounts("quay-road", 60.0, 120.0, 60, 7, 899, "c" * 64, "d" * 64, COUNTS, COUNTS)
    topic, payload = encode_shadow(DEVICE, one, "5b1f09c4")
    message = validate("shadow", payload.encode())
    assert topic == "traffic/v1/harbour/pole-7/shadow/quay-road"
    assert message["in_service"] == {"model": "a" * 12, "config": "b" * 12, "counts": COUNTS}
    other = ComparedCounts("quay-road", 60.0, 120.0, 60, 7, 899, "e" * 64, "d" * 64, COUNTS, COUNTS)
    assert validate("shadow", encode_shadow(DEVICE, other, "5b1f09c4")[1].encode())["id"] != message["id"]


def test_what_is_too_much_or_refused_is_counted() -> None:
    found, session = InMemory(3), Session()
    for n in range(5):
        found.add(str(n), "{}")
    found.publish_due(session.publish)
    assert (session.topics, found.dropped) == (["2", "3"], 2)
    session.sent[0][1]("Not authorized")
    session.sent[1][1]("")
    assert found.dropped == 3
