"""Lock the state folder, so that only one process uses it at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from edge_app.errors import ConfigError, StoreError, reason_of

_NAME = "ledger.lock"


class ForeignFolderError(StoreError):
    """Error of a state folder that another process uses or a newer release has written: waiting does not mend it."""


def lock_folder(folder: Path) -> int:
    """Lock the folder, created if absent, until the returned descriptor is closed or the process ends.

    Raises StoreError: when it cannot be used at the moment. ForeignFolderError: when another process holds the lock,
    which the message names. ConfigError: when it is a file or lies in one.
    """
    try:
        refuse_file(folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        holder = _holder(lock)
        os.close(lock)
        raise ForeignFolderError(
            f"The state folder {folder} is used by another process (pid {holder}): stop it, or name another folder"
        ) from error
    except OSError as error:
        os.close(lock)
        raise _unusable(folder, error) from error
    _make_private(folder)
    return lock


def refuse_file(folder: Path) -> None:
    """Raise ConfigError when the folder is a file or lies in one."""
    try:
        is_file = not stat.S_ISDIR(folder.stat().st_mode)
    except NotADirectoryError as error:
        raise ConfigError(f"store.folder: {folder} lies in a file (not a directory): name another folder") from error
    except OSError:
        return  # it is made, or the disk tells later what is wrong with it
    if is_file:
        raise ConfigError(f"store.folder: {folder} is a file: name a folder, or remove the file")


def is_locked(folder: Path, lock: int) -> bool:
    """Return True while the lock is that of the folder; False when the folder was removed or replaced.

    Raises StoreError: when the disk does not tell.
    """
    try:
        return os.path.samestat(os.fstat(lock), (folder / _NAME).stat())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unusable(folder, error) from error


def _holder(lock: int) -> str:
    try:
        return os.pread(lock, 20, 0).decode(errors="replace") or "unknown"
    except OSError:
        return "unknown"


def _make_private(folder: Path) -> None:
    """Take files from other users that an earlier release left readable to them."""
    with contextlib.suppress(OSError):  # the disk fails: reported where it matters
        for path in folder.glob("ledger.*"):
            with contextlib.suppress(OSError):  # another user's, or the disk is read-only
                path.chmod(0o600)


def _unusable(folder: Path, error: OSError) -> StoreError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "make room on its disk" if full else "make it writable, or name another folder"
    return StoreError(f"The state folder {folder} cannot be used ({reason_of(error)}): {remedy}")
