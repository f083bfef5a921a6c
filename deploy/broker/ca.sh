#!/bin/sh
# The city's certificate authority: makes it, enrols devices and other users, revokes them.
#
#   ca.sh init    DIR                a new authority in DIR (an encrypted disk: whoever has DIR/ca.key owns all devices)
#   ca.sh server  DIR HOST           DIR/server.pem and .key for the broker; HOST is a name or an address
#   ca.sh node    DIR HOST           DIR/issued/node.HOST.pem and .key: a node of a broker's cluster, for its other nodes
#   ca.sh enrol   DIR SITE DEVICE    DIR/issued/SITE.DEVICE.pem and .key: certificate "SITE/DEVICE"
#   ca.sh enrol   DIR SITE DEVICE BROKER   also ....p12: all that `edge-app setup` needs, under a password that is shown
#   ca.sh reader  DIR NAME           DIR/issued/reader.NAME.pem and .key: certificate "reader.NAME", reads everything
#   ca.sh control DIR NAME           the same, "control.NAME": it may also send commands to every device
#   ca.sh worker  DIR NAME           the same, "worker.NAME": a further worker of the city, takes counts alone
#   ca.sh bridge  DIR NAME           the same, "bridge.NAME": a depot's broker
#   ca.sh revoke  DIR SITE DEVICE    every certificate of that device, into DIR/crl.pem
#   ca.sh revoke  DIR KIND.NAME      KIND: reader, control, worker or bridge
#
# DAYS sets how long a certificate holds: 825 by default. Exit 2 for a wrong call, 1 when openssl cannot do it.
set -eu
umask 077
# a-z is 26 letters in this one, and a character is a byte.
LC_ALL=C
export LC_ALL

fail() {
    printf 'ca.sh: %s\n' "$1" >&2
    exit "${2:-2}"
}

usage() {
    sed -n '4,14s/^# *//p' "$0" >&2
    exit 2
}

# What was given, fit to be shown: a line break or an escape sequence in it would forge what stands around it.
shown() {
    printf '%s' "$1" | tr -c ' -~' '?'
}

# case sees the whole text; grep would be content with one good line of several.
slug() {
    case $1 in
    '' | -* | *[!a-z0-9-]*) fail "\"$(shown "$1")\" may have only a-z, 0-9 and hyphens, and no hyphen in front" ;;
    esac
}

site() {
    slug "$1"
    case $1 in
    reader | control | worker | bridge) fail "a site cannot be called \"$1\": that is a kind of user here" ;;
    esac
}

host() {
    case $1 in
    '' | -* | *[!A-Za-z0-9.:-]*) fail "\"$(shown "$1")\" is no host name and no address" ;;
    esac
}

# HOST or HOST:PORT
broker() {
    case $1 in
    '' | -* | *[!]A-Za-z0-9.:[-]*) fail "\"$(shown "$1")\" is no broker: write HOST or HOST:PORT" ;;
    esac
}

# KIND.NAME
user() {
    case $1 in
    reader.* | control.* | worker.* | bridge.*) slug "${1#*.}" ;;
    *) fail "\"$(shown "$1")\" is no user: reader.NAME, control.NAME, worker.NAME or bridge.NAME, or a site and a device" ;;
    esac
}

quietly() {
    openssl "$@" >"$dir/openssl.log" 2>&1 || fail "openssl $1 failed: $(tail -n 1 "$dir/openssl.log")" 1
}

settings() {
    cat <<END
[ca]
default_ca = city
[city]
database = $dir/index.txt
new_certs_dir = $dir/issued
rand_serial = yes
unique_subject = no
default_md = sha256
policy = policy
certificate = $dir/ca.pem
private_key = $dir/ca.key
[policy]
commonName = supplied
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = ${1:-DNS:localhost}
[node]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = ${1:-DNS:localhost}
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[req]
distinguished_name = name
[name]
END
}

new_key() {
    quietly genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$1"
}

# issue NAME FILE KIND: a key and a certificate for CN=NAME at FILE.pem and FILE.key
issue() {
    [ ${#1} -le 64 ] || fail "\"$1\" is too long: a certificate takes names of at most 64 characters"
    new_key "$2.key"
    quietly req -new -config "$dir/openssl.cnf" -key "$2.key" -subj "/CN=$(printf '%s' "$1" | sed 's#/#\\/#g')" -out "$2.csr"
    quietly ca -batch -notext -config "$dir/openssl.cnf" -extensions "$3" -days "$days" -in "$2.csr" -out "$2.pem"
    rm "$2.csr"
    chmod 644 "$2.pem"
    echo "wrote $2.pem and $2.key: certificate \"$1\", for $days days" >&2
}

# The list holds as long as the authority: one that ran out would lock out everybody, not only the revoked.
renew_list() {
    quietly ca -config "$dir/openssl.cnf" -gencrl -crldays 7300 -out "$dir/crl.pem"
    chmod 644 "$dir/crl.pem"
}

init() {
    [ ! -e "$dir/ca.key" ] || fail "$dir holds an authority already; a second one would make every device a stranger"
    mkdir -p "$dir/issued"
    : >"$dir/index.txt"
    settings >"$dir/openssl.cnf"
    new_key "$dir/ca.key"
    quietly req -x509 -new -config "$dir/openssl.cnf" -extensions authority -key "$dir/ca.key" -days 7300 \
        -subj "/CN=edge-app authority" -out "$dir/ca.pem"
    chmod 644 "$dir/ca.pem"
    renew_list
    echo "wrote $dir/ca.pem, $dir/crl.pem and $dir/ca.key, which must stay secret: whoever has it owns all devices" >&2
}

# host_certificate HOST FILE KIND
host_certificate() {
    case $1 in
    *:*) settings "IP:$1" >"$dir/openssl.cnf" ;;
    *[!0-9.]*) settings "DNS:$1" >"$dir/openssl.cnf" ;;
    *) settings "IP:$1" >"$dir/openssl.cnf" ;;
    esac
    issue "$1" "$2" "$3"
}

# enrolment SITE DEVICE BROKER: one file for the way to the device. Who finds it needs the password too, so that goes
# another way. The label carries what a certificate has no place for.
enrolment() {
    file=$dir/issued/$1.$2
    password=$(openssl rand -hex 10 | sed 's/...../&-/g; s/-$//')
    printf '%s\n' "$password" >"$dir/password"
    quietly pkcs12 -export -inkey "$file.key" -in "$file.pem" -certfile "$dir/ca.pem" -name "edge-app $1/$2 $3" \
        -keypbe AES-256-CBC -certpbe AES-256-CBC -macalg sha256 -iter 100000 -passout "file:$dir/password" -out "$file.p12"
    rm "$dir/password"
    echo "wrote $file.p12 for edge-app setup; its password, which must travel another way: $password" >&2
}

# Columns of index.txt, by tabs: V or R, end, revoked at, serial, file, subject. openssl 3 writes a slash in it as \/.
revoke() {
    serials=$(awk -F '\t' -v name="/CN=$1" '{ gsub(/\\/, "", $6) } $1 == "V" && $6 == name { print $4 }' "$dir/index.txt")
    [ -n "$serials" ] || fail "no valid certificate of \"$1\" in $dir" 1
    for serial in $serials; do
        quietly ca -config "$dir/openssl.cnf" -revoke "$dir/issued/$serial.pem"
    done
    renew_list
    echo "revoked $1: copy $dir/crl.pem to the broker and restart it" >&2
}

[ $# -ge 2 ] || usage
command -v openssl >/dev/null || fail "needs openssl: apt install openssl" 1
command=$1 dir=$2 days=${DAYS:-825}
shift 2
# The folder's name becomes part of openssl's configuration, where these mean something.
case $dir in
'' | *[[:cntrl:]\\\$\#\"\']*) fail "DIR \"$(shown "$dir")\" may have no line breaks, quotes, \\, \$ or #" ;;
esac
case $days in
'' | *[!0-9]*) fail "DAYS \"$(shown "$days")\" is no number of days" ;;
esac
[ "$command" = init ] || [ -f "$dir/ca.key" ] || fail "$dir holds no authority: ca.sh init $dir makes one"
case $command:$# in
init:0) init ;;
server:1) host "$1" && host_certificate "$1" "$dir/server" server ;;
node:1) host "$1" && host_certificate "$1" "$dir/issued/node.$1" node ;;
enrol:3) site "$1" && slug "$2" && broker "$3" && issue "$1/$2" "$dir/issued/$1.$2" client && enrolment "$1" "$2" "$3" ;;
enrol:2) site "$1" && slug "$2" && issue "$1/$2" "$dir/issued/$1.$2" client ;;
reader:1 | control:1 | worker:1 | bridge:1) slug "$1" && issue "$command.$1" "$dir/issued/$command.$1" client ;;
revoke:1) user "$1" && revoke "$1" ;;
revoke:2) slug "$1" && slug "$2" && revoke "$1/$2" ;;
*) usage ;;
esac
