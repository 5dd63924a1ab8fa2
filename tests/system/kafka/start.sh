#!/bin/bash
# start.sh DIR: starts a broker with its data, log and pid in DIR, and prints host:port. stop.sh DIR ends it.
# Where DIR has data of an earlier broker, that goes on (on another port).
set -eu
. "$(dirname "$0")/lib.sh"
[ $# = 1 ] || die "usage: start.sh DIR"
"$here/prepare.sh"
need_java
mkdir -p "$1"
start_single "$(cd "$1" && pwd)"
echo "127.0.0.1:$port"
