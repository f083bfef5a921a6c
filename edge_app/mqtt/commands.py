"""Read commands and write replies: what is a command, in which order it is checked, and which answer it gets. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from edge_app.mqtt.events import Message
from edge_app.mqtt.messages import Code
from edge_app.records import FLOWS
from edge_app.system.clock import rfc3339

MAX_BYTES: Final = 16_384
"""Largest payload of a command and of a reply."""
MAX_NUMBERS: Final = 1_440
"""Most numbers that one `resend` may ask for."""
NAMES: Final = ("ping", "resend")
_NAME: Final = re.compile(r"[^\s+#/\0-\x1f\x7f-\x9f]{1,64}")
_SCHEMA: Final = "edge-app/command/1"
_REPLY: Final = "edge-app/reply/1"
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_LINE: Final = re.compile(rf"[a-z0-9][a-z0-9-]{{0,63}}|{FLOWS}")
_INSTALLATION: Final = re.compile(r"[0-9a-f]{8}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_LONGEST: Final = timedelta(days=1)
_LARGEST: Final = 2**53


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Topic and correlation data of the answer to a command."""

    topic: str
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class Command:
    """Command whose form is right."""

    id: str
    name: Literal["ping", "resend"]
    args: Mapping[str, Any]
    reply_to: ReplyTo


@dataclass(frozen=True, slots=True)
class Refused:
    """Command that is answered without being carried out."""

    id: str
    code: Code
    error: str
    reply_to: ReplyTo


@dataclass(frozen=True, slots=True)
class Ignored:
    """Message that is no command."""

    reason: str


@dataclass(frozen=True, slots=True)
class ResendArgs:
    """Numbers of one line that are to be offered again, both included."""

    line: str
    installation: str
    from_seq: int
    to_seq: int


class _BadRequestError(ValueError):
    """Fault of a command, in one sentence."""


def read_command(prefix: str, message: Message) -> Command | Refused | Ignored:
    """Return what a message below the device's prefix asks for. It never raises, whatever the message holds."""
    name = message.topic.removeprefix(f"{prefix}/commands/")
    if name == message.topic or not _NAME.fullmatch(name):  # the default topic of the answer has it too
        return Ignored("its topic is not that of a command")
    if message.retained:
        return Ignored("it is retained")
    if len(message.payload) > MAX_BYTES:
        return Ignored(f"it is longer than {MAX_BYTES} bytes")
    try:
        document = json.loads(message.payload.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        return Ignored("it is no JSON")
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        return Ignored(f"it is no object of the schema {_SCHEMA}")
    identifier = document.get("id")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        return Ignored("it has no valid id")
    reply_to = _reply_to(prefix, name, message)
    try:
        args = _checked_envelope(document)
        if name == "resend":
            resend_args(args)
    except _BadRequestError as error:
        return Refused(identifier, "bad_request", str(error), reply_to)
    if name not in NAMES:
        return Refused(identifier, "unknown_command", "This device knows no such command.", reply_to)
    return Command(identifier, name, args, reply_to)  # type: ignore[arg-type]


def resend_args(args: Mapping[str, Any]) -> ResendArgs:
    """Return the arguments of `resend`. Raises ValueError: with one sentence on what is wrong."""
    line, installation = args.get("line"), args.get("installation")
    first, last = args.get("from_seq"), args.get("to_seq")
    if not isinstance(line, str) or not _LINE.fullmatch(line):
        raise _BadRequestError("args.line must be the id of a line.")
    if not isinstance(installation, str) or not _INSTALLATION.fullmatch(installation):
        raise _BadRequestError("args.installation must be 8 hexadecimal digits.")
    if type(first) is not int or type(last) is not int or not 0 < first <= last < _LARGEST:
        raise _BadRequestError("args.from_seq and args.to_seq must be whole numbers with 1 <= from_seq <= to_seq.")
    if last - first >= MAX_NUMBERS:
        raise _BadRequestError(f"At most {MAX_NUMBERS} numbers may be asked for at once.")
    return ResendArgs(line, installation, first, last)


def reply(identifier: str, at: float, result: Mapping[str, Any]) -> str:
    """Return the reply to a command that was carried out. at: UTC s."""
    return _encode({"schema": _REPLY, "id": identifier, "at": rfc3339(round(at, 3)), "ok": True, "result": result})


def refusal(identifier: str, at: float, code: Code, error: str) -> str:
    """Return the reply to a command that was not carried out. error: one sentence."""
    outcome = {"ok": False, "code": code, "error": error}
    return _encode({"schema": _REPLY, "id": identifier, "at": rfc3339(round(at, 3)), **outcome})


def _encode(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _checked_envelope(document: Mapping[str, Any]) -> Mapping[str, Any]:
    at, expires = (_time(document.get(key), key) for key in ("at", "expires"))
    if expires - at > _LONGEST:
        raise _BadRequestError("expires must be at most a day after at.")
    args = document.get("args", {})
    if not isinstance(args, dict):
        raise _BadRequestError("args must be an object.")
    return args


def _time(value: object, key: str) -> datetime:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            # Python 3.10 reads neither Z nor fractions of other than 3 or 6 digits.
            whole, fraction, zone = re.fullmatch(r"(.{19})(\.\d+)?(.+)", value).groups()  # type: ignore[union-attr]
            zone = "+00:00" if zone in "Zz" else zone
            return datetime.fromisoformat(whole.upper() + f"{fraction or '.'}000000"[:7] + zone)
        except ValueError:
            pass
    raise _BadRequestError(f"{key} must be a time in RFC 3339 form.")


def _reply_to(prefix: str, name: str, message: Message) -> ReplyTo:
    wanted = message.response_topic
    below = f"{prefix}/replies/"
    if wanted.startswith(below) and len(wanted) > len(below) and wanted.isprintable() and not set(wanted) & set("+#"):
        return ReplyTo(wanted, message.correlation)
    return ReplyTo(f"{below}{name}")
