#!/bin/bash
# prepare.sh: fills the cache once: the broker's jars (Maven), a formatted template, and an archive of its classes, which
# halves the time of each start. Does nothing where that is done; several may call it at once.
set -eu
. "$(dirname "$0")/lib.sh"
unset KAFKA_JVM # one archive for all

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
[ ! -f "$cache/ready" ] || exit 0
need_java
command -v mvn >/dev/null || die "mvn is missing: apt-get install maven default-jre-headless"
echo "prepare.sh: fetching the broker into $cache (once)" >&2
mvn -q -B -f "$here/pom.xml" ${KAFKA_VERSION:+-Dkafka.version="$KAFKA_VERSION"} dependency:copy-dependencies \
	-DincludeScope=runtime -DoutputDirectory="$cache/lib" >&2 || die "maven could not fetch the broker's jars"
rm -f "$cache"/lib/slf4j-reload4j-*.jar # of older brokers; two of these do not go together

run=$(mktemp -d "$cache/warm.XXXXXX")
trap 'end_node "$run"; rm -rf "$run"' EXIT
mkdir -p "$run/data" "$cache/template"
cat >"$run/format.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:1
listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$run/data
P
# shellcheck disable=SC2046 # the flags are words
java $(jvm_flags) -cp "$(class_path)" kafka.tools.StorageTool format -t "$cluster_id" -c "$run/format.properties" \
	>"$run/log" 2>&1 9>&- || { cat "$run/log" >&2; die "the broker's storage could not be formatted"; }
cp "$run/data/meta.properties" "$run/data/bootstrap.checkpoint" "$cache/template/"

# The archive is written at a clean end.
DUMP_ARCHIVE=$run/kafka.jsa start_single "$run" 9>&-
end_node "$run" TERM
[ ! -f "$run/kafka.jsa" ] || mv "$run/kafka.jsa" "$cache/kafka.jsa"
touch "$cache/ready"
