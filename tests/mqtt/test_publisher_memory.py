"""Delivery from memory while the state folder cannot be used, and from disk afterwards, over a real broker."""

from __future__ import annotations

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_app.mqtt.encoding import encode_counts
from edge_app.mqtt.publisher import Publisher
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import Outbox
from tests.storage.test_ledger_memory import failing_calls
from tests.support.brokers import Mosquitto, collect, needs_mosquitto, subscribed
from tests.support.ledger_cases import NOON, count
from tests.support.publisher_cases import DEVICE, META, Clock, health, session_to, settle


class Pole:
    """Ledger, outbox and publisher of one line; in the n-th minute n + 1 cars are counted."""

    def __init__(self, folder: Path, port: int) -> None:
        self.clock, counting = Clock(1000.0), Counting(("car",), 60.0)
        encode, names = partial(encode_counts, DEVICE), (DEVICE.site, DEVICE.device)
        self.ledger = Ledger(folder, ["a"], counting, "b", encode, names=names, clock=self.clock)
        self.outbox = Outbox(folder, standby=self.ledger.standby)
        self.publisher = Publisher(
            session_to(port),
            self.outbox,
            DEVICE,
            META,
            health,
            interval_s=60,
            installation=lambda: self.ledger.installation,
            store_retry_s=0.1,
        )

    def minute(self, n: int) -> None:
        count(self.ledger, NOON + 60 * n + 1, n + 1, line="a")
        for second in (62, 63.5, 65):
            self.clock.now += 20
            self.ledger.tick(NOON + 60 * n + second)


@needs_mosquitto
@pytest.mark.parametrize("already", [False, True])
def test_intervals_go_out_from_memory_and_are_stored_later(tmp_path: Path, broker: Mosquitto, already: bool) -> None:
    """already: the disk has worked before, and an interval waits on it that the broker has not got."""
    with ExitStack() as fault, subscribed(broker.port, "traffic/v1/+/+/counts/+") as reader:
        if already:
            pole = Pole(tmp_path / "state", broker.port)
            pole.minute(0)
        fault.enter_context(failing_calls(tmp_path))
        if not already:
            pole = Pole(tmp_path / "state", broker.port)
        pole.minute(1)
        settle(pole.publisher, lambda: pole.publisher.delivered == 1)
        assert pole.ledger.problem
        fault.close()
        pole.minute(2)
        assert pole.ledger.problem == ""
        settle(pole.publisher, lambda: pole.publisher.delivered == (3 if already else 2))
        messages = collect(reader, lambda messages: len(messages) == (3 if already else 2))
        pole.publisher.drain(1.0)
    told: list[dict[str, Any]] = [json.loads(message.payload) for message in messages]
    assert sorted(message["counts"]["car"]["left_to_right"] for message in told) == [1, 2, 3][not already :]
    assert len({message["installation"] for message in told}) == (2 if already else 1)
    for message in told:
        assert pole.outbox.archived(message["installation"], "a", message["seq"]) is not None
    pole.ledger.close(NOON + 200)
    pole.outbox.close()
