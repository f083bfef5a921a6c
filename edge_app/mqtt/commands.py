"""Read commands and write replies: what is a command, in which order it is checked, and which answer it gets. Pure."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from edge_app.mqtt.events import Message
from edge_app.mqtt.office_messages import Code
from edge_app.records import FLOWS
from edge_app.system.clock import read_rfc3339, rfc3339
from edge_app.system.signed import SCHEMA as SIGNED_SCHEMA
from edge_app.system.signed import Signed, Verify, is_from, read_signed

MAX_BYTES: Final = 16_384
"""Largest payload of a command and of a reply."""
MAX_NUMBERS: Final = 1_440
"""Most numbers that one `resend` may ask for."""
SIGNED: Final = ("restart", "diagnose", "harvest", "snapshot", "fetch", "release", "rollback")
"""Commands that are carried out only where the office has signed them."""
NAMES: Final = ("ping", "resend", *SIGNED)
MAX_HOURS: Final = 168
"""Longest harvest that one command may switch on, h."""
MAX_BUNDLE: Final = 64_000_000
"""Largest bundle that is fetched."""
MAX_RELEASE: Final = 2**30
"""Largest archive of a release that is fetched; deploy/install.sh takes no more either."""
WIDTHS: Final = range(160, 1281)
"""Widths of a snapshot, px."""
_NAME: Final = re.compile(r"[^\s+#/\0-\x1f\x7f-\x9f]{1,64}")
_SCHEMA: Final = "edge-app/command/1"
_REPLY: Final = "edge-app/reply/1"
_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_LINE: Final = re.compile(rf"[a-z0-9][a-z0-9-]{{0,63}}|{FLOWS}")
_INSTALLATION: Final = re.compile(r"[0-9a-f]{8}")
_URL: Final = re.compile(r"https://[!-~]{1,2000}")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_SUMS: Final = re.compile(r"[ -~\n]{1,4000}")
_SUMS_SIGNATURE: Final = re.compile(r"[A-Za-z0-9+/]{86}==")
_LONGEST: Final = timedelta(days=1)
_LARGEST: Final = 2**53
_WIDTH: Final = 640
"""Width of a snapshot that names none, px."""
_AHEAD_S: Final = 300.0
"""Seconds that a signed command may have been written ahead of the device's clock."""


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Topic and correlation data of the answer to a command."""

    topic: str
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures are believed. keys: name -> public key; without any, none is. verify: as `Verify` says."""

    keys: Mapping[str, str] = field(default_factory=dict)
    verify: Verify = lambda _public, _text, _signature: False


NOBODY: Final = Trust()


@dataclass(frozen=True, slots=True)
class Command:
    """Command whose form is right.

    key: name of the key that has signed it, empty for an unsigned one. at, expires: UTC s. message: as it came.
    """

    id: str
    name: str
    args: Mapping[str, Any]
    reply_to: ReplyTo
    key: str = ""
    at: float = 0.0
    expires: float = 0.0
    message: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """Command that is answered without being carried out.

    key: name of the key that has signed it; empty for an unsigned one, and where no known key has signed it.
    """

    id: str
    code: Code
    error: str
    reply_to: ReplyTo
    name: str = ""
    key: str = ""


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


@dataclass(frozen=True, slots=True)
class HarvestArgs:
    """What `harvest` asks for. hours: for how many; 0 where it is switched off."""

    enabled: bool
    hours: int


@dataclass(frozen=True, slots=True)
class SnapshotArgs:
    """What `snapshot` asks for. width: the largest, px. lines: with what the preview draws into the picture."""

    width: int
    lines: bool


@dataclass(frozen=True, slots=True)
class FetchArgs:
    """What `fetch` asks for. url: of a bundle; "" for the broker. bytes, sha256: of it, the hash in hexadecimal."""

    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ReleaseArgs:
    """What `release` asks for. archive: what is fetched. sums, signature: SHA256SUMS and SHA256SUMS.sig of that build.

    older: it may be older than what is installed.
    """

    archive: FetchArgs
    sums: str
    signature: bytes
    older: bool


class _BadRequestError(ValueError):
    """Fault of a command, in one sentence."""


def read_command(prefix: str, message: Message, trust: Trust = NOBODY) -> Command | Refused | Ignored:
    """Return what a message below the device's prefix asks for. It never raises, whatever the message holds.

    The signature of a signed one comes before all else that is in it. What may be done only where the office has signed
    it is `unauthorised` without a signature.
    """
    name = message.topic.removeprefix(f"{prefix}/commands/")
    if name == message.topic or not _NAME.fullmatch(name):  # the default topic of the answer has it too
        return Ignored("its topic is not that of a command")
    if message.retained:
        return Ignored("it is retained")
    if len(message.payload) > MAX_BYTES:
        return Ignored(f"it is longer than {MAX_BYTES} bytes")
    document, key, doubt = _parsed(message.payload), "", ""
    if isinstance(document, dict) and document.get("schema") == SIGNED_SCHEMA:
        signed = read_signed(document)
        if signed is None:
            return Ignored(f"it is no object of the schema {SIGNED_SCHEMA}")
        doubt = _doubt(signed, message.topic, trust)
        key, document = "" if doubt else signed.key, _parsed(signed.document)
    if document is None:
        return Ignored("it is no JSON")
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        return Ignored(f"it is no object of the schema {_SCHEMA}")
    identifier = document.get("id")
    if not isinstance(identifier, str) or not _ID.fullmatch(identifier):
        return Ignored("it has no valid id")
    return _checked(
        document, doubt, Command(identifier, name, {}, _reply_to(prefix, name, message), key, message=message.payload)
    )


def _doubt(signed: Signed, topic: str, trust: Trust) -> str:
    """Return why a signature is not believed, in one sentence; empty when it is."""
    if is_from(signed, topic, trust.keys, trust.verify):
        return ""
    if not trust.keys:
        return "This device takes nothing signed: its own configuration file has no office.keys."
    if signed.key not in trust.keys:
        return f"This device does not know the key {signed.key}: it is none of its office.keys."
    return f"The signature is none of the key {signed.key} for this document and this topic."


def _checked(document: Mapping[str, Any], doubt: str, command: Command) -> Command | Refused:
    """Return the command with what its document says, or why it is refused."""

    def refused(code: Code, error: str) -> Refused:
        return Refused(command.id, code, error, command.reply_to, command.name, command.key)

    if doubt:
        return refused("unauthorised", doubt)
    try:
        at, expires, args = _checked_envelope(document)
        if command.name in _ARGUMENTS:
            _ARGUMENTS[command.name](args)
    except _BadRequestError as error:
        return refused("bad_request", str(error))
    if command.name not in NAMES:
        return refused("unknown_command", "This device knows no such command.")
    if command.name in SIGNED and not command.key:
        return refused("unauthorised", f"{command.name} is carried out only where the office has signed it.")
    return replace(command, args=args, at=at.timestamp(), expires=expires.timestamp())


def untimely(command: Command, now: float, *, synced: bool) -> Refused | None:
    """Return why a signed command is not carried out now; None when it may be. now: UTC s. synced: the clock is set."""
    refused = partial(Refused, command.id, reply_to=command.reply_to, name=command.name, key=command.key)
    if not synced:
        unset = "No time service has set this device's clock, so it cannot tell whether this is old: set up NTP there."
        return refused("clock", unset)
    if command.at - now > _AHEAD_S:
        return refused(
            "clock", f"at is {command.at - now:.0f} s ahead of this device's clock: one of the two is wrong."
        )
    if now > command.expires:
        return refused(
            "expired", f"It expired {now - command.expires:.0f} s ago by this device's clock: send a new one."
        )
    return None


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


def harvest_args(args: Mapping[str, Any]) -> HarvestArgs:
    """Return the arguments of `harvest`. Raises ValueError: with one sentence on what is wrong."""
    enabled, hours = args.get("enabled"), args.get("hours")
    if not isinstance(enabled, bool):
        raise _BadRequestError("args.enabled must be true or false.")
    if not enabled:
        return HarvestArgs(enabled=False, hours=0)
    if type(hours) is not int or not 1 <= hours <= MAX_HOURS:
        raise _BadRequestError(f"args.hours must be a whole number from 1 to {MAX_HOURS} where enabled is true.")
    return HarvestArgs(enabled=True, hours=hours)


def snapshot_args(args: Mapping[str, Any]) -> SnapshotArgs:
    """Return the arguments of `snapshot`. Raises ValueError: with one sentence on what is wrong."""
    width, lines = args.get("width", _WIDTH), args.get("lines", False)
    if type(width) is not int or width not in WIDTHS:
        raise _BadRequestError(f"args.width must be a whole number from {WIDTHS[0]} to {WIDTHS[-1]}.")
    if not isinstance(lines, bool):
        raise _BadRequestError("args.lines must be true or false.")
    return SnapshotArgs(width, lines)


def fetch_args(args: Mapping[str, Any]) -> FetchArgs:
    """Return the arguments of `fetch`. Raises ValueError: with one sentence on what is wrong."""
    if "url" not in args:
        return FetchArgs("", *_file_args(args, MAX_BUNDLE))
    return download_args(args, MAX_BUNDLE)


def download_args(args: Mapping[str, Any], most: int) -> FetchArgs:
    """Return what a server is asked for. most: bytes. Raises ValueError: with one sentence on what is wrong."""
    url = args.get("url")
    if not isinstance(url, str) or not _URL.fullmatch(url):
        raise _BadRequestError("args.url must begin with https:// and have at most 2,000 characters of ASCII.")
    return FetchArgs(url, *_file_args(args, most))


def _file_args(args: Mapping[str, Any], most: int) -> tuple[int, str]:
    """Return size and SHA-256 of a file. most: bytes. Raises ValueError: with one sentence on what is wrong."""
    size, sha256 = args.get("bytes"), args.get("sha256")
    if type(size) is not int or not 0 < size <= most:
        raise _BadRequestError(f"args.bytes must be a whole number from 1 to {most}.")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise _BadRequestError("args.sha256 must be 64 hexadecimal digits in small letters.")
    return size, sha256


def release_args(args: Mapping[str, Any]) -> ReleaseArgs:
    """Return the arguments of `release`. Raises ValueError: with one sentence on what is wrong."""
    archive = download_args(args, MAX_RELEASE)
    sums, signature, older = args.get("sums"), args.get("sums_signature"), args.get("older", False)
    if not isinstance(sums, str) or not _SUMS.fullmatch(sums):
        raise _BadRequestError("args.sums must be the text of SHA256SUMS, at most 4,000 characters of ASCII.")
    if not isinstance(signature, str) or not _SUMS_SIGNATURE.fullmatch(signature):
        raise _BadRequestError("args.sums_signature must be base64 of the 64 bytes of SHA256SUMS.sig.")
    if not isinstance(older, bool):
        raise _BadRequestError("args.older must be true or false.")
    return ReleaseArgs(archive, sums, base64.b64decode(signature), older)


_ARGUMENTS: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    "resend": resend_args,
    "harvest": harvest_args,
    "snapshot": snapshot_args,
    "fetch": fetch_args,
    "release": release_args,
}
"""What reads the arguments of a command that has some."""


def reply(identifier: str, at: float, result: Mapping[str, Any]) -> str:
    """Return the reply to a command that was carried out. at: UTC s."""
    return _encode({"schema": _REPLY, "id": identifier, "at": rfc3339(round(at, 3)), "ok": True, "result": result})


def refusal(identifier: str, at: float, code: Code, error: str) -> str:
    """Return the reply to a command that was not carried out. error: one sentence."""
    outcome = {"ok": False, "code": code, "error": error}
    return _encode({"schema": _REPLY, "id": identifier, "at": rfc3339(round(at, 3)), **outcome})


def _encode(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _parsed(text: bytes | str) -> Any:
    """Return what a text is as JSON; None for one that is none, and for null."""
    try:
        return json.loads(text.decode() if isinstance(text, bytes) else text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _checked_envelope(document: Mapping[str, Any]) -> tuple[datetime, datetime, Mapping[str, Any]]:
    at, expires = (_time(document.get(key), key) for key in ("at", "expires"))
    if expires - at > _LONGEST:
        raise _BadRequestError("expires must be at most a day after at.")
    args = document.get("args", {})
    if not isinstance(args, dict):
        raise _BadRequestError("args must be an object.")
    return at, expires, args


def _time(value: object, key: str) -> datetime:
    try:
        return read_rfc3339(value if isinstance(value, str) else "")
    except ValueError:
        raise _BadRequestError(f"{key} must be a time in RFC 3339 form.") from None


def _reply_to(prefix: str, name: str, message: Message) -> ReplyTo:
    wanted = message.response_topic
    below = f"{prefix}/replies/"
    if wanted.startswith(below) and len(wanted) > len(below) and wanted.isprintable() and not set(wanted) & set("+#"):
        return ReplyTo(wanted, message.correlation)
    return ReplyTo(f"{below}{name}")
