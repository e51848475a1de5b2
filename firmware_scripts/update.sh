#!/usr/bin/env bash
# Bring a kiosk to another release, and back by itself when that one does not prove itself. Run as root on the device:
# the script of the release that is installed, never one from a stick.
#
#   /opt/kiosk/current/share/kiosk/firmware_scripts/update.sh BUNDLE.tar.gz [--signature FILE] [--allow-older] [--key PUB]
#   update.sh --unsigned [--wheelhouse DIR] [--allow-older]
#
#   BUNDLE.tar.gz     what bundle.sh made, with its signature beside it (BUNDLE.tar.gz.minisig)
#   --signature FILE  the signature, where it lies elsewhere
#   --allow-older     take a release that is not newer than the one that runs; recorded
#   --key PUB         the maker's public key, for a release that has none: one that was installed from a checkout
#   --unsigned        to the release that this script belongs to, a checkout or an unpacked bundle, whoever made it; for
#                     those who build releases; recorded
#
# The bundle is copied to where only root writes; the copy is checked with the public key in the installed release, and
# that same copy is unpacked. The new release is installed beside the old one, must take the settings and recognise the
# golden faces, and only then is switched to: the door is closed for the seconds of one restart. It then has three
# minutes to run for 30 s without a restart and without a fault that was not there before; confirm.sh judges that, also
# after a power cut, and switches back otherwise. Until the switch nothing is changed. What was tried is recorded in
# /opt/kiosk/updates.log. Exit 0: the new release runs. Exit 3: the old one runs again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

bundle="" signature="" key="" is_signed=true may_be_older=false
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --wheelhouse)
      [ -d "${2:-}" ] || fail "--wheelhouse wants a folder, got '${2:-}'"
      wheelhouse="$(realpath "$2")"
      shift 2
      ;;
    --signature | --key)
      [ -f "${2:-}" ] || fail "$1 wants a file, got '${2:-}'"
      if [ "$1" = --key ]; then key="$2"; else signature="$2"; fi
      shift 2
      ;;
    --allow-older)
      may_be_older=true
      shift
      ;;
    --unsigned)
      is_signed=false
      shift
      ;;
    -*) fail "update.sh does not know '$1'; see --help" ;;
    *)
      [ -z "$bundle" ] || fail "update.sh takes one bundle, got '$bundle' and '$1'"
      bundle="$1"
      shift
      ;;
  esac
done
if "$is_signed"; then
  [ -n "$bundle" ] || fail "want a signed bundle; see --help"
  [ -z "${wheelhouse:-}" ] || fail "a bundle brings its packages; --wheelhouse goes with --unsigned"
else
  [ -z "$bundle$signature$key" ] || fail "--unsigned takes the release that this script belongs to, and no bundle"
fi
want_root
is_running || fail "an update is judged by running it: do it on the device, when it has started"
[ -e "$opt/current" ] || fail "no kiosk is installed here; run install.sh"
[ -e "$state/kiosk.db" ] || fail "this kiosk is not provisioned yet; run provision.sh first"
exec 9>"$opt/.lock"
flock --nonblock 9 || fail "another update is running"
[ ! -e "$switching" ] || fail "an update has not been judged yet: systemctl start confirm-kiosk, then run this again"

# Check a bundle and unpack it; from here on $root is the new release. The stick is read once: what is checked is root's
# own copy, and that copy is unpacked, so a file that changes meanwhile changes nothing here.
unpack_bundle() {
  local installed="$opt/current/share/kiosk" free_kb size
  [ -f "$bundle" ] || fail "$bundle is no file"
  signature="${signature:-$bundle.minisig}"
  [ -f "$signature" ] || fail "$bundle has no signature: want $signature beside it, from whoever made the bundle"
  if [ -e "$installed/release.pub" ]; then
    [ -z "$key" ] || fail "the installed release has a key already, and nothing else is believed; leave --key out"
    key="$installed/release.pub"
  fi
  [ -n "$key" ] || fail "the installed release has no public key to check a bundle with; give the maker's with --key"
  size="$(stat --format=%s "$bundle")"
  free_kb="$(df --output=avail -k "$opt" | tail -n 1)"
  [ $((size * 4 / 1024)) -lt "$free_kb" ] ||
    fail "want $((size * 4 / 1000000)) MB of free space for this bundle, got $((free_kb / 1000)) MB"
  incoming="$opt/incoming"
  rm -rf "$incoming"
  mkdir -m 700 "$incoming" "$incoming/release"
  trap 'rm -rf "$incoming"' EXIT
  head -c "$size" -- "$bundle" >"$incoming/bundle.tar.gz" # no more than was there: what follows may not fill the card
  head -c 4096 -- "$signature" >"$incoming/bundle.tar.gz.minisig"
  head -c 4096 -- "$key" >"$incoming/key.pub"
  vouched="$("$opt/current/bin/python" -I "$installed/firmware_scripts/minisign.py" verify "$incoming/bundle.tar.gz" \
    --signature "$incoming/bundle.tar.gz.minisig" --key "$incoming/key.pub")" || {
    record refused "signature"
    fail "$bundle is not from whoever makes this device's releases; see above. Nothing was changed"
  }
  tar --extract --gzip --no-same-owner --no-same-permissions --strip-components=1 --file "$incoming/bundle.tar.gz" \
    --directory "$incoming/release"
  rm "$incoming/bundle.tar.gz"
  (cd "$incoming/release" && sha256sum --quiet --strict --check SHA256SUMS) || fail "the bundle does not hold what it says"
  root="$incoming/release"
  check_key "$incoming/key.pub"
}

# A release without a key could never be updated again; one with another key ends the present one.
check_key() {
  local checker="$opt/current/share/kiosk/firmware_scripts/minisign.py" before after
  before="$("$opt/current/bin/python" -I "$checker" id "$1")"
  after="$("$opt/current/bin/python" -I "$checker" id "$root/release.pub")" ||
    fail "the bundle brings no key for the releases after it; make it with bundle.sh --key. Nothing was changed"
  if [ "$before" != "$after" ]; then
    note "this release ends the key $before, with which it is signed: later ones must be signed with $after"
    record "next key" "$after"
  fi
}

vouched=""
old="$(basename "$(readlink "$opt/current")")"
if "$is_signed"; then unpack_bundle; else vouched="unsigned, from $root"; fi
if [ -z "${wheelhouse:-}" ] && [ -d "$root/wheels" ]; then wheelhouse="$root/wheels"; fi

name_release
if [ "$release" = "$old" ]; then
  rm -rf "$building"
  echo "$release runs already."
  exit
fi
if ! is_newer "${release%-*}" "${old%-*}"; then
  "$may_be_older" || {
    record refused "not newer"
    fail "$release is not newer than $old, which runs. Versions only go up: an older one has faults that were mended since.
       If it must be: --allow-older, which is recorded. Nothing was changed"
  }
  record "older allowed" "by ${SUDO_USER:-root}"
fi
if ! "$is_signed"; then record "unsigned allowed" "by ${SUDO_USER:-root}"; fi
stage_release
step "Checking $release before anything is changed"
self_test "$release" || fail "$release does not work on this device; see above. Nothing was changed"
if [ "$(schema_of "$release")" -lt "$(schema_of "$old")" ]; then
  fail "$release is older than the store (schema $(schema_of "$release") and $(schema_of "$old")). Nothing was changed.
       To go back that far: stop the kiosk, switch by hand, and restore a backup of that time with kiosk restore"
fi

step "Backing up the store"
/usr/local/bin/kiosk backup || fail "there is no backup to go back to; nothing was changed"
newest="$(find "$state/backups" -name '*.backup' -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2-)"

step "Switching from $old to $release"
record switching ""
switch_link "releases/$old" "$opt/previous" # before the mark: confirm-kiosk runs what this names
printf '%s\n%s\n%s\n%s\n' "$old" "$release" "$newest" "$(faults | tr '\n' ' ')" >"$switching.part"
sync "$switching.part"
mv -T "$switching.part" "$switching"
sync -f "$opt"
switch_link "releases/$release" "$opt/current"
put_system
systemctl reset-failed kiosk.service 2>/dev/null || true # it may have failed before; that is why there is an update
systemctl restart --no-block kiosk.service
step "Waiting for it to prove itself"
systemctl start confirm-kiosk.service || true # its verdict is the link
journalctl --quiet --unit confirm-kiosk --boot --no-pager --output cat --lines 20 | grep '^confirm:' || true
if [ "$(readlink "$opt/current")" = "releases/$release" ]; then
  record runs ""
  echo "$release runs."
else
  record "gone back" ""
  printf 'Error: %s did not prove itself; %s runs again. See: journalctl -u kiosk -u confirm-kiosk\n' "$release" "$old" >&2
  exit 3
fi
