#!/usr/bin/env bash
# Install the release that a kiosk's fleet ordered, and leave word of how it went. Started by update-kiosk.service, as
# root, when the kiosk has left a request in its state directory.
#
#   fleet_update.sh [--enable]
#
#   --enable   let this device take updates of its fleet, once, where install.sh of an older release did not;
#              `systemctl disable --now update-kiosk.path` ends it
#
# The kiosk's account can ask and no more: update.sh believes a bundle by the signature of whoever makes releases, takes
# only newer versions, and reads its own copy. What is asked for once is done once; after a power cut this finds out how
# it ended. The answer is /opt/kiosk/update.json, which the kiosk reads.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

case "${1:-}" in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
  --enable)
    want_root
    put_system
    systemctl enable --quiet --now update-kiosk.path
    systemctl restart kiosk.service # it looks at its start whether somebody installs what it asks for
    exit
    ;;
  "") ;;
  *) fail "fleet_update.sh does not know '$1'; see --help" ;;
esac
want_root
request="$state/updates/request"
answer="$opt/update.json"
[ -e "$request" ] || exit 0
exec 8>"$opt/.fleet-update.lock"
flock --nonblock 8 || exit 0 # the one that is at it sees to it

# Three lines, of which nothing is believed beyond their form: a number, a version, the name of a bundle.
{ read -r revision && read -r version && read -r bundle; } < <(head -c 400 -- "$request") ||
  fail "$request cannot be read"
[[ "$revision" =~ ^[0-9]{1,15}$ && "$version" =~ ^[0-9][0-9a-z.]{0,30}$ ]] || fail "$request is no request of the kiosk's"
[[ "$bundle" =~ ^kiosk-[0-9][0-9a-z._-]{0,80}\.tar\.gz$ ]] || fail "$request names no bundle"

# Leave word, whole: revision, stage, a sentence, and how long updates.log was when this one began.
#   tell STAGE WHY
tell() {
  local why
  why="$(printf '%s' "${2//[\"\\]/}" | tr -cd '[:print:]' | cut -c1-200)"
  printf '{"revision": %s, "stage": "%s", "why": "%s", "after": %s}\n' "$revision" "$1" "$why" "$after" >"$answer.part"
  chmod 644 "$answer.part"
  sync "$answer.part"
  mv -T "$answer.part" "$answer"
  sync -f "$opt"
}

# Print one value of the last answer; nothing where there is none.
told() {
  [ -e "$answer" ] || return 0
  python3 -I - "$answer" "$1" <<'PYTHON'
import json, sys
try:
    with open(sys.argv[1], encoding="utf-8") as file:
        print(json.load(file)[sys.argv[2]])
except (OSError, ValueError, KeyError, TypeError):
    pass
PYTHON
}

runs() { basename "$(readlink "$opt/current")"; }

if [ "$(told revision)" = "$revision" ]; then
  [ "$(told stage)" = installing ] || exit 0 # done, and told
  after="$(told after)"
  if [ -e "$switching" ]; then systemctl start confirm-kiosk.service || true; fi # its verdict is the link
  # A switch is recorded just before it is made: without the record the power went earlier, and all is done again.
  if tail -n "+$((after + 1))" "$opt/updates.log" 2>/dev/null | grep -q '"what": "switching"'; then
    now="$(runs)"
    if [ "${now%-*}" = "$version" ]; then
      tell runs ""
    else
      tell gone_back "the power was cut while it was being judged, or it did not prove itself"
    fi
    exit 0
  fi
else
  after="$({ cat "$opt/updates.log" 2>/dev/null || true; } | wc -l)"
fi
tell installing ""
code=0
said="$("$root/firmware_scripts/update.sh" "$state/updates/$bundle" 2>&1)" || code=$?
printf '%s\n' "$said" # for the journal
last="$(printf '%s\n' "$said" | sed -n 's/^Error: //p' | tail -n 1)"
now="$(runs)"
case "$code" in
  0) if [ "${now%-*}" = "$version" ]; then tell runs ""; else tell failed "$bundle holds another release than $version"; fi ;;
  3) tell gone_back "$last" ;;
  *) tell failed "${last:-update.sh ended with $code}" ;;
esac
