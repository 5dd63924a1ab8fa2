#!/usr/bin/env bash
# What others see of us on a broker, with nothing of ours: kcat prints the CloudEvents headers of order-events, and fastavro
# decodes the values, finding each schema by its fingerprint. confluent-kafka reads them as a member of a group.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -n "${KAFKA:-}" ] || exec tests/system/kafka/with-kafka.sh "$0" "$@"
tandem=$PWD/${BUILD:-build}/tandem
dir=$(mktemp -d)
export TANDEM_LOG=kafka://$KAFKA TANDEM_DATA=$dir/state TANDEM_NAMESPACE=outside-${dir##*.}
end() {
	"$tandem" topics delete --yes >/dev/null 2>"$dir/err" || cat "$dir/err"
	rm -rf "$dir"
}
trap end EXIT

"$tandem" topics create --partitions 2 --single-replica >/dev/null
"$tandem" publish --orders 200 --skus 20 --stock 40 --cancel-one-in 10 >"$dir/published"
for service in inventory order inventory order inventory revenue; do
	"$tandem" $service run --until-end 2>>"$dir/log" || { cat "$dir/log"; exit 1; }
done
kcat -b "$KAFKA" -t "$TANDEM_NAMESPACE.order-events" -C -J -e -q -o beginning >"$dir/kcat.json"
"${VENV:-build/venv}/bin/python" tests/system/outside.py "$KAFKA" "$TANDEM_NAMESPACE.order-events" "$dir/kcat.json" schemas
