"""Pack a detector and its manifest into the ZIP file in which it travels to devices."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from edge_app.detectors.manifest import Manifest, load

_DATE = (1980, 1, 1, 0, 0, 0)


def pack(model: Path) -> tuple[Manifest, bytes]:
    """Return the manifest of a detector and its bundle: the same bytes for the same files, whenever it is packed.

    Raises DetectorError: when it is no detector.
    """
    manifest, content = load(model)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path, data in ((model, content), (model.with_suffix(".json"), model.with_suffix(".json").read_bytes())):
            file.writestr(zipfile.ZipInfo(path.name, _DATE), data, zipfile.ZIP_DEFLATED)
    return manifest, packed.getvalue()
