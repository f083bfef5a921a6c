"""One detector under two hashes, so that a change from one to the other must change no event."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from edge_app.detectors.manifest import default_model


def twin(folder: Path, source: Path | None = None, *, name: str = "twin.tflite") -> Path:
    """Write a copy of a detector that differs in its hash alone, and return it: a candidate, without a gate record."""
    model = source or default_model()
    folder.mkdir(parents=True, exist_ok=True)
    content = model.read_bytes() + name.encode()  # the runtime does not look behind the end of the network
    manifest = json.loads(model.with_suffix(".json").read_text("utf-8"))
    sha256 = hashlib.sha256(content).hexdigest()
    manifest |= {"sha256": sha256, "file": name, "name": Path(name).stem, "stage": "candidate"}
    manifest.pop("gate", None)
    path = folder / name
    path.write_bytes(content)
    path.with_suffix(".json").write_text(json.dumps(manifest))
    return path
