#!/bin/bash
# with-kafka.sh COMMAND...: runs the command with a fresh broker, whose address it finds in $KAFKA and its pid in $KAFKA_PID,
# and ends with its status.
# Where KAFKA is set already, that broker is used. The broker ends with this script, whatever ends the script.
set -eu
. "$(dirname "$0")/lib.sh"
[ $# -ge 1 ] || die "usage: with-kafka.sh COMMAND..."
[ -z "${KAFKA:-}" ] || exec "$@"
"$here/prepare.sh"
need_java
run=$(mktemp -d "${TMPDIR:-/tmp}/tandem-kafka.XXXXXX")
child=
finish() {
	[ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
	end_node "$run"
	rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
DIE_WITH_ME=1 start_single "$run"
export KAFKA=127.0.0.1:$port KAFKA_PID=$(cat "$run/pid")
# Behind wait, so that a signal is heard at once.
"$@" <&0 &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
