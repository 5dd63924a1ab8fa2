#!/bin/bash
# cluster.sh: a controller and three brokers on this machine, for tests that lose brokers.
#
#   cluster.sh start DIR     starts all, prints the brokers' addresses; data, logs and pids under DIR/<node>
#   cluster.sh stop DIR      ends all
#   cluster.sh kill DIR N    ends broker N (1 to 3; 9: the controller) at once
#   cluster.sh revive DIR N  starts it again, on its port and data
#
# Topics: three replicas, min.insync.replicas 2. A dead broker is noticed after 1.5 s (9 s by default).
set -eu
. "$(dirname "$0")/lib.sh"
[ $# -ge 2 ] || die "usage: cluster.sh start|stop|kill|revive DIR [N]"
what=$1 node=${3:-}
mkdir -p "$2"
dir=$(cd "$2" && pwd)

properties() {
	local role=broker listeners=PLAINTEXT://127.0.0.1:$2 advertised=advertised.listeners=PLAINTEXT://127.0.0.1:$2
	[ "$1" != 9 ] || { role=controller listeners=CONTROLLER://127.0.0.1:$2 advertised=; }
	cat "$here/server.properties.in"
	cat <<-P
		process.roles=$role
		node.id=$1
		controller.quorum.voters=9@127.0.0.1:$(cat "$dir/9/port")
		listeners=$listeners
		$advertised
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

launch() {
	[ -f "$dir/$1/data/meta.properties" ] || format_node "$dir/$1/data" "$1"
	properties "$1" "$(cat "$dir/$1/port")" >"$dir/$1/server.properties"
	KAFKA_HEAP=${KAFKA_HEAP:-192m} launch_node "$dir/$1"
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

case $what in
start)
	"$here/prepare.sh"
	need_java
	trap stop_all EXIT
	# shellcheck disable=SC2046 # the ports are words
	set -- $(free_ports 4)
	for n in 9 1 2 3; do
		mkdir -p "$dir/$n"
		[ -s "$dir/$n/port" ] || echo "$1" >"$dir/$n/port"
		shift
	done
	for n in 9 1 2 3; do launch "$n"; done
	for n in 9 1 2 3; do await "$n"; done
	trap - EXIT
	echo "127.0.0.1:$(cat "$dir/1/port"),127.0.0.1:$(cat "$dir/2/port"),127.0.0.1:$(cat "$dir/3/port")"
	;;
stop) stop_all ;;
kill) end_node "$dir/${node:?}" ;;
revive)
	launch "${node:?}"
	await "$node"
	;;
*) die "start, stop, kill or revive" ;;
esac
