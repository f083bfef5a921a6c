"""Test the committed detector files against the statements of their manifests."""

from __future__ import annotations

import hashlib
import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from edge_app.detectors.manifest import load
from models.common.errors import BuildError
from models.conversion import published_weights
from models.conversion.anchors import Size, anchor_layers, layer_count
from models.conversion.manifest import DEFAULT_SIZES, SCHEMA, describe, write
from models.conversion.network import ROAD_USERS, output_names
from models.conversion.raw_model import interpreter
from models.training.anchoring import manifest_layers
from models.training.architecture import plan
from tests.support.paths import ARTEFACTS

every_size = pytest.mark.parametrize("size", DEFAULT_SIZES, ids=str)


FOLDERS = (".", "published", "registry/former")
SHIPPED = [path for part in FOLDERS for path in sorted((ARTEFACTS / part).glob("*.json")) if "lineage" not in path.name]
TRAINED = [path for path in SHIPPED if "training" in json.loads(path.read_text())["origin"]]
PUBLISHED = [path for path in SHIPPED if path not in TRAINED]


def name(path: Path) -> str:
    """Return a short name for the test's id."""
    return path.stem[-12:]


def manifest(size: Size) -> dict[str, Any]:
    """Return the manifest of the file in production for an input size."""
    result: dict[str, Any] = json.loads((ARTEFACTS / f"{size.model_name}.json").read_text())
    return result


@every_size
def test_hash_and_size(size: Size) -> None:
    stated = manifest(size)
    content = (ARTEFACTS / stated["file"]).read_bytes()
    assert stated["schema"] == SCHEMA
    assert stated["sha256"] == hashlib.sha256(content).hexdigest()
    assert (stated["input"]["width"], stated["input"]["height"]) == size
    assert len(content) < 5_000_000


@every_size
def test_tensors_fit_the_anchors(size: Size) -> None:
    pytest.importorskip("ai_edge_litert", reason="reading a model's tensors needs ai-edge-litert")
    stated = manifest(size)
    runtime = interpreter((ARTEFACTS / stated["file"]).read_bytes(), 1)
    assert tuple(runtime.get_input_details()[0]["shape"]) == (1, size.height, size.width, 3)
    shapes = {detail["name"]: tuple(detail["shape"]) for detail in runtime.get_output_details()}
    assert set(shapes) == {output["name"] for output in stated["outputs"]}
    for output in stated["outputs"]:
        layer = stated["anchors"]["layers"][output["layer"]]
        cells = -(-size.height // layer["stride"]), -(-size.width // layer["stride"])
        columns = 4 if output["role"] == "boxes" else len(stated["labels"])
        assert shapes[output["name"]][1:3] == cells
        assert prod(shapes[output["name"]]) == prod(cells) * len(layer["priors"]) * columns


@every_size
def test_a_raw_byte_is_the_quantised_input(size: Size) -> None:
    pytest.importorskip("ai_edge_litert", reason="reading a model's tensors needs ai-edge-litert")
    detail = interpreter((ARTEFACTS / f"{size.model_name}.tflite").read_bytes(), 1).get_input_details()[0]
    scale, zero = detail["quantization"]
    assert scale == pytest.approx(2 / 255, rel=1e-5)
    assert zero in (127, 128)


@pytest.mark.parametrize("path", PUBLISHED, ids=name)
def test_a_published_model_states_what_the_code_would_state(path: Path) -> None:
    stated, size = common(path)
    boxes, scores = output_names(layer_count(size))
    assert [o["name"] for o in stated["outputs"]] == boxes + scores
    assert stated["anchors"]["layers"] == anchor_layers(size)
    assert "CC BY 4.0" in " ".join(stated["origin"]["calibration_data"]["sources"])
    assert stated["scores"]["against_float"]["box_iou"] > 0.9


@pytest.mark.parametrize("path", TRAINED, ids=name)
def test_a_trained_model_states_what_the_training_would_state(path: Path) -> None:
    stated, size = common(path)
    network = plan(4, fine=True)
    assert [o["name"] for o in stated["outputs"]] == [*network.outputs[0], *network.outputs[1]]
    assert stated["anchors"]["layers"] == manifest_layers(network, size)
    assert {data["licence"] for data in stated["origin"]["training"]["data"]} == {"CC-BY-4.0", "LicenseRef-own"}
    assert "CC-BY-4.0" in " ".join(stated["origin"]["calibration_data"]["sources"])
    lost = [check for check in stated["gate"]["rules"] if check["rule"] == "int8"]
    assert lost
    assert all(check["passed"] for check in lost)


def common(path: Path) -> tuple[dict[str, Any], Size]:
    """Check what every shipped manifest states. Return the manifest and its input size."""
    stated = json.loads(path.read_text())
    assert stated["labels"] == list(ROAD_USERS)
    assert stated["origin"]["integrity"] == published_weights.INTEGRITY
    assert stated["licence"] == "Apache-2.0"
    return stated, Size(stated["input"]["width"], stated["input"]["height"])


@every_size
def test_the_product_accepts_it(size: Size) -> None:
    assert load(ARTEFACTS / f"{size.model_name}.tflite")[0].name == size.model_name


def test_write_replaces_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    stated = describe(DEFAULT_SIZES[0], b"new", {}, {})
    (tmp_path / stated["file"]).write_bytes(b"old")
    path = write(tmp_path, stated, b"new")
    assert path.read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.with_suffix(".json").name, path.name]


def test_a_model_in_production_is_not_overwritten_by_a_build(tmp_path: Path) -> None:
    old = describe(DEFAULT_SIZES[0], b"old", {}, {}) | {"stage": "production", "gate": {"decision": "initial"}}
    path = write(tmp_path, old, b"old")
    with pytest.raises(BuildError, match=r"is in production: .*models\.registry add"):
        write(tmp_path, describe(DEFAULT_SIZES[0], b"new", {}, {}), b"new")
    assert path.read_bytes() == b"old"
    write(tmp_path, describe(DEFAULT_SIZES[0], b"old", {"method": "another"}, {}), b"old")
    stated = json.loads(path.with_suffix(".json").read_text())
    assert (stated["stage"], stated["gate"], stated["quantisation"]) == (
        old["stage"],
        old["gate"],
        {"method": "another"},
    )


def test_a_folder_that_cannot_be_written_is_reported_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match="cannot be written"):
        write(tmp_path / "file", describe(DEFAULT_SIZES[0], b"", {}, {}), b"")
