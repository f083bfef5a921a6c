"""Test the records of the weights and candidates in this repository: complete, of these very files, with all hashes."""

from __future__ import annotations

import json

import pytest

from models.lineage import files
from models.lineage.records import Lineage
from models.registry.storage import Registry
from models.training import weights
from tests.support.paths import ARTEFACTS

WEIGHTS = sorted((ARTEFACTS / "weights").glob("*.npz"))
ENTRIES = [entry.name for entry in Registry().entries()]


def complete(lineage: Lineage) -> None:
    """Check that the hashes of all pictures are there and are those of the data sets."""
    found = files.picture_hashes(lineage, [files.POOL])
    assert all(len(found[one.hashes].sha256) == one.images for one in lineage.sets.values())


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_weights_have_the_record_of_their_own(path: object) -> None:
    (one,) = [file for file in WEIGHTS if file == path]
    lineage = files.of_weights(one, weights.digest(weights.load(one)))
    assert lineage.steps[lineage.head].kind != "unrecorded" or lineage.steps[lineage.head].parents
    complete(lineage)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_candidate_has_a_record_with_the_data_of_its_manifest(name: str) -> None:
    registry = Registry()
    lineage = files.read(registry.entry_folder(name) / "lineage.json")
    complete(lineage)
    manifest = registry.document(name, "manifest.json")
    assert isinstance(manifest, dict)
    stated = {(row["sha256"], row["licence"]) for row in manifest["origin"].get("training", {}).get("data", [])}
    assert stated == {(one.sha256, one.licence) for one in lineage.sets.values()}


@pytest.mark.parametrize("size", ["300x300", "512x288", "640x384"])
def test_a_detector_in_production_teaches_with_its_record(size: str) -> None:
    lineage = files.of_detector(ARTEFACTS / f"ssdlite_mobilenet_v2_{size}.tflite")
    assert lineage.steps[lineage.head].kind == "exported"
    assert any(one.step.kind == "published" for one in lineage.ancestors())


def test_the_published_file_is_known_as_such() -> None:
    assert files.of_detector(ARTEFACTS / "published" / "coco_640x384.tflite") == files.published()


def test_no_hashes_are_kept_that_no_record_names() -> None:
    records = [*ARTEFACTS.glob("weights/*.lineage.json"), *ARTEFACTS.glob("registry/entries/*/lineage.json")]
    named = {row["hashes"] for path in records for row in json.loads(path.read_text("utf-8"))["sets"].values()}
    assert {path.stem for path in files.POOL.glob("*.npz")} == named
