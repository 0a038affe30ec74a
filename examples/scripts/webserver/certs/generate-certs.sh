#!/usr/bin/env bash
# All on one machine, for tests: the CA, the server's files, and a client's (client.key, client.crt) beside them.
set -euo pipefail
cd "$(dirname "$0")"
keystead=$(command -v keystead || echo ../../../../.venv/bin/keystead)

./generate-server-certs.sh
[ -e client.key ] || "$keystead" csr client --dir .
"$keystead" ca sign client.csr --profile client
"$keystead" install client.pem --dir .
