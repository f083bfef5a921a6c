"""Number the comparisons of a candidate and hand them to the publisher."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.mqtt.encoding import ComparedCounts, encode_shadow
from edge_app.mqtt.identity import Device
from edge_app.rollout.shadow import Compared
from edge_app.system.files import read_json, write_atomic

log = logging.getLogger(__name__)

NUMBERS: Final = "shadow.json"
"""File in the state folder with the newest numbers."""


class ShadowNumbers:
    """Numbers of comparisons by line, which rise within an installation and are on disk before they are used."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._installation, self._newest = "", dict[str, int]()

    def take(self, installation: str, lines: Iterable[str]) -> dict[str, int]:
        """Return the next number of each line. Raises OSError: when they cannot be kept; then they are lost."""
        if installation != self._installation:
            self._newest = self._read(installation)
            self._installation = installation
        taken = {line: self._newest.get(line, 0) + 1 for line in lines}
        self._newest |= taken
        kept = {"schema": "edge-app/shadow-numbers/1", "installation": installation, "newest": self._newest}
        write_atomic(self._file, json.dumps(kept), mode=0o600)
        return taken

    def _read(self, installation: str) -> dict[str, int]:
        try:
            kept = read_json(self._file)
            newest = {str(line): int(number) for line, number in kept["newest"].items()}
            return newest if kept["installation"] == installation else {}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            log.warning("%s is damaged: comparisons are numbered from 1 again", self._file)
            return {}


@dataclass(slots=True)
class ShadowMessages:
    """Comparisons of one candidate as messages.

    model, config: of the candidate, SHA-256. installation: returns the present one. publish: takes topic and payload.
    """

    device: Device
    model: str
    config: str
    interval_s: float
    numbers: ShadowNumbers
    installation: Callable[[], str]
    publish: Callable[[str, str], None]

    def tell(self, compared: Compared) -> None:
        """Publish an interval, a message for each line."""
        installation = self.installation()
        try:
            numbers = self.numbers.take(installation, compared.candidate)
        except OSError as error:
            log.warning("a comparison is lost, since its number cannot be kept: %s", error.strerror or error)
            return
        for line, seq in numbers.items():
            counts = ComparedCounts(
                line=line,
                start=compared.start,
                end=compared.end,
                interval_s=self.interval_s,
                seq=seq,
                frames=compared.frames,
                model=self.model,
                config=self.config,
                candidate=compared.candidate[line],
                in_service=compared.in_service[line],
            )
            self.publish(*encode_shadow(self.device, counts, installation))
