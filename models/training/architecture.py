"""Describe SSDLite-MobileNetV2 as a list of units, from which both the Keras network and the converted graph are made.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), with the SSDLite heads of the
TensorFlow object detection model zoo. Batch norm is folded into kernels and biases, as a device computes it, so there
is none to freeze. Names are the source graph's scopes, by which published weights are found.

Beyond the source there may be a fine layer of stride 8 for small vehicles: the last features of stride 8 plus those of
stride 16 enlarged (Lin et al., "Feature Pyramid Networks for Object Detection", 2017), with heads like all others. A
deep one adds those of stride 32 and one more block, a residual one (He et al., "Deep Residual Learning", 2016). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from models.conversion.anchors import priors
from models.conversion.network import INPUT, ROAD_USERS, box_head, class_head

BACKBONE: Final = "FeatureExtractor/MobilenetV2"
BLOCKS: Final = (
    (24, 2), (24, 1), (32, 2), (32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (64, 1), (96, 1), (96, 1), (96, 1),
    (160, 2), (160, 1), (160, 1), (320, 1),
)  # fmt: skip
"""Channels and stride of expanded_conv_1 .. expanded_conv_16."""
EXTRAS: Final = ((256, 512), (128, 256), (128, 256), (64, 128))
"""Channels of the 1x1 and of the strided convolution of layers 2 .. 5."""
FINE: Final = "Fine"
FINE_CHANNELS: Final = 64
FINE_BLOCK, COARSE_BLOCK, FAR_BLOCK = 5, 12, 16
"""Blocks whose features feed the fine layer: the last of stride 8, of stride 16 and, in a deep one, of stride 32."""
GROWN: Final = (f"{FINE}/far", f"{FINE}/project")
"""Units that a deep fine layer adds to a plain one: as long as their weights are 0, both give the same."""
FINE_PRIORS: Final = ((12.0, 0.65), (18.0, 0.6), (25.0, 0.6), (20.0, 1.5))
"""(side in px, width / height) of the fine layer's anchors, fitted to boxes of roadside pictures at 512x288."""
MORE_PRIORS: Final = ((36.0, 0.5), (44.0, 1.4))
"""Priors added to the source's three of stride 16, between its 30 px square and its 85 px ones."""
PARENTS: Final = (2, 1)
"""For each of MORE_PRIORS the index of the source's prior of stride 16 with its shape, whose weights it begins with."""

Op = Literal["conv", "depthwise", "add", "enlarge"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One step of the network.

    op: a convolution with bias, a sum of two inputs, or the first input enlarged to the second's size.
    channels: of the output. kernel: side in px. relu: True for a ReLU6 behind it.
    """

    name: str
    op: Op
    inputs: tuple[str, ...]
    channels: int
    kernel: int = 1
    stride: int = 1
    relu: bool = True


@dataclass(frozen=True, slots=True)
class Head:
    """The two outputs of one anchor layer.

    boxes, scores: names of units. priors: (side in px, width / height).
    """

    boxes: str
    scores: str
    stride: int
    priors: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A network: its units in the order of computation, and its heads, finest layer first."""

    units: tuple[Unit, ...]
    heads: tuple[Head, ...]

    @property
    def outputs(self) -> tuple[list[str], list[str]]:
        """Names of the units that end the network: those of the boxes, those of the class logits."""
        return [head.boxes for head in self.heads], [head.scores for head in self.heads]


def source_priors(layer: int) -> tuple[tuple[float, float], ...]:
    """Return the source's priors of a layer as (side in px at 300x300, width / height)."""
    return tuple((scale * 300, ratio) for scale, ratio in priors()[layer])


def plan(layers: int, *, fine: bool, deep: bool = False) -> Plan:
    """Return the plan of a network.

    layers: how many of the source's layers it has. fine: add the layer of stride 8 and MORE_PRIORS.
    deep: make that layer a deep one.
    """
    units = [*_backbone(), *_extras(layers)]
    by_name = {unit.name: unit for unit in units}
    heads: list[Head] = []
    if fine:
        units += _fine(deep)
        heads.append(Head(box_head(FINE), class_head(FINE), 8, FINE_PRIORS))
        units += _head(FINE, units[-1].name, FINE_CHANNELS, len(FINE_PRIORS))
    for layer in range(layers):
        shapes = source_priors(layer) + (MORE_PRIORS if fine and layer == 0 else ())
        feature = feature_of(layer)
        heads.append(Head(box_head(layer), class_head(layer), 16 << layer, shapes))
        units += _head(str(layer), feature, by_name[feature].channels, len(shapes))
    return Plan(tuple(units), tuple(heads))


def feature_of(layer: int) -> str:
    """Return the unit whose features an anchor layer of the source uses."""
    if layer < 2:
        return (f"{BACKBONE}/expanded_conv_13/expand", f"{BACKBONE}/Conv_1")[layer]
    return f"{BACKBONE}/layer_19_2_Conv2d_{layer}_3x3_s2_{EXTRAS[layer - 2][1]}"


def block_output(index: int) -> str:
    """Return the unit at the end of expanded_conv_`index`."""
    return f"{BACKBONE}/expanded_conv_{index}/{'add' if _residual(index) else 'project'}"


def block_of(unit: str) -> int:
    """Return how deep a unit lies: 0 in the first convolution and block, the block's number, 17 behind the blocks."""
    if not unit.startswith(f"{BACKBONE}/"):
        return 17
    scope = unit.split("/")[2]
    if scope in ("Conv", "expanded_conv"):
        return 0
    return int(scope.rpartition("_")[2]) if scope.startswith("expanded_conv_") else 17


def _residual(index: int) -> bool:
    return index > 1 and BLOCKS[index - 1] == (BLOCKS[index - 2][0], 1)


def _backbone() -> Iterator[Unit]:
    yield Unit(f"{BACKBONE}/Conv", "conv", (INPUT,), 32, kernel=3, stride=2)
    first = f"{BACKBONE}/expanded_conv"
    yield Unit(f"{first}/depthwise", "depthwise", (f"{BACKBONE}/Conv",), 32, kernel=3)
    yield Unit(f"{first}/project", "conv", (f"{first}/depthwise",), 16, relu=False)
    before, channels = f"{first}/project", 16
    for index, (wanted, stride) in enumerate(BLOCKS, start=1):
        name = f"{BACKBONE}/expanded_conv_{index}"
        wide = channels * 6
        yield Unit(f"{name}/expand", "conv", (before,), wide)
        yield Unit(f"{name}/depthwise", "depthwise", (f"{name}/expand",), wide, kernel=3, stride=stride)
        yield Unit(f"{name}/project", "conv", (f"{name}/depthwise",), wanted, relu=False)
        if _residual(index):
            yield Unit(f"{name}/add", "add", (f"{name}/project", before), wanted, relu=False)
        before, channels = block_output(index), wanted
    yield Unit(f"{BACKBONE}/Conv_1", "conv", (before,), 1280)


def _extras(layers: int) -> Iterator[Unit]:
    before = f"{BACKBONE}/Conv_1"
    for layer, (narrow, wide) in enumerate(EXTRAS[: max(0, layers - 2)], start=2):
        squeeze, out = f"{BACKBONE}/layer_19_1_Conv2d_{layer}_1x1_{narrow}", feature_of(layer)
        yield Unit(squeeze, "conv", (before,), narrow)
        yield Unit(f"{out}_depthwise", "depthwise", (squeeze,), narrow, kernel=3, stride=2)
        yield Unit(out, "conv", (f"{out}_depthwise",), wide)
        before = out


def _fine(deep: bool) -> Iterator[Unit]:
    coarse = f"{FINE}/coarse"
    yield _narrowed("coarse", COARSE_BLOCK)
    if deep:
        yield _narrowed("far", FAR_BLOCK)
        yield Unit(f"{FINE}/far_enlarged", "enlarge", (f"{FINE}/far", coarse), FINE_CHANNELS, relu=False)
        yield Unit(f"{FINE}/middle", "add", (coarse, f"{FINE}/far_enlarged"), FINE_CHANNELS, relu=False)
        coarse = f"{FINE}/middle"
    yield _narrowed("near", FINE_BLOCK)
    yield Unit(f"{FINE}/enlarged", "enlarge", (coarse, f"{FINE}/near"), FINE_CHANNELS, relu=False)
    yield Unit(f"{FINE}/sum", "add", (f"{FINE}/near", f"{FINE}/enlarged"), FINE_CHANNELS)
    if deep:
        yield Unit(f"{FINE}/depthwise", "depthwise", (f"{FINE}/sum",), FINE_CHANNELS, kernel=3)
        yield Unit(f"{FINE}/project", "conv", (f"{FINE}/depthwise",), FINE_CHANNELS, relu=False)
        yield Unit(f"{FINE}/deep", "add", (f"{FINE}/project", f"{FINE}/sum"), FINE_CHANNELS)


def _narrowed(name: str, block: int) -> Unit:
    return Unit(f"{FINE}/{name}", "conv", (block_output(block),), FINE_CHANNELS, relu=False)


def _head(layer: str, feature: str, channels: int, count: int) -> Iterator[Unit]:
    for name, columns in ((box_head(layer), 4), (class_head(layer), len(ROAD_USERS))):
        yield Unit(f"{name}_depthwise", "depthwise", (feature,), channels, kernel=3)
        yield Unit(name, "conv", (f"{name}_depthwise",), columns * count, relu=False)


def convolutions(units: Sequence[Unit]) -> list[Unit]:
    """Return the units that have a kernel and a bias."""
    return [unit for unit in units if unit.op in ("conv", "depthwise")]
