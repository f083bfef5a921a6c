"""Run one worker of the city's ingest, with short waits, until it is killed: PORT DATABASE NAME [SHARE [ASK]]."""

from __future__ import annotations

import sys

from edge_app.city.asking import Asking, Limits
from edge_app.city.database.engine import open_database
from edge_app.city.ingest import Worker, topics
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.mqtt.endpoint import Backoff, Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.session import Session

LIMITS = Limits(on_its_way_s=2.0, reply_s=8.0, again_s=2.0, longest_s=4.0, silence_s=5.0)


def main(port: str, database: str, name: str, share: str = "", ask: str = "ask") -> None:
    """Work until killed."""
    session = Session(
        Endpoint("127.0.0.1", int(port)),
        f"edge-app-city-{name}",
        timing=Timing(connect=3.0, keepalive=5, session_expiry=600, by_hand=True),
        backoff=Backoff(min_s=0.1, max_s=0.5),
    )
    inbox = MqttInbox(session, topics(ROOT, share=share, fleet=bool(ask)))
    Worker(inbox, open_database(database), ROOT, asking=Asking(LIMITS) if ask else None).run(lambda: False)


if __name__ == "__main__":
    main(*sys.argv[1:])
