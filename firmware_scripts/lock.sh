#!/usr/bin/env bash
# Choose the version of every package a device gets, with the SHA-256 of each of its files.
#
#   ./firmware_scripts/lock.sh [--upgrade]
#
# Run by whoever makes a release, not on a device. Writes requirements.lock, build.lock and tools.lock beside it: one list
# each for x86-64 and aarch64 and for Python 3.10 to 3.14, by markers. Versions in a list stay; --upgrade looks for newer
# ones. The uv that chooses is the one of tools.lock, checked against its hash.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python="$(find_python)" || fail "want Python 3.10 to 3.14; set KIOSK_PYTHON to one"
"$python" -m venv "$work/venv"
install_tools "$work/venv"
cd "$root"
lock() {
  "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.10 --generate-hashes --only-binary :all: \
    --custom-compile-command ./firmware_scripts/lock.sh "$@"
}
lock "$@" --extra gpio --output-file firmware_scripts/requirements.lock pyproject.toml firmware_scripts/appliance.in
# What builds the kiosk's own wheel; it runs with root's rights where install.sh is started from a checkout.
lock "$@" --output-file firmware_scripts/build.lock - <<<"hatchling>=1.24"
# What makes a release: uv resolves for machines other than the one it runs on, cryptography signs. No device has uv.
lock "$@" --output-file firmware_scripts/tools.lock - <<<$'uv>=0.9\ncryptography>=42'
for list in requirements build tools; do
  echo "firmware_scripts/$list.lock: $(grep -c '==' "firmware_scripts/$list.lock") packages and versions"
done
