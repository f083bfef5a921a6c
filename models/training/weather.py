"""Change pictures as light, lens, weather and encoder do. numpy and OpenCV; random by the given generator.

All pictures are uint8 (H, W, 3) BGR.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray, Image
from models.training.settings import Augmentation


def change(image: Image, settings: Augmentation, random: np.random.Generator) -> Image:
    """Return the picture as it might look at another hour or through another camera."""
    shares = {
        lit: settings.light,
        dark: settings.night,
        rainy: settings.rain,
        hazy: settings.haze,
        dazzled: settings.glare,
        coarse: settings.coarse,
        blurred: settings.blur,
        sharpened: settings.sharp,
        grey: settings.grey,
        compressed: settings.compression,
    }
    for happens, share in shares.items():
        if random.random() < share:
            image = happens(image, random)
    return image


def lit(image: Image, random: np.random.Generator) -> Image:
    """Return it with another brightness, contrast, saturation and colour temperature."""
    gain, gamma = random.uniform(0.75, 1.25, 3).astype(np.float32), float(np.exp(random.normal(0, 0.3)))
    common = random.uniform(0.7, 1.3)
    gain = common * (0.7 + 0.3 * gain)  # colours change less than the brightness
    steps = np.arange(256, dtype=np.float32) / 255
    table = np.clip(steps[:, None] ** gamma * gain * 255 + random.normal(0, 8), 0, 255).astype(np.uint8)
    changed = cv2.LUT(image, table.reshape(256, 1, 3))
    saturation = random.uniform(0.5, 1.4)
    plain = cv2.cvtColor(changed, cv2.COLOR_BGR2GRAY)[..., None]
    return np.asarray(cv2.addWeighted(changed, saturation, np.repeat(plain, 3, 2), 1 - saturation, 0), np.uint8)


def dark(image: Image, random: np.random.Generator) -> Image:
    """Return it as at night under street lamps: dark, yellowish or bluish, noisy."""
    tint = np.array([0.8, 0.95, 1.1] if random.random() < 0.7 else [1.1, 1.0, 0.85], np.float32)
    level = random.uniform(0.2, 0.5)
    steps = (np.arange(256, dtype=np.float32) / 255) ** random.uniform(1.0, 1.6)
    table = np.clip(steps[:, None] * tint * level * 255, 0, 255).astype(np.uint8).reshape(256, 1, 3)
    return _noisy(np.asarray(cv2.LUT(image, table), np.uint8), random.uniform(3, 10), random)


def rainy(image: Image, random: np.random.Generator) -> Image:
    """Return it with bright slanting streaks, and less contrast behind them."""
    height, width = image.shape[:2]
    drops = np.zeros((height, width), np.uint8)
    slant, length = random.uniform(-0.3, 0.3), random.uniform(0.03, 0.1) * height
    for x, y in random.uniform(0, 1, (int(random.integers(100, 400)), 2)) * (width, height):
        cv2.line(
            drops, (int(x), int(y)), (int(x + slant * length), int(y + length)), (int(random.integers(80, 200)),), 1
        )
    faded = cv2.addWeighted(image, 0.8, np.full_like(image, 150), 0.2, 0)
    return np.asarray(cv2.add(faded, cv2.merge([cv2.GaussianBlur(drops, (3, 3), 0) // 2] * 3)), np.uint8)


def hazy(image: Image, random: np.random.Generator) -> Image:
    """Return it through haze: what is farther, so higher in the picture, fades more into the colour of the air.

    Koschmieder's law: what is seen is t of the road and 1 - t of the air, with t = exp(-distance x density).
    """
    height = image.shape[0]
    horizon, density = random.uniform(-0.3, 0.3), random.uniform(0.1, 0.7)
    nearness = np.clip(np.linspace(0, 1, height) - horizon, 0.15, None)
    seen = np.exp(-density / nearness).clip(0.15, 1)[:, None, None]
    return _mixed(image, seen, _air(random, 130, 230))


def dazzled(image: Image, random: np.random.Generator) -> Image:
    """Return it with the light of a low sun over a part of it, or scattered over all by a dirty lens."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    at_x, at_y = random.uniform(-0.2, 1.2) * width, random.uniform(-0.3, 0.5) * height
    reach = random.uniform(0.3, 1.2) * width
    light = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * reach**2))
    seen = (1 - random.uniform(0.4, 0.85) * light)[..., None]
    return _mixed(image, seen, _air(random, 190, 255))


def coarse(image: Image, random: np.random.Generator) -> Image:
    """Return it as a camera of fewer pixels sends it."""
    height, width = image.shape[:2]
    share = random.uniform(0.4, 0.85)
    small = cv2.resize(image, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    how = cv2.INTER_LINEAR if random.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=how), np.uint8)


def _air(random: np.random.Generator, low: float, high: float) -> FloatArray:
    """Return the colour of lit air, float32 (3,) BGR: grey, a little bluish or yellowish."""
    tint = np.array([1.0, 1.0, 1.0]) + random.uniform(-0.08, 0.08) * np.array([1.0, 0.0, -1.0])
    return np.asarray(random.uniform(low, high) * tint, np.float32)


def _mixed(image: Image, seen: NDArray[np.floating[Any]], air: FloatArray) -> Image:
    """Return what is left of a picture behind lit air. seen: share of the picture, broadcast to (H, W, 1)."""
    return np.asarray(np.clip(image * seen + air * (1 - seen), 0, 255), np.uint8)


def blurred(image: Image, random: np.random.Generator) -> Image:
    """Return it out of focus, or smeared along one direction."""
    if random.random() < 0.6:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 1.6)), np.uint8)
    side = int(random.integers(3, 8))
    kernel = np.zeros((side, side), np.float32)
    angle = random.uniform(0, np.pi)
    reach = (side - 1) / 2
    ends = [(round(reach + s * reach * np.cos(angle)), round(reach + s * reach * np.sin(angle))) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], (1.0,))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


def sharpened(image: Image, random: np.random.Generator) -> Image:
    """Return it crisper, by an unsharp mask, as a large frame is after it was shrunk.

    Training pictures are mostly smaller than camera frames, and a detector that has seen only these fails on crisp
    edges.
    """
    soft = cv2.GaussianBlur(image, (0, 0), random.uniform(0.6, 1.6))
    amount = random.uniform(0.3, 2.0)
    return np.asarray(cv2.addWeighted(image, 1 + amount, soft, -amount, 0), np.uint8)


def grey(image: Image, random: np.random.Generator) -> Image:
    """Return it without colour and a little noisy, as from an infrared camera at night or an old one."""
    plain = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return _noisy(np.asarray(cv2.merge([plain] * 3), np.uint8), random.uniform(0, 6), random)


def compressed(image: Image, random: np.random.Generator) -> Image:
    """Return it as a camera with a low bit rate sends it."""
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(15, 70))])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)


def _noisy(image: Image, spread: float, random: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    noise = random.normal(0, spread, (height, width, 1)).astype(np.float32)
    return np.asarray(np.clip(image + noise, 0, 255), np.uint8)
