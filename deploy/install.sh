#!/bin/sh
# Puts the counter on a device, renews it or takes it away; a second run changes nothing that is right already.
#
#   install.sh install [--offline]   a new release beside the old one; one that is not healthy in time goes back
#   install.sh rollback              the release before
#   install.sh uninstall [--purge]   the program; with --purge also configuration, secrets and counts
#
# From an archive (make archive) it needs no internet; from a repository it fetches packages. Debian 12 and 13,
# Raspberry Pi OS Bookworm and Trixie, JetPack 6. HEALTHY_S: how long a new release may take (120 s).
# Exit 2 for a wrong call, 1 when it cannot be done, 3 when it went back to the release before.
set -eu
umask 022
# This runs as root, perhaps from a folder in which others can write. So the caller's PATH is not used to find programs,
# and -I below keeps the current folder and PYTHONPATH out of the search for Python modules.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd /
opt=/opt/edge-app etc=/etc/edge-app state=/var/lib/edge-app units=/etc/systemd/system bin=/usr/local/bin
healthy_s=${HEALTHY_S:-120}

say() {
    echo "install: $*" >&2
}

fail() {
    say "$1"
    exit "${2:-1}"
}

# Else it would end in the middle, with the new release started and nobody there to go back.
case $healthy_s in '' | *[!0-9]*) fail "HEALTHY_S is '$healthy_s': give whole seconds, such as 120" 2 ;; esac

# --- the system beneath

# plugins-bad parses H.264; ugly and bad encode it where no hardware does (Raspberry Pi 5, Orin Nano, a PC).
# picamera2 exists on Raspberry Pi OS alone.
PACKAGES='python3 python3-venv openssl python3-gi python3-gst-1.0 gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly'

apt_packages() {
    command -v apt-get >/dev/null || fail "this is no Debian: apt-get is missing"
    apt-get update -qq || say "apt-get update failed; trying with the package lists that are there"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $PACKAGES >/dev/null ||
        fail "apt could not install $PACKAGES"
    if apt-cache show python3-picamera2 >/dev/null 2>&1; then
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-picamera2 >/dev/null ||
            say "python3-picamera2 could not be installed: a camera on the ribbon cable will not be found"
    fi
}

# Packages do not travel in the archive.
tell_missing() {
    missing=
    for package in $PACKAGES; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing="$missing $package"
    done
    [ -z "$missing" ] || say "not everything for preview and GStreamer cameras is there; with internet: apt-get install$missing"
}

accounts() {
    for group in video render; do getent group $group >/dev/null || groupadd --system $group; done
    getent passwd edge-app >/dev/null ||
        useradd --system --user-group --home-dir $state --no-create-home --shell /usr/sbin/nologin edge-app
    getent passwd edge-app-page >/dev/null ||
        useradd --system --user-group --home-dir / --no-create-home --shell /usr/sbin/nologin edge-app-page
}

folders() {
    install -d -m 755 $opt $opt/releases $etc
    install -d -m 700 $etc/credentials
    for secret in mqtt_password mqtt_key source_password preview_password page_password page_cert page_key; do
        [ -e $etc/credentials/$secret ] || install -m 600 /dev/null $etc/credentials/$secret
    done
}

# --- releases

current() {
    readlink $opt/current || true
}

# A link is replaced in one step, so that there is a program at every moment, also after a power cut.
point() {
    ln -sfn "$2" "$opt/$1.new"
    mv -T "$opt/$1.new" "$opt/$1"
}

# Prints the folder of a new release, complete; a half one is never pointed to.
build_release() {
    release=$opt/releases/$(date -u +%Y%m%d-%H%M%S)
    python=/usr/bin/python3
    $python -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "$python is older than 3.10"
    $python -I -m venv --system-site-packages "$release" >&2 || {
        rm -rf "$release"
        fail "no environment could be made; if python3-venv is missing: apt-get install python3-venv"
    }
    if [ -d "$here/wheels" ]; then
        set -- --no-index --find-links "$here/wheels" edge-app
    else
        set -- "$here/.."
    fi
    # what apt built with numpy 1, as picamera2's simplejpeg on Debian 12, does not load beside numpy 2
    $python -I -c 'import sys; sys.exit(sys.version_info >= (3, 12))' && set -- "$@" 'numpy<2'
    "$release/bin/python" -I -m pip install --quiet --disable-pip-version-check "$@" >&2 </dev/null || {
        rm -rf "$release"
        fail "pip could not install the program; its message is above, and what was installed before is untouched"
    }
    "$release/bin/python" -I "$release/bin/edge-app" --help >/dev/null || fail "the new release does not start; what was installed before is untouched"
    echo "$release"
}

UNITS='edge-app.service edge-app@.service edge-app-page.service edge-app-reader.socket edge-app-reader.service edge-app-keeper.socket edge-app-keeper@.service'

# A program of the same name that somebody else has put there stays.
command_link() {
    target=$(readlink $bin/edge-app || true)
    if [ -e $bin/edge-app ] && [ "$target" != $opt/current/bin/edge-app ]; then
        say "$bin/edge-app is not ours and stays; the program is $opt/current/bin/edge-app"
        return
    fi
    install -d -m 755 $bin
    ln -sfn $opt/current/bin/edge-app $bin/edge-app
}

unit_files() {
    [ -d "$here/systemd" ] && from=$here/systemd || from=$here/../systemd
    for unit in $UNITS; do cp "$from/$unit" $units/; done
    # not so in the image of a card that is prepared elsewhere
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

# The sockets cost nothing until somebody opens the page, which runs only after `edge-app page --password`.
page_units() {
    systemctl enable --quiet --now edge-app-keeper.socket edge-app-reader.socket || say "the page cannot save or read: systemctl status edge-app-keeper.socket"
    [ ! -s $etc/credentials/page_password ] || systemctl enable --quiet edge-app-page.service
    systemctl try-restart edge-app-reader.service edge-app-page.service || true
}

# --- health

value() {
    systemctl show -P "$1" edge-app.service
}

# It pings only while it processes fresh frames: a ping from this life is the proof of all of the way.
healthy() {
    [ "$(value ActiveState)" = active ] || return 1
    [ "$(value WatchdogTimestampMonotonic)" -gt $(($(value ExecMainStartTimestampMonotonic) + 5000000)) ]
}

wait_healthy() {
    until=$(($(date +%s) + healthy_s))
    while [ "$(date +%s)" -lt "$until" ]; do
        if healthy; then return 0; fi
        sleep 1
    done
    return 1
}

start_and_check() {
    systemctl reset-failed edge-app.service 2>/dev/null || true
    systemctl restart edge-app.service || true
    wait_healthy
}

# --- commands

forget_old() {
    for release in "$opt"/releases/*; do
        [ "$release" = "$(current)" ] || [ "$release" = "$(readlink $opt/previous || true)" ] || rm -rf "$release"
    done
}

do_install() {
    if [ "${1:-}" = --offline ] || [ -d "$here/wheels" ]; then tell_missing; else apt_packages; fi
    accounts
    folders
    before=$(current)
    release=$(build_release)
    unit_files
    point current "$release"
    command_link
    if [ ! -e $etc/edge-app.toml ]; then
        say "installed. Now: sudo edge-app setup"
        say "then run this command again: it starts the service and waits until it counts"
        return
    fi
    systemctl enable --quiet edge-app.service
    page_units
    if start_and_check; then
        [ -z "$before" ] || point previous "$before"
        forget_old
        say "the new release is healthy"
        return
    fi
    [ -n "$before" ] || fail "installed, but not healthy after $healthy_s s: journalctl -u edge-app says why"
    say "not healthy after $healthy_s s: going back to the release before"
    point current "$before"
    rm -rf "$release"
    start_and_check || fail "the release before is not healthy either: journalctl -u edge-app says why"
    fail "went back; journalctl -u edge-app says what was wrong" 3
}

do_rollback() {
    before=$(readlink $opt/previous) || fail "there is no release before this one"
    now=$(current)
    point current "$before"
    point previous "$now"
    start_and_check || fail "the release before is not healthy: journalctl -u edge-app says why"
    say "back at $(basename "$before")"
}

do_uninstall() {
    systemctl disable --now --quiet edge-app.service edge-app-page.service edge-app-reader.socket edge-app-reader.service \
        edge-app-keeper.socket 2>/dev/null || true
    [ "$(readlink $bin/edge-app || true)" != $opt/current/bin/edge-app ] || rm -f $bin/edge-app
    rm -rf $opt
    for unit in $UNITS; do rm -f "$units/$unit"; done
    systemctl daemon-reload
    if [ "${1:-}" = --purge ]; then
        rm -rf $etc $state
        userdel edge-app 2>/dev/null || true
        userdel edge-app-page 2>/dev/null || true
        say "everything is gone, counts and secrets included"
    else
        say "the program is gone; $etc and $state are kept (uninstall --purge removes them)"
    fi
}

case ${1:-}:${2:-} in
install: | install:--offline | rollback: | uninstall: | uninstall:--purge) ;;
*) sed -n '4,6s/^# *//p' "$here/$(basename -- "$0")" >&2 && exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "must be run as root: sudo $0 $*"
"do_$1" "${2:-}"
