"""Name the processor that programs of this system are made for."""

from __future__ import annotations

import platform
import sysconfig


def processor() -> str:
    """Return it as archives of a release name it, such as aarch64.

    Python is asked, and not the kernel: a 64-bit kernel may run a 32-bit system.
    """
    triplet = sysconfig.get_config_var("MULTIARCH")
    return triplet.partition("-")[0] if isinstance(triplet, str) and triplet else platform.machine()
