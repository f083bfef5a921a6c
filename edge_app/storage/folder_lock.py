"""Lock the state folder, so that only one process uses it at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from edge_app.errors import StoreError


def lock_folder(folder: Path) -> int:
    """Lock the folder, created if absent, until the returned descriptor is closed or the process ends.

    Raises StoreError: when it cannot be used, or another process holds the lock; the message names that process.
    """
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"The state folder {folder} is a file: name a folder, or remove the file")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "ledger.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode(errors="replace") or "unknown"
        os.close(lock)
        raise StoreError(
            f"The state folder {folder} is used by another process (pid {holder}): stop it, or name another folder"
        ) from error
    except OSError as error:
        os.close(lock)
        raise _unusable(folder, error) from error
    _make_private(folder)
    return lock


def _make_private(folder: Path) -> None:
    """Take files from other users that an earlier release left readable to them."""
    for path in folder.glob("ledger.*"):
        with contextlib.suppress(OSError):  # another user's, or the disk is read-only: reported where it matters
            path.chmod(0o600)


def _unusable(folder: Path, error: OSError) -> StoreError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "make room on its disk" if full else "make it writable, or name another folder"
    return StoreError(f"The state folder {folder} cannot be used ({(error.strerror or str(error)).lower()}): {remedy}")
