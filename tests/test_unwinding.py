"""GStreamer in the same process as TFLite: an exception in C++ must stay an exception."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_app.errors import PreviewError
from edge_app.preview.rtsp import choose_encoder

MODEL = Path(__file__).parent.parent / "models" / "ssdlite_mobilenet_v2_512x288.tflite"
CUT_SHORT = """
import sys
from edge_app.preview.rtsp import choose_encoder
choose_encoder()
from edge_app.detectors.tflite import _interpreter
from edge_app.errors import DetectorError
try:
    _interpreter(open(sys.argv[1], "rb").read()[:100_000], 1)
except (DetectorError, ValueError, RuntimeError) as error:
    print("said:", error)
"""


def test_a_model_that_is_cut_short_is_a_sentence_also_after_gstreamer() -> None:
    try:
        choose_encoder()
    except PreviewError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT, str(MODEL)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout[:5]) == (0, "said:"), done.stderr
