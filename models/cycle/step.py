"""Say what one step of a cycle is: what it reads, what it runs, what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """One command. keep: a file for what it prints, which is shown too; None to show it only."""

    module: str
    words: tuple[str, ...]
    keep: Path | None = None

    @property
    def text(self) -> tuple[str, ...]:
        """The words after `python`."""
        return ("-m", self.module, *self.words)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a cycle. Paths are relative to the cycle's folder, or absolute.

    after: steps whose outputs it reads. inputs, outputs: files and folders. code: packages it runs.
    settings: what else decides about its outputs, in words. settled: why it is over whatever has changed; empty if not.
    kept: it trains: another program alone is no reason to do it again, and done anew it has a folder of its own.
    production: the detector in production, if it reads that; the same file lies in another place once it is adopted.
    """

    name: str
    after: tuple[str, ...]
    inputs: tuple[Path, ...]
    commands: tuple[Command, ...]
    outputs: tuple[Path, ...]
    code: tuple[str, ...]
    settings: tuple[str, ...] = ()
    settled: str = ""
    kept: bool = False
    production: Path | None = None


def simple(
    name: str,
    after: tuple[str, ...],
    inputs: tuple[Path, ...],
    module: str,
    words: Any,
    outputs: Any,
    code: tuple[str, ...],
) -> Step:
    """Return a step of one command, whose words are its settings."""
    return Step(name, after, inputs, (Command(module, tuple(words)),), tuple(outputs), code, tuple(words))
