#!/usr/bin/env bash
# Take the kiosk off a device. Run as root. What people entrusted to it stays, unless asked otherwise.
#
#   uninstall.sh [--purge]
#
#   --purge   also remove the store with everyone in it, its backups, its key and the settings: for good
#
# Safe to run again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

purge=false
case "${1:-}" in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
  --purge) purge=true ;;
  "") ;;
  *) fail "uninstall.sh does not know '$1'; see --help" ;;
esac
want_root
[ ! -e "$switching" ] || fail "an update is being judged; wait for: systemctl status confirm-kiosk"

if "$purge" && [ -t 0 ]; then
  read -r -p "Remove everyone enrolled, the decision log, the backups and the key from $(hostname)? Type yes: " answer
  [ "$answer" = yes ] || fail "nothing was removed"
fi

step "Removing the kiosk"
if is_running; then
  for unit in update-kiosk.path update-kiosk.service kiosk-{sweep,backup,health}.timer kiosk-{sweep,backup,health}.service restart-kiosk.service kiosk.service; do
    if systemctl cat "$unit" >/dev/null 2>&1; then systemctl stop "$unit"; fi
  done
fi
systemctl disable --quiet kiosk.service confirm-kiosk.service update-kiosk.path kiosk-sweep.timer kiosk-backup.timer \
  kiosk-health.timer 2>/dev/null || true # not there the second time
for unit in "${units[@]}"; do rm -f "$unit_folder/$unit"; done
rm -rf "$unit_folder/kiosk-.service.d" "$unit_folder/kiosk.service.d"
rm -f /etc/udev/rules.d/70-kiosk.rules /etc/sysusers.d/kiosk.conf /usr/local/bin/kiosk
rm -rf "$opt"
reload_units
if ! "$purge"; then
  echo "Kept: $state (store and backups), /etc/kiosk (settings) and the key. uninstall.sh --purge removes them too."
  exit
fi
step "Removing people, log, backups, key and settings"
# The key first: without it nothing of the rest can be read, however little of a flash card is truly overwritten.
for name in kiosk.key kiosk.key.new tls.key didit_api_key webhook_secret cloud_proxy; do
  rm -f "$(dirname "$credential")/$name"
done
rm -rf "$state" /etc/kiosk
if getent passwd kiosk >/dev/null; then userdel kiosk; fi
echo "Nothing of the kiosk is left here. Copies of its key and backups elsewhere are yours to remove."
