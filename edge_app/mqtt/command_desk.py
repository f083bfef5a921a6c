"""Receive commands, carry out `ping`, begin `resend`, and have the replies published."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from edge_app.errors import StoreError
from edge_app.mqtt.commands import MAX_BYTES, Command, Ignored, Refused, ReplyTo, read_command, refusal, reply
from edge_app.mqtt.commands import resend_args as read_args
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import CONTRACT, Device
from edge_app.mqtt.messages import Code, Meta, lines_of
from edge_app.mqtt.resend import Resend
from edge_app.storage.outbox import Outbox

log = logging.getLogger(__name__)

_AT_ONCE: Final = 5
"""Replies in flight: commands must not keep intervals from the broker."""
_MOST: Final = 1_000
"""Replies that wait; beyond it the oldest are dropped, and their senders ask again."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """Reply that the broker has not answered yet."""

    message: Message
    in_flight: bool = False


class CommandDesk:
    """Commands of one device. It belongs to the publishing thread.

    Attributes: `job` is the `resend` at work, `ignored` the number of messages that were no commands, `dropped` that of
    replies for which there was no room.
    """

    def __init__(
        self,
        device: Device,
        outbox: Outbox,
        meta: Meta,
        installation: Callable[[], str],
        utc: Callable[[], float],
    ) -> None:
        self._device, self._outbox, self._meta = device, outbox, meta
        self._installation, self._utc = installation, utc
        self._replies: list[_Waiting] = []
        self._id = ""
        self._targets: list[ReplyTo] = []
        self._own = self._resumed = False
        self.job: Resend | None = None
        self.ignored = self.dropped = 0

    def receive(self, message: Message) -> None:
        """Take a message that came in; none ever raises."""
        outcome = read_command(self._device.prefix, message)
        if isinstance(outcome, Ignored):
            self.ignored += 1
            if self.ignored & (self.ignored - 1) == 0:  # a flood must not fill the log: the 1st, 2nd, 4th, 8th ...
                log.warning("a message was ignored, since %s; %d so far", outcome.reason, self.ignored)
            return
        try:
            self._answer(outcome)
        except StoreError as error:
            log.warning("%s", error)
            self._refuse(outcome, "failed", "The state folder cannot be used at the moment.")

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
        return [(one.message, lambda _refused, one=one: self._replies.remove(one)) for one in due[:room]]  # type: ignore[misc]

    def lost(self) -> None:
        """Publish again what the lost connection has not acknowledged."""
        for one in self._replies:
            one.in_flight = False
        if self.job is not None:
            self.job.lost()

    def may_resend(self) -> bool:
        """Return True when the intervals of the `resend` were counted under the present site and device name."""
        return self._own

    def conclude(self) -> None:
        """Answer the `resend` when it is done."""
        if self.job is None or not self.job.done:
            return
        refused = self.job.refused
        if refused:
            text = refusal(self._id, self._utc(), "failed", f"The broker refuses the intervals ({refused}).")
        else:
            text = reply(self._id, self._utc(), self.job.result())
        self._outbox.memory.finish_command(self._id, text)
        for target in self._targets:
            self._queue(target, text)
        self.job = None

    def _answer(self, outcome: Command | Refused) -> None:
        if isinstance(outcome, Command) and outcome.name == "ping":
            self._queue(outcome.reply_to, self._ping(outcome.id))
            return
        known = self._outbox.memory.known_command(outcome.id)
        if known is not None:
            if known.reply:
                self._queue(outcome.reply_to, known.reply)
            elif self.job is not None and outcome.id == self._id and outcome.reply_to not in self._targets:
                self._targets.append(outcome.reply_to)
        elif isinstance(outcome, Refused):
            text = refusal(outcome.id, self._utc(), outcome.code, outcome.error)
            self._begin(outcome)
            self._outbox.memory.finish_command(outcome.id, text)
            self._queue(outcome.reply_to, text)
        elif self.job is not None:
            self._refuse(outcome, "busy", "Another resend is at work.")
        else:
            self._begin(outcome)
            args = read_args(outcome.args)
            self._own = self._outbox.is_own(args.installation, self._device.site, self._device.device)
            self._id, self._targets = outcome.id, [outcome.reply_to]
            self.job = Resend(args, self._outbox.why_missing if self._own else lambda *_: "unknown")

    def _begin(self, outcome: Command | Refused) -> None:
        self._outbox.memory.begin_command(outcome.id, outcome.reply_to.topic, outcome.reply_to.correlation)

    def _refuse(self, outcome: Command | Refused, code: Code, error: str) -> None:
        self._queue(outcome.reply_to, refusal(outcome.id, self._utc(), code, error))

    def _fail_unfinished(self) -> None:
        for known in self._outbox.memory.unfinished_commands():
            text = refusal(known.id, self._utc(), "failed", "The program was started again before it was done.")
            self._outbox.memory.finish_command(known.id, text)
            self._queue(ReplyTo(known.topic, known.correlation), text)
        self._resumed = True

    def _queue(self, to: ReplyTo, text: str) -> None:
        self._replies.append(_Waiting(Message(to.topic, text.encode(), qos=1, correlation=to.correlation)))
        if len(self._replies) > _MOST:  # the broker's answer to one in flight is still to come
            self._replies.remove(next(one for one in self._replies if not one.in_flight))
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
