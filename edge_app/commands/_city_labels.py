"""`edge-app city labels`: what people have said in the review, as pictures with labels for the training."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from edge_app.city.database.engine import Database


def add_labels(kinds: Any, add_config: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add the command. kinds: subparsers of `city`. add_config: adds the option --config."""
    labels = kinds.add_parser("labels", help="write reviewed pictures with their classes, for `models.data import`")
    labels.add_argument("folder", type=Path, metavar="DIR", help="made where it is absent")
    add_config(labels)


def run_labels(arguments: argparse.Namespace, database: Database) -> int:
    """Write the pictures. Raises ConfigError, StoreError."""
    from edge_app.city.database.reviews import answered_pictures
    from edge_app.city.labels import write_labels

    try:
        with database.connect() as connection:
            written = write_labels(answered_pictures(connection), arguments.folder)
    except OSError as error:
        raise ConfigError(f"{arguments.folder}: cannot be written ({reason_of(error)})") from None
    many = ", ".join(f"{n} {name}" for name, n in sorted(written.items()))
    print(f"written to {arguments.folder}: {many}" if many else "no picture of the review names a class yet")
    return 0
