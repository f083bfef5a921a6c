"""Talk with one device of the fleet: what is sent to it, which messages answer it, and what came of it. No I/O."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from edge_app.city.desired import Reported, json_in, other_time, read_reported, written_at
from edge_app.mqtt.events import Message
from edge_app.mqtt.incoming import piece, pieces_of, read_request
from edge_app.system.topics import DESIRED

_MOST_PIECES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. text: one line for people. content: a file that the device has sent, with its name.

    answered: the device has said so itself; False where the wait for it was over.
    """

    ok: bool
    text: str
    name: str = ""
    content: bytes = b""
    answered: bool = True


class Conversation(Protocol):
    """One question to one device.

    device: its topic prefix. topics: on which answers come. outcome: None until there is one. news: of the last look,
    empty when there is none.
    """

    device: str
    topics: Sequence[str]
    outcome: Outcome | None
    news: str

    def opening(self) -> Message:
        """Return what is sent, at first and on every new connection until there is an outcome."""

    def receive(self, message: Message) -> None:
        """Take a message on one of the topics; none ever raises."""

    def due(self) -> Sequence[Message]:
        """Return what is sent now because of what was received."""

    def closing(self) -> Message | None:
        """Return what is sent once there is an outcome, None for nothing."""

    def give_up(self) -> Outcome:
        """Return what is known at the end of the wait."""


class Configuring:
    """A layer for a device.

    before: payload of its report as it was. former: payload of the retained layer as it was, which the broker gets back
    where the device refuses the new one. patient: wait for the end of the trial.

    Another office may send a layer of the same revision at the same moment: which of the two the device has taken is
    told by when it was written.
    """

    def __init__(
        self, device: str, payload: str, revision: int, before: bytes, former: bytes = b"", *, patient: bool = True
    ) -> None:
        self.device = device
        self.topics: Sequence[str] = (f"{device}/config/reported", f"{device}/{DESIRED}")
        self.outcome: Outcome | None = None
        self.news = ""
        self._payload, self._revision, self._before, self._patient = payload.encode(), revision, before, patient
        self._written = written_at(self._payload)
        self._former, self._at_broker, self._in_vain = former, self._payload, False

    def opening(self) -> Message:
        """Return the retained message."""
        return Message(f"{self.device}/{DESIRED}", self._payload, qos=1, retained=True)

    def receive(self, message: Message) -> None:
        """Take a report, or what the broker retains now."""
        if message.topic == self.topics[1]:
            self._at_broker = message.payload
            self._former = self._former if message.payload == self._payload else message.payload
        elif message.payload != self._before:
            self._before = message.payload
            self._hear(read_reported(message.payload))

    def _hear(self, reported: Reported) -> None:
        accepted, used = reported.highest == self._revision, reported.revision == self._revision
        told = None not in (self._written, reported.at)
        if accepted and used and other_time(reported.at, self._written):
            self._fail("another change of the configuration was quicker: try again")
        elif reported.state == "refused" and accepted and used and told:
            self.news = f"revision {self._revision} is in use, and the device has refused another one"
        elif reported.state == "refused":
            self._fail(f"refused: {_told(reported)}")
        elif not accepted:
            return
        elif reported.state == "rolled_back":
            self.outcome = Outcome(False, f"rolled back: {_told(reported)}")
        elif reported.state == "applied" or not self._patient:
            self.outcome = Outcome(True, f"revision {self._revision} is {reported.state}")
        elif reported.state == "trying":
            self.news = f"revision {self._revision} is on trial for two minutes"

    def _fail(self, text: str) -> None:
        self.outcome, self._in_vain = Outcome(False, text), True

    def due(self) -> Sequence[Message]:
        """Return nothing."""
        return ()

    def closing(self) -> Message | None:
        """Return the layer of before: what was refused must not be the beginning of the next change.

        Where another office has sent one since, that stays.
        """
        if not self._in_vain or self._at_broker != self._payload:
            return None
        return Message(f"{self.device}/{DESIRED}", self._former, qos=1, retained=True)

    def give_up(self) -> Outcome:
        """Return that the message stays with the broker."""
        if self.news:
            return Outcome(False, f"{self.news}, and has not told its end", answered=False)
        return Outcome(False, "no answer: the broker keeps it until the device comes back", answered=False)


class Commanding:
    """A command to a device. payload: signed. identifier: its id."""

    def __init__(self, device: str, name: str, identifier: str, payload: str) -> None:
        self.device, self._name, self._id, self._payload = device, name, identifier, payload
        self.topics: Sequence[str] = (f"{device}/replies/{name}", f"{device}/pieces/{identifier}")
        self.outcome: Outcome | None = None
        self.news = ""
        self._pieces: dict[int, bytes] = {}

    def opening(self) -> Message:
        """Return the command; a device answers a repeated one without doing it again."""
        return Message(f"{self.device}/commands/{self._name}", self._payload.encode(), qos=1)

    def receive(self, message: Message) -> None:
        """Take a reply or a piece."""
        given = _object(message.payload)
        if given.get("id") != self._id:
            return
        if message.topic == self.topics[1]:
            self._take(given)
        elif given.get("ok") is True:
            result = given.get("result")
            self.outcome = self._done(result if isinstance(result, dict) else {})
        elif given.get("ok") is False:
            self.outcome = Outcome(False, f"{given.get('code')}: {given.get('error')}")

    def due(self) -> Sequence[Message]:
        """Return nothing."""
        return ()

    def closing(self) -> Message | None:
        """Return nothing: a command is not retained."""
        return None

    def give_up(self) -> Outcome:
        """Return that nothing, or not all, has come."""
        told = f"no answer{self.news and f', but {self.news}'}: ask again when the device is online"
        return Outcome(False, told, answered=False)

    def _take(self, given: Mapping[str, Any]) -> None:
        number, of, data = given.get("piece"), given.get("of"), given.get("data")
        if type(number) is not int or type(of) is not int or not 1 <= number <= of <= _MOST_PIECES:
            return
        try:
            self._pieces[number] = base64.b64decode(str(data), validate=True)
        except (ValueError, binascii.Error):
            return
        self.news = f"{len(self._pieces)} of {of} pieces have come"

    def _done(self, result: Mapping[str, Any]) -> Outcome:
        if "sha256" not in result:
            told = ", ".join(f"{key} {value}" for key, value in result.items() if value is not None)
            return Outcome(True, f"done{told and f': {told}'}")
        content = b"".join(self._pieces[number] for number in sorted(self._pieces))
        if hashlib.sha256(content).hexdigest() != result["sha256"]:
            return Outcome(False, f"{len(self._pieces)} of {result.get('pieces')} pieces came: ask again")
        return Outcome(True, f"{len(content):,} bytes", str(result.get("name", "")), content)


class Fetching(Commanding):
    """The command `fetch` to a device that gets the bundle from the broker. content: of the bundle."""

    def __init__(self, device: str, identifier: str, payload: str, content: bytes) -> None:
        super().__init__(device, "fetch", identifier, payload)
        self._content, self._asked = content, range(0)

    def receive(self, message: Message) -> None:
        """Take a reply, or a question for pieces."""
        asked = read_request(message.payload, self._id, len(self._content))
        if message.topic == self.topics[1]:
            if asked:
                self._asked = asked
                self.news = f"{asked[-1]} of {pieces_of(len(self._content))} pieces were asked for"
        else:
            super().receive(message)

    def due(self) -> Sequence[Message]:
        """Return the pieces that the device has asked for."""
        asked, self._asked = self._asked, range(0)
        return [piece(self.device, self._id, self._content, number) for number in asked]


def _told(reported: Reported) -> str:
    return "; ".join(reported.problems) or "the device gives no reason"


def _object(payload: bytes) -> Mapping[str, Any]:
    given = json_in(payload)
    return given if isinstance(given, dict) else {}
