"""Keep C++ exceptions working in OpenCV and TFLite after GStreamer has been loaded.

Debian's GStreamer brings libunwind, and gobject-introspection loads its symbols globally. From then on libunwind's
`_Unwind_RaiseException` is found instead of the compiler's own, and it cannot unwind code built with that compiler: a
model file that is cut short ends the process with a segmentation fault instead of an exception. The library that was
loaded globally first is the one that is used.
"""

from __future__ import annotations

import contextlib
import ctypes


def preload() -> None:
    """Load the compiler's own unwinder globally, before GStreamer is loaded; do nothing where there is none."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
