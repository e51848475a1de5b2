#!/usr/bin/env bash
# Install the kiosk as an appliance: packages, account, the hash-locked release, units. Run as root, on Debian 12 or 13
# or Raspberry Pi OS (64 bit), from a checkout or an unpacked bundle.
#
#   ./firmware_scripts/install.sh [--root DIR] [--wheelhouse DIR]
#
#   --root DIR        install into another root directory, such as the mounted card of a device
#   --wheelhouse DIR  take packages from a folder instead of the network; a bundle brings its own
#
# Safe to run again: it finishes what was cut short and changes no settings. A device that has another release is
# brought to this one by update.sh. What is installed first is trusted as it lies here: check a bundle before you unpack
# it, with a public key from elsewhere: minisign -Vm BUNDLE.tar.gz -p kiosk-release.pub
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --root | --wheelhouse)
      [ -d "${2:-}" ] || fail "$1 wants a folder, got '${2:-}'"
      if [ "$1" = --root ]; then target="$(realpath "$2")"; else wheelhouse="$(realpath "$2")"; fi
      shift 2
      ;;
    *) fail "install.sh does not know '$1'; see --help" ;;
  esac
done
if [ "$target" = / ]; then target=""; fi
if [ -z "${wheelhouse:-}" ] && [ -d "$root/wheels" ]; then wheelhouse="$root/wheels"; fi
want_root

# Refuse a system that the kiosk does not run on, before anything is changed.
check_system() {
  local about free_kb version
  about="$(in_target cat /etc/os-release 2>/dev/null)" || fail "${target:-this machine} is no Linux system"
  [ -e "$target/etc/debian_version" ] || fail "want Debian 12 or 13 or Raspberry Pi OS, got $(sed -n 's/^PRETTY_NAME=//p' <<<"$about")"
  case "$(in_target dpkg --print-architecture)" in
    amd64 | arm64) ;;
    *) fail "want a 64-bit system (amd64 or arm64), got $(in_target dpkg --print-architecture); use the 64-bit image" ;;
  esac
  version="$(systemd_version)" || fail "want systemd: apt-get install systemd"
  [ "$version" -ge 250 ] || fail "want systemd 250 or newer for sealed credentials, got $version"
  free_kb="$(df --output=avail -k "$target/" | tail -n 1)"
  [ "$free_kb" -ge 1000000 ] || fail "want 1 GB of free space, got $((free_kb / 1000)) MB"
}

# Install those of the packages that are missing.
install_packages() {
  local missing=() package
  for package in "$@"; do
    in_target dpkg -s "$package" 2>/dev/null | grep -q '^Status: install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  step "Installing ${missing[*]}"
  in_target apt-get update -qq || note "the list of packages could not be renewed"
  in_target env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "could not install ${missing[*]}; check the network and run this again"
}

check_system
packages=(python3 python3-venv udev)
# Raspberry Pi's archive has it, Debian's does not; a kiosk with a USB or network camera needs none.
if in_target apt-cache show python3-picamera2 >/dev/null 2>&1; then packages+=(python3-picamera2); fi
# What systemd-creds needs to bind the key to a TPM.
if [ -z "$target" ] && [ -e /dev/tpmrm0 ]; then packages+=(tpm2-tools); fi
install_packages "${packages[@]}"
in_target python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' ||
  fail "want Python 3.10 to 3.14, got $(in_target python3 --version)"

installed="$(readlink "$target$opt/current" || true)"
stage_release
if [ -n "$installed" ] && [ "$installed" != "releases/$release" ]; then
  fail "$(basename "$installed") is installed here; $release lies beside it. To switch, with the bundle and its signature:
       $opt/current/share/kiosk/firmware_scripts/update.sh BUNDLE.tar.gz (from a checkout: update.sh --unsigned)"
fi

step "Setting up account, settings and units"
if [ -z "$installed" ]; then switch_link "releases/$release" "$opt/current"; fi
put_system
in_target systemd-sysusers /etc/sysusers.d/kiosk.conf
if [ ! -e "$target$config" ]; then
  mkdir -p "$target$(dirname "$config")"
  in_target "$opt/current/bin/kiosk" config docs >"$target$config.part"
  in_target chown root:kiosk "$config.part"
  chmod 640 "$target$config.part" # a camera's address may hold a password
  mv "$target$config.part" "$target$config"
fi
in_target systemctl enable --quiet confirm-kiosk.service update-kiosk.path kiosk-sweep.timer kiosk-backup.timer \
  kiosk-health.timer
if is_running; then
  systemctl start update-kiosk.path kiosk-sweep.timer kiosk-backup.timer kiosk-health.timer
  if ! { udevadm control --reload && udevadm trigger --subsystem-match=gpio --subsystem-match=dma_heap; }; then
    note "udev does not answer; the rights on the door's lines hold after the next start"
  fi
fi

step "Checking models and runtime"
self_test "$release" || fail "see above what to mend, then run this again"

cat <<TXT

Release $release is installed${target:+ in $target}. What comes next, on the device and as root:

  $opt/current/share/kiosk/firmware_scripts/camera_check.sh   # which cameras there are, and what to write for them
  nano $config                                 # camera, door, hours
  $opt/current/share/kiosk/firmware_scripts/provision.sh      # identity, key, first account; then the kiosk starts
TXT
