"""What the office's thread does with messages: once each, on disk before they are used, and never by half."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app import extras
from edge_app.config.model import Config, StoreConfig
from edge_app.errors import ConfigError, DetectorError
from edge_app.rollout import office as module
from edge_app.rollout.bundles import FOLDER, Bundles
from edge_app.rollout.office import InUse, Judged, Office, Proposed
from edge_app.rollout.switching import CountAnewError
from edge_app.rollout.trial import TRIAL_S, Facets, accepted, passed
from edge_app.system.office_state import NAME, OfficeState, read_state, write_state


class Configurations:
    """Messages such as "7 live" or "7": a revision, whether counting goes on with it, a detector; all else is none."""

    def __init__(self, in_use: str = "") -> None:
        self.read_messages = self.kept = 0
        self.present = in_use
        self.invalid: set[str] = set()

    def read(self, message: str) -> Proposed:
        self.read_messages += 1
        if not message or not message.split()[0].isdecimal():
            raise ConfigError("the message is none")
        detector = next((word for word in message.split() if len(word) == 64), "")
        return Proposed(int(message.split()[0]), "anna", "3f9a41c2", detector)

    def judge(self, message: str) -> Judged:
        if message in self.invalid:
            raise ConfigError("tracker.lost_s: must be more than 0", "view.dark: is no number")
        return Judged(message, message == "" or "live" in message)

    def use(self, judged: Judged) -> None:
        assert isinstance(judged.config, str)
        self.present = judged.config

    def keep(self) -> None:
        self.kept += 1

    @property
    def in_use(self) -> InUse:
        return InUse(int(self.present.split()[0]) if self.present else 0, (), ())

    @property
    def problem(self) -> str:
        return "the key is gone"


class Device:
    """Office in a state folder, with a clock and facets of the test."""

    def __init__(self, folder: Path, in_use: str = "") -> None:
        self.folder = folder
        self.now, self.facets = 1_000.0, Facets(True, True)
        self.configurations = Configurations(in_use)
        self.renewed: list[object] = []
        self.config = "c222920fa583" + 52 * "0"
        self.refusals: dict[object, Exception] = {}
        self.again = self.settled = 0
        self.office = Office(
            folder,
            self.configurations,
            running=self,
            facets=lambda: self.facets,
            again=self._begin_again,
            utc=lambda: self.now,
            clock=lambda: self.now,
        )
        self.office.step()

    def renew(self, config: object) -> None:
        if config in self.refusals:
            raise self.refusals[config]
        self.renewed.append(config)

    def settle(self) -> None:
        self.settled += 1

    def step(self) -> None: ...

    def _begin_again(self) -> None:
        self.again += 1

    def take(self, message: str) -> None:
        self.office.offer(message.encode())
        self.office.step()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 1.0
            self.office.step()

    @property
    def told(self) -> tuple[str, int, int, list[str]]:
        report = self.office.report
        assert report is not None
        return report.state, report.revision, report.highest, list(report.problems)

    @property
    def state(self) -> OfficeState:
        return read_state(self.folder)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


def test_a_text_is_used_while_counting_goes_on_and_kept_after_two_minutes(
    device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    assert device.told == ("none", 0, 0, [])
    with caplog.at_level("INFO"):
        device.take("3 live")
    assert [(one.message, one.author, one.key) for one in caplog.records] == [  # type: ignore[attr-defined]
        ("configuration 3 of the office is used: counting goes on", "anna", "3f9a41c2")
    ]
    assert (device.renewed, device.again) == (["3 live"], 0)
    assert device.told == ("trying", 3, 3, [])
    device.wait(TRIAL_S - 1)
    assert "trying" in device.told
    device.wait(1)
    assert device.told == ("applied", 3, 3, [])
    assert (device.state.used, device.state.outcome, device.configurations.kept) == ("3 live", "applied", 1)


def test_another_configuration_is_on_disk_before_the_program_begins_anew(device: Device) -> None:
    device.take("3")
    assert (device.again, device.renewed) == (1, [])
    assert (device.state.used, device.state.outcome) == ("3", "trying")
    device.take("4 live")  # the program ends: the message comes again at the next connect
    assert (device.state.highest, device.again) == (3, 1)
    after = Device(device.folder, "3")
    assert after.told == ("trying", 3, 3, [])
    after.wait(TRIAL_S)
    assert after.told == ("applied", 3, 3, [])


def test_what_fails_is_taken_back_once_and_its_revision_stays_used_up(device: Device) -> None:
    device.take("1 live")
    device.wait(TRIAL_S)
    device.take("2 live")
    device.facets = Facets(frames=False, broker=True)
    device.wait(TRIAL_S)
    sentence = "frames no longer come, and they came before"
    assert device.told == ("rolled_back", 1, 2, [sentence])
    assert (device.renewed, device.state.used) == (["1 live", "2 live", "1 live"], "1 live")
    assert device.office.problem == f"configuration 2 of the office was taken back: {sentence}"
    assert device.office.sentence == f"revision 1 in use; {device.office.problem}"
    before = device.office.report
    device.take("2 live")  # retained: it comes at each connect
    assert device.office.report is before
    device.take("2 live, changed")
    assert device.told == ("refused", 1, 2, ["revision: 2 is not above 2, the highest ever accepted"])
    device.take("2 live")
    assert device.told[0] == "rolled_back"
    device.wait(3601)
    assert device.office.problem == ""
    assert device.told[0] == "rolled_back"


def test_what_is_taken_back_by_counting_anew_is_on_disk_before(device: Device) -> None:
    device.take("1")
    after = Device(device.folder, "1")
    after.facets = Facets(frames=True, broker=False)
    after.configurations.invalid = {""}  # the file was changed meanwhile: the start says what is wrong
    after.wait(TRIAL_S)
    assert after.again == 1
    assert (after.state.used, after.state.outcome, after.state.highest) == ("", "rolled_back", 1)


def test_a_message_that_was_handled_costs_nothing(device: Device) -> None:
    for message in ("5 live", "garbage"):
        device.take(message)
        before = device.configurations.read_messages
        for _ in range(5):
            device.take(message)
        assert device.configurations.read_messages == before


def test_refused_messages_change_nothing_and_are_told(device: Device) -> None:
    device.take("5 live")
    on_disk = (device.folder / NAME).read_bytes()
    device.configurations.invalid = {"6"}
    device.take("6")
    problems = ["tracker.lost_s: must be more than 0", "view.dark: is no number"]
    assert device.told == ("refused", 5, 5, problems)
    assert device.office.sentence == f"revision 5 in use; a message was refused ({'; '.join(problems)})"
    device.take("4")
    assert device.told == ("refused", 5, 5, ["revision: 4 is not above 5, the highest ever accepted"])
    assert (device.folder / NAME).read_bytes() == on_disk
    device.wait(TRIAL_S)  # the trial has gone on
    device.take("5 live")  # the newest message is the one in use again
    assert device.told == ("applied", 5, 5, [])


def test_what_was_refused_is_used_when_what_it_lacked_has_come(device: Device) -> None:
    device.configurations.invalid = {"6 live"}
    device.take("6 live")
    device.office.look_again()
    device.wait(3)
    assert device.told[:3] == ("refused", 0, 0)
    device.configurations.invalid = set()
    device.wait(60)
    assert device.told[:3] == ("refused", 0, 0)  # nothing has come that it may have lacked
    device.office.look_again()
    device.wait(1)
    assert device.told[:3] == ("refused", 0, 0)  # the fetch is answered first
    device.wait(2)
    assert device.told == ("trying", 6, 6, [])


@pytest.mark.parametrize("payload", ["", "5 live"])
def test_what_was_refused_and_taken_back_is_never_used(device: Device, payload: str) -> None:
    device.take("5 live")
    device.configurations.invalid = {"6 live"}
    device.take("6 live")
    device.take(payload)
    device.configurations.invalid = set()
    device.office.look_again()
    device.wait(5)
    assert device.configurations.present == "5 live"
    assert device.told[1:3] == (5, 5)


def test_what_was_accepted_and_lacked_something_at_the_start_is_used_by_counting_anew(tmp_path: Path) -> None:
    write_state(tmp_path, passed(accepted(OfficeState(), "4", 4, Facets(True, True), 0.0), 0.0))
    device = Device(tmp_path, "")
    device.configurations.invalid = {"4"}
    device.office.look_again()
    device.wait(3)
    assert (device.again, device.told[0]) == (0, "refused")
    device.configurations.invalid = set()
    device.office.look_again()
    device.wait(3)
    assert device.again == 1


def test_a_folder_that_cannot_be_written_changes_nothing(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_state", full)
        device.take("1")
        assert (device.again, device.state) == (0, OfficeState())
        problem = "the state folder cannot be written (No space left on device): nothing was changed"
        assert device.told == ("refused", 0, 0, [problem])
    device.take("1 live")  # it comes again
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_state", full)
        with pytest.raises(OSError, match="No space"):
            device.wait(TRIAL_S)
        assert "trying" in device.told
    device.wait(1)
    assert device.told[0] == "applied"


def test_a_trial_whose_configuration_is_not_in_use_has_failed(tmp_path: Path) -> None:
    write_state(tmp_path, accepted(OfficeState(), "4", 4, Facets(True, True), 0.0))
    device = Device(tmp_path, "")
    assert device.told == ("rolled_back", 0, 4, ["the key is gone"])


def test_a_layer_that_is_not_used_any_more_is_told(tmp_path: Path) -> None:
    write_state(tmp_path, passed(accepted(OfficeState(), "4", 4, Facets(True, True), 0.0), 0.0))
    assert Device(tmp_path, "").told == ("refused", 0, 4, ["the key is gone"])
    assert Device(tmp_path, "4").told == ("applied", 4, 4, [])


def test_a_damaged_file_is_said_and_costs_only_what_was_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / NAME).write_text("{")
    device = Device(tmp_path)
    assert f"{tmp_path / NAME} is damaged: what the office has sent before is not known" in caplog.text
    device.take("1 live")
    assert device.told == ("trying", 1, 1, [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, max_examples=80)
@given(st.dictionaries(st.sampled_from(["highest", "trial", "used", "outcome", "problems", "at", "ran"]), json_values))
def test_any_other_content_of_the_file_is_damage_and_no_fault(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("state", numbered=True)
    write_state(folder, OfficeState())
    content = json.loads((folder / NAME).read_text())
    (folder / NAME).write_text(json.dumps(content | changed))
    state, problem = None, ""
    try:
        state = read_state(folder)
    except ValueError as error:
        problem = str(error)
    assert (state is None) == problem.endswith("is damaged")


def test_the_detector_that_ran_before_stays_whatever_is_fetched_later(device: Device, tmp_path: Path) -> None:
    first, second, third = (letter * 64 for letter in "abc")
    config = Config(store=StoreConfig(folder=tmp_path))

    def fetch(*names: str) -> set[str]:
        """Let detectors come, each after a look at what may go, and return what is there."""
        for name in names:
            Bundles(tmp_path / FOLDER).tidy(extras._kept_detectors(config))
            (tmp_path / FOLDER / name).mkdir(parents=True, exist_ok=True)
            os.utime(tmp_path / FOLDER / name, (0, next(times)))
        return {each.name for each in (tmp_path / FOLDER).iterdir()}

    times = itertools.count(1)
    fetch(first, second)
    for revision, message in enumerate((first, second, f"{second} lines", second), 1):
        device.take(f"{revision} live {message}")
        device.wait(TRIAL_S)
    unused = [str(number) * 64 for number in range(5)]
    assert {first, second} <= fetch(*unused)
    assert device.state.ran == first
    device.facets = Facets(True, True)
    device.take(f"5 live {third}")
    device.facets = Facets(False, True)
    device.wait(TRIAL_S)
    assert (device.state.outcome, device.state.ran) == ("rolled_back", first), "it never was in use for good"
    device.facets = Facets(True, True)
    device.take("6 live")
    device.wait(TRIAL_S)
    assert device.state.ran == second
    device.take(f"7 live {second}")
    device.wait(TRIAL_S)
    found = fetch(*unused)
    assert device.state.ran == second
    assert second in found
    assert len(found - {second}) <= 3, "the others go"


def test_what_is_loaded_for_the_way_back_goes_when_the_trial_is_over(device: Device) -> None:
    device.take("1 live")
    assert device.settled == 0
    device.wait(TRIAL_S)
    assert (device.told[0], device.settled) == ("applied", 1)


def test_a_detector_that_takes_over_later_is_told_then(device: Device) -> None:
    device.take("1 live")
    before = device.office.report
    device.config = "0" * 64
    device.office.step()
    after = device.office.report
    assert before is not None
    assert after is not None
    assert (before.config, after.config, after.state) == ("c222920fa583", 12 * "0", "trying")


def test_what_cannot_be_taken_over_is_counted_anew_and_its_three_starts_are_left(device: Device) -> None:
    device.refusals["1 live"] = CountAnewError("too little memory is free")
    device.take("1 live")
    assert (device.again, device.renewed) == (1, [])
    assert device.state.trial is not None
    assert device.state.trial.starts == 0


def test_a_detector_that_cannot_count_is_taken_back_at_once(device: Device) -> None:
    device.refusals["1 live"] = DetectorError("the runtime cannot load it")
    device.take("1 live")
    assert (device.again, device.renewed, device.settled) == (0, [""], 1)
    assert device.told == ("rolled_back", 0, 1, ["the runtime cannot load it"])
    device.refusals[""] = DetectorError("the file of before is gone")
    device.take("2 live")
    device.facets = Facets(frames=False, broker=True)
    device.wait(TRIAL_S)
    assert device.again == 1
