"""Read messages of devices from an MQTT broker, in a session that the broker keeps, and acknowledge them by hand."""

from __future__ import annotations

from collections.abc import Sequence

from edge_app.errors import BrokerError
from edge_app.mqtt.events import Connected, Lost, Message, SubscriptionRefused
from edge_app.mqtt.session import Recall, Session


class MqttInbox:
    """Inbox of one worker. It belongs to one thread.

    session: with `Timing.by_hand` and a `session_expiry`, under a client id that stays the same: the broker gives what
    was not acknowledged to nobody else. by_names: the broker delivers what it retains for exact topics alone.
    """

    def __init__(self, session: Session, topics: Sequence[str], *, by_names: bool = False) -> None:
        self._session, self._topics = session, topics
        self._recall = Recall(session) if by_names else None
        self._waiting: list[Message] = []
        self._refusal = ""
        self._current: dict[int, Message] = {}

    @property
    def problem(self) -> str:
        """One sentence, empty while there is a connection."""
        return self._session.problem or self._refusal

    def read(self, most: int, timeout: float) -> Sequence[Message]:
        """Return what has come over the present connection, at most so many messages."""
        if not self._waiting:
            for event in self._session.poll(timeout):
                if isinstance(event, Message):
                    self._waiting.append(event)
                elif isinstance(event, Connected) and self._session.connected:
                    self._refusal = ""
                    self._session.subscribe(self._topics)
                    if self._recall:
                        self._recall.begin()
                elif isinstance(event, Lost):
                    self._waiting.clear()  # they come again
                    self._current.clear()
                elif isinstance(event, SubscriptionRefused):
                    self._refusal = (
                        f"broker refuses the subscription to {event.topic} ({event.reason}); check its access list"
                    )
            if self._recall:
                self._recall.step()
        taken, self._waiting = self._waiting[:most], self._waiting[most:]
        self._current.update((message.unacknowledged, message) for message in taken)
        return taken

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge what came over the present connection; a number of a former one would mean another message."""
        mine = [message for message in messages if self._current.get(message.unacknowledged) is message]
        self._session.acknowledge(mine)
        for message in mine:
            del self._current[message.unacknowledged]

    def drop(self) -> None:
        """End the connection, so that the broker sends again what was not acknowledged."""
        self._waiting.clear()
        self._current.clear()
        self._session.close()  # the next look connects again

    def send(self, message: Message) -> bool:
        """Send a command; return whether there is a connection to send it over."""
        try:
            self._session.publish(message)
        except BrokerError:
            return False
        return self._session.connected

    def recall(self, topics: Sequence[str]) -> None:
        """Have what is retained under these topics delivered, where the topics with wildcards do not bring it."""
        if self._recall:
            self._recall.add(topics)

    def close(self) -> None:
        """End the connection; the broker keeps the session."""
        self._session.close()
