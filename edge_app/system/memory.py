"""Keep freed memory for the next picture instead of giving it back to the kernel at once."""

from __future__ import annotations

import ctypes
import logging
from typing import Final

log = logging.getLogger(__name__)

_MB: Final = 1 << 20
_SETTINGS: Final = ((-1, 256 * _MB), (-2, 16 * _MB), (-3, 32 * _MB))
"""Parameters of mallopt(3): M_TRIM_THRESHOLD, M_TOP_PAD and M_MMAP_THRESHOLD, of which 32 MB is the largest."""


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory up to a limit; for the whole process. Return False where it is another library.

    By default the arenas of threads shrink after a picture and grow again for the next: some 500 page faults a
    720p picture, a tenth of its CPU. Blocks above 32 MB still go back at once.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        log.debug("this C library has no mallopt")
        return False
    return all(mallopt(parameter, value) == 1 for parameter, value in _SETTINGS)
