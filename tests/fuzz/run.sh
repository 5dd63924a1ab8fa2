#!/usr/bin/env bash
# Runs fuzz targets: tests/fuzz/run.sh [-j N] -s SECONDS TARGET... (make fuzz)
#
# Each target has that many seconds. It begins with tests/fuzz/corpus/TARGET and with what earlier runs found, which
# build-fuzz/corpus/TARGET keeps. An input that breaks something stays in build/fuzz/. The last line: "N passed, M failed".
set -u
cd "$(dirname "$0")/../.."
jobs=1
[ "$1" != -j ] || { jobs=$2; shift 2; }
[ "$1" = -s ] && [ $# -gt 2 ] || { echo "usage: tests/fuzz/run.sh [-j N] -s SECONDS TARGET..." >&2; exit 2; }
seconds=$2
shift 2
found=build/fuzz
mkdir -p "$found"
# Quicker, and with less to say: run an input again without it, and the report is whole.
export ASAN_OPTIONS=${ASAN_OPTIONS:-malloc_context_size=0:max_malloc_fill_size=0:quarantine_size_mb=4}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# A line of libFuzzer's: #1234 INITED cov: 200 ft: 300 ...
coverage() { # LOG WHICH(sed address)
	sed -nE "$2 s/^#[0-9]+.*cov: ([0-9]+).*/\1/p" "$1" | tail -n 1
}
stat() { # LOG NAME
	sed -nE "s/^stat::$2: *([0-9]+)/\1/p" "$1"
}

one() { # TARGET
	local target=$1 program=build-fuzz/tests/fuzz/libfuzzer-$1 log=$out/$1.log words=() status before after input
	mkdir -p "build-fuzz/corpus/$target" "tests/fuzz/corpus/$target"
	[ ! -e "tests/fuzz/$target.dict" ] || words=("-dict=tests/fuzz/$target.dict")
	case $target in task | worker) words=(-len_control=0 -max_len=400) ;; esac # a step takes a few bytes: many steps at once
	# shellcheck disable=SC2086 # options of libFuzzer's, as words
	"$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 "${words[@]}" \
		-artifact_prefix="$found/$target-" ${FUZZ_OPTIONS:-} "build-fuzz/corpus/$target" "tests/fuzz/corpus/$target" \
		>"$log" 2>&1 </dev/null
	status=$?
	before=$(coverage "$log" /INITED/)
	after=$(coverage "$log" '')
	printf '  %-5s %-10s %9s executions %7s/s  coverage %6s (new %s)  inputs +%s\n' "$([ $status -eq 0 ] && echo ok || echo FAIL)" \
		"$target" "$(stat "$log" number_of_executed_units)" "$(stat "$log" average_exec_per_sec)" "${after:-0}" \
		$((${after:-0} - ${before:-0})) "$(stat "$log" new_units_added)"
	echo $status >"$out/$target.status"
	[ $status -ne 0 ] || return 0
	grep -vE '^#[0-9]+|NEW_FUNC|^stat::|^INFO|^Dictionary|fuzzer::|libc_start|^MS: |^0x|^\\\\|^Base64' "$log" | tail -n 40 | cut -c1-200 |
		sed 's/^/        /'
	input=$(sed -nE 's/.*Test unit written to (.*)/\1/p' "$log" | tail -n 1)
	[ -z "$input" ] || echo "  again: $program $input"
}
export -f one coverage stat
export out found seconds

printf '%s\n' "$@" | xargs -P "$jobs" -I{} bash -c 'one {}'
failed=$(cat "$out"/*.status | grep -cv '^0$')
echo "$(($# - failed)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$(cat "$out"/*.status | wc -l)" -eq $# ]
