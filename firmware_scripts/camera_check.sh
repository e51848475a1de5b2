#!/usr/bin/env bash
# Say which cameras there are, whether they give frames, and what to write into kiosk.toml. Changes nothing.
#
#   camera_check.sh [SOURCE...]     such as v4l2:/dev/video0 or rtsp://name:password@camera/stream
#
# Run as root on an installed device; looks with the kiosk's own account and groups, so that missing rights show. A
# camera has one user: stop the kiosk first (systemctl stop kiosk). Exit 3 when no camera gives frames.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac
want_root
[ -x "$opt/current/bin/python" ] || fail "no kiosk is installed here; run install.sh first"
if is_running && systemctl --quiet is-active kiosk.service; then
  note "the kiosk is running and may hold the camera; to be sure: systemctl stop kiosk"
fi
cd / # not where a folder named kiosk may lie
exec setpriv --reuid=kiosk --regid=kiosk --groups="$(getent group kiosk video gpio render | cut -d: -f3 | paste -sd,)" \
  "$opt/current/bin/python" -I "$opt/current/share/kiosk/firmware_scripts/camera_check.py" "$@"
