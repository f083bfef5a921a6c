"""Test that a split holds whole cameras and no near-duplicates in two parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.data import fingerprints, splits
from models.data.errors import DataError
from models.data.fingerprints import BITS, NEAR, Pair
from tests.support.annotated import encoded, entry

cameras = st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60)


def fingerprint(bits: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
    """Return bits as a fingerprint."""
    return f"{int(''.join('01'[int(b)] for b in bits), 2):0{BITS // 4}x}"


@given(cameras, st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 99))
def test_no_camera_is_in_two_parts_and_none_is_lost(used: list[str], a: float, b: float, seed: int) -> None:
    assume(a + b < 1)
    entries = [entry(f"{camera}{i}", camera) for i, camera in enumerate(used)]
    split = splits.by_share(entries, a, b, seed)
    parts = [camera for part in splits.PARTS for camera in getattr(split, part)]
    assert sorted(parts) == sorted(set(used))
    splits.check(split, entries)
    largest = max(map(used.count, used))
    for part, share in (("validation", a), ("test", b)):
        assert sum(used.count(camera) for camera in getattr(split, part)) <= share * len(used) + largest / 2 + 1e-9
    assert split == splits.by_share(list(reversed(entries)), a, b, seed)


@given(cameras, st.sets(st.sampled_from("abcdefghij")), st.sets(st.sampled_from("abcdefghij")))
def test_patterns_place_every_camera_once(used: list[str], validation: set[str], test: set[str]) -> None:
    entries = [entry(f"{camera}{i}", camera) for i, camera in enumerate(used)]
    if not validation | test <= set(used):
        with pytest.raises(DataError, match="No camera fits"):
            splits.by_patterns(entries, sorted(validation), sorted(test))
        return
    split = splits.by_patterns(entries, sorted(validation), sorted(test))
    assert set(split.test) == test
    assert set(split.validation) == validation - test
    assert set(split.train) == set(used) - validation - test


@given(st.integers(0, BITS), st.integers(0, 2**32 - 1))
def test_near_duplicates_across_a_split_are_refused_by_name(bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    first = random.random(BITS) < 0.5
    second = first.copy()
    second[random.permutation(BITS)[:bits]] ^= True
    entries = [entry("one", "x", fingerprint(first)), entry("two", "y", fingerprint(second)), entry("three", "z")]
    apart, together = splits.Split(("x", "z"), ("y",), ()), splits.Split(("x", "y"), ("z",), ())
    splits.check(together, entries)
    if bits > NEAR:
        splits.check(apart, entries)
        return
    with pytest.raises(DataError, match=rf"one \(camera x, train\) and two \(camera y, validation\).*{bits} of 256"):
        splits.check(apart, entries)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 9))
def test_pairs_and_groups_are_those_of_all_comparisons(kinds: list[int], bits: int) -> None:
    known = [fingerprint(np.random.default_rng(k % 3).random(BITS) < 0.5) if k else "" for k in kinds]
    pairs = {(p.first, p.second, p.bits) for p in fingerprints.near_pairs(known, bits)}
    n = range(len(known))
    assert pairs == {(i, j, 0) for i in n for j in n if i < j and known[i] and known[i] == known[j]}
    groups = fingerprints.groups(len(known), [Pair(*pair) for pair in pairs])
    assert groups == [known.index(text) if text else i for i, text in enumerate(known)]


def test_more_pictures_than_fit_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    known = [fingerprint(np.random.default_rng(i % 7).random(BITS) < 0.5) for i in range(20)]
    whole = sorted((p.first, p.second) for p in fingerprints.near_pairs(known))
    monkeypatch.setattr(fingerprints, "BLOCK", 6)
    assert sorted((p.first, p.second) for p in fingerprints.near_pairs(known)) == whole
    assert (0, 7) in whole


def test_a_scene_is_recognised_in_other_size_light_and_format() -> None:
    infos = [fingerprints.inspect(encoded(1, 320, 180)), fingerprints.inspect(encoded(1, 640, 360, ".png", 0.7))]
    infos += [fingerprints.inspect(encoded(2, 320, 180))]
    assert [(p.first, p.second) for p in fingerprints.near_pairs([one.fingerprint for one in infos])] == [(0, 1)]
    assert (infos[1].width, infos[1].height) == (640, 360)


def test_errors_in_a_split_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Camera x is named twice"):
        splits.Split(("x",), ("x",), ())
    split = splits.Split(("x",), (), ("y",))
    with pytest.raises(DataError, match="does not know camera z"):
        splits.check(split, [entry("a", "z")])
    with pytest.raises(DataError, match="Picture a occurs twice"):
        splits.check(split, [entry("a", "x"), entry("a", "y")])
    assert [split.part(camera) for camera in "xyz"] == ["train", "test", None]
    splits.write(tmp_path / "split.json", split, "the test")
    assert splits.read(tmp_path / "split.json") == split
    (tmp_path / "split.json").write_text('{"schema": "edge-app/split/1"}')
    with pytest.raises(DataError, match="no split file"):
        splits.read(tmp_path / "split.json")
