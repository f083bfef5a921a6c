"""Secrets of a configuration: where they come from, who can read them, and that no text shows one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.config.exposure import exposed_configuration
from edge_app.config.lint import lint
from edge_app.errors import ConfigError
from tests.support.config_cases import LINE, problems, read


def test_a_password_comes_from_environment_then_credential_then_file(toml: Path) -> None:
    text = '[mqtt]\nusername = "u"\npassword_file = "pw"'
    (toml.parent / "pw").write_text("from-file\n")
    (toml.parent / "mqtt_password").write_text("from-credential")
    folder = str(toml.parent)
    found = [
        read(toml, text),
        read(toml, text, CREDENTIALS_DIRECTORY=folder),
        read(toml, text, CREDENTIALS_DIRECTORY=folder, EDGE_APP_MQTT_PASSWORD="from-environment"),
    ]
    passwords = [config.mqtt.password.get_secret_value() for config in found if config.mqtt.password]
    assert passwords == ["from-file", "from-credential", "from-environment"]


def test_the_address_of_a_stream_has_the_login_and_the_redacted_one_has_not(toml: Path) -> None:
    text = '[source]\nkind = "stream"\nurl = "rtsp://cam:554/s?key=${KEY}"\nusername = "me"\n' + LINE
    source = read(toml, text, KEY="k1", EDGE_APP_SOURCE_PASSWORD="p@ss/1").source
    assert source.address == "rtsp://me:p%40ss%2F1@cam:554/s?key=k1"
    assert source.redacted_address == "rtsp://cam:554/s"
    assert set(source.secrets) == {"p@ss/1", "p%40ss%2F1", "key=k1"}
    plain = read(toml, '[source]\nkind = "stream"\nurl = "rtsp://cam/user=me_pw=x"\n' + LINE).source
    assert (plain.redacted_address, plain.secrets) == ("rtsp://cam/user=***", ("/user=me_pw=x",))


@settings(deadline=None, max_examples=30)
@given(st.text("abcdefghXYZ0123456789%:@/?#[]", min_size=6).map(lambda text: "s3cr3t" + text))
def test_no_text_about_the_configuration_contains_a_secret(
    tmp_path_factory: pytest.TempPathFactory, secret: str
) -> None:
    path = tmp_path_factory.mktemp("c") / "c.toml"
    text = f'[source]\nkind = "stream"\nurl = "rtsp://a:{secret}@cam/x"\n{LINE}'
    text += f'[mqtt]\nusername = "u"\npassword = "{secret}"\n'
    try:
        config = read(path, text)
        assert secret in config.secrets
        shown = [repr(config), str(config), config.model_dump_json(), str(config.model_dump())]
    except ConfigError as exc:  # not every such text is valid in a URL
        shown = [str(exc)]
    shown += problems(path, text + "port = 0\nprotocol = 7\n")
    shown += problems(path, text.replace(f'password = "{secret}"', f'pasword = "{secret}"'))
    shown += problems(path, text.replace(f'password = "{secret}"', f'password = ["{secret}"]'))
    assert not [words for words in shown if "s3cr3t" in words]


@pytest.fixture
def public() -> Iterator[Path]:
    """Yield a folder that every user of this machine can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 1 for parent in folder.resolve().parents):
            pytest.skip("no folder for temporary files that everybody can reach")
        yield folder


SECRET_FILES = {
    "mqtt.password_file": '[mqtt]\nusername = "u"\npassword_file = "secret"\n',
    "mqtt.key_file": '[mqtt]\ntls = true\ncert_file = "cert"\nkey_file = "secret"\n',
    "source.password_file": '[source]\nkind = "stream"\nurl = "rtsp://cam"\nusername = "u"\npassword_file = "secret"\n',
    "preview.password_file": '[preview]\nusername = "u"\npassword_file = "secret"\n',
}


@pytest.mark.parametrize("key", SECRET_FILES)
@pytest.mark.parametrize(
    ("mode", "folder", "reported"), [(0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False)]
)
def test_lint_names_a_secret_that_everybody_can_read(
    public: Path, key: str, mode: int, folder: int, reported: bool
) -> None:
    for name in ("secret", "cert"):
        (public / name).write_text("abc\n")
    (public / "secret").chmod(mode)
    config = read(public / "edge-app.toml", SECRET_FILES[key] + LINE)
    public.chmod(folder)
    found = [finding for finding in lint(config) if "every user" in finding]
    assert found == (
        [f"{key}: {public}/secret can be read by every user of this device: chmod 600 {public}/secret"] * reported
    )


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ('[mqtt]\nusername = "u"\npassword = "p"\n', True),
        ('mqtt = { username = "u", password = "p" }\n', True),
        ('[source]\nkind = "stream"\nurl = "rtsp://u:p@cam/1"\n', True),
        ('[source]\nkind = "stream"\nurl = "rtsp://u:${PW}@cam/1"\n', False),
        ('[mqtt]\nusername = "u"\n# password = "p"\n', False),
        ('[mqtt]\nusername = "u"\npassword_file = "secret"\n', False),
    ],
)
def test_a_configuration_with_a_password_that_everybody_can_read(public: Path, text: str, reported: bool) -> None:
    path = public / "edge-app.toml"
    (public / "secret").write_text("edge\n")
    config = read(path, text + LINE, PW="a-long-one")
    path.chmod(0o644)
    assert bool(exposed_configuration(config, path)) is reported
    path.chmod(0o640)
    assert exposed_configuration(config, path) == []


def test_an_empty_credential_is_ignored(toml: Path) -> None:
    (toml.parent / "pw").write_text("from-file\n")
    for name in ("mqtt_password", "mqtt_key"):
        (toml.parent / name).write_text("")
    config = read(toml, '[mqtt]\nusername = "u"\npassword_file = "pw"', CREDENTIALS_DIRECTORY=str(toml.parent))
    assert config.mqtt.password
    assert (config.mqtt.password.get_secret_value(), config.mqtt.key_file) == ("from-file", None)


def test_the_key_of_the_certificate_may_be_a_credential(toml: Path) -> None:
    (toml.parent / "mqtt_key").write_text("key")
    text = '[mqtt]\ntls = true\ncert_file = "device.pem"'
    assert read(toml, text, CREDENTIALS_DIRECTORY=str(toml.parent)).mqtt.key_file == toml.parent / "mqtt_key"
    named = read(toml, text + '\nkey_file = "own.key"', CREDENTIALS_DIRECTORY=str(toml.parent))
    assert named.mqtt.key_file == toml.parent / "own.key"
