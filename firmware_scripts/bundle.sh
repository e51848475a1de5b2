#!/usr/bin/env bash
# Pack a release into one signed file, with every package it needs: for devices without a network, and for updates.
#
#   ./firmware_scripts/bundle.sh OUT --key KEY [--passphrase-file FILE] [--next-key PUB]
#                                [--arch aarch64|x86_64] [--python 3.11|3.13|…]
#   ./firmware_scripts/bundle.sh --make-key DIR [--passphrase-file FILE | --no-passphrase]
#
#   OUT               folder for the bundle and its signature, BUNDLE.tar.gz.minisig; carry both to the device
#   --key KEY         the secret key that signs; its public half, the same name with .pub, lies beside it
#   --passphrase-file the passphrase in a file's first line, for machines; else it is asked for
#   --next-key PUB    this release brings another key: what comes after it must be signed with that one
#   --unsigned        instead of --key: a bundle for install.sh, which no device takes as an update
#   --arch            of the device (default: this machine's); --python: its Python, 3.11 on Debian 12, 3.13 on Debian 13
#   --make-key DIR    make kiosk-release.key and kiosk-release.pub there and say what to do with them
#
# Run from a checkout by whoever makes a release. Takes the wheels of requirements.lock, each checked against its hash.
# The signature is minisign's: `minisign -Vm BUNDLE.tar.gz -p kiosk-release.pub` checks it too.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

out="" arch="$(uname -m)" version=3.13 key="" next="" is_signed=true keys="" passphrase=()
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
    --key | --next-key | --passphrase-file)
      [ -f "${2:-}" ] || fail "$1 wants a file, got '${2:-}'"
      case "$1" in
        --key) key="$(realpath "$2")" ;;
        --next-key) next="$(realpath "$2")" ;;
        --passphrase-file) passphrase=(--passphrase-file "$(realpath "$2")") ;;
      esac
      shift 2
      ;;
    --make-key)
      [ -d "${2:-}" ] || fail "--make-key wants a folder, got '${2:-}'"
      keys="$(realpath "$2")"
      shift 2
      ;;
    --no-passphrase)
      passphrase=(--no-passphrase)
      shift
      ;;
    --unsigned)
      is_signed=false
      shift
      ;;
    -*) fail "bundle.sh does not know '$1'; see --help" ;;
    *)
      out="$1"
      shift
      ;;
  esac
done
if [ -z "$keys" ]; then
  [ -d "$out" ] || fail "want a folder for the bundle, got '$out'; see --help"
  out="$(realpath "$out")"
  if "$is_signed"; then
    [ -n "$key" ] || fail "say with which key to sign: --key KEY, made once with --make-key DIR; or --unsigned (see --help)"
    [ -f "${key%.key}.pub" ] || fail "$key has no public half beside it: want ${key%.key}.pub"
  else
    [ -z "$key$next" ] || fail "--unsigned goes without --key and --next-key"
  fi
fi
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

python="$(find_python)" || fail "want Python 3.10 to 3.14; set KIOSK_PYTHON to one"
"$python" -m venv "$work/venv"
install_tools "$work/venv"
minisign() { "$work/venv/bin/python" -I "$root/firmware_scripts/minisign.py" "$@"; }

if [ -n "$keys" ]; then
  minisign make-key "$keys" ${passphrase[@]+"${passphrase[@]}"} || fail "no key was made"
  cat <<TXT

  kiosk-release.key   signs releases. Whoever has it can put software on your devices: keep it where no build machine
                      and no stick is, and a copy of it elsewhere. When it is lost, devices take no more updates until
                      somebody with root's rights installs anew.
  kiosk-release.pub   checks them. Every bundle carries it; it may be published.

Sign with:          ./firmware_scripts/bundle.sh OUT --key $keys/kiosk-release.key
To change the key:  make another pair elsewhere; sign one release with the old key and --next-key NEW.pub. Devices that
                    run that release take only what the new key signs; one that skipped it must take it first.
TXT
  exit
fi

pip=("$work/venv/bin/python" -m pip --disable-pip-version-check)
wheel="$(kiosk_wheel "$work")"
number="$(basename "$wheel" | cut -d- -f2)"
is_newer "$number" 0 || fail "devices could not compare the version $number; see kiosk/__init__.py"
name="kiosk-$number-$arch-python$version"
bundle="$work/$name"
mkdir "$bundle" "$bundle/wheels"
cp "$wheel" "$bundle"
cp -r "$root/systemd" "$root/firmware_scripts" "$root/LICENSE" "$bundle"
rm -rf "$bundle/firmware_scripts/__pycache__"
if "$is_signed"; then
  install -m 644 "${next:-${key%.key}.pub}" "$bundle/release.pub"
  minisign id "$bundle/release.pub" >"$work/id" || fail "${next:-${key%.key}.pub} is no public key"
fi

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
packed="$work/$name.tar.gz"
tar --create --gzip --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --directory "$work" --file "$packed" "$name"
if "$is_signed"; then
  minisign sign "$packed" --key "$key" ${passphrase[@]+"${passphrase[@]}"} \
    --comment "$name timestamp:$(date +%s) next:$(cat "$work/id")" || fail "nothing was signed"
  minisign verify "$packed" --signature "$packed.minisig" --key "${key%.key}.pub" >/dev/null ||
    fail "${key%.key}.pub is not the public half of $key"
  mv "$packed.minisig" "$out/$name.tar.gz.minisig"
fi
mv "$packed" "$out/$name.tar.gz"
printf '%s  %s\n' "$(sha256sum <"$out/$name.tar.gz" | cut -d' ' -f1)" "$out/$name.tar.gz"
