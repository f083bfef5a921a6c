#!/bin/sh
# Puts the city side on a machine, renews it or takes it away; a second run changes nothing that is right already.
#
#   install.sh install [--offline]   a new release beside the old one; one that does not answer in time goes back
#   install.sh install --backed-up   the same where the new release changes the tables, which nothing takes back
#   install.sh start                 what is installed, and waits until it answers
#   install.sh rollback              the release before
#   install.sh uninstall [--purge]   the program; with --purge also configuration, secrets and a SQLite database
#
# From an archive (make archive-city) it needs no internet; from a repository it fetches packages. Debian 12 and 13,
# Ubuntu 22.04 and newer. HEALTHY_S: how long a new release may take to answer (120 s).
# Exit 2 for a wrong call, 1 when it cannot be done, 3 when it went back to the release before, 4 when a backup is needed.
set -eu
umask 022
# This runs as root, perhaps from a folder in which others can write: see deploy/install.sh.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd /
healthy_s=${HEALTHY_S:-120}
library=$here/releases.sh
# Only a repository has it one folder above; beside an unpacked archive there may be anything.
[ -f "$library" ] || [ -f "$here/SHA256SUMS" ] || library=$here/../releases.sh
[ -f "$library" ] || { echo "install: releases.sh is missing beside $0: copy the whole folder" >&2 && exit 1; }
# The whole archive is compared later, by what stands there.
if [ -f "$here/SHA256SUMS" ] && ! (cd "$here" && grep ' \./releases\.sh$' SHA256SUMS | sha256sum --check --status); then
    echo "install: the archive is damaged: copy it again, and compare it with the SHA256SUMS that lies beside it" >&2
    exit 1
fi
. "$library"
opt=/opt/edge-app-city etc=/etc/edge-app-city state=/var/lib/edge-app-city
probation=$opt/probation
service=edge-app-city.service

root=$here/../..

check_healthy_s

# --- the machine

check_machine() {
    [ -d "$here/wheels" ] || [ -f "$root/pyproject.toml" ] ||
        fail "there is nothing to install beside this script: run the install.sh of an unpacked archive"
    has=$(this_system)
    /usr/bin/python3 -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python ${has#* } is older than 3.10"
    [ ! -d "$here/wheels" ] || check_archive "${has% *}" "${has#* }"
}

folders() {
    install -d -m 755 $opt $opt/releases $etc
    install -d -m 700 $etc/credentials
    for secret in mqtt_password mqtt_key database_password; do
        [ -e $etc/credentials/$secret ] || install -m 600 /dev/null $etc/credentials/$secret
    done
}

# --- a release

# Prints the folder of a new release, complete; a half one is never pointed to.
build_release() {
    release=$(new_release)
    make_environment "$release"
    if [ -d "$here/wheels" ]; then
        set -- --no-index --find-links "$here/wheels" 'edge-app[city]'
    else
        set -- "$root[city]"
    fi
    install_into "$release" "$@"
    must_start "$release" city config
    "$release/bin/python" -I -m compileall -q "$release/lib" >/dev/null 2>&1 || true
    mkdir "$release/systemd"
    cp "$(unit_folder)"/edge-app-city*.service "$release/systemd/"
    cp "$here/install.sh" "$library" "$release/"
    end_release "$release"
}

# The services that run, or that systemd starts at boot: the city side and its further workers.
services() {
    {
        for link in $of_root/*.wants/edge-app-city.service $of_root/*.wants/edge-app-city-worker@*.service; do
            [ ! -L "$link" ] || basename "$link"
        done
        systemctl list-units --plain --no-legend --state=active,activating $service 'edge-app-city-worker@*.service' \
            edge-app-city-office.service 2>/dev/null | cut -d' ' -f1
    } | sort -u
}

switch_to() {
    install -d -m 755 $units
    for unit in "$1"/systemd/*; do put_unit "$unit"; done
    sync -f $units
    point current "$1"
    ! booted || systemctl daemon-reload
}

# Refuses a release that changes the tables, unless a person says that there is a backup: no older one can use them then.
check_tables() {
    [ -e $etc/city.toml ] || return 0
    code=0
    sentence=$("$1/bin/edge-app" city check --tables --config $etc/city.toml 2>&1) || code=$?
    case $code:$2 in
    0:* | 4:--backed-up) return 0 ;;
    4:*)
        rm -rf "$1"
        say "$sentence"
        fail "make a backup (sudo edge-app city backup FILE), then: sudo $0 install --backed-up" 4
        ;;
    *)
        rm -rf "$1"
        fail "the new release cannot read its configuration or the database, and was not started: $sentence"
        ;;
    esac
}

# Succeeds when the services run, and page and database answer; else tells why in $reason.
answers() {
    for unit in $(services); do
        systemctl is-active --quiet "$unit" || {
            reason="$unit does not run"
            return 1
        }
    done
    reason=$($opt/current/bin/edge-app city status --config $etc/city.toml 2>&1)
}

wait_healthy() {
    begin=$(seconds)
    until answers; do
        [ $(($(seconds) - begin)) -lt "$healthy_s" ] || return 1
        sleep 1
    done
}

# --- commands

do_install() {
    check_machine
    if is_installed; then
        say "this release is installed already"
        do_start
        return
    fi
    folders
    before=$(current)
    release=$(build_release)
    check_tables "$release" "${1:-}"
    switch_to "$release"
    [ -z "$before" ] || point previous "$before"
    command_link
    if [ -z "$before" ] || ! booted || [ -z "$(services)" ]; then
        forget_old
        do_start
        return
    fi
    # shellcheck disable=SC2046
    systemctl restart --no-block $(services)
    if wait_healthy; then
        forget_old
        say "the new release answers"
        return
    fi
    [ "${1:-}" != --backed-up ] ||
        fail "the new release does not answer ($reason), and the one before may be unable to use the changed tables: journalctl -u $service; to go back restore the backup, then: sudo $0 rollback"
    say "the new release does not answer ($reason): going back to the release before"
    do_rollback
    exit 3
}

do_start() {
    [ -n "$(current)" ] || fail "nothing is installed yet: sudo $0 install"
    if [ ! -e $etc/city.toml ]; then
        say "installed. Now: sudo edge-app city setup"
        say "then: sudo $opt/current/install.sh start, which waits until it answers"
    elif ! booted; then
        say "installed; it starts with the machine"
        systemctl enable --quiet $service
    else
        systemctl enable --quiet $service
        systemctl start --no-block $service
        wait_healthy || fail "it does not answer: $reason; journalctl -u $service says more"
        say "it answers"
    fi
}

do_rollback() {
    before=$(readlink $opt/previous) && [ -d "$before" ] || fail "there is no release before this one"
    point previous "$(current)"
    switch_to "$before"
    if booted && [ -n "$(services)" ]; then
        # shellcheck disable=SC2046
        systemctl restart --no-block $(services)
        wait_healthy || fail "the release before does not answer either: $reason; journalctl -u $service says more"
    fi
    say "back at $(basename "$before")"
}

do_uninstall() {
    # shellcheck disable=SC2046
    [ -z "$(services)" ] || systemctl disable --now --quiet $(services) 2>/dev/null || true
    [ "$(readlink $bin/edge-app || true)" != $opt/current/bin/edge-app ] || rm -f $bin/edge-app
    rm -rf $opt
    rm -f $units/edge-app-city*.service
    ! booted || systemctl daemon-reload
    if [ "${1:-}" = --purge ]; then
        rm -rf $etc $state /var/lib/private/edge-app-city
        say "everything is gone, configuration, secrets and a SQLite database included; a PostgreSQL database is not touched"
    else
        say "the program is gone; $etc and the counts are kept (uninstall --purge removes them)"
    fi
}

case ${1:-}:${2:-}${3+ and more} in
install: | install:--offline | install:--backed-up | start: | rollback: | uninstall: | uninstall:--purge) ;;
*) sed -n '4,8s/^# *//p' "$here/$(basename -- "$0")" >&2 && exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "must be run as root: sudo $0 $*"
"do_$1" "${2:-}"
