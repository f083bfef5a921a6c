"""Make a new release small, for install.sh: slim.py RELEASE [RELEASE_BEFORE].

Removes what a counter never loads, compiles the rest once, and shares every file with the release before that has the
same content (hard links). Bytecode names /opt/edge-app/current as its place, so that it is the same in every release.
"""

from __future__ import annotations

import compileall
import filecmp
import os
import py_compile
import shutil
import sys
from pathlib import Path

UNUSED = (
    # installers: a release is never changed, a new one is made
    *("pip", "pip-*", "setuptools", "setuptools-*", "pkg_resources", "_distutils_hack", "distutils-precedence.pth"),
    # the runtime's converters, compilers and graphics processors; the interpreter on the processor remains
    *("ai_edge_litert/tools", "ai_edge_litert/vendors", "ai_edge_litert/aot"),
    *("ai_edge_litert/libLiteRtWebGpuAccelerator.so", "ai_edge_litert/_pywrap_litert_converter.so"),
    "ai_edge_litert/pywrap_genai_ops.so",
    # number formats of its tensor buffers, which are not used
    *("ml_dtypes", "ml_dtypes-*"),
    # cascades that find faces
    "cv2/data/*.xml",
    # compilers for Fortran and C
    *("numpy/f2py", "numpy/distutils"),
    # tests of packages
    "**/tests",
)
"""Paths within site-packages."""


def remove_unused(packages: Path) -> None:
    """Remove UNUSED from site-packages."""
    for pattern in UNUSED:
        for path in list(packages.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


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
    release = Path(sys.argv[1])
    for packages in release.glob("lib/python3*/site-packages"):
        remove_unused(packages)
    compile_all(release)
    if len(sys.argv) > 2:
        share(release, Path(sys.argv[2]))


if __name__ == "__main__":
    main()
