"""Define everything that decides a training, frozen, and written into its folder so that the run can be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.conversion.anchors import Size

_Share = Annotated[float, Field(ge=0, le=1)]
_Above0 = Annotated[float, Field(gt=0)]

SCHEMA: Final = "edge-app/training/1"
_GROUPS: Final = ("augmentation", "matching", "loss")
"""Settings that hold others."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Part):
    """Random changes of a picture each time it is shown. Shares are of the pictures that a change happens to."""

    window: tuple[_Above0, _Above0] = (0.4, 1.5)
    """Side of the window that becomes the input, relative to the picture; above 1 vehicles get smaller."""
    stretch: Annotated[float, Field(ge=1, le=2)] = 1.15
    """Width relative to height changes by up to this factor."""
    near: _Share = 0.0
    """The window is laid around one vehicle, which fills much of the picture and may be cut by its edge."""
    flip: _Share = 0.5
    light: _Share = 0.8
    """Brightness, contrast, saturation and colour temperature."""
    blur: _Share = 0.15
    """Out of focus or in motion."""
    sharp: _Share = 0.4
    """Crisper than the training pictures, as frames of a camera with more pixels are."""
    compression: _Share = 0.25
    coarse: _Share = 0.0
    """As a camera of fewer pixels sends it: shrunk, and enlarged again."""
    night: _Share = 0.08
    rain: _Share = 0.05
    haze: _Share = 0.0
    """Less contrast, the less the farther up: haze and mist."""
    glare: _Share = 0.0
    """Less contrast around a low sun or behind a dirty lens."""
    backlight: _Share = 0.0
    """The sun stands low in front of the camera: dark vehicles, bright roofs, long shadows; see backlight.py."""
    grey: _Share = 0.04
    """The picture without colour, like that of an infrared camera."""
    paste: _Share = 0.25
    """Motorcycles of other pictures are pasted in; see pasting.py."""
    sideways: _Share = 0.0
    """Share of these that are seen from the side, as bicycles mostly are: the view must not tell the two apart."""
    bicycles: _Share = 0.3
    """The picture gets bicycles of the few pictures in which they are marked, or is one of these."""
    inset: _Share = 0.0
    """A close-up is laid over a part of the picture: vehicles seen from street level, as small as far ones."""
    mosaic: _Share = 0.15
    """Four pictures in one."""


class Matching(_Part):
    """Which anchors must find which box; overlaps are IoU."""

    positive: _Share = 0.5
    ignored: _Share = 0.35
    """From anchors between here and `positive` nothing is learned."""
    best: Annotated[int, Field(ge=1, le=20)] = 3
    """So many anchors answer for a box in any case, if they overlap it by `ignored`; the best one without condition."""
    smallest: _Above0 = 6.0
    """Boxes with a geometric mean side below this many px of the input are ignored."""


class Loss(_Part):
    """Focal loss on the trained classes (Lin et al., 2017), GIoU on boxes (Rezatofighi et al., 2019)."""

    gamma: float = 2.0
    alpha: _Share = 0.35
    box: _Above0 = 1.5
    """Weight of the boxes relative to the classes."""
    bicycle: _Above0 = 1.0
    """Weight of anchors on bicycles, because there are few of them among many motorcycles."""
    rival: _Above0 = 1.0
    """Weight of the wrong classes on a vehicle, relative to those on background: vans are no trucks."""
    distil: Annotated[float, Field(ge=0)] = 0.0
    """Weight of what the published network says of car or truck; see distilling.py."""


class Settings(_Part):
    """One training.

    frozen_blocks: the first so many blocks of the backbone keep their weights.
    steps, patience: the schedule runs over `steps`; a run also ends when the validation has not improved `patience`
    times.
    judge_every: steps between two validations. save_every: steps between two checkpoints.
    origins: part of a data set's origin -> how often its pictures are drawn; 1 when none fits.
    """

    width: int = 512
    height: int = 288
    fine: bool = True
    deep: bool = False
    """The fine layer also sees features of stride 32 and has a block of its own; see architecture.py."""
    layers: Annotated[int, Field(ge=2, le=6)] = 4
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    steps: Annotated[int, Field(ge=0)] = 10_000
    """With 0 the weights that it begins with are judged, and kept."""
    warm_up: Annotated[int, Field(ge=0)] = 300
    rate: _Above0 = 4e-4
    last_rate: _Share = 0.02
    """Share of `rate` at the end of the cosine."""
    clip: _Above0 = 5.0
    average: _Share = 0.999
    """Decay of the moving average of the weights, which is what is validated and kept."""
    pull: _Share = 0.0
    """Share of the distance between the backbone and the published one that is taken back at each step at the full
    rate: new cameras are learned, and what the published weights know of others stays (L2-SP; Li et al., 2018).
    """
    frozen_blocks: Annotated[int, Field(ge=0, le=17)] = 3
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    """`auto` becomes the faster one on this processor when a run begins; see processor.py."""
    judge_every: Annotated[int, Field(ge=1)] = 1000
    patience: Annotated[int, Field(ge=1)] = 6
    save_every: Annotated[int, Field(ge=1)] = 250
    balance: _Share = 0.5
    """Exponent of class-balanced sampling: 0 draws every picture alike, 1 every class alike."""
    seed: int = 1
    origins: dict[str, _Above0] = Field(default_factory=dict)
    riderless: tuple[str, ...] = ()
    """Patterns of cameras whose motorcycle boxes mostly leave out the rider; see scenes.with_riders."""
    augmentation: Augmentation = Augmentation()
    matching: Matching = Matching()
    loss: Loss = Loss()

    @property
    def size(self) -> Size:
        """The input size."""
        return Size(self.width, self.height)

    @property
    def name(self) -> str:
        """Name of the detector file of this size, without suffix."""
        return f"ssdlite_mobilenet_v2_{self.width}x{self.height}"


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted name and value of each setting in nested ones: "loss.box", 1.5."""
    for name, value in values.items():
        if name in _GROUPS and isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def put(values: dict[str, Any], name: str, value: Any) -> None:
    """Set one setting by its dotted name in nested ones; what follows "origins." is one name, dots included.

    Raises ValueError: when a part of the name is a plain setting.
    """
    parts = name.split(".", 1) if name.startswith("origins.") else name.split(".")
    place = values
    for group in parts[:-1]:
        inner = place.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ValueError(f"{group} holds no other settings")
        place = inner
    place[parts[-1]] = value
