#!/usr/bin/env bash
# Every runbook of docs/runbooks.md, its commands taken from the document, with orders before and after. What a runbook must not
# change: everything that was published is settled, and the services agree.
#
#   TANDEM_RUNBOOKS=all   each over every log it is for; else over the first that it names
set -u
cd "$(dirname "$0")/../.."
[ -n "${KAFKA:-}" ] || exec tests/system/kafka/with-kafka.sh "$0" "$@"
document=$PWD/docs/runbooks.md
. tests/support/expect.sh
PATH=$(dirname "$tandem"):$PATH

commands_of() { # HEADING: what stands in its blocks of sh
	awk -v heading="## $1" '/^## / { on = $0 == heading } /^```/ { if (!code && /^```sh$/) { code = 1; next } code = 0 } on && code' "$document"
}

# A program that says that it is another version, as an upgrade has it.
mkdir next
version=$("$tandem" --version)
version=${version#tandem }
python3 - "$tandem" next/tandem "$version" <<'PY'
import sys
program, version = open(sys.argv[1], "rb").read(), sys.argv[3].encode()
other = b"9" + version[1:]
assert version in program and other != version
open(sys.argv[2], "wb").write(program.replace(version + b"\0", other + b"\0"))
PY
chmod +x next/tandem

run() { # HEADING LOG
	local heading=$1 log=$2
	work=$dir/$((++number))
	mkdir "$work"
	cat >"$work/script" <<-SCRIPT
		set -eu
		cd $work
		trap 'jobs -p | xargs -r kill -KILL' EXIT
		export TANDEM_LOG=$log TANDEM_DATA=$work/state TANDEM_NAMESPACE=book-$$-$number TANDEM_TIMEOUT=5m
		[ "\$TANDEM_LOG" != local ] || TANDEM_LOG=local:$work/log
		BACKUP=$work/backup TRY=$work/try LOST=$work/lost NEW=new-$$-$number NEW_STATE=$work/new OTHER=$work/other
		SECOND=$work/second NEXT=$dir/next SENT_SINCE=$work/since.jsonl
		settled() { # everything is, by what anybody may read
			tandem audit --wait
			tandem audit -J >audit.json
			jq -e --argjson placed "\$1" '.verdict == "holds" and .drained and .orders.placed == \$placed and .orders.pending == 0' audit.json
		}
		tandem topics create --partitions 4 --single-replica
		tandem publish --skus 20 --stock 400 --orders 300 --seed 1
		tandem order run & order=\$!
		tandem inventory run & inventory=\$!
		settled 300
		tandem replay -t orders --type OrderPlaced -c 1 -J >one.json
		for i in \$(seq 20); do
			jq -c --arg id "since-\$i" '{type, event: (.payload | .order_id = \$id)}' one.json
		done >since.jsonl
	SCRIPT
	{
		[[ $heading != Restore* ]] || cat <<-'SCRIPT'
			tandem replay --mirror "$BACKUP"
			tandem publish since.jsonl
			settled 320
		SCRIPT
		[ "$heading" != 'Back up' ] || cat <<-'SCRIPT'
			tandem publish --skus 20 --orders 10000000 --seed 2 --rate 1000 & publisher=$! # until all of it is done
			until [ "$(tandem replay -t order-events | wc -l)" -gt 400 ]; do :; done
		SCRIPT
		[[ $heading != Move* ]] || cat <<-'SCRIPT'
			kill -TERM "$order"
			wait "$order"
			tandem order run --partitions 0-3 & order=$!
			until tandem order status | grep -q ready; do :; done
		SCRIPT
		echo "set -x; : as the document says"
		commands_of "$heading"
		echo "set +x"
		case $heading in
		'Back up') echo 'kill -INT $publisher; wait $publisher || true; tandem audit --wait; sent=$(tandem replay -t orders --type OrderPlaced -n | sed -nE "s/found ([0-9]+) of.*/\1/p")' ;;
		Restore*) echo 'sent=320' ;;
		*) echo 'sent=300' ;;
		esac
		cat <<-'SCRIPT'
			tandem publish --skus 20 --orders 100 --seed 3
			settled $((sent + 100))
			kill -TERM $order $inventory
			wait $order
			wait $inventory
			tandem order verify
			tandem inventory verify
			tandem topics delete --yes --wait 5m
			echo all of it
		SCRIPT
	} >>"$work/script"
	SECONDS=0
	expect 0 "$heading, ${log%%:*}: every command" bash "$work/script"
	echo "$heading, ${log%%:*}: $SECONDS s"
	holds "$heading, ${log%%:*}: to the last" 'all of it'
}

number=0
run_all() {
	local heading kinds found=0
	while IFS='|' read -r heading kinds; do
		[ "$(commands_of "$heading" | wc -l)" -gt 0 ]
		verdict $? "$heading has commands"
		[ "${TANDEM_RUNBOOKS:-}" = all ] || kinds=${kinds%%,*}
		[[ $kinds != *Kafka* ]] || run "$heading" "kafka://$KAFKA"
		[[ $kinds != *local* ]] || run "$heading" local
		found=$((found + 1))
	done < <(awk '/^## / { heading = substr($0, 4); count[heading]; next } /^For: / { print heading "|" substr($0, 6) }' "$document")
	expect 0 'every section says what it is for' test "$found" -eq "$(grep -c '^## ' "$document")"
}
run_all
finish
