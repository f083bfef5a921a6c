# Read by install.sh of the device and of the city side: how a release is made, which is in use, how it is changed; and
# for the device, how it is judged and taken back. Every release carries both files. The reader sets `here`, its own folder,
# and `root`, that of the repository above it where it is no archive.
#
# A release is a folder with everything that belongs together: program, environment, units, this file. `current` is a
# link to it; its units are copied to where systemd looks (`systemctl enable` would follow links into one release). A
# switch that a power cut has halved is made again at the boot, by the judge.
#
# A new release is on probation. Its judge is a unit of its own, so a lost connection or a power cut does not end it, and it
# runs from the folder of the probation, so no fault of a unit in the new release can keep it from going back. It counts
# crashes itself: StartLimitBurst in the unit would leave a device whose camera is dead without a service, and OnFailure
# does not see a crash after which systemd starts the service again.
# shellcheck shell=sh disable=SC2154

opt=/opt/edge-app etc=/etc/edge-app state=/var/lib/edge-app bin=/usr/local/bin
units=/usr/local/lib/systemd/system
of_root=/etc/systemd/system
probation=$opt/probation outcome=$opt/outcome judge=edge-app-probation.service
crashes_most=3
probation_s=600

say() {
    echo "install: $*" >&2
}

fail() {
    say "$1"
    exit "${2:-1}"
}

# With 0 every new release would go back at once; with what is no number it would end in the middle, with the new release
# started and nobody there to go back.
check_healthy_s() {
    case ${healthy_s#"${healthy_s%%[!0]*}"} in '' | *[!0-9]*) fail "HEALTHY_S is '$healthy_s': give whole seconds, such as 120" 2 ;; esac
}

# --- making a release

# Prints processor and Python: a 32-bit system may run on a 64-bit kernel, so Python is asked what its packages must be for.
this_system() {
    /usr/bin/python3 -I -c 'import sys, sysconfig
print((sysconfig.get_config_var("MULTIARCH") or "-").partition("-")[0], "%d.%d" % sys.version_info[:2])' ||
        fail "there is no Python here: apt-get install python3 python3-venv"
}

# check_archive PROCESSOR PYTHON: the archive is for these, and whole
check_archive() {
    for_processor=$(cat "$here/processor") for_pythons=$(cat "$here/pythons")
    [ "$1" = "$for_processor" ] || fail "this archive is for the processor $for_processor, and this system is for $1: take the archive for that"
    case " $for_pythons " in *" $2 "*) ;; *) fail "this archive is for Python $for_pythons, and this system has $2" ;; esac
    (cd "$here" && sha256sum --check --quiet --strict SHA256SUMS >&2) ||
        fail "the archive is damaged: copy it again, and compare it with the SHA256SUMS that lies beside it"
}

# Prints what a release is made of, in one number: the same again is started and not built again.
identity() {
    {
        /usr/bin/python3 -I -V
        if [ -d "$here/wheels" ]; then
            cat "$here/SHA256SUMS"
        else
            cd "$root"
            find edge_app systemd deploy models/artefacts pyproject.toml -type f ! -name '*.pyc' -exec sha256sum {} + | sort
        fi
    } | sha256sum | cut -d' ' -f1
}

is_installed() {
    is=$(identity)
    [ -n "$(current)" ] && [ "$is" = "$(cat "$(current)/identity" 2>/dev/null)" ]
}

# Prints the folder of a release that is not there yet.
new_release() {
    release=$opt/releases/$(date -u +%Y%m%d-%H%M%S)
    while [ -e "$release" ]; do release=$release-again; done # a clock that was not set tells a time twice
    echo "$release"
}

# make_environment RELEASE [OPTION]: of `python3 -m venv`
make_environment() {
    made=$1
    shift
    /usr/bin/python3 -I -m venv "$@" "$made" >&2 || {
        rm -rf "$made"
        fail "no environment could be made; if python3-venv is missing: apt-get install python3-venv"
    }
}

# install_into RELEASE ARGUMENT...: of `pip install`
install_into() {
    made=$1
    shift
    "$made/bin/python" -I -m pip install --quiet --no-compile --disable-pip-version-check "$@" >&2 </dev/null || {
        rm -rf "$made"
        fail "pip could not install the program; its message is above, and what was installed before is untouched"
    }
}

# must_start RELEASE ARGUMENT...: of a command of the program that changes nothing
must_start() {
    made=$1
    shift
    "$made/bin/python" -I "$made/bin/edge-app" "$@" >/dev/null || {
        rm -rf "$made"
        fail "the new release does not start; what was installed before is untouched"
    }
}

# end_release RELEASE: it is whole, and on the disk; prints it
end_release() {
    identity >"$1/identity"
    sync -f "$1"
    echo "$1"
}

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

# Beside install.sh in an archive and in a release, in the folder above in a repository.
unit_folder() {
    if [ -d "$here/systemd" ]; then echo "$here/systemd"; else echo "$root/systemd"; fi
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

booted() {
    [ -d /run/systemd/system ]
}

# is_of_server UNIT: it belongs to the detector as a service or to the city side, which are never on a device
is_of_server() {
    case ${1##*/} in edge-app-serve.service | edge-app-city*) return 0 ;; *) return 1 ;; esac
}

# tell WHAT: what becomes of the present change, for whoever asks, and for the office where that has ordered it
tell() {
    put "$1" $outcome
    of=${ORDER_ID-$(cat $probation/order 2>/dev/null || true)}
    [ -z "$of" ] || put "$of $1" $opt/ordered
}

# put TEXT FILE: as a whole, also over a power cut
put() {
    echo "$1" >"$2.new"
    mv "$2.new" "$2"
}

# switch_to RELEASE: program and units
switch_to() {
    install -d -m 755 $units
    for unit in "$1"/systemd/*; do
        case ${unit##*/} in $judge) ;; *) put_unit "$unit" ;; esac
    done
    for unit in $units/edge-app*; do
        [ "${unit##*/}" != $judge ] && ! is_of_server "$unit" || continue
        [ ! -e "$1/systemd/${unit##*/}" ] || continue
        ! booted || systemctl disable --quiet --now "${unit##*/}" 2>/dev/null || true
        rm -f "$unit"
    done
    sync -f $units
    point current "$1"
    ! booted || systemctl daemon-reload
}

put_unit() {
    cp "$1" "$units/${1##*/}.new"
    mv -T "$units/${1##*/}.new" "$units/${1##*/}"
}

# Earlier installers copied the units to /etc/systemd/system: they become part of the release to which they belong.
adopt_units() {
    release=$(current)
    [ -n "$release" ] && [ ! -d "$release/systemd" ] || return 0
    rm -rf "$release/systemd.new"
    mkdir "$release/systemd.new"
    for unit in $of_root/edge-app.service $of_root/edge-app@.service $of_root/edge-app-page.service \
        $of_root/edge-app-reader.* $of_root/edge-app-keeper*.*; do
        [ ! -f "$unit" ] || [ -L "$unit" ] || cp "$unit" "$release/systemd.new/"
    done
    mv -T "$release/systemd.new" "$release/systemd"
    for unit in "$release"/systemd/*; do
        name=$(basename "$unit")
        rm -f "$of_root/$name"
        for link in $of_root/*.wants/"${name%%@*}"*; do
            [ "$(readlink "$link" || true)" != "$of_root/$name" ] || ln -sfn "$units/$name" "$link"
        done
    done
    switch_to "$release"
}

# Two releases stay, and one that is on probation.
forget_old() {
    for release in $opt/releases/*; do
        case $release in
        "$(current)" | "$(readlink $opt/previous || true)" | "$(cat $probation/back 2>/dev/null)") ;;
        *) rm -rf "$release" ;;
        esac
    done
}

# --- cameras: the unit edge-app.service, and edge-app@NAME.service for each further one

# Prints those that shall run: that systemd starts at boot, or that run now.
cameras() {
    {
        for link in $of_root/*.wants/edge-app.service $of_root/*.wants/edge-app@*.service; do
            [ ! -L "$link" ] || basename "$link"
        done
        systemctl list-units --plain --no-legend --state=active,activating edge-app.service 'edge-app@*.service' \
            2>/dev/null | cut -d' ' -f1
    } | sort -u
}

# look UNIT: asks systemd about it once, for the functions below; only plain words get through to eval
look() {
    LoadState='' ActiveState='' SubState='' Result='' InvocationID='' started=0 pinged=0 broker=no closed='' every=''
    eval "$(systemctl show -p LoadState -p ActiveState -p SubState -p Result -p InvocationID -p StatusText \
        -p ExecMainStartTimestampMonotonic -p WatchdogTimestampMonotonic "$1" |
        sed -n 's/^ExecMainStart.*=/started=/; s/^Watchdog.*=/pinged=/; /^[A-Za-z]*=[0-9a-z-]*$/p
            /^StatusText=/ { h; s/.*; broker connected.*/broker=yes/p; g
                s/.*; \([0-9]\{1,12\}\) intervals of \([0-9]\{1,5\}\) s.*/closed=\1 every=\2/p; }')"
}

# It pings only while it processes fresh frames: a ping from this life is the proof of all of the way.
counts() {
    [ "$ActiveState" = active ] && [ "$pinged" -gt $((started + 5000000)) ]
}

# A dead camera looks like a hang: systemd ends the service for it, and that is no fault of the release.
crashed() {
    case $ActiveState:$SubState in *:auto-restart* | failed:*) ;; *) return 1 ;; esac
    case $Result in success | watchdog) return 1 ;; esac
}

# Neither a mistake in the configuration (exit 2) nor a unit that systemd refuses mends itself.
hopeless() {
    [ "$LoadState" != loaded ] || [ "$ActiveState" = failed ]
}

# Whole seconds that no change of the clock touches.
seconds() {
    cut -d. -f1 /proc/uptime
}

# start_cameras [all]: with `all` those too that count; remembers in $probation/lives the lives that end with it
start_cameras() {
    mkdir -p $probation/lives
    for camera in $(cat $probation/cameras); do
        look "$camera"
        : >"$probation/lives/$camera"
        [ "${1:-}" = all ] || ! counts || continue
        echo "$InvocationID" >"$probation/lives/$camera"
        systemctl reset-failed "$camera" 2>/dev/null || true
        systemctl restart --no-block "$camera" || true
    done
}

# Notes each crashed life of the camera that was looked at once, and succeeds at the third.
crashed_too_often() {
    lives=$probation/crashes/$camera
    if crashed && ! grep -qx "$InvocationID" "$lives" 2>/dev/null; then
        mkdir -p $probation/crashes
        echo "$InvocationID" >>"$lives"
    fi
    [ -e "$lives" ] && [ "$(wc -l <"$lives")" -ge $crashes_most ] || return 1
    reason="$camera has crashed $crashes_most times"
}

# Succeeds when all count that have to, within the time that they have; else tells why in $reason.
wait_healthy() {
    begin=$(seconds)
    while :; do
        waiting=
        for camera in $(cat $probation/cameras); do
            look "$camera"
            ! crashed_too_often || return 1
            if [ "$InvocationID" = "$(cat "$probation/lives/$camera" 2>/dev/null)" ] && [ "$LoadState" = loaded ]; then
                waiting="$waiting $camera"
            elif hopeless; then
                reason="$camera does not start" && return 1
            elif grep -qx "$camera" $probation/blind; then
                [ $(($(seconds) - begin)) -ge 15 ] || waiting="$waiting $camera"
            else
                counts || waiting="$waiting $camera"
            fi
        done
        [ -n "$waiting" ] || return 0
        reason="not counting after $healthy_s s:$waiting"
        [ $(($(seconds) - begin)) -lt "$healthy_s" ] || return 1
        sleep 1
    done
}

# --- the probation

# begin_probation RELEASE [BACK]: has a release judged that goes back to BACK, or stays where there is nothing to go back to
begin_probation() {
    rm -rf $probation.new
    mkdir -m 755 $probation.new
    echo "$1" >$probation.new/release
    [ -z "${2:-}" ] || echo "$2" >$probation.new/back
    echo "$healthy_s" >$probation.new/healthy_s
    cameras >$probation.new/cameras
    # Those that run and do not count, as with a dead camera, need not count with the new release either.
    for camera in $(cat $probation.new/cameras); do
        look "$camera"
        if [ -n "${2:-}" ] && [ "$ActiveState" = active ] && ! counts; then echo "$camera"; fi
        [ $broker = no ] || echo "$camera" >>$probation.new/broker
        [ -z "$closed" ] || echo "$closed" >"$probation.new/closed-$camera"
    done >$probation.new/blind
    cp "$here/install.sh" "$here/releases.sh" $probation.new/
    [ -z "${ORDER_ID:-}" ] || echo "$ORDER_ID" >$probation.new/order
    supersede
    systemctl stop $judge 2>/dev/null || true
    # The judge before its case: a power cut may not leave a probation for which nobody is there at the boot.
    install -d -m 755 $units $of_root/multi-user.target.wants
    put_unit "$(unit_folder)/$judge"
    ln -sfn $units/$judge $of_root/multi-user.target.wants/$judge
    sync -f $units
    rm -rf $probation
    mv -T $probation.new $probation
    sync -f $opt
    tell judging
    start_judge
}

start_judge() {
    systemctl daemon-reload
    systemctl start $judge
}

# An order whose release is on probation ends where another change of the release begins.
supersede() {
    was=$(cat $probation/order 2>/dev/null || true)
    [ -z "$was" ] || [ "$was" = "${ORDER_ID:-}" ] ||
        put "$was failed: another change of the release came before its end" $opt/ordered
}

end_probation() {
    tell "$1"
    rm -f $units/$judge $of_root/multi-user.target.wants/$judge
    rm -rf $probation
    ! booted || systemctl daemon-reload
}

# take_back WHY: makes the release before the one that is on probation, with nothing left to go back to
take_back() {
    say "$1: going back to the release before"
    echo "$1" >$probation/why
    rm -rf $probation/crashes $probation/began $probation/counts $probation/lives $probation/switched
    : >$probation/blind
    mv $probation/back $probation/release
    tell judging
}

# What the judge's unit runs, again after a reboot.
do_judge() {
    while [ -e $probation/release ]; do judge_once; done
}

judge_once() {
    release=$(cat $probation/release) healthy_s=$(cat $probation/healthy_s) reason=
    why=$(cat $probation/why 2>/dev/null || true)
    if [ ! -e $probation/began ]; then
        if [ "$(current)" != "$release" ]; then
            # a judge that is killed between the switch and the restart must not take the old program for the new one
            touch $probation/switched
            [ -e $probation/back ] || [ -n "$why" ] || point previous "$(current)"
            switch_to "$release"
        fi
        if [ ! -e $probation/switched ]; then
            start_cameras
        else
            [ ! -e "$release/systemd/edge-app-release.path" ] || systemctl enable --quiet --now edge-app-release.path || true
            start_cameras all
            systemctl restart edge-app-keeper.socket edge-app-reader.socket 2>/dev/null || true
            systemctl try-restart edge-app-reader.service edge-app-page.service 2>/dev/null || true
        fi
        touch $probation/began
    fi
    if [ -e $probation/counts ] || wait_healthy; then
        if [ -e $probation/back ] && ! watch; then
            take_back "$reason"
            return
        fi
        [ ! -e $probation/back ] || point previous "$(cat $probation/back)"
        end_probation "${why:+back: }${why:-kept}"
    elif [ -e $probation/back ]; then
        take_back "$reason"
        return
    else
        end_probation "failed: ${why:+$why; and with the release before: }$reason"
    fi
    forget_old
}

# Succeeds when by the end of the probation no camera has crashed too often, each that had the broker before has had it
# again, and each goes on with its intervals; else tells why in $reason.
watch() {
    touch $probation/counts
    tell counts
    begin=$(seconds)
    while [ $(($(seconds) - begin)) -lt $probation_s ]; do
        for camera in $(cat $probation/cameras); do
            look "$camera"
            ! crashed_too_often || return 1
            note_delivery
        done
        sleep 2 # a crash can be seen for RestartSec=5
    done
    for camera in $(cat $probation/cameras); do
        look "$camera"
        ! delivers_no_more || return 1
    done
}

note_delivery() {
    [ $broker = no ] || grep -qx "$camera" $probation/reached 2>/dev/null || echo "$camera" >>$probation/reached
    [ -z "$closed" ] || [ -e "$probation/closed-$camera" ] || echo "$closed" >"$probation/closed-$camera"
}

# The camera that was looked at has lost the broker since it has this release, or does not go on with its intervals. Once
# is enough for the broker: one that is away later is no fault of the release. Long intervals end after the probation.
delivers_no_more() {
    if grep -qx "$camera" $probation/broker 2>/dev/null && ! grep -qx "$camera" $probation/reached 2>/dev/null; then
        reason="$camera has not reached the broker within $((probation_s / 60)) minutes, and had it before"
        return 0
    fi
    before=$(cat "$probation/closed-$camera" 2>/dev/null) && [ -n "$closed" ] && counts || return 1
    reason="$camera does not go on with its intervals"
    [ "$closed" -lt "$before" ] || { [ "$closed" = "$before" ] && [ "$every" -le $((probation_s / 2)) ]; }
}

# Waits for the judge's word on what begin_probation has begun, and ends with it.
await_outcome() {
    while [ "$(cat $outcome)" = judging ]; do
        [ -e $probation/release ] && ! systemctl is-active --quiet $judge && [ "$(cat $outcome)" = judging ] &&
            fail "the judge of the release has ended: journalctl -u $judge says why"
        sleep 1
    done
    told=$(cat $outcome)
    case $told in
    kept | "back: on request") say "counting" ;;
    counts) say "counting; for $((probation_s / 60)) minutes a third crash still brings the release before back" ;;
    back:*) fail "went back to the release before: ${told#back: }; journalctl -u edge-app says more" 3 ;;
    *) fail "${told#failed: }; journalctl -u edge-app says more" ;;
    esac
}
