"""Pack a detector and its manifest into the ZIP file in which it travels to devices."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from edge_app.detectors.manifest import Manifest, load
from edge_app.errors import DetectorError

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


def unpack(content: bytes) -> Manifest:
    """Return the manifest of the detector in a bundle. Raises DetectorError: when it is none."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                names = sorted(packed.namelist())
                for name in names:
                    (Path(folder) / Path(name).name).write_bytes(packed.read(name))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise DetectorError(f"it is no bundle of a detector: {error}; `edge-app fleet bundle` packs one") from error
        if [Path(name).suffix for name in names] != [".json", ".tflite"]:
            raise DetectorError("it is no bundle of a detector: it must hold a .tflite file and its .json alone")
        return load(Path(folder) / Path(names[1]).name)[0]
