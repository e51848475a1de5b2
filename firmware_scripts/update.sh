#!/usr/bin/env bash
# Bring a kiosk to another release, and back by itself when that one does not prove itself. Run as root on the device,
# from a checkout or an unpacked bundle of the new release; or by the installed one with a bundle.
#
#   update.sh [--wheelhouse DIR]            to the release that this script belongs to
#   update.sh BUNDLE.tar.gz --sha256 HEX    to the one in a bundle; HEX comes from whoever made it
#
# The new release is installed beside the old one, must take the settings and recognise the golden faces, and only then
# is switched to: the door is closed for the seconds of one restart. It then has three minutes to run for 30 s without
# a restart and without a fault that was not there before; confirm.sh judges that, also after a power cut, and switches
# back otherwise. Until the switch nothing is changed. Exit 0: the new release runs. Exit 3: the old one runs again.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

bundle="" sha256=""
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --wheelhouse)
      [ -d "${2:-}" ] || fail "--wheelhouse wants a folder, got '${2:-}'"
      wheelhouse="$(realpath "$2")"
      shift 2
      ;;
    --sha256)
      sha256="${2:-}"
      [[ "$sha256" =~ ^[0-9a-f]{64}$ ]] || fail "--sha256 wants 64 hexadecimal digits, got '$sha256'"
      shift 2
      ;;
    -*) fail "update.sh does not know '$1'; see --help" ;;
    *)
      bundle="$1"
      shift
      ;;
  esac
done
want_root
is_running || fail "an update is judged by running it: do it on the device, when it has started"
[ -e "$opt/current" ] || fail "no kiosk is installed here; run install.sh"
[ -e "$state/kiosk.db" ] || fail "this kiosk is not provisioned yet; run provision.sh first"
exec 9>"$opt/.lock"
flock --nonblock 9 || fail "another update is running"
[ ! -e "$switching" ] || fail "an update has not been judged yet; see: systemctl status confirm-kiosk"

# Unpack a bundle whose digest is the one given; from here on $root is the new release.
unpack_bundle() {
  [ -f "$bundle" ] || fail "$bundle is no file"
  [ -n "$sha256" ] || fail "a bundle wants its --sha256, from whoever made it and not from where the bundle lay"
  [ "$(sha256sum <"$bundle" | cut -d' ' -f1)" = "$sha256" ] ||
    fail "$bundle is not the file of that digest: damaged or not from whom you think. Nothing was changed"
  incoming="$opt/incoming"
  rm -rf "$incoming"
  mkdir -m 700 "$incoming"
  trap 'rm -rf "$incoming"' EXIT
  tar --extract --gzip --no-same-owner --strip-components=1 --file "$bundle" --directory "$incoming"
  (cd "$incoming" && sha256sum --quiet --strict --check SHA256SUMS) || fail "the bundle does not hold what it says"
  root="$incoming"
}

if [ -n "$bundle" ]; then unpack_bundle; fi
if [ -z "${wheelhouse:-}" ] && [ -d "$root/wheels" ]; then wheelhouse="$root/wheels"; fi

old="$(basename "$(readlink "$opt/current")")"
stage_release
if [ "$release" = "$old" ]; then
  echo "$release runs already."
  exit
fi
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
  echo "$release runs."
else
  printf 'Error: %s did not prove itself; %s runs again. See: journalctl -u kiosk -u confirm-kiosk\n' "$release" "$old" >&2
  exit 3
fi
