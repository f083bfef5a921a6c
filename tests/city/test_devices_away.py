"""A worker does not wait for ever for what a device has not sent, and asks it again when it is back."""

from __future__ import annotations

import pytest

from edge_app.city.asking import Asking
from edge_app.city.database.engine import Database
from edge_app.city.database.missing import find_gaps
from edge_app.city.ingest import Worker
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import ROOT
from tests.city.test_poison import Given, counts, other


def test_a_device_that_comes_back_is_asked_for_what_was_given_up(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = [1_796_100_000.0, 0.0]
    inbox = Given([counts(seq=3)])

    def tick() -> float:
        clock[1] += 0.05
        return clock[1]

    worker = Worker(inbox, database, ROOT, asking=Asking(), utc=lambda: clock[0], clock=tick)

    def missing_after(days: float, *given: Message) -> list[tuple[int, int]]:
        clock[0], clock[1], inbox.batch = clock[0] + days * 86_400, clock[1] + days * 86_400, list(given)
        worker.turn()
        with database.connect() as connection:
            return [(gap.first, gap.last) for gap in find_gaps(connection)]

    assert missing_after(0, counts(seq=3)) == [(1, 2)]
    assert missing_after(80) == [(1, 2)]
    assert missing_after(11) == []
    assert "2 intervals are given up: their devices were not heard for 90 days" in caplog.text
    assert missing_after(1, other("status", state="offline")) == []
    assert missing_after(1, other("status")) == [(1, 2)]
