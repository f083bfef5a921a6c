"""Write files so that a crash or a power cut leaves the old content or the new one, never a part."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomic(path: Path, content: bytes | str, *, mode: int | None = None) -> None:
    """Replace a file as a whole and wait until it is on disk.

    path: a link is followed, and what is no regular file (a pipe, /dev/stdout) is written to directly.
    content: bytes, or text that is written as UTF-8 without changing line ends.
    mode: permission bits whatever the umask says; None keeps those of the file that is replaced, and its owner where
    root writes.
    Raises OSError: when the folder is absent, full or may not be written to; nothing is left behind then.
    """
    data = content.encode() if isinstance(content, str) else content
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            _take_over(path, handle, mode)
            os.fsync(handle)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _take_over(path: Path, handle: int, mode: int | None) -> None:
    """Give the new file its permissions and, as root, the owner of the one it replaces."""
    before = path.stat() if path.exists() else None
    if before is not None and os.geteuid() == 0:
        os.fchown(handle, before.st_uid, before.st_gid)
    if mode is None and before is not None:
        mode = before.st_mode & 0o7777
    if mode is not None:
        os.fchmod(handle, mode)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable too: a rename is on disk only once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
