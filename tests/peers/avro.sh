#!/usr/bin/env bash
# Do we and fastavro, another implementation of Avro, read and write the same? Values of every event both ways, from every
# version it had, and container files. `make peers` runs it; TANDEM_TEST_SEED=N for other values.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
seed=${TANDEM_TEST_SEED:-91}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$build/tests/peers/avro_peer" write "$folder"
"${VENV:-build/venv}/bin/python" tests/peers/avro_peer.py "$folder" "$seed" schemas tests/schemas
"$build/tests/peers/avro_peer" read "$folder"
