#!/bin/sh
# Choose the packages that an archive holds: deploy/lock.sh [--upgrade | --upgrade-package NAME]
#
# Writes deploy/locks/python-VERSION.txt and city-VERSION.txt: for each Python of deploy/archive.sh every package of a device
# and of the city side, with its version and the hashes of its wheels; build.txt: the same for the packages that build the program's own wheel; uv.txt: for uv, which
# resolves the versions. Without an option a chosen version stays as long as it fits pyproject.toml. Needs the internet;
# read the difference, and try the archive (docs/deploy/device.md), before you commit it.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
locks=deploy/locks
environment=build/lock
"$python" -I -m venv --clear "$environment"
"$environment/bin/python" -I -m pip install --quiet --require-hashes --only-binary=:all: -r $locks/uv.txt

# choose FILE REQUIREMENTS [OPTION...]: REQUIREMENTS is a file of them
choose() {
    file=$1 from=$2
    shift 2
    "$environment/bin/uv" pip compile --quiet --no-config --only-binary :all: --generate-hashes --no-annotate \
        --custom-compile-command 'deploy/lock.sh' --output-file "$locks/$file" "$@" "$from"
}

# Debian 12 and JetPack 6 have numpy 1, and what apt built with it (picamera2's simplejpeg) does not load beside numpy 2.
echo 'numpy<2' >"$environment/3.10"
cp "$environment/3.10" "$environment/3.11"
# uv ignores the upper end of "Requires-Python: <3.11".
echo 'backports-strenum<1.3' | tee -a "$environment/3.11" >"$environment/3.13"
for release in 3.10 3.11 3.13; do
    # Both processors get the same versions: the hashes are those of all wheels of a version.
    for arch in aarch64 x86_64; do
        choose "python-$release.txt" pyproject.toml --constraint "$environment/$release" --python-version $release \
            --python-platform $arch-manylinux_2_35 "$@"
        [ $release = 3.10 ] || choose "city-$release.txt" pyproject.toml --extra city --constraint "$environment/$release" \
            --python-version $release --python-platform $arch-manylinux_2_35 "$@"
    done
done
sed -n '/^\[build-system\]/,/^\[project\]/s/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml >"$environment/build.txt"
choose build.txt "$environment/build.txt" --universal --python-version 3.10 "$@"
echo uv >"$environment/uv.txt"
choose uv.txt "$environment/uv.txt" --universal --python-version 3.10 "$@"
