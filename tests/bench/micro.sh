#!/usr/bin/env bash
# Counts the instructions of each step of micro with callgrind, which gives the same number on each run, and compares with
# what is kept in micro.baseline: a rise of 5 % fails.
#
#   tests/bench/micro.sh MICRO [COUNTED]   COUNTED: also written there, lines of a number and a name
#   KEEP=1                                 keeps what it counted as the new baseline
#
# The baseline holds for Debian 12's gcc and libraries, at -O2. What depends on the processor (the C library's choice of
# memcpy and the like) is held to what every x86-64 has.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
baseline=$here/micro.baseline
program=$1
counted=${2:-}
limit_percent=5
slack=20 # instructions: strings compare in a dozen more or less, as the linker lays them
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS

count() { # STEP: instructions for one
	local times
	times=$(valgrind --quiet --tool=callgrind --collect-atstart=no --toggle-collect=micro_measured \
		--callgrind-out-file="$out/callgrind" "$program" --once "$1" 2>"$out/err") ||
		{ cat "$out/err" >&2; exit 1; }
	awk -v times="$times" '/^(summary|totals):/ { sum = $2 } END { printf "%.1f\n", sum / times }' "$out/callgrind"
}
kept() { # STEP
	awk -v step="$1" '{ name = $0; sub(/^[0-9.]+ /, "", name) } name == step { print $1 }' "$baseline" 2>/dev/null || true
}

risen=0
: >"$out/counted"
while read -r step; do
	now=$(count "$step")
	was=$(kept "$step")
	echo "$now $step" >>"$out/counted"
	verdict=$(awk -v now="$now" -v was="${was:-0}" -v limit="$limit_percent" -v slack="$slack" 'BEGIN {
		if (was == 0) { print "new"; exit }
		change = (now - was) * 100 / was
		printf("%+.1f %%%s", change, (change > limit && now - was > slack ? "  RISEN" : ""))
	}')
	printf '%-26s %12s instructions, kept %12s  %s\n' "$step" "$now" "${was:--}" "$verdict"
	case $verdict in *RISEN) risen=$((risen + 1)) ;; esac
done < <("$program" --list)
[ -z "$counted" ] || cp "$out/counted" "$counted"
if [ -n "${KEEP:-}" ]; then
	cp "$out/counted" "$baseline"
	echo "kept in ${baseline#"$PWD"/}"
elif [ "$risen" -gt 0 ]; then
	echo "micro: $risen steps take $limit_percent % more instructions than before. Where that is meant: make bench-micro KEEP=1" >&2
	exit 1
fi
