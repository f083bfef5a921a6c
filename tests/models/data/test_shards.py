"""Test that TFRecord shards are read as they were written, by us and by TensorFlow, and that damage is found."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data import shards
from models.data.errors import DataError
from models.data.samples import Sample
from models.data.tfrecord import decode, encode, masked
from tests.support.annotated import sample

needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow: pip install '.[models]'"
)
unit = st.floats(0, 1, width=32)


def same(a: Sample, b: Sample) -> bool:
    """Return True when all fields of two samples are equal."""
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Sample))


def pair() -> list[Sample]:
    """Return two samples, one of them with a stretched aspect and a name outside ASCII."""
    first = sample("a", 1, [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], [1, 4])
    return [first, replace(sample("b/c", 2, camera="küste"), aspect=round(16 / 9, 6))]


def test_shards_give_back_the_samples_and_the_index_describes_them(tmp_path: Path) -> None:
    made = [*pair(), sample("d", 3)]
    index = shards.write(tmp_path, made, per_shard=2)
    assert [shard.images for shard in index.shards] == [2, 1]
    assert all(map(same, shards.read([tmp_path]), made))
    assert all(map(same, shards.read(index.files), made))
    assert shards.read_index(tmp_path) == index
    assert index.entries[0].counts == {"car": 0, "motorcycle": 1, "bus": 0, "truck": 0, "other": 1, "bicycle": 0}
    assert (index.entries[0].ignored, index.entries[1].camera) == (1, "küste")
    shards.verify(index)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(unit, unit, unit, unit, st.integers(0, 4), st.booleans())))
def test_any_boxes_survive_an_example(rows: list[tuple[float, float, float, float, int, bool]]) -> None:
    base = sample()
    table = np.array([row[:4] for row in rows], np.float32).reshape(-1, 4)
    kinds, ignored = np.array([row[4] for row in rows], np.int16), np.array([row[5] for row in rows], np.bool_)
    made = replace(base, boxes=table, classes=kinds, ignored=ignored)
    assert same(shards.sample_of(decode(encode(shards.features(made)))), made)


def test_a_new_set_replaces_all_of_an_old_one(tmp_path: Path) -> None:
    shards.write(tmp_path, pair(), per_shard=1)
    shards.write(tmp_path, pair()[:1])
    assert [path.name for path in tmp_path.glob("*.tfrecord")] == ["part-00000.tfrecord"]


def test_no_sample_and_a_name_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sample"):
        shards.write(tmp_path, [])
    with pytest.raises(DataError, match="share a name"):
        shards.write(tmp_path, [sample("a"), sample("a", 2)])
    with pytest.raises(DataError, match=r"holds no index.json"):
        shards.read_index(tmp_path)


@pytest.mark.parametrize("place", [0, 5, 13, 400, -1])
def test_a_changed_byte_anywhere_is_found(tmp_path: Path, place: int) -> None:
    index = shards.write(tmp_path, pair())
    data = bytearray(index.files[0].read_bytes())
    data[place] ^= 1
    index.files[0].write_bytes(data)
    with pytest.raises(DataError, match="damaged at byte"):
        list(shards.read(index.files))
    with pytest.raises(DataError, match="not what"):
        shards.verify(index)


@pytest.mark.parametrize("length", [3, 12, 100, -2])
def test_a_file_cut_off_is_found(tmp_path: Path, length: int) -> None:
    (path,) = shards.write(tmp_path, pair()).files
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="cut off"):
        list(shards.read([path]))


def test_an_index_of_another_kind_is_refused(tmp_path: Path) -> None:
    shards.write(tmp_path, pair())
    content = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(content | {"classes": ["car"]}))
    with pytest.raises(DataError, match="no index of shards: its schema"):
        shards.read_index(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DataError, match="no index of shards"):
        shards.read_index(tmp_path)


def test_the_checksum_is_the_published_one() -> None:
    """CRC-32C of "123456789" is E3069283 (RFC 3720, appendix B.4 has the polynomial); masked as TFRecord does."""
    assert masked(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_record_of_another_program_is_refused(tmp_path: Path) -> None:
    from models.data.tfrecord import write_record

    path = tmp_path / "x.tfrecord"
    with path.open("wb") as file:
        write_record(file, encode({"image/encoded": [b"x"]}))
    with pytest.raises(DataError, match="did not write"):
        list(shards.read([path]))
    with pytest.raises(DataError, match=r"no tf\.train\.Example"):
        decode(b"\xff\xff")


@needs_tensorflow
def test_tensorflow_reads_and_writes_the_same_bytes(tmp_path: Path) -> None:
    """Run in a process of its own: TensorFlow takes seconds to load and has warnings of its own."""
    (path,) = shards.write(tmp_path, pair()).files
    code = """
import sys, tensorflow as tf
records = [r.numpy() for r in tf.data.TFRecordDataset(sys.argv[1])]
parsed = [tf.train.Example.FromString(r) for r in records]
assert [e.SerializeToString(deterministic=True) for e in parsed] == records
picture = tf.io.decode_image(parsed[0].features.feature["image/encoded"].bytes_list.value[0])
print(len(records), *picture.shape, *parsed[0].features.feature["image/object/class/label"].int64_list.value)
with tf.io.TFRecordWriter(sys.argv[2]) as out:
    [out.write(e.SerializeToString()) for e in parsed]
"""
    again = tmp_path / "again.tfrecord"
    done = subprocess.run([sys.executable, "-c", code, path, again], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "36", "64", "3", "2", "5"]
    assert all(map(same, shards.read([again]), pair()))
