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
        {"dist/uPlot.iife.min.js": "uplot.min.js", "dist/uPlot.min.css": "uplot.css", "LICENSE": "uplot.LICENSE"},
    ),
    "leaflet@1.9.4": (  # a map that needs no tile server and no WebGL, 150 kB (BSD-2-Clause)
        "nxS1ynzJOmOlHp+iL3FyWqK89GtNL8U8rvlMOsQdTTssxZwCXh8N2NB3GDQOL+YR3XnWyZAxwQixURb+FA74PA==",
        {"dist/leaflet.js": "leaflet.min.js", "dist/leaflet.css": "leaflet.css", "LICENSE": "leaflet.LICENSE"},
    ),
    # Clusters of 10,000 sites in milliseconds, 10 kB, well kept (ISC); Leaflet.markercluster keeps a marker for each
    # site and takes three times the code.
    "supercluster@9.1.0": (
        "WMhsJPm8Tf9f5mKxJ1D0mB5tbCMOFi8wTrm/LGnsJHGg8xkeNT/TWDZuFauOGRISnclbYgnxD7g3xJAfQO3FLg==",
        {"dist/supercluster.min.js": "supercluster.min.js", "LICENSE": "supercluster.LICENSE"},
    ),
    # Draws PMTiles on Leaflet without WebGL, fonts or styles from elsewhere, 128 kB, which only a page with a file of
    # tiles loads; from the authors of the format (BSD-3-Clause).
    "protomaps-leaflet@5.1.0": (
        "N0YY1Gbw5nZ9n8VUOvwHKm/w3zhTTuaZEeMZl8doHemeM4ujGPp2otI6t4Sgqrz8iM4svx2rpG1Q17rHkOWSaA==",
        {"dist/protomaps-leaflet.js": "protomaps-leaflet.min.js", "LICENSE": "protomaps-leaflet.LICENSE"},
    ),
    # What is built into the two above: its licences alone.
    "kdbush@4.1.0": (
        "e9vurzrXJQrFX6ckpHP3bvj5l+9CnYzkxDNnNQ1h2QTqdWsUAJgXiKdGNcOa1EY85dU8KbQ+z/FdQdB7P+9yfQ==",
        {"LICENSE": "kdbush.LICENSE"},
    ),
    "fflate@0.8.3": (
        "tbZNuJrLwGUp3zshBtdy4W+ORxZuIh8a5ilyIEQDC5rY1f3U20JMry0Ll3WBzU58EZKsEuJFXhb5gwv8CsPvgA==",
        {"LICENSE": "fflate.LICENSE"},
    ),
    "@mapbox/point-geometry@1.1.0": (
        "YGcBz1cg4ATXDCM/71L9xveh4dynfGmcLDqufR+nQQy3fKwsAZsWd/x4621/6uJaeB9mwOHE6hPeDgXz9uViUQ==",
        {"LICENSE": "point-geometry.LICENSE"},
    ),
    "@mapbox/vector-tile@2.0.4": (
        "AkOLcbgGTdXScosBWwmmD7cDlvOjkg/DetGva26pIRiZPdeJYjYKarIlb4uxVzi6bwHO6EWH82eZ5Nuv4T5DUg==",
        {"LICENSE.txt": "vector-tile.LICENSE"},
    ),
    "pbf@4.0.1": (
        "SuLdBvS42z33m8ejRbInMapQe8n0D3vN/Xd5fmWM3tufNgRQFBpaW2YVJxQZV4iPNqb0vEFvssMEo5w9c6BTIA==",
        {"LICENSE": "pbf.LICENSE"},
    ),
    "potpack@1.0.2": (
        "choctRBIV9EMT9WGAZHn3V7t0Z2pMQyl0EZE6pFc/6ml3ssw7Dlf/oAOvFwjm1HVsqfQN8GfeFyJ+d8tRzqueQ==",
        {"LICENSE": "potpack.LICENSE"},
    ),
    "rbush@3.0.1": (
        "XRaVO0YecOpEuIvbhbpTrZgoiI6xBlz6hnlr6EHhd+0x9ase6EmeN+hdwwUaJvLcsFFQ8iWVF1GAK1yB0BWi0w==",
        {"LICENSE": "rbush.LICENSE"},
    ),
    "color2k@2.0.3": (
        "zW190nQTIoXcGCaU08DvVNFTmQhUpnJfVuAKfWqUQkflXKpaDdpaYoM0iluLS9lgJNHyBF58KKA2FBEwkD7wog==",
        {"LICENSE": "color2k.LICENSE"},
    ),
    "quickselect@2.0.0": (
        "RKJ22hX8mHe3Y6wH/N3wCM6BWtjaxIyyUIkpHOvfFnxdI4yD4tBXEBKSbriGujF6jnSVkJrffuo6vxACiSSxIw==",
        {"LICENSE": "quickselect.LICENSE"},
    ),
}
MODULES: Final = {
    "uplot.min.js": "uPlot",
    "leaflet.min.js": "globalThis.L",
    "supercluster.min.js": "globalThis.Supercluster",
    "protomaps-leaflet.min.js": "protomapsL",
}
"""What a file defines: their small builds are scripts, and become modules by a line at their end."""


def main() -> int:
    """Fetch what is missing and remove what no list here names; return 0, or 1 after a sentence on stderr."""
    for package, (sha512, files) in PACKAGES.items():
        if all((FOLDER / name).is_file() for name in files.values()):
            continue
        try:
            _fetch(package, sha512, files)
        except (OSError, subprocess.SubprocessError, tarfile.TarError, KeyError, ValueError) as error:
            print(f"page libraries: {package} cannot be fetched ({error}); is npm installed?", file=sys.stderr)
            return 1
    wanted = {name for _, files in PACKAGES.values() for name in files.values()}
    for left in FOLDER.iterdir():
        if left.name not in wanted:
            left.unlink()
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
                tail = f"\nexport default {MODULES[name]};\n" if name in MODULES else ""
                (FOLDER / name).write_bytes(member.read() + tail.encode())


if __name__ == "__main__":
    sys.exit(main())
