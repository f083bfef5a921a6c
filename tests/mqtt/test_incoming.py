"""Pieces that come from the broker: asked for a few at a time, again after a silence, and put together in order."""

from __future__ import annotations

import json
import random

import pytest

from edge_app.mqtt.incoming import ASK_AGAIN_S, AT_ONCE, PIECE, Incoming, piece, pieces_of, read_request

CONTENT = random.Random(3).randbytes(7 * PIECE + 11)


class Case:
    """A device that wants a content, with a clock of the test."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.now, self.content = 100.0, content
        self.incoming = Incoming("p", "city-1", len(content), lambda: self.now)

    def asked(self) -> list[int]:
        message = self.incoming.request()
        return [] if message is None else [*read_request(message.payload, "city-1", len(self.content))]

    def give(self, number: int, content: bytes | None = None) -> bool:
        return self.incoming.receive(piece("p", "city-1", content or self.content, number).payload)


def test_nothing_is_asked_for_before_somebody_reads() -> None:
    assert Case().asked() == []


def test_the_whole_comes_in_order_a_few_at_a_time() -> None:
    case, found = Case(), list[bytes]()
    for number in range(1, case.incoming.of + 1):
        data = case.incoming.read(number, 0.0)
        if data is None:
            assert number % AT_ONCE == 1
            asked = case.asked()
            assert asked == [*range(number, min(number + AT_ONCE, case.incoming.of + 1))]
            assert all(map(case.give, asked))
            data = case.incoming.read(number, 0.0)
        found.append(data or b"")
    assert b"".join(found) == CONTENT
    assert case.asked() == []


def test_they_are_asked_for_again_after_a_silence_and_after_a_lost_connection() -> None:
    case = Case()
    case.incoming.read(3, 0.0)  # the beginning is here already
    assert case.asked() == [3, 4, 5, 6, 7]
    assert case.asked() == []
    case.now += ASK_AGAIN_S - 1
    assert case.give(4)
    case.now += ASK_AGAIN_S - 1
    assert case.asked() == []  # something has come meanwhile
    case.now += 1
    assert case.asked() == [3, 4, 5, 6, 7]
    case.incoming.lost()
    assert case.asked() == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("number", [0, -1, 6, 9, 10**9])
def test_what_was_not_asked_for_is_not_taken(number: int) -> None:
    case = Case()
    case.incoming.read(1, 0.0)
    assert case.asked() == [1, 2, 3, 4, 5]
    document = {"schema": "edge-app/piece/1", "id": "city-1", "piece": number, "of": 8, "data": "AAAA"}
    assert not case.incoming.receive(json.dumps(document).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"data": "AAAA"},
        {"data": "no base64!"},
        {"data": 3},
        {"piece": "1"},
        {"id": "other"},
        {"schema": "x"},
        {"piece": True},
    ],
)
def test_a_piece_of_another_form_or_length_is_not_taken(change: dict[str, object]) -> None:
    case = Case()
    case.incoming.read(1, 0.0)
    assert case.asked()
    good = json.loads(piece("p", "city-1", CONTENT, 1).payload)
    assert not case.incoming.receive(json.dumps(good | change).encode())
    assert not case.incoming.receive(b"garbage")
    assert case.incoming.receive(json.dumps(good).encode())


def test_a_broker_that_refuses_the_question_ends_the_wait() -> None:
    case = Case()
    case.incoming.read(1, 0.0)
    case.asked()
    case.incoming.answered("Not authorized")
    assert case.incoming.read(1, 60.0) is None
    assert (case.incoming.refused, case.asked()) == ("Not authorized", [])


@pytest.mark.parametrize(("size", "pieces"), [(1, 1), (PIECE, 1), (PIECE + 1, 2)])
def test_the_last_piece_is_what_is_left(size: int, pieces: int) -> None:
    case = Case(CONTENT[:size])
    assert pieces_of(size) == case.incoming.of == pieces
    case.incoming.read(pieces, 0.0)
    assert case.asked() == [pieces]
    assert case.give(pieces)
    assert case.incoming.read(pieces, 0.0) == CONTENT[(pieces - 1) * PIECE : size]


def test_a_question_for_more_than_there_is_gets_nothing() -> None:
    for first, last in ((0, 1), (3, 2), (1, 9), (True, 2)):
        document = {"schema": "edge-app/piece-request/1", "id": "city-1", "from": first, "to": last, "of": 8}
        assert read_request(json.dumps(document).encode(), "city-1", len(CONTENT)) == range(0)
