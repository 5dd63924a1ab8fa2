# Workers that listen, for tests in bash; sourced behind expect.sh. Over Kafka where KAFKA names a broker, in a namespace of its
# own that goes at the end; else over local:. start_worker SERVICE fills url[SERVICE] and pid[SERVICE]; data is in state/.
declare -A url pid

setup_log() {
	export TANDEM_DATA=state
	if [ -n "${KAFKA:-}" ]; then
		export TANDEM_LOG=kafka://$KAFKA TANDEM_NAMESPACE=observe$$
		trap '[ -z "${KAFKA_PID:-}" ] || kill -CONT "$KAFKA_PID"; "$tandem" topics delete --yes >/dev/null 2>&1; end' EXIT
	else
		export TANDEM_LOG=local:log
	fi
}

# await 'what' COMMAND...: until it succeeds, two minutes at most.
await() {
	local what=$1 begin=$SECONDS
	shift
	until "$@" >out 2>err; do
		[ $((SECONDS - begin)) -lt 120 ] || { verdict 1 "$what: not within 120 s"; return; }
		sleep 0.1
	done
	verdict 0 "$what"
}

start_worker() { # SERVICE [OPTION...]
	local service=$1
	shift
	: >"$service.log"
	"$tandem" "$service" run --listen 0 --ready-lag 3s --session-timeout 6s "$@" 2>>"$service.log" &
	pid[$service]=$!
	children+=($!)
	await "$service listens" grep -q '"msg":"listening"' "$service.log"
	url[$service]=$(jq -r 'select(.msg == "listening").url' "$service.log" | tail -n 1)
}

end_worker() { # SERVICE
	kill -TERM "${pid[$1]}"
	wait "${pid[$1]}"
	verdict $? "$1 ends well: status $?"
}

stands_still() { # PID: all its threads
	! grep -qv ') T ' /proc/"$1"/task/*/stat
}

holds_log_lock() { # PID: of local:'s, as tests/support/log_locks.c has it
	[ -d log ] && awk -v pid="$1" 'FNR == NR { log_file[$1]; next }
		$5 == pid && ($2 == "FLOCK" || $4 == "WRITE") { split($6, at, ":"); if (at[3] in log_file) held = 1 }
		END { exit !held }' <(stat -c %i log/*.lock log/*.db* log/topics/*/*.lock log/topics/*/*.db* 2>/dev/null) /proc/locks
}

# stop_worker SERVICE: it stands still, but holds no lock that everybody waits for.
stop_worker() {
	local worker=${pid[$1]}
	kill -STOP "$worker"
	until stands_still "$worker"; do :; done
	holds_log_lock "$worker" || return 0
	kill -CONT "$worker"
	stop_worker "$1"
}

page() { # SERVICE: its metrics
	curl -sS --fail --max-time 30 "${url[$1]}/metrics"
}

well() { # SERVICE...
	local service
	for service in "$@"; do
		"$tandem" health "${url[$service]}/readyz" || return 1
	done
}

unwell() { # SERVICE
	! "$tandem" health "${url[$1]}/readyz"
}

# start_listener 'what' LOG COMMAND...: a program that is to listen on $port, which is of TANDEM_PORTS, nobody's, and tried up to ten
# times, since somebody else may be faster with one; "PORT" in its arguments is it. It is there when http://127.0.0.1:$port/$path is.
start_listener() {
	local what=$1 log=$2
	shift 2
	for _ in {1..10}; do
		port=$((${TANDEM_PORTS%%-*} + RANDOM % 90))
		! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || continue # or its answer would be taken for ours
		"${@//PORT/$port}" >"$log" 2>&1 &
		listener_pid=$!
		children+=($!)
		until curl -sf --max-time 5 -o /dev/null "http://127.0.0.1:$port/$path"; do
			kill -0 "$listener_pid" 2>/dev/null || continue 2
			sleep 0.1
		done
		return 0
	done
	verdict 1 "$what did not start: $(tail -n 3 "$log")"
}

# start_node_exporter DIR: a real one, that shows the *.prom files of the folder; its address in $node_exporter.
start_node_exporter() {
	path=metrics start_listener node_exporter node_exporter.log prometheus-node-exporter --collector.disable-defaults \
		--collector.textfile --collector.textfile.directory="$1" --web.listen-address=127.0.0.1:PORT
	node_exporter=127.0.0.1:$port
	node_exporter_pid=$listener_pid
}

# start_alertmanager: a real one with docker/compose/alertmanager.yml; its address in $alertmanager.
start_alertmanager() {
	path=-/ready start_listener Alertmanager alertmanager.log prometheus-alertmanager --storage.path=alerts \
		--config.file="$root/docker/compose/alertmanager.yml" --cluster.listen-address= --web.listen-address=127.0.0.1:PORT
	alertmanager=127.0.0.1:$port
	alertmanager_pid=$listener_pid
}

# start_prometheus SERVICE...: one that scrapes these workers every second, with the alert rules; its address in $prometheus.
# Where $node_exporter is set, it, too; where $alertmanager is, alerts are sent there.
start_prometheus() {
	local targets="" service nodes managers
	nodes=${node_exporter:+"\"$node_exporter\""} managers=${alertmanager:+"\"$alertmanager\""}
	for service in "$@"; do
		targets+="${targets:+, }\"${url[$service]#http://}\""
	done
	cat >prometheus.yml <<-Y
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: ["$root/docker/prometheus/rules.yml"]
		alerting: {alertmanagers: [{static_configs: [{targets: [$managers]}]}]}
		scrape_configs:
		- {job_name: tandem, static_configs: [{targets: [$targets]}]}
		- {job_name: node, static_configs: [{targets: [$nodes]}]}
	Y
	path=-/ready start_listener prometheus prometheus.log prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb \
		--web.listen-address=127.0.0.1:PORT
	prometheus=http://127.0.0.1:$port
	prometheus_pid=$listener_pid
}

# answers EXPRESSION: a number for it, at least one; "NaN" is none.
answers() {
	curl -sS --max-time 5 --get --data-urlencode "query=$1" "$prometheus/api/v1/query" >answer || return 1
	jq -e '.status == "success" and ([.data.result[].value[1] | select(. != "NaN")] | length > 0)' answer
}
