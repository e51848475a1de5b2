#!/usr/bin/env bash
# Measure a board once and print one table, to be sent back: each step of a decision, searches, the start.
#
#   ./benchmarks/pi.sh
#
# For a Raspberry Pi or any other Linux; takes some five minutes, and a camera or door is not needed. Stop a kiosk that
# runs meanwhile: it would share the processor. Installs into .venv of this folder and changes nothing else; safe to run
# twice. The table names the board and the versions, and nobody.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac

install_into_venv tflite
step "Measuring"
cd "$root"
"$venv/bin/python" -m benchmarks.board "$@" | tee "$root/board-table.md"
step "Send back the table above; it is also in $root/board-table.md"
