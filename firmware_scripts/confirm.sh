#!/usr/bin/env bash
# Judge the release that was just switched to; go back to the one before when it does not prove itself. Started by
# confirm-kiosk.service, as root: after update.sh, and at a start of the machine when the plug was pulled meanwhile.
#
#   confirm.sh [--steady-s 30]
#
#   --steady-s S   how long the kiosk must run without a restart and without a new fault
#
# This is the script of the release before, which is known to work. Whatever was cut short, the mark
# /opt/kiosk/switching stays until a release has been judged, so each step here can be done again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

steady_s=30
case "${1:-}" in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
  --steady-s)
    [[ "${2:-}" =~ ^[0-9]{1,3}$ ]] || fail "--steady-s wants seconds, got '${2:-}'"
    steady_s="$2"
    ;;
  "") ;;
  *) fail "confirm.sh does not know '$1'; see --help" ;;
esac
want_root
[ -e "$switching" ] || exit 0
{ read -r old && read -r new && read -r backup && read -r known; } <"$switching" || fail "$switching cannot be read"

say() { printf 'confirm: %s\n' "$*"; }

# Say whether the kiosk runs for $steady_s on end without a restart and without a fault that is not among those given.
proves_itself() {
  local known=" $1 " ends=$((SECONDS + 180)) since="" pid before="" fault is_good
  while [ "$SECONDS" -lt "$ends" ]; do
    sleep 1
    if systemctl is-failed --quiet kiosk.service; then break; fi # systemd has given it up
    pid="$(systemctl show --property=MainPID --value kiosk.service)"
    is_good=true
    [ "$(systemctl is-active kiosk.service)" = active ] && [ "$pid" = "$before" ] || is_good=false
    while read -r fault; do
      [[ "$known" == *" $fault "* ]] || is_good=false
    done < <(faults)
    before="$pid"
    if ! "$is_good"; then
      since=""
    elif [ -z "$since" ]; then
      since=$SECONDS
    elif [ $((SECONDS - since)) -ge "$steady_s" ]; then
      return
    fi
  done
  say "not proved: $(systemctl is-active kiosk.service), faults: $(faults | tr '\n' ' ')"
  return 1
}

# A newer release may have brought the store to a newer schema, which the older refuses: put back the backup that was
# made just before. What was decided since is lost; the restore says what, and the log keeps a record of it.
restore_store() {
  local latest
  [ "$(schema_of "$new")" -gt "$(schema_of "$old")" ] || return 0
  if /usr/local/bin/kiosk log list --limit 1 >/dev/null 2>&1; then return 0; fi # it was not brought there yet
  latest="$(find "$state/backups" -name "*-before-schema-*.backup" -newer "$switching" | sort | tail -n 1)"
  say "going back to the backup ${latest:-$backup}"
  /usr/local/bin/kiosk restore "${latest:-$backup}" --overwrite
}

if [ "$(readlink "$opt/current")" = "releases/$new" ]; then
  put_system # the plug may have been pulled between the link and the units
  if proves_itself "$known"; then
    rm "$switching"
    sync -f "$opt"
    say "$new has proved itself"
    prune_releases
    exit
  fi
  systemctl stop kiosk.service
  switch_link "releases/$old" "$opt/current"
fi
# From here on the older release is the one in force, whether it was gone back to now, before a power cut, or never left.
put_system
systemctl stop kiosk.service
restore_store
systemctl reset-failed kiosk.service 2>/dev/null || true
systemctl start --no-block kiosk.service
if ! proves_itself "$known"; then say "$old, which ran before, has trouble too: see journalctl -u kiosk"; fi
rm "$switching"
sync -f "$opt"
say "$old runs; $new did not prove itself"
exit 1 # so that `systemctl --failed` shows it
