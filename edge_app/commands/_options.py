"""Read the options that several commands share (configuration, lines, model), and write their results."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.errors import ConfigError, StoreError, reason_of
from edge_app.system.files import open_descriptor, write_atomic

if TYPE_CHECKING:
    from edge_app.config.model import Config

INSTALLED: Final = Path("/etc/edge-app/edge-app.toml")
"""Configuration of an installed device."""
CITY: Final = Path("/etc/edge-app-city/city.toml")
"""Configuration of an installed city side."""
MIDDLE: Final = "middle:0.02,0.5,0.98,0.5"
"""The line that is used when none is given: across the middle of the picture."""
_TRIED_BYTES: Final = 65_536
"""Room that a disk must have for a result."""


def add_fps(parser: argparse.ArgumentParser) -> None:
    """Add the option --fps, the rate of a recording whose own is wrong or absent."""
    parser.add_argument(
        "--fps",
        type=_rate,
        metavar="N",
        help="frames/s of the recording, instead of its own rate and time stamps (where they are wrong or absent)",
    )


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0.1 <= rate <= 1000:
        raise argparse.ArgumentTypeError(f"must be 0.1 to 1000 frames/s, not {text}")
    return rate


def listening_port(text: str) -> int:
    """Return a port to listen on, 0 for a free one. Raises ArgumentTypeError: for what is none."""
    if not text.isdecimal() or len(text) > 5 or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"must be 0 to 65535, 0 for a free one, not {text}")
    return int(text)


def add_city_config(parser: argparse.ArgumentParser) -> None:
    """Add the option --config of the city side."""
    parser.add_argument(
        "--config", type=Path, default=CITY, metavar="TOML", help="see `edge-app city config` (default: %(default)s)"
    )


def without_city(error: ImportError) -> ConfigError:
    """Return what to do about a package of the city side that is missing."""
    missing = error.name or "a package"
    return ConfigError(f"{missing} is not installed: get the city side with pip install 'edge-app[city]'")


def add_installed_config(parser: argparse.ArgumentParser, use: str = "TOML file") -> None:
    """Add the option --config, which an installed device does not need. use: what the file is for."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"{use} (default: {INSTALLED}, where it exists)")


def installed_config(given: Path | None) -> Path:
    """Return the configuration file to use, with its secrets within reach as the service has them.

    given: of --config; None takes that of the installed device.
    Raises ConfigError: when there is neither.
    """
    if given is None:
        if not os.path.lexists(INSTALLED):
            raise ConfigError(
                f"no device is installed here ({INSTALLED} is absent): name a configuration with --config FILE; "
                "`edge-app config` prints one to begin with"
            )
        given = INSTALLED
    reach_secrets(given)
    return given


def reach_secrets(config: Path) -> None:
    """Have the secrets of an installed configuration taken from where its service takes them, as far as one may."""
    secrets = credentials_folder(config)
    if os.access(secrets, os.R_OK | os.X_OK):
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(secrets))


def unit_of(config: Path) -> str:
    """Return the name of the systemd unit that runs this configuration of an installed device."""
    name = config.resolve().stem
    return "edge-app" if name == INSTALLED.stem else f"edge-app@{name}"


def credentials_folder(config: Path) -> Path:
    """Return the folder from which the unit of this configuration takes its secrets."""
    name = config.resolve().stem
    alone = name in (INSTALLED.stem, CITY.stem)
    return config.resolve().parent / ("credentials" if alone else f"credentials-{name}")


def load_config(path: str | None, lines: Sequence[str], model: Path | None = None) -> Config:
    """Return the configuration of a file, or the defaults, with the given lines and model in place of its own.

    path: TOML file; None for the defaults. lines: texts for `parse_line`; without any, and without lines in the file,
    MIDDLE is used. model: TFLite file.
    Raises ConfigError.
    """
    from edge_app.config.load import load
    from edge_app.config.model import Config, LineConfig

    config = load(path) if path else Config()
    if model:
        config = config.model_copy(update={"detector": config.detector.model_copy(update={"model": model})})
    given = [parse_line(text) for text in lines or ([] if config.lines else [MIDDLE])]
    if len({line["id"] for line in given}) < len(given):
        raise ConfigError("--line: two lines have the same id; each needs its own")
    if not given:
        return config
    return config.model_copy(update={"lines": tuple(_validated(LineConfig, line) for line in given)})


def parse_line(text: str) -> dict[str, Any]:
    """Return the keys of a [[lines]] table from "ID:x0,y0,x1,y1" in 0..1 of the picture.

    Raises ConfigError: when the text has another form.
    """
    name, _, rest = text.rpartition(":")
    try:
        x0, y0, x1, y1 = (float(part) for part in rest.split(","))
    except ValueError:
        raise ConfigError(f"--line {text}: must be ID:x0,y0,x1,y1, such as main:0.1,0.6,0.9,0.6") from None
    return {"id": name or "main", "start": [x0, y0], "end": [x1, y1]}


def _validated(model: Any, values: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from edge_app.config.wording import describe_value

    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        hint = "; give parts of the picture, not px" if where in ("start", "end") else ""
        raise ConfigError(f"--line {values['id']}: {where}: {describe_value(first)}{hint}") from None


def refuse_overwriting(outputs: Sequence[Path], inputs: Sequence[Path], what: str) -> None:
    """Raise ConfigError for outputs that are one file, or one of the inputs. what: the inputs are."""
    if len({path.resolve() for path in outputs}) < len(outputs):
        raise ConfigError("two options name the same file; give each its own")
    for path in outputs:
        if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
            raise ConfigError(f"{path} is {what} itself; give the output another name")


def try_output(path: Path) -> None:
    """Try whether a result can be written here, before the work that gives it; nothing is left behind.

    Raises ConfigError: when the path cannot be a file here. StoreError: when its disk is full or fails.
    """
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; name a file in it")
        if open_descriptor(path) is not None or (path.exists() and not path.is_file()):
            return  # a pipe or a device
        with tempfile.TemporaryFile(dir=path.resolve().parent, buffering=0) as file:
            if file.write(bytes(_TRIED_BYTES)) < _TRIED_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        problem = f"cannot write {path}: {reason_of(error)}; choose another folder"
        mistake = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
        raise (ConfigError if mistake else StoreError)(problem) from error


def json_text(content: dict[str, Any]) -> str:
    """Return a result as indented JSON."""
    return json.dumps(content, indent=1) + "\n"


def write_results(texts: Mapping[Path, str]) -> list[str]:
    """Write the results of one run; what cannot be written to its file after all is written elsewhere.

    Returns one sentence about each of those, with the place where it is.
    """
    problems = []
    for path, text in texts.items():
        try:
            write_atomic(path, text)
        except OSError as error:
            problem = f"cannot write {path}: {reason_of(error)}"
            problems.append(f"{problem}; the result is {_written_elsewhere(text, path.suffix)}")
    return problems


def _written_elsewhere(text: str, suffix: str) -> str:
    """Write a text to a temporary file, or to stdout; return where it is."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="edge-app-", suffix=suffix, delete=False) as file:
            file.write(text)
        return f"in {file.name}"
    except OSError:
        print(text)
        return "on stdout"
