#!/usr/bin/env bash
# Pack a release into one file, with every package it needs: for devices without a network, and for updates.
#
#   ./firmware_scripts/bundle.sh OUT [--arch aarch64|x86_64] [--python 3.11|3.13|…]
#
#   OUT       folder for the bundle
#   --arch    of the device (default: this machine's); --python: its Python, 3.11 on Debian 12, 3.13 on Debian 13
#
# Run from a checkout by whoever makes a release. Takes the wheels of requirements.lock, each held against its hash.
# Prints the bundle's SHA-256, which goes to the device another way than the bundle: update.sh asks for it.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

out="" arch="$(uname -m)" version=3.13
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --arch)
      [[ "${2:-}" =~ ^(aarch64|x86_64)$ ]] || fail "--arch wants aarch64 or x86_64, got '${2:-}'"
      arch="$2"
      shift 2
      ;;
    --python)
      [[ "${2:-}" =~ ^3\.1[0-4]$ ]] || fail "--python wants 3.10 to 3.14, got '${2:-}'"
      version="$2"
      shift 2
      ;;
    -*) fail "bundle.sh does not know '$1'; see --help" ;;
    *)
      out="$1"
      shift
      ;;
  esac
done
[ -d "$out" ] || fail "want a folder for the bundle, got '$out'; see --help"
out="$(realpath "$out")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

python="$(find_python)" || fail "want Python 3.10 to 3.14; set KIOSK_PYTHON to one"
"$python" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --disable-pip-version-check)
"${pip[@]}" install --quiet "$uv"
wheel="$(kiosk_wheel "$work")"
name="kiosk-$(basename "$wheel" | cut -d- -f2)-$arch-python$version"
bundle="$work/$name"
mkdir "$bundle" "$bundle/wheels"
cp "$wheel" "$bundle"
cp -r "$root/systemd" "$root/firmware_scripts" "$root/LICENSE" "$bundle"

# pip would judge the list's markers by the Python it runs on; uv judges them by the device's.
"$work/venv/bin/uv" pip compile --quiet --no-deps --generate-hashes --python-platform "$arch-manylinux_2_36" \
  --python-version "$version" --output-file "$work/wanted.txt" "$root/firmware_scripts/requirements.lock"
platforms=(--platform "manylinux2014_$arch" --platform any)
for minor in $(seq 17 36); do platforms+=(--platform "manylinux_2_${minor}_$arch"); done # up to Debian 12's glibc
"${pip[@]}" download --quiet --no-deps --require-hashes --only-binary :all: "${platforms[@]}" \
  --implementation cp --python-version "$version" --abi "cp${version/./}" --abi abi3 --abi none \
  --dest "$bundle/wheels" -r "$work/wanted.txt"

(cd "$bundle" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$work/sums"
mv "$work/sums" "$bundle/SHA256SUMS"
tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --directory "$work" \
  --file "$out/$name.tar.gz.part" "$name"
mv "$out/$name.tar.gz.part" "$out/$name.tar.gz"
printf '%s  %s\n' "$(sha256sum <"$out/$name.tar.gz" | cut -d' ' -f1)" "$out/$name.tar.gz"
