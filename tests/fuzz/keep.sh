#!/usr/bin/env bash
# Keeps what libFuzzer has found: tests/fuzz/keep.sh TARGET... (make fuzz-keep, behind make fuzz)
#
# tests/fuzz/corpus/TARGET holds seed-* (make fuzz-seeds), crash-* (each broke something once; named and put there by hand) and
# found-*: of all that is in build-fuzz/corpus/TARGET the inputs that reach code which no smaller one reaches, at most 30.
set -euo pipefail
cd "$(dirname "$0")/../.."
most=${MOST:-30}
merged=$(mktemp -d)
trap 'rm -rf "$merged"' EXIT
for target; do
	corpus=tests/fuzz/corpus/$target
	rm -rf "${merged:?}"/*
	mkdir -p "$corpus" "build-fuzz/corpus/$target"
	find "$corpus" -type f ! -name 'found-*' -exec cp -t "$merged" {} +
	"build-fuzz/tests/fuzz/libfuzzer-$target" -merge=1 -use_counters=0 -timeout=20 "$merged" "$corpus" "build-fuzz/corpus/$target" \
		>"build-fuzz/merge-$target.log" 2>&1
	find "$corpus" -name 'found-*' -delete
	# The largest say most.
	find "$merged" -type f ! -name 'seed-*' ! -name 'crash-*' -printf '%s %f\n' | sort -rn | head -n $most | while read -r _ name; do
		cp "$merged/$name" "$corpus/found-${name:0:8}"
	done
	echo "  $target: $(find "$corpus" -type f | wc -l) inputs, $(du -sb "$corpus" | cut -f1) bytes"
done
