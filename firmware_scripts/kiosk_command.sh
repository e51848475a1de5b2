#!/usr/bin/env bash
# The command `kiosk` of a device, installed as /usr/local/bin/kiosk: runs as the kiosk's own account and with its key,
# so that nothing in the state directory ever belongs to somebody else. Asks for root's rights with sudo.
set -euo pipefail
credentials=/etc/credstore.encrypted

if [ "$(id -u)" -ne 0 ]; then exec sudo -- "$0" "$@"; fi
# The way out must not hang on a key that cannot be unsealed: root asks the running kiosk, which sees who asks.
if [ "${1:-}" = door ]; then exec env KIOSK_STATE=/var/lib/kiosk /opt/kiosk/current/bin/kiosk "$@"; fi
options=(--quiet --wait --collect --service-type=exec --uid=kiosk --gid=kiosk --working-directory="$PWD")
options+=(--setenv=KIOSK_STATE=/var/lib/kiosk --property=StateDirectory=kiosk --property=StateDirectoryMode=0700)
options+=(--property=UMask=0077 --property="SupplementaryGroups=video gpio render")
# Root named the files on the command line, so they may be read wherever they lie; written is only what is the kiosk's.
options+=(--property=AmbientCapabilities=CAP_DAC_READ_SEARCH --property=CapabilityBoundingSet=CAP_DAC_READ_SEARCH)
for name in kiosk.key kiosk.key.new didit_api_key webhook_secret cloud_proxy; do
  if [ -e "$credentials/$name" ]; then options+=(--property="LoadCredentialEncrypted=$name:$credentials/$name"); fi
done
# A terminal where there is one, for questions and progress; else plain pipes, for scripts.
if [ -t 0 ] && [ -t 1 ]; then options+=(--pty); else options+=(--pipe); fi
exec systemd-run "${options[@]}" -- /opt/kiosk/current/bin/kiosk "$@"
