"""Read how well two people agree on the pictures: no figure of a detector above that means anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from models.common.errors import BuildError
from models.data.agreement import SCHEMA


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What `python -m models.data agree` found. about: in words. ap50: class -> AP50 of one labelling by the other."""

    about: str = ""
    ap50: Mapping[str, float] = field(default_factory=dict)


def read(path: Path | None) -> Ceiling:
    """Return the ceiling in agreement.json, an empty one without a file. Raises BuildError: when it is another file."""
    if path is None:
        return Ceiling()
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        found = {str(label): float(row["ap50"]) for label, row in content["classes"].items() if row["ap50"] is not None}
        return Ceiling(f"{content['pictures']} pictures, labelled as {' and as '.join(content['sides'])}", found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(f"{path} is not what `python -m models.data agree --out` writes: {error}.") from error
