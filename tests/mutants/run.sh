#!/usr/bin/env bash
# The tests that test the simulator: each patch here breaks the runtime or a service in one small way. It is applied to a copy of
# the sources, built, and seeds are run until one fails.
#
#   tests/mutants/run.sh [NAME...]     these, or all
#   MUTANT_SEEDS=3000                  how many are tried before a mutant has survived
#   BUILD=build                        whose objects the copies begin with
#   JOBS=2                             so many at a time, each in a copy of its own
# A line each: its name, the seed that caught it and after how many, and what was found. The last line: "N passed, M failed".
# A patch that no longer applies or compiles fails, and so does one that survives: a hole in the simulator. Seeds that are kept
# for a mutant (tests/sim/seeds.txt names it in brackets) are tried first, and each must catch it, or it is kept for nothing.
set -u
cd "$(dirname "$0")/../.."
seeds=${MUTANT_SEEDS:-3000} build=${BUILD:-build} jobs=${JOBS:-2} make=${MAKE:-make}
copies=$(mktemp -d "${TMPDIR:-/tmp}/tandem-mutants-XXXXXX") || exit 1
trap 'rm -rf "$copies"' EXIT

make_copy() { # DIRECTORY
	mkdir -p "$1/$build"
	cp -a common consumers producers schemas tests Makefile .ci "$1/" && cp -a "$build/gen" "$build/common" "$build/consumers" \
		"$build/producers" "$build/schemas" "$build"/setup-* "$build/schemagen" "$build/libtandem.a" "$build/sim" "$1/$build/" &&
		mkdir -p "$1/$build/tests" && cp -a "$build/tests/sim" "$1/$build/tests/"
}
result() { # NAME OK TEXT
	printf '  %-5s %-26s %s\n' "$2" "$1" "$3"
	echo "$2" >>"$copies/results"
}
seeds_of() { # MUTANT
	sed -nE "/\(.*\<$1\>.*\)/s/^([0-9]+) .*/\1/p" tests/sim/seeds.txt
}
caught() { # NAME HOW: what the simulator said
	result "$1" ok "$(sed -nE "s/^seed ([0-9]+) FAILED: (.{0,80}).*/seed \1, after $2\1: \2/p" "$out" | head -n 1)"
}
try_kept() { # COPY NAME
	local seed
	for seed in $(seeds_of "$2"); do
		timeout 300 "$1/$build/sim" --seed "$seed" >"$out" 2>&1
		grep -q '^seed [0-9]* FAILED' "$out" || {
			result "$2" FAIL "seed $seed is kept for it and does not catch it"
			return
		}
	done
	caught "$2" 'at most '
}
try() { # COPY PATCH
	local copy=$1 name=${2##*/} out=$1/out started=$SECONDS file # as it was before
	name=${name%.patch}
	if ! patch -s -d "$copy" -p1 --no-backup-if-mismatch <"$2" >"$out" 2>&1; then
		result "$name" FAIL "does not apply: $(head -n 1 "$out")"
	elif ! MAKEFLAGS='' "$make" -s -C "$copy" BUILD="$build" CFLAGS='-O2 -g -Wno-error' "$build/sim" >"$out" 2>&1; then
		result "$name" FAIL "does not compile: $(grep -m 1 error "$out")"
	elif [ -n "$(seeds_of "$name")" ]; then
		try_kept "$copy" "$name"
	elif timeout 1800 "$copy/$build/sim" --jobs 1 --seeds "$seeds" >"$out" 2>&1; then
		result "$name" FAIL "survived $seeds seeds in $((SECONDS - started)) s"
	elif grep -q '^seed [0-9]* FAILED' "$out"; then
		caught "$name" ''
	else
		result "$name" FAIL "no seed has failed, but: $(grep -v '^ ' "$out" | tail -n 1 | cut -c 1-70)"
	fi
	for file in $(sed -n 's|^+++ b/||p' "$2" | sort -u); do
		cp -a "$file" "$copy/$file"
		touch "$copy/$file"
	done
}
work() { # JOB: takes the next patch as long as there is one
	local copy=$copies/$1 at patch
	make_copy "$copy" || { result "copy $1" FAIL "cannot be made"; return; }
	while :; do
		exec 9>"$copies/lock"
		flock 9
		at=$(($(cat "$copies/next") + 1))
		echo "$at" >"$copies/next"
		exec 9>&-
		patch=$(sed -n "${at}p" "$copies/list")
		[ -n "$patch" ] || return
		try "$copy" "$patch"
	done
}

[ $# -gt 0 ] || set -- tests/mutants/*.patch
echo 0 >"$copies/next"
for patch in "$@"; do
	[ -e "$patch" ] || patch=tests/mutants/$patch.patch
	echo "$patch"
done >"$copies/list"
for ((job = 0; job < jobs; job++)); do work $job & done
wait
passed=$(grep -c '^ok' "$copies/results")
failed=$(($# - passed)) # one without a result has failed
[ -z "${TANDEM_TALLY:-}" ] || echo "$passed $failed" >>"$TANDEM_TALLY"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
