#!/usr/bin/env bash
# The runbook *Replace a broker* of docs/runbooks.md, its commands taken from the document: one of three brokers gets a new, empty
# disk while orders come in. Nothing that was acknowledged is missing afterwards, and the new one has its share to lead.
set -u
cd "$(dirname "$0")/../.."
cluster=$PWD/tests/system/kafka/cluster.sh
lib=$PWD/tests/system/kafka/lib.sh
document=$PWD/docs/runbooks.md
. tests/support/expect.sh
. "$lib"
PATH=$dir/bin:$(dirname "$tandem"):$PATH
nodes=$dir/nodes
stop() {
	"$cluster" stop "$nodes"
	end
}
trap stop EXIT

# What the document calls by the names that Kafka's own package has.
mkdir bin
for tool in kafka-storage.sh:'run_tool kafka.tools.StorageTool "$@"' \
	kafka-server-start.sh:'exec java $(jvm_flags) -cp "$(class_path)" kafka.Kafka "$1" </dev/null >>"${1%/*}/log" 2>&1'; do
	printf '#!/bin/bash\n. %q\n%s\n' "$here/lib.sh" "${tool#*:}" >"bin/${tool%%:*}"
	chmod +x "bin/${tool%%:*}"
done

expect 0 'three brokers' "$cluster" start "$nodes"
brokers=$(tail -n 1 out)
cat >script <<SCRIPT
set -eu
trap 'jobs -p | xargs -r kill -KILL' EXIT
export TANDEM_LOG=kafka://$brokers TANDEM_DATA=$dir/state TANDEM_TIMEOUT=5m KAFKA_HEAP=192m
NODE=$nodes/2 ID=2 CLUSTER_ID=$cluster_id BROKERS=$(cut -d, -f1,3 <<<"$brokers")
SCRIPT
cat >>script <<'SCRIPT'
tandem topics create --partitions 4
tandem publish --skus 20 --stock 100000
tandem order run & order=$!
tandem inventory run & inventory=$!
tandem publish --skus 20 --orders 3000000 --seed 1 --rate 100 >published & publisher=$!
until [ "$(tandem replay -t order-events | wc -l)" -gt 100 ]; do :; done
tandem() { # audit waits until nothing is under way: orders end then
	[ "$1" != audit ] || ! kill -INT "$publisher" 2>/dev/null || wait "$publisher" || true
	command tandem "$@"
}
set -x; : as the document says
SCRIPT
awk '/^## / { on = $0 == "## Replace a broker" } /^```/ { if (!code && /^```sh$/) { code = 1; next } code = 0 } on && code' \
	"$document" >>script
cat >>script <<'SCRIPT'
set +x
acknowledged=$(sed -n 's/^acknowledged *//p' published)
[ "$acknowledged" -gt 100 ]
until kcat -b "${TANDEM_LOG#kafka://}" -L -J | jq -e --argjson id "$ID" '[.topics[].partitions[] | select(.leader == $id)] | length > 5'
do :; done
tandem audit -J >audit.json
jq -e --argjson n "$acknowledged" '.verdict == "holds" and .drained and .orders.placed >= $n' audit.json
tandem order verify
tandem inventory verify
kill -TERM $order $inventory
wait $order
wait $inventory
echo all of it
SCRIPT
expect 0 'replace a broker: every command' bash script
holds 'replace a broker: to the last' 'all of it'
finish
