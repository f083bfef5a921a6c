"""Write files so that a crash or a power cut leaves the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

_STANDARD: Final = {"stdout": 1, "stderr": 2}
_CHUNK: Final = 2**20
_DESCRIPTOR: Final = re.compile(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d{1,4})")


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Keep files created within the context from other users, as UMask=0077 of the unit does; for the whole process."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def write_atomic(path: Path, content: bytes | str | Iterable[str], *, mode: int | None = None) -> None:
    """Replace a file as a whole and wait until it is on disk.

    path: a link is followed; anything that is not a regular file (a pipe) is written to directly, and so is an open
    descriptor (/dev/stdout, /dev/fd/N), whatever file it belongs to: `--out /dev/stdout >> FILE` adds to it.
    content: bytes, or text that is written as UTF-8 with its line ends unchanged; or parts of such a text, of which one
    at a time is in memory.
    mode: permission bits, set regardless of the umask; None keeps those of the replaced file. Root also keeps its
    owner.
    Raises OSError: when the folder is absent, full or not writable; nothing is left behind then.
    """
    parts = [content] if isinstance(content, bytes | str) else content
    data = (part.encode() if isinstance(part, str) else part for part in parts)
    descriptor = open_descriptor(path)
    if descriptor is not None:
        with os.fdopen(os.dup(descriptor), "wb") as opened:
            opened.writelines(data)
        return
    if path.exists() and not path.is_file():
        with path.open("wb") as opened:
            opened.writelines(data)
        return
    path = _resolved(path)
    draft = path.with_name(f".{secrets.token_hex(8)}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(data)
            file.flush()
            _copy_permissions(path, handle, mode)
            os.fsync(handle)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def read_json(path: Path) -> Any:
    """Return what a file holds as JSON. Raises OSError. Raises ValueError: for a damaged one, whatever it holds."""
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError(f"{path} has brackets within brackets, deeper than anything that is kept") from error


def remedy_of(error: OSError, otherwise: str) -> str:
    """Return what helps where a file cannot be written: room on a full disk, else `otherwise`."""
    return "make room on the disk" if error.errno in (errno.ENOSPC, errno.EDQUOT) else otherwise


def open_descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor that a path such as /dev/stdout or /dev/fd/3 names; None for others."""
    match = _DESCRIPTOR.fullmatch(str(path))
    return None if match is None else _STANDARD.get(match[1], int(match[2] or 0))


def _resolved(path: Path) -> Path:
    """Return the path with all links followed. Raises OSError: for links that lead in a circle."""
    try:
        return path.resolve()
    except RuntimeError as error:  # in Python before 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error


def _copy_permissions(path: Path, handle: int, mode: int | None) -> None:
    """Give the new file its permissions and, as root, the owner of the file it replaces."""
    before = path.stat() if path.exists() else None
    if before is not None and os.geteuid() == 0:
        os.fchown(handle, before.st_uid, before.st_gid)
    if mode is None and before is not None:
        mode = before.st_mode & 0o7777
    if mode is not None:
        os.fchmod(handle, mode)


def _sync_folder(folder: Path) -> None:
    """Make the rename durable too: it is on disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def utf8_name(path: Path) -> Iterator[str]:
    """Yield an absolute name of the file that is valid UTF-8, for libraries that crash or fail with any other.

    A file name in Linux is bytes. Where they are no UTF-8, a link in a temporary folder stands for the file until the
    context ends; a file that was opened stays open. Raises OSError: when no temporary file can be created.
    """
    name = os.path.abspath(path)  # noqa: PTH100  # Path.absolute keeps "..", which a link would lead elsewhere
    if _is_utf8(name):
        yield name
        return
    with tempfile.TemporaryDirectory(prefix="edge-app-") as folder:
        link = Path(folder, "file" + (path.suffix if _is_utf8(path.suffix) else ""))
        link.symlink_to(name)
        yield str(link)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while part := opened.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


@contextlib.contextmanager
def alone_in(folder: Path, busy: Exception) -> Iterator[None]:
    """Hold the lock of a folder within the context; it ends with the process too.

    Raises `busy`: while another holds it. Raises OSError: when the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
        yield
    finally:
        os.close(handle)
