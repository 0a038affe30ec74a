#!/usr/bin/env bash
# Old name, new safety: the CA (made once), then this web server's key, CSR and certificate.
# The CA's key does not lie here any more: the last line says where it does.
set -euo pipefail
cd "$(dirname "$0")"
keystead=$(command -v keystead || echo ../../../../.venv/bin/keystead)
ca_folder=${KEYSTEAD_HOME:-$HOME/.keystead}/${KEYSTEAD_ENV:-dev}

if [ ! -e "$ca_folder/ca.toml" ]; then
    if [ -n "${KEYSTEAD_PASSPHRASE_FILE:-}" ]; then
        "$keystead" ca init --org "${KEYSTEAD_ORG:-keystead}"
    else
        "$keystead" ca init --no-passphrase # unsealed: keystead allows that in dev alone
    fi
fi
[ -e server.key ] || "$keystead" csr server --profile server --dir .
"$keystead" ca sign server.csr --profile server
"$keystead" install server.pem --dir .
echo "server.key, server.crt and ca.crt are here; the CA's key lies in $ca_folder and stays there"
