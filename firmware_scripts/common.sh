# Shared by the scripts beside it; sourced, never run. Needs `set -euo pipefail` and $root.
# shellcheck shell=bash

venv="${KIOSK_VENV:-$root/.venv}"

step() { printf '\n==> %s\n' "$*"; }

fail() {
  printf 'Error: %s\n' "$*" >&2
  exit 1
}

# Run two commands in parallel, and show what the first said when both have ended. Fails when either does.
#   in_parallel COMMAND... -- COMMAND...
in_parallel() {
  local first=() other said code=0
  while [ "$1" != -- ]; do
    first+=("$1")
    shift
  done
  shift
  said="$(mktemp)"
  "${first[@]}" >"$said" 2>&1 &
  other=$!
  # shellcheck disable=SC2064 # of this one, and it outlives the names
  trap "kill $other 2>/dev/null || true; rm -f '$said'" EXIT
  "$@" || code=$?
  wait "$other" || code=$((code == 0 ? $? : code))
  cat "$said"
  rm -f "$said"
  trap - EXIT
  return "$code"
}

# Print the first Python here that the kiosk runs on; with KIOSK_PYTHON, that one or none.
find_python() {
  local name names=(python3 python3.13 python3.12 python3.11 python3.14 python3.10)
  if [ -n "${KIOSK_PYTHON:-}" ]; then names=("$KIOSK_PYTHON"); fi
  for name in "${names[@]}"; do
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
  command -v apt-get >/dev/null 2>&1 || fail "please install: $*"
  if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo)
    command -v sudo >/dev/null 2>&1 ||
      fail "$* must be installed; as root, type: apt-get update && apt-get install -y $* - then run this again"
  fi
  "${sudo[@]}" apt-get update -qq
  # env, because sudo drops variables set before it.
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
    fail "could not install $*; check the network and run this again"
}

# Say whether the virtual environment works and, with KIOSK_PYTHON, is of that Python's version.
venv_serves() {
  local version='import sys; print(sys.version_info[:2])'
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || return 1
  [ -z "${KIOSK_PYTHON:-}" ] || [ "$("$venv/bin/python" -c "$version")" = "$("$1" -c "$version")" ]
}

# Make the virtual environment and install the kiosk with the extra given; quick when nothing changed.
install_into_venv() {
  local extra="$1" python stamp wanted
  python="$(find_python)" || {
    [ -z "${KIOSK_PYTHON:-}" ] || fail "KIOSK_PYTHON=$KIOSK_PYTHON is no Python 3.10 to 3.14"
    step "Installing Python"
    apt_install python3 python3-venv
    python="$(find_python)" || fail "want Python 3.10 to 3.14; set KIOSK_PYTHON to one"
  }
  if ! venv_serves "$python"; then
    step "Making a virtual environment in $venv"
    if [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -f "$venv/pyvenv.cfg" ]; then
      fail "$venv is no virtual environment; not touched. Set KIOSK_VENV to another place"
    fi
    # Debian splits ensurepip off into python3-venv, which a bare machine lacks.
    "$python" -c 'import ensurepip' 2>/dev/null || apt_install python3-venv
    rm -rf "$venv"
    "$python" -m venv "$venv" || fail "could not make $venv"
  fi
  stamp="$venv/.installed-$extra"
  wanted="$(cat "$root/pyproject.toml" "$root/kiosk/__init__.py" | sha256sum) $root"
  if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    step "Installing the kiosk ($extra)"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "${root}[$extra]"
    printf '%s' "$wanted" >"$stamp"
  fi
}
