#!/usr/bin/env bash
# docker/compose/collector.yaml in a real OpenTelemetry Collector: workers and a publisher send it their spans, and it sends them on to
# where Jaeger would be: another collector, which writes down what it gets.
set -u
cd "$(dirname "$0")/../.."
sources=$PWD
collector=${COLLECTOR:?a collector with the parts of tests/deploy/collector.yaml}
. tests/support/expect.sh
. "$sources/tests/system/kafka/lib.sh"
export TANDEM_LOG=local:log TANDEM_DATA=state

version=$(sed -nE 's/.*image: otel.opentelemetry-collector:([0-9.]+)@.*/\1/p' "$sources/docker/compose.yml")
expect 0 'it is of the version in compose.yml' "$collector" --version
holds 'as it says' "version $version"
expect 0 'it takes the settings' "$collector" validate --config="$sources/docker/compose/collector.yaml"
sed 's/\[batch\]/[bach]/' "$sources/docker/compose/collector.yaml" >wrong.yaml
expect 1 'and refuses wrong ones' "$collector" validate --config=wrong.yaml

read -r http grpc <<<"$(free_ports 2)"
sed "s/0.0.0.0:4318/127.0.0.1:$http/; s/jaeger:4317/127.0.0.1:$grpc/" "$sources/docker/compose/collector.yaml" >ours.yaml
expect 1 'its addresses were found' cmp -s ours.yaml "$sources/docker/compose/collector.yaml"
cat >behind.yaml <<-Y
	receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:$grpc"}}}}
	exporters: {debug: {verbosity: detailed}}
	service: {telemetry: {metrics: {level: none}}, pipelines: {traces: {receivers: [otlp], exporters: [debug]}}}
Y
start() { # NAME
	"$collector" --config="$1.yaml" >"$1.log" 2>&1 &
	children+=($!)
	for _ in $(seq 600); do
		! grep -q 'Everything is ready' "$1.log" || return 0
		kill -0 "${children[-1]}" 2>/dev/null || break
		sleep 0.1
	done
	cat "$1.log"
	return 1
}
expect 0 'a collector in the place of Jaeger' start behind
expect 0 'the one of compose.yml' start ours

expect 0 'topics' "$tandem" topics create --partitions 2 --single-replica
traced=(--otlp-endpoint "http://127.0.0.1:$http")
expect 0 'orders with traces' "$tandem" publish --skus 10 --stock 100 --orders 20 --seed 3 --trace-one-in 1 "${traced[@]}"
for service in inventory order inventory order inventory order; do
	expect 0 "$service drains" "$tandem" $service run --until-end "${traced[@]}"
done
# of each record handled one span, of each event sent one; all of the traces that publish has begun
spans_of() { # SERVICE
	awk -v service="$1" '/service.name: Str\(/ { on = index($0, "(" service ")") } /Trace ID/ && on { print $4 }' behind.log | sort
}
arrived() {
	[ "$(spans_of tandem-publish | sort -u | wc -l)" -eq 30 ] && # 20 orders and what comes in of 10 goods
		[ "$(spans_of tandem-order | sort -u | wc -l)" -eq 20 ] && [ "$(spans_of tandem-inventory | sort -u | wc -l)" -eq 30 ]
}
for _ in $(seq 600); do arrived && break; sleep 0.1; done
expect 0 'the spans of all arrive, each in a trace of publish' arrived
one_by_one() {
	[ -z "$({ spans_of tandem-order; spans_of tandem-inventory; } | sort -u | comm -23 - <(spans_of tandem-publish | sort -u))" ]
}
expect 0 'and in no other' one_by_one
expect 0 'none was lost on the way' test "$(grep -cE 'Exporting failed|Dropping data' ours.log)" -eq 0
kill "${children[@]}"
wait "${children[@]}"
finish
