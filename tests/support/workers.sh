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

page() { # SERVICE: its metrics
	curl -sS --fail --max-time 5 "${url[$1]}/metrics"
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
