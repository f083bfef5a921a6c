"""Configuration keeper: only the page is answered, only known shapes are written, a bad one is taken back."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.config.files import LayerFile, parse_file
from edge_app.config.load import load
from edge_app.errors import ConfigError, ResourceError
from edge_app.keeper.client import ask
from edge_app.keeper.layer_text import page_layer
from edge_app.keeper.saving import Keeper
from edge_app.keeper.unit import Unit, UnitState
from tests.support.disks import fill_disk, small_disk
from tests.support.keeper_socket import keeper, systemctl

__all__ = ["small_disk"]  # a fixture

LINE = {"id": "quay", "start": [0.5, 0.1], "end": [0.5, 0.9], "left_to_right": "zur Brücke", "road": None}
DRAWING: dict[str, Any] = {"lines": [LINE], "region": None, "masks": [[[0.0, 0.0], [0.3, 0.4]]]}
TOML = """[device]
site = "harbour"
[source]
kind = "street"
[detector]
region = [0.0, 0.1, 1.0, 1.0]
[mqtt]
port = 1
username = "pole"
password_file = "secret"
"""

# --- the text of a layer

texts = st.text(max_size=12).filter(str.isprintable)
numbers = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-10, 10)
drawings = st.fixed_dictionaries(
    {
        "lines": st.lists(
            st.dictionaries(
                st.sampled_from(["id", "road", "start", "lanes", "queue"]),
                texts | numbers | st.lists(numbers, max_size=4) | st.lists(st.tuples(numbers, numbers).map(list)),
            ),
            max_size=3,
        ),
        "region": st.none() | st.lists(numbers, min_size=4, max_size=4),
        "masks": st.lists(st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=3), max_size=2),
    },
    optional={
        "geometry": st.none()
        | st.fixed_dictionaries(
            {
                "rectangle": st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=4),
                "sides_m": st.lists(numbers, min_size=2, max_size=2),
            }
        )
    },
)


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value


@settings(deadline=None, max_examples=40)
@given(drawings)
def test_a_layer_says_what_was_drawn_and_nothing_else(drawing: dict[str, Any]) -> None:
    text = page_layer(drawing, revision=3, author="page, 192.168.4.20", at=1.8e9)
    layer = parse_file(LayerFile("page", Path("edge-app.page.toml"), text.encode()))
    assert (layer.revision, layer.author, layer.at) == ("3", "page, 192.168.4.20", 1.8e9)
    assert layer.tables["lines"] == rounded(drawing["lines"])
    assert layer.tables["privacy"] == {"masks": rounded(drawing["masks"])}
    assert layer.tables.get("detector", {}).get("region") == rounded(drawing["region"])
    assert layer.tables.get("geometry") == rounded(drawing.get("geometry"))
    unset = ("geometry.rectangle", "geometry.sides_m") if drawing.get("geometry", 1) is None else ()
    assert layer.unset == ((("detector.region",) if drawing["region"] is None else ()) + unset)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["lines", "region", "masks", "geometry", "points", "id", 'a"\n[mqtt]\nhost']), inner
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=40)
@given(JSON | st.fixed_dictionaries({"lines": st.lists(JSON), "region": JSON, "masks": JSON, "geometry": JSON}))
def test_anything_else_is_refused_in_a_sentence(drawing: Any) -> None:
    problem, tables = "", set[str]()
    try:
        text = page_layer(drawing, revision=1, author="page", at=0.0)
        tables = set(parse_file(LayerFile("page", Path("x.page.toml"), text.encode())).tables)
    except ConfigError as error:
        problem = str(error)
    assert tables <= {"lines", "privacy", "detector", "geometry"}
    assert tables or "what the page has sent is no drawing" in problem
    assert "\n" not in problem


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan"), 1e7])
def test_a_number_beyond_any_picture_is_refused_in_a_sentence(number: float) -> None:
    with pytest.raises(ConfigError, match="neither a text nor a number of at most"):
        page_layer(DRAWING | {"lines": [LINE | {"lanes": [number]}]}, revision=1, author="page", at=0.0)


# --- systemd


@pytest.mark.parametrize(
    ("states", "up"),
    [
        ([("active", 1), ("deactivating", 1), ("activating", 2), ("active", 2)], True),
        ([("active", 1)], False),  # it never ends
        ([("activating", 2), ("failed", 0)], False),
        ([("active", 2), ("active", 2), ("activating", 3), ("active", 3)], True),
        ([("active", number) for number in range(2, 30)], False),  # it crashes again and again
    ],
)
def test_a_service_has_come_up_when_it_goes_on_as_one_process(
    states: list[tuple[str, int]], up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told = [0.0], iter(states)
    last = [states[0]]

    def state(_: Unit) -> UnitState:
        last[0] = next(told, last[0])
        return UnitState(*last[0])

    monkeypatch.setattr(Unit, "state", state)
    unit = Unit("x", within_s=12.0, sleep=lambda s: now.__setitem__(0, now[0] + s), monotonic=lambda: now[0])
    assert unit.comes_up(before=1) is up


def test_a_missing_systemctl_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ResourceError, match="systemctl show edge-app cannot be run"):
        Unit("edge-app").state()


# --- the program


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "edge-app.toml").write_text(TOML)
    (tmp_path / "secret").write_text("123")
    return tmp_path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_only_the_page_and_root_are_answered(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder.chmod(0o755)
    with keeper(folder, page_user="games") as place:
        place.chmod(0o777)
        child = os.fork()
        if not child:  # SO_PEERCRED tells who has connected
            os.chdir(folder)  # the folders above are root's
            os.setuid(65_534)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(place.name)
                os._exit(len(sock.recv(100)))
        assert os.waitpid(child, 0)[1] == 0
    assert "user 65534 has asked and was refused" in capfd.readouterr().err


class Stopped(Unit):
    """A service that does not run."""

    def state(self) -> UnitState:
        return UnitState("inactive", 0)


def test_a_full_disk_is_told_and_nothing_is_lost(small_disk: Path, folder: Path) -> None:
    config = small_disk / "edge-app.toml"
    config.write_text('[source]\nkind = "street"\n')
    saving = Keeper(config, folder / "state", Stopped("edge-app"))
    (first, _) = saving.answers({"do": "save", "base": "0", "drawing": DRAWING})
    second = {"do": "save", "base": first["version"], "drawing": {**DRAWING, "masks": []}}
    before = saving.layer.read_text()
    filler = fill_disk(small_disk)
    (answer,) = saving.answers(second)
    assert (answer["step"], answer["problems"]) == (
        "refused",
        ["the configuration cannot be saved (No space left on device)"],
    )
    assert saving.layer.read_text() == before
    filler.unlink()
    (saved, _) = saving.answers(second)
    assert saved["revision"] == 2


@pytest.mark.servers
def test_what_is_shown_holds_no_secret_and_a_bad_drawing_is_refused(folder: Path) -> None:
    with keeper(folder) as place:
        (shown,) = ask(place, {"do": "show"})
        assert shown["tables"]["device"] == {"site": "harbour"}
        assert "mqtt" not in shown["tables"]
        assert "pole" not in json.dumps(shown["tables"])
        wrong = {**DRAWING, "lines": [{**LINE, "start": [0.5, 1.4]}]}
        with pytest.raises(ConfigError) as caught:
            list(ask(place, {"do": "check", "drawing": wrong}))
        assert caught.value.problems == ("lines[quay].start: must be at most 1, not 1.4 (set by the layer page)",)
        for request in ({"do": "x"}, {"do": "save", "base": 3, "drawing": DRAWING}, {"do": "check", "author": "me"}):
            with pytest.raises(ConfigError):
                list(ask(place, request))
    assert not (folder / "edge-app.page.toml").exists()


@pytest.fixture
def running(folder: Path) -> Iterator[Path]:
    yield folder
    if (folder / "service.pid").exists():
        os.kill(int((folder / "service.pid").read_text()), signal.SIGKILL)


@pytest.mark.servers
def test_what_is_saved_is_counted_with_and_what_breaks_the_service_is_taken_back(running: Path) -> None:
    programs = systemctl(running)
    with keeper(running, path=programs) as place:
        saved, stopped = ask(place, {"do": "save", "base": "0", "drawing": DRAWING})
        assert (saved["step"], saved["restarts"], stopped["step"]) == ("saved", False, "stopped")
        (_, counting) = ask(place, {"do": "restart"})
        assert counting["step"] == "counting"
        assert load(running / "edge-app.toml").lines[0].left_to_right == "zur Brücke"
        second = {**DRAWING, "region": [0.0, 0.2, 1.0, 1.0]}
        author = "page, 192.168.4.20"
        again = {"do": "save", "base": saved["version"], "drawing": second, "author": author}
        saved, counting = ask(place, again)
        assert (saved["step"], counting["step"]) == ("saved", "counting")
        text = (running / "edge-app.page.toml").read_text()
        assert "revision = 2" in text
        # The service cannot read its own model: no check of the configuration finds that.
        (running / "edge-app.toml").write_text(TOML.replace("[mqtt]", 'model = "none.tflite"\n[mqtt]'))
        answers = list(ask(place, {"do": "save", "base": saved["version"], "drawing": DRAWING}))
        assert [answer["step"] for answer in answers] == ["saved", "undone"]
        assert answers[1]["problems"] == [
            "the service did not start with it; its journal says why; what was saved before is used again"
        ]
        assert (running / "edge-app.page.toml").read_text() == text
