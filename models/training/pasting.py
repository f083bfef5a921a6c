"""Cut two-wheelers out of one picture and paste them into another, as the camera there would have seen them.

Ghiasi et al., "Simple Copy-Paste" (2021). The outline is found by GrabCut (Rother et al., 2004), as in Dwibedi et al.,
"Cut, Paste and Learn" (2017), which also shows why the seam must not give a pasted object away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.common.geometry import shared_area
from models.data.samples import BICYCLE, MOTORCYCLE
from models.training.framing import Scene

_PASTED_FROM: Final = 22
"""Px of the picture: smaller two-wheelers are not worth copying."""
_RIDDEN: Final = {BICYCLE: 0.85, MOTORCYCLE: 0.7}
"""Height / width, in true shape, from which a two-wheeler has a rider. Parked ones from the side have less; motorcycles
are longer: some 2.0 m, and 1.6 m high with their rider."""
SIDEWAYS: Final = 0.8
"""Width / height, in true shape, from which a two-wheeler with its rider is seen from the side."""
_AROUND: Final = 0.2
"""Width of the surroundings, in box sizes, that say what the background and the light are."""
_LARGEST: Final = 80
"""Px of the longer side in which the outline is looked for: more costs time, and what is pasted is smaller."""
_FILLED: Final = (0.25, 0.8)
"""Least and largest share of its own bounds that a plausible outline fills."""
_HIGH, _WIDE = 0.7, 0.5
"""Share of the height and width of a labelled box over which it extends; many boxes are loose."""
_WHEELS: Final = 0.5
"""Share of its width over which its lower half extends: without wheels it is a body alone."""
_ROUNDS: Final = 2
_OUTLINES: Final = 8192
"""Outlines that are kept, 25 kB each at most: one takes some 10 ms, and a training asks for the same ones again."""
_DARKEST: Final = 0.55
"""Light that is left in the middle of the shadow on the ground by full day."""
_GAIN: Final = (0.6, 1.3)
"""Limits of contrast and of light there relative to here: more would show the noise, or hide the object."""
_BLURS: Final = (0.0, 0.5, 0.7, 1.0, 1.4, 2.0)
"""Blurs, px, of which the first is taken that makes what is pasted as soft as its new place."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A two-wheeler that was cut out.

    image: uint8 (H, W, 3) BGR of its box. cover: float32 (H, W), 1 on it and 0 beside it. aspect: true width / height.
    around: float32 (3,), mean of the colours around the box.
    """

    image: Image
    cover: FloatArray
    aspect: float
    around: FloatArray


def cut_out(scene: Scene, kind: int, random: np.random.Generator, most: int = 2, wide: float = 0.0) -> list[Patch]:
    """Return some ridden two-wheelers of a kind that are whole, apart from others, large enough and have an outline.

    random: draws which. most: so many are tried, since an outline takes some 10 ms. wide: least width / height of
    their boxes in true shape.
    """
    height, width = scene.image.shape[:2]
    pixels, true = _whole_pixels(scene.boxes, (width, height)), scene.aspect * height / width
    fit = (scene.kinds == kind) & ~scene.ignored & scene.placed
    fit &= large_enough(scene.boxes, (width, height), scene.aspect, wide)
    rows = [
        row for row in np.flatnonzero(fit) if not overlaps(scene.boxes[row], [*np.delete(scene.boxes, row, axis=0)])
    ]
    tried = random.permutation(np.array(rows, np.intp))[:most]
    found = (_patch(scene.image, pixels[row], true, _RIDDEN[kind]) for row in tried)
    return [patch for patch in found if patch]


def large_enough(boxes: FloatArray, size: tuple[int, int], aspect: float, wide: float = 0.0) -> NDArray[np.bool_]:
    """Return which boxes are large enough to be worth copying, and as wide as asked; bool (N,).

    boxes: float32 (N, 4) in 0..1. size: width and height of the picture, px. aspect: its true width / height.
    wide: least width / height of a box in true shape.
    """
    pixels = _whole_pixels(boxes, size)
    sides = pixels[:, 2:] - pixels[:, :2]
    true = aspect * size[1] / size[0]
    return np.asarray((sides.min(axis=1) >= _PASTED_FROM) & (sides[:, 0] * true >= wide * sides[:, 1]), np.bool_)


def _whole_pixels(boxes: FloatArray, size: tuple[int, int]) -> NDArray[np.int_]:
    return (boxes * np.array(size * 2, np.float32)).astype(int)


def overlaps(box: FloatArray, others: Sequence[FloatArray]) -> bool:
    """Return True when a box overlaps any of the others."""
    return bool((shared_area(box[None], np.array(others, np.float32).reshape(-1, 4)) > 0).any())


def put(image: Image, patch: Patch, box: FloatArray, near: FloatArray) -> bool:
    """Paste a patch into a box of the image: in its light, as soft as its vehicles, with a shadow on the ground.

    Return False, and change nothing, when it would be only a few px. box: x0 y0 x1 y1 in 0..1. near: of a vehicle
    beside it, which shows how much contrast and detail the camera gives.
    """
    x0, y0, x1, y1 = _pixels(image, box)
    size = x1 - x0, y1 - y0
    if min(size) < 5:
        return False
    interpolation = cv2.INTER_LINEAR if size[0] > patch.image.shape[1] else cv2.INTER_AREA
    colours = cv2.resize(patch.image, size, interpolation=interpolation).astype(np.float32)
    cover = cv2.resize(patch.cover, size, interpolation=interpolation)
    around = _larger(image, (x0, y0, x1, y1))[1].mean(axis=0)
    beside = _crop(image, near)
    lit = _lit(np.asarray(colours, np.float32), patch.around, around, _contrast(beside))
    _shade(image, (x0, y0, x1, y1), float(around.mean()) / 255)
    blur = _blur(lit, beside)
    if blur:
        lit, cover = (np.asarray(cv2.GaussianBlur(part, (0, 0), blur), np.float32) for part in (lit, cover))
    window, share = image[y0:y1, x0:x1], cover[..., None]
    window[:] = (lit * share + window * (1 - share)).clip(0, 255).astype(np.uint8)
    return True


def _patch(image: Image, box: NDArray[np.int_], stretch: float, ridden: float) -> Patch | None:
    """Return what is in a box, px, within its outline; None when GrabCut finds none that is plausible.

    stretch: true width / height of a pixel. ridden: least height / width with a rider, in true shape.
    """
    x0, y0, x1, y1 = (int(v) for v in box)
    (left, top, right, bottom), around = _larger(image, (x0, y0, x1, y1))
    view = image[top:bottom, left:right]
    scale = min(1.0, _LARGEST / max(view.shape[:2]))
    small = cv2.resize(view, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    inner = [round(v * scale) for v in (x0 - left, y0 - top, x1 - x0, y1 - y0)]
    found = _outline(small.tobytes(), (small.shape[0], small.shape[1]), (inner[0], inner[1], inner[2], inner[3]))
    bounds = _plausible(found[inner[1] : inner[1] + inner[3], inner[0] : inner[0] + inner[2]])
    if bounds is None:
        return None
    soft = cv2.GaussianBlur(found.astype(np.float32), (0, 0), 0.8)
    whole = cv2.resize(soft, (view.shape[1], view.shape[0]), interpolation=cv2.INTER_LINEAR)
    wide, high = x1 - x0, y1 - y0
    x0, y0, x1, y1 = (int(v) for v in np.array([x0, y0] * 2) + np.array(bounds) * np.array([wide, high] * 2))
    if (y1 - y0) < ridden * (x1 - x0) * stretch:
        return None
    cover = np.asarray(whole[y0 - top : y1 - top, x0 - left : x1 - left], np.float32)
    return Patch(image[y0:y1, x0:x1], cover, (x1 - x0) / (y1 - y0) * stretch, around.mean(axis=0))


@lru_cache(_OUTLINES)
def _outline(pixels: bytes, shape: tuple[int, int], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return what GrabCut takes for the two-wheeler in a box of a view: uint8 of that shape, 1 or 0.

    pixels: BGR of the view, row by row. box: x, y, width and height, px.
    """
    small = np.frombuffer(pixels, np.uint8).reshape(*shape, 3)
    mask = _guess(shape, box)
    cv2.setRNGSeed(0)  # GrabCut begins with k-means by lot
    cv2.grabCut(small, mask, box, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = _main_part(np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD), np.uint8))
    found.flags.writeable = False
    return found


def _guess(shape: tuple[int, ...], box: Sequence[int]) -> NDArray[np.uint8]:
    """Return what GrabCut begins with: a rider is in the middle of the box, the wheels are at its lower corners.

    box: x, y, width and height, px.
    """
    x, y, wide, high = box
    mask = np.full(shape, cv2.GC_BGD, np.uint8)
    down, across = np.mgrid[-1 : 1 : high * 1j, -1 : 1 : wide * 1j]
    body = np.where((across / 0.75) ** 2 + (down / 0.98) ** 2 < 1, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    body[(down > 0.1) & (np.abs(across) < 0.95)] = cv2.GC_PR_FGD
    body[(across / 0.12) ** 2 + (down / 0.6) ** 2 < 1] = cv2.GC_FGD
    mask[y : y + high, x : x + wide] = body[: shape[0] - y, : shape[1] - x]
    return mask


def _plausible(mask: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    """Return the bounds of an outline, x0 y0 x1 y1 in 0..1 of its box; None when it is no rider with wheels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    own, lower = mask[y0:y1, x0:x1], mask[(y0 + y1) // 2 : y1, x0:x1]
    spans = (y1 - y0) >= _HIGH * mask.shape[0] and (x1 - x0) >= _WIDE * mask.shape[1]
    wheels = float(lower.any(axis=0).mean()) >= _WHEELS
    if not (spans and wheels and _FILLED[0] <= float(own.mean()) <= _FILLED[1]):
        return None
    return x0 / mask.shape[1], y0 / mask.shape[0], x1 / mask.shape[1], y1 / mask.shape[0]


def _main_part(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mask with thin gaps closed and specks left out."""
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    _, names, stats, _ = cv2.connectedComponentsWithStats(closed)
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.flatnonzero(areas >= 0.1 * areas.max(initial=1))
    return np.isin(names, kept).astype(np.uint8)


def _larger(image: Image, box: tuple[int, int, int, int]) -> tuple[tuple[int, int, int, int], FloatArray]:
    """Return the box with its surroundings, px, and the colours of these alone, float32 (N, 3)."""
    x0, y0, x1, y1 = box
    across, down = round(_AROUND * (x1 - x0)) + 2, round(_AROUND * (y1 - y0)) + 2
    left, top = max(0, x0 - across), max(0, y0 - down)
    right, bottom = min(image.shape[1], x1 + across), min(image.shape[0], y1 + down)
    beside = np.ones((bottom - top, right - left), bool)
    beside[y0 - top : y1 - top, x0 - left : x1 - left] = False
    view = image[top:bottom, left:right]
    colours = view[beside] if beside.any() else view.reshape(-1, 3)
    return (left, top, right, bottom), colours.astype(np.float32)


def _pixels(image: Image, box: FloatArray) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in (box * np.array([width, height] * 2)).round())
    return x0, y0, x1, y1


def _crop(image: Image, box: FloatArray) -> FloatArray:
    """Return the picture in a box, at least 3 px each way."""
    x0, y0, x1, y1 = _pixels(image, box)
    x0, y0 = max(0, min(x0, image.shape[1] - 3)), max(0, min(y0, image.shape[0] - 3))
    return image[y0 : max(y1, y0 + 3), x0 : max(x1, x0 + 3)].astype(np.float32)


def _contrast(colours: FloatArray) -> float:
    return float(colours.mean(axis=-1).std()) + 1


def _lit(colours: FloatArray, around: FloatArray, there: FloatArray, contrast: float) -> FloatArray:
    """Return the colours in the light of another place: moved as the surroundings differ, stretched to its contrast.

    around, there: float32 (3,), mean colours of the surroundings here and there. contrast: of a vehicle there.
    After Reinhard et al., "Color Transfer between Images" (2001), colours by half: roads differ in more than light.
    """
    level = np.clip((there.mean() + 8) / (around.mean() + 8), *_GAIN)
    cast = (there / (there.mean() + 1) - around / (around.mean() + 1)) / 2
    lit = colours * level * (1 + cast)
    gain, middle = np.clip(contrast / _contrast(lit), *_GAIN), lit.mean(axis=(0, 1))
    return np.asarray((lit - middle) * gain + middle, np.float32)


def _shade(image: Image, box: tuple[int, int, int, int], light: float) -> None:
    """Darken the ground below the wheels, softly and the less the darker the place is. light: 0..1."""
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, max(2, round(0.1 * (y1 - y0)))
    top, bottom, left, right = y1 - 2 * high, y1 + high, x0 - wide // 4, x1 + wide // 4
    from_y, to_y, from_x, to_x = max(0, top), min(image.shape[0], bottom), max(0, left), min(image.shape[1], right)
    y, x = np.mgrid[from_y:to_y, from_x:to_x].astype(np.float32)
    apart = ((x - (x0 + x1) / 2) / (0.6 * wide)) ** 2 + ((y - (y1 - 0.5 * high)) / (1.2 * high)) ** 2
    dark = 1 - (1 - _DARKEST) * light * np.exp(-1.5 * apart)
    ground = image[from_y:to_y, from_x:to_x]
    ground[:] = (ground * dark[..., None]).astype(np.uint8)


def _blur(colours: FloatArray, beside: FloatArray) -> float:
    """Return the least of _BLURS, px, with which a patch has no sharper detail than a vehicle beside it."""
    wanted = _detail(beside)
    return next((blur for blur in _BLURS if _detail(_soft(colours, blur)) <= wanted), _BLURS[-1])


def _soft(colours: FloatArray, blur: float) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(colours, (0, 0), blur), np.float32) if blur else colours


def _detail(colours: FloatArray) -> float:
    """Return how much of the contrast is in the finest detail: the Laplacian's spread against that of the grey."""
    grey = np.asarray(colours.mean(axis=2), np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).std() / (grey.std() + 4))
