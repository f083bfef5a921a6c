"""Keep what is drawn of each frame of a recording in a temporary file, until all of it is counted."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import Final

import numpy as np

from edge_app.errors import SourceError
from edge_app.records import Crossing, FrameResult, Tracks

_HEAD: Final = struct.Struct("<qI")
_COLUMNS: Final = 7


class ResultLog:
    """Tracks and crossings of frames, in order: 56 bytes a track on disk, so that a day of recordings fits too.

    Raises SourceError: when there is no room for temporary files.
    """

    def __init__(self) -> None:
        self._crossings: dict[int, tuple[Crossing, ...]] = {}
        try:
            self._file = tempfile.TemporaryFile(prefix="edge-app-")  # noqa: SIM115  # closed by `close`
        except OSError as error:
            raise _no_room(error) from error

    def add(self, result: FrameResult) -> None:
        """Keep the result of the next frame."""
        tracks, index = result.tracks, result.frame.index
        if result.crossings:
            self._crossings[index] = result.crossings
        rows = np.empty((len(tracks), _COLUMNS))
        rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:] = tracks.ids, tracks.classes, tracks.seen, tracks.boxes
        try:
            self._file.write(_HEAD.pack(index, len(tracks)) + rows.tobytes())
        except OSError as error:
            raise _no_room(error) from error

    def __iter__(self) -> Iterator[tuple[int, Tracks, tuple[Crossing, ...]]]:
        """Yield frame index, tracks and crossings of each frame."""
        try:
            self._file.seek(0)  # also writes what is still in memory
            while head := self._file.read(_HEAD.size):
                index, n = _HEAD.unpack(head)
                rows = np.frombuffer(self._file.read(8 * _COLUMNS * n)).reshape(n, _COLUMNS)
                yield index, _tracks(rows), self._crossings.get(index, ())
        except OSError as error:
            raise _no_room(error) from error

    def close(self) -> None:
        self._file.close()


def _tracks(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Tracks:
    boxes = rows[:, 3:].astype(np.float32)
    centroids = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.float32)
    zeros = np.zeros(len(rows))
    return Tracks(
        ids=rows[:, 0].astype(np.int64),
        boxes=boxes,
        centroids=centroids,
        velocities=np.zeros_like(centroids),
        classes=rows[:, 1].astype(np.int16),
        scores=zeros.astype(np.float32),
        seen=rows[:, 2] > 0,
        origins=centroids,
        born=zeros,
        first_seen=zeros,
    )


def _no_room(error: OSError) -> SourceError:
    return SourceError(f"cannot write the video: no temporary file can be kept ({error.strerror}); set TMPDIR")
