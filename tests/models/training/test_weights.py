"""Test the network as units, its weights, its scores and the folder of a run; Keras when TensorFlow is installed."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.detectors.manifest import Layer
from models.common.errors import BuildError
from models.conversion import published_weights, tensorflow_adapter
from models.conversion.anchors import Size, anchor_count
from models.conversion.network import INPUT, ROAD_USERS, cut, output_names, road_users_only
from models.conversion.published_weights import Weights as SourceWeights
from models.evaluation.observations import Observation
from models.training import parents, scoring, weights
from models.training.anchoring import anchors_of, manifest_layers
from models.training.architecture import BACKBONE, FINE, GROWN, MORE_PRIORS, block_of, convolutions, plan
from models.training.folder import RunFolder
from models.training.keras_network import graph_of, keras_network, take
from models.training.loop import rate_at
from models.training.scoring import Fit
from models.training.settings import Settings
from tests.support.weights import random_weights

SIZES = (Size(300, 300), Size(512, 288), Size(640, 384))
PACKAGE = published_weights.CACHE / f"{published_weights.PACKAGE}-{published_weights.VERSION}.tgz"
needs_weights = pytest.mark.skipif(
    not PACKAGE.exists(), reason="the published weights are not in models/.cache: run models.conversion.build"
)
needs_tensorflow = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed (make models)"
)


@pytest.fixture(scope="module")
def published() -> SourceWeights:
    """Return the published weights."""
    return published_weights.read(published_weights.fetch()).weights


# --- the plan


def test_every_unit_knows_its_inputs_and_its_name_once() -> None:
    known = {INPUT}
    for unit in plan(6, fine=True).units:
        assert set(unit.inputs) <= known, unit
        assert unit.name not in known
        known.add(unit.name)


@pytest.mark.parametrize("size", SIZES)
def test_the_plain_network_has_the_anchors_of_the_built_files(size: Size) -> None:
    layers = 6 if size.is_trained else 4
    assert len(anchors_of(plan(layers, fine=False), size)) == anchor_count(size)


@pytest.mark.parametrize("size", [*SIZES, Size(160, 96), Size(420, 250)])
def test_the_fine_layer_comes_first_and_a_device_understands_it(size: Size) -> None:
    network = plan(4, fine=True)
    layers = manifest_layers(network, size)
    assert [layer["stride"] for layer in layers] == [8, 16, 32, 64, 128]
    assert len(layers[1]["priors"]) == 3 + len(MORE_PRIORS)
    for layer in layers:
        Layer.model_validate(layer)
    found = anchors_of(network, size)
    first = found[0]
    assert 0 <= first[0] <= 8
    assert 0 <= first[1] <= 8
    assert network.heads[0].boxes.startswith(f"BoxPredictor_{FINE}")


def test_a_deep_fine_layer_has_the_same_anchors_and_a_little_more_to_compute() -> None:
    plain, deep = plan(4, fine=True), plan(4, fine=True, deep=True)
    assert deep.outputs == plain.outputs
    assert manifest_layers(deep, SIZES[1]) == manifest_layers(plain, SIZES[1])
    more = {unit.name for unit in convolutions(deep.units)} - {unit.name for unit in convolutions(plain.units)}
    assert more == {f"{FINE}/far", f"{FINE}/depthwise", f"{FINE}/project"}


def test_how_deep_a_unit_lies() -> None:
    depth = {unit.name.rpartition("MobilenetV2/")[2]: block_of(unit.name) for unit in plan(4, fine=True).units}
    assert depth["Conv"] == depth["expanded_conv/project"] == 0
    assert depth["expanded_conv_3/expand"] == 3
    assert depth["Conv_1"] == depth[f"BoxPredictor_{FINE}/ClassPredictor"] == 17


# --- weights


@needs_weights
def test_published_weights_fill_the_plan_and_added_priors_begin_as_their_parents(published: SourceWeights) -> None:
    network = plan(4, fine=True)
    found = weights.of_source(published, network, seed=1)
    assert {name.rpartition("/")[0] for name in found} == {unit.name for unit in convolutions(network.units)}
    bias = found["BoxPredictor_0/ClassPredictor/bias"].reshape(-1, len(ROAD_USERS))
    assert len(bias) == 5
    np.testing.assert_array_equal(bias[3:], bias[[2, 1]])
    assert weights.digest(found) == weights.digest(weights.of_source(published, network, seed=1))
    assert weights.digest(found) != weights.digest(weights.of_source(published, network, seed=2))


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(BuildError, match="they are not the pinned network"):
        weights.of_source({}, plan(4, fine=False), seed=1)


def test_a_deeper_fine_layer_keeps_its_weights() -> None:
    before, network = random_weights(plan(4, fine=True)), plan(4, fine=True, deep=True)
    after = weights.grown(before, network, seed=1)
    assert {name: after[name] for name in before} == before
    for unit in GROWN:
        assert not after[f"{unit}/kernel"].any()
    assert after[f"{FINE}/depthwise/kernel"].any()
    assert weights.grown(after, network, seed=2) == after
    with pytest.raises(BuildError, match=r"they lack .*layer_19_1_Conv2d_3"):
        weights.grown(random_weights(plan(3, fine=True)), network, seed=1)


@needs_tensorflow
def test_a_deep_fine_layer_answers_at_first_like_the_plain_one() -> None:
    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    size, plain, deep = Size(160, 96), plan(2, fine=True), plan(2, fine=True, deep=True)
    known = random_weights(plain)
    image = np.random.default_rng(0).uniform(-1, 1, (1, 96, 160, 3)).astype(np.float32)
    for one, other in zip(
        keras_network(plain, size, known)(image),
        keras_network(deep, size, weights.grown(known, deep, seed=1))(image),
        strict=True,
    ):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-5)


def test_weights_are_kept_as_they_are(tmp_path: Path) -> None:
    found = random_weights(plan(2, fine=False))
    weights.save(tmp_path / "weights.npz", found)
    again = weights.load(tmp_path / "weights.npz")
    assert weights.digest(again) == weights.digest(found)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.npz"]
    (tmp_path / "broken.npz").write_bytes(b"no weights")
    with pytest.raises(BuildError, match=r"broken\.npz holds no weights"):
        weights.load(tmp_path / "broken.npz")


@given(st.floats(0, 1))
def test_a_mean_lies_between_and_only_of_one_network(share: float) -> None:
    first, second = {"a": np.zeros(3, np.float32)}, {"a": np.full(3, 2, np.float32)}
    np.testing.assert_allclose(weights.mean(first, second, share)["a"], 2 * share, atol=1e-6)
    with pytest.raises(BuildError, match="two different networks"):
        weights.mean(first, {"b": second["a"]}, share)


def test_only_the_backbone_comes_nearer_to_the_published_one() -> None:
    trained, published = random_weights(plan(2, fine=True), 1), random_weights(plan(2, fine=True), 2)
    found = weights.nearer(trained, published, 0.25)
    for name, array in found.items():
        share = 0.25 if name.startswith(f"{BACKBONE}/") else 0
        np.testing.assert_allclose(array, (1 - share) * trained[name] + share * published[name], atol=1e-6)


def test_a_mixture_takes_its_share_of_each_file_and_says_so(tmp_path: Path) -> None:
    settings, shallow, deep = Settings(layers=2, deep=True), plan(2, fine=True), plan(2, fine=True, deep=True)
    own, plain, grown = random_weights(deep, 1), random_weights(shallow, 2), random_weights(deep, 3)
    weights.save(tmp_path / "plain.npz", plain)
    weights.save(tmp_path / "grown.npz", grown)
    found, lineage = parents.mixed(own, settings, [(tmp_path / "plain.npz", 0.5), (tmp_path / "grown.npz", 0.25)], 0)
    for name, array in plain.items():
        np.testing.assert_allclose(found[name], 0.375 * own[name] + 0.375 * array + 0.25 * grown[name], atol=1e-6)
    for name in (f"{unit}/kernel" for unit in GROWN):
        np.testing.assert_allclose(found[name], 0.375 * own[name] + 0.25 * grown[name], atol=1e-6)
    assert [(one["from"], one["share"]) for one in lineage["mixed_with"]] == [("plain.npz", 0.5), ("grown.npz", 0.25)]
    assert lineage["mixed_with"][1]["sha256"] == weights.digest(grown)
    assert parents.mixed(own, settings, [], 0) == (own, {})


# --- Keras and the graph against the source


@needs_tensorflow
@needs_weights
@pytest.mark.parametrize("size", SIZES)
def test_keras_and_graph_answer_as_the_source_does(published: SourceWeights, size: Size) -> None:
    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    layers = 6 if size.is_trained else 4
    network = plan(layers, fine=False)
    ours = weights.of_source(published, network, seed=0)
    image = np.random.default_rng(0).uniform(-1, 1, (1, size.height, size.width, 3)).astype(np.float32)
    boxes, scores = output_names(layers)
    graph = road_users_only(cut(published_weights.read(PACKAGE), size))
    parts = tensorflow_adapter.runner(graph, [INPUT], boxes + scores)(image)
    wanted = [np.concatenate([p.reshape(-1, 4) for p in parts[:layers]])]
    wanted += [np.concatenate([p.reshape(-1, len(ROAD_USERS)) for p in parts[layers:]])]
    model = keras_network(network, size, ours)
    for found, want in zip(model(image), wanted, strict=True):
        np.testing.assert_allclose(np.asarray(found)[0], want, atol=1e-3)
    ends = network.outputs[0] + network.outputs[1]
    for found, want in zip(
        tensorflow_adapter.runner(graph_of(network, size, ours), [INPUT], ends)(image), parts, strict=True
    ):
        np.testing.assert_allclose(found, want, atol=1e-3)
    assert weights.digest(take(model, network)) == weights.digest(ours)


# --- scores


@settings(deadline=None)  # 20,000 scores: the time depends on what else the machine does
@given(st.floats(0.5, 3), st.floats(-1, 1), st.integers(0, 100))
def test_a_fit_finds_slope_and_shift(slope: float, shift: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(-1, 1.5, 20_000)
    right = random.random(20_000) < 1 / (1 + np.exp(-(slope * logits + shift)))
    found = scoring.fit(1 / (1 + np.exp(-logits)), right)
    assert found.slope == pytest.approx(slope, rel=0.15, abs=0.1)
    assert found.shift == pytest.approx(shift, abs=0.2)


@pytest.mark.parametrize("right", [np.zeros(5, bool), np.ones(5, bool)])
def test_a_fit_stays_finite_and_never_reverses_the_order(right: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    found = scoring.fit(np.linspace(0.1, 0.9, 5), right)
    assert np.isfinite([found.slope, found.shift]).all()
    assert found.slope > 0


def test_folding_changes_the_fitted_columns_alone() -> None:
    network = plan(2, fine=True)
    before = random_weights(network)
    after = scoring.folded(before, network, {"car": Fit(2.0, -1.0)})
    car = list(ROAD_USERS).index("car")
    for head in network.outputs[1]:
        old, new = (w[f"{head}/bias"].reshape(-1, len(ROAD_USERS)) for w in (before, after))
        np.testing.assert_allclose(new[:, car], 2 * old[:, car] - 1, rtol=1e-5)
        np.testing.assert_array_equal(np.delete(new, car, 1), np.delete(old, car, 1))
        shape = (*before[f"{head}/kernel"].shape[:3], -1, len(ROAD_USERS))
        kernels = [w[f"{head}/kernel"].reshape(shape) for w in (before, after)]
        np.testing.assert_allclose(kernels[1][..., car], 2 * kernels[0][..., car], rtol=1e-5)
        np.testing.assert_array_equal(np.delete(kernels[1], car, -1), np.delete(kernels[0], car, -1))
    assert before.keys() == after.keys()


def test_a_class_with_few_hits_takes_the_common_fit() -> None:
    random = np.random.default_rng(1)
    observations = []
    for i in range(80):
        truth = np.array([[10, 10, 50, 50]], np.float32)
        right = random.random() < 0.7
        box = truth if right else truth + 60
        kind = np.array([1 if i < 5 else 0], np.int16)
        score = np.array([0.6 if right else 0.3], np.float32)
        observations.append(Observation(truth, kind, np.zeros(1, bool), box, score, kind))
    found = scoring.fits(observations)
    assert found["motorcycle"] == found["bus"] == found["truck"] == found["bicycle"] != found["car"]


# --- settings and folder


def test_the_rate_rises_then_falls_to_its_end() -> None:
    settings = Settings(steps=1000, warm_up=100, rate=1e-3, last_rate=0.1)
    rates = [rate_at(settings, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == pytest.approx(1e-3)
    assert np.argmax(rates) in (99, 100)
    assert all(a >= b for a, b in pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(1e-4, rel=0.01)


def test_a_folder_continues_only_with_its_own_settings_and_data(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(Settings(), {"data": [1]})
    folder.begin(Settings(), {"data": [1]})
    assert folder.settings() == Settings()
    with pytest.raises(BuildError, match=r"settings\.json is of another training"):
        folder.begin(Settings(seed=2), {"data": [1]})
    with pytest.raises(BuildError, match=r"data\.json is of another training"):
        folder.begin(Settings(), {"data": [2]})
    (folder.path / "settings.json").write_text("{}")
    with pytest.raises(BuildError, match="holds no settings of a training"):
        folder.settings()
