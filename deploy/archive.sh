#!/bin/sh
# One archive that installs a device, or the city side, without internet: deploy/archive.sh [--city] [ARCH [PYTHON...]]
#
# ARCH is aarch64 (default) or x86_64; PYTHON the versions it is for, by default 3.10 (JetPack 6; not for x86_64, for which
# the runtime has no such wheel), 3.11 (Bookworm) and 3.13 (Trixie). Writes dist/edge-app-VERSION-ARCH.tar.xz: the program
# with its model, every wheel it needs, the units, the installer, the broker's tools, the licence, the documents and a
# checksum of each file; and dist/SHA256SUMS, which it signs with RELEASE_KEY, a file with a private key, where one is
# named. On the device: tar xf, then `sudo ./install.sh install`. With --city it is dist/edge-app-city-...: the same for the
# machine of a city (default x86_64, Python 3.11 and 3.13), with the page's libraries, for which npm is needed here.
#
# Every package must have the version and one of the hashes in deploy/locks, or nothing is written; deploy/lock.sh renews
# them. What a counter never loads is then taken out of the wheels (deploy/slim.py).
set -eu
cd "$(dirname "$0")/.."
of=python name=edge-app default=aarch64
[ "${1:-}" != --city ] || { of=city name=edge-app-city default=x86_64 && shift; }
arch=${1:-$default}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || { [ "$arch$of" = aarch64python ] && set -- 3.10 3.11 3.13 || set -- 3.11 3.13; }
python=${PYTHON:-.venv/bin/python}
case $arch in
aarch64 | x86_64) ;;
*) echo "archive.sh: no wheels are known for \"$arch\"; use aarch64 or x86_64" >&2 && exit 2 ;;
esac
for release in "$@"; do
    [ -f "deploy/locks/$of-$release.txt" ] || {
        echo "archive.sh: deploy/locks has no packages for Python \"$release\"; add it to deploy/lock.sh, which chooses them" >&2
        exit 2
    }
done

[ $of = city ] && folder=build/archive/city-$arch || folder=build/archive/$arch
builder=build/archive/builder
rm -rf "$folder"
mkdir -p "$folder/wheels" dist
[ $of = python ] || "$python" -I deploy/page_libraries.py
# An environment of its own builds the program's wheel: pip would otherwise fetch the newest hatchling.
"$python" -I -m venv --clear "$builder"
"$builder/bin/python" -I -m pip install --quiet --require-hashes --no-deps --only-binary=:all: -r deploy/locks/build.txt
"$builder/bin/python" -I -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$folder/wheels" .
wheel=$(ls "$folder"/wheels/edge_app-*.whl)
version=$(basename "$wheel" | cut -d- -f2)
for release in "$@"; do
    "$python" -I -m pip download --quiet --require-hashes --no-deps --only-binary=:all: --dest "$folder/wheels" \
        --python-version "$release" \
        --platform "manylinux_2_35_$arch" --platform "manylinux_2_34_$arch" --platform "manylinux_2_28_$arch" \
        --platform "manylinux_2_27_$arch" --platform "manylinux_2_17_$arch" --platform "manylinux2014_$arch" \
        -r "deploy/locks/$of-$release.txt"
done
# the documents too: who stands there without internet reads them
cp -r deploy/releases.sh LICENSE NOTICE README.md CHANGELOG.md CONTRIBUTING.md docs "$folder"
if [ $of = city ]; then
    mkdir "$folder/systemd"
    cp systemd/edge-app-city*.service "$folder/systemd"
    cp deploy/city/install.sh "$folder"
else
    "$python" -I deploy/slim.py --wheels "$folder/wheels"
    cp -r systemd deploy/install.sh deploy/slim.py deploy/unpack.py deploy/edge-app.example.toml "$folder"
fi
mkdir -p "$folder/models/artefacts" "$folder/deploy"
cp models/README.md models/MODEL_CARD.md "$folder/models"
cp -r models/artefacts/card "$folder/models/artefacts"
# and the city's broker is set up with what lies here
cp -r deploy/README.md deploy/broker deploy/city deploy/prometheus "$folder/deploy"
echo "$arch" >"$folder/processor"
echo "$*" >"$folder/pythons"
# install.sh compares: a stick that is drawn too early leaves half a file
(cd "$folder" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + | LC_ALL=C sort -k 2 >SHA256SUMS)
archive=dist/$name-$version-$arch.tar.xz
# Root unpacks it: the files must belong to root there, not to the user with the number of the builder.
tar -cJf "$archive.new" --sort=name --owner=0 --group=0 --numeric-owner --mode=u+rw,go-w \
    --transform "s,^\.,$name-$version-$arch," -C "$folder" .
mv "$archive.new" "$archive"
(cd dist && sha256sum edge-app-*.tar.xz >SHA256SUMS.new && mv SHA256SUMS.new SHA256SUMS)
[ -z "${RELEASE_KEY:-}" ] || openssl pkeyutl -sign -rawin -inkey "$RELEASE_KEY" -in dist/SHA256SUMS -out dist/SHA256SUMS.sig
echo "$archive"
