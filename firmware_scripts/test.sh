#!/usr/bin/env bash
# Install the kiosk with what its tests need, check form and types (check.sh), and run the tests.
#
#   ./firmware_scripts/test.sh [PYTEST OPTIONS]
#
# Makes .venv in the repository; safe to run twice. One test file more runs in parallel than there are cores; -n 0 runs one
# after the other. KIOSK_PYTHON names another Python, KIOSK_VENV another place.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac

install_into_venv test
# The pages' tests want a browser. As root on Debian it is fetched; elsewhere they skip and say what is missing.
if ! command -v chromium >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
  step "Installing Chromium for the tests of the pages"
  (apt_install chromium) || printf 'Note: no Chromium; the tests of the pages are skipped\n' >&2
fi
if ! { command -v mosquitto || [ -x /usr/sbin/mosquitto ]; } >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ] &&
  command -v apt-get >/dev/null 2>&1; then
  step "Installing mosquitto for the tests of MQTT"
  (apt_install mosquitto) || printf 'Note: no mosquitto; the tests of MQTT are skipped\n' >&2
fi
"$root/firmware_scripts/check.sh"
# The tests of failing disks make real calls fail; where the tools cannot be had they skip and say so.
if { ! command -v strace || ! command -v gcc; } >/dev/null 2>&1 && [ "$(id -u)" -eq 0 ] &&
  command -v apt-get >/dev/null 2>&1; then
  step "Installing strace and gcc for the tests of failing disks"
  (apt_install strace gcc libc6-dev) ||
    printf 'Note: no strace or gcc; the tests of failing disks are skipped or shorter\n' >&2
fi
step "Running the tests"
cd "$root"
exec "$venv/bin/python" -m pytest -n "$(($(nproc) + 1))" --dist loadfile "$@" # tests wait for processes a third of their time
