"""Make a release small: slim.py RELEASE [RELEASE_BEFORE] for install.sh, slim.py --wheels FOLDER for archive.sh.

Removes what a counter never loads; from a release, or from the wheels that travel. A release it also compiles once, and
shares every file with the release before that has the same content (hard links). Bytecode names /opt/edge-app/current
as its place, so that it is the same in every release.
"""

from __future__ import annotations

import compileall
import csv
import filecmp
import fnmatch
import io
import os
import py_compile
import re
import shutil
import sys
import zipfile
from pathlib import Path, PurePosixPath

UNUSED = (
    # installers: a release is never changed, a new one is made
    *("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"),
    # the runtime's converters, compilers and graphics processors; the interpreter on the processor remains
    *("ai_edge_litert/tools", "ai_edge_litert/vendors", "ai_edge_litert/aot", "ai_edge_litert/tflite"),
    *("ai_edge_litert/libLiteRtWebGpuAccelerator.so", "ai_edge_litert/_pywrap_litert_converter.so"),
    *("ai_edge_litert/pywrap_genai_ops.so", "ai_edge_litert/schema_py_generated.py", "ai_edge_litert/*_pb2.py"),
    # what only those use: formats of numbers, messages and models, a progress bar
    *("ml_dtypes", "google", "flatbuffers", "tqdm", "backports"),
    # what rich loads to colour the text of programs and Markdown
    *("pygments", "markdown_it", "mdurl"),
    # pydantic as it was before
    "pydantic/v1",
    # cascades that find faces
    "cv2/data/*.xml",
    # compilers for Fortran and C, and what compilers and type checkers read
    *("numpy/f2py", "numpy/distutils", "*/include", "*.h", "*.a", "*.pxd", "*.pyi"),
    # tests of packages
    "*/tests",
)
"""Patterns of paths within site-packages; `*` stands for folders too."""
_UNUSED = re.compile("|".join(map(fnmatch.translate, UNUSED)))


def unused(path: str) -> bool:
    """Return True for a path within site-packages that is in UNUSED, or lies in a folder that is."""
    return any(_UNUSED.match(str(part)) for part in (PurePosixPath(path), *PurePosixPath(path).parents))


def remove_unused(packages: Path) -> None:
    """Remove UNUSED from site-packages, and what is left about the packages that are gone."""
    for folder, names, files in os.walk(packages):
        inside = Path(folder).relative_to(packages)
        for name in [name for name in names if unused(str(inside / name))]:
            shutil.rmtree(Path(folder, name))
            names.remove(name)
        for name in files:
            if unused(str(inside / name)):
                Path(folder, name).unlink()
    for about in packages.glob("*.dist-info"):
        with (about / "RECORD").open(encoding="utf-8", newline="") as text:
            code = [path for path, *_ in csv.reader(text) if not path.startswith((f"{about.name}/", "../"))]
        if not any((packages / path).exists() for path in code):
            shutil.rmtree(about)


def remove_programs(release: Path) -> None:
    """Remove the programs of packages, of which few are left."""
    for program in (release / "bin").iterdir():
        if program.name != "edge-app" and not program.name.startswith("python"):
            program.unlink()


def slim_wheel(wheel: Path) -> None:
    """Write a wheel anew without UNUSED, and without compression; what it needs, and its licence, it still tells."""
    lean = wheel.with_suffix(".lean")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(lean, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith(".dist-info/RECORD"):
                content = _left(content.decode()).encode()
            elif unused(item.filename):
                continue
            new.writestr(item, content, zipfile.ZIP_STORED)
    lean.replace(wheel)


def _left(record: str) -> str:
    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows(
        row for row in csv.reader(record.splitlines()) if not unused(row[0])
    )
    return rows.getvalue()


def compile_all(release: Path) -> None:
    """Compile every module; what another Python's syntax keeps from it is left as it is."""
    compileall.compile_dir(
        release / "lib",
        quiet=2,
        stripdir=str(release),
        prependdir="/opt/edge-app/current",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def share(release: Path, before: Path) -> int:
    """Replace each file that the release before has too by a link to that one, and return how many bytes that saves."""
    saved = 0
    for folder, _, names in os.walk(release):
        for name in names:
            file = Path(folder, name)
            other = before / file.relative_to(release)
            if file.is_symlink() or other.is_symlink() or not other.is_file():
                continue
            mine, theirs = file.stat(), other.stat()
            same = (mine.st_size, mine.st_mode, mine.st_uid) == (theirs.st_size, theirs.st_mode, theirs.st_uid)
            if same and filecmp.cmp(file, other, shallow=False):
                link = file.with_name(f".{name}.link")
                os.link(other, link)
                link.replace(file)
                saved += mine.st_size
    return saved


def main() -> None:
    if sys.argv[1] == "--wheels":
        for wheel in sorted(Path(sys.argv[2]).glob("*.whl")):
            slim_wheel(wheel)
        return
    release = Path(sys.argv[1])
    for packages in release.glob("lib/python3*/site-packages"):
        remove_unused(packages)
    remove_programs(release)
    compile_all(release)
    if len(sys.argv) > 2:
        share(release, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
