#!/usr/bin/env bash
# What a running worker shows of itself, over Kafka where KAFKA names a broker, else over local:. /livez, /readyz, /health and
# /metrics in each state a worker can be in; metrics as promtool and a real Prometheus take them.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
. tests/support/expect.sh
. "$root/tests/support/workers.sh"
setup_log

# ---- it is well ----
expect 0 'topics' "$tandem" topics create --partitions 2 --single-replica
start_worker order
start_worker inventory
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
kill -STOP "${pid[inventory]}"
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
[ -z "${OBSERVE_MORE:-}" ] || . "$OBSERVE_MORE"

end_worker order
end_worker inventory
expect 0 'the services agree in the end' "$tandem" order run --until-end
finish
