#!/usr/bin/env bash
# Everything that takes a seed, with fresh ones, for as long as told: tests/soak.sh MINUTES (make soak SOAK_MIN=30)
#
# One core has the simulator all the time. On the other take turns: the fuzz targets, and real processes that are killed and robbed
# of their files, over local: and killed over a Kafka broker, each turn with a TANDEM_TEST_SEED of its own.
# A summary a minute, and a whole one in the end. What is violated says at once how it is run again. Exit status 0: nothing was.
#   BUILD=build      whose programs
#   SOAK_BESIDE=...  the turns, instead of: fuzz kills faults kafka
set -u
cd "$(dirname "$0")/.."
minutes=${1:?usage: tests/soak.sh MINUTES}
build=${BUILD:-build} make=${MAKE:-make}
beside=${SOAK_BESIDE:-fuzz kills faults kafka}
out=$(mktemp -d "${TMPDIR:-/tmp}/tandem-soak-XXXXXX") || exit 1
end=$((SECONDS + minutes * 60))
sim=
finish() {
	[ -z "$sim" ] || kill "$sim" 2>/dev/null
	rm -rf "$out"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
: >"$out/turns"

# A turn that is over: "passed failed seconds" of its kind. One that fails shows what it said.
note() { # KIND AGAIN LOG SECONDS STATUS
	local passed failed
	read -r passed failed <<<"$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$3" | tail -n 1)"
	: "${passed:=0}" "${failed:=0}"
	[ "$5" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
	echo "$1 $passed $failed $4" >>"$out/turns"
	printf 'beside: %-8s %4d passed, %d failed, %4d s\n' "$1" "$passed" "$failed" "$4"
	[ "$failed" -eq 0 ] && return
	sed 's/^/    /' "$3"
	echo "again: $2"
}
turn() { # KIND: what is left of the time bounds it, since a soak ends when it was told to
	local kind=$1 left=$((end - SECONDS)) seed=$RANDOM$RANDOM started=$SECONDS log=$out/$1.log again status
	[ $left -gt 20 ] || return 1
	case $kind in
	fuzz)
		again="make fuzz FUZZ_S=5"
		"$make" --no-print-directory fuzz FUZZ_S=$((left > 100 ? 5 : 1)) JOBS=1 >"$log" 2>&1
		;;
	kills | faults)
		[ $left -gt 60 ] || return 1
		again="TANDEM_TEST_SEED=$seed tests/run $build/tests/system/$kind"
		TANDEM_TEST_SEED=$seed TANDEM_TEST_SECONDS=$left env -u KAFKA tests/run "$build/tests/system/$kind" >"$log" 2>&1
		;;
	kafka)
		[ $left -gt 150 ] || return 1
		again="TANDEM_TEST_SEED=$seed tests/system/kafka/with-kafka.sh tests/run $build/tests/system/kills"
		TANDEM_TEST_SEED=$seed TANDEM_TEST_SECONDS=$left tests/system/kafka/with-kafka.sh tests/run \
			"$build/tests/system/kills" >"$log" 2>&1
		;;
	*)
		echo "soak: no such turn: $kind" >&2
		return 1
		;;
	esac
	status=$?
	if [ $status -ne 0 ] && [ $SECONDS -ge $end ]; then # cut off by the end, not by a fault
		echo "beside: $kind was cut off by the end"
		return 1
	fi
	note "$kind" "$again" "$log" $((SECONDS - started)) $status
}

"$build/sim" --minutes "$minutes" --seed random --jobs 1 --keep-going > >(tee "$out/sim.log") 2>&1 &
sim=$!
while [ $SECONDS -lt $end ] && kill -0 "$sim" 2>/dev/null; do
	any=false
	for kind in $beside; do
		turn "$kind" && any=true
	done
	$any || break
done
wait "$sim"
status=$?
sim=
read -r seeds violations <<<"$(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$out/sim.log" | tail -n 1)"
: "${seeds:=0}" "${violations:=1}"
[ $status -eq 0 ] || [ "$violations" -gt 0 ] || violations=1
echo
echo "soak of $minutes minutes: $((seeds + violations)) seeds of the simulator"
awk '{ n[$1]++; p[$1] += $2; f[$1] += $3; s[$1] += $4 }
	END { for (k in n) printf "  beside: %-8s %3d turns, %6d tests passed, %d failed, %d s\n", k, n[k], p[k], f[k], s[k] }' "$out/turns" | sort
violations=$((violations + $(awk '{ f += $3 } END { print f + 0 }' "$out/turns")))
echo "violations: $violations"
[ $violations -eq 0 ]
