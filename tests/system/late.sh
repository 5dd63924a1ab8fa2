#!/usr/bin/env bash
# A broker that starts after its workers. Who is watched (--listen) listens first, is alive, not ready, says what it waits for, and
# goes on when the broker is there; who is not, and who is wrong, ends with its status. With a broker of its own.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
. tests/support/expect.sh
. "$root/tests/system/kafka/lib.sh"
. "$root/tests/support/workers.sh"
node=$dir/node
trap 'end_node "$node"; end' EXIT
expect 0 'the broker is there' "$here/prepare.sh"
need_java
start_single "$node"
export TANDEM_LOG=kafka://127.0.0.1:$port TANDEM_DATA=state
expect 0 'topics' "$tandem" topics create --partitions 2 --single-replica
end_node "$node" TERM

# ---- it is away ----
expect 1 'who is not watched ends' "$tandem" order run
expect 0 'in one line' test "$(wc -l <err)" -eq 1
expect 1 'and so does who drains' "$tandem" order run --listen 0 --until-end
start_worker order
start_worker inventory --otlp-endpoint http://127.0.0.1:1
start_worker revenue --namespace elsewhere
waits() { grep -q '"msg":"the log does not answer yet; it is tried again"' "$1.log"; }
for service in order inventory revenue; do
	await "$service says that it waits" waits $service
done
expect 0 'it is alive' "$tandem" health "${url[order]}/livez"
expect 1 'it is not ready' "$tandem" health "${url[order]}/readyz"
holds 'and says why' "log: kafka://127.0.0.1:$port: "
expect 1 'it is not well' "$tandem" health "${url[order]}/health"
cp out shown
expect 0 'the component is named' jq -e '.status == "DOWN" and .components.log.status == "DOWN" and
	(.components.log.details.reason | startswith("kafka://")) and .components.log.details.failing_ms > 0 and
	.components.loop.status == "UP"' shown
page order >metrics
expect 0 'who it is, and that it is not ready, is told' grep -q '^tandem_build_info{.*service="order"' metrics
expect 0 'as a metric, too' grep -q '^tandem_ready 0$' metrics
seen() { "$tandem" top --url "${url[order]}" --interval 1s --count 1 >looked && grep -q 'no tasks' looked; }
await 'it is seen from afar, with nothing to do' seen
kill -TERM "${pid[inventory]}"
wait "${pid[inventory]}"
verdict $? "who waits and is told to end, ends well: status $?"
start_worker inventory

# ---- it comes ----
launch_node "$node"
expect 0 'the broker starts' await_node "$node"
await 'both go on by themselves' well order inventory
wait "${pid[revenue]}"
expect 1 'who has no topics ends' test $? -eq 0
expect 0 'and says which' grep -q 'topic elsewhere.order-events does not exist; run `tandem topics create`' revenue.log
expect 0 'orders' "$tandem" publish --skus 10 --stock 1000 --orders 100
expect 0 'are settled' "$tandem" audit --wait --timeout 120s
await 'what it waited for is told no more' well order
end_worker order
end_worker inventory
finish
