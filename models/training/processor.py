"""Choose the arithmetic of a training by looking at the processor. Pure, but for one file of the kernel.

A processor without instructions for bfloat16 imitates them: one picture a second was measured, where float32 gave
nine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from models.training.settings import Settings

CPUINFO: Final = Path("/proc/cpuinfo")
_FLAGS: Final = ("amx_bf16", "avx512_bf16", "bf16")
"""Flags of Intel and AMD, and of ARM, that stand for such instructions."""


def precision(cpuinfo: Path = CPUINFO) -> tuple[Literal["float32", "mixed_bfloat16"], str]:
    """Return the faster arithmetic on this processor, and why in words."""
    try:
        lines = re.findall(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text("utf-8", "replace"), re.MULTILINE)
    except OSError:
        lines = []
    found = next((flag for flag in _FLAGS if any(flag in line.split() for line in lines)), None)
    if found:
        return "mixed_bfloat16", f"this processor has {found}"
    return (
        "float32",
        "this processor has no bfloat16" if lines else "nothing is known of the processor",
    )


def resolved(settings: Settings, show: Callable[[str], None] = lambda _: None) -> Settings:
    """Return the settings with the arithmetic chosen where they leave it open, and say which."""
    if settings.precision != "auto":
        return settings
    chosen, why = precision()
    show(f"arithmetic: {chosen}, for {why} (--set precision=... for another)")
    return settings.model_copy(update={"precision": chosen})
