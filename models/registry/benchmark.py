"""Hold what a policy's benchmark consists of: its sets, classes and clips, and the rules that it cannot answer. Pure.

A rule that a benchmark cannot answer is named in the policy with the reason, so that it is told apart from one whose
figure was forgotten: "not part of this benchmark" does not fail, "not measured" does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

COUNTS: Final = "counts"
BICYCLES: Final = "worse bicycles"
SLICES: Final = "worse slice"
INT8: Final = "int8"
CYCLISTS: Final = "bicycles"
FOLDS: Final = "folds"
MAY_LACK: Final = (COUNTS, BICYCLES, SLICES, INT8, CYCLISTS, FOLDS)
"""What a benchmark may lack. Nothing that says where a model comes from or that it is better may be among them."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a candidate has to be measured on.

    name: whose it is, shown. sets: name of a set of pictures -> classes that must have labelled boxes there.
    clips: file names of the clips that are counted. lacks: one of MAY_LACK -> why the benchmark has nothing for it.
    """

    name: str = ""
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    clips: tuple[str, ...] = ()
    lacks: Mapping[str, str] = field(default_factory=dict)


def parse_benchmark(row: Mapping[str, Any] | None) -> Benchmark:
    """Return the benchmark of a policy. row: its table, None when there is none: then no rule may be left out.

    Raises ValueError, KeyError, TypeError or AttributeError: when it is incomplete or leaves out what it may not.
    """
    if row is None:
        return Benchmark()
    sets = {str(name): tuple(str(label) for label in labels) for name, labels in row["sets"].items()}
    made = Benchmark(
        name=str(row["name"]),
        sets=sets,
        clips=tuple(str(clip) for clip in row["clips"]),
        lacks={str(what): str(why).strip() for what, why in row.get("not_part", {}).items()},
    )
    if not made.sets or not all(made.sets.values()):
        raise ValueError("benchmark.sets needs a set of pictures, and a class in each")
    for what, why in made.lacks.items():
        if what not in MAY_LACK:
            raise ValueError(f"benchmark.not_part names {what!r}; only these can be left out: {', '.join(MAY_LACK)}")
        if not why:
            raise ValueError(f'benchmark.not_part."{what}" needs a reason')
    if bool(made.clips) == (COUNTS in made.lacks):
        raise ValueError(f'benchmark.clips names clips, or benchmark.not_part says why there are no "{COUNTS}"')
    return made
