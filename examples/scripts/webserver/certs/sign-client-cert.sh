#!/usr/bin/env bash
# sign-client-cert.sh CSR NAME: signs a client's CSR. NAME.crt and ca.crt lie here and beside the CSR then.
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 CSR NAME" >&2; exit 2; }
csr=$(realpath "$1") name=$2
cd "$(dirname "$0")"
keystead=$(command -v keystead || echo ../../../../.venv/bin/keystead)

"$keystead" ca sign "$csr" --profile client --name "$name" --out .
[ "$(dirname "$csr")" = "$PWD" ] || "$keystead" ca sign "$csr" --profile client --name "$name" >/dev/null
