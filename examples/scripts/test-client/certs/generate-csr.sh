#!/usr/bin/env bash
# generate-csr.sh NAME: a key, which stays here, and a CSR, which is all that travels.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 NAME" >&2; exit 2; }
cd "$(dirname "$0")"
keystead=$(command -v keystead || echo ../../../../.venv/bin/keystead)

"$keystead" csr "$1" --dir .
