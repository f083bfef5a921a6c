"""GStreamer in the same process as TFLite: an exception in C++ must stay an exception."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge_app.errors import PreviewError, SourceError
from edge_app.preview.rtsp import choose_encoder
from edge_app.sources.gstreamer import Capture
from tests.support.paths import ARTEFACTS

MODEL = ARTEFACTS / "ssdlite_mobilenet_v2_512x288.tflite"
LAUNCH = "videotestsrc num-buffers=3 ! video/x-raw,width=64,height=48"
PREVIEW = """
from edge_app.preview.rtsp import choose_encoder
choose_encoder()
"""
SOURCE = f"""
from edge_app.sources.gstreamer import Capture
from tests.support.paths import ARTEFACTS
capture = Capture("{LAUNCH}", 0, 10.0, 10.0)
assert capture.grab() and capture.retrieve().shape == (48, 64, 3)
"""
CUT_SHORT = """
import sys
from edge_app.detectors.tflite import _interpreter
from edge_app.errors import DetectorError
try:
    _interpreter(open(sys.argv[1], "rb").read()[:100_000], 1)
except (DetectorError, ValueError, RuntimeError) as error:
    print("said:", error)
"""


def after(gstreamer: str) -> subprocess.CompletedProcess[str]:
    """A model that is cut short, loaded in a process of its own in which GStreamer is there already."""
    command = (sys.executable, "-c", gstreamer + CUT_SHORT, str(MODEL))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_model_that_is_cut_short_is_a_sentence_also_after_the_preview() -> None:
    try:
        choose_encoder()
    except PreviewError as error:
        pytest.skip(str(error))
    done = after(PREVIEW)
    assert (done.returncode, done.stdout[:5]) == (0, "said:"), done.stderr


def test_a_model_that_is_cut_short_is_a_sentence_also_after_a_gstreamer_source() -> None:
    try:
        Capture(LAUNCH, 0, 10.0, 10.0).close()
    except SourceError as error:
        pytest.skip(str(error))
    done = after(SOURCE)
    assert (done.returncode, done.stdout[:5]) == (0, "said:"), done.stderr
