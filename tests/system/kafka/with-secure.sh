#!/bin/bash
# with-secure.sh COMMAND...: runs the command with a fresh broker that wants to know who asks, and ends with its status.
#
#   $KAFKA         for the test itself: no TLS, every right
#   $SECURE_MTLS   TLS with client certificates; CN=x is User:x
#   $SECURE_PLAIN  TLS, SASL/PLAIN, and SCRAM-SHA-512 where SCRAM=1 was set: every NAME below with the password NAME-password
#   $SECURE_ELSEWHERE  TLS by a certificate for another host, and no client certificate is asked for
#   $SECURE_DIR    ca.crt, NAME.crt, NAME.key, stranger.crt and .key of another authority, NAME.password
#   $SECURE_NAMES  who there is
# Who has no ACL may do nothing.
set -eu
. "$(dirname "$0")/lib.sh"
[ $# -ge 1 ] || die "usage: with-secure.sh COMMAND..."
names="order inventory revenue publisher auditor operator"
"$here/prepare.sh"
need_java
run=$(mktemp -d "${TMPDIR:-/tmp}/tandem-secure.XXXXXX")
child=
finish() {
	[ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
	end_node "$run"
	rm -rf "$run"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# shellcheck disable=SC2086 # the names are words
"$here/tls.sh" "$run/tls" $names
users=
for name in $names; do
	(umask 077; echo "$name-password" >"$run/tls/$name.password"; echo "no-password" >"$run/tls/wrong.password")
	users+=" user_$name=\"$name-password\""
done

# PLAIN MTLS PWD CONTROLLER ELSEWHERE
secure_properties() {
	cat "$here/server.properties.in"
	cat <<-P
		process.roles=broker,controller
		node.id=1
		controller.quorum.voters=1@127.0.0.1:$4
		listeners=PLAINTEXT://127.0.0.1:$1,MTLS://127.0.0.1:$2,PWD://127.0.0.1:$3,ELSEWHERE://127.0.0.1:$5,CONTROLLER://127.0.0.1:$4
		advertised.listeners=PLAINTEXT://127.0.0.1:$1,MTLS://127.0.0.1:$2,PWD://127.0.0.1:$3,ELSEWHERE://127.0.0.1:$5
		listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,MTLS:SSL,PWD:SASL_SSL,ELSEWHERE:SSL
		log.dirs=$run/data
		min.insync.replicas=1
		offsets.topic.replication.factor=1
		transaction.state.log.replication.factor=1
		transaction.state.log.min.isr=1
		share.coordinator.state.topic.replication.factor=1
		share.coordinator.state.topic.min.isr=1
		ssl.keystore.type=PEM
		ssl.keystore.location=$run/tls/broker.pem
		ssl.truststore.type=PEM
		ssl.truststore.location=$run/tls/ca.crt
		ssl.principal.mapping.rules=RULE:^CN=([a-zA-Z0-9._-]+).*$/\$1/,DEFAULT
		listener.name.mtls.ssl.client.auth=required
		listener.name.elsewhere.ssl.keystore.type=PEM
		listener.name.elsewhere.ssl.keystore.location=$run/tls/elsewhere.pem
		listener.name.pwd.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
		listener.name.pwd.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required$users;
		listener.name.pwd.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
		authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
		super.users=User:ANONYMOUS
		allow.everyone.if.no.acl.found=false
	P
}

# Ports taken between the look and the bind: again.
start() {
	for _ in 1 2 3 4 5; do
		read -r plain mtls pwd controller elsewhere <<<"$(free_ports 5)"
		[ -f "$run/data/meta.properties" ] || format_node "$run/data" 1
		secure_properties "$plain" "$mtls" "$pwd" "$controller" "$elsewhere" >"$run/server.properties"
		DIE_WITH_ME=1 launch_node "$run"
		if await_node "$run"; then return 0; fi
		end_node "$run"
		grep -qE 'Address already in use|Failed to bind|BindException' "$run/log" || break
	done
	tail -n 20 "$run/log" >&2
	die "the broker did not start (above: the end of its log)"
}
start
# SCRAM's users are records of the cluster. That a password is wrong shows without: an unknown user's always is.
[ -z "${SCRAM:-}" ] || for name in $names; do
	run_tool kafka.admin.ConfigCommand --bootstrap-server "127.0.0.1:$plain" --alter --entity-type users --entity-name "$name" \
		--add-config "SCRAM-SHA-512=[iterations=4096,password=$name-password]" >/dev/null
done

export KAFKA=127.0.0.1:$plain KAFKA_PID=$(cat "$run/pid")
export SECURE_MTLS=127.0.0.1:$mtls SECURE_PLAIN=127.0.0.1:$pwd SECURE_ELSEWHERE=127.0.0.1:$elsewhere SECURE_DIR=$run/tls SECURE_NAMES=$names
# Behind wait, so that a signal is heard at once.
"$@" <&0 &
child=$!
status=0
wait "$child" || status=$?
child=
exit "$status"
