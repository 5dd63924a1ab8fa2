#!/bin/bash
# stop.sh DIR [SIGNAL]: ends the broker that start.sh started there (KILL: its data is a test's) and waits until it is gone.
set -eu
. "$(dirname "$0")/lib.sh"
[ $# -ge 1 ] || die "usage: stop.sh DIR [SIGNAL]"
end_node "$1" "${2:-KILL}"
