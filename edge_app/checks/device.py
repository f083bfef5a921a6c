"""Check what the device itself has: clock, state folder, the service that runs, folder of the harvest, preview."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from edge_app.checks.sentence import as_sentence
from edge_app.config.model import Config
from edge_app.errors import ConfigError, PreviewError, reason_of
from edge_app.harvest.folder import folder_problem
from edge_app.monitoring.device_status import DeviceStatus
from edge_app.preview.rtsp import choose_encoder, viewer_command
from edge_app.preview.snapshot_socket import request_status
from edge_app.storage.folder_lock import refuse_file
from edge_app.system.names import url_host
from edge_app.system.readings import readings
from edge_app.web.line_check import Finding

_BYTES_AN_INTERVAL: Final = 1100
"""Size of a stored interval on disk, index included."""
_LEAST_FREE_MB: Final = 20.0
"""Room, MB, below which the database of a running service can soon not grow any more."""
_TEN_YEARS_S: Final = 10 * 365 * 86_400


def running_pid(folder: Path) -> str | None:
    """Return the pid of the service that uses this state folder, None when none runs.

    Only reads: a lock file made here, perhaps as root, would keep the service's own user out.
    """
    path = folder / "ledger.lock"
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with suppress(OSError):
            return path.read_text(errors="replace").strip() or "unknown"
        return "unknown"
    except OSError:
        return None  # no service ran here yet, or the file may not be read: check_state_folder tries the folder itself
    return None


def check_configuration(config: Config) -> Finding:
    """Check what only the device tells of a configuration that was read: the service refuses the same."""
    try:
        refuse_file(config.store.folder)
    except ConfigError as error:
        return Finding("FAIL", "configuration", as_sentence(error))
    return Finding("ok", "configuration", "valid.")


def check_clock(now: float, *, unsynced: bool) -> Finding:
    """Check the system's time, UTC s: a clock that was never set shows a time before this program was installed.

    unsynced: the kernel says that no time service has set it.
    """
    installed = Path(__file__).stat().st_mtime
    shown = f"{datetime.fromtimestamp(now, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    # Two days of grace: an archive may have been made in a time zone ahead, and its files carry that time.
    if installed - 2 * 86_400 <= now < installed + _TEN_YEARS_S:
        if not unsynced:
            return Finding("ok", "clock", f"{shown}.")
        sentence = (
            f"{shown}, but no time service has set it, so every interval carries clock_unsynced: set up NTP "
            "(timedatectl set-ntp true) with a time server that this device reaches."
        )
        return Finding("warn", "clock", sentence)
    sentence = f"{shown} cannot be right, and every count carries it: set up NTP (timedatectl set-ntp true)."
    return Finding("FAIL", "clock", sentence)


def check_state_folder(folder: Path, max_intervals: int, running_pid: str | None, keep_mb: float = 0.0) -> Finding:
    """Check that the state folder can be written and has room; nothing is left in it, and it is not created.

    running_pid: the service that uses the folder, from `running_pid`.
    """
    what = "state folder"
    if running_pid:
        return _check_used_folder(folder, running_pid)
    # os.path.exists is also False for a name that is too long, or below a folder that may not be read.
    existing = next(parent for parent in (folder, *folder.absolute().parents) if os.path.exists(parent))  # noqa: PTH110
    try:
        with suppress(FileNotFoundError):  # it is made at the start
            folder.stat()
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            file.write(bytes(65_536))
    except OSError as error:
        reason = reason_of(error)
        sentence = f"{folder} cannot be used ({reason} at {existing}): give it room and write access, or name another."
        return Finding("FAIL", what, sentence)
    free, needed = readings(existing).disk_free_mb or 0.0, max_intervals * _BYTES_AN_INTERVAL / 1e6 + keep_mb
    if free < needed:
        sentence = (
            f"{folder} has {free:.0f} MB free, but store.max_intervals and store.keep_mb may fill "
            f"{needed:.0f} MB in an outage: free some space, or lower them."
        )
        return Finding("warn", what, sentence)
    return Finding("ok", what, f"{folder} can be written, {free:.0f} MB are free.")


def _check_used_folder(folder: Path, running_pid: str) -> Finding:
    """Check the folder of a running service, which alone may write there: its disk may be full all the same."""
    used, free = f"{folder} is in use, the service is running (pid {running_pid})", readings(folder).disk_free_mb
    if free is not None and free < _LEAST_FREE_MB:
        sentence = f"{used}, but its disk has only {free:.1f} MB free, and counts need room: free some space."
        return Finding("FAIL", "state folder", sentence)
    return Finding("ok", "state folder", f"{used}{'' if free is None else f', {free:.0f} MB are free'}.")


def running_status(folder: Path) -> DeviceStatus | None:
    """Return what the running service says of itself; None without one, of another user, or of an older release."""
    try:
        return DeviceStatus.model_validate_json(request_status(folder) or b"")
    except (PreviewError, ValueError):
        return None


def check_config(folder: Path, config: str) -> Finding:
    """Check that the running service counts with the present configuration. config: its hash."""
    status = running_status(folder)
    if status is not None and (sentence := status.outdated(config)):
        return Finding("warn", "config", as_sentence(sentence))
    return Finding("ok", "config", f"{config[:12]} is what meta and every interval in counts name as config.")


def check_service(folder: Path) -> Iterator[Finding]:
    """Yield what the running service says of itself: the disk, the camera, the clock and the broker as it sees them."""
    status = running_status(folder)
    if status is None:
        return
    wrong = status.wrong
    if not wrong:
        yield Finding("ok", "service", f"it counts, {status.health.frames_per_s:.1f} frames/s.")
    for sentence in wrong:
        yield Finding(
            "FAIL" if not status.counting and sentence == wrong[0] else "warn", "service", as_sentence(sentence)
        )


def check_harvest(config: Config) -> Finding:
    """Check whether frames can be kept; nothing is created."""
    h, masks = config.harvest, len(config.privacy.masks)
    problem = folder_problem(h.folder)
    if problem:
        return Finding("FAIL", "harvest", f"{h.folder} {problem}.")
    sentence = (
        f"at most {h.frames_per_day} frames and {h.mb_per_day:g} MB a day are kept in {h.folder} for {h.expire_days} "
        f"days, behind {masks} mask{'s' * (masks != 1)}."
    )
    return Finding("ok", "harvest", sentence)


def check_preview(config: Config) -> Finding:
    """Check whether the preview can be served; no port is opened, since the service may be serving it."""
    p = config.preview
    try:
        encoder = choose_encoder(p.encoder)
    except PreviewError as error:
        return Finding("FAIL", "preview", as_sentence(error).removeprefix("preview: "))
    viewers = f"{p.username} with the password" if p.password else "whoever is on this device"
    url = f"rtsp://{url_host(p.address)}:{p.port}/annotated and /plain"
    command = viewer_command(p.address, p.port, p.username if p.password else None)
    return Finding("ok", "preview", f"{url}, encoded by {encoder}, for {viewers}. Watch with: {command}")
