#!/usr/bin/env bash
# Make an installed kiosk this device: its key, its store, the first operator; then start it. Run once, as root, on the
# device itself.
#
#   provision.sh --key tpm|host|file --copy DIR|print|none [--name NAME] [--operator NAME|--claim] [--screen yes|no] [--tls]
#   provision.sh --key tpm|host|file --restore COPY [--name NAME] [--operator NAME|--claim] [--screen yes|no] [--tls]
#
#   --key tpm         seal the device's key with its TPM: a stolen card is of no use without the device
#   --key host        seal it with the secret of this system, which lies on the same card: protects backups and copied
#                     databases, not a stolen card
#   --key file        an open file beside the store, for systems that cannot seal; protects backups, and a database that
#                     is copied without it
#   --copy DIR        also put a copy of the key there, such as a USB stick, sealed with a passphrase that is asked for;
#                     keep both where the device is not, and not together
#   --copy print      show the key once, to be written down
#   --copy none       no copy: when the device is lost, so are its backups
#   --restore COPY    take the key out of such a copy instead of making one: for a new device that reads the backups of
#                     a lost one, or a device whose key was lost
#   --passphrase-file FILE   the copy's passphrase in a file's first line, for machines; else it is asked for
#   --name NAME       host name of the device
#   --operator NAME   the first operator, an administrator; the password is shown once (default: admin)
#   --claim           no password is made: the first operator makes an account of their own in the page, on the device
#                     or a telephone, with a code that is shown here (with --screen yes at the screen too) and good for
#                     an hour; `kiosk setup` makes another
#   --screen yes|no   whether a screen in front of the visitor can ask for a movement, so that photographs are told from
#                     people; recorded as [pad] screen, asked on a terminal where it is left out
#   --tls             make a certificate of its own, so that the API can be reached from other machines
#
# Safe to run again: what is there stays as it is, and only what is missing is made.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"
# shellcheck source=firmware_scripts/appliance.sh
. "$root/firmware_scripts/appliance.sh"

seal="" copy="" restored="" passphrase_file="" name="" operator=admin screen="" wants_tls=false wants_claim=false
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --tls)
      wants_tls=true
      shift
      ;;
    --claim)
      wants_claim=true
      shift
      ;;
    --restore | --passphrase-file)
      [ -f "${2:-}" ] || fail "$1 wants a file, got '${2:-}'"
      if [ "$1" = --restore ]; then restored="$2"; else passphrase_file="$2"; fi
      shift 2
      ;;
    --key | --copy | --name | --operator | --screen)
      [ -n "${2:-}" ] || fail "$1 wants a value; see --help"
      case "$1" in
        --key) seal="$2" ;;
        --copy) copy="$2" ;;
        --name) name="$2" ;;
        --operator) operator="$2" ;;
        --screen) screen="$2" ;;
      esac
      shift 2
      ;;
    *) fail "provision.sh does not know '$1'; see --help" ;;
  esac
done
[ -z "$restored" ] || [ -z "$copy" ] || fail "--restore takes the key out of a copy; there is one already, so leave --copy out"
case "$screen" in "" | yes | no) ;; *) fail "--screen wants yes or no, not '$screen'" ;; esac
want_root
is_running || fail "this device's key is made on the device: run it there, when it has started"
[ -x "$opt/current/bin/kiosk" ] || fail "no kiosk is installed here; run install.sh first"
[ -s "$config" ] || fail "$config is missing; run install.sh again"
umask 077
python="$opt/current/bin/python"
kiosk=/usr/local/bin/kiosk
key_file="$state/kiosk.key"
copier="$root/firmware_scripts/key_copy.py"
work="$(mktemp -d -p /run)" # memory, never the card
trap 'rm -rf "$work"' EXIT

# Seal what stands on stdin as a credential of this device, whole or not at all.
seal_credential() {
  mkdir -p "$(dirname "$credential")"
  systemd-creds encrypt --quiet --name="$1" --with-key="$with_key" - "$(dirname "$credential")/$1.part" ||
    fail "systemd-creds could not seal $1"
  mv -T "$(dirname "$credential")/$1.part" "$(dirname "$credential")/$1"
  sync -f "$(dirname "$credential")"
}

# Say how the key is to be sealed; sets $with_key. Nothing weaker than what was asked for is ever taken.
choose_seal() {
  case "$seal" in
    tpm)
      systemd-creds has-tpm2 --quiet ||
        fail "no TPM can be used here (systemd-creds has-tpm2 says: $(systemd-creds has-tpm2 | tr '\n' ' ')).
       Without one, choose --key host: it protects backups and copied databases, not a stolen card"
      with_key=host+tpm2
      ;;
    host)
      with_key=host
      note "the key is sealed with a secret on the same card: whoever takes the card can open the store"
      ;;
    file) note "the key lies open beside the store: whoever takes the card, or its copy, can open the store" ;;
    *)
      if systemd-creds has-tpm2 --quiet; then
        fail "say how the key is to be kept: --key tpm, this device has one (see --help)"
      fi
      fail "say how the key is to be kept: this device has no TPM, so --key host or --key file (see --help)"
      ;;
  esac
}

# Ask for a passphrase, or take the one of a file; leaves it in memory, in $work/passphrase.
#   read_passphrase once|twice
read_passphrase() {
  local again
  if [ -n "$passphrase_file" ]; then
    head -n 1 "$passphrase_file" >"$work/passphrase"
    return
  fi
  [ -t 0 ] || fail "the copy is sealed with a passphrase: run this on a terminal, or give --passphrase-file"
  read -r -s -p "Passphrase of the copy (12 characters or more): " again && echo
  printf '%s\n' "$again" >"$work/passphrase"
  [ "$1" = twice ] || return 0
  read -r -s -p "Once more: " again && echo
  [ "$again" = "$(cat "$work/passphrase")" ] || fail "the two were not the same; nothing was made"
}

# Put a copy of the key where the device is not, and read it back.
copy_key() {
  local path
  case "$copy" in
    none) note "there is no copy of the key: when this device is lost, nobody reads its backups" ;;
    print)
      step "The key of this device; write it down, it is shown this once"
      cat "$1"
      ;;
    *)
      path="$copy/kiosk-$(hostname).key-copy"
      [ ! -e "$path" ] || fail "$path is there already, of another key; choose another folder"
      read_passphrase twice
      "$python" -I "$copier" seal "$1" "$path.part" --passphrase-file "$work/passphrase" || fail "no copy was made"
      sync "$path.part"
      mv -T "$path.part" "$path"
      sync -f "$copy"
      echo "A copy of the key, sealed with the passphrase, lies in $path: keep both where the device is not."
      echo "To use it: provision.sh --key … --restore COPY"
      ;;
  esac
}

make_new_key() {
  "$python" -I -c 'import secrets; print(secrets.token_hex(32))' >"$work/kiosk.key"
  copy_key "$work/kiosk.key" # before the key is in use: no store is ever written with a key that has no copy
}

make_key() {
  if [ -e "$credential" ] || [ -e "$key_file" ]; then
    echo "The key is there already."
    return
  fi
  [ ! -e "$state/kiosk.db" ] || [ -n "$restored" ] || fail "there is a store in $state but no key; bring its key back:
       provision.sh --key ${seal:-host} --restore COPY"
  choose_seal
  case "${restored:+none}$copy" in # a key that is restored has its copy
    none | print) ;;
    "") fail "say where a copy of the key goes: --copy DIR, --copy print or --copy none (see --help)" ;;
    *) [ -d "$copy" ] || fail "$copy is no folder; is the stick mounted?" ;;
  esac
  if [ -n "$restored" ]; then
    read_passphrase once
    "$python" -I "$copier" open "$restored" --passphrase-file "$work/passphrase" >"$work/kiosk.key" ||
      fail "nothing was restored"
  else
    make_new_key
  fi
  if [ "$seal" = file ]; then
    install -d -o kiosk -g kiosk -m 700 "$state"
    install -o kiosk -g kiosk -m 600 "$work/kiosk.key" "$key_file.part"
    mv -T "$key_file.part" "$key_file"
    sync -f "$state"
  else
    seal_credential kiosk.key <"$work/kiosk.key"
  fi
}

# Make a certificate for the names of this device, and its key.
make_certificate() {
  local names key_path=/run/credentials/kiosk.service/tls.key
  if [ -e /etc/kiosk/tls.crt ]; then
    echo "The certificate is there already: /etc/kiosk/tls.crt"
    return
  fi
  names="DNS:$(hostname),DNS:$(hostname).local,DNS:localhost,IP:127.0.0.1"
  names+="$(hostname -I 2>/dev/null | tr ' ' '\n' | sed -n 's/^\([0-9.]\{7,\}\)$/,IP:\1/p' | tr -d '\n')"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$(hostname)" \
    -addext "subjectAltName=$names" -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null ||
    fail "openssl could not make a certificate"
  if [ -e "$credential" ]; then
    [ -n "${with_key:-}" ] || choose_seal
    seal_credential tls.key <"$work/tls.key"
  else
    key_path=/etc/kiosk/tls.key
    install -o root -g kiosk -m 640 "$work/tls.key" "$key_path"
  fi
  install -m 644 "$work/tls.crt" /etc/kiosk/tls.crt
  cat <<TXT
A certificate for $names is in /etc/kiosk/tls.crt. To be reached from other machines, write into $config:

  [api]
  bind = "0.0.0.0"
  tls_certificate = "/etc/kiosk/tls.crt"
  tls_key = "$key_path"

Browsers ask once; compare then: $(openssl x509 -in /etc/kiosk/tls.crt -noout -fingerprint -sha256)
TXT
}

make_operator() {
  local password
  if "$kiosk" operator list --json | grep -q '"id"'; then
    echo "There is an operator already."
    return
  fi
  if "$wants_claim"; then
    if [ "$screen" = true ]; then "$kiosk" setup --on-screen; else "$kiosk" setup; fi
    return
  fi
  password="$("$python" -I -c 'import secrets; print(secrets.token_urlsafe(15))')"
  printf '%s\n' "$password" | "$kiosk" operator add "$operator" --role admin >/dev/null
  printf 'Operator %s, password (shown this once): %s\n' "$operator" "$password"
}

# Record whether there is a screen: with one, the kiosk asks for a movement that no photograph can make.
record_screen() {
  if [ "$(awk '/^[[:space:]]*\[/ { is_pad = ($1 == "[pad]") } is_pad && /^[[:space:]]*screen[[:space:]]*=/ { print "yes" }' \
    "$config")" ]; then
    echo "[pad] screen is set already in $config."
    return
  fi
  if [ -z "$screen" ] && [ -t 0 ]; then
    read -r -p "Is there a screen in front of the visitor? [yes/no] " screen
  fi
  case "$screen" in
    yes) screen=true ;;
    no) screen=false ;;
    *)
      echo "It is not known whether there is a screen, so visitors are asked for no movement, and a good photograph may pass."
      echo "Run again with --screen yes, or set [pad] screen = true in $config."
      return
      ;;
  esac
  cp -p "$config" "$config.part"
  if grep -q '^[[:space:]]*\[pad\]' "$config"; then
    sed -i "s/^[[:space:]]*\[pad\].*/&\nscreen = $screen/" "$config.part"
  else
    printf '\n[pad]\nscreen = %s\n' "$screen" >>"$config.part"
  fi
  mv -T "$config.part" "$config"
  sync -f "$(dirname "$config")"
  echo "Recorded [pad] screen = $screen in $config."
}

if [ -n "$name" ]; then hostnamectl set-hostname "$name"; fi
step "Key"
make_key
step "Screen"
record_screen
step "Store"
if [ -e "$state/kiosk.db" ]; then echo "The store is there already."; else "$kiosk" init; fi
step "Operator"
make_operator
if "$wants_tls"; then
  step "Certificate"
  make_certificate
fi
step "Identity"
echo "Host $(hostname). Its log and receipts are signed with the key whose public half is"
"$kiosk" log export --format json | "$python" -I -c '
import json, sys
made = (json.loads(row["record"]).get("details", {}).get("public_key") for row in json.load(sys.stdin))
print([key for key in made if key][-1])'
step "Starting"
"$kiosk" config check
systemctl enable --quiet kiosk.service
# A start that fails is tried again by the kiosk itself, so that its door lets people out: `start` would wait for it.
timeout 180 systemctl start kiosk.service || fail "the kiosk did not start; see: journalctl -u kiosk -n 50"
systemctl --no-pager --lines=0 status kiosk.service | sed -n '1,/Status:/p'
