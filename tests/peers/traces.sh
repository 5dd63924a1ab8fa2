#!/usr/bin/env bash
# Does a trace hang together from publish over order, inventory and order to revenue? A collector on OpenTelemetry's own messages
# takes the spans of all of them, over local: or, where KAFKA names a broker, there.
set -u
cd "$(dirname "$0")/../.."
python=$PWD/${VENV:-build/venv}/bin/python peer=$PWD/tests/peers/otlp_peer.py
source tests/support/expect.sh
source "$(dirname "$peer")/../support/workers.sh"
setup_log
export TANDEM_DATA=data

until_there() { # FILE
	for _ in $(seq 600); do
		[ ! -s "$1" ] || return 0
		sleep 0.1
	done
	echo "$1 did not come within a minute"
	cat collector.log
	exit 1
}

"$python" "$peer" serve port spans.jsonl 2>collector.log &
children+=($!)
disown
until_there port
endpoint=http://127.0.0.1:$(cat port)
headers='x-tenant=a%20b'

services() { # ARGUMENT...: until nothing is left to do
	local service
	for service in inventory order inventory order inventory order revenue; do
		expect 0 "$service drains" "$tandem" $service run --until-end "$@"
	done
}
traced=(--otlp-endpoint "$endpoint/" --otlp-headers "$headers")

expect 0 "topics" "$tandem" topics create --partitions 2 --single-replica
expect 0 "stock is received" "$tandem" publish --skus 10 --stock 30 --only receipts
expect 0 "orders without a trace" "$tandem" publish --skus 10 --orders 5 --seed 2 "${traced[@]}"
services "${traced[@]}"
expect 1 "and there are no spans" test -s spans.jsonl

expect 0 "orders, each in a trace" "$tandem" publish --skus 10 --orders 40 --seed 3 --trace-one-in 1 "${traced[@]}"
services "${traced[@]}"
expect 0 "the traces hang together" "$python" "$peer" check spans.jsonl 40
cat out

# As others read them from the broker: every record that follows from an order is in its trace, and under a span of its own.
traceparents() { # TOPIC
	kcat -q -b "$KAFKA" -C -e -t "$TANDEM_NAMESPACE.$1" -f '%h\n' | grep -oE 'traceparent=00-[0-9a-f]{32}-[0-9a-f]{16}-01' | sort -u
}
traces_of() { # TOPIC
	traceparents "$1" | cut -d- -f2 | sort -u
}
if [ -n "${KAFKA:-}" ]; then
	expect 0 "orders have their traceparents" test "$(traces_of orders | wc -l)" -eq 40
	for topic in inventory order-events; do
		expect 0 "records of $topic are in the same traces" test -z "$(comm -13 <(traces_of orders) <(traces_of $topic))"
		expect 0 "all of them" test "$(traces_of $topic | wc -l)" -eq 40
		expect 0 "under other spans" test -z "$(comm -12 <(traceparents orders) <(traceparents $topic))"
	done
fi

# What OpenTelemetry's variables say counts where nothing else is said.
before=$(wc -l <spans.jsonl)
export OTEL_EXPORTER_OTLP_ENDPOINT=$endpoint OTEL_EXPORTER_OTLP_HEADERS=$headers
rm -rf data
services
expect 0 "what is folded again in silence is in no span" test "$(wc -l <spans.jsonl)" -eq "$before"
expect 0 "verify" "$tandem" order verify
expect 0 "and so is verify" test "$(wc -l <spans.jsonl)" -eq "$before"

# An order under an id that is taken, with other lines: a dead letter, and the span says so.
event='{"type":"OrderPlaced","event":{"order_id":"A-1","lines":[{"sku":"X","quantity":%d,"unit_price_minor":5}],"currency":"GBP","placed_at":0}}'
for quantity in 1 2; do
	# shellcheck disable=SC2059 # it is a format
	printf "$event\n" $quantity >order.jsonl
	expect 0 "an order" "$tandem" publish order.jsonl --trace-one-in 1 --trace-ids seed
	expect 0 "it is folded" "$tandem" order run --until-end
done
expect 0 "the span of the second has an error" "$python" "$peer" rejected spans.jsonl

# A collector that is not there is in nobody's way.
export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1
expect 0 "orders, each in a trace" "$tandem" publish --skus 10 --orders 10 --seed 4 --trace-one-in 1
holds "what is dropped is said" "spans were dropped"
services
expect 0 "all holds" "$tandem" audit
finish
