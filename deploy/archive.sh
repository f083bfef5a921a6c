#!/bin/sh
# One archive that installs a device without internet: deploy/archive.sh [ARCH [PYTHON...]]
#
# ARCH is aarch64 (default) or x86_64; PYTHON the versions it is for, by default 3.10 (JetPack 6), 3.11 (Bookworm) and
# 3.13 (Trixie). Writes dist/edge-app-VERSION-ARCH.tar.gz: the program with its model, every wheel it needs, the units,
# the installer, the licence and the documents. On the device: tar xf, then `sudo ./install.sh install`.
set -eu
cd "$(dirname "$0")/.."
arch=${1:-aarch64}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- 3.10 3.11 3.13
python=${PYTHON:-.venv/bin/python}
case $arch in
aarch64 | x86_64) ;;
*) echo "archive.sh: no wheels are known for \"$arch\"; use aarch64 or x86_64" >&2 && exit 2 ;;
esac

folder=build/archive/$arch
rm -rf "$folder"
mkdir -p "$folder/wheels" dist
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder/wheels" .
wheel=$(ls "$folder"/wheels/edge_app-*.whl)
version=$(basename "$wheel" | cut -d- -f2)
for release in "$@"; do
    # pip reads "python_version" of a requirement as its own Python's: what only older ones need is named here. Debian 12
    # and JetPack 6 have numpy 1, and what apt built with it (picamera2's simplejpeg) does not load beside numpy 2.
    case $release in
    3.10) extra='numpy<2 tomli>=2' ;;
    3.11) extra='numpy<2' ;;
    *) extra= ;;
    esac
    # shellcheck disable=SC2086
    "$python" -m pip download --quiet --only-binary=:all: --dest "$folder/wheels" --python-version "$release" \
        --platform "manylinux_2_35_$arch" --platform "manylinux_2_34_$arch" --platform "manylinux_2_28_$arch" \
        --platform "manylinux_2_27_$arch" --platform "manylinux_2_17_$arch" --platform "manylinux2014_$arch" "$wheel" $extra
done
# the documents too: a technician without internet reads them
cp -r systemd deploy/install.sh deploy/edge-app.example.toml LICENSE NOTICE README.md CHANGELOG.md CONTRIBUTING.md docs "$folder"
mkdir -p "$folder/models/artefacts" "$folder/deploy"
cp models/README.md models/MODEL_CARD.md "$folder/models"
cp -r models/artefacts/card "$folder/models/artefacts"
cp deploy/README.md "$folder/deploy"
archive=dist/edge-app-$version-$arch.tar.gz
tar -czf "$archive" --transform "s,^\.,edge-app-$version-$arch," -C "$folder" .
echo "$archive"
