"""Load the weights that others are made of: those a training begins with, the published ones, and mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.conversion import published_weights
from models.training import weights
from models.training.loop import plan_of
from models.training.settings import Settings


def initial_weights(path: Path | None, settings: Settings) -> weights.Weights:
    """Return the weights of a file, grown to the network of the settings; without a file the published ones.

    Raises BuildError: when they are of another network or cannot be read.
    """
    if path is None:
        return published(settings)
    return weights.grown(weights.load(path), plan_of(settings), settings.seed)


def published(settings: Settings) -> weights.Weights:
    """Return the published weights for the network of the settings. Raises BuildError: when they cannot be fetched."""
    return weights.of_source(
        published_weights.read(published_weights.fetch()).weights, plan_of(settings), settings.seed
    )


def published_for(settings: Settings) -> weights.Weights:
    """Return the weights for `settings.pull` and `settings.loss.distil`; nothing when neither is used.

    Raises BuildError: when they cannot be fetched.
    """
    return published(settings) if settings.pull or settings.loss.distil else {}


def mixed(
    own: weights.Weights, settings: Settings, others: Sequence[tuple[Path, float]], published_share: float
) -> tuple[weights.Weights, dict[str, Any]]:
    """Return `own` with a share of each file in turn, then of the published backbone, and what a lineage says of it.

    others: files of weights, each with its share. published_share: 0..1.
    Raises BuildError: when a file holds no weights or those of another network.
    """
    lineage: dict[str, Any] = {}
    for path, share in others:
        other = initial_weights(path, settings)
        own = weights.mean(own, other, share)
        lineage.setdefault("mixed_with", []).append(
            {"from": path.name, "sha256": weights.digest(other), "share": share}
        )
    if published_share:
        own = weights.nearer(own, published(settings), published_share)
        lineage["published_share"] = published_share
    return own, lineage
