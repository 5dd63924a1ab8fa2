# What the scripts here share; sourced by them, bash.
#
#   TANDEM_CACHE   where the jars, the class archive and the formatted template are kept (~/.cache/tandem)
#   TANDEM_PORTS   the range that ports are taken from (20000-29999)
#   KAFKA_VERSION  of the broker, where it is not to be pom.xml's
#   KAFKA_HEAP     heap of a node (256m; 1g as shipped)
#   KAFKA_JVM      shipped: the collector and the compilers that Kafka's own scripts start a broker with, for who measures;
#                  without it what starts soonest, for tests
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${TANDEM_CACHE:-${HOME:?}/.cache/tandem}/kafka/$(cksum <"$here/pom.xml" | cut -d' ' -f1)${KAFKA_VERSION:+-$KAFKA_VERSION}
cluster_id=AAAAAAAAAAAAAAAAAAAAAQ

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

need_java() {
	command -v java >/dev/null || die "java is missing: apt-get install default-jre-headless maven"
	local version
	version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
	[ "${version:-0}" -ge 17 ] || die "Kafka 4 needs Java 17, found ${version:-none}: apt-get install default-jre-headless"
}

# An archive of loaded classes holds the class path in its order and the jars' times: the path is sorted, and jars stay.
class_path() {
	printf '%s:' "$cache"/lib/*.jar
}

# As bin/kafka-run-class.sh and bin/kafka-server-start.sh of Kafka 4.
shipped_flags='-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35
	-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15'

jvm_flags() {
	local heap=256m how='-XX:+UseSerialGC -XX:TieredStopAtLevel=1'
	[ "${KAFKA_JVM:-}" != shipped ] || { heap=1g how=$shipped_flags; }
	# shellcheck disable=SC2086 # the flags are words
	echo -Xms"${KAFKA_HEAP:-$heap}" -Xmx"${KAFKA_HEAP:-$heap}" $how -Xshare:auto \
		-Djava.awt.headless=true -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
		-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info ${KAFKA_FLAGS:-}
}

port_open() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_ports N: N ports of the range that nobody listens on now. Somebody may be faster: who uses one tries again.
free_ports() {
	local range=${TANDEM_PORTS:-20000-29999} port found=' '
	local low=${range%-*} high=${range#*-}
	for _ in $(seq 400); do
		port=$((low + (RANDOM * 32768 + RANDOM) % (high - low + 1)))
		[[ $found != *" $port "* ]] && ! port_open "$port" || continue
		found+="$port "
		# shellcheck disable=SC2086 # the ports are words
		set -- "$1" $found
		[ $# -le "$1" ] || { echo "${@:2}"; return; }
	done
	die "no free ports in $range"
}

# format_node DATA NODE_ID: what StorageTool format leaves behind, without a JVM.
format_node() {
	mkdir -p "$1"
	cp "$cache/template/bootstrap.checkpoint" "$1/"
	sed -e "s/^node.id=.*/node.id=$2/" -e "s/^directory.id=.*/directory.id=A$(head -c 15 /dev/urandom | base64 |
		tr '+/' '-_')A/" "$cache/template/meta.properties" >"$1/meta.properties"
}

# launch_node DIR: starts the node whose server.properties stands there; its pid goes to DIR/pid. With DIE_WITH_ME set the
# node ends when the calling shell does, however that ends.
launch_node() {
	local archive=-XX:SharedArchiveFile=$cache/kafka.jsa with=()
	[ -z "${DUMP_ARCHIVE:-}" ] || archive=-XX:ArchiveClassesAtExit=$DUMP_ARCHIVE
	[ -z "${DIE_WITH_ME:-}" ] || with=(setpriv --pdeathsig KILL)
	# shellcheck disable=SC2046 # the flags are words
	"${with[@]}" java $(jvm_flags) "$archive" -cp "$(class_path)" kafka.Kafka "$1/server.properties" \
		</dev/null >"$1/log" 2>&1 &
	echo $! >"$1/pid"
	disown
}

# become_node DIR: the same in this shell's place. Who looks at the pid meanwhile never finds the file empty.
become_node() {
	echo $$ >"$1/pid.new"
	mv "$1/pid.new" "$1/pid"
	# shellcheck disable=SC2046 # the flags are words
	exec java $(jvm_flags) -XX:SharedArchiveFile="$cache/kafka.jsa" -cp "$(class_path)" kafka.Kafka "$1/server.properties" \
		</dev/null >"$1/log" 2>&1
}

# run_tool CLASS ARGUMENT...: one of the programs in the broker's jars.
run_tool() {
	java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -XX:SharedArchiveFile="$cache/kafka.jsa" -Dorg.slf4j.simpleLogger.defaultLogLevel=error \
		-cp "$(class_path)" "$@"
}

alive() {
	[ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null
}

# await_node DIR: until it serves and its controller counts it in; fails where it ended instead.
await_node() {
	for _ in $(seq 4800); do
		alive "$1" || return 1
		if grep -qs 'Kafka Server started' "$1/log"; then return 0; fi
		sleep 0.05
	done
	return 1
}

# end_node DIR [SIGNAL]: ends it by its pid, and waits until it is gone. The data of a test is thrown away: KILL will do.
end_node() {
	[ -s "$1/pid" ] || return 0
	local pid
	pid=$(cat "$1/pid")
	# the pid may be another's by now
	grep -qsa kafka.Kafka "/proc/$pid/cmdline" || { rm -f "$1/pid"; return 0; }
	kill "-${2:-KILL}" "$pid" 2>/dev/null || true
	for _ in $(seq 2400); do
		[ -d "/proc/$pid" ] && ! grep -qs '^State:.Z' "/proc/$pid/status" || { rm -f "$1/pid"; return 0; }
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null || true
	rm -f "$1/pid"
}

# start_single DIR: a broker that is its own controller; sets $port. Ports taken between the look and the bind: again.
start_single() {
	local dir=$1 controller
	mkdir -p "$dir"
	for _ in 1 2 3 4 5; do
		read -r port controller <<<"$(free_ports 2)"
		[ -f "$dir/data/meta.properties" ] || format_node "$dir/data" 1
		{
			cat "$here/server.properties.in"
			cat <<-P
				process.roles=broker,controller
				node.id=1
				controller.quorum.voters=1@127.0.0.1:$controller
				listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
				advertised.listeners=PLAINTEXT://127.0.0.1:$port
				log.dirs=$dir/data
				min.insync.replicas=1
				offsets.topic.replication.factor=1
				transaction.state.log.replication.factor=1
				transaction.state.log.min.isr=1
				share.coordinator.state.topic.replication.factor=1
				share.coordinator.state.topic.min.isr=1
			P
		} >"$dir/server.properties"
		launch_node "$dir"
		if await_node "$dir"; then return 0; fi
		end_node "$dir"
		grep -qE 'Address already in use|Failed to bind|BindException' "$dir/log" || break
	done
	tail -n 20 "$dir/log" >&2
	die "the broker did not start (above: the end of $dir/log)"
}
