#!/usr/bin/env bash
# Runs the workloads one after the other and prints their table: tests/bench/run.sh FOLDER WORKLOAD...
# FOLDER has the programs; what they say goes to stderr, their figures to $BENCH_OUT.
#   BENCH_SECONDS   the limit of each (1200)
set -u
programs=$1
shift
status=0
for workload in "$@"; do
	echo "bench: $workload" >&2
	started=$SECONDS
	timeout -k 10 "${BENCH_SECONDS:-1200}" "$programs/$workload" >/dev/null || {
		echo "bench: $workload ended with $?" >&2
		status=1
	}
	echo "bench: $workload took $((SECONDS - started)) s" >&2
done
"$programs/table" "$BENCH_OUT" "$@" || status=1
exit $status
