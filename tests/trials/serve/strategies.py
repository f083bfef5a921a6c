"""What schemathesis sends where a schema says no more than "binary": real pictures, real clips, counting lines.

schemathesis loads this module (`SCHEMATHESIS_HOOKS`); `tests.trials.serve.document` starts it.
"""

from __future__ import annotations

import numpy as np
import schemathesis
from hypothesis import strategies as st

from edge_app.records import Image
from edge_app.serve.description import CLIP_KINDS, LINE_FORMAT, PICTURE_KINDS
from edge_app.serve.examples import CLIP, example
from tests.support.pictures import encoded

_FILES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/bmp": "BMP"}


def noise(width: int, height: int, seed: int) -> Image:
    """Return a picture of noise, uint8 (height, width, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures(*kinds: str) -> st.SearchStrategy[bytes]:
    """Return a strategy for files of these kinds, upright or with any EXIF orientation."""
    images = st.builds(noise, st.integers(1, 96), st.integers(1, 96), st.integers(0, 1000))
    return st.builds(encoded, images, st.sampled_from(kinds), st.integers(1, 8))


def line(ends: list[int]) -> str:
    """Return a counting line as the service takes it, with an id that no other line has. ends: thousandths."""
    return f"line-{'-'.join(map(str, ends))}:{','.join(str(end / 1000) for end in ends)}"


def _apart(ends: list[int]) -> bool:
    return abs(ends[0] - ends[2]) + abs(ends[1] - ends[3]) > 200


_ends = st.lists(st.integers(0, 1000), min_size=4, max_size=4).filter(_apart)
schemathesis.openapi.format("binary", pictures(*_FILES.values()))
schemathesis.openapi.format(LINE_FORMAT, st.builds(line, _ends))
for kind in PICTURE_KINDS:
    schemathesis.openapi.media_type(kind, pictures(_FILES[kind]) if kind in _FILES else pictures(*_FILES.values()))
for kind in CLIP_KINDS:
    schemathesis.openapi.media_type(kind, st.just(example(CLIP)[0]))
