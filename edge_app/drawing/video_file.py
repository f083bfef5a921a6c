"""Write pictures to a video file: H.264, which every browser and telephone plays, or else the codec of OpenCV.

OpenCV's wheels have no H.264 encoder without special hardware, and their VP9 takes most of a second for a 720p frame.
So the pictures go to the `ffmpeg` program where it is installed with libx264, and become MPEG-4 part 2 elsewhere.
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
from edge_app.system.files import utf8_name


class _Encoder(Protocol):
    def write(self, image: Image) -> None: ...

    def close(self) -> None: ...


class VideoOut:
    """Writer of an .mp4 file; a context manager, since only a closed file can be played.

    fps: frames per second. size: width and height in px. ffmpeg: the program, or None to use OpenCV alone.
    codec: "h264" or "mp4v". Raises SourceError: when the file cannot be written, at the beginning or later.
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
        """Append a picture, uint8 (H, W, 3) BGR.

        Raises ValueError: for another size, which an encoder would drop or garble.
        """
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
    """Raise SourceError when the file cannot be written: neither encoder says why in words."""
    if path.suffix.lower() != ".mp4":
        raise SourceError(f"cannot write the video {path}: its name must end in .mp4")
    try:
        path.open("wb").close()
    except OSError as exc:
        raise SourceError(f"cannot write the video {path}: {exc.strerror}; choose another folder") from exc


def _has_x264(program: str) -> bool:
    listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False)
    return " libx264 " in listed.stdout


def _ffmpeg_arguments(fps: float, size: tuple[int, int]) -> list[str]:
    """Return the arguments to encode raw BGR pictures from standard input, without the path of the video."""
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:.6f}", "-i", "-"]
    # As cameras send it; with B-frames decoding takes half as long again.
    codec = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-bf", "0"]
    # 4:2:0 colour, which players expect, needs even sides.
    form = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    return ["-y", "-loglevel", "error", *raw, *codec, *form]


class _Ffmpeg:
    def __init__(self, program: str, path: Path, fps: float, size: tuple[int, int]) -> None:
        self._path = path
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the program; a pipe could fill up
        self._process = subprocess.Popen(
            [program, *_ffmpeg_arguments(fps, size), path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            start_new_session=True,  # Ctrl-C must not reach it: this program then closes the file properly
        )

    def write(self, image: Image) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(image.tobytes())
        except OSError as exc:
            self.close()
            raise SourceError(f"cannot write the video {self._path}: ffmpeg ended too early") from exc

    def close(self) -> None:
        if self._stderr.closed:
            return
        assert self._process.stdin is not None
        with suppress(OSError):  # it may have ended already: its exit code shows that
            self._process.stdin.close()
        failed = self._process.wait()
        self._stderr.seek(0)
        reason = self._stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        self._stderr.close()
        if failed:
            raise SourceError(f"cannot write the video {self._path}: ffmpeg says {' '.join(reason) or failed}")


class _OpenCv:
    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        with utf8_name(path) as name:
            self._writer = cv2.VideoWriter(name, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not self._writer.isOpened():
            raise SourceError(f"cannot write the video {path}: this OpenCV has no MPEG-4 encoder; install ffmpeg")

    def write(self, image: Image) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
