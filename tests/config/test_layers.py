"""Layers of the configuration: later ones win, nothing is overwritten in silence, a broken one never ends counting."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app import cli
from edge_app.config.files import layer_path
from edge_app.config.last_good import choose, keep, last_good
from edge_app.config.layers import LAYERS, MAY_SET, Layer, best_that_fits, merge, refused_keys
from edge_app.config.load import load
from edge_app.config.model import DetectorConfig
from edge_app.errors import ConfigError
from tests.support.config_cases import LINE
from tests.support.paths import ROOT

FILE = f'[device]\nsite = "harbour"\n[source]\nkind = "camera"\n[detector]\nscore = 0.3\n{LINE}'
HEAD = '[layer]\nrevision = 7\nauthor = "page, 192.168.4.20"\nat = "2026-11-30T12:00:00Z"\n'
QUAY = '[[lines]]\nid = "quay"\nstart = [0.5, 0.1]\nend = [0.5, 0.9]\n'

values = st.dictionaries(
    st.sampled_from(["detector", "privacy", "counting"]),
    st.dictionaries(st.sampled_from(["region", "masks", "x"]), st.integers(0, 3), min_size=1),
)
stacks = st.lists(values, min_size=1, max_size=3).map(
    lambda tables: [Layer(name, each) for name, each in zip(LAYERS, tables, strict=False)]
)


@settings(deadline=None, max_examples=60)
@given(stacks)
def test_the_last_layer_that_sets_a_key_wins_and_others_are_told(layers: list[Layer]) -> None:
    merged = merge(layers)
    setters: dict[str, list[tuple[str, Any]]] = {}
    for layer in layers:
        for table, keys in layer.tables.items():
            for key, value in keys.items():
                setters.setdefault(f"{table}.{key}", []).append((layer.name, value))
    assert merged.origins == {key: found[-1][0] for key, found in setters.items()}
    assert {f"{t}.{k}": v for t, keys in merged.tables.items() for k, v in keys.items()} == {
        key: found[-1][1] for key, found in setters.items()
    }
    told = {(one.key, one.ignored) for one in merged.conflicts}
    for key, found in setters.items():
        different = [name for (name, value), (_, later) in pairwise(found) if value != later]
        assert {(key, name) for name in different} == {pair for pair in told if pair[0] == key}


def test_a_layer_may_unset_a_key_and_that_is_told() -> None:
    base = Layer("file", {"detector": {"region": [0, 0.3, 1, 1], "score": 0.3}}, at=1.0)
    merged = merge([base, Layer("page", {}, ("detector.region",), at=2.0)])
    assert merged.tables == {"detector": {"score": 0.3}}
    assert merged.origins["detector.region"] == "page"
    (conflict,) = merged.conflicts
    assert (conflict.key, conflict.used, conflict.ignored, conflict.ignored_is_newer) == (
        "detector.region",
        "page",
        "file",
        False,
    )


def test_a_mistake_in_the_file_is_not_hidden_by_a_later_layer() -> None:
    assert merge([Layer("file", {"detector": 3}), Layer("page", {"detector": {"region": 1}})]).tables == {"detector": 3}


def test_page_and_office_set_neither_where_counts_go_nor_what_runs() -> None:
    for key in ("mqtt.host", "page.address", "source.pipeline", "detector.model", "store.folder", "harvest.folder"):
        table, name = key.split(".")
        for layer in MAY_SET:
            assert refused_keys(Layer(layer, {table: {name: "x"}})) == [key]
            assert refused_keys(Layer(layer, {}, (key,))) == [key]
    assert refused_keys(Layer("page", {"lines": [], "privacy": {"masks": [], "pixelate": False}})) == [
        "privacy.pixelate"
    ]
    drawn: dict[str, Any] = {"rectangle": [], "sides_m": []}
    assert refused_keys(Layer("page", {"geometry": {**drawn, "points": [], "distortion": 0.1}})) == [
        "geometry.points",
        "geometry.distortion",
    ]
    assert refused_keys(Layer("file", {"mqtt": {"host": "x"}})) == []


def test_the_office_sets_all_of_a_detector_but_its_file_and_the_leave_to_count_unproven() -> None:
    """And the contract's document names each of these keys."""
    tables = MAY_SET["office"]
    assert set(DetectorConfig.model_fields) - set(tables["detector"]) == {"model", "allow_unproven"}
    assert refused_keys(Layer("office", {"detector": {"second_look": False}}, ("detector.motion",))) == []
    text = (ROOT / "docs/mqtt.md").read_text("utf-8").partition("The office sets `lat`")[2].partition("\n\n")[0]
    named = set(re.findall("`([a-z_]+)`", text))
    assert {*tables["detector"]} <= named
    assert {"allow_unproven"} == (set(DetectorConfig.model_fields) & named) - set(tables["detector"])


def test_the_fewest_steps_back_are_taken_those_of_later_layers_first() -> None:
    new, old = (Layer("file", {}, revision=name) for name in ("new", "old"))
    page = Layer("page", {})
    chosen = best_that_fits([[new, old], [page, None]], lambda layers: page not in layers or old in layers)
    assert chosen == (new,)
    assert best_that_fits([[new, old], [page, None]], lambda layers: new not in layers) == (old, page)
    assert best_that_fits([[new]], lambda _: False) is None


# --- files


@pytest.fixture
def installed(toml: Path) -> Path:
    toml.write_text(FILE)
    return toml


def page_layer(toml: Path, text: str) -> None:
    layer_path(toml, "page").write_text(text)


def test_what_the_page_saved_is_used_and_paths_start_at_the_same_folder(installed: Path) -> None:
    page_layer(installed, f"{HEAD}[privacy]\nmasks = [[[0.0, 0.0], [0.3, 0.4]]]\n{QUAY}")
    config = load(installed)
    assert [line.id for line in config.lines] == ["quay"]
    assert (config.device.site, config.detector.score, len(config.privacy.masks)) == ("harbour", 0.3, 1)
    assert config.store.folder == installed.parent / "state"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[lines", "edge-app.page.toml: is not valid TOML"),
        (QUAY, "edge-app.page.toml: is no layer of a configuration: [layer] with revision, author and at is missing"),
        (HEAD.replace("7", '"x"') + QUAY, "is no layer of a configuration"),
        (HEAD.replace("2026-11-30T12:00:00Z", "noon") + QUAY, "is no layer of a configuration"),
        (f'{HEAD}[mqtt]\nhost = "evil.example"\n', "may not set mqtt.host: that is for edge-app.toml"),
        (
            f"{HEAD}[detector]\nregion = [0.5, 0, 0.2, 1]\n",
            "with left < right and top < bottom (set by the layer page)",
        ),
        (f'{HEAD}[[lines]]\nid = "quay"\nstart = [2, 0]\nend = [0, 0]\n', "must be at most 1, not 2 (set by the layer"),
    ],
)
def test_a_broken_layer_is_one_sentence(installed: Path, text: str, problem: str) -> None:
    page_layer(installed, text)
    with pytest.raises(ConfigError) as caught:
        load(installed)
    (found,) = caught.value.problems
    assert problem in found


# --- the last good configuration


@pytest.fixture
def kept(installed: Path, tmp_path: Path) -> Path:
    """Return a state folder in which the present configuration is kept."""
    page_layer(installed, HEAD + QUAY)
    folder = tmp_path / "state"
    folder.mkdir()
    keep(choose(installed, folder), installed, folder)
    assert (folder / "last-good.json").stat().st_mode & 0o777 == 0o600
    return folder


def test_a_broken_layer_of_the_page_is_replaced_by_its_last_good_one(installed: Path, kept: Path) -> None:
    installed.write_text(FILE.replace("0.3", "0.35", 1))
    page_layer(installed, HEAD + QUAY.replace("0.9", "1.9"))
    chosen = choose(installed, kept)
    assert (chosen.config.lines[0].id, chosen.config.lines[0].end, chosen.config.detector.score) == (
        "quay",
        (0.5, 0.9),
        0.35,
    )
    assert "lines[quay].end: must be at most 1" in chosen.problems[0]
    assert "counting goes on with the last good one (file " in chosen.problems[-1]
    assert "page 7 of 2026-11-30 12:00 UTC" in chosen.problems[-1]


@pytest.mark.parametrize("text", ["[mqtt", "", FILE + "[mqtt]\nprot = 3\n", None])
def test_a_broken_or_missing_file_is_replaced_too(installed: Path, kept: Path, text: str | None) -> None:
    installed.unlink() if text is None else installed.write_text(text)
    chosen = choose(installed, kept)
    assert (chosen.config.device.site, chosen.config.lines[0].id) == ("harbour", "quay")
    assert chosen.problems


def test_a_layer_that_a_person_removed_stays_away(installed: Path, kept: Path) -> None:
    layer_path(installed, "page").unlink()
    chosen = choose(installed, kept)
    assert ([line.id for line in chosen.config.lines], chosen.problems) == (["main"], ())


def test_without_a_last_good_one_every_problem_is_told(installed: Path, kept: Path) -> None:
    installed.write_text(FILE + "[mqtt]\nprot = 3\n")
    for folder in (None, installed.parent / "nowhere"):
        with pytest.raises(ConfigError, match="prot"):
            choose(installed, folder)
    (kept / "last-good.json").write_text("{")
    with pytest.raises(ConfigError, match="prot"):
        choose(installed, kept)
    assert last_good(installed, kept) is None


def test_status_is_told_of_a_service_that_counts_with_the_last_good_one(
    installed: Path, kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed.write_text(FILE + "[mqtt]\nprot = 3\n")
    assert cli.main(["status", "--config", str(installed)]) == 2
    monkeypatch.setenv("STATE_DIRECTORY", str(kept))
    assert cli.main(["status", "--config", str(installed)]) == 3  # none runs
    told = capsys.readouterr()
    assert "configuration: mqtt.prot: unknown key" in told.err
    assert "NOT RUNNING" in told.out


def test_the_last_good_one_of_another_file_is_not_taken(installed: Path, kept: Path) -> None:
    other = installed.with_name("front.toml")
    other.write_text("[mqtt")
    with pytest.raises(ConfigError):
        choose(other, kept)
