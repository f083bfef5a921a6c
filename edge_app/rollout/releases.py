"""Have the machine install a release that the office has signed, or go back to the one before.

The service may do neither. It fetches, leaves the archive and the signed order where a unit of root looks for them, and
tells what that unit says: root checks all of it again (edge_app/commands/_order_check.py, deploy/install.sh).
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, get_args

from edge_app.errors import CommandError, reason_of
from edge_app.mqtt.commands import FetchArgs, ReleaseArgs
from edge_app.mqtt.office_messages import ReleaseReported, ReleaseState
from edge_app.rollout.download import download
from edge_app.rollout.release_sums import find_archive
from edge_app.system.files import alone_in, write_atomic
from edge_app.system.machine import INSTALLED, Places, no_releases
from edge_app.system.processor import processor
from edge_app.system.readings import readings

ORDER: Final = "order.json"
ARCHIVE: Final = "release.tar.xz"
_ROOM_MB: Final = 100.0
"""Disk, MB, that stays free for counts."""
_INSTALLED: Final = 5
"""Room that an archive needs beside itself while it is installed, as a multiple of it: a copy, unpacked, installed."""
_LOOK_S: Final = 2.0
_ORDERED: Final = re.compile(r"(\S{1,64}) ([a-z]+)(?:: (.+))?\s*", re.DOTALL)
_LONGEST: Final = 300
_BUSY: Final = "Another release is being fetched or installed: ask again in a few minutes."


class Releases:
    """Releases of the program on this machine. Any thread may call it; one order at a time is at work.

    state: state folder of this service. stopped: is set when the service ends. ca_file: authority of the server, PEM,
    where it is none that the system trusts. clock: s of a clock that never steps.
    """

    def __init__(
        self,
        state: Path,
        stopped: threading.Event,
        ca_file: Path | None = None,
        places: Places = INSTALLED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state, self._stopped, self._ca_file, self._places, self._clock = state, stopped, ca_file, places, clock
        self._folder = state / "update"
        self._looked = float("-inf")
        self._report: ReleaseReported | None = None

    def order(self, args: ReleaseArgs, message: bytes) -> Mapping[str, Any]:
        """Fetch a release and have it installed; return what it is. message: the order as the office has signed it.

        Raises CommandError: with what was wrong.
        """
        self._require_installer()
        archive = find_archive(args.sums, args.archive.sha256)
        if archive is None:
            raise CommandError("SHA256SUMS of the order has no archive for devices of that hash.")
        if archive.processor != (mine := processor()):
            raise CommandError(f"{archive.name} is for {archive.processor}, and this device is {mine}.")
        try:
            self._fetch(args.archive, message)
        except OSError as error:
            raise CommandError(f"The state folder cannot take the release ({reason_of(error)}).") from error
        return {"name": archive.name, "version": archive.version}

    def may_go_back(self) -> None:
        """Raise CommandError where this machine cannot go back, or is being changed."""
        self._require_installer()
        if not (self._places.program / "previous").is_dir() and not (self._places.program / "probation").is_dir():
            raise CommandError("There is no release before this one on the device.")
        if (self._folder / ORDER).exists():
            raise CommandError(_BUSY)

    def go_back(self, message: bytes) -> None:
        """Have the machine go back to the release before. Raises CommandError: when that cannot be asked for."""
        self.may_go_back()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            write_atomic(self._folder / ORDER, message, mode=0o600)
        except OSError as error:
            raise CommandError(f"The state folder cannot take the order ({reason_of(error)}).") from error

    @property
    def report(self) -> ReleaseReported | None:
        """What root says of the newest order; None where there was none, or where it cannot be read now."""
        now = self._clock()
        if now - self._looked >= _LOOK_S:
            self._looked = now
            self._report = _read_report(self._places.program / "ordered")
        return self._report

    def _require_installer(self) -> None:
        """Raise CommandError where no root takes orders from this service."""
        if why := no_releases(self._state, self._places):
            raise CommandError(why)

    def _fetch(self, wanted: FetchArgs, message: bytes) -> None:
        """Leave archive and order for root, the order last. Raises CommandError, OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        with alone_in(self._folder, CommandError(_BUSY)):
            if (self._folder / ORDER).exists():
                raise CommandError(_BUSY)
            part = self._folder / f"{wanted.sha256}.part"
            for each in self._folder.iterdir():
                if each != part:
                    shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
            self._require_room(wanted)
            download(wanted, part, self._stopped, self._ca_file)
            part.replace(self._folder / ARCHIVE)
            os.sync()  # the archive before the order: root takes what the order names, also after a power cut
            write_atomic(self._folder / ORDER, message, mode=0o600)

    def _require_room(self, wanted: FetchArgs) -> None:
        needed = {self._folder: wanted.bytes / 1e6 + _ROOM_MB, self._places.program: _INSTALLED * wanted.bytes / 1e6}
        if self._folder.stat().st_dev == self._places.program.stat().st_dev:
            needed = {self._folder: sum(needed.values())}
        for folder, most in needed.items():
            free = readings(folder).disk_free_mb
            if free is not None and free < most:
                raise CommandError(f"The disk of {folder} has {free:.0f} MB free, and {most:.0f} MB are needed.")


def _read_report(path: Path) -> ReleaseReported | None:
    """Return what root has written: ID STATE[: WHY]."""
    with suppress(OSError, ValueError):
        found = _ORDERED.fullmatch(path.read_text("utf-8")[:4_096])
        if found and found[2] in get_args(ReleaseState):
            state: Any = found[2]
            return ReleaseReported(id=found[1], state=state, problem=(found[3] or "").strip()[:_LONGEST])
    return None
