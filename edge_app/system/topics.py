"""Beginnings of the topics of a device, which its messages and the signatures of those to it have. Pure."""

from __future__ import annotations

from typing import Final

ROOT: Final = "traffic/v1"
DESIRED: Final = "config/desired"
"""Topic of the office's configuration, below the device's own."""


def root_below(above: str) -> str:
    """Return the beginning of all topics. above: levels before traffic/v1, or empty."""
    return f"{above}/{ROOT}" if above else ROOT


def device_topic(above: str, site: str, device: str) -> str:
    """Return the topic under which a device publishes everything: [ABOVE/]traffic/v1/SITE/DEVICE."""
    return f"{root_below(above)}/{site}/{device}"
