"""Collect everything that is wrong with the input, with file and line; show it as a table and keep it as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

Kind: TypeAlias = Literal[
    "missing picture",
    "unreadable picture",
    "duplicate picture",
    "duplicate name",
    "picture without label",
    "label without picture",
    "unreadable label",
    "malformed line",
    "unknown class",
    "box clipped",
    "box outside",
    "zero area",
    "size differs",
    "no camera",
    "unusable name",
    "flag lost",
    "picture changed",
    "not looked at",
    "labelled twice",
    "labels changed",
    "unknown picture",
    "not merged",
]
SCHEMA: Final = "edge-app/import-problems/1"
SHOWN: Final = 40
"""Rows of the table on a terminal; the JSON has all."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding.

    file: the label or picture file. line: from 1, None when the whole file is meant. what: the problem in words.
    """

    kind: Kind
    file: str
    line: int | None
    what: str


@dataclass(slots=True)
class Problems:
    """The findings of one run, in their order. unmapped: class names that nobody knows -> number of boxes.

    renamed: a folder as it is read, and as a person knows it: an archive is read from a temporary folder.
    """

    found: list[Problem] = field(default_factory=list)
    unmapped: Counter[str] = field(default_factory=Counter)
    renamed: tuple[str, str] = ("", "")

    def add(self, kind: Kind, file: Path, what: str, line: int | None = None) -> None:
        """Add a finding."""
        self.found.append(Problem(kind, str(file).replace(*self.renamed), line, what.replace(*self.renamed)))

    def counts(self) -> dict[str, int]:
        """Return kind -> number of findings."""
        return dict(Counter(problem.kind for problem in self.found))

    def show(self, console: Console, details: Path) -> None:
        """Print the findings: on a terminal the first rows and the number of each kind, elsewhere all, one a line.

        details: file with all findings, named at the end.
        """
        if not self.found:
            return
        if console.is_terminal:
            console.print(self._table())
        else:
            for problem in self.found:
                place = problem.file if problem.line is None else f"{problem.file}:{problem.line}"
                console.print(Text(f"{place}: {problem.kind}: {problem.what}"), soft_wrap=True)
        sums = ", ".join(f"{count} {kind}" for kind, count in self.counts().items())
        console.print(f"{len(self.found)} problems: {sums}. All of them: {details}", markup=False, soft_wrap=True)

    def _table(self) -> Table:
        table = Table("problem", Column("file", overflow="fold"), "line", "what", title="What was wrong")
        for problem in self.found[:SHOWN]:
            line = "" if problem.line is None else str(problem.line)
            table.add_row(*map(Text, (problem.kind, problem.file, line, problem.what)))  # Text: no markup
        return table

    def write(self, path: Path) -> None:
        """Write problems.json, even when there are none, so that an old file does not mislead."""
        content = {"schema": SCHEMA, "counts": self.counts(), "problems": [asdict(p) for p in self.found]}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
