"""The office's key changes as the runbook says, on a city whose unit hands the key over as a systemd credential."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from edge_app.city.config import CityConfig, load
from edge_app.commands._office_serving import genuine_of, run_serve, signing_key
from edge_app.errors import ConfigError
from edge_app.mqtt.embedded_broker import HOST
from edge_app.system.signatures import make_key
from edge_app.system.topics import DESIRED
from tests.support.office import PREFIX, SigningOffice


class Installed:
    """A city's folder, and the credentials of its unit since the last start."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._credentials = folder, folder / "run"
        self._credentials.mkdir()

    def write(self, **signing: object) -> None:
        """Write city.toml with these keys of the table [signing]."""
        lines = "".join(f"{key} = {value!r}\n" for key, value in signing.items())
        (self.folder / "city.toml").write_text(f'[mqtt]\nhost = "{HOST}"\n\n[signing]\n{lines}')

    def start(self) -> CityConfig:
        """Let systemd hand over the key, and the office start and end. Raises ConfigError: where it does not start."""
        shutil.copy(self.folder / "office.key", self._credentials / "office_key")
        environment = {"CREDENTIALS_DIRECTORY": str(self._credentials)}
        config = load(self.folder / "city.toml", environment, process="office")
        ended = threading.Event()
        ended.set()
        assert run_serve(config, self.folder, ended) == 0
        return config


def test_an_installed_city_changes_its_key_and_knows_what_the_old_one_has_signed(tmp_path: Path) -> None:
    office = SigningOffice(tmp_path, "office.key")
    old, before = office.key, office.configuration(3, {"log": {"level": "debug"}}).encode()
    city = Installed(tmp_path)
    city.write(key_file="office.key", public_key=old)
    city.start()

    new = make_key(tmp_path / "new.key").public_key
    (tmp_path / "office.key").rename(tmp_path / "former.key")
    (tmp_path / "new.key").rename(tmp_path / "office.key")
    city.write(key_file="office.key", public_key=new, former=[old])
    config = city.start()
    key = signing_key(config)
    assert key.public_key == new
    assert genuine_of(config, key)(f"{PREFIX}/{DESIRED}", before)


def test_a_key_that_the_unit_does_not_hand_over_is_told(tmp_path: Path) -> None:
    old, new = (make_key(tmp_path / name).public_key for name in ("office.key", "new.key"))
    city = Installed(tmp_path)
    city.write(key_file="new.key", public_key=new, former=[old])
    with pytest.raises(ConfigError, match=r"hands over office\.key beside city\.toml, whatever signing\.key_file says"):
        city.start()
