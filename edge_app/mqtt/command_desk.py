"""Receive commands, carry them out or have them carried out, and have the replies published.

`ping` and `resend` are for whoever may write commands at the broker, the others for what the office has signed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from edge_app.errors import CommandError, ResourceError, StoreError
from edge_app.mqtt.commands import (
    MAX_BYTES,
    NOBODY,
    SIGNED,
    Command,
    FetchArgs,
    Ignored,
    Refused,
    ReleaseArgs,
    ReplyTo,
    Trust,
    fetch_args,
    harvest_args,
    read_command,
    refusal,
    release_args,
    reply,
    snapshot_args,
    untimely,
)
from edge_app.mqtt.commands import resend_args as read_args
from edge_app.mqtt.device_messages import Meta, lines_of
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import CONTRACT, Device
from edge_app.mqtt.incoming import NAME as PIECE_NAME
from edge_app.mqtt.incoming import Incoming
from edge_app.mqtt.office_messages import Code, ReleaseReported
from edge_app.mqtt.pieces import Delivery, Due, Parcel
from edge_app.mqtt.resend import Resend
from edge_app.mqtt.signed_log import SignedLog
from edge_app.storage.outbox import Outbox

log = logging.getLogger(__name__)

_AT_ONCE: Final = 5
"""Replies in flight: commands must not keep intervals from the broker."""
_TAKES_TIME: Final = ("diagnose", "snapshot", "fetch", "release")
"""Commands of which one at a time is at work."""
_MOST: Final = 1_000
"""Replies that wait; beyond it the oldest are dropped, and their senders ask again."""


class Releases(Protocol):
    """Releases of the program on this machine; messages are the signed ones, which root checks again.

    order: fetches one and has it installed, in a thread of its own. may_go_back: tells what keeps the machine from it.
    go_back: has it go back. Each raises CommandError with one sentence. report: what became of the newest order.
    """

    def order(self, args: ReleaseArgs, message: bytes) -> Mapping[str, Any]: ...

    def may_go_back(self) -> None: ...

    def go_back(self, message: bytes) -> None: ...

    @property
    def report(self) -> ReleaseReported | None: ...


@dataclass(frozen=True, slots=True)
class SignedWork:
    """What is done on this device where the office has signed it; each function raises CommandError with one sentence.

    trust: whose signatures are believed. synced: returns True while a time service has set the clock. restart: begins
    to count anew. harvest: keeps frames for so many hours, 0 for no longer, and returns until when, RFC 3339, or None.
    diagnose, snapshot, fetch: are called in a thread of their own; snapshot gets the largest width, px, and whether
    lines are drawn into the picture, fetch the content where that comes from the broker.
    """

    trust: Trust
    synced: Callable[[], bool]
    restart: Callable[[], None]
    harvest: Callable[[int], str | None]
    diagnose: Callable[[], Parcel]
    snapshot: Callable[[int, bool], Parcel]
    fetch: Callable[[FetchArgs, Incoming | None], Mapping[str, Any]]
    releases: Releases


@dataclass(slots=True, eq=False)
class _Waiting:
    """Reply that the broker has not answered yet. then: is called once it has."""

    message: Message
    in_flight: bool = False
    then: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """Command at work, and where its reply is wanted."""

    command: Command
    targets: list[ReplyTo]

    def joins(self, command: Command | Refused) -> bool:
        """Have the reply sent to a repeated command too; return False for one of another order."""
        same = (command.id, bool(command.key)) == (self.command.id, bool(self.command.key))
        if same and command.reply_to not in self.targets:
            self.targets.append(command.reply_to)
        return same


class CommandDesk:
    """Commands of one device. It belongs to the publishing thread.

    work: what is done where the office has signed it; None where nothing signed is taken.

    Attributes: `job` is the `resend` at work, `ignored` the number of messages that were no commands, `dropped` that of
    replies for which there was no room, `signed` what became of signed commands.
    """

    def __init__(
        self,
        device: Device,
        outbox: Outbox,
        meta: Meta,
        installation: Callable[[], str],
        utc: Callable[[], float],
        work: SignedWork | None = None,
    ) -> None:
        self._device, self._outbox, self._meta = device, outbox, meta
        self._installation, self._utc, self._work = installation, utc, work
        self._trust = work.trust if work else NOBODY
        self._replies: list[_Waiting] = []
        self._resending: _Order | None = None
        self._delivering: tuple[_Order, Delivery] | None = None
        self._incoming: Incoming | None = None
        self._own = self._resumed = False
        self.job: Resend | None = None
        self.ignored = self.dropped = 0
        self.signed = SignedLog(utc)

    def renew(self, meta: Meta) -> None:
        """Answer by another meta from now on."""
        self._meta = meta

    def receive(self, message: Message) -> None:
        """Take a message that came in; none ever raises."""
        if message.topic == f"{self._device.prefix}/commands/{PIECE_NAME}":
            if self._incoming is None or message.retained or not self._incoming.receive(message.payload):
                self._ignore("it is a piece that nobody has asked for")
            return
        outcome = read_command(self._device.prefix, message, self._trust)
        if isinstance(outcome, Ignored):
            self._ignore(outcome.reason)
            return
        try:
            self._answer(outcome)
        except StoreError as error:
            log.warning("%s", error)
            self._refuse(outcome, "failed", "The state folder cannot be used at the moment.")

    def _ignore(self, reason: str) -> None:
        self.ignored += 1
        if self.ignored & (self.ignored - 1) == 0:  # a flood must not fill the log: the 1st, 2nd, 4th, 8th ...
            log.warning("a message was ignored, since %s; %d so far", reason, self.ignored)

    @property
    def limit(self) -> str:
        """One sentence on replies that were dropped, empty when none was."""
        return f"{self.dropped} replies to commands were dropped, since {_MOST:,} waited" if self.dropped else ""

    def replies(self) -> list[tuple[Message, Callable[[str], None]]]:
        """Return the replies to publish now, each with what is to be called with the broker's answer."""
        if not self._resumed:
            self._fail_unfinished()
        due = [one for one in self._replies if not one.in_flight]
        room = max(0, _AT_ONCE - (len(self._replies) - len(due)))
        for one in due[:room]:
            one.in_flight = True
        return [(one.message, partial(self._replied, one)) for one in due[:room]]

    def pieces(self, room: int, max_packet: int) -> Due:
        """Return the pieces to publish now, and answer the command when all are acknowledged.

        room: for how many messages there is room beside the counts. max_packet: bytes of the largest packet that the
        broker takes, 0 for any.
        """
        if self._delivering is None:
            return []
        order, delivery = self._delivering
        try:
            due = delivery.due(room, max_packet)
        except CommandError as error:
            self._finish_signed(order, str(error))
            self._delivering = self._incoming = None
            return []
        result = delivery.result()
        if result is not None:
            self._finish(order, reply(order.command.id, self._utc(), result))
            did = f"sent {result['bytes']} bytes" if "bytes" in result else f"{result['name']} is here"
            self.signed.done(order.command, did)
            self._delivering = self._incoming = None
        request = self._incoming.request() if self._incoming and room else None
        return due if request is None or self._incoming is None else [*due, (request, self._incoming.answered)]

    def lost(self) -> None:
        """Publish again what the lost connection has not acknowledged."""
        for one in self._replies:
            one.in_flight = False
        if self.job is not None:
            self.job.lost()
        if self._delivering is not None:
            self._delivering[1].lost()
        if self._incoming is not None:
            self._incoming.lost()

    def may_resend(self) -> bool:
        """Return True when the intervals of the `resend` were counted under the present site and device name."""
        return self._own

    def conclude(self) -> None:
        """Answer the `resend` when it is done."""
        if self.job is None or self._resending is None or not self.job.done:
            return
        identifier, refused = self._resending.command.id, self.job.refused
        if refused:
            text = refusal(identifier, self._utc(), "failed", f"The broker refuses the intervals ({refused}).")
        else:
            text = reply(identifier, self._utc(), self.job.result())
        self._finish(self._resending, text)
        self.job = self._resending = None

    def _answer(self, outcome: Command | Refused) -> None:
        if isinstance(outcome, Refused) and outcome.code == "unauthorised":
            # Nothing of it is remembered or looked up: its id may be that of another one's command.
            self._refuse(outcome, outcome.code, outcome.error)
            return
        if isinstance(outcome, Command) and outcome.name == "ping":
            self._queue(outcome.reply_to, self._ping(outcome.id))
            return
        known = self._outbox.memory.known_command(outcome.id, signed=bool(outcome.key))
        if known is not None:
            if known.reply:
                self._queue(outcome.reply_to, known.reply)
            else:
                self._join(outcome)
        elif isinstance(outcome, Refused):
            self._begin(outcome)
            self._outbox.memory.finish_command(outcome.id, self._refusal(outcome), signed=bool(outcome.key))
            self._refuse(outcome, outcome.code, outcome.error)
        elif outcome.name in SIGNED:
            self._carry_out(outcome)
        elif self.job is not None:
            self._refuse(outcome, "busy", "Another resend is at work.")
        else:
            self._begin(outcome)
            args = read_args(outcome.args)
            self._own = self._outbox.is_own(args.installation, self._device.site, self._device.device)
            self._resending = _Order(outcome, [outcome.reply_to])
            self.job = Resend(args, self._outbox.why_missing if self._own else lambda *_: "unknown")

    def _join(self, outcome: Command | Refused) -> None:
        """Have the reply to a command that is still at work sent to its repetition too."""
        for order in (self._resending, self._delivering[0] if self._delivering else None):
            if order is not None and order.joins(outcome):
                return

    def _carry_out(self, command: Command) -> None:
        """Begin what the office has signed, and what is done at once; answer it, unless it takes time."""
        work = self._work
        if work is None:
            return  # without keys no command is a signed one
        refused = untimely(command, self._utc(), synced=work.synced())
        if refused is not None:
            self._refuse(refused, refused.code, refused.error)
            return
        if command.name in _TAKES_TIME and self._delivering is not None:
            self._refuse(command, "busy", f"Another {self._delivering[0].command.name} is at work.")
            return
        self._begin(command)
        self.signed.taken(command)
        order = _Order(command, [command.reply_to])
        try:
            if command.name == "restart":
                self._finish(order, reply(command.id, self._utc(), {}), then=work.restart)
            elif command.name == "harvest":
                until = work.harvest(harvest_args(command.args).hours)
                self._finish(order, reply(command.id, self._utc(), {"until": until}))
                self.signed.done(command, f"on until {until}" if until else "off")
            elif command.name == "rollback":
                work.releases.may_go_back()
                text = reply(command.id, self._utc(), {})
                self._finish(order, text, then=partial(self._roll_back, work, command))
            else:
                self._deliver(work, order)
        except (CommandError, ResourceError) as error:
            self._finish_signed(order, str(error))

    def _deliver(self, work: SignedWork, order: _Order) -> None:
        """Begin to make what is sent in pieces. Raises ResourceError: when no thread can be started now."""
        make: Callable[[], Parcel | Mapping[str, Any]] = work.diagnose
        if order.command.name == "snapshot":
            args = snapshot_args(order.command.args)
            make = partial(work.snapshot, args.width, args.lines)
        elif order.command.name == "fetch":
            bundle = fetch_args(order.command.args)
            if not bundle.url:
                self._incoming = Incoming(self._device.prefix, order.command.id, bundle.bytes)
            make = partial(work.fetch, bundle, self._incoming)
        elif order.command.name == "release":
            make = partial(work.releases.order, release_args(order.command.args), order.command.message)
        self._delivering = order, Delivery(self._device.prefix, order.command.id, make)

    def _roll_back(self, work: SignedWork, command: Command) -> None:
        """Have the machine go back once the broker has the answer: nothing may be left to answer then."""
        try:
            work.releases.go_back(command.message)
        except CommandError as error:
            self.signed.refused(command, "failed", str(error))

    def _begin(self, outcome: Command | Refused) -> None:
        to, signed = outcome.reply_to, bool(outcome.key)
        self._outbox.memory.begin_command(outcome.id, to.topic, to.correlation, signed=signed)

    def _finish(self, order: _Order, text: str, then: Callable[[], None] | None = None) -> None:
        """Remember the reply to a command, and send it to everybody who wants it; call `then` once it is taken."""
        self._outbox.memory.finish_command(order.command.id, text, signed=bool(order.command.key))
        for target in order.targets:
            self._queue(target, text, then)

    def _finish_signed(self, order: _Order, error: str) -> None:
        """Tell the office and the journal that what it has signed failed."""
        self._finish(order, refusal(order.command.id, self._utc(), "failed", error))
        self.signed.refused(order.command, "failed", error)

    def _refuse(self, outcome: Command | Refused, code: Code, error: str) -> None:
        """Answer a command that is not carried out."""
        self._queue(outcome.reply_to, refusal(outcome.id, self._utc(), code, error))
        if outcome.key or code == "unauthorised":
            self.signed.refused(outcome, code, error)

    def _refusal(self, outcome: Refused) -> str:
        return refusal(outcome.id, self._utc(), outcome.code, outcome.error)

    def _replied(self, one: _Waiting, _refused: str) -> None:
        self._replies.remove(one)
        if one.then is not None:
            one.then()

    def _fail_unfinished(self) -> None:
        for known in self._outbox.memory.unfinished_commands():
            text = refusal(known.id, self._utc(), "failed", "The program was started again before it was done.")
            self._outbox.memory.finish_command(known.id, text, signed=known.signed)
            self._queue(ReplyTo(known.topic, known.correlation), text)
        self._resumed = True

    def _queue(self, to: ReplyTo, text: str, then: Callable[[], None] | None = None) -> None:
        message = Message(to.topic, text.encode(), qos=1, correlation=to.correlation)
        self._replies.append(_Waiting(message, then=then))
        if len(self._replies) > _MOST:  # the broker's answer to one in flight is still to come
            self._replies.remove(next(one for one in self._replies if not (one.in_flight or one.then)))
            self.dropped += 1

    def _ping(self, identifier: str) -> str:
        numbers = self._outbox.numbers(self._device.site, self._device.device)
        installation = self._installation()
        lines = dict.fromkeys(sorted(lines_of(self._meta)), (1, 0)) | numbers.get(installation, {})
        result: dict[str, Any] = {
            "state": "online",
            "version": self._device.version,
            "contract": CONTRACT,
            "installation": installation,
            "config": self._meta.config,
            "lines": _named(lines),
            "installations": {**{one: _named(kept) for one, kept in numbers.items()}, installation: _named(lines)},
        }
        text = reply(identifier, self._utc(), result)
        while len(text.encode()) > MAX_BYTES and len(result["installations"]) > 1:
            result["installations"].pop(next(iter(result["installations"])))  # the oldest
            text = reply(identifier, self._utc(), result)
        return text


def _named(lines: dict[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    return {line: {"first_seq": first, "newest_seq": newest} for line, (first, newest) in lines.items()}
