"""State who made the calibration pictures: attribution is owed wherever something made from them ships. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

CHANGES: Final = "resized to at most 448 px, re-encoded, 16:9 shape restored; used for activation ranges only"
PROJECTS: Final = {
    "luongduc": "Roboflow luong-duc/vehicle_detection_project-8jikm v1, CC BY 4.0",
    "hanoi": "Roboflow thang-azynm/vehicle_dataset-04axq v1, CC BY 4.0",
    "itsqal": "Roboflow faiqal/traffic-object-detection-omuwi v1, CC BY 4.0",
    "nepal": "Roboflow ai-protocol/nepali-vehicle-annotation-4u9yj v2, CC BY 4.0",
}
"""File name prefix -> project and licence as its uploader states it."""


def calibration_data(chosen: Sequence[Path]) -> dict[str, Any]:
    """Return what a manifest says of the calibration pictures: projects with counts, and the changes made.

    A picture whose name has none of the prefixes of PROJECTS counts as the builder's own.
    """
    prefixes = [path.name.partition("__")[0] for path in chosen]
    named = {prefix: text for prefix, text in PROJECTS.items() if prefix in prefixes}
    own = sum(prefix not in PROJECTS for prefix in prefixes)
    sources = [f"{text}: {prefixes.count(prefix)} pictures" for prefix, text in named.items()]
    sources += [f"the builder's own: {own} pictures"] if own else []
    return {"sources": sources, "changes": CHANGES}
