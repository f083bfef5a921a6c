"""Fetch detectors that the office has named, and keep each in a folder of its own: going back needs no network.

A bundle is a ZIP file with a detector and its manifest. The office has signed its hash, so the server it comes from
need not be trusted; the manifest has the hash of the detector. What is not whole is in no folder of a detector.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge_app.detectors.manifest import Manifest, load
from edge_app.errors import CommandError, DetectorError, reason_of
from edge_app.mqtt.commands import MAX_BUNDLE, FetchArgs
from edge_app.mqtt.incoming import PIECE, Incoming
from edge_app.rollout.download import download
from edge_app.system.files import alone_in, sha256_of
from edge_app.system.readings import readings

FOLDER: Final = "detectors"
"""Folder in the state folder."""
_MANIFEST_BYTES: Final = 4_000_000
_ROOM_MB: Final = 100.0
"""Disk, MB, that stays free for counts."""
_OTHERS: Final = 2
"""Detectors that stay though no configuration names them, some 3 to 14 MB each."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\.(tflite|json)")
_SHA256: Final = re.compile("[0-9a-f]{64}")
_LOOK_S: Final = 1.0
_PATIENCE_S: Final = 600.0
"""Time, s, without a piece from the broker after which a fetch is given up; what has come stays for the next one."""


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
                    download(bundle, part, stopped, self._ca_file)
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
        """Remove all detectors but those of these hashes, and the newest of the others.

        A roll-out may be taken back long after its end, when no configuration names the detectors of before any more:
        the last one is among `keep`, and earlier ones may be there. One that cannot be removed is removed the next
        time.
        """
        if not self._folder.is_dir():
            return
        others = [one for one in self._folder.iterdir() if _SHA256.fullmatch(one.name) and one.name not in keep]
        others.sort(key=lambda one: (one.stat().st_mtime, one.name), reverse=True)
        for each in others[_OTHERS:]:
            shutil.rmtree(each, ignore_errors=True)

    def _has(self, manifest: Manifest) -> bool:
        """Return whether a detector is here and whole."""
        found = self.find(manifest.sha256)
        try:
            return found is not None and load(found)[0] == manifest
        except DetectorError:
            return False

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

    def _unpack(self, part: Path) -> Manifest:
        """Put the detector of a bundle into its folder, at once and whole. Raises CommandError, OSError."""
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            model = _extract(part, new)
            manifest, _ = load(model)
            final = self._folder / manifest.sha256
            if not self._has(manifest):
                shutil.rmtree(final, ignore_errors=True)  # damaged on its disk since, and of no use
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
