#!/bin/bash
# cluster.sh: a controller and three brokers on this machine, for tests that lose brokers.
#
#   cluster.sh start DIR             starts all, prints the brokers' addresses; data, logs and pids under DIR/<node>
#   cluster.sh stop DIR              ends all
#   cluster.sh kill DIR N            ends broker N (1 to 3; 9: the controller) at once
#   cluster.sh revive DIR N          starts it again, on its ports and data
#   cluster.sh tool DIR CLASS ARG... one of the broker's own tools, told where the brokers are
#
# For a caller that has the nodes as children of its own, so that they end with it:
#
#   cluster.sh make DIR              chooses ports and formats; prints the ports that brokers 1 to 3 listen on for clients
#   cluster.sh run DIR N [PORT]      becomes node N; clients are told this port of 127.0.0.1 (a proxy's) instead of its own
#   cluster.sh await DIR N           until it serves
#
# Topics: three replicas, min.insync.replicas 2. A dead broker is noticed after 1.5 s (9 s by default). Brokers and tools
# have a listener of their own, which no proxy stands before.
set -eu
. "$(dirname "$0")/lib.sh"
[ $# -ge 2 ] || die "usage: cluster.sh start|stop|kill|revive|tool|make|run|await DIR [N]"
what=$1 node=${3:-}
mkdir -p "$2"
dir=$(cd "$2" && pwd)

port_of() { # NODE LISTENER
	cat "$dir/$1/$2"
}

# NODE [PORT]
properties() {
	local role=controller listeners advertised='' security=PLAINTEXT:PLAINTEXT,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT
	listeners=CONTROLLER://127.0.0.1:$(port_of 9 port)
	if [ "$1" != 9 ]; then
		role=broker
		listeners=PLAINTEXT://127.0.0.1:$(port_of "$1" port),CLIENT://127.0.0.1:$(port_of "$1" client-port)
		advertised=advertised.listeners=${listeners%:*}:${2:-$(port_of "$1" client-port)}
	fi
	cat "$here/server.properties.in"
	cat <<-P
		process.roles=$role
		node.id=$1
		controller.quorum.voters=9@127.0.0.1:$(port_of 9 port)
		listeners=$listeners
		$advertised
		listener.security.protocol.map=$security
		log.dirs=$dir/$1/data
		broker.rack=r$1
		min.insync.replicas=2
		offsets.topic.replication.factor=3
		transaction.state.log.replication.factor=3
		transaction.state.log.min.isr=2
		share.coordinator.state.topic.replication.factor=3
		share.coordinator.state.topic.min.isr=2
		broker.heartbeat.interval.ms=300
		broker.session.timeout.ms=1500
		replica.lag.time.max.ms=3000
		replica.fetch.wait.max.ms=200
		controller.quorum.election.timeout.ms=500
		controller.quorum.fetch.timeout.ms=1000
		controller.quorum.election.backoff.max.ms=300
		leader.imbalance.check.interval.seconds=2
		leader.imbalance.per.broker.percentage=0
		unclean.leader.election.interval.ms=1000
	P
}

# NODE [PORT]
configure() {
	properties "$@" >"$dir/$1/server.properties"
	KAFKA_HEAP=${KAFKA_HEAP:-192m}
}

make_nodes() {
	"$here/prepare.sh"
	need_java
	# shellcheck disable=SC2046 # the ports are words
	set -- $(free_ports 7)
	for n in 9 1 2 3; do
		mkdir -p "$dir/$n"
		[ -s "$dir/$n/port" ] || echo "$1" >"$dir/$n/port"
		[ "$n" = 9 ] || [ -s "$dir/$n/client-port" ] || { shift; echo "$1" >"$dir/$n/client-port"; }
		shift
		[ -f "$dir/$n/data/meta.properties" ] || format_node "$dir/$n/data" "$n"
	done
}

launch() {
	configure "$1"
	launch_node "$dir/$1"
}

await() {
	await_node "$dir/$1" || {
		tail -n 20 "$dir/$1/log" >&2
		die "node $1 did not start (above: the end of $dir/$1/log)"
	}
}

stop_all() {
	for n in 1 2 3 9; do
		end_node "$dir/$n"
	done
}

addresses() { # LISTENER
	echo "127.0.0.1:$(port_of 1 "$1"),127.0.0.1:$(port_of 2 "$1"),127.0.0.1:$(port_of 3 "$1")"
}

case $what in
start)
	trap stop_all EXIT
	make_nodes
	for n in 9 1 2 3; do launch "$n"; done
	for n in 9 1 2 3; do await "$n"; done
	trap - EXIT
	addresses client-port
	;;
stop) stop_all ;;
kill) end_node "$dir/${node:?}" ;;
revive)
	launch "${node:?}"
	await "$node"
	;;
make)
	make_nodes
	cat "$dir"/[123]/client-port
	;;
run)
	configure "${node:?}" ${4:+"$4"}
	become_node "$dir/$node"
	;;
await) await "${node:?}" ;;
tool)
	shift 2
	run_tool "$1" --bootstrap-server "$(addresses port)" "${@:2}"
	;;
*) die "start, stop, kill, revive, tool, make, run or await" ;;
esac
