"""Write reviewed pictures as Pascal VOC for training: the part with the vehicle, and the class a person named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from edge_app.drawing.jpeg import jpeg, picture_of
from edge_app.harvest.voc import Label, annotation
from edge_app.system.files import write_atomic

_MARGIN: Final = 0.15
"""Part of the box's sides that stays around it: whatever else is in a picture has no label, and would be taught as
road."""


def write_labels(rows: Iterable[Any], folder: Path) -> Counter[str]:
    """Write pictures with their answers below a folder, SITE-DEVICE-LINE/DAY each; return how many of each class.

    rows: as `answered_pictures` gives them. A picture that cannot be read is left out, and counted as "unreadable".
    Raises OSError: when a file cannot be written.
    """
    written: Counter[str] = Counter()
    for row in rows:
        image = picture_of(row.picture)
        if image is None:
            written["unreadable"] += 1
            continue
        day = datetime.fromtimestamp(row.at, timezone.utc).date().isoformat()
        batch, name = folder / f"{row.topic_site}-{row.device}-{row.name}" / day, row.id.hex
        x0, y0, x1, y1 = row.box
        dx, dy = _MARGIN * (x1 - x0), _MARGIN * (y1 - y0)
        left, top = max(0, round(x0 - dx)), max(0, round(y0 - dy))
        part = image[top : round(y1 + dy) + 1, left : round(x1 + dx) + 1]
        if not part.size:
            written["unreadable"] += 1
            continue
        size = part.shape[1], part.shape[0]
        label = Label(row.answer, (x0 - left, y0 - top, min(x1 - left, size[0]), min(y1 - top, size[1])), row.score)
        for kind in ("JPEGImages", "Annotations"):
            (batch / kind).mkdir(parents=True, exist_ok=True)
        write_atomic(batch / "JPEGImages" / f"{name}.jpg", jpeg(part))
        text = annotation(f"{name}.jpg", size, [label], f"edge-app {row.model}, review by {row.who}", verified=True)
        write_atomic(batch / "Annotations" / f"{name}.xml", text)
        written[row.answer] += 1
    return written
