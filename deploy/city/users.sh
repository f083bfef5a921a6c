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
    function user(name, writes, reads) {
        printf "    {user: \"CN=%s\", permissions: {\n        publish: {allow: %s}\n        subscribe: {allow: %s}\n    }}\n",
            name, list(writes), list(reads)
    }
    BEGIN {
        # What a worker sends to take messages out of the stream.
        taken = "$JS.API.CONSUMER.DURABLE.CREATE.$MQTT_msgs.* $JS.API.CONSUMER.MSG.NEXT.$MQTT_msgs.* $JS.ACK.$MQTT_msgs.>"
        print "authorization { users: ["
    }
    # $MQTT.sub.> is where the server delivers a subscription of QoS 1; it lets no client subscribe to it.
    /\// {
        own = "traffic.v1." $0; sub(/\//, ".", own)
        user($0, own ".status " own ".meta " own ".meta.* " own ".health " own ".counts.* " own ".latest.* " \
            own ".flows " own ".crossings.* " own ".shadow.* " own ".reviews.* " own ".replies.> " own ".pieces.* " own ".config.reported", \
            own ".commands " own ".commands.> " own ".config.desired $MQTT.sub.>")
    }
    /^reader\./ { user($0, "$NOBODY", "traffic.v1.> $MQTT.sub.>") }
    /^control\./ { user($0, "traffic.v1.*.*.commands.> traffic.v1.*.*.config.desired " taken, "traffic.v1.> $MQTT.sub.> _INBOX.>") }
    /^worker\./ { user($0, taken, "_INBOX.>") }
    END { print "] }" }'
}

rabbitmq() {
    names "$1" | awk '
    function add(to, what) { return to (to == "" ? "" : ",") "\n  " what }
    # own: pattern of the topics, with two backslashes before a dot. queues: pattern of the queues that it may use.
    function user(name, writes, reads, queues) {
        users = add(users, "{\"name\": \"" name "\", \"password_hash\": \"\", \"tags\": []}")
        may = add(may, "{\"user\": \"" name "\", \"vhost\": \"/\", \"configure\": \"^(" queues ")$\", \"write\": \"^(amq\\\\.topic|" \
            queues ")$\", \"read\": \"^(amq\\\\.topic|" queues ")$\"}")
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
    # It makes sure of the binding of its queue, which needs the right to read those topics.
    /^worker\./ { user($0, "^$", "^traffic\\\\.v1\\\\..*$", "edge-app-city-counts") }
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
