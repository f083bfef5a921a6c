"""Write what a run and its detector files were made from, with all ancestors: see models.lineage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from models.common.errors import BuildError
from models.lineage import files, hashes
from models.lineage.records import Lineage, Link, Role, Step, extended
from models.training import weights
from models.training.folder import RunFolder
from models.training.scenes import Parts

LICENCE = "Apache-2.0"
"""Of the weights that are made here."""
CALIBRATES, FITS = "calibration", "scores"
"""What the pictures of an export are used for, beside those of its training."""


@dataclass(slots=True)
class Sources:
    """What a step takes from earlier ones, collected one by one.

    links: of the step. before: lineages that they name. places: folders with the hashes of their pictures.
    """

    links: list[Link] = field(default_factory=list)
    before: list[Lineage] = field(default_factory=list)
    places: list[Path] = field(default_factory=lambda: [files.POOL])

    def start(self, path: Path | None) -> None:
        """Begin from a file of weights, or from the published ones when it is None. Raises LineageError."""
        if path is None:
            self._add(files.published(), Link("", "start"))
        else:
            self.weights(path, "start", 1.0)

    def weights(self, path: Path, role: Role, share: float) -> None:
        """Take a share of a file of weights; the others keep the rest. Raises LineageError or BuildError."""
        digest = weights.digest(weights.load(path))
        if role == "mixed":
            self._keep(1 - share)
        self._add(files.of_weights(path, digest), Link("", role, digest, share), path)

    def published_share(self, share: float) -> None:
        """Take a share of the published backbone."""
        if share:
            self._keep(1 - share)
            self._add(files.published(), Link("", "mixed", share=share))

    def published_teaches(self) -> None:
        """Let the published weights teach, by pulling or by what they see."""
        self._add(files.published(), Link("", "teacher"))

    def teacher(self, path: Path) -> None:
        """Let a detector say what it sees in the pictures. Raises LineageError."""
        self._add(files.of_detector(path), Link("", "teacher", files.digest_of_file(path)), path)

    def run(self, folder: RunFolder) -> None:
        """Take settings and hints of a run. Raises LineageError: when its record is damaged."""
        path = folder.path / files.RUN
        name = folder.path.resolve().name
        found = files.read(path) if path.exists() else files.unrecorded(name, "", f"{name} has no {files.RUN}.")
        self._add(found, Link("", "run"), path)

    def _keep(self, share: float) -> None:
        self.links = [replace(one, share=round(one.share * share, 6)) if _part(one) else one for one in self.links]

    def _add(self, found: Lineage, link: Link, path: Path | None = None) -> None:
        self.links.append(replace(link, step=found.head))
        self.before.append(found)
        self.places += [path.parent / hashes.FOLDER] if path else []

    def warn(self, show: Callable[[str], None]) -> None:
        """Say which of them have no record."""
        for found in self.before:
            step = found.steps[found.head]
            if step.kind == "unrecorded":
                show(
                    f"{step.name} has no record of what it was made from: this can be trained and measured, but "
                    "nothing that comes from it is promoted."
                )


def _part(link: Link) -> bool:
    return link.role in ("start", "mixed")


def begin(folder: RunFolder, parts: Parts, sources: Sources) -> Lineage:
    """Write the record of a run into its folder. Return it.

    The folder has its settings and code already. Raises BuildError: when a file cannot be written.
    """
    step = Step(
        kind="trained",
        name=folder.path.resolve().name,
        licence=LICENCE,
        code=folder.code(),
        config_sha256=folder.digest(),
        parents=tuple(sources.links),
    )
    pictures = folder.path / hashes.FOLDER
    try:
        data = [
            *files.data_sets(parts.training, "train", pictures),
            *files.data_sets(parts.validation, "validation", pictures),
        ]
        lineage = extended(step, data, sources.before)
        files.copied(lineage, [pictures, *sources.places], pictures)
        files.write(folder.path / files.RUN, lineage)
        if not (folder.path / files.WEIGHTS_OF_RUN).exists():  # a run of a release that kept no list
            for path in (folder.weights, folder.last):
                if path.exists():
                    files.note_weights(folder.path, weights.digest(weights.load(path)))
    except OSError as error:
        raise _unwritten(folder.path, error) from error
    return lineage


def exported(folder: RunFolder, parts: Parts, sources: Sources, code: str, out: Path) -> Lineage:
    """Return the record of detector files that are exported, and write the hashes of all pictures into out/pictures.

    parts: pictures that calibrate and that fit the scores. sources: the weights. code: revision that exports.
    Raises BuildError: when a file cannot be written.
    """
    pictures = out / hashes.FOLDER
    seen = {one.sha256 for found in sources.before for one in found.sets.values()}
    try:
        used = [
            *files.data_sets(parts.training, CALIBRATES, pictures),
            *files.data_sets(parts.validation, FITS, pictures),
        ]
        data = [one for one in used if one.sha256 not in seen]
        name = folder.path.resolve().name
        step = Step(
            kind="exported",
            name=name,
            licence=LICENCE,
            code=code,
            config_sha256=folder.digest(),
            parents=tuple(sources.links),
        )
        lineage = extended(step, data, sources.before)
        files.copied(lineage, [pictures, *sources.places], pictures)
    except OSError as error:
        raise _unwritten(out, error) from error
    return lineage


def _unwritten(place: Path, error: OSError) -> BuildError:
    return BuildError(f"{error.filename or place} cannot be written: {(error.strerror or str(error)).lower()}.")
