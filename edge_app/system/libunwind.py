"""Call `keep` before GStreamer is loaded, or a C++ exception in OpenCV or TFLite ends the process.

Debian's GStreamer brings libunwind and gobject-introspection loads it for everybody, so that from then on its
`_Unwind_RaiseException` is found instead of the compiler's own, and unwinds nothing that was built with that. A model
file that is cut short then is a segmentation fault instead of one sentence. Who was loaded for everybody first wins.
"""

from __future__ import annotations

import contextlib
import ctypes


def preload() -> None:
    """Makes the compiler's own unwinder the first that is found; does nothing where there is none."""
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
