#!/usr/bin/env bash
# The house's rules that a machine can check: tests/lint/house.sh CC FLAGS...
#
# 1. every header compiles alone   2. one third-party header has one owner   3. arrows go one way
# 4. handlers see no clock, no random number, no floating point   5. no white space at a line's end
# 6. a property that a client fixes is one that users are refused
set -u
cd "$(dirname "$0")/../.."
failures=0
fail() {
	echo "  $*" >&2
	failures=$((failures + 1))
}
sources() { # FOLDER...: C files of the working tree
	find "$@" -name '*.[ch]' -type f 2>/dev/null | sort
}
all=(common consumers producers schemas tests)

if [ $# -gt 0 ]; then
	while read -r header; do
		"$@" -fsyntax-only -x c "$header" 2>/tmp/house.$$ || fail "$header does not compile alone: $(head -n 1 /tmp/house.$$)"
	done < <(sources "${all[@]}" | grep '\.h$')
	rm -f /tmp/house.$$
fi

owner() { # HEADER OWNERS(regex of files)
	local file
	while read -r file; do
		[[ $file =~ ^($2)$ ]] || fail "$file includes <$1>, which is $2's alone"
	done < <(grep -lE "#include *[<\"]$1[>\"]" $(sources "${all[@]}"))
}
owner 'avro\.h' 'common/event_avro\.c|tests/support/peer_avro\.c'
owner 'sqlite3\.h' 'common/store[a-z_]*\.[ch]|tests/test_store[a-z_]*\.c|tests/support/faulty_vfs\.c|tests/sim/vfs\.c|tests/bench/bare_state\.c'
owner '(librdkafka/)?rdkafka(_mock)?\.h' 'common/log_kafka[a-z_]*\.[ch]|tests/.*kafka.*\.[ch]|tests/bench/bare\.c'
owner 'jansson\.h' 'common/json\.h'
owner 'sodium\.h' 'common/hash\.c'
owner 'microhttpd\.h' 'common/http[a-z_]*\.c|common/health\.c'
owner 'zlib\.h' 'common/event_file\.c'
owner 'curl/curl\.h' 'common/http_client\.c'
owner 'cmocka\.h' 'tests/.*'

includes() { # FOLDER PATTERN MESSAGE
	local line
	while read -r line; do
		fail "$line: $3"
	done < <(grep -nHE "#include \"$2" $(sources "$1") /dev/null)
}
includes common '(\.\./)*(consumers|producers|tests)/' "common knows no service and no tool"
includes schemas '(\.\./)*(consumers|producers|tests)/' "schemas know no service and no tool"
includes consumers '(\.\./)*(producers|tests)/' "a service does not know the tools"
includes producers '(\.\./)*(consumers|tests)/' "a tool does not know the services"
while read -r file; do # consumers/order.c, consumers/order/x.c: own folder only
	own=${file#*/}
	own=${own%%/*}
	own=${own%.c}
	while read -r included; do
		path=$(realpath -m --relative-to=. "$(dirname "$file")/$included")
		[ -e "$path" ] || continue # one of common/
		[[ $path == "${file%%/*}/$own"/* || $path == "${file%%/*}/$own".h ]] || fail "$file includes $path, which is another's"
	done < <(sed -nE 's/^#include "([^"]*)".*/\1/p' "$file")
done < <(sources consumers producers)

handlers=$(grep -lE 'struct service_handler' $(sources consumers) /dev/null)
for file in $handlers; do
	while read -r line; do
		fail "$file:$line: a handler is a function of its tables, the event and stream time"
	done < <(grep -nwE 'float|double|time|clock_gettime|gettimeofday|rand|random|rand_r|seam_[a-z_]*|getenv' "$file" |
		grep -vE '^[0-9]+:[[:space:]]*(/?\*|.*//)' | grep -vE '/\*.*\*/' | grep -vE '"[^"]*\b(time|random|double)\b[^"]*"')
done

while read -r found; do
	fail "$found: white space at the end"
done < <(grep -nE '[[:space:]]+$' $(sources "${all[@]}") | cut -d: -f1,2)

fixed() { # the names of librdkafka's properties that our clients fix, whatever the user says
	awk '/^#define KAFKA_READING/ { on = 1 } /\.fixed =/ { on = 1 } on { print } /\{0\}/ || /^$/ { on = 0 }' common/log_kafka*.[ch] |
		grep -oE '\{"[a-z.]+"' | tr -d '{"' | sort -u
}
[ "$(fixed | wc -l)" -ge 10 ] || fail "common/log_kafka*.[ch]: no fixed properties were found there"
while read -r property; do
	grep -qF "{\"$property\"," common/config_property.c ||
		fail "common/config_property.c: '$property' is fixed by a client, and not refused"
done < <(fixed)

[ $failures -eq 0 ] || { echo "house: $failures rules broken" >&2; exit 1; }
