#!/usr/bin/env bash
# Makes .venv with the locked dependencies. uv is installed under .tools where the machine has none.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

python=""
for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
    # A version manager's shim may be there without a Python behind it, and says so at length.
    if command -v "$candidate" >/dev/null &&
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
if [ -z "$python" ]; then
    say "keystead needs Python 3.11 or newer, and this machine has $(python3 --version 2>&1 || true)."
    say "On Debian 12 or Ubuntu 24.04:  sudo apt-get install python3 python3-venv"
    exit 1
fi

uv=$(command -v uv || true)
[ -n "$uv" ] || { [ -x .tools/bin/uv ] && uv=$PWD/.tools/bin/uv; } || true
if [ -z "$uv" ]; then
    rm -rf .tools
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        # A bare Debian has Python without ensurepip, so that it cannot make a venv with pip in it.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            say "installing python3-venv, which this machine lacks …"
            apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
        elif ! "$python" -m pip --version >/dev/null 2>&1; then
            say "This machine's Python cannot make a virtual environment (no ensurepip, no pip)."
            say "Type once:  sudo apt-get install python3-venv"
            exit 1
        fi
    fi
    say "installing uv into .tools …"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .tools
        .tools/bin/python -m pip install --quiet --disable-pip-version-check uv
    else
        "$python" -m pip install --quiet --disable-pip-version-check --target .tools/lib uv
        mkdir -p .tools/bin && ln -sf ../lib/bin/uv .tools/bin/uv
    fi
    uv=$PWD/.tools/bin/uv
fi

export UV_PYTHON_DOWNLOADS=never
"$uv" sync --quiet --frozen --compile-bytecode --python "$python"
"$PWD/.venv/bin/python" -m compileall -q src
