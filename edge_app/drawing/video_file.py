"""An annotated video as a file: H.264, which every browser and telephone plays, or what OpenCV can do alone.

OpenCV's wheels have no H.264 encoder without special hardware, and their VP9 takes most of a second for a 720p frame;
so the pictures go to the `ffmpeg` program where it is installed with libx264, and become MPEG-4 part 2 where not.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2

from edge_app.errors import SourceError
from edge_app.records import Image


class _Encoder(Protocol):
    def write(self, image: Image) -> None: ...

    def close(self) -> None: ...


class VideoOut:
    """Writes pictures of one size, uint8 (H, W, 3) BGR, to an .mp4 file; `codec` says how: "h264" or "mp4v".

    size: width and height in px. ffmpeg: the program, or None to do without it. Used as a context manager; only what
    is closed can be played. Raises SourceError when the file cannot be written, at the beginning or later.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int], *, ffmpeg: str | None = "ffmpeg") -> None:
        self.path = path
        self._size = size
        _check_writable(path)
        program = shutil.which(ffmpeg) if ffmpeg else None
        h264 = program is not None and _has_x264(program)
        self.codec = "h264" if h264 else "mp4v"
        self._encoder: _Encoder = _Ffmpeg(program, path, fps, size) if program and h264 else _OpenCv(path, fps, size)

    def write(self, image: Image) -> None:
        """Raises ValueError for a picture of another size, which an encoder would drop or garble."""
        if image.shape != (self._size[1], self._size[0], 3):
            raise ValueError(f"the video is {self._size[0]}x{self._size[1]}, the picture has the shape {image.shape}")
        self._encoder.write(image)

    def close(self) -> None:
        self._encoder.close()

    def __enter__(self) -> VideoOut:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _check_writable(path: Path) -> None:
    """Neither encoder says in words why it cannot write."""
    if path.suffix.lower() != ".mp4":
        raise SourceError(f"cannot write the video {path}: its name must end in .mp4")
    try:
        path.open("wb").close()
    except OSError as exc:
        raise SourceError(f"cannot write the video {path}: {exc.strerror}; choose another folder") from exc


def _has_x264(program: str) -> bool:
    listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    return " libx264 " in listed.stdout


class _Ffmpeg:
    def __init__(self, program: str, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the program; a pipe could fill up
        raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.6f}", "-i", "-"]
        # 4:2:0 colour, which players expect, needs even sides
        form = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        self._process = subprocess.Popen(
            [
                program,
                "-y",
                "-loglevel",
                "error",
                *raw,
                "-c:v",
                "libx264",
                "-preset",
                "veryfast",
                "-crf",
                "21",
                "-bf",
                "0",  # as cameras send it; with B-frames decoding takes half as long again
                *form,
                path,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for us: we then close the file properly
        )

    def write(self, image: Image) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(image.tobytes())
        except OSError as exc:
            self.close()
            raise SourceError(f"cannot write the video {self._path}: ffmpeg ended too early") from exc

    def close(self) -> None:
        if self._said.closed:
            return
        assert self._process.stdin is not None
        with suppress(OSError):  # it may have gone already: its exit code says so
            self._process.stdin.close()
        failed = self._process.wait()
        self._said.seek(0)
        reason = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
        self._said.close()
        if failed:
            raise SourceError(f"cannot write the video {self._path}: ffmpeg says {' '.join(reason) or failed}")


class _OpenCv:
    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            raise SourceError(f"cannot write the video {path}: this OpenCV has no MPEG-4 encoder; install ffmpeg")

    def write(self, image: Image) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
