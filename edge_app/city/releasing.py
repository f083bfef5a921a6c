"""Send a release of the program to a device, and say how it went, by the device's own report."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from edge_app.city.conversation import Commanding, Outcome
from edge_app.city.desired import Reported, read_reported
from edge_app.city.office import KnownDevice, command
from edge_app.errors import ConfigError, reason_of
from edge_app.mqtt.events import Message
from edge_app.rollout.release_sums import Archive, find_archive
from edge_app.rollout.wanted_release import NEWS
from edge_app.system.files import sha256_of
from edge_app.system.signatures import SigningKey

Went: TypeAlias = Literal["waiting", "running", "kept", "back", "failed"]
_SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class Sent:
    """Order that was signed. identifier: of the command, by which the device reports. talk: leads it to its end."""

    identifier: str
    talk: Releasing


def release_args(archive: Path, url: str, *, older: bool = False) -> dict[str, Any]:
    """Return the arguments of `release` for an archive of `make archive RELEASE_KEY=...`.

    url: where devices find that very file. older: it may be older than what devices have.

    Raises ConfigError: with one sentence on what is wrong.
    """
    if not url.startswith("https://"):
        raise ConfigError("--url: must begin with https://")
    sums, signature = (archive.with_name(name) for name in ("SHA256SUMS", "SHA256SUMS.sig"))
    try:
        told, raw = sums.read_text("ascii"), signature.read_bytes()
        size, sha256 = archive.stat().st_size, sha256_of(archive)
    except FileNotFoundError as error:
        raise ConfigError(f"{error.filename} is missing: `make archive RELEASE_KEY=...` makes and signs it") from None
    except (OSError, ValueError) as error:
        why = reason_of(error) if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{archive} or {sums}: cannot be read ({why})") from None
    if find_archive(told, sha256) is None:
        raise ConfigError(f"{archive}: {sums} has no archive for devices with its hash: make the archive again")
    if len(raw) != _SIGNATURE_BYTES:
        raise ConfigError(f"{signature}: is no Ed25519 signature; RELEASE_KEY must be an Ed25519 key")
    text = base64.b64encode(raw).decode()
    return {"url": url, "bytes": size, "sha256": sha256, "sums": told, "sums_signature": text, "older": older}


def archive_of(args: Mapping[str, Any]) -> Archive:
    """Return the archive that arguments of `release` name. args: as `release_args` makes them."""
    archive = find_archive(args["sums"], args["sha256"])
    assert archive is not None  # they were made of it
    return archive


def other_processors(devices: Sequence[KnownDevice], processor: str) -> Mapping[str, str]:
    """Return name -> processor of the devices for which a release is not made; those that tell none may be.

    processor: that it is made for, empty for any.
    """
    return {one.name: one.processor for one in devices if processor and one.processor not in ("", processor)}


def first_cameras(devices: Sequence[KnownDevice]) -> Mapping[str, str]:
    """Return name of each device that takes no releases -> the one on its machine that does, empty without one."""
    found = dict[str, str]()
    for one in devices:
        if one.takes_no_releases:
            same = [each.name for each in devices if one.machine and each.machine == one.machine]
            firsts = [each.name for each in devices if each.name in same and not each.takes_no_releases]
            # Two of them are copies of one system, and nobody knows on which of them this camera is.
            found[one.name] = firsts[0] if len(firsts) == 1 else ""
    return found


def send_release(
    device: str,
    args: Mapping[str, Any] | None,
    key: SigningKey,
    *,
    patient: bool = True,
    now: Callable[[], float] = time.time,
) -> Sent:
    """Sign an order for one device; whoever leads its conversation sends it.

    device: its topic prefix. args: as `release_args` makes them; None has it go back to the release before. patient:
    the conversation ends with the probation, else when the device has the release and has handed it over.
    """
    name = "rollback" if args is None else "release"
    identifier, payload = command(f"{device}/commands/{name}", args or {}, key, "office", now())
    return Sent(identifier, Releasing(device, name, identifier, payload, patient=patient))


def went(reported: Reported, identifier: str) -> tuple[Went, str]:
    """Return how an order went, and why, in the device's own words; "waiting" until it reports that very order."""
    release = reported.release
    if release is None or release.id != identifier:
        return "waiting", ""
    if release.state in NEWS:
        return "running", NEWS[release.state]
    if release.state == "kept":
        return "kept", ""
    return ("back" if release.state == "back" else "failed"), release.problem or "the device gives no reason"


class Releasing(Commanding):
    """An order to change the release of a device: its reply is the beginning, its report says how it goes on."""

    def __init__(self, device: str, name: str, identifier: str, payload: str, *, patient: bool = True) -> None:
        super().__init__(device, name, identifier, payload)
        self.topics = [*self.topics, f"{device}/config/reported"]
        self._identifier, self._patient, self._back = identifier, patient, name == "rollback"

    def receive(self, message: Message) -> None:
        """Take a reply or a report."""
        if message.topic != self.topics[-1]:
            super().receive(message)
            if self.outcome is not None and self.outcome.ok and self._patient:
                self.outcome, self.news = None, "it has the order"
            return
        state, told = went(read_reported(message.payload), self._identifier)
        if state == "running":
            self.news = told
        elif state == "kept":
            # a rollback that succeeded
            self.outcome = Outcome(True, "went back" if self._back else "kept: it counts and delivers")
        elif state == "back":
            self.outcome = Outcome(self._back, f"went back: {told}")
        elif state == "failed":
            self.outcome = Outcome(False, f"failed: {told}")

    def give_up(self) -> Outcome:
        """Return what is known at the end of the wait."""
        if self.news:
            told = f"{self.news}, and has not told its end: `edge-app fleet list` shows it"
            return Outcome(False, told, answered=False)
        return super().give_up()
