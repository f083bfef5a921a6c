"""The office's layer: checked each time it is read, used like any other; no message, whatever it holds, is a fault."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app import cli
from edge_app.commands._office import OfficeConfigurations, note_start, note_stop
from edge_app.config.edit import ConfigText
from edge_app.config.files import (
    LayerFile,
    office_file,
    office_problem,
    office_taken_back,
    parse_file,
    read_files,
)
from edge_app.config.last_good import choose, keep
from edge_app.config.layer_report import report, table
from edge_app.config.live import may_go_on
from edge_app.config.load import load
from edge_app.config.model import Config
from edge_app.config.office_document import as_toml, read_document
from edge_app.config.office_layer import OfficeAccess, access_in, access_of, read_message
from edge_app.errors import ConfigError
from edge_app.mqtt.examples import EXAMPLES
from edge_app.rollout.trial import Facets, accepted, passed, rolled_back
from edge_app.system.key_names import key_name
from edge_app.system.office_state import NAME, OfficeState, read_state, write_state
from tests.support.config_cases import LINE
from tests.support.office import SigningOffice

SET = {"counting": {"interval_s": 300}, "detector": {"score": 0.4}}


class Installed:
    """Configuration of a device with an office, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.office = SigningOffice(folder)
        self.path = folder / "edge-app.toml"
        self.state = folder / "state"
        self.state.mkdir()
        self.write(self.office.key)

    def write(self, *keys: str, more: str = "") -> None:
        self.path.write_text(
            '[device]\nsite = "delft"\ndevice = "cam-1"\n[source]\nkind = "camera"\n'
            f"[detector]\nscore = 0.3\n[office]\nkeys = {json.dumps(list(keys))}\n{LINE}{more}"
        )

    def use(self, message: str, revision: int = 1) -> None:
        write_state(self.state, passed(accepted(OfficeState(), message, revision, Facets(True, True), 0.0), 0.0))

    @property
    def configurations(self) -> OfficeConfigurations:
        return OfficeConfigurations(self.path, choose(self.path, None))


@pytest.fixture
def device(tmp_path: Path) -> Installed:
    return Installed(tmp_path)


def test_what_the_office_has_sent_is_the_last_layer(device: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    device.use(device.office.configuration(12, SET))
    config = load(device.path)
    assert (config.counting.interval_s, config.detector.score) == (300, 0.4)
    assert cli.main(["config", "--layers", str(device.path)]) == 0
    shown = capsys.readouterr().out
    assert "office: revision 12 by anna, 2026-12-01 10:00 UTC" in shown
    assert ("counting.interval_s", "office") in [tuple(line.split()[:2]) for line in shown.splitlines() if line]
    assert office_problem(device.path) == ""
    # The file is newer than the message.
    assert [(told[0], told[1]) for told in report(device.path)] == [("ok", "layer office"), ("warn", "detector.score")]


def test_a_key_that_is_unset_gets_its_default(device: Installed) -> None:
    device.use(device.office.configuration(12, {}, ["detector.score"]))
    assert load(device.path).detector.score == Config.model_validate({"source": {"kind": "street"}}).detector.score


def test_the_second_look_is_set_and_left_again_by_counting_anew(device: Installed) -> None:
    judged = device.configurations.judge(device.office.configuration(1, {"detector": {"second_look": False}}))
    assert isinstance(judged.config, Config)
    assert (judged.config.detector.second_look, judged.goes_on) == (False, False)
    device.use(device.office.configuration(1, {"detector": {"second_look": False}}))
    left = device.configurations.judge(device.office.configuration(2, {}))
    assert isinstance(left.config, Config)
    assert (left.config.detector.second_look, left.goes_on) == (True, False)


def test_a_layer_is_checked_with_the_keys_and_the_topic_of_now(device: Installed, tmp_path: Path) -> None:
    device.use(device.office.configuration(1, SET))
    other = SigningOffice(tmp_path, "other.pem")
    device.write(other.key)
    assert load(device.path).counting.interval_s == 60
    assert "which this device does not know" in office_problem(device.path)
    assert "layer office" in [what for level, what, _ in report(device.path) if level == "warn"]
    device.write(other.key, device.office.key)
    assert load(device.path).counting.interval_s == 300
    device.write()
    assert load(device.path).counting.interval_s == 60
    assert office_problem(device.path) == ""
    device.write(device.office.key, more='[mqtt]\nprefix = "city"\n')
    assert "the signature is not right for this device" in office_problem(device.path)


@pytest.mark.parametrize("content", ["", "{", "null", '{"schema": "edge-app/office/2"}'])
def test_a_damaged_file_is_no_layer(device: Installed, content: str) -> None:
    (device.state / NAME).write_text(content)
    assert load(device.path).counting.interval_s == 60
    assert office_problem(device.path).endswith("is damaged")


def test_a_state_folder_that_may_not_be_read_is_said(device: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: Path) -> OfficeState:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("edge_app.config.office_layer.read_state", forbidden)
    assert load(device.path).counting.interval_s == 60
    assert "may not be read by this user" in office_problem(device.path)


def test_what_was_taken_back_is_said_by_check(device: Installed) -> None:
    write_state(device.state, rolled_back(OfficeState(3), ["frames no longer come"], 0.0))
    sentence = "configuration 3 of the office was taken back: frames no longer come"
    assert office_taken_back(device.path) == sentence
    assert ("warn", "layer office", f"{sentence}.") in report(device.path)


def test_drawing_into_the_file_is_refused_where_the_office_sets_it(device: Installed) -> None:
    device.use(device.office.configuration(1, {"lines": [{"id": "b", "start": [0.1, 0.5], "end": [0.9, 0.5]}]}))
    with pytest.raises(ConfigError, match=r"lines of the layer office goes before it: draw in the office"):
        ConfigText(device.path)


def test_the_last_good_configuration_has_the_layer_of_the_office(device: Installed) -> None:
    device.use(device.office.configuration(1, SET))
    keep(choose(device.path, None), device.path, device.state)
    text = device.path.read_text()
    device.path.write_text(text.replace("score = 0.3", "score = 3.0\nfoo = 1"))
    chosen = choose(device.path, device.state)
    assert chosen.config.counting.interval_s == 300
    assert [layer.name for layer in chosen.layers] == ["file", "office"]


def test_a_broken_page_costs_the_page_and_not_the_office(device: Installed) -> None:
    device.use(device.office.configuration(1, SET))
    keep(choose(device.path, None), device.path, device.state)
    head = '[layer]\nrevision = 7\nauthor = "page"\nat = "2026-11-30T12:00:00Z"\n'
    device.path.with_name("edge-app.page.toml").write_text(f"{head}[detector]\nregion = [0.5, 0.5, 0.1, 0.1]\n")
    chosen = choose(device.path, device.state)
    assert [layer.name for layer in chosen.layers] == ["file", "office"]


def test_the_library_of_signatures_is_loaded_only_where_there_is_one_to_check(device: Installed) -> None:
    code = (
        "import sys; from edge_app.config.load import load; load(sys.argv[1]);"
        "import edge_app.commands._office; print('cryptography' in sys.modules)"
    )

    def loaded() -> str:
        return subprocess.run([sys.executable, "-c", code, str(device.path)], capture_output=True, text=True).stdout

    assert loaded() == "False\n"
    device.use(device.office.configuration(1, SET))
    assert loaded() == "True\n"


GOOD: dict[str, Any] = {
    "schema": "edge-app/config-desired/1",
    "revision": 1,
    "at": "2026-12-01T10:00:00Z",
    "author": "anna",
    "set": {"counting": {"interval_s": 300}},
    "unset": ["detector.region"],
}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"schema": "edge-app/config-desired/2"}, "document: is no object of the schema"),
        ({"revision": 0}, "revision: must be"),
        ({"revision": True}, "revision: must be"),
        ({"revision": 1.0}, "revision: must be"),
        ({"revision": 2**53}, "revision: must be"),
        ({"author": ""}, "author: must be"),
        ({"author": "a\nb"}, "author: must be"),
        ({"author": "a" * 201}, "author: must be"),
        ({"at": "yesterday"}, "at: must be"),
        ({"at": "2026-13-01T10:00:00Z"}, "at: must be"),
        ({"at": "2026-12-01T10:00:00"}, "at: must be"),
        ({"unset": "detector.region"}, "unset: must be"),
        ({"unset": ["a.b.c"]}, "unset: must be"),
        ({"unset": None}, "unset: must be"),
        ({"unset": ["mqtt.host"]}, "mqtt.host: the office may not set it"),
        ({"set": None}, "set: must be"),
        ({"set": {"counting": None}}, "set: holds what a configuration file cannot"),
        ({"set": {"counting": {"x": "\ud800"}}}, "set: holds what a configuration file cannot"),
        ({"set": {"counting": {"x": [[[[[[[[1]]]]]]]]}}}, "set: holds what a configuration file cannot"),
        ({"set": {"mqtt": {"host": "elsewhere"}}}, "mqtt.host: the office may not set it"),
        ({"set": {"layer": {"revision": 9}}}, "layer.revision: the office may not set it"),
        ({"set": {"device": {"site": "x"}, "privacy": {"pixelate": False}}}, "device.site: the office may not set it"),
        ({"at": "9999-12-31T23:59:59-23:59"}, "at: must be a time in RFC 3339 form"),  # the year 10000 of UTC
        ({"at": "1970-01-01T00:00:00+00:01"}, "at: must be a time in RFC 3339 form"),
        ({"set": {"store": {"folder": "/tmp"}}}, "store.folder: the office may not set it"),
        ({"set": {"office": {"keys": []}}}, "office.keys: the office may not set it"),
    ],
)
def test_a_document_of_another_form_is_refused(changed: dict[str, Any], problem: str) -> None:
    read_document(json.dumps(GOOD))
    with pytest.raises(ConfigError) as caught:
        read_document(json.dumps(GOOD | changed))
    assert any(one.startswith(problem) for one in caught.value.problems)


@pytest.mark.parametrize("text", ["", "[]", "{", "NaN", "[" * 100_000, '{"schema": NaN}', "9" * 10_000])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_document(text)


@pytest.mark.parametrize(
    "at", ["2026-12-01t10:00:00.1z", "2026-12-01T12:00:00.123456789+02:00", "9999-12-31T23:59:59Z"]
)
def test_every_time_that_is_accepted_can_be_read_again_and_shown(at: str) -> None:
    document = read_document(json.dumps(GOOD | {"at": at}))
    layer = parse_file(LayerFile("office", Path("office.json"), as_toml(document).encode()))
    assert layer.at == document.layer.at
    assert table([layer])


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-23:59", "2026-12-01", "0001-01-01T00:00:00Z"])
def test_a_layer_of_the_page_with_a_time_that_is_none_is_told(at: str) -> None:
    text = f'[layer]\nrevision = 1\nauthor = "anna"\nat = "{at}"\n'
    with pytest.raises(ConfigError, match="with revision, author and at is missing"):
        parse_file(LayerFile("page", Path("edge-app.page.toml"), text.encode()))


def test_a_number_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match="set: holds"):
        read_document(json.dumps(GOOD).replace("300", "1e999"))


texts = st.text(max_size=8)
toml = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(texts, children, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(st.sampled_from(["counting", "tracker", "view", "log", "lines"]), toml))
def test_every_document_becomes_the_same_layer_in_toml(tables: dict[str, Any]) -> None:
    document = read_document(json.dumps(GOOD | {"set": tables, "unset": []}))
    layer = parse_file(LayerFile("office", Path("office.json"), as_toml(document).encode()))
    assert layer == document.layer


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40) | anything.map(json.dumps) | st.dictionaries(st.sampled_from(list(GOOD)), anything))
def test_whatever_comes_is_a_configuration_or_refused_in_sentences(
    shared: Installed, message: str | dict[str, Any]
) -> None:
    signed = isinstance(message, dict)
    if isinstance(message, dict):  # garbage that the office has signed
        message = shared.office.sign(GOOD | message, access_of(load(shared.path)).topic)
    configurations = shared.configurations
    problems: Sequence[str] = ()
    try:
        configurations.read(message)
        assert signed
        assert isinstance(configurations.judge(message).config, Config)
    except ConfigError as error:
        problems = error.problems
    assert all(problems)


@pytest.mark.parametrize("changed", ["key", "signature", "document"])
def test_a_changed_message_is_refused(device: Installed, changed: str) -> None:
    access = access_of(load(device.path))
    good = json.loads(device.office.configuration(1, SET))
    assert read_message(access, json.dumps(good)).revision == 1
    swapped = good[changed].translate(str.maketrans("0123456789", "1234567890"))
    assert swapped != good[changed]
    with pytest.raises(ConfigError):
        read_message(access, json.dumps(good | {changed: swapped}))


def test_the_example_of_the_contract_is_right_for_the_first_test_key_of_rfc_8032() -> None:
    public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    access = OfficeAccess(Path(), "traffic/v1/harbour/pole-7/config/desired", {key_name(public): public})
    document = read_message(access, json.dumps(EXAMPLES["config_desired"]))
    assert (document.revision, document.layer.author, document.layer.unset) == (12, "anna", ("detector.region",))


def test_a_message_for_another_device_is_refused(device: Installed) -> None:
    access = access_of(load(device.path))
    assert access == access_in(
        {
            "device": {"site": "delft", "device": "cam-1"},
            "office": {"keys": [device.office.key]},
            "store": {"folder": str(device.state)},
        },
        device.path.parent,
    )
    for prefix in ("traffic/v1/delft/cam-2", "city/traffic/v1/delft/cam-1"):
        with pytest.raises(ConfigError, match="the signature is not right for this device"):
            read_message(access, device.office.configuration(1, SET, prefix=prefix))


def test_the_whole_configuration_is_judged(device: Installed) -> None:
    configurations = device.configurations
    assert not configurations.judge(device.office.configuration(1, SET)).goes_on
    assert configurations.judge(device.office.configuration(1, {"device": {"lat": 52.0, "lon": 4.0}})).goes_on
    assert configurations.judge("").goes_on
    fetched = {"detector": {"fetched": "ab" * 32}}
    told = [configurations.read(device.office.configuration(2, tables)).detector for tables in (SET, fetched)]
    assert told == ["", "ab" * 32]
    for tables, problem in (
        ({"counting": {"interval_s": 7}}, "counting.interval_s: must be at least 10"),
        ({"counting": {"intervals": 60}}, "counting.intervals: unknown key"),
        ({"counting": 5}, "counting"),
        ({"lines": []}, "lines: at least one counting line is needed"),
        ({"detector": {"score": 0.1, "weak_score": 0.2}}, "detector.weak_score: must not be above detector.score"),
    ):
        with pytest.raises(ConfigError) as caught:
            configurations.judge(device.office.configuration(1, tables))
        assert any(one.startswith(problem) for one in caught.value.problems), caught.value.problems


def test_a_line_beyond_the_plane_of_the_road_is_refused(device: Installed) -> None:
    device.write(
        device.office.key,
        more="[geometry]\nrectangle = [[0.4, 0.6], [0.6, 0.6], [0.9, 0.9], [0.1, 0.9]]\nsides_m = [5.0, 20.0]\n",
    )
    with pytest.raises(ConfigError, match="geometry"):
        device.configurations.judge(
            device.office.configuration(1, {"lines": [{"id": "a", "start": [0.1, 0.01], "end": [0.9, 0.01]}]})
        )


def test_only_texts_places_and_the_log_level_are_taken_over_while_counting_goes_on(device: Installed) -> None:
    before = load(device.path)
    line = before.lines[0]

    def with_line(**changed: Any) -> Config:
        return before.model_copy(update={"lines": (line.model_copy(update=changed),)})

    assert may_go_on(before, with_line(road="Quay", left_to_right="x", right_to_left_bearing_deg=3))
    assert may_go_on(before, before.model_copy(update={"log": before.log.model_copy(update={"level": "debug"})}))
    for changed in ({"end": (0.5, 0.5)}, {"id": "other"}, {"lanes": (0.5,)}, {"enters": "left_to_right"}):
        assert not may_go_on(before, with_line(**changed))
    zone = before.device.model_copy(update={"time_zone": "Europe/Amsterdam"})
    assert not may_go_on(before, before.model_copy(update={"device": zone}))
    assert not may_go_on(before, before.model_copy(update={"lines": (line, line.model_copy(update={"id": "b"}))}))
    named = before.counting.model_copy(update={"classes": before.counting.classes})
    assert not may_go_on(before, before.model_copy(update={"counting": named}))


def test_starts_in_a_trial_are_counted_and_given_back(device: Installed) -> None:
    write_state(device.state, accepted(OfficeState(), "x", 4, Facets(True, True), 0.0))
    for _ in range(5):
        assert note_start(device.path) == ""
        note_stop(device.path)
    for _ in range(3):
        assert note_start(device.path) == ""
    assert "configuration 4 of the office was taken back: the program has ended" in note_start(device.path)
    assert read_state(device.state).outcome == "rolled_back"
    device.write()  # without keys the office has no say
    assert note_start(device.path) == ""


def test_the_layer_has_the_authors_name_and_time(device: Installed) -> None:
    device.use(device.office.configuration(2, SET, author="Bea of the office", at="2026-12-01T12:30:00.25+01:00"))
    file = read_files(device.path)[-1]
    assert (file.name, file.author, file.path) == ("office", "Bea of the office", device.state / NAME)
    assert file.at == pytest.approx(1_796_124_600.25)
    access = access_of(load(device.path))
    assert office_file(read_message(access, read_state(device.state).used), device.state) == file
