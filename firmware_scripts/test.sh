#!/usr/bin/env bash
# Install the kiosk with what its tests need, check style and types (check.sh), and run the tests.
#
#   ./firmware_scripts/test.sh [PYTEST OPTIONS]
#
# Makes .venv in the repository; safe to run twice. Two cores run four test files in parallel; -n 0 runs one after the
# other. Types are checked meanwhile, and what was found is shown at the end. KIOSK_PYTHON names another Python,
# KIOSK_VENV another place.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac

install_into_venv test
# Some tests want a program. As root on Debian it is fetched; elsewhere they skip, or are shorter, and say what is missing.
want() { # PROGRAM PACKAGES, in words: what its tests are about
  if command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; then return; fi
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then return; fi
  step "Installing $2 for the tests of $3"
  # shellcheck disable=SC2086 # several packages
  (apt_install $2) || printf 'Note: no %s; the tests of %s are skipped or shorter\n' "$1" "$3" >&2
}
# Without a window Chromium takes two thirds of the processor; Debian has both, Raspberry Pi OS the other one alone.
command -v chromium >/dev/null 2>&1 || want chromium-headless-shell "chromium-headless-shell" "the pages"
command -v chromium-headless-shell >/dev/null 2>&1 || want chromium "chromium" "the pages"
want node "nodejs npm" "clients in JavaScript"
want mosquitto "mosquitto" "MQTT"
want strace "strace" "failing disks"
want gcc "gcc libc6-dev" "failing disks"
"$root/firmware_scripts/check.sh" --form
step "Running the tests, and checking types in parallel"
cd "$root"
run_tests() {
  # On a fresh checkout every process would compile every test anew, all at the same time.
  [ -d tests/__pycache__ ] || "$venv/bin/python" -m pytest --collect-only -qq >/dev/null 2>&1 || true # shown below
  # Tests wait for processes a good part of their time. In the order of tests/conftest.py: what takes long comes first.
  "$venv/bin/python" -m pytest -n "$(($(nproc) * 3 / 2 + 1))" --dist loadfile --no-loadscope-reorder "$@"
}
in_parallel "$root/firmware_scripts/check.sh" --types -- run_tests "$@"
