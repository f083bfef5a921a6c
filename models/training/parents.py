"""Weights that others are made of: those a training begins with, mixtures of several, and the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.conversion import published_weights
from models.training import weights
from models.training.loop import plan_of
from models.training.settings import Settings


def first(path: Path | None, settings: Settings) -> weights.Weights:
    """Those of a file, grown to the network of the settings; without one the published ones. Raises BuildError."""
    if path is None:
        return published(settings)
    return weights.grown(weights.load(path), plan_of(settings), settings.seed)


def published(settings: Settings) -> weights.Weights:
    """Raises BuildError."""
    return weights.of_source(
        published_weights.read(published_weights.fetch()).weights, plan_of(settings), settings.seed
    )


def published_for(settings: Settings) -> weights.Weights:
    """What `settings.pull` pulls to and `settings.loss.distil` asks; empty where neither is on. Raises BuildError."""
    return published(settings) if settings.pull or settings.loss.distil else {}


def mixed(
    own: weights.Weights, settings: Settings, others: Sequence[tuple[Path, float]], published_share: float
) -> tuple[weights.Weights, dict[str, Any]]:
    """`own` with a share of each file in turn, then of the published backbone; and what a lineage says of it.

    Raises BuildError when a file holds no weights or those of another network.
    """
    said: dict[str, Any] = {}
    for path, share in others:
        other = first(path, settings)
        own = weights.mean(own, other, share)
        said.setdefault("mixed_with", []).append({"from": path.name, "sha256": weights.digest(other), "share": share})
    if published_share:
        own = weights.nearer(own, published(settings), published_share)
        said["published_share"] = published_share
    return own, said
