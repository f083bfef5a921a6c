"""What the office may do with the configuration of a running service; starts and stops of a program on trial."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path

from edge_app.config.files import files_without_office, office_file, office_problem, parse_files, read_tables
from edge_app.config.last_good import Chosen, keep, kept_in
from edge_app.config.layers import merge
from edge_app.config.live import may_go_on
from edge_app.config.load import validated_layers
from edge_app.config.office_layer import access_in, access_of, read_message
from edge_app.errors import ConfigError
from edge_app.mqtt.office_messages import ConfigConflict, ConfigLayer
from edge_app.rollout.office import InUse, Judged, Proposed
from edge_app.rollout.trial import rolled_back, started, stopped
from edge_app.system.office_state import OfficeState, read_state, taken_back, write_state
from edge_app.system.tables import flat


class OfficeConfigurations:
    """Configurations that messages of the office make on this device; see `Configurations`.

    path: of the file. chosen: the configuration in use. why_not: why it is not the present one, where it is not.
    """

    def __init__(
        self, path: Path, chosen: Chosen, why_not: str = "", environment: Mapping[str, str] = os.environ
    ) -> None:
        self._path, self._chosen, self._why_not, self._environment = path, chosen, why_not, environment
        self._access, self._judged = access_of(chosen.config), chosen

    def read(self, message: str) -> Proposed:
        """Return who wants what by a message. Raises ConfigError: when it is none for this device."""
        document = read_message(self._access, message)
        detector = str(flat(document.layer.tables).get("detector.fetched", ""))
        return Proposed(document.revision, document.layer.author, document.key, detector)

    def judge(self, message: str) -> Judged:
        """Validate the whole configuration with a message, or without any for "".

        Raises ConfigError: with every problem that it has.
        """
        from edge_app.assembly.counter import refuse_fetched
        from edge_app.assembly.measures import build_geometry

        files = files_without_office(self._path)
        if message:
            files.append(office_file(read_message(self._access, message), self._access.folder))
        layers = parse_files(files)
        config = validated_layers(layers, self._path.parent, self._environment, camera=True)
        build_geometry(config)
        refuse_fetched(config)
        self._judged = Chosen(config, layers, files)
        return Judged(config, may_go_on(self._chosen.config, config))

    def use(self, judged: Judged) -> None:
        """Have the configuration that was judged last be the present one."""
        assert judged.config is self._judged.config
        self._chosen, self._why_not = self._judged, ""

    def keep(self) -> None:
        """Write the present configuration down as the last good one. Raises OSError."""
        keep_as_good(self._chosen, self._path)

    @property
    def in_use(self) -> InUse:
        """Layers of the present configuration, and what they say in vain."""
        layers = self._chosen.layers
        office = next((layer for layer in layers if layer.name == "office"), None)
        told = [
            ConfigLayer(
                name=layer.name,
                revision=layer.revision,
                author=layer.author,
                at=datetime.fromtimestamp(layer.at, timezone.utc),
            )
            for layer in layers
        ]
        conflicts = [
            ConfigConflict(key=one.key, used=one.used, ignored=one.ignored, ignored_is_newer=one.ignored_is_newer)
            for one in merge(layers).conflicts
        ]
        return InUse(int(office.revision) if office else 0, told, conflicts)

    @property
    def problem(self) -> str:
        """One sentence on why what was accepted is not in use."""
        return self._why_not or office_problem(self._path) or "; ".join(self._chosen.problems)


def keep_as_good(chosen: Chosen, path: Path) -> None:
    """Keep a configuration as the last good one, where one is kept and this one is whole. Raises OSError."""
    folder = kept_in()
    if folder is not None and not chosen.problems:
        keep(chosen, path, folder)


def note_start(path: Path) -> str:
    """Count a start of the program on trial; return one sentence where that was one too many.

    path: of the configuration file. Raises OSError: when the state folder cannot be used.
    """
    after = _change(path, lambda state: started(state, time.time()))
    return taken_back(after) if after is not None and after.outcome == "rolled_back" else ""


def note_stop(path: Path) -> None:
    """Take the start back that ends because somebody has asked for it. Raises OSError."""
    _change(path, stopped)


def take_back(path: Path, why: str) -> bool:
    """Take back what is on trial; return whether anything was. why: one sentence. Raises OSError."""
    return _change(path, lambda state: rolled_back(state, [why], time.time()) if state.trial else state) is not None


def on_trial(path: Path) -> bool:
    """Return whether a configuration of the office is on trial."""
    folder = _folder(path)
    try:
        return folder is not None and read_state(folder).trial is not None
    except (OSError, ValueError):
        return False


def _change(path: Path, change: Callable[[OfficeState], OfficeState]) -> OfficeState | None:
    """Change what is on disk; return it where it was changed, None otherwise."""
    folder = _folder(path)
    try:
        before = OfficeState() if folder is None else read_state(folder)
    except ValueError:  # the service says so
        return None
    after = change(before)
    if folder is None or after == before:
        return None
    write_state(folder, after)
    return after


def _folder(path: Path) -> Path | None:
    """Return the state folder; None where the office has no say, or where the file does not tell."""
    try:
        access = access_in(read_tables(path), path.parent)
    except ConfigError:
        return None
    return None if access is None else access.folder
