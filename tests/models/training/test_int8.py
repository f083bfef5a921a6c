"""Test training for int8: the simulation computes what the file computes, and a run exports its ranges."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import FloatArray
from models.common.errors import BuildError
from models.conversion import quantisation
from models.conversion.anchors import Size
from models.conversion.network import ROAD_USERS
from models.conversion.quantisation import Recipe
from models.data import drawn, shards
from models.training import commands, quantising, weights
from models.training.architecture import Plan, plan
from models.training.folder import RunFolder
from models.training.settings import Settings
from tests.support.weights import random_weights

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed (make smoke)"
    ),
    pytest.mark.timeout(600),
]
SIZE = Size(192, 128)
SmallNetwork = tuple[Plan, weights.Weights, list[FloatArray], dict[str, tuple[float, float]]]


@pytest.fixture(scope="module")
def small_network() -> SmallNetwork:
    """Return a plan with random weights, inputs and ranges."""
    from models.conversion import tensorflow_adapter
    from models.training import ranges

    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    network = plan(4, fine=True)
    random = np.random.default_rng(0)
    # Whole bytes, as a camera gives them, and both ends of the range in each image, as in models.training.export.
    images = [random.integers(0, 256, (1, SIZE.height, SIZE.width, 3)).astype(np.float32) / 127.5 - 1 for _ in range(4)]
    for image in images:
        image[0, 0, 0], image[0, 0, 1] = -1, 1
    known = random_weights(network)
    return network, known, images, ranges.measured(network, SIZE, known, images)


def test_ranges_hold_0_and_leave_out_what_keeps_its_steps(small_network: SmallNetwork) -> None:
    network, _, _, ranges = small_network
    assert set(ranges) == {unit.name for unit in network.units if unit.op != "enlarge"}
    assert all(low <= 0 < high for low, high in ranges.values())


def test_kernels_are_rounded_as_tflite_rounds_them_and_keep_their_gradient() -> None:
    from models.conversion import tensorflow_adapter
    from models.training.simulated import rounded

    tf = tensorflow_adapter.load()
    kernel = tf.Variable(np.random.default_rng(1).normal(0, 1, (3, 3, 4, 5)).astype(np.float32))
    with tf.GradientTape() as tape:
        found = rounded(tf, kernel, [0, 1, 2])
        total = tf.reduce_sum(found * 3)
    step = np.abs(kernel.numpy()).max(axis=(0, 1, 2)) / 127
    np.testing.assert_allclose(found / step, np.round(kernel / step), atol=1e-3)
    np.testing.assert_allclose(tape.gradient(total, kernel), 3)


def test_the_file_has_the_ranges_of_the_training_and_answers_as_simulated(small_network: SmallNetwork) -> None:
    from models.training.keras_network import graph_of, keras_network, take

    network, known, images, ranges = small_network
    model = quantisation.converted(graph_of(network, SIZE, known), SIZE, network.outputs, Recipe(), images, ranges)
    answers, steps = _run(model, images[0])
    for name, step in steps.items():
        low, high = ranges[name]
        assert step == pytest.approx((high - low) / 255, rel=1e-4), name
    assert len(steps) > 80
    simulated = keras_network(network, SIZE, known, ranges=ranges)
    assert weights.digest(take(simulated, network)) == weights.digest(known)
    plain = keras_network(network, SIZE, known)
    for kind, columns in ((0, 4), (1, len(ROAD_USERS))):
        file = np.concatenate([answers[name].reshape(-1, columns) for name in network.outputs[kind]])
        near = np.abs(np.asarray(simulated(images[0])[kind])[0] - file).mean()
        far = np.abs(np.asarray(plain(images[0])[kind])[0] - file).mean()
        assert near < 0.7 * far


def test_a_range_of_an_unknown_node_is_refused(small_network: SmallNetwork) -> None:
    from models.training.keras_network import graph_of

    network, known, images, _ = small_network
    with pytest.raises(BuildError, match="no nowhere"):
        quantisation.converted(
            graph_of(network, SIZE, known), SIZE, network.outputs, Recipe(), images, {"nowhere": (0.0, 1.0)}
        )


def _run(model: bytes, image: FloatArray) -> tuple[dict[str, Any], dict[str, float]]:
    """Return what a device computes: name -> answer, and last node -> step of every int8 activation."""
    from models.conversion import tensorflow_adapter

    interpreter = tensorflow_adapter.load().lite.Interpreter(
        model_content=model,
        experimental_op_resolver_type=tensorflow_adapter.load().lite.experimental.OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    known = {unit.name for unit in plan(4, fine=True).units}
    steps = {}
    for tensor in interpreter.get_tensor_details():
        scales = tensor["quantization_parameters"]["scales"]
        names = known & set(tensor["name"].split(";"))
        if tensor["dtype"] == np.int8 and len(scales) == 1 and len(tensor["shape"]) == 4 and names:
            name = names.pop()
            if not name.endswith("/enlarged"):
                steps[name] = float(scales[0])
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.round((image + 1) * 127.5).astype(np.uint8))
    interpreter.invoke()
    ends = {tensor["name"].split(";")[-1]: tensor["index"] for tensor in interpreter.get_output_details()}
    return {name: interpreter.get_tensor(index) for name, index in ends.items()}, steps


@pytest.mark.long
def test_a_training_continues_in_int8_and_its_file_states_it(tmp_path: Path) -> None:
    settings = Settings(width=192, height=128, batch=4, steps=20, frozen_blocks=0, precision="float32")
    parent = RunFolder(tmp_path / "parent")
    parent.begin(settings, {"data": [], "parent": {}})
    weights.save(parent.weights, random_weights(plan(4, fine=True)))
    shards.write(tmp_path / "shards", drawn.samples(12, seed=5))
    split = {"schema": "edge-app/split/1", "command": "test", "train": ["street-day-5"]}
    (tmp_path / "split.json").write_text(json.dumps(split | {"validation": ["street-cycle-6"], "test": []}))
    data = ["--shards", str(tmp_path / "shards"), "--split", str(tmp_path / "split.json")]
    command = ["qat", str(tmp_path / "qat"), "--from", str(parent.path), *data, "--steps", "30", "--rate", "1e-3"]
    assert commands.main([*command, "--pictures", "4"]) == 0
    folder = RunFolder(tmp_path / "qat")
    rows = [json.loads(line) for line in (folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation" in row] == [0, 6, 12, 18, 24, 30]
    assert folder.data()["parent"]["method"] == "quantisation-aware"
    assert folder.ranges.exists()
    assert commands.main(["export", str(folder.path), *data, "--out", str(tmp_path / "out"), "--pictures", "4"]) == 0
    (file,) = (tmp_path / "out").glob("*.tflite")
    detector = TfliteDetector(file, score=0.001)
    detector.detect(np.zeros((128, 192, 3), np.uint8))
    detector.close()
    assert "trained for it" in file.with_suffix(".json").read_text()


def test_the_schedule_is_short_and_in_float32() -> None:
    found = quantising.settings_of(Settings(), 500, 1e-5)
    assert (found.steps, found.rate, found.warm_up, found.precision) == (500, 1e-5, 50, "float32")
    with pytest.raises(BuildError, match="--rate"):
        quantising.settings_of(Settings(), 500, -1.0)
