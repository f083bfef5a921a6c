"""Write a city's policy: its own sets, classes and clips, and only the rules that these can answer.

Licences, margins and numbers of boxes are those of this repository. A plan from names alone has no floors, and nothing
can be promoted before somebody writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from models.common.errors import RegistryError
from models.registry.benchmark import BICYCLES, COUNTS, CYCLISTS, FOLDS, SLICES
from models.registry.files import write as write_file
from models.registry.plan import KINDS, Plan
from models.registry.policy import Policy

FILE: Final = "policy.toml"
_BETTER: Final = ("all/ap50", "time/saved")
"""What a city's pictures can show; checked/ap50 needs marks of wrong labels, which only pictures of ours have."""


def text(plan: Plan, house: Policy, name: str) -> str:
    """Return the policy as TOML. house: gives licences, margins and numbers. name: of the city, shown."""
    lacks = {} if plan.bicycles else {BICYCLES: f"no set has {house.bicycles} bicycles"}
    lacks |= {} if plan.cyclists else {CYCLISTS: "too few bicycles or motorcycles are labelled in these pictures"}
    lacks |= {FOLDS: "its recipe is trained on all sources at once, and not by folds"}
    lacks |= {} if plan.clips else {COUNTS: "no clips with counted crossings yet"}
    lacks |= {} if plan.slices else {SLICES: f"no kind of slice has {house.examples} boxes of a class in every set"}
    lines = [
        f"# What a detector of {json.dumps(name)} must show before it goes into production. Every promotion records",
        "# the sha256 of this file; whoever changes it says why in the commit. A figure that was not measured fails.",
        'schema = "edge-app/policy/1"',
        "",
        "# SPDX ids under which pictures and weights may be used for what ships;",
        "# credited: only with the maker of each picture.",
        f"licences = {_list(sorted(house.licences))}",
        f"credited = {_list(sorted(house.credited))}",
        "",
        "# From so many labelled boxes on a class is compared, from so many bicycles a set.",
        f"examples = {house.examples}",
        f"bicycles = {house.bicycles}",
        "",
        f"# Kinds of slices (of {', '.join(KINDS)}) that every set has, and classes whose counts are compared.",
        f"slices = {_list(plan.slices)}",
        f"counted = {_list(plan.counted)}",
        "",
        "# What a candidate has to be measured on. A set, class or clip that is named here and was not measured fails.",
        "[benchmark]",
        f"name = {_quoted(name)}",
        f"clips = {_list(sorted(plan.clips))}",
        "",
        "[benchmark.sets]",
        *(f"{_quoted(one)} = {_list(labels)}" for one, labels in plan.sets.items()),
        *(f"# too few boxes to be compared: {_quoted(one)}" for one in plan.left_out),
        "",
        "# What it has nothing for, and why: shown as not part of this benchmark, not as failed.",
        "[benchmark.not_part]",
        *(f"{_quoted(what)} = {_quoted(why)}" for what, why in lacks.items()),
        "",
        "# Better: of one of these differences the whole interval lies above this.",
        "[better]",
        *_table({key: house.better[key] for key in house.better if key in _BETTER}),
        "",
        "# As good, whatever it is better in: the lower end of the interval is above minus this.",
        "[as_good]",
        *_table(house.as_good),
        "",
        "# Worse nowhere by more than this: AP50 and F1 are in 0..1, ratios are to production's.",
        "[margins]",
        *_table(asdict(house.margins)),
        "",
        "# What two-wheelers are called by a detector that is made to count bicycles: shares over all sets together.",
        "[cyclists]",
        *_table(asdict(house.cyclists) if house.cyclists else {}),
        "",
        "# Mean AP50 over folds, below the baseline recipe by no more: asked once not_part above does not name folds.",
        "[folds]",
        *_table(house.folds),
        "",
        "# What is not known of ancestors and is accepted by a person: 12 digits of the hash in the refusal = why.",
        "[accepted]",
        "",
        *_floor_lines(plan),
    ]
    return "\n".join(lines) + "\n"


def _floor_lines(plan: Plan) -> list[str]:
    if not plan.floors:
        says = "None yet, so nothing can be promoted: measure production, then write this file from its result.json."
        return [f"# Floors. {says}", "[floors]"]
    lines = ["# Floors: what production reached here, less its margin. Raise them after a promotion that deserves it."]
    for size, tables in sorted(plan.floors.items()):
        for table, rows in tables.items():
            lines += [f'[floors."{size}".{table}]', *_table(rows), ""]
    return lines[:-1]


def _table(rows: Mapping[str, float]) -> list[str]:
    return [f"{key if key.isidentifier() else _quoted(key)} = {value}" for key, value in rows.items()]


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a TOML basic string has the escapes of JSON


def write(folder: Path, content: str, *, again: bool) -> Path:
    """Write the policy and a .gitignore for the candidates' files. Return the path of the policy.

    again: replace one that is there. Raises RegistryError: when there is one, or a file cannot be written.
    """
    path = folder / FILE
    if path.exists() and not again:
        raise RegistryError(f"{path} is there already; --replace writes it anew, and what was changed in it is lost.")
    write_file(path, content.encode())
    if not (folder / ".gitignore").exists():
        write_file(folder / ".gitignore", b"store/\n")
    return path
