"""Keep a copy of a run's record in MLflow while it trains; a store that cannot be written never ends a training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from models.common.errors import BuildError
from models.common.files import replace_file
from models.training.folder import RunFolder
from models.training.mlflow_store import Store, StoreError

_MEMORY: Final = "mlflow.txt"
"""In the run's folder: the store that gets the copies, so that a run that is continued goes on there."""


@contextmanager
def of(folder: RunFolder, asked: Path | None, show: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Yield what brings the store up to date; the last lines are copied at the end, however it ends.

    asked: the store's file; None for that of the process before, if there was one. show: told what went wrong.
    Raises BuildError: when a store is asked for and MLflow is not installed.
    """
    store = _store(folder, asked, show)
    if store is None:
        yield lambda: None
        return
    copies = Copies(store, folder, show)
    try:
        yield copies.copy
    finally:
        copies.end()


def copy_all(places: Sequence[tuple[str, RunFolder]], file: Path) -> None:
    """Bring a store up to date with runs. Raises BuildError: when MLflow is missing, or the store cannot be written."""
    store = Store(file)
    for name, folder in places:
        store.copy(name, folder)


def _store(folder: RunFolder, asked: Path | None, show: Callable[[str], None]) -> Store | None:
    memory = folder.path / _MEMORY
    if asked:
        store = Store(asked)
        replace_file(memory, f"{store.path}\n".encode())
        return store
    if not memory.exists():
        return None
    try:
        return Store(Path(memory.read_text("utf-8").strip()))
    except BuildError as error:
        show(f"{error} The training goes on without.")
        return None


class Copies:
    """The copies of one run; a failure is told once, and all are counted.

    show: told what went wrong.
    """

    def __init__(self, store: Store, folder: RunFolder, show: Callable[[str], None]) -> None:
        self._store, self._folder, self._show = store, folder, show
        self._failed = self._done = 0
        self._behind = False

    def copy(self) -> None:
        """Bring the store up to date, or count that it failed."""
        try:
            self._store.copy(self._folder.path.resolve().name, self._folder)
        except StoreError as error:
            self._failed, self._behind = self._failed + 1, True
            if self._failed == 1:
                self._show(f"MLflow: {error} The training goes on.")
        else:
            self._done, self._behind = self._done + 1, False

    def end(self) -> None:
        """Copy the last lines, and say how often a copy failed. A run that never began has none."""
        if not (self._folder.path / "data.json").exists():
            return
        self.copy()
        if self._failed:
            lacks = (
                f"it lacks what came last: `runs {self._folder.path} --mlflow {self._store.path}` brings it up to date"
                if self._behind
                else "later ones made up for it"
            )
            self._show(f"MLflow: {self._failed} of {self._failed + self._done} copies failed; {lacks}.")
