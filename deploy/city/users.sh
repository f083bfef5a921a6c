#!/bin/sh
# Prints who may do what at the city's broker, one user for each valid certificate of the authority (deploy/broker/ca.sh).
#
#   users.sh nats     CA    for /etc/nats/users.conf
#   users.sh rabbitmq CA    for /etc/rabbitmq/edge-app/definitions.json, with the queues of the city
#
# CA: the authority's folder. Call it again after each enrolment and revocation. Exit 2 for a wrong call.
set -eu
LC_ALL=C
export LC_ALL

usage() {
    sed -n '4,5s/^# *//p' "$0" >&2
    exit 2
}

[ $# = 2 ] || usage
[ -f "$2/index.txt" ] || {
    echo "users.sh: $2 holds no authority: ca.sh init makes one" >&2
    exit 2
}

# Names of valid certificates: devices as SITE/DEVICE, others as KIND.NAME. Columns by tabs, see `revoke` in ca.sh; a
# server has a name without a slash that begins with none of the kinds.
names() {
    awk -F '\t' '$1 == "V" { gsub(/\\/, "", $6); sub(/^\/CN=/, "", $6); print $6 }' "$1/index.txt" | sort -u |
        grep -E '^([a-z0-9][a-z0-9-]*/[a-z0-9][a-z0-9-]*|(reader|control|worker)\.[a-z0-9][a-z0-9-]*)$' || :
}

nats() {
    names "$1" | awk '
    function list(of,    all, n, i) {
        n = split(of, all, " "); of = ""
        for (i = 1; i <= n; i++) of = of (i > 1 ? ", " : "") "\"" all[i] "\""
        return "[" of "]"
    }
    # by: what is said before the permissions.
    function user(name, writes, reads, by) {
        printf "    {user: \"CN=%s\", " by "permissions: {\n        publish: {allow: %s}\n        subscribe: {allow: %s}\n    }}\n",
            name, list(writes), list(reads)
    }
    function takes(consumer) {
        return "$JS.API.CONSUMER.INFO.$MQTT_msgs." consumer " $JS.API.CONSUMER.MSG.NEXT.$MQTT_msgs." consumer \
            " $JS.ACK.$MQTT_msgs." consumer ".>"
    }
    BEGIN {
        # What a worker sends to take messages out of the stream. Whoever may make a consumer reads everything: its
        # subject does not tell which messages it is for. So only `control` may, and a worker takes from those of counts.
        makes = "$JS.API.CONSUMER.DURABLE.CREATE.$MQTT_msgs.* " takes("*")
        counts = takes("edge-app-city-traffic-v1-each-each-counts-each") " " takes("edge-app-city-traffic-v1-each-each-flows")
        print "authorization { users: ["
    }
    # $MQTT.sub.> is where the server delivers a subscription of QoS 1, to everybody. It lets no client of MQTT listen
    # there; one of NATS it would. So devices may speak MQTT alone.
    /\// {
        own = "traffic.v1." $0; sub(/\//, ".", own)
        user($0, own ".status " own ".meta " own ".meta.* " own ".health " own ".counts.* " own ".latest.* " \
            own ".flows " own ".crossings.* " own ".shadow.* " own ".reviews.* " own ".replies.> " own ".pieces.* " own ".config.reported", \
            own ".commands " own ".commands.> " own ".config.desired $MQTT.sub.>", \
            "allowed_connection_types: [\"MQTT\"], ")
    }
    /^reader\./ { user($0, "$NOBODY", "traffic.v1.> $MQTT.sub.>") }
    /^control\./ { user($0, "traffic.v1.*.*.commands.> traffic.v1.*.*.config.desired " makes, "traffic.v1.> $MQTT.sub.> _INBOX." $0 ".>") }
    # Where the server gives a worker what it asks for, nobody else listens.
    /^worker\./ { user($0, counts, "_INBOX." $0 ".>") }
    END { print "] }" }'
}

rabbitmq() {
    names "$1" | awk '
    function add(to, what) { return to (to == "" ? "" : ",") "\n  " what }
    # makes, writes, reads: patterns of the queues and exchanges that it may make, write to (also: bind) and read.
    function allow(name, makes, writes, reads) {
        users = add(users, "{\"name\": \"" name "\", \"password_hash\": \"\", \"tags\": []}")
        may = add(may, "{\"user\": \"" name "\", \"vhost\": \"/\", \"configure\": \"^" makes "$\", \"write\": \"^" writes \
            "$\", \"read\": \"^" reads "$\"}")
    }
    # writes, reads: patterns of the topics, with two backslashes before a dot. queues: of the queues that it may use.
    function user(name, writes, reads, queues) {
        allow(name, "(" queues ")", "(amq\\\\.topic|" queues ")", "(amq\\\\.topic|" queues ")")
        topics = add(topics, "{\"user\": \"" name "\", \"vhost\": \"/\", \"exchange\": \"amq.topic\", \"write\": \"" writes \
            "\", \"read\": \"" reads "\"}")
    }
    function bind(queue, key) {
        bindings = add(bindings, "{\"source\": \"amq.topic\", \"vhost\": \"/\", \"destination\": \"edge-app-city-" queue \
            "\", \"destination_type\": \"queue\", \"routing_key\": \"traffic.v1.*.*." key "\", \"arguments\": {}}")
    }
    function queue(name) {
        kept = add(kept, "{\"name\": \"edge-app-city-" name "\", \"vhost\": \"/\", \"durable\": true, " \
            "\"auto_delete\": false, \"arguments\": {\"x-queue-type\": \"quorum\"}}")
    }
    # Each may use the queues of its own client id alone, over AMQP too: that of a device is edge-app-SITE.DEVICE, that of
    # a reader begins with its name. A device names 120 bytes at most: beyond 255 in all nothing can be given to a worker.
    /\// {
        at = index($0, "/"); own = substr($0, 1, at - 1) "\\\\." substr($0, at + 1)
        user($0, "^traffic\\\\.v1\\\\." own "\\\\.(status|meta|health|flows|config\\\\.reported|(meta|counts|latest|crossings|shadow|reviews|replies|pieces)\\\\.[^.]{1,120})$",
            "^traffic\\\\.v1\\\\." own "\\\\.(commands\\\\..*|config\\\\.desired)$", "mqtt-subscription-edge-app-" own "qos[01]")
    }
    /^reader\./ { user($0, "^$", "^traffic\\\\.v1\\\\..*$", "mqtt-subscription-reader\\\\." substr($0, 8) ".*") }
    /^control\./ {
        user($0, "^traffic\\\\.v1\\\\.[^.]*\\\\.[^.]*\\\\.(commands\\\\..*|config\\\\.desired)$", "^traffic\\\\.v1\\\\..*$", "(mqtt-subscription-)?edge-app-city-.*")
    }
    # It takes what lies in the queue of counts, and may bind nothing: whoever may puts anything into it.
    /^worker\./ { allow($0, "", "", "edge-app-city-counts"); topics = add(topics, "{\"user\": \"" $0 "\", \"vhost\": \"/\", " \
        "\"exchange\": \"amq.topic\", \"write\": \"^$\", \"read\": \"^$\"}") }
    END {
        queue("counts"); queue("fleet")
        bind("counts", "counts.*"); bind("counts", "flows")
        bind("fleet", "replies.*"); bind("fleet", "status"); bind("fleet", "meta"); bind("fleet", "meta.*"); bind("fleet", "shadow.*"); bind("fleet", "reviews.*")
        printf "{\"vhosts\": [{\"name\": \"/\"}],\n\"users\": [%s],\n\"permissions\": [%s],\n\"topic_permissions\": [%s],\n", users, may, topics
        printf "\"queues\": [%s],\n\"bindings\": [%s]}\n", kept, bindings
    }'
}

case $1 in
nats) nats "$2" ;;
rabbitmq) rabbitmq "$2" ;;
*) usage ;;
esac
