#!/usr/bin/env bash
# Prove the appliance on arm64: installs the hash-locked wheels into a Debian root of that architecture and runs
# `kiosk doctor` and `kiosk match` in it, emulated where the machine is another.
#
#   ./tests/appliance/arm64.sh [--suite bookworm|trixie] [--cpu NAME] [--work DIR]
#
#   --suite   Debian 12 with Python 3.11 (default), or 13 with 3.13: as Raspberry Pi OS has them
#   --cpu     cortex-a53, a72 or a76: Raspberry Pi 3, 4 or 5 (default cortex-a72); finds illegal instructions
#
# Needs root, about 2 GB, and debootstrap; about 8 minutes, and 4 when the root is there already. Debian 12's own
# qemu-user (7.2) crashes in onnxruntime 1.28 and later, so Debian 13's (10.0) is fetched and used. Emulated times mean
# nothing: 100 times too slow.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source-path=SCRIPTDIR/../.. source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source-path=SCRIPTDIR/../.. source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

suite=bookworm cpu=cortex-a72 work=/var/tmp/kiosk-drills
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --suite) suite="${2:?}" && shift 2 ;;
    --cpu) cpu="${2:?}" && shift 2 ;;
    --work) work="${2:?}" && shift 2 ;;
    *) fail "arm64.sh does not know '$1'; see --help" ;;
  esac
done
want_root
mkdir -p "$work"
# shellcheck source-path=SCRIPTDIR source=roots.sh
. "$root/tests/appliance/roots.sh"
want_tools debootstrap:debootstrap

binfmt=/proc/sys/fs/binfmt_misc
registered=""
trap 'if [ -n "$registered" ]; then echo -1 >"$registered"; fi' EXIT

# Have the kernel run arm64 programs through Debian 13's emulator, for as long as this script runs.
emulate() {
  local apt="$work/apt" options emulator="$work/qemu/usr/bin/qemu-aarch64"
  if [ ! -x "$emulator" ]; then
    step "Fetching Debian 13's emulator"
    mkdir -p "$apt/etc" "$apt/state/lists/partial" "$apt/cache/archives/partial" "$work/qemu"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" \
      >"$apt/etc/sources.list"
    options=(-o "Dir::Etc=$apt/etc" -o "Dir::State=$apt/state" -o "Dir::Cache=$apt/cache"
      -o Dir::State::status=/dev/null -o APT::Sandbox::User=root -qq)
    apt-get "${options[@]}" update
    (cd "$work/qemu" && apt-get "${options[@]}" download qemu-user && dpkg-deb -x qemu-user_*.deb . && rm qemu-user_*.deb)
  fi
  [ -e "$binfmt/register" ] || mount -t binfmt_misc binfmt_misc "$binfmt"
  registered="$binfmt/kiosk-arm64-$$"
  # P: keep argv[0]; F: opened now, so it need not be in the root. Magic and mask are qemu's own for aarch64 ELF files.
  printf '%s' ":kiosk-arm64-$$:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xb7\\x00:\
\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff:$emulator:PF" >"$binfmt/register"
  export QEMU_CPU="$cpu"
  passed "arm64 through $("$emulator" --version | head -n 1), as $cpu"
}
passed() { printf 'ok   %s\n' "$*"; }

if [ "$(dpkg --print-architecture)" != arm64 ]; then emulate; fi
target="$work/arm64-$suite"
debian_root "$suite" arm64 "$target"
version="$(in_target python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

step "Packing and installing the release"
rm -rf "$work/arm64-bundle" && mkdir -p "$work/arm64-bundle/one"
read -r _ bundle < <("$root/firmware_scripts/bundle.sh" "$work/arm64-bundle" --unsigned --arch aarch64 --python "$version")
tar -xzf "$bundle" -C "$work/arm64-bundle/one" --strip-components=1
began=$SECONDS
timeout -k 10 1200 "$work/arm64-bundle/one/firmware_scripts/install.sh" --root "$target" || fail "install.sh failed"
passed "$(find "$work/arm64-bundle/one/wheels" -name '*.whl' | wc -l) locked wheels installed in $((SECONDS - began)) s"

cp "$root"/tests/golden/person_*.jpg "$target/srv/"
# Run the command, or fail with what it said; emulation can hang as well as crash.
kiosk() { in_target timeout -k 5 300 env KIOSK_STATE=/tmp/state /opt/kiosk/current/bin/kiosk "$@"; }

step "kiosk doctor"
kiosk doctor || fail "kiosk doctor found something wrong"
step "kiosk match"
for pair in "person_a_2 Approved" "person_b_1 Declined"; do
  read -r other expected <<<"$pair"
  said="$(kiosk match /srv/person_a_1.jpg "/srv/$other.jpg" --threshold 70 --no-save)"
  grep -q "Result: $expected" <<<"$said" || fail "person_a_1 and $other: want $expected, got: $said"
  passed "person_a_1 and $other: $expected"
done
kiosk enrol /srv/person_a_1.jpg --name "Person A" >/dev/null
kiosk search /srv/person_a_2.jpg | grep -q "1 match" || fail "Person A is enrolled and not found"
passed "enrolled and found again"
echo "The kiosk runs on $(in_target uname -m), Debian $suite, Python $version."
