#!/usr/bin/env bash
# docs/pictures.sh: makes again what the documents show of workers under load (make pictures): docs/prometheus.png, a real Prometheus in
# a real browser, and in docs/operations.md what `tandem top` prints, from files and over HTTP. Two workers over local:, 4,000
# orders a second for a minute and a half.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
export TANDEM_PORTS=${TANDEM_PORTS:-20000-29999}
. tests/support/expect.sh
. "$root/tests/support/workers.sh"
set +e
setup_log
expect 0 'topics' "$tandem" topics create --partitions 3 --single-replica
start_worker order
start_worker inventory
await 'both workers are ready' well order inventory
expect 0 'stock' "$tandem" publish --only receipts --skus 200 --stock 10000000
"$tandem" publish --only orders --skus 200 --orders 400000 --rate 4000 --cancel-one-in 50 >published 2>&1 &
children+=($!)
start_prometheus order inventory

# The block of docs/operations.md that begins with this command, anew.
block() { # COMMAND-AS-SHOWN: its output on stdin
	cat >shown
	grep -q '^[a-z]' shown && ! grep -q 'no answer' shown || { verdict 1 "no table: $1"; return; }
	awk -v command="\$ $1" '$0 == command { print; while ((getline line < "shown") > 0) print line; skip = 1; found = 1; next }
		/^```/ { skip = 0 } !skip; END { exit !found }' "$root/docs/operations.md" >page &&
		cp page "$root/docs/operations.md"
	verdict $? "docs/operations.md has no block of $1"
}
later() { # until Prometheus has seen a minute of it
	answers 'count_over_time(tandem_ready{}[2m]) > 65'
}
await 'a minute of load' later
"$tandem" top --interval 2s --count 1 | block 'tandem top --log local:demo --data state'
TANDEM_LOG='' "$tandem" top --interval 2s --count 1 --url "${url[order]}" --url "${url[inventory]}" |
	block 'tandem top --url http://order-1:9464 --url http://inventory-1:9464'

panel() { # NUMBER EXPRESSION: a graph of Prometheus' page, of the last minute
	echo "g$1.expr=$(jq -rn --arg e "$2" '$e | @uri')&g$1.tab=0&g$1.range_input=1m&g$1.step_input=1"
}
questions="$(panel 0 'sum by (topic, result) (rate(tandem_events_processed_total[10s])) > 0')"
questions+="&$(panel 1 'histogram_quantile(0.99, sum by (le) (rate(tandem_end_to_end_seconds_bucket[10s])))')"
# a browser of Debian's, as root in a container of its own: without the sandbox that needs another user
timeout 120 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1200,1500 --virtual-time-budget=20000 \
	--user-data-dir="$dir/browser" --screenshot="$dir/page.png" "$prometheus/graph?$questions" >chromium.log 2>&1
verdict $? "no picture: $(tail -n 3 chromium.log)"
expect 0 'the picture is small enough' test "$(stat -c %s page.png)" -le 200000
[ "$failed" -gt 0 ] || cp page.png "$root/docs/prometheus.png"
kill "${children[@]}" 2>/dev/null
wait "${children[@]}" 2>/dev/null
finish
