# Shared by the scripts beside it; sourced, never run. Needs `set -euo pipefail` and $root.
# shellcheck shell=bash

venv="${KIOSK_VENV:-$root/.venv}"

step() { printf '\n==> %s\n' "$*"; }

fail() {
  printf 'Error: %s\n' "$*" >&2
  exit 1
}

# Print the newest Python here that the kiosk runs on.
find_python() {
  local name
  for name in ${KIOSK_PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python3.10; do
    if command -v "$name" >/dev/null 2>&1 &&
      "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# Install Debian packages, as root or through sudo; say what to type where neither is possible.
apt_install() {
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || fail "please run as root: apt-get install $*"
    sudo=(sudo)
  fi
  command -v apt-get >/dev/null 2>&1 || fail "please install: $*"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Make the virtual environment and install the kiosk with the extra given; quick when nothing changed.
install_into_venv() {
  local extra="$1" python stamp wanted
  python="$(find_python)" || {
    step "Installing Python"
    apt_install python3 python3-venv
    python="$(find_python)" || fail "want Python 3.10 to 3.14; set KIOSK_PYTHON to one"
  }
  if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    step "Making a virtual environment in $venv"
    rm -rf "$venv"
    # Debian splits ensurepip off into python3-venv, which a bare machine lacks.
    if ! "$python" -m venv "$venv" 2>/dev/null; then
      rm -rf "$venv"
      apt_install python3-venv
      "$python" -m venv "$venv"
    fi
  fi
  stamp="$venv/.installed-$extra"
  wanted="$(cat "$root/pyproject.toml" "$root/kiosk/__init__.py" | sha256sum) $root"
  if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    step "Installing the kiosk ($extra)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[$extra]"
    printf '%s' "$wanted" >"$stamp"
  fi
}
