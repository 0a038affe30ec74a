#!/usr/bin/env bash
# Installs the programs that the tests run beside keystead, where it may; says what is missing where it may not.
# With the argument `bench` also those that the benchmarks race against, and what builds their load generator.
set -euo pipefail

# program:package, or /file:package
needs=(openssl:openssl curl:curl git:git strace:strace faketime:faketime age:age ssh-keygen:openssh-client node:nodejs npm:npm)
who="The tests that run them are skipped, each with this reason. To run all of them"
if [ "${1:-}" = bench ]; then
    needs+=(nginx:nginx-light gcc:gcc /usr/include/stdio.h:libc6-dev /usr/include/openssl/ssl.h:libssl-dev)
    who="The races that need them are left out. To run all of them"
fi

missing=()
for need in "${needs[@]}"; do
    wanted="${need%%:*}"
    [ -e "$wanted" ] || command -v "$wanted" >/dev/null || missing+=("${need##*:}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

# Debian starts a web server as soon as it is installed; the benchmarks run their own, for minutes.
policy=/usr/sbin/policy-rc.d
forbid_services() {
    [ ! -e "$policy" ] || return 0
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]} …"
    apt-get update -qq
    [[ " ${missing[*]} " != *" nginx-light "* ]] || forbid_services
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
else
    echo "These programs are missing, and without root they cannot be installed here: ${missing[*]}"
    echo "$who, type once:"
    echo "  sudo apt-get install ${missing[*]}"
fi
