"""Test the anchors: the source's own at 300x300, the centres of the receptive fields elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.detectors.ssd import AnchorLayer, anchors
from models.conversion import network, published_weights
from models.conversion.anchors import (
    FINEST_STRIDE,
    LAYERS,
    Size,
    anchor_count,
    anchor_layers,
    axis,
    even_axis,
    learned_shift,
    receptive_axis,
)
from models.conversion.manifest import describe
from models.conversion.raw_model import manifest_anchors

TRAINED, WIDE, LARGE = Size(300, 300), Size(512, 288), Size(640, 384)
PACKAGE = published_weights.CACHE / f"{published_weights.PACKAGE}-{published_weights.VERSION}.tgz"


@pytest.mark.parametrize(("size", "count"), [(TRAINED, 1917), (WIDE, 2904), (LARGE, 4770)])
def test_counts(size: Size, count: int) -> None:
    assert anchor_count(size) == count
    assert len(manifest_anchors(describe(size, b"", {}, {}))) == count


@pytest.mark.skipif(
    not PACKAGE.exists(), reason="the published weights are not in models/.cache: run models.conversion.build"
)
def test_the_sources_own_at_300() -> None:
    theirs = network.source_anchors(published_weights.read(PACKAGE).weights) * 300
    ours = manifest_anchors(describe(TRAINED, b"", {}, {}))
    corners = np.concatenate([ours[:, :2] - ours[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2], axis=1)
    assert np.abs(corners - theirs).max() < 0.03


@pytest.mark.parametrize("side", [288, 300, 384, 512, 640])
@pytest.mark.parametrize("layer", range(LAYERS))
def test_receptive_fields_are_where_convolutions_look(side: int, layer: int) -> None:
    """Follow the middle tap of every halving back to the picture, as a check on the closed form."""
    centres = np.arange(side) + 0.5
    for _ in range(4 + layer):
        cells = len(centres)
        padding = max((-(-cells // 2) - 1) * 2 + 3 - cells, 0) // 2
        centres = np.array([centres[min(2 * i - padding + 1, cells - 1)] for i in range(-(-cells // 2))])
    found = receptive_axis(side, layer)
    assert found.cells == len(centres)
    assert found.first == centres[0]
    if len(centres) > 1:
        assert found.step == centres[1] - centres[0] or len(centres) == 2


def test_learned_shift_is_the_mean_at_300() -> None:
    # By hand: 16 i + 11.5 px where the source's anchors are at 300 / 19 (i + 0.5), and 32 i + 11.5 against 30 i + 15.
    assert learned_shift(0) == pytest.approx(5.5)
    assert learned_shift(1) == pytest.approx(5.5)
    assert learned_shift(2) == pytest.approx(21.5)


def test_wide_input_differs_from_an_even_division() -> None:
    placed, even = axis(512, 1), even_axis(512, 1)
    assert placed.cells == even.cells == 16
    assert placed.first - even.first == pytest.approx(10.0)
    assert axis(288, 2).step == FINEST_STRIDE << 2 != even_axis(288, 2).step


def test_sizes_stay_those_of_the_training() -> None:
    """Layer 1's square prior is 0.35 * 300 px at any input size, width and height not exchanged."""
    for size in (WIDE, LARGE):
        layer = anchor_layers(size)[1]
        grid = anchors(*size, [AnchorLayer(layer["stride"], tuple(map(tuple, layer["priors"])))])
        assert grid[0, 2:] == pytest.approx([105, 105], abs=0.01)
        assert grid[1, 3] / grid[1, 2] == pytest.approx(2)


def test_coarsest_layers_are_left_out_away_from_300() -> None:
    assert [len(anchor_layers(size)) for size in (TRAINED, WIDE, LARGE)] == [6, 4, 4]
