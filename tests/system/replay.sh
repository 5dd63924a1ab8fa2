#!/usr/bin/env bash
# tandem replay and tandem explain as people run them, on a broker and on local:, with real processes and signals.
set -u
cd "$(dirname "$0")/../.."
[ -n "${KAFKA:-}" ] || exec tests/system/kafka/with-kafka.sh "$0" "$@"
. tests/support/expect.sh

lines() { # FILE: with a limit, until it has a line
	local i
	for i in $(seq 1200); do
		[ -s "$1" ] && return
		sleep 0.1
	done
	echo "$1 stays empty" >&2
}

one_namespace=replay-$$
for log in "kafka://$KAFKA" local:here; do
	name=${log%%:*}
	common=(--log "$log" --namespace "$one_namespace")
	expect 0 "$name: topics" "$tandem" topics create "${common[@]}" --partitions 2 --single-replica
	expect 0 "$name: stock" "$tandem" publish "${common[@]}" --skus 20 --stock 100
	expect 0 "$name: orders" "$tandem" publish "${common[@]}" --skus 20 --orders 500 --seed 3 --cancel-one-in 10
	echo '{"type":"OrderPlaced","event":{"order_id":"bad","currency":"x","placed_at":1,"lines":[]}}' >bad.jsonl
	expect 0 "$name: an order that is refused" "$tandem" publish "${common[@]}" bad.jsonl
	for service in order inventory order inventory order inventory revenue; do
		"$tandem" $service run "${common[@]}" --data "$name" --until-end 2>>runs || { tail -n 20 runs; exit 1; }
	done

	expect 0 "$name: every order is read" "$tandem" replay "${common[@]}" -t orders --type OrderPlaced
	expect 0 "$name: all of them" test "$(wc -l <out)" -eq 501
	expect 0 "$name: JSON" "$tandem" replay "${common[@]}" -t orders.dlq --type OrderPlaced -J
	expect 0 "$name: a dead letter in JSON" jq -e '.key == "bad" and .payload.currency == "x" and
		(.headers | map(select(.[0] == "kafka_dlt-exception-fqcn"))[0][1]) == "invalid_currency"' out
	expect 0 "$name: the last ten of each" "$tandem" replay "${common[@]}" -t orders -o -10
	expect 0 "$name: of two partitions" test "$(wc -l <out)" -eq 20

	expect 0 "$name: a format" "$tandem" replay "${common[@]}" -t orders -p 1 --type OrderPlaced -c 1 -f '%t %p %k %s\n'
	expect 0 "$name: an event is its JSON" sh -c 'sed -E "s/^orders 1 [^ ]+ //" out | jq -e .order_id'
	expect 2 "$name: a format that is none" "$tandem" replay "${common[@]}" -t orders -f '%t %q'
	holds "$name: is named" "--format: found '%q'"
	SECONDS=0
	expect 0 "$name: ten a second" "$tandem" replay "${common[@]}" -t orders -c 31 --rate 10
	expect 0 "$name: take three seconds" test $SECONDS -ge 2

	rm -rf mirror
	expect 0 "$name: a mirror" "$tandem" replay "${common[@]}" --mirror mirror
	expect 0 "$name: orders verify against it" \
		"$tandem" order verify --log local:mirror --namespace "$one_namespace" --data "$name"
	expect 0 "$name: inventory verifies against it" \
		"$tandem" inventory verify --log local:mirror --namespace "$one_namespace" --data "$name"
	for topic in orders inventory order-events orders.dlq; do
		"$tandem" replay "${common[@]}" -t $topic -J | jq -c 'del(.tstype)' >source
		"$tandem" replay --log local:mirror --namespace "$one_namespace" -t $topic -J | jq -c 'del(.tstype)' >copy
		expect 0 "$name: $topic is mirrored record by record" cmp source copy
	done
	expect 1 "$name: no second mirror in its place" "$tandem" replay "${common[@]}" --mirror mirror

	expect 0 "$name: another installation" \
		"$tandem" topics create --log "$log" --namespace "$one_namespace-2" --partitions 3 --single-replica
	expect 0 "$name: gets the publishers' events" \
		"$tandem" replay "${common[@]}" -t orders -t inventory --to-namespace "$one_namespace-2" -J
	expect 0 "$name: all of them, nothing else" jq -e '.whole and .left_out.workers > 500 and .left_out.control == 4' out
	expect 0 "$name: and has them" \
		"$tandem" replay --log "$log" --namespace "$one_namespace-2" -t orders --type OrderPlaced
	expect 0 "$name: each once" test "$(wc -l <out)" -eq 501
	rm -rf plain
	expect 0 "$name: a plain copy" "$tandem" replay "${common[@]}" -t order-events --to-log local:plain --create-topic
	"$tandem" replay "${common[@]}" -t order-events -o 1 -J | jq -c '[.partition, .ts, .key, .headers, .payload]' >source
	"$tandem" replay --log local:plain --namespace "$one_namespace" -t order-events -J |
		jq -c '[.partition, .ts, .key, .headers, .payload]' >copy
	expect 0 "$name: keeps key, value, headers and time" cmp source copy

	expect 0 "$name: an export" "$tandem" replay "${common[@]}" -t orders --type OrderPlaced --export orders.avro
	holds "$name: of every order" 'exported 501 of '
	expect 0 "$name: a third installation" \
		"$tandem" topics create --log "$log" --namespace "$one_namespace-3" --partitions 3 --single-replica
	expect 0 "$name: takes it in" "$tandem" replay --log "$log" --namespace "$one_namespace-3" --import orders.avro
	holds "$name: whole" 'imported 501 of 501 events'
	for namespace in "$one_namespace" "$one_namespace-3"; do
		"$tandem" replay --log "$log" --namespace "$namespace" -t orders --type OrderPlaced -J |
			jq -c '[.key, .headers, .payload]' | sort >"events$namespace"
	done
	expect 0 "$name: as they were published" cmp "events$one_namespace" "events$one_namespace-3"
	expect 2 "$name: order-events is no target" "$tandem" replay "${common[@]}" -t orders --to-topic order-events

	rejected=$("$tandem" replay "${common[@]}" -t order-events --type OrderRejected -c 1 -J | jq -r .key)
	confirmed=$("$tandem" replay "${common[@]}" -t order-events --type OrderConfirmed -c 1 -J | jq -r .key)
	expect 0 "$name: a rejected order explained" "$tandem" explain "${common[@]}" --data "$name" "$rejected"
	holds "$name: with its numbers" ' on hand '
	expect 0 "$name: a confirmed order explained" "$tandem" explain "${common[@]}" --data "$name" "$confirmed" -J
	expect 0 "$name: every event has its cause" jq -e '.status == "confirmed" and (.not_found | length) == 0 and
		([.events[] | select(.cause == null)] | length) == 1' out
	expect 0 "$name: a refused order explained" "$tandem" explain "${common[@]}" --data "$name" bad
	holds "$name: with the reason of its dead letter" 'dead letter: invalid_currency'
	expect 1 "$name: an unknown order" "$tandem" explain "${common[@]}" --data "$name" nobody
	holds "$name: and where it was looked for" "$name/order/"

	: >followed
	"$tandem" replay "${common[@]}" -t orders -o end --follow >followed 2>follow.err &
	children=($!)
	# It begins at the end as it finds it: publish until something shows.
	for i in $(seq 100); do
		"$tandem" publish "${common[@]}" --skus 20 --orders 1 --seed $((1000 + i)) >/dev/null
		[ -s followed ] && break
	done
	lines followed
	kill -INT "${children[0]}"
	expect 0 "$name: following ends at SIGINT, and that is no failure" wait "${children[0]}"
	children=()
	expect 0 "$name: it showed what came" grep -q OrderPlaced followed
done

# Byte by byte what kcat writes, of records that are no events; and of events all but what Tandem decodes.
expect 0 'a plain topic' "$tandem" replay --log "kafka://$KAFKA" --namespace "$one_namespace" -t order-events --key nobody \
	--to-topic plain --create-topic
printf '%s\n' a:one b:two c: :four 'd:with % and \n' | kcat -P -b "$KAFKA" -t "$one_namespace.plain" -p 0 -K: -H n=v -H e= -H n=w
printf 'gone:\n' | kcat -P -Z -b "$KAFKA" -t "$one_namespace.plain" -p 0 -K:
every='<%t|%p|%o|%k|%s|%T|%h|%S|%K|%R>\t100%%\x41\n\r'
for topic_format in "plain:$every" "orders.dlq:${every//|%s|%T|%h/}" 'order-events:%p %o %S %K %T\n'; do
	topic=${topic_format%%:*}
	kcat -C -q -e -b "$KAFKA" -t "$one_namespace.$topic" -p 0 -o beginning -f "${topic_format#*:}" |
		LC_ALL=C sed "s/<$one_namespace\./</" >kcats
	"$tandem" replay --log "kafka://$KAFKA" --namespace "$one_namespace" -t "$topic" -p 0 -f "${topic_format#*:}" >ours
	expect 0 "$topic: something is there" test -s kcats
	expect 0 "$topic: kcat writes the same by the same format" cmp kcats ours
done

expect 1 'an unreachable broker is no success' "$tandem" replay -b 127.0.0.1:1 -t orders
mkdir half
(trap '' PIPE; "$tandem" replay --log local:here --namespace "$one_namespace" -t orders 2>half/err; echo $? >half/status) |
	head -n 1 >/dev/null
for i in $(seq 100); do [ -s half/status ] && break; sleep 0.1; done
expect 0 'a reader that goes away ends it quietly' test ! -s half/err
for log in "kafka://$KAFKA"; do
	for namespace in "$one_namespace" "$one_namespace-2" "$one_namespace-3"; do
		"$tandem" topics delete --log "$log" --namespace "$namespace" --yes >/dev/null 2>&1
	done
done
finish
