"""Fetch detectors that the office has named, and keep each in a folder of its own: going back needs no network.

A bundle is a ZIP file with a detector and its manifest. The office has signed its hash, so the server it comes from
need not be trusted; the manifest has the hash of the detector. What is not whole is in no folder of a detector.
"""

from __future__ import annotations

import http
import http.client
import logging
import os
import re
import shutil
import ssl
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge_app.detectors.manifest import Manifest, load
from edge_app.errors import CommandError, DetectorError, reason_of
from edge_app.mqtt.commands import MAX_BUNDLE, FetchArgs
from edge_app.mqtt.incoming import PIECE, Incoming
from edge_app.system.files import alone_in, sha256_of
from edge_app.system.readings import readings

log = logging.getLogger(__name__)

FOLDER: Final = "detectors"
"""Folder in the state folder."""
_MANIFEST_BYTES: Final = 4_000_000
_ROOM_MB: Final = 100.0
"""Disk, MB, that stays free for counts."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.(tflite|json)")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_PART: Final = 65_536
_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 600.0
"""Time, s, without a piece from the broker after which a fetch is given up; what has come stays for the next one."""
_WAITS_S: Final = (1.0, 5.0, 20.0, 60.0)
"""Pauses before a broken download goes on where it was; each time that something came they begin anew."""


class Bundles:
    """Detectors on this device. One thread at a time fetches; any may look.

    folder: for all of them. ca_file: authority of the server, PEM, where it is none that the system trusts.
    """

    def __init__(self, folder: Path, ca_file: Path | None = None) -> None:
        self._folder, self._ca_file = folder, ca_file

    def find(self, sha256: str) -> Path | None:
        """Return the file of a detector, None where it is not here. sha256: of that file."""
        if not _SHA256.fullmatch(sha256):
            return None
        return next(iter(sorted((self._folder / sha256).glob("*.tflite"))), None)

    def fetch(self, bundle: FetchArgs, stopped: threading.Event, incoming: Incoming | None = None) -> Manifest:
        """Fetch a bundle, and return the manifest of its detector, which is on disk then.

        incoming: its pieces, where they come from the broker. What a former attempt has fetched is not fetched again,
        wherever that came from. Raises CommandError: with what was wrong.
        """
        part = self._folder / f"{bundle.sha256}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A fetch of a run that has just ended may wait for its server still.
            with alone_in(self._folder, CommandError("Another detector is being fetched: ask again in a minute.")):
                self._forget_others(bundle)
                self._require_room(bundle)
                if incoming is None:
                    self._download(bundle, part, stopped)
                else:
                    _collect(incoming, bundle, part, stopped)
                _require_hash(bundle, part)
                try:
                    return self._unpack(part)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            with suppress(OSError):  # counts need the room
                part.unlink(missing_ok=True)
            raise CommandError(f"The state folder cannot take the detector ({reason_of(error)}).") from error

    def tidy(self, keep: Collection[str]) -> None:
        """Remove all detectors but those of these hashes; one that cannot be removed is removed the next time."""
        if not self._folder.is_dir():
            return
        for each in self._folder.iterdir():
            if _SHA256.fullmatch(each.name) and each.name not in keep:
                shutil.rmtree(each, ignore_errors=True)

    def _forget_others(self, bundle: FetchArgs) -> None:
        for each in self._folder.iterdir():
            if each.name.startswith(".new-"):
                shutil.rmtree(each, ignore_errors=True)
            elif each.suffix == ".part" and each.stem != bundle.sha256:
                each.unlink(missing_ok=True)

    def _require_room(self, bundle: FetchArgs) -> None:
        free = readings(self._folder).disk_free_mb
        needed = _ROOM_MB + 3 * bundle.bytes / 1e6
        if free is not None and free < needed:
            raise CommandError(f"The disk has {free:.0f} MB free, and {needed:.0f} MB are needed.")

    def _download(self, bundle: FetchArgs, part: Path, stopped: threading.Event) -> None:
        """Write the bundle into a file, which may have its beginning already. Raises CommandError, OSError."""
        tries = 0
        while True:
            before = part.stat().st_size if part.exists() else 0
            try:
                if before < bundle.bytes:
                    self._go_on(bundle, part, before, stopped)
                break
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                if isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500:
                    raise CommandError(f"{_host(bundle)} answers {error.code} {error.reason}.") from error
                came = part.stat().st_size if part.exists() else 0
                tries = 0 if came > before else tries + 1
                if tries > len(_WAITS_S):
                    raise CommandError(f"{_host(bundle)} cannot be reached ({_why(error)}).") from error
                log.warning("the bundle is not whole yet (%s), %d of %d bytes", _why(error), came, bundle.bytes)
                if stopped.wait(_WAITS_S[max(0, tries - 1)]):
                    raise CommandError("The program ends.") from error

    def _go_on(self, bundle: FetchArgs, part: Path, before: int, stopped: threading.Event) -> None:
        request = urllib.request.Request(bundle.url, headers={"Range": f"bytes={before}-"} if before else {})
        with self._opener().open(request, timeout=_TIMEOUT_S) as answer:
            goes_on = before > 0 and answer.status == http.HTTPStatus.PARTIAL_CONTENT
            with part.open("ab" if goes_on else "wb") as file:
                size = before if goes_on else 0
                while data := answer.read(_PART):
                    size += len(data)
                    if size > bundle.bytes:
                        part.unlink()
                        raise CommandError(f"{_host(bundle)} sends more than the {bundle.bytes:,} bytes of the bundle.")
                    file.write(data)
                    if stopped.is_set():
                        raise CommandError("The program ends.")
        if size < bundle.bytes:
            raise ConnectionError("the connection has ended early")

    def _opener(self) -> urllib.request.OpenerDirector:
        """Return what opens an https URL; a redirection leads to no other scheme."""
        context = ssl.create_default_context(cafile=str(self._ca_file) if self._ca_file else None)
        opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.HTTPSHandler(context=context),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        return opener

    def _unpack(self, part: Path) -> Manifest:
        """Put the detector of a bundle into its folder, at once and whole. Raises CommandError, OSError."""
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            model = _extract(part, new)
            manifest, _ = load(model)
            final = self._folder / manifest.sha256
            if not final.exists():
                os.sync()  # the files before their folder: one of that name is whole after a power cut
                new.rename(final)
            return manifest
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, DetectorError) as error:
            raise CommandError(f"The bundle cannot be used: {error}.") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _collect(incoming: Incoming, bundle: FetchArgs, part: Path, stopped: threading.Event) -> None:
    """Write the pieces into a file, which may have its beginning already. Raises CommandError, OSError."""
    here = part.stat().st_size // PIECE if part.exists() else 0
    with part.open("r+b" if here else "wb") as file:
        file.truncate(min(bundle.bytes, here * PIECE))
        file.seek(0, os.SEEK_END)
        waited = 0.0
        for number in range(here + 1, incoming.of + 1):
            while (data := incoming.read(number, _LOOK_S)) is None:
                waited += _LOOK_S
                if stopped.is_set():
                    raise CommandError("The program ends.")
                if incoming.refused:
                    raise CommandError(f"The broker refuses to ask for the pieces ({incoming.refused}).")
                if waited >= _PATIENCE_S:
                    raise CommandError(f"{number - 1} of {incoming.of} pieces have come, and no more for ten minutes.")
            waited = 0.0
            file.write(data)
            file.flush()


def _require_hash(bundle: FetchArgs, part: Path) -> None:
    """Raise CommandError for a file that is not what was signed, which is gone then."""
    if sha256_of(part) != bundle.sha256:
        part.unlink()
        raise CommandError("What was fetched is not what the office has signed: its hash is another one.")


def _extract(part: Path, folder: Path) -> Path:
    """Write both files of a bundle into a folder, and return the detector. Raises CommandError, BadZipFile, OSError."""
    with zipfile.ZipFile(part) as packed:
        names = packed.namelist()
        stems = {Path(name).stem for name in names}
        if len(names) != 2 or len(stems) != 1 or not all(_NAME.fullmatch(name) for name in names):
            raise CommandError("A bundle has two files, NAME.tflite and NAME.json, and nothing else.")
        for name in names:
            most = MAX_BUNDLE if name.endswith(".tflite") else _MANIFEST_BYTES
            with packed.open(name) as source:
                content = source.read(most + 1)
            if len(content) > most:
                raise CommandError(f"{name} in the bundle is larger than {most:,} bytes.")
            (folder / name).write_bytes(content)
    return folder / f"{stems.pop()}.tflite"


def _host(bundle: FetchArgs) -> str:
    return urlsplit(bundle.url).hostname or "The server"


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    return reason_of(reason) if isinstance(reason, OSError) else str(reason)
