#!/usr/bin/env bash
# The tests that test the simulator: each patch here breaks the runtime or a service in one small way. It is applied to a copy of
# the sources, built, and seeds are run until one fails.
#
#   tests/mutants/run.sh [NAME...]     these, or all
#   MUTANT_SEEDS=3000                  how many are tried before a mutant has survived
#   BUILD=build                        whose objects the copy begins with
# A line each: its name, the seed that caught it and after how many, and what was found. The last line: "N passed, M failed".
# A patch that no longer applies or compiles fails, and so does one that survives: a hole in the simulator.
set -u
cd "$(dirname "$0")/../.."
seeds=${MUTANT_SEEDS:-3000} build=${BUILD:-build} make=${MAKE:-make}
passed=0 failed=0
copy=$(mktemp -d "${TMPDIR:-/tmp}/tandem-mutants-XXXXXX") || exit 1
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/$build"
cp -a common consumers producers schemas tests Makefile .ci "$copy/" &&
	cp -a "$build/." "$copy/$build/" || exit 1

result() { # NAME OK TEXT
	printf '  %-5s %-26s %s\n' "$2" "$1" "$3"
	[ "$2" = ok ] && passed=$((passed + 1)) || failed=$((failed + 1))
}
try() { # PATCH
	local name=${1##*/} out=$copy/out started=$SECONDS file
	name=${name%.patch}
	file=$(sed -n 's|^+++ b/||p' "$1")
	if ! patch -s -d "$copy" -p1 --no-backup-if-mismatch <"$1" >"$out" 2>&1; then
		result "$name" FAIL "does not apply: $(head -n 1 "$out")"
	elif ! "$make" -s -C "$copy" BUILD="$build" CFLAGS='-O2 -g -Wno-error' "$build/sim" >"$out" 2>&1; then
		result "$name" FAIL "does not compile: $(grep -m 1 error "$out")"
	elif timeout 600 "$copy/$build/sim" --seeds "$seeds" >"$out" 2>&1; then
		result "$name" FAIL "survived $seeds seeds in $((SECONDS - started)) s"
	elif grep -q '^seed [0-9]* FAILED' "$out"; then
		result "$name" ok "$(sed -nE 's/^seed ([0-9]+) FAILED: (.{0,70}).*/seed \1, after \1: \2/p' "$out" | head -n 1)"
	else
		result "$name" ok "the program ends by itself: $(grep -v '^ ' "$out" | tail -n 1 | cut -c 1-70)"
	fi
	cp -a "$file" "$copy/$file"
	touch "$copy/$file"
}

[ $# -gt 0 ] || set -- tests/mutants/*.patch
for patch in "$@"; do
	[ -e "$patch" ] || patch=tests/mutants/$patch.patch
	try "$patch"
done
[ -z "${TANDEM_TALLY:-}" ] || echo "$passed $failed" >>"$TANDEM_TALLY"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
