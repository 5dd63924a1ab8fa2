#!/usr/bin/env bash
# tandem audit as people run it: real processes on local:, every exit status, JSON, --wait beside running workers.
set -u
cd "$(dirname "$0")/../.."
. tests/support/expect.sh

log=(--log local:log)
run() { # SERVICE DATA: until its end
	"$tandem" "$1" run "${log[@]}" --data "$2" --until-end 2>>runs || { cat runs; exit 1; }
}

expect 2 'an unknown option is wrong usage' "$tandem" audit "${log[@]}" --nonsense
expect 2 'an operand is wrong usage' "$tandem" audit "${log[@]}" orders
expect 2 'no log is wrong usage' "$tandem" audit
expect 1 'a log without an installation fails' "$tandem" audit "${log[@]}"
holds 'and it says what to do' 'tandem topics create'
expect 0 'topics' "$tandem" topics create "${log[@]}" --partitions 2
expect 0 'stock' "$tandem" publish "${log[@]}" --skus 10 --stock 300
expect 0 'before any worker ran the log alone is looked at' "$tandem" audit "${log[@]}" --data state
holds 'and it says so' 'no mark: what its worker has sent is not known'
cp out shown
expect 1 'which is not drained' grep -q drained shown

# Beside running workers, orders coming in, some of which go short.
for service in order inventory revenue; do
	"$tandem" $service run "${log[@]}" --data state 2>>runs &
	children+=($!)
done
expect 0 'orders' "$tandem" publish "${log[@]}" --skus 10 --orders 2000 --seed 7
expect 0 'drained services agree' "$tandem" audit "${log[@]}" --data state --wait --timeout 120s
holds 'and it says so' 'audit: all holds, drained'
expect 0 'from the log alone too' "$tandem" audit "${log[@]}" --data nowhere --wait --timeout 120s
expect 0 'in JSON' "$tandem" audit "${log[@]}" --data state -J
jq -e '.verdict == "holds" and .drained and .orders.placed == 2000 and .orders.pending == 0 and
	.orders.confirmed + .orders.rejected + .orders.cancelled == .orders.placed and
	([.streams[] | select(.verdict != "holds")] | length) == 0 and ([.tasks[].file] | all)' out >/dev/null
expect 0 'the JSON says the same' test $? -eq 0
kill -TERM "${children[@]}"
wait "${children[@]}"
children=()

expect 0 'one more order' "$tandem" publish "${log[@]}" --skus 10 --orders 1 --seed 9
expect 3 'a stopped worker leaves it under way' "$tandem" audit "${log[@]}" --data state --wait --timeout 300ms
holds 'and it says so' 'not settled'
cp -r state old
for service in order inventory order inventory revenue; do run $service state; done
expect 0 'it holds again' "$tandem" audit "${log[@]}" --data state
expect 0 'an old folder beside the right one does no harm' "$tandem" audit "${log[@]}" --data old --data state
expect 3 'an old folder alone is behind' "$tandem" audit "${log[@]}" --data old

# What was lost behind an acknowledgement: the last event of an outside topic.
p=$(sqlite3 -readonly state/order/0.db "SELECT count(*) FROM outbound WHERE topic = 'order-events'" | grep -qx 1 && echo 0 || echo 1)
cp "state/order/$p.db" kept.db
sqlite3 "state/order/$p.db" "UPDATE outbound SET number = number + 1 WHERE topic = 'order-events'"
expect 4 'a lost event differs, and waiting does not help' "$tandem" audit "${log[@]}" --data state --wait --timeout 60s
holds 'and it names the cure' "tandem order resend --partitions $p --to order-events/$p --from"
cp kept.db "state/order/$p.db"
sqlite3 state/inventory/0.db 'UPDATE stock SET on_hand = on_hand - 1 WHERE sku = (SELECT max(sku) FROM stock WHERE on_hand > reserved)'
grep -q . <(sqlite3 -readonly state/inventory/0.db 'SELECT 1 FROM stock WHERE on_hand > reserved') ||
	sqlite3 state/inventory/0.db 'UPDATE stock SET received = received + 1'
expect 4 'stock that does not add up differs' "$tandem" audit "${log[@]}" --data state
holds 'and it names the SKU' ', SKU '
head -c 5000 /dev/urandom >state/inventory/1.db
rm -f state/inventory/1.db-wal state/inventory/1.db-shm
expect 3 'a broken file cannot be looked at' "$tandem" audit "${log[@]}" --data state
holds 'and it says which' 'state/inventory/1.db'
expect 0 'nothing is left behind' test -z "$(find . -name '.audit*')"

finish
