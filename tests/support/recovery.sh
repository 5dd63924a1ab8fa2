#!/bin/bash
# recovery.sh FILE: the times to recover that tests have noted (tests/support/recovery.h), as a table: of each test and fault
# the last run, and how many there were where there was more than one.
set -eu
[ $# = 1 ] || { echo "usage: recovery.sh FILE" >&2; exit 2; }
[ -s "$1" ] || exit 0
echo "Seconds from the fault to the first outcome of an order placed after it, to one in every partition, to drained:"
awk -F '\t' '
	function row(a, b, c, d, e, f) { printf "  %-*s  %-*s  %7s  %10s  %7s%s\n", wide[1], a, wide[2], b, c, d, e, f }
	BEGIN { wide[1] = 4; wide[2] = 5 }
	{
		key = $1 FS $2
		if (!runs[key]++) order[++count] = key
		last[key] = $0
		for (i = 1; i <= 2; i++) if (length($i) > wide[i]) wide[i] = length($i)
	}
	END {
		row("TEST", "FAULT", "FIRST", "EVERYWHERE", "DRAINED", "")
		for (i = 1; i <= count; i++) {
			split(last[order[i]], c, FS)
			row(c[1], c[2], c[3], c[4], c[5], runs[order[i]] > 1 ? "  the last of " runs[order[i]] " runs" : "")
		}
	}' "$1"
