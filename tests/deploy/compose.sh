#!/usr/bin/env bash
# docker/compose.yml without Docker: by the Compose specification's schema and our own eyes; Prometheus' and Alertmanager's settings
# by their own tools; and what it starts, started as processes: a broker with its settings, the topics, both workers twice, the
# publisher, each with the command and environment that stand there, asked by what the image calls its health.
set -u
cd "$(dirname "$0")/../.."
sources=$PWD
venv=$PWD/${VENV:-build/venv}/bin
lib=$PWD/tests/system/kafka/lib.sh
. tests/support/expect.sh
. "$lib"
node=$dir/node
stop() {
	kill "${children[@]}" 2>/dev/null
	wait
	end_node "$node"
	end
}
trap stop EXIT

compose() {
	(cd "${tree:-$sources}" && "$venv/python" "$sources/tests/deploy/compose.py" "$@")
}
expect 0 'the schema of the Compose specification' \
	"$venv/check-jsonschema" --builtin-schema vendor.compose-spec "$sources/docker/compose.yml"
expect 0 'what no schema says' compose check
expect 0 'the Dockerfile' "$venv/hadolint" "$sources/docker/Dockerfile"

# Each of these can fail.
tree=$dir/tree
mkdir "$tree"
refused() { # 'what is wrong' SED-EXPRESSION 'what is said'
	rm -rf "$tree/docker"
	cp -r "$sources/docker" "$tree/"
	sed -i -E "$2" "$tree/docker/compose.yml"
	"$venv/check-jsonschema" --builtin-schema vendor.compose-spec "$tree/docker/compose.yml" >out 2>&1 && compose check >>out 2>&1
	[ $? -ne 0 ] && grep -qF -- "$3" out
	verdict $? "$1 is refused"
}
refused 'a field that is none' 's/^    healthcheck:/    healthchek:/' healthchek
refused 'an image without a version' 's/^(    image: prom.prometheus):.*/\1/' 'has no version'
refused 'an image without a digest' 's/^(    image: apache.kafka.*)@.*/\1/' 'has no digest'
refused 'a digest that is none' 's/^(    image: apache.kafka.*).$/\1/' 'has no digest'
refused 'one that is waited for and is not there' 's/kafka: \{condition/kafak: {condition/' 'waits for kafak'
refused 'a file that is not there' 's#./compose/collector.yaml:#./compose/none.yaml:#' 'there is no file ./compose/none.yaml'
refused 'a port for everybody' 's/127.0.0.1:3000:3000/3000:3000/' 'open to everybody'
refused 'a root that can be written' 's/^(  read_only:) true/\1 false/' 'rights that it does not need'
unset tree

mkdir prometheus
cp "$sources/docker/compose/prometheus.yml" "$sources/docker/prometheus/rules.yml" prometheus/
expect 0 'Prometheus takes its settings' promtool check config prometheus/prometheus.yml
expect 0 'Alertmanager takes its settings' amtool check-config "$sources/docker/compose/alertmanager.yml"
for severity in page ticket; do
	expect 0 "an alert: $severity" amtool config routes test --config.file="$sources/docker/compose/alertmanager.yml" \
		--verify.receivers=$severity severity=$severity alertname=Any
done
severities=$(sed -nE 's/.*severity: *([a-z]+).*/\1/p' prometheus/rules.yml | sort -u | xargs)
expect 0 'which all of the rules have' test "$severities" = 'page ticket'

# The broker by the compose file's settings, on other ports.
tests=$sources/tests/system/kafka
expect 0 'the broker is there' "$tests/prepare.sh"
need_java
read -r inside control outside order_1 order_2 inventory_1 inventory_2 <<<"$(free_ports 7)"
mkdir "$node"
compose properties | sed -E "s/:9092/:$inside/g; s/:9093/:$control/g; s/:29092/:$outside/g; s#//kafka:#//127.0.0.1:#g; s#//:#//127.0.0.1:#g
	s#^log.dirs=.*#log.dirs=$node/data#; s/localhost/127.0.0.1/g" >"$node/server.properties"
format_node "$node/data" 1
launch_node "$node"
expect 0 'a broker with these settings starts' await_node "$node"

service() { # NAME [PORT] [MORE...]: its command in its environment; by=exec: in this shell's place, so that $! is it
	local settings command
	mapfile -t settings < <(compose environment "$1" | sed -E "s#kafka:9092#127.0.0.1:$inside#; s#0.0.0.0:9464#127.0.0.1:${2:-1}#; /OTLP/d")
	mapfile -t command < <(compose command "$1")
	${by:-} env "${settings[@]}" TANDEM_DATA="$dir/data-$1" "$tandem" "${command[@]}" "${@:3}"
}
expect 0 'the topics' service topics
for name in order-1 order-2 inventory-1 inventory-2; do
	port=${name/-/_}
	by=exec service $name "${!port}" 2>"$name.log" &
	children+=($!)
done
healthy() { # NAME: as the image's HEALTHCHECK asks
	local port=${1/-/_}
	TANDEM_LISTEN=127.0.0.1:${!port} "$tandem" health >out 2>err
}
for name in order-1 order-2 inventory-1 inventory-2; do
	for _ in $(seq 1200); do healthy $name && break; sleep 0.1; done # while the other one joins it may not be, for a moment
	verdict $? "$name is well"
done
service publisher 1 --orders 200 --rate 1000 >published 2>&1
expect 0 'the publisher publishes' grep -q '^acknowledged' published
# shellcheck disable=SC2046 # folders are words
expect 0 'the services agree' "$tandem" audit --wait --timeout 5m -b "127.0.0.1:$inside" $(printf -- '--data %s ' "$dir"/data-*)
holds 'with every order settled' ' + 0 pending'
expect 0 'a demo from outside, on the same broker' "$tandem" demo -b "127.0.0.1:$outside" --namespace demo \
	"$sources/tests/data/online-retail-sample.csv"
finish
