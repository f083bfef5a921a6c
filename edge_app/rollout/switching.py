"""Hold the detectors that are loaded in a service: the one that counts, and those that may take its place at once.

A detector is loaded and tried beside the one that counts, in the thread of the office. It has no lower priority than
others: Python lets one thread run at a time, and one that waits for the processor while it holds Python's lock would
keep the counting thread waiting too. Until it is ready the former one counts on; both stay loaded while a configuration
is on trial, so that the way back takes no longer than the way there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edge_app.detectors.manifest import Manifest, load
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import EdgeAppError

log = logging.getLogger(__name__)

_ENGINE_MB: Final = 14.0
"""Memory, MB, of an engine whose input has _ENGINE_PX pixels; it grows with them."""
_ENGINE_PX: Final = 512 * 288
_LOADING: Final = 4.0
"""Copies of the model's file that are in memory while it is loaded: content, parsed, packed for the processor."""
_RESERVE_MB: Final = 48.0
"""Memory, MB, that stays free: frames, outbox and libraries need it now and then."""


class CountAnewError(EdgeAppError):
    """Reason why a change cannot be taken over while counting goes on, in one sentence without a capital and a dot."""


def needed_mb(manifest: Manifest, file_bytes: int, engines: int) -> float:
    """Return the memory, MB, that a detector needs while it is loaded. engines: how many of its own are."""
    pixels = manifest.input.width * manifest.input.height
    return engines * _ENGINE_MB * max(1.0, pixels / _ENGINE_PX) + _LOADING * file_bytes / 1e6


class Detectors:
    """Detectors that are loaded. One thread calls the methods, but for `took_over`; any may read `present`.

    present: the one that counts. build: loads a file as that was loaded. free_mb: returns the memory, MB, that this
    process may still take, None where the system does not tell.
    """

    def __init__(
        self, present: TfliteDetector, build: Callable[[Path], TfliteDetector], free_mb: Callable[[], float | None]
    ) -> None:
        self.present = present
        self._build, self._free_mb = build, free_mb
        self._loaded = {present.manifest.sha256: present}

    def ready(self, file: Path) -> TfliteDetector:
        """Return the detector of a file, which may take over at once.

        Raises DetectorError: when it cannot be loaded. CountAnewError: when memory does not hold it beside the others.
        """
        manifest, content = load(file)
        known = self._loaded.get(manifest.sha256)
        if known is not None:
            return known
        used = [engine.loaded for engine in self.present.engines]
        self._require_room(needed_mb(manifest, len(content), sum(used)))
        del content
        detector = self._build(file)
        for engine, wanted in zip(detector.engines, used, strict=True):
            if wanted and not engine.loaded:
                engine.load()
        self._loaded[manifest.sha256] = detector
        return detector

    def took_over(self, detector: TfliteDetector) -> None:
        """Note that a detector counts now."""
        self.present = detector

    def forget_others(self) -> None:
        """Free the memory of all but the one that counts."""
        for sha256 in [sha256 for sha256, detector in self._loaded.items() if detector is not self.present]:
            self._loaded.pop(sha256).close()

    def close(self) -> None:
        """Free all."""
        for detector in self._loaded.values():
            detector.close()

    def _require_room(self, needed: float) -> None:
        free = self._free_mb()
        if free is not None and free < needed + _RESERVE_MB:
            raise CountAnewError(
                f"{free:.0f} MB of memory are free, and two detectors at once need {needed + _RESERVE_MB:.0f} MB"
            )
