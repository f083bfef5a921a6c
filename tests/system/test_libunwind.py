"""C++ exceptions of TFLite in a process that has loaded GStreamer: they must stay exceptions."""

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
    print("raised:", error)
"""


def load_cut_model(gstreamer: str) -> subprocess.CompletedProcess[str]:
    """Load a model that is cut short in a new process, after the code that loads GStreamer."""
    command = (sys.executable, "-c", gstreamer + CUT_SHORT, str(MODEL))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_cut_model_is_an_exception_after_the_preview_was_loaded() -> None:
    try:
        choose_encoder()
    except PreviewError as error:
        pytest.skip(str(error))
    done = load_cut_model(PREVIEW)
    assert (done.returncode, done.stdout[:7]) == (0, "raised:"), done.stderr


def test_a_cut_model_is_an_exception_after_a_gstreamer_source_was_loaded() -> None:
    try:
        Capture(LAUNCH, 0, 10.0, 10.0).close()
    except SourceError as error:
        pytest.skip(str(error))
    done = load_cut_model(SOURCE)
    assert (done.returncode, done.stdout[:7]) == (0, "raised:"), done.stderr
