"""Masks: no reader of a frame gets the pixels beneath, and errors of the configuration name the key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_app.assembly.counter import build_source
from edge_app.config.load import load
from edge_app.config.model import Config
from edge_app.config.preview import PrivacyConfig
from edge_app.errors import ConfigError
from edge_app.sources.masks import MaskedSource, mask_source
from edge_app.sources.street.street import Street

LEFT = ((0.0, 0.0), (0.3, 1.0))
TRIANGLE = ((0.6, 0.0), (1.0, 0.0), (1.0, 0.5))


def test_frames_of_the_configured_source_are_masked() -> None:
    source = build_source(Config(privacy=PrivacyConfig(masks=(LEFT, TRIANGLE))))
    frame = source.read(5.0)
    source.close()
    assert frame is not None
    height, width = frame.image.shape[:2]
    assert not frame.image[:, : int(0.3 * width)].any()
    assert not frame.image[int(0.1 * height), int(0.9 * width)].any()
    assert frame.image[:, int(0.31 * width) : int(0.59 * width)].any(axis=2).mean() > 0.9


def test_only_the_masked_part_changes_and_the_frame_keeps_its_times() -> None:
    plain, covered = (Street(seed=3, pace="fast") for _ in range(2))
    before, after = plain.read(5.0), MaskedSource(covered, [LEFT]).read(5.0)
    assert before is not None
    assert after is not None
    assert (after.index, after.captured_at, after.monotonic) == (before.index, before.captured_at, before.monotonic)
    right = int(0.3 * before.size[0]) + 4
    assert np.array_equal(before.image[:, right:], after.image[:, right:])


def test_without_masks_the_source_itself_is_used() -> None:
    source = Street(seed=1)
    assert mask_source(source, ()) is source


@pytest.mark.parametrize(
    "wrong",
    [
        "masks = [[[0.0, 0.0]]]",
        "masks = [[[0.1, 0.0], [0.1, 1.0]]]",
        "masks = [[[0.0, 0.0], [0.2, 1.3]]]",
        "masks = [0.0, 0.0, 0.5, 0.5]",
        'masks = "all"',
        "mask = []",
    ],
)
def test_an_error_in_a_mask_names_its_key(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text(f"[privacy]\n{wrong}\n")
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert all(problem.startswith(f"privacy.{wrong.split()[0]}") for problem in refused.value.problems)
