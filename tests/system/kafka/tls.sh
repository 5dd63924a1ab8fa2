#!/bin/bash
# tls.sh DIR NAME...: a test's certificate authority, a broker's certificate for localhost, a client's for each NAME, and one for
# `stranger` of an authority that nobody trusts. All PEM: DIR/ca.crt, DIR/NAME.crt, DIR/NAME.key, DIR/broker.pem; and
# DIR/elsewhere.pem, for a broker of another name.
set -eu
mkdir -p "$1"
cd "$1"
shift
new() { # NAME SUBJECT
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.csr" -subj "$2" 2>/dev/null
}
authority() { # NAME
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" -days 30 -subj "/CN=$1" \
		-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}
issue() { # NAME SUBJECT AUTHORITY EXTENSIONS
	new "$1" "$2"
	openssl x509 -req -in "$1.csr" -CA "$3.crt" -CAkey "$3.key" -CAcreateserial -days 30 -out "$1.crt" -extfile <(printf '%b' "$4") \
		2>/dev/null
	rm "$1.csr"
}
authority ca
authority other-ca
issue broker /CN=broker ca 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n'
for name in "$@"; do
	issue "$name" "/CN=$name" ca 'extendedKeyUsage=clientAuth\n'
done
issue stranger /CN=order other-ca 'extendedKeyUsage=clientAuth\n'
issue elsewhere /CN=elsewhere ca 'subjectAltName=DNS:kafka.elsewhere.example\nextendedKeyUsage=serverAuth\n'
# What the broker reads is one file: its key in PKCS#8, then the chain.
for name in broker elsewhere; do
	openssl pkcs8 -topk8 -nocrypt -in $name.key -out $name.p8
	cat $name.p8 $name.crt ca.crt >$name.pem
done
chmod 600 ./*.key ./*.p8 broker.pem elsewhere.pem
