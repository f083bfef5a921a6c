#!/bin/sh
# Makes a fresh machine ready: deploy/prepare.sh demo|city|test|test-servers|models|smoke
#
# demo: .venv with the program and its embedded broker. city: the same with the city side and its page. test: both with
# the test tools, and from apt the real programs that tests run against; test-servers: more of them. models: .venv-models
# with TensorFlow. smoke: the same with the test tools. A second run finds everything in place and takes a fraction of a
# second. PYTHON=/path/to/python3 chooses the interpreter of a new environment.
#
# Exits 1 only where nothing can work (no Python, no venv, pip failed); programs for tests that cannot be installed
# are named on stderr, and their tests are skipped with a reason.
set -eu
cd "$(dirname "$0")/.."

# Debian keeps mosquitto in /usr/sbin, which a plain user does not have in PATH.
PATH=$PATH:/usr/sbin:/sbin
export PATH PIP_DISABLE_PIP_VERSION_CHECK=1

# package and what for; a program of the same name counts as well, wherever it came from
FOR_TESTS='mosquitto:the real MQTT broker; Debian also starts it as a service on port 1883 of loopback
openssl:certificates for the TLS tests
ffmpeg:test videos and RTSP viewers
chromium:one pass through the page on which lines are drawn
strace:seeing when the store syncs to disk
python3-gi:the RTSP server
python3-gst-1.0:the RTSP server
gir1.2-gst-rtsp-server-1.0:the RTSP server
gir1.2-gst-plugins-base-1.0:the RTSP server
gstreamer1.0-plugins-base:video conversion for RTSP
gstreamer1.0-plugins-good:RTP payloads for RTSP
gstreamer1.0-plugins-bad:H.264 parsing for RTSP
gstreamer1.0-plugins-ugly:the x264 encoder for RTSP
gstreamer1.0-rtsp:RTSP transport'
FOR_SERVERS='postgresql:the database of the city side; Debian also starts it as a service on loopback
nats-server:a broker of the city side; its service is stopped, the tests start their own
rabbitmq-server:a broker of the city side; its service is stopped, the tests start their own'

say() {
    echo "prepare: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

# --- apt

present() {
    command -v "$1" >/dev/null 2>&1 || dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

# Prints how to run apt-get: as root, by a sudo that asks nothing, or not at all.
apt_command() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        echo env
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        echo sudo -n env
    else
        return 1
    fi
}

updated=
update() {
    [ -z "$updated" ] || return 0
    updated=yes
    $(apt_command) apt-get update -qq >&2 </dev/null
}

apt_install() {
    run=$(apt_command) || return 1
    say "apt-get install $*"
    update || say "apt-get update failed; trying with the package lists that are there"
    $run DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" >&2 </dev/null
}

missing_for_tests() {
    echo "$FOR_TESTS" | while IFS=: read -r package purpose; do
        present "$package" || echo "$package:$purpose"
    done
}

names() {
    echo "$1" | cut -d: -f1 | paste -sd ' ' -
}

# They listen on all addresses, and RabbitMQ takes 100 MB: nobody asked for the services. Only those that came just now.
stop_services() {
    for service in nats-server rabbitmq-server; do
        case $1 in
        *"$service":*) $(apt_command) systemctl disable --quiet --now "$service" >/dev/null 2>&1 </dev/null || : ;;
        esac
    done
}

install_for_tests() {
    missing=$(missing_for_tests)
    [ -n "$missing" ] || return 0
    if apt_command >/dev/null; then
        say "the tests run against programs that are not here yet:"
        echo "$missing" | sed 's/:/ - /; s/^/    /' >&2
        # One package that a release does not have must not keep the others away.
        # shellcheck disable=SC2046
        apt_install $(names "$missing") || for package in $(names "$missing"); do apt_install "$package" || true; done
        stop_services "$missing"
        missing=$(missing_for_tests)
    fi
    [ -n "$missing" ] || return 0
    say "missing, so the tests that need them are skipped:"
    echo "$missing" | sed 's/:/ - /; s/^/    /' >&2
    say "to have them: sudo apt install $(names "$missing")"
}

# Only this one program out of Debian's package (19 MB), unpacked and not installed: the package would start a Prometheus
# server on port 9090 of every address.
fetch_promtool() {
    if [ -x .venv/bin/promtool ] || command -v promtool >/dev/null 2>&1; then
        return 0
    fi
    command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 && unpack_promtool && return 0
    say "missing, so the tests of the alert rules are skipped: promtool; to have it: sudo apt install prometheus"
}

unpack_promtool() {
    say "fetching promtool, which checks the alert rules, into .venv/bin"
    box=$(mktemp -d)
    # apt's own user must be able to write there.
    chmod 755 "$box"
    (
        cd "$box" &&
            { apt-get download -qq prometheus >/dev/null 2>&1 || { update && apt-get download -qq prometheus >&2; }; } &&
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar xf - ./usr/bin/promtool
    ) </dev/null && cp "$box/usr/bin/promtool" .venv/bin/promtool && got=0 || got=1
    rm -rf "$box"
    return $got
}

# axe-core judges how well all people can use the pages; npm checks the archive's hash.
fetch_axe() {
    [ ! -f .venv/share/axe.min.js ] || return 0
    command -v npm >/dev/null 2>&1 && unpack_axe && return 0
    say "missing, so the test of who can use the pages is skipped: axe-core; to have it: sudo apt install npm"
}

unpack_axe() {
    say "fetching axe-core, which judges the pages, into .venv/share"
    box=$(mktemp -d)
    (cd "$box" && npm pack --silent axe-core@4.14.1 >/dev/null 2>&1 && tar xzf axe-core-*.tgz package/axe.min.js) </dev/null &&
        mkdir -p .venv/share && cp "$box/package/axe.min.js" .venv/share/axe.min.js && got=0 || got=1
    rm -rf "$box"
    return $got
}

# The table of the smart data models (MIT) judges the FIWARE feed. It alone is taken out of its package, which would bring
# ten others, two of them under the GPL.
fetch_smart_data_models() {
    [ ! -f .venv/share/smart-data-models.json.gz ] || return 0
    say "fetching the table of the smart data models, which judges the FIWARE feed, into .venv/share"
    box=$(mktemp -d)
    echo "pysmartdatamodels==0.8.2.0 --hash=sha256:0778b4d667ce22bee63f15630bd87755e86b4b391e009a93079cb55b86468da0" >"$box/wanted"
    .venv/bin/python -I -m pip download --quiet --no-deps --require-hashes --dest "$box" --requirement "$box/wanted" </dev/null &&
        .venv/bin/python -I -m zipfile -e "$box"/*.whl "$box" && mkdir -p .venv/share &&
        cp "$box/pysmartdatamodels/model-assets/smartdatamodels.json.gz" .venv/share/smart-data-models.json.gz ||
        say "missing, so its test is skipped: pip could not fetch it"
    rm -rf "$box"
}

# The libraries of the city's page are in the wheel; in a checkout npm brings them, once.
fetch_page_libraries() {
    .venv/bin/python deploy/page_libraries.py && return 0
    [ "$1" = optional ] || fail "the page of the city needs npm once: sudo apt install npm, then run this again."
    say "missing, so the tests of the city's page are skipped: its libraries; to have them: sudo apt install npm"
}

# --- Python

# fits PYTHON BELOW: runs, is 3.10 or newer and older than 3.BELOW
fits() {
    "$1" -I -c "import sys; sys.exit(not (3, 10) <= sys.version_info < (3, $2))" 2>/dev/null
}

has_venv() {
    "$1" -I -c 'import ensurepip, venv' 2>/dev/null
}

# Prints the interpreter to build on. The system's own comes first: only it sees gi and picamera2 from apt. Debian
# splits the module venv off into a package of its own.
choose_python() {
    candidates=${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11 python3.10}
    for python in $candidates; do
        fits "$python" "$1" || continue
        has_venv "$python" && echo "$python" && return
        [ "$python" = /usr/bin/python3 ] || continue
        apt_install python3-venv && has_venv "$python" && echo "$python" && return
    done
    if [ -z "${PYTHON:-}" ] && fits /usr/bin/python3 "$1"; then
        fail "the module venv of /usr/bin/python3 is missing: sudo apt install python3-venv, then run this again."
    fi
    fail "no Python 3.10 to 3.$(($1 - 1)) with the module venv (tried: $candidates): install one, or name one with PYTHON=/path/to/python3."
}

# What an environment was made from; anything else there means: install again.
fingerprint() {
    echo "$PWD $("$1/bin/python" -V 2>&1) $(cksum <pyproject.toml)"
}

# A folder that was interrupted, or whose Python has been upgraded since, has no pip of its own.
usable() {
    "$1/bin/python" -I -c 'import pip, sys; sys.exit(not pip.__file__.startswith(sys.prefix))' 2>/dev/null
}

# install EXTRA FOLDER BELOW [OPTION OF VENV]
install() {
    done_file=$2/.installed-$1
    if usable "$2"; then
        [ "$(cat "$done_file" 2>/dev/null)" != "$(fingerprint "$2")" ] || return 0
    else
        python=$(choose_python "$3")
        say "making the environment $2 with $python"
        "$python" -I -m venv --clear ${4:+"$4"} "$2" ||
            fail "$python could not make the environment $2; its message is above. \`make clean\` removes what is half made."
    fi
    say "installing the packages of [$1] into $2; the first time takes a few minutes"
    # What is never imported need not be compiled: of TensorFlow alone that is a minute.
    "$2/bin/python" -I -m pip install --quiet --no-compile --editable ".[$1]" </dev/null ||
        fail "pip could not install the packages; its message is above. Check the network and run this again."
    fingerprint "$2" >"$done_file"
}

case ${1:-} in
demo)
    install demo .venv 15 --system-site-packages
    ;;
city)
    install city .venv 15 --system-site-packages
    cp .venv/.installed-city .venv/.installed-demo # the extra "city" contains "demo"
    command -v npm >/dev/null 2>&1 || apt_install npm || :
    fetch_page_libraries needed
    ;;
test | test-servers)
    [ "$1" = test ] || FOR_TESTS="$FOR_TESTS
$FOR_SERVERS"
    install_for_tests
    install test .venv 15 --system-site-packages
    fetch_promtool
    fetch_axe
    [ "$1" = test ] || fetch_smart_data_models
    fetch_page_libraries optional
    for kind in demo city; do cp .venv/.installed-test ".venv/.installed-$kind"; done # "test" contains them
    ;;
models)
    # TensorFlow 2.15, which imports the TF1 graph, ends with Python 3.11.
    install models .venv-models 12
    ;;
smoke)
    install smoke .venv-models 12
    cp .venv-models/.installed-smoke .venv-models/.installed-models # the extra "smoke" contains "models"
    ;;
*)
    fail "say what for: deploy/prepare.sh demo, city, test, test-servers, models or smoke"
    ;;
esac
