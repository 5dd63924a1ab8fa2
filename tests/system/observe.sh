#!/usr/bin/env bash
# What a running worker shows of itself, over Kafka where KAFKA names a broker, else over local:. /livez, /readyz, /health and
# /metrics in each state a worker can be in; metrics as promtool and a real Prometheus take them.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
export TANDEM_PORTS=${TANDEM_PORTS:-20000-29999}
. tests/support/expect.sh
. "$root/tests/support/workers.sh"
setup_log

# ---- what is of a wrong form is refused before anything is asked of the log ----
for address in nowhere :x 127.0.0.1: 99999 '[::1' 'a b:1'; do
	expect 2 "no address: $address" env -u TANDEM_LOG "$tandem" order run --log local:never --listen "$address"
	holds 'and it says so' "'$address' is no address to listen on"
done
expect 2 'no endpoint' env -u TANDEM_LOG "$tandem" order run --log local:never --listen 0 --otlp-endpoint collector:4318
holds 'and it says so' "found 'collector:4318/v1/traces', expected a URL"
expect 1 'the log was not opened' test -e never

# ---- it is well ----
expect 0 'topics' "$tandem" topics create --partitions 2 --single-replica
start_worker order
start_worker inventory --otlp-endpoint http://127.0.0.1:1 # where nobody takes spans
await 'both workers are ready' well order inventory
expect 0 'alive' "$tandem" health "${url[order]}/livez"
holds 'and it says so' alive
expect 0 'ready' "$tandem" health "${url[order]}/readyz"
expect 0 'in JSON' "$tandem" health "${url[order]}/health"
cp out shown
expect 0 'every component is up' jq -e '.status == "UP" and ([.components[].status] | all(. == "UP")) and
	.components.tasks.details.open == 2' shown
expect 0 'stock' "$tandem" publish --only receipts --skus 20 --stock 100000
expect 0 'orders' "$tandem" publish --only orders --skus 20 --orders 2000 --seed 3
expect 0 'the services agree' "$tandem" audit --wait --timeout 120s
for service in order inventory; do
	page $service >metrics
	expect 0 "promtool takes what $service says" promtool check metrics <metrics
done
page_says() { page "$1" | grep -q "$2"; }
decisions_timed() { page order | awk '/^tandem_end_to_end_seconds_count/ { n += $2 } END { exit n < 1900 }'; }
await 'each order is counted' page_says order 'events_processed_total{topic=".*orders",type="OrderPlaced",result="applied"} 2000$'
await 'each decision is timed from its order on' decisions_timed
await 'the lag is known and 0' page_says order '^tandem_consumer_lag{topic="[^"]*",partition="1"} 0$'
if [ -n "${KAFKA:-}" ]; then
	await 'librdkafka tells of its consumer' page_says order '^tandem_kafka_broker_up{client="consumer",broker="[0-9]*"} 1$'
	await 'and of its producer' page_says order '^tandem_kafka_batch_messages{topic=".*inventory"}'
	page order >metrics
	expect 0 'promtool takes that, too' promtool check metrics <metrics
fi

# ---- alert rules and dashboards ----
rules=$root/docker/prometheus
expect 0 'promtool takes the rules' promtool check rules "$rules/rules.yml"
expect 0 'and the configuration' promtool check config "$rules/prometheus.yml"
expect 0 'each alert speaks where it must, and nowhere else' promtool test rules "$rules/rules_test.yml"
# what verify leaves behind, by a real node_exporter: nothing where it did not get to its end
mkdir textfile
expect 2 'a folder that is not there' "$tandem" order verify --metrics-file none/order.prom
holds 'and it says so' '--metrics-file: cannot write none/order.prom'
expect 3 'verify of a service without files' "$tandem" revenue verify --metrics-file textfile/revenue.prom
for service in order inventory; do
	expect 0 "verify of $service" "$tandem" $service verify --metrics-file textfile/$service.prom
	expect 0 'promtool takes what it leaves' promtool check metrics <textfile/$service.prom
	cp textfile/$service.prom kept.prom
	expect 1 'a verify that cannot begin' "$tandem" $service verify --namespace nowhere --metrics-file textfile/$service.prom
	expect 0 'leaves it as it was' cmp kept.prom textfile/$service.prom
done
expect 0 'and no other file' test "$(ls textfile | xargs)" = 'inventory.prom order.prom revenue.prom'
expect 0 'the result' grep -qx 'tandem_verify_partitions{service="order",result="same"} 2' textfile/order.prom
expect 0 'of who has no files, too' grep -qx 'tandem_verify_partitions{service="revenue",result="no_file"} 2' textfile/revenue.prom
start_node_exporter textfile
start_alertmanager
start_prometheus order inventory
await 'Prometheus has the workers' answers 'sum(up{job="tandem"}) == 2'
await 'and when each service was verified' answers 'count(time() - tandem_verify_timestamp_seconds{service=~"order|inventory"} < 600) == 2'
await 'an alert is raised for the one without files' answers 'ALERTS{alertname="TandemVerifyFailed",service="revenue",result="no_file"}'
"$tandem" publish --only orders --skus 20 --orders 300 --seed 5 --trace-one-in 10 >out 2>err
echo '{"type":"OrderPlaced","event":{"order_id":"wrong","currency":"GBP","placed_at":0,"lines":[]}}' >wrong.jsonl
expect 0 'an order that is refused' "$tandem" publish wrong.jsonl
await 'it is a dead letter' page_says order '^tandem_dead_letters_total{topic="[^"]*",reason="invalid_lines"} 1$'
panels=0
while read -r expression; do
	# librdkafka tells nothing on local:
	[ -n "${KAFKA:-}" ] || [[ $expression != *tandem_kafka_* ]] || continue
	await "a panel has data: $expression" answers "${expression//\$__rate_interval/5m}"
	panels=$((panels + 1))
done < <(jq -r '.panels[].targets[]?.expr' "$root/docker/grafana/tandem.json")
expect 0 'every panel was asked for' test "$panels" -ge 20
every_metric_is_there() { # that rules and dashboards name; of halts and refusals there are none yet
	grep -ohE 'tandem_[a-z_]+' "$rules/rules.yml" "$root/docker/grafana/tandem.json" | sort -u | grep -vE '^tandem_task_(halted|refusals_total)$' |
		while read -r name; do
			[ -n "${KAFKA:-}" ] || [[ $name != tandem_kafka_* ]] || continue
			answers "count({__name__=\"$name\"})" >/dev/null || { echo "there is no $name"; exit 1; }
		done
}
await 'every metric that an alert or a panel names is there' every_metric_is_there
await 'an alert is raised for the dead letter' answers 'ALERTS{alertname="TandemDeadLetters",reason="invalid_lines"}'
await 'and one for the spans that nobody takes' answers 'ALERTS{alertname="TandemSpansDropped",result="given_up"}'
# by docker/compose/alertmanager.yml: whom it wakes
gets() { # RECEIVER ALERT
	amtool alert query --alertmanager.url="http://$alertmanager" --receiver="$1" -o json "alertname=$2" >got && jq -e 'length > 0' got
}
await 'Alertmanager has it for who looks in the morning' gets ticket TandemDeadLetters
await 'and the one that wakes somebody' gets page TandemVerifyFailed
expect 1 'for nobody else' gets page TandemDeadLetters
expect 0 'every metric of verify is in the reference' bash -c 'sed -n "s/^# TYPE \([a-z_]*\) .*/\1/p" textfile/order.prom |
	while read -r name; do grep -q "\`$name\`" "$0/docs/reference.md" || exit 1; done' "$root"
kill "$prometheus_pid" "$node_exporter_pid" "$alertmanager_pid"
wait "$prometheus_pid" "$node_exporter_pid" "$alertmanager_pid"
documented() {
	local name
	for name in $(page order | sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p'); do
		[[ $name == tandem_kafka_* || $name == process_* ]] || grep -q "\`$name\`" "$root/docs/reference.md" ||
			{ echo "docs/reference.md does not list $name"; return 1; }
	done
}
expect 0 'every metric is in the reference' documented

# ---- a task is halted: alive, not ready, and it says where to look ----
end_worker order
cp state/order/0.db kept.db
head -c 20000 /dev/urandom >state/order/0.db
rm -f state/order/0.db-wal state/order/0.db-shm
start_worker order
await 'the halt is shown' page_says order '^tandem_task_halted{topic="[^"]*",partition="0",reason="[a-z_]*"} 1$'
expect 0 'it is alive' "$tandem" health "${url[order]}/livez"
expect 1 'it is not ready' "$tandem" health "${url[order]}/readyz"
holds 'since a task is halted' 'tasks: a task is halted'
expect 1 'it is not well' "$tandem" health "${url[order]}/health"
cp out shown
expect 0 'the component that is down is named' jq -e '.status == "DOWN" and .components.tasks.status == "DOWN" and
	.components.tasks.details.halted == 1 and .components.loop.status == "UP"' shown
rm -f state/order/0.db state/order/0.db-wal state/order/0.db-shm
await 'it is ready again once the file was made again' well order

# ---- no records are lost on the way, and none is waited for: a worker that stands still ----
stop_worker inventory
expect 1 'a worker that is stopped does not answer' "$tandem" health "${url[inventory]}/livez" --timeout 500ms
expect 0 'orders that nobody answers' "$tandem" publish --only orders --skus 20 --orders 50 --seed 4
kill -CONT "${pid[inventory]}"
await 'it is ready again' well inventory

# ---- the broker does not answer: alive, not ready ----
if [ -n "${KAFKA_PID:-}" ]; then
	kill -STOP "$KAFKA_PID"
	await 'it is not ready any more' unwell order
	expect 0 'and alive' "$tandem" health "${url[order]}/livez"
	holds 'as it says' alive
	expect 0 'metrics are served' page order
	kill -CONT "$KAFKA_PID"
	await 'it is ready again' well order inventory
fi

end_worker order
end_worker inventory
expect 0 'the services agree in the end' "$tandem" order run --until-end
finish
