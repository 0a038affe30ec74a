#!/usr/bin/env bash
# Installs the programs that the tests run beside keystead, where it may; says what is missing where it may not.
set -euo pipefail

# program:package
needs=(openssl:openssl curl:curl git:git)

missing=()
for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]} …"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
else
    echo "These programs are missing, and without root they cannot be installed here: ${missing[*]}"
    echo "The tests that run them are skipped, each with this reason. To run all of them, type once:"
    echo "  sudo apt-get install ${missing[*]}"
fi
