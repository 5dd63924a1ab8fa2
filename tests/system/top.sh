#!/usr/bin/env bash
# tandem top beside running, halted and stopped workers: as a table, on a terminal, as JSON; from their files, and over HTTP.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
. tests/support/expect.sh
. "$root/tests/support/workers.sh"
setup_log

expect 2 'an unknown service is wrong usage' "$tandem" top orders
expect 2 'a folder without files is wrong usage' "$tandem" top
holds 'and it says so' "holds no service's files"
expect 0 'topics' "$tandem" topics create --partitions 2 --single-replica
start_worker order
start_worker inventory
await 'both workers are ready' well order inventory
expect 0 'stock' "$tandem" publish --only receipts --skus 20 --stock 100000
"$tandem" publish --only orders --skus 20 --orders 10000000 --rate 1000 >published 2>&1 & # as long as it takes
publisher=$!
children+=($publisher)
remote=(--interval 1s --url "${url[order]}" --url "${url[inventory]}/metrics")
folds_there() { # by what they show: rates of both, and how long an order takes
	"$tandem" top "${remote[@]}" --count 1 -J >looked &&
		jq -se '(map(select(.records_per_second > 0).service) | unique == ["inventory", "order"]) and
			(map(select(.service == "order" and .latency_us > 0)) | length == 2) and map(.url | endswith("/metrics")) == [true, true, true, true]' looked
}
await 'workers are asked, without their files' folds_there
folds() { # a rate is shown for a partition of each service
	"$tandem" top --count 1 --interval 300ms -J >looked &&
		jq -se 'map(select(.records_per_second > 0).service) | unique == ["inventory", "order"]' looked
}
await 'records are folded meanwhile' folds
kill -INT "$publisher"
wait "$publisher"
expect 0 'all is folded' "$tandem" audit --wait --timeout 120s
expect 0 'two looks' "$tandem" top --count 2 --interval 200ms
cp out shown
expect 0 'a heading, totals and a row a partition, twice' test "$(wc -l <shown)" -eq 12
expect 0 'in 80 columns' awk 'length > 80 { exit 1 }' shown
expect 0 'nothing is behind' awk '$1 == "order" || $1 == "inventory" { n++; if ($5 != 0 || $6 != 0) exit 1 } END { exit n != 8 }' shown
expect 1 'no control characters where it is no terminal' grep -q $'\033' shown
expect 0 'one service' "$tandem" top order --count 1 --interval 200ms
expect 1 'and no other' grep -q '^inventory' out
expect 0 'on a terminal' timeout 60 script -qec "stty cols 80 rows 5; '$tandem' top --count 2 --interval 200ms" screen
expect 0 'the table stays in its place' grep -q $'\033\\[H' screen
expect 0 'and says what does not fit' grep -q 'and 3 more' screen

# The same of workers that are asked, a row a partition; and who does not answer.
unset TANDEM_LOG TANDEM_DATA
# On a busy machine a page may be older, or take longer, than the second in which it is asked for: what comes then is waited for.
asked_twice() { # sorted, and nothing is behind
	"$tandem" top "${remote[@]}" --count 2 >there &&
		awk '$1 == "order" || $1 == "inventory" { n++; if ($1 < last && n != 5 || $5 != 0) exit 1; last = $1 } END { exit n != 8 }' there
}
await 'workers are asked twice' asked_twice
expect 0 'a heading, totals and a row a partition, twice' test "$(wc -l <there)" -eq 12
expect 0 'in 80 columns' awk 'length > 80 { exit 1 }' there
one_alone() { "$tandem" top order "${remote[@]}" --count 1 >there && grep -q '^order' there && ! grep -q '^inventory' there; }
await 'one service and no other' one_alone
one_is_away() {
	"$tandem" top --interval 1s --url http://127.0.0.1:1 --url "${url[order]}" --count 1 >there &&
		grep -qE '^- +- +no answer +127.0.0.1:1: cannot be reached$' there && grep -qE '  2 partitions, 2 running' there
}
await 'one that does not answer is said, beside the others, and counts as no partition' one_is_away
on_a_terminal() {
	timeout 60 script -qec "stty cols 80 rows 24; '$tandem' top ${remote[*]} --count 1" screen && grep -q $'\033\\[H' screen
}
await 'on a terminal, too, the table stays in its place' on_a_terminal
expect 1 'nobody answers' "$tandem" top --interval 1s --url http://127.0.0.1:1 --count 1
no_page() {
	! "$tandem" top --interval 1s --url "${url[order]}/livez" --count 1 >there 2>&1 && grep -q "livez: found no worker's metrics" there
}
await 'what is no page of a worker is said' no_page
expect 2 'what is no URL' "$tandem" top --url 9464
holds 'and it says so' "found '9464/metrics', expected a URL"
expect 2 'more often than they look themselves' "$tandem" top --url "${url[order]}" --interval 500ms
"$tandem" top "${remote[@]}" >watched 2>&1 &
watcher=$!
children+=($watcher)
said() { grep -qE "$1" watched; }
await 'they are watched' said '^inventory +1  ready'

# A task whose file is broken, and a service that is stopped.
end_worker inventory
await 'one that has ended is shown where it was' said '^inventory +1  no answer +127.0.0.1:[0-9]+: cannot be reached$'
kill -TERM "$watcher"
wait "$watcher"
verdict $? "it ends when it is told to: status $?"
setup_log
head -c 20000 /dev/urandom >broken
end_worker order
cp broken state/order/1.db
rm -f state/order/1.db-wal state/order/1.db-shm
start_worker order
shows_halt() { # and that the other is ready by now
	"$tandem" top --count 1 --interval 200ms >looked && grep -qE '^order +1  halted .* [a-z_]+$' looked &&
		grep -qE '^order +0  ready' looked
}
await 'a halted task is shown with its reason' shows_halt
shows_halt_there() { "$tandem" top --count 1 --interval 1s --url "${url[order]}" | grep -qE '^order +1  halted .* [a-z_]+$'; }
await 'by one that is asked, too' shows_halt_there
expect 0 'and the others as they are' "$tandem" top --count 1 --interval 200ms
cp out shown
expect 0 'running' grep -qE '^order +0  ready' shown
expect 0 'stopped' grep -qE '^inventory +0  stopped' shown
"$tandem" top --interval 200ms >forever 2>&1 &
children+=($!)
looked() { grep -q SERVICE forever; }
await 'it goes on' looked
kill -TERM "${children[-1]}"
wait "${children[-1]}"
verdict $? "it ends when it is told to: status $?"
end_worker order
finish
