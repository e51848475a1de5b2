# What the drills of the appliance share: Debian roots to install into. Sourced, never run. Needs common.sh and $work.
# shellcheck shell=bash disable=SC2154  # whoever sources it sets them

# Install what a drill needs on the machine that runs it.
want_tools() {
  local missing=() pair
  for pair in "$@"; do command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}"); done
  [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

# Make a fresh Debian root; the first of a kind takes minutes and is kept to copy from.
#   debian_root SUITE ARCHITECTURE DIRECTORY
debian_root() {
  local kept="$work/debian-$1-$2"
  if [ ! -e "$kept/.complete" ]; then
    step "Making a Debian $1 root for $2"
    rm -rf "$kept"
    timeout -k 10 1800 nice debootstrap --arch="$2" --variant=minbase \
      --include=systemd,systemd-sysv,dbus,udev,python3,python3-venv,openssl,ca-certificates "$1" "$kept" \
      >"$work/debootstrap.log" 2>&1 || fail "debootstrap failed; see $work/debootstrap.log"
    touch "$kept/.complete"
  fi
  rm -rf "$3"
  cp -a "$kept" "$3"
}
