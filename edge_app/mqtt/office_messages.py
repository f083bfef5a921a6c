"""Payloads between a device and the office: configuration, commands, answers, pieces (docs/mqtt.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import AwareDatetime, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from edge_app.mqtt.payload import Hash, Installation, Number, Payload, Time

Code: TypeAlias = Literal["bad_request", "unknown_command", "unauthorised", "clock", "expired", "busy", "failed"]
CODES: Final = get_args(Code)


class ConfigDesired(Payload):
    """Document of config/desired: all that the office sets."""

    schema_id: Literal["edge-app/config-desired/1"] = Field(default="edge-app/config-desired/1", alias="schema")
    revision: int = Field(ge=1, le=2**53 - 1, description="Only rises")
    at: Time
    author: str = Field(description="Who has changed it, 1 to 200 characters")
    set: Mapping[str, Any] = Field(description="Tables and keys as the configuration file has them")
    unset: Sequence[str] = Field(default=(), description="Keys that get their default, such as detector.region")


class ConfigLayer(Payload):
    """Layer of the configuration in use."""

    name: str = Field(description="file, page or office; later ones win")
    revision: str = Field(description="Changes with each change")
    author: str = Field(description="Who wrote it")
    at: AwareDatetime = Field(description="When it was written, UTC")


class ConfigConflict(Payload):
    """Key that two layers set to different values."""

    key: str = Field(description="Such as counting.interval_s")
    used: str = Field(description="Layer whose value is used")
    ignored: str = Field(description="The other one")
    ignored_is_newer: bool = Field(description="That one was written later")


ConfigState: TypeAlias = Literal["none", "trying", "applied", "refused", "rolled_back"]
ReleaseState: TypeAlias = Literal["installing", "judging", "counts", "kept", "back", "failed"]


class ReleaseReported(Payload):
    """What became of the newest release, or return to the one before, that the office has ordered."""

    id: str = Field(description="Of the command")
    state: ReleaseState = Field(description="counts: on probation for some minutes more; back: to the release before")
    problem: str = Field(default="", description="Why it went back or failed, one sentence")


class ConfigReported(Payload):
    """What became of what the office has set, at every connect and at each change."""

    schema_id: Literal["edge-app/config-reported/1"] = Field(default="edge-app/config-reported/1", alias="schema")
    at: Time
    state: ConfigState = Field(description="Of the newest message; none was ever accepted, or it was refused")
    revision: Number = Field(description="Of the office's layer in use, 0 without one")
    highest: Number = Field(description="Highest that was ever accepted")
    problems: Sequence[str] = Field(description="Why it was refused or taken back, one sentence each")
    config: Hash = Field(description="As in meta")
    installation: Installation = ""
    layers: Sequence[ConfigLayer] = Field(description="The configuration in use is made of these")
    conflicts: Sequence[ConfigConflict] = Field(description="What a layer says in vain")
    release: ReleaseReported | None = Field(default=None, description="Null where the office has ordered none")


class CommandMessage(Payload):
    """Command to a device. `resend` has line, installation, from_seq, to_seq (both included); signed: `harvest`
    enabled, hours; `snapshot` width, lines; `fetch` url, bytes, sha256; the others have no args."""

    schema_id: Literal["edge-app/command/1"] = Field(default="edge-app/command/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="Begins with the sender's name and is random")
    at: Time
    expires: AwareDatetime = Field(description="At most a day after `at`")
    args: Mapping[str, Any] = Field(default_factory=dict, description="Depend on the command")


class SignedMessage(Payload):
    """Document that the office has signed: Ed25519 over the UTF-8 bytes of the full topic, a line feed and the text."""

    schema_id: Literal["edge-app/signed/1"] = Field(default="edge-app/signed/1", alias="schema")
    key: str = Field(pattern=r"^[0-9a-f]{8}$", description="Begin of the SHA-256 of the raw public key")
    signature: str = Field(pattern=r"^[A-Za-z0-9_-]{86}$", description="base64url without padding")
    document: str = Field(description="JSON as text")


class PieceMessage(Payload):
    """Part of what is too large for an answer; `sha256` of the answer is that of all parts together."""

    schema_id: Literal["edge-app/piece/1"] = Field(default="edge-app/piece/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="That of the command, as in the topic")
    piece: int = Field(ge=1, description="Number of this part")
    of: int = Field(ge=1, description="Number of all parts")
    data: str = Field(description="base64 of at most 12,000 bytes")


class PieceRequest(Payload):
    """Question of a device for some pieces of what it is to fetch from the broker."""

    schema_id: Literal["edge-app/piece-request/1"] = Field(default="edge-app/piece-request/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="That of the command, as in the topic")
    first: int = Field(alias="from", ge=1, description="First piece that is wanted")
    last: int = Field(alias="to", ge=1, description="Last one, at most four more")
    of: int = Field(ge=1, description="Number of all pieces")


class ReplyMessage(Payload):
    """Answer of a device: `result`, or `code` and `error` where `ok` is false."""

    schema_id: Literal["edge-app/reply/1"] = Field(default="edge-app/reply/1", alias="schema")
    id: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="That of the command")
    at: Time
    ok: bool = Field(description="Whether the command was carried out")
    result: Mapping[str, Any] | SkipJsonSchema[None] = Field(default=None, description="Depends on the command")
    code: str | SkipJsonSchema[None] = Field(
        default=None, examples=list(CODES), description="Kind of the refusal, for programs"
    )
    error: str | SkipJsonSchema[None] = Field(default=None, description="One sentence")

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)
