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


CUT_SHORT_AFTER_A_SOURCE = CUT_SHORT.replace(
    "from edge_app.preview.rtsp import choose_encoder\nchoose_encoder()",
    "from edge_app.sources.gstreamer import _gst\n_gst()",
)


def test_so_it_is_after_a_gstreamer_source() -> None:
    pytest.importorskip("gi", reason="needs gi and GStreamer (apt install python3-gi gir1.2-gst-plugins-base-1.0)")
    done = subprocess.run(
        [sys.executable, "-c", CUT_SHORT_AFTER_A_SOURCE, str(MODEL)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout[:5]) == (0, "said:"), done.stderr
