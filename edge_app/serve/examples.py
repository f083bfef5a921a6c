"""A rendered street as picture, clip and form: what the examples of the OpenAPI document send, made when asked for."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from edge_app.drawing.jpeg import jpeg
from edge_app.drawing.video_file import VideoOut
from edge_app.sources.street.street import Street

PICTURE: Final = "/examples/street.jpg"
CLIP: Final = "/examples/street.mp4"
FORM: Final = "/examples/pictures.form"
PATHS: Final = (PICTURE, CLIP, FORM)
_BOUNDARY: Final = "street"
_WIDTH, _HEIGHT, _FPS, _FRAMES = 640, 360, 10.0, 40
_making = threading.Lock()


def example(path: str) -> tuple[bytes, str]:
    """Return an example and its media type. path: one of PATHS. Raises KeyError: for another."""
    with _making:
        return _made()[path]


@cache
def _made() -> dict[str, tuple[bytes, str]]:
    street = Street(width=_WIDTH, height=_HEIGHT, fps=_FPS, flow=(40.0, 40.0))
    pictures: list[bytes] = []
    with tempfile.TemporaryDirectory() as folder:  # an encoder writes to a file; nobody's picture is in it
        path = Path(folder) / "street.mp4"
        with VideoOut(path, _FPS, (_WIDTH, _HEIGHT)) as out:
            for _ in range(_FRAMES):
                frame = street.read(0)
                assert frame is not None  # it is endless
                out.write(frame.image)
                if len(pictures) < 2:
                    pictures.append(jpeg(frame.image))
        clip = path.read_bytes()
    return {
        PICTURE: (pictures[0], "image/jpeg"),
        CLIP: (clip, "video/mp4"),
        FORM: (_form(pictures), f"multipart/form-data; boundary={_BOUNDARY}"),
    }


def _form(pictures: Sequence[bytes]) -> bytes:
    heads = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="picture"; filename="street-{n}.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
        for n in range(1, len(pictures) + 1)
    )
    parts = (head.encode() + picture + b"\r\n" for head, picture in zip(heads, pictures, strict=True))
    return b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
