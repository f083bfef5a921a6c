#!/bin/sh
# Puts the counter on a device, renews it or takes it away; a second run changes nothing that is right already.
#
#   install.sh install [--offline]   a new release beside the old one; one that is not healthy in time goes back
#   install.sh start                 what is installed, and waits until it counts
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
healthy_s=${HEALTHY_S:-120}
[ -f "$here/releases.sh" ] || { echo "install: releases.sh is missing beside $0: copy the whole folder" >&2 && exit 1; }
# The whole archive is compared later, by what stands there.
if [ -f "$here/SHA256SUMS" ] && ! (cd "$here" && grep ' \./releases\.sh$' SHA256SUMS | sha256sum --check --status); then
    echo "install: the archive is damaged: copy it again, and compare it with the SHA256SUMS that lies beside it" >&2
    exit 1
fi
. "$here/releases.sh"

root=$here/..

check_healthy_s

# --- the system beneath

check_system() {
    has=$(this_system)
    if [ ! -d "$here/wheels" ]; then
        [ "${has% *}" != arm ] || check_32_bit "${has#* }"
        return 0
    fi
    [ "${has% *}" != arm ] ||
        fail "this archive is for the processor $(cat "$here/processor"): a 32-bit ARM is installed with internet, from the repository"
    check_archive "${has% *}" "${has#* }"
}

# There are no wheels of numpy, OpenCV and cryptography for it, and of the runtime only for Pythons up to 3.11.
check_32_bit() {
    case $1 in 3.1[01]) ;; *) fail "on 32-bit ARM only Python 3.10 and 3.11 (Bookworm) can be used, and this is $1: take a 64-bit system" ;; esac
    /usr/bin/python3 -I -c 'import cv2, cryptography, numpy' 2>/dev/null ||
        fail "on 32-bit ARM the system's own numpy, OpenCV and cryptography are used: apt-get install python3-numpy python3-opencv python3-cryptography, then this again"
    [ "$(uname -m)" = armv7l ] ||
        fail "this 32-bit system runs on a 64-bit kernel, for which pip would take other packages: set arm_64bit=0 in /boot/firmware/config.txt and restart, or better take a 64-bit system"
}

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
    [ -z "$missing" ] || say "only a preview and cameras over GStreamer need more than is here; for these, with internet: apt-get install$missing"
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

# --- a new release

# Prints the folder of a new release, complete; a half one is never pointed to.
build_release() {
    release=$(new_release)
    python=/usr/bin/python3
    $python -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "$python is older than 3.10"
    make_environment "$release" --system-site-packages
    if [ -d "$here/wheels" ]; then
        set -- --no-index --find-links "$here/wheels" edge-app
    else
        set -- "$root"
    fi
    # what apt built with numpy 1, as picamera2's simplejpeg on Debian 12, does not load beside numpy 2
    $python -I -c 'import sys; sys.exit(sys.version_info >= (3, 12))' && set -- "$@" 'numpy<2'
    install_into "$release" "$@"
    # shellcheck disable=SC2046
    $python -I "$here/slim.py" "$release" $(current) || say "the release could not be made smaller"
    must_start "$release" --help
    cp -r "$here/install.sh" "$here/releases.sh" "$here/slim.py" "$here/unpack.py" "$(unit_folder)" "$release/"
    for unit in "$release"/systemd/*; do ! is_of_server "$unit" || rm -f "$unit"; done
    end_release "$release"
}

# The sockets cost nothing until somebody opens the page, which runs only after `edge-app page --password`.
enable_units() {
    systemctl enable --quiet edge-app.service
    systemctl enable --quiet --now edge-app-release.path || say "no releases come from the office: systemctl status edge-app-release.path"
    systemctl enable --quiet --now edge-app-keeper.socket edge-app-reader.socket || say "the page cannot save or read: systemctl status edge-app-keeper.socket"
    [ ! -s $etc/credentials/page_password ] || systemctl enable --quiet edge-app-page.service
}

# --- commands

do_install() {
    check_system
    alone
    if is_installed; then
        say "this release is installed already"
        do_start
        return
    fi
    if [ "${1:-}" = --offline ] || [ -d "$here/wheels" ]; then tell_missing; else apt_packages; fi
    accounts
    folders
    adopt_units
    before=$(cat $probation/back 2>/dev/null || current)
    release=$(build_release)
    if [ -z "$before" ] || ! booted || [ -z "$(cameras)" ]; then
        switch_to "$release"
        [ -z "$before" ] || point previous "$before"
        forget_old
        command_link
        do_start
        return
    fi
    begin_probation "$release" "$before"
    command_link
    await_outcome
}

# Starts what is installed, and waits until it counts.
do_start() {
    [ -n "$(current)" ] || fail "nothing is installed yet: sudo $0 install"
    if [ ! -e $etc/edge-app.toml ]; then
        say "installed. Now: sudo edge-app setup"
        say "then: sudo $opt/current/install.sh start, which waits until it counts"
    elif ! booted; then
        say "installed; it starts with the device"
        systemctl enable --quiet edge-app.service
    else
        enable_units
        [ -e $probation/release ] || begin_probation "$(current)"
        await_outcome
    fi
}

# A release that is on probation, or on its way back by itself: then the one before that has nothing to do with it.
on_trial() {
    [ -e $probation/back ] || [ -e $probation/why ]
}

do_rollback() {
    alone
    ! on_trial || systemctl stop $judge || true
    if on_trial; then
        [ -z "${ORDER_ID:-}" ] || echo "$ORDER_ID" >$probation/order
        [ ! -e $probation/back ] || take_back "on request"
        systemctl start $judge
    else
        before=$(readlink $opt/previous) && [ -d "$before" ] && [ "$before" != "$(current)" ] ||
            fail "there is no release before this one"
        if booted; then
            begin_probation "$before"
        else
            point previous "$(current)"
            switch_to "$before"
        fi
    fi
    ! booted || await_outcome
    say "back at $(basename "$(current)")"
}

# --- releases that were sent

sent=$state/update box=$opt/update

# Installs what lies in $sent: a release for which the holder of the city's key has signed. It is another user's folder,
# so only copies are looked at, and nothing of it but three names.
do_update() {
    alone
    ORDER_ID=
    carry_out update
    exit "$code"
}

# Does what the office has ordered through the service: installs a release, or goes back. Of the service nothing is
# believed: order_check.py says whether a key of this device's own file has signed the order. The order stays in $sent until
# its end is known, so that a power cut begins it again, three times at most.
do_ordered() {
    alone
    new_box
    # what an installation has left that the power ended
    [ -e $probation/release ] || forget_old
    if ! order=$(take $sent/order.json 16384 && check_order); then
        drop_order
        exit 1
    fi
    ORDER_ID=$(echo "$order" | cut -d' ' -f2) code=0
    export ORDER_ID
    if is_concluded; then
        [ ! -e $probation/release ] || start_judge
    else
        case $order in
        refused*) put "$ORDER_ID failed: $(echo "$order" | cut -d' ' -f3-)" $opt/ordered && code=1 ;;
        *) carry_out "${order%% *}_order" ;;
        esac
    fi
    drop_order
    exit "$code"
}

# Only one change of the release at a time; the others wait for their turn. An installer that was begun by another one of
# them has it already.
alone() {
    [ -z "${ALONE:-}" ] || return 0
    mkdir -p $opt
    exec 9>$opt/lock
    flock 9
    export ALONE=1
}

# carry_out WHAT: and has $outcome say why, where it fails; sets $code
carry_out() {
    set +e
    (set -e && "$1") 2>$opt/said
    code=$?
    set -e
    cat $opt/said >&2
    case $code:$(cat $outcome 2>/dev/null) in
    0:* | 3:*) ;;
    *) tell "failed: $(tail -n 1 $opt/said | sed 's/^install: //')" ;;
    esac
}

check_order() {
    $opt/current/bin/python -I -m edge_app.commands._order_check $box/order.json --config $etc/edge-app.toml \
        --noted $opt/order.json --box $box
}

# It was carried out before this was interrupted: what the judge says of it counts, and it is not done again.
is_concluded() {
    case $(cat $opt/ordered 2>/dev/null) in
    "$ORDER_ID installing") [ "$(cat $probation/order 2>/dev/null)" = "$ORDER_ID" ] ;;
    "$ORDER_ID "*) ;;
    *) return 1 ;;
    esac
}

drop_order() {
    rm -rf $box $sent
}

rollback_order() {
    tell installing
    do_rollback
}

release_order() {
    tell installing
    set -- $order
    # a copy, unpacked, and installed
    needed_kb=$(($4 / 1024 * 5)) free_kb=$(df -Pk $opt | tail -n 1 | tr -s ' ' | cut -d' ' -f4)
    [ "$free_kb" -ge "$needed_kb" ] || fail "the disk has $((free_kb / 1024)) MB free, and $((needed_kb / 1024)) are needed"
    take $sent/release.tar.xz "$4"
    [ "$(sha256sum <$box/release.tar.xz | cut -d' ' -f1)" = "$3" ] || fail "the release is not the one that the office has ordered"
    install_box "$5"
}

update() {
    tell installing
    [ -s $etc/release.pub ] || fail "this device takes no releases from others: it has no $etc/release.pub"
    new_box
    take $sent/SHA256SUMS 65536
    take $sent/SHA256SUMS.sig 4096
    take $sent/release.tar.xz 1073741824
    install_box newer
}

# install_box newer|older: what is in $box, if the key of the builds has signed it
install_box() {
    key=$etc/release.pub
    [ -s $key ] || refuse "this device takes no releases from others: it has no $key"
    openssl pkeyutl -verify -pubin -inkey $key -rawin -in $box/SHA256SUMS -sigfile $box/SHA256SUMS.sig >/dev/null 2>&1 ||
        refuse "the release is not signed with the key of this device ($key)"
    name=$(sed -n "s/^$(sha256sum <$box/release.tar.xz | cut -d' ' -f1)  \(edge-app-[0-9][0-9a-z.]*-[a-z0-9_]*\)\.tar\.xz$/\1/p" $box/SHA256SUMS)
    [ -n "$name" ] || refuse "the release is not one of those that were signed"
    # What was signed once stays signed, and somebody may keep an old one with a fault that is known.
    now=$($opt/current/bin/edge-app --version | cut -d' ' -f2) new=$(echo "$name" | cut -d- -f3)
    [ "$1" = older ] || [ "$(printf '%s\n%s\n' "$now" "$new" | sort -V | tail -n 1)" = "$new" ] ||
        refuse "the release is $new, older than the $now that is installed: the office may order an older one, or somebody installs it by hand"
    mkdir $box/release
    /usr/bin/python3 -I "$here/unpack.py" $box/release.tar.xz "$name" $box/release ||
        refuse "the archive is not one of ours, its content is wrong"
    rm -f $box/release.tar.xz
    # an order stays until its end is known
    [ -n "${ORDER_ID:-}" ] || rm -rf $sent
    if sh $box/release/install.sh install --offline; then code=0; else code=$?; fi
    rm -rf $box
    return $code
}

new_box() {
    rm -rf $box
    mkdir -m 700 $box
}

# take FILE BYTES: copies a file that was sent, at most so much of it
take() {
    [ -f "$1" ] && [ ! -L "$1" ] && timeout --foreground 600 head -c "$2" "$1" >"$box/${1##*/}" || refuse "no release has been sent: $1 is absent"
}

refuse() {
    rm -rf $box
    fail "$1"
}

do_uninstall() {
    all=$(cameras)
    systemctl disable --now --quiet $judge 2>/dev/null || true
    # shellcheck disable=SC2086
    systemctl disable --now --quiet $all edge-app-page.service edge-app-reader.socket edge-app-reader.service \
        edge-app-keeper.socket edge-app-release.path 2>/dev/null || true
    [ "$(readlink $bin/edge-app || true)" != $opt/current/bin/edge-app ] || rm -f $bin/edge-app
    rm -rf $opt
    for unit in $units/edge-app*; do is_of_server "$unit" || rm -f "$unit"; done
    ! booted || systemctl daemon-reload
    if [ "${1:-}" = --purge ]; then
        ! getent passwd edge-app >/dev/null ||
            find /var/lib -maxdepth 1 -name 'edge-app*' -user edge-app -exec rm -rf {} +
        rm -rf $etc
        rm -rf $of_root/edge-app.service.d $of_root/edge-app@*.service.d
        userdel edge-app 2>/dev/null || true
        userdel edge-app-page 2>/dev/null || true
        say "everything is gone, counts and secrets of every camera included"
    else
        say "the program is gone; $etc and the counts of every camera in /var/lib are kept (uninstall --purge removes them)"
    fi
}

case ${1:-}:${2:-} in
install: | install:--offline | start: | rollback: | judge: | update: | ordered: | uninstall: | uninstall:--purge) ;;
*) sed -n '4,7s/^# *//p' "$here/$(basename -- "$0")" >&2 && exit 2 ;;
esac
[ "$(id -u)" = 0 ] || fail "must be run as root: sudo $0 $*"
"do_$1" "${2:-}"
