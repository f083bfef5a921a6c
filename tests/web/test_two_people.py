"""Two people draw at once: what one has saved is never overwritten by another who has not seen it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from edge_app.assembly.counter import with_classes
from edge_app.assembly.device import counting_hash
from edge_app.commands._page_front import Saving
from edge_app.commands._page_reader import ReaderPage
from edge_app.commands.lines import _lint_lines, _Page
from edge_app.config.edit import ConfigText, Drawing
from edge_app.config.page_draft import PageDraft
from edge_app.detectors.manifest import default_model, load
from edge_app.errors import ConfigError, ResourceError
from edge_app.keeper.saving import Keeper
from edge_app.keeper.unit import Unit, UnitState

LINE = {"id": "quay", "start": [0.5, 0.6], "end": [0.5, 0.98]}
SAME = LINE | {"left_to_right": "north"}
MINE, THEIRS = ({"lines": [LINE | {"road": name}], "region": None, "masks": []} for name in ("mine", "theirs"))


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "edge-app.toml"
    path.write_text('[device]\nsite = "harbour"\n[source]\nkind = "street"\n')
    return path


def own_page(toml: Path) -> _Page:
    text = ConfigText(toml)
    return _Page(text, text.config(), cast("Any", None), live_view=None)


def test_whoever_has_not_seen_what_was_saved_does_not_replace_it(toml: Path) -> None:
    page = own_page(toml)
    first, second = page.state(None)["base"], page.state(None)["base"]
    page.save(MINE | {"base": first})
    with pytest.raises(ConfigError, match="somebody else has saved meanwhile"):
        page.save(THEIRS | {"base": second})
    with pytest.raises(ConfigError, match="somebody else has saved meanwhile"):
        page.save(THEIRS)
    assert "mine" in toml.read_text()
    page.save(THEIRS | {"base": page.state(None)["base"]})
    assert "theirs" in toml.read_text()


def test_a_page_that_is_loaded_again_has_what_a_person_has_typed_into_the_file(toml: Path) -> None:
    page = own_page(toml)
    base = page.state(None)["base"]
    toml.write_text(toml.read_text() + '[[lines]]\nid = "typed"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n')
    with pytest.raises(ConfigError, match="load the page again"):
        page.save(MINE | {"base": base})
    assert [line["id"] for line in page.state(None)["lines"]] == ["typed"]
    page.save(MINE | {"base": page.state(None)["base"]})


@pytest.mark.parametrize("lanes", [[0.25, 0.6], [], None])
def test_lanes_and_the_side_that_enters_are_saved_with_the_line(toml: Path, lanes: list[float] | None) -> None:
    page = own_page(toml)
    for one in ([0.5], lanes):
        line = LINE | {"lanes": one, "enters": "right_to_left"}
        page.save({"lines": [line], "region": None, "masks": [], "base": page.state(None)["base"]})
    (saved,) = page.state(None)["lines"]
    assert (saved["lanes"], saved["enters"]) == (lanes, "right_to_left")


class Stopped(Unit):
    """A service that does not run."""

    def state(self) -> UnitState:
        return UnitState("inactive", 0)


@pytest.fixture
def keeper(toml: Path) -> Keeper:
    (toml.parent / "state").mkdir()
    return Keeper(toml, toml.parent / "state", Stopped("edge-app"))


@pytest.mark.usefixtures("keeper")
def test_the_reader_hands_on_what_a_person_has_drawn_on(toml: Path) -> None:
    """The keeper compares it with what is saved; the reader itself has always read the newest."""
    reader = ReaderPage(PageDraft(toml, toml.parent / "state"))
    base = reader.state(None)["base"]
    toml.with_name("edge-app.page.toml").write_text(
        '[layer]\nrevision = 1\nauthor = "page"\nat = "2026-11-30T12:00:00Z"\n'
    )
    assert reader.state(None)["base"] != base
    assert reader.save(MINE | {"base": base})["base"] == base


def test_a_revision_that_comes_again_does_not_hide_what_another_has_drawn(keeper: Keeper) -> None:
    """Numbers come again after the layer is deleted, as the guide recommends, and after a save that is taken back."""

    def save(drawing: Any, base: str) -> dict[str, Any]:
        return next(keeper.answers({"do": "save", "base": base, "drawing": drawing}))

    mine = save(MINE, "0")
    keeper.layer.unlink()
    theirs = save(THEIRS, "0")
    assert mine["revision"] == theirs["revision"] == 1
    assert save(MINE, mine["version"])["problems"] == ["somebody else has saved meanwhile: load the page again"]
    assert "theirs" in keeper.layer.read_text()
    assert save(MINE, theirs["version"])["ok"]


@pytest.mark.parametrize("damaged", ["[layer]\nrevision = 7\nauthor = ", "\x00" * 20])
def test_a_damaged_layer_is_replaced_by_the_next_save(keeper: Keeper, toml: Path, damaged: str) -> None:
    (toml.parent / "state").mkdir(exist_ok=True)
    keeper.layer.write_text(damaged)
    reader = ReaderPage(PageDraft(toml, toml.parent / "state"))
    shown = reader.state(None)
    assert any("edge-app.page.toml" in problem for problem in shown["problems"])
    assert reader.routes().get["/status"]({})["configuration"] == shown["problems"]
    ready = reader.save(MINE | {"base": shown["base"]})
    (saved, stopped) = keeper.answers({"do": "save", "base": ready["base"], "drawing": ready["drawing"]})
    assert (saved["step"], stopped["step"]) == ("saved", "stopped")
    assert reader.routes().get["/status"]({})["configuration"] == []  # without a reload of the page
    assert reader.state(None)["problems"] == []


def test_a_change_waits_for_no_other_one(keeper: Keeper) -> None:
    with keeper._alone():
        (answer,) = keeper.answers({"do": "save", "base": "0", "drawing": MINE})
    assert (answer["step"], answer["problems"]) == ("refused", ["another change is under way: try again in a minute"])


@pytest.mark.usefixtures("keeper")
@pytest.mark.parametrize("own", [True, False])
def test_charts_have_the_names_that_are_in_the_file_now(toml: Path, own: bool) -> None:
    page = own_page(toml) if own else ReaderPage(PageDraft(toml, toml.parent / "state"))
    history = page.routes().get["/history"]
    line = '[[lines]]\nid = "quay"\nroad = "{}"\nstart = [0.5, 0.6]\nend = [0.5, 0.98]\n'
    before = toml.read_text() + f'[store]\nfolder = "{toml.parent / "state"}"\n'
    for road in ("Kai", "Hafenkai"):
        toml.write_text(before + line.format(road))
        assert [(one["name"], one["configured"]) for one in history({})["lines"]] == [(road, True)]


def test_directions_of_one_name_are_told(toml: Path) -> None:
    findings = {
        name: [one["key"] for one in _lint_lines(config)]
        for name in ("north", "south")
        if (config := ConfigText(toml).with_drawing(Drawing([SAME | {"right_to_left": name}], None, []))[1])
    }
    assert findings == {"north": ["finding.same_names"], "south": []}


@pytest.mark.parametrize(("answers", "step"), [([], "unknown"), ([{"step": "counting"}], "counting")])
def test_a_keeper_that_is_killed_tells_nothing_about_the_service(answers: list[dict[str, Any]], step: str) -> None:
    saving = Saving(Path("none"))
    saving._end(iter(answers))
    assert saving.outcome({})["step"] == step


def test_a_keeper_whose_connection_breaks_tells_nothing_either() -> None:
    def broken() -> Iterator[dict[str, Any]]:
        raise ResourceError("reset")
        yield {}

    saving = Saving(Path("none"))
    saving._end(broken())
    assert saving.outcome({})["step"] == "unknown"


@pytest.mark.parametrize("own", [True, False])
def test_a_service_with_an_older_configuration_is_told(toml: Path, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text(toml.read_text() + '[[lines]]\nid = "quay"\nstart = [0.5, 0.6]\nend = [0.5, 0.98]\n')
    config = ConfigText(toml).config()
    manifest, _ = load(default_model())
    used = counting_hash(with_classes(config, manifest), manifest.sha256)
    answer = json.dumps({"config": used[:12]}).encode()
    monkeypatch.setattr("edge_app.preview.snapshot_socket.request_status", lambda _: answer)
    page = own_page(toml) if own else ReaderPage(PageDraft(toml, toml.parent / "state"))
    status = page.routes().get["/status"]
    assert status({})["newer"] == ""
    toml.write_text(toml.read_text().replace("0.98", "0.9"))
    assert len(newer := status({})["newer"]) == 12
    assert newer != used[:12]
