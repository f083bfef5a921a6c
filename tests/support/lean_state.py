"""Both clients that keep the contract: the publisher of every device, and the lean one of a simulated fleet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge_app.mqtt.publisher import Publisher
from edge_app.storage.journal import Journal
from edge_app.storage.outbox import Outbox
from tests.support.lean_ledger import NOWHERE, tables_in_memory
from tests.support.lean_publisher import Carrier, LeanPublisher, LeanSession
from tests.support.publisher_cases import IDENTITY, State


class LeanState(State):
    """State in memory alone, whose publisher is woken by a carrier."""

    publishers = LeanPublisher
    sessions = LeanSession

    def publisher(self, port: int, **options: Any) -> Publisher:
        """Return a publisher with a carrier of its own."""
        made = super().publisher(port, **options)
        assert isinstance(made, LeanPublisher)
        made.idle_s = 0.02  # the tests set clocks and close intervals without waking it
        Carrier().add(made)
        return made

    def _open_journal(self) -> Journal:
        journal, self._standby = tables_in_memory(IDENTITY)
        return journal

    def _open_outbox(self) -> Outbox:
        return Outbox(NOWHERE, standby=self._standby)


CLIENTS: Final[Mapping[str, type[State]]] = {"device": State, "lean": LeanState}
"""What the tests of the contract run with."""
