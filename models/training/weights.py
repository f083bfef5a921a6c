"""Load, fold, grow, mix and store the weights of a plan, by the names "UNIT/kernel" and "UNIT/bias".

Kernels are float32 and as TensorFlow has them: (k, k, in, out) for convolutions, (k, k, channels, 1) for depthwise
ones.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.common.errors import BuildError
from models.common.files import replace_file
from models.conversion.network import ROAD_USERS, keep_classes
from models.conversion.published_weights import Weights as SourceWeights
from models.training.architecture import BACKBONE, FINE, GROWN, PARENTS, Plan, Unit, convolutions

Weights: TypeAlias = Mapping[str, FloatArray]

FUSED_EPSILON: Final = 1e-3
"""Epsilon of the source's batch norm in the heads."""
FIRST_SCORE: Final = 0.01
"""Score that a new class head gives everything before training (Lin et al., "Focal Loss", 2017)."""
NEVER: Final = -8.0
"""Logit of a new head for a class that training has no boxes of."""
UNTRAINED: Final = ("person",)


def of_source(source: SourceWeights, plan: Plan, seed: int) -> dict[str, FloatArray]:
    """Return every weight of a plan, from the published ones.

    These are folded; the fine layer's weights are drawn at random, those of added priors are copied from PARENTS.
    seed: of the random weights. Raises BuildError: when the source lacks one.
    """
    random = np.random.default_rng(seed)
    channels = {unit.name: unit.channels for unit in plan.units}
    result: dict[str, FloatArray] = {}
    for unit in convolutions(plan.units):
        if FINE in unit.name:
            kernel, bias = _new(unit, channels.get(unit.inputs[0], 3), random)
        else:
            kernel, bias = _folded(source, unit)
        result[f"{unit.name}/kernel"] = np.ascontiguousarray(kernel, np.float32)
        result[f"{unit.name}/bias"] = np.ascontiguousarray(bias, np.float32)
    return result


def grown(known: Weights, plan: Plan, seed: int) -> dict[str, FloatArray]:
    """Return weights of a plain fine layer for a plan with a deep one; at first the network answers as before.

    seed: of the new weights. Raises BuildError: when anything else is missing.
    """
    random = np.random.default_rng(seed)
    channels = {unit.name: unit.channels for unit in plan.units}
    result = dict(known)
    for unit in convolutions(plan.units):
        if f"{unit.name}/kernel" in known:
            continue
        if not unit.name.startswith(f"{FINE}/"):
            raise BuildError(f"These weights are of another network: they lack {unit.name}.")
        kernel, bias = _new(unit, channels[unit.inputs[0]], random)
        result |= {f"{unit.name}/kernel": kernel, f"{unit.name}/bias": bias}
    return result


def save(path: Path, weights: Weights) -> None:
    """Write weights as one .npz, in one step."""
    buffer = io.BytesIO()
    np.savez(buffer, **dict(weights))  # type: ignore[arg-type]  # numpy's stub takes the keywords for options
    replace_file(path, buffer.getvalue())


def load(path: Path) -> dict[str, FloatArray]:
    """Return what `save` wrote, in float32. Raises BuildError: when it cannot be read."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:  # numpy leaves a torn file open itself
            return {name: np.asarray(file[name], np.float32) for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise BuildError(f"{path} holds no weights of a training: {error}.") from error


def digest(weights: Weights) -> str:
    """Return the sha256 over names and values, whatever file they are in."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode() + np.ascontiguousarray(weights[name], np.float32).tobytes())
    return total.hexdigest()


def mean(first: Weights, second: Weights, share: float) -> dict[str, FloatArray]:
    """Return `share` of the second and the rest of the first, weight by weight.

    Between published and fine-tuned weights this keeps old knowledge (Wortsman et al., "Robust fine-tuning of zero-shot
    models", 2022). Raises BuildError: when they are not of one plan.
    """
    if first.keys() != second.keys():
        raise BuildError("These weights are of two different networks: they cannot be averaged.")
    return {name: np.asarray((1 - share) * first[name] + share * second[name], np.float32) for name in first}


def nearer(trained: Weights, published: Weights, share: float) -> dict[str, FloatArray]:
    """Return `trained` with `share` of the published backbone. The heads, trained for these classes, stay.

    Raises BuildError: when the two are of different plans.
    """
    home = {name: array for name, array in published.items() if name.startswith(f"{BACKBONE}/")}
    return mean(trained, {**trained, **home}, share)


def _folded(source: SourceWeights, unit: Unit) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    try:
        if unit.name.endswith(("BoxEncodingPredictor_depthwise", "ClassPredictor_depthwise")):
            return _fused(source, unit.name)
        if unit.name.startswith("BoxPredictor"):
            kernel, bias = source[f"{unit.name}/weights"], source[f"{unit.name}/biases"]
            if unit.name.endswith("/ClassPredictor"):
                kernel, bias = keep_classes(kernel), keep_classes(bias)
            return _with_children(kernel, bias, unit)
        bias = source[f"{unit.name}/BatchNorm/batchnorm/sub"]
        if unit.op == "conv":
            return source[f"{unit.name}/Conv2D/merged_input"], bias
        factor = source[f"{unit.name}/BatchNorm/batchnorm/mul"]
        return source[f"{unit.name}/depthwise_weights"] * factor[:, None], bias
    except KeyError as error:
        raise BuildError(f"The published weights have no {error}: they are not the pinned network.") from error


def _fused(source: SourceWeights, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    gamma, beta, mean_, variance = (
        source[f"{name}/BatchNorm/{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    factor = gamma / np.sqrt(variance + FUSED_EPSILON)
    kernel = np.asarray(source[f"{name}/depthwise_weights"] * factor[:, None], np.float32)
    return kernel, np.asarray(beta - mean_ * factor, np.float32)


def _with_children(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], unit: Unit
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a head with columns for priors that the source does not have, copied from those of their PARENTS."""
    columns = 4 if unit.name.endswith("/BoxEncodingPredictor") else len(ROAD_USERS)
    known = bias.size // columns
    more = [*range(known), *PARENTS] if unit.channels > bias.size else [*range(known)]
    kernels, biases = kernel.reshape(*kernel.shape[:3], known, columns), bias.reshape(known, columns)
    return kernels[..., more, :].reshape(*kernel.shape[:3], -1), biases[more].reshape(-1)


def _new(unit: Unit, inputs: int, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return random weights after He et al., "Delving Deep into Rectifiers" (2015); small ones for heads."""
    head = unit.name.endswith(("/ClassPredictor", "/BoxEncodingPredictor"))
    shape = (unit.kernel, unit.kernel, inputs, 1 if unit.op == "depthwise" else unit.channels)
    fan = unit.kernel**2 * (1 if unit.op == "depthwise" else inputs)
    kernel = random.normal(0, 0.01 if head else math.sqrt(2 / fan), shape).astype(np.float32)
    if unit.name in GROWN:
        kernel[:] = 0
    bias = np.zeros(unit.channels, np.float32)
    if unit.name.endswith("/ClassPredictor"):
        bias += np.float32(-math.log(1 / FIRST_SCORE - 1))
        untrained = [i for i, label in enumerate(ROAD_USERS) if label in UNTRAINED]
        bias.reshape(-1, len(ROAD_USERS))[:, untrained] = NEVER
    return kernel, bias
