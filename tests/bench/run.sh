#!/usr/bin/env bash
# Warms the broker and runs the workloads one after the other: tests/bench/run.sh FOLDER WORKLOAD...
# FOLDER has the programs; what they say goes to stderr, their figures to $BENCH_OUT. Several: their table goes to stdout.
#   BENCH_SECONDS   the limit of each (1200)      WARM, SIDES   see warm.c; growth alone needs no broker
set -u
programs=$1
shift
[ "$*" != growth ] || export SIDES="${SIDES:-local}"
"$programs/warm" >/dev/null || exit 1
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
[ $# -eq 1 ] || "$programs/table" "$BENCH_OUT" "$@" || status=1
exit $status
