"""Everything that decides a training, frozen, and written into its folder, so that the same run can be made again."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from models.conversion.anchors import Size

_Share = Annotated[float, Field(ge=0, le=1)]
_Above0 = Annotated[float, Field(gt=0)]

SCHEMA: Final = "edge-app/training/1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Augmentation(_Part):
    """How a picture is changed each time it is shown; shares are of the pictures that each change happens to."""

    window: tuple[_Above0, _Above0] = (0.4, 1.5)
    """Side of the window that becomes the input, relative to the picture; above 1 vehicles get smaller."""
    stretch: Annotated[float, Field(ge=1, le=2)] = 1.15
    """Width against height changes by up to this factor."""
    flip: _Share = 0.5
    light: _Share = 0.8
    """Brightness, contrast, saturation and colour temperature."""
    blur: _Share = 0.15
    """Out of focus or in motion."""
    sharp: _Share = 0.4
    """Crisper than the training pictures, as frames of a camera with more pixels are."""
    compression: _Share = 0.25
    night: _Share = 0.08
    rain: _Share = 0.05
    grey: _Share = 0.04
    """As an infrared camera sees it."""
    paste: _Share = 0.25
    """Motorcycles of other pictures are put in."""
    bicycles: _Share = 0.3
    """Bicycles are put in, of the few pictures in which they are marked, or it is one of these."""
    inset: _Share = 0.0
    """A close-up is laid over a part of the picture: vehicles seen from street level, as small as far ones."""
    mosaic: _Share = 0.15
    """Four pictures in one."""


class Matching(_Part):
    """Which anchors must find which box; overlaps are IoU."""

    positive: _Share = 0.5
    ignored: _Share = 0.35
    """Anchors between here and `positive` are taught nothing."""
    best: Annotated[int, Field(ge=1, le=20)] = 3
    """So many anchors answer for a box in any case, if they overlap it by `ignored`; the best one without condition."""
    smallest: _Above0 = 6.0
    """Boxes with a geometric mean side below this many px of the input are ignored."""


class Loss(_Part):
    """Focal loss on the taught classes (Lin et al., 2017), GIoU on boxes (Rezatofighi et al., 2019)."""

    gamma: float = 2.0
    alpha: _Share = 0.35
    box: _Above0 = 1.5
    """Weight of the boxes against the classes."""
    bicycle: _Above0 = 1.0
    """Weight of what a bicycle is, since there are few of them among many motorcycles."""
    rival: _Above0 = 1.0
    """Weight of the wrong classes where a vehicle is, against those where nothing is: vans are no trucks."""
    distil: Annotated[float, Field(ge=0)] = 0.0
    """Weight of what the published network says of car or truck; see distilling.py."""


class Settings(_Part):
    """One training. frozen_blocks: the first so many blocks of the backbone keep their weights. seconds: the schedule
    runs over `steps`; a run may also end early, when the validation has not improved for `patience` judgements.
    origins: how often pictures of a data set are drawn, by a part of its origin's name; 1 where none fits."""

    width: int = 512
    height: int = 288
    fine: bool = True
    deep: bool = False
    """The fine layer also sees features of stride 32 and has a block of its own; see architecture.py."""
    layers: Annotated[int, Field(ge=2, le=6)] = 4
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    steps: Annotated[int, Field(ge=1)] = 10_000
    warm_up: Annotated[int, Field(ge=0)] = 300
    rate: _Above0 = 4e-4
    last_rate: _Share = 0.02
    """Of `rate`, at the end of the cosine."""
    clip: _Above0 = 5.0
    average: _Share = 0.999
    """Decay of the moving average of the weights, which is what is judged and kept."""
    pull: _Share = 0.0
    """So much of what lies between the backbone and the published one is taken back at each step at the full rate:
    new cameras are learned, what the published weights know of others stays (L2-SP; Li et al., 2018)."""
    frozen_blocks: Annotated[int, Field(ge=0, le=17)] = 3
    precision: Literal["float32", "mixed_bfloat16"] = "mixed_bfloat16"
    judge_every: Annotated[int, Field(ge=1)] = 1000
    patience: Annotated[int, Field(ge=1)] = 6
    save_every: Annotated[int, Field(ge=1)] = 250
    balance: _Share = 0.5
    """Exponent of class-balanced sampling: 0 draws every picture alike, 1 every class alike."""
    seed: int = 1
    origins: dict[str, _Above0] = Field(default_factory=dict)
    riderless: tuple[str, ...] = ()
    """Patterns of cameras whose motorcycle boxes mostly leave out the rider; see scenes.riders_added."""
    augmentation: Augmentation = Augmentation()
    matching: Matching = Matching()
    loss: Loss = Loss()

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    @property
    def name(self) -> str:
        return f"ssdlite_mobilenet_v2_{self.width}x{self.height}"
