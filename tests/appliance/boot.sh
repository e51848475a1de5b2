#!/usr/bin/env bash
# Prove the appliance under a real systemd: boots Debian in a container and puts the kiosk through what a door brings.
#
#   ./tests/appliance/boot.sh [--suite bookworm|trixie] [--work DIR]
#
# Needs root, about 2 GB, and Debian's debootstrap and systemd-container (installed when missing). About eight minutes; the
# first time longer. Shows: install, provision, start to READY, kill -9, a hanging camera thread, stop, the nightly
# tasks, reload, the acceptance walked, TLS, settings that refuse a start, a good update, an update that fails and goes
# back, one with the plug pulled, the security figure.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
# shellcheck source-path=SCRIPTDIR/../.. source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

suite=bookworm work=/var/tmp/kiosk-drills
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
    --suite) suite="${2:?}" && shift 2 ;;
    --work) work="${2:?}" && shift 2 ;;
    *) fail "boot.sh does not know '$1'; see --help" ;;
  esac
done
[ "$(id -u)" -eq 0 ] || fail "a container is booted: run it as root"
mkdir -p "$work"
# shellcheck source-path=SCRIPTDIR source=roots.sh
. "$root/tests/appliance/roots.sh"
want_tools debootstrap:debootstrap systemd-nspawn:systemd-container

machine="$work/boot-$suite"
container=""
share=/opt/kiosk/current/share/kiosk/firmware_scripts

stop_container() {
  [ -n "$container" ] && kill -0 "$container" 2>/dev/null || return 0
  kill -s RTMIN+4 "$(leader)" 2>/dev/null || true # what systemd takes for poweroff
  for _ in $(seq 60); do
    kill -0 "$container" 2>/dev/null || return 0
    sleep 0.5 # it ends its services
  done
  kill -9 "$container"
}
trap stop_container EXIT

leader() { pgrep -P "$(pgrep -P "$container")"; } # timeout, systemd-nspawn, PID 1

# Run a command in the container, whose PID 1 is systemd.
inside() {
  timeout -k 5 400 nsenter --target "$(leader)" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root SYSTEMD_COLORS=0 "$@"
}

boot() {
  # A network of its own, with nothing in it: everything must work offline. timeout ends it, whatever happens here.
  # Its own filter of system calls knows nothing of Landlock, which the process that captures asks for.
  timeout -k 5 1800 systemd-nspawn --quiet --directory "$machine" --boot --register=no --keep-unit --private-network \
    --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" --console=read-only </dev/null >>"$work/boot-$suite.log" 2>&1 &
  container=$!
  await 60 "systemd is up" is_up
}
is_up() { inside systemctl is-active --quiet basic.target; } # not all of it: an update may still be judged

# Wait for a fact; fail with its name when it does not come in time.
await() {
  local ends=$((SECONDS + $1)) what="$2"
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ "$SECONDS" -ge "$ends" ]; then
      inside journalctl -u kiosk -u confirm-kiosk --no-pager -n 30 >&2 || true
      fail "not in time: $what"
    fi
    sleep 0.1 # asking is cheap, and the times below are read from the journal
  done
}

property() { inside systemctl show --property="$1" --value kiosk.service; }
# The runtime directory goes with each end of the kiosk, so its status file is never an older one's.
is_armed() { [ "$(property ActiveState)" = active ] && inside grep -q '"is_armed": true' /run/kiosk/status.json; }
restarted() { [ "$(property NRestarts)" -gt "$1" ] && is_armed; }
journal() { inside journalctl --unit "${2:-kiosk}" --boot --no-pager --output cat --grep "$1"; }
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f s", b - a }'; }
passed() { printf 'ok   %s\n' "$*"; }

# ---- a machine with the kiosk on it

debian_root "$suite" "$(dpkg --print-architecture)" "$machine"
version="$(chroot "$machine" python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
step "Packing the release"
rm -rf "$work/bundles" && mkdir "$work/bundles"
rm -rf "$work/keys" && mkdir "$work/keys"
"$root/firmware_scripts/bundle.sh" --make-key "$work/keys" --no-passphrase >"$work/keys.log"
read -r _ bundle < <("$root/firmware_scripts/bundle.sh" "$work/bundles" --key "$work/keys/kiosk-release.key" \
  --arch "$(uname -m)" --python "$version")
mkdir "$work/bundles/one" && tar -xzf "$bundle" -C "$work/bundles/one" --strip-components=1
"$work/bundles/one/firmware_scripts/install.sh" --root "$machine" >"$work/install.log" || fail "see $work/install.log"
"$work/bundles/one/firmware_scripts/install.sh" --root "$machine" >"$work/install.log" || fail "not idempotent"
passed "installed from $(basename "$bundle"), and again without a change"

# A camera that needs no hardware: pictures that differ, as a frozen camera would be noticed.
mkdir -p "$machine/srv/frames"
cp "$root"/tests/golden/person_*.jpg "$machine/srv/"
chroot "$machine" /opt/kiosk/current/bin/python -c '
import cv2
picture = cv2.imread("/srv/person_a_1.jpg")
picture = cv2.resize(picture, (round(picture.shape[1] * 480 / picture.shape[0]), 480))
for shift in range(20):
    bordered = cv2.copyMakeBorder(picture, 0, 0, 40 + shift, 640, cv2.BORDER_REPLICATE)
    cv2.imwrite(f"/srv/frames/{shift:02}.jpg", bordered[:, :640])
'
# Nobody keeps a clock in a container without a network; a door would stay closed for that.
sed -i -e 's|^# source = .*|source = "dir:/srv/frames?fps=10\&loop=1"|' \
  -e 's|^# clock_untrusted = .*|clock_untrusted = "open"|' "$machine/etc/kiosk/kiosk.toml"

step "Booting Debian $suite"
boot
passed "$(inside systemctl --version | head -n 1) is PID 1"

step "Provisioning"
if inside "$share/provision.sh" --key tpm --copy none >/dev/null 2>"$work/refused.log"; then fail "a TPM was made up"; fi
grep -q "no TPM" "$work/refused.log" || fail "no TPM, and it does not say so"
if inside systemctl start kiosk.service 2>/dev/null; then fail "it started without a store"; fi
echo "six words that come to mind" >"$machine/root/phrase"
copying=(--copy /root --passphrase-file /root/phrase)
began="$(now)"
inside "$share/provision.sh" --key host "${copying[@]}" --tls >"$work/provision.log" 2>&1 || fail "see $work/provision.log"
await 30 "armed after provisioning" is_armed
passed "provisioned and armed after $(since "$began"); refused without a TPM, and before there was a store"
made=(/etc/credstore.encrypted/kiosk.key /etc/credstore.encrypted/tls.key /etc/kiosk/tls.crt)
before="$(inside sha256sum "${made[@]}")"
inside "$share/provision.sh" --key host "${copying[@]}" --tls >/dev/null 2>&1 || fail "provision.sh is not idempotent"
[ "$(inside sha256sum "${made[@]}")" = "$before" ] || fail "provision.sh made a key or certificate anew"
inside test ! -e /var/lib/kiosk/kiosk.key || fail "the key lies open beside the store"
[ "$(inside stat -c '%U %a' /var/lib/kiosk/kiosk.db)" = "kiosk 600" ] || fail "others may read the store"
inside kiosk enrol /srv/person_a_1.jpg --name "Person A" >/dev/null || fail "the command kiosk does not enrol"
inside systemctl stop kiosk.service
inside mv /etc/credstore.encrypted/kiosk.key /root/lost
copy="$(basename "$(echo "$machine"/root/*.key-copy)")"
inside "$share/provision.sh" --key host --restore "/root/$copy" --passphrase-file /root/phrase >"$work/restore.log" 2>&1 ||
  fail "see $work/restore.log"
await 30 "armed with the key out of its copy" is_armed
passed "the key lost, and brought back from its sealed copy: the store opens, armed"
passed "again without a change; the command kiosk enrols, with the key and as the kiosk's account"

step "Show: start, crash, hang, stop"
inside systemctl stop kiosk.service
began="$(now)"
inside systemctl start kiosk.service
ready="$(since "$began")"
await 30 "armed" is_armed
passed "start to READY $ready, to armed $(since "$began")"

count="$(property NRestarts)"
began="$(now)"
inside systemctl kill --kill-whom=main --signal=KILL kiosk.service
await 30 "armed after kill -9" restarted "$count"
passed "kill -9: restarted and armed after $(since "$began")"
await 5 "door made safe" journal "nothing to switch off|every output is off"
passed "ExecStopPost after it: $(journal 'nothing to switch off|every output is off' | tail -n 1)"

# The product has no switch for this: a wrapper around it makes the camera's thread hang ten seconds after the start.
cat >"$machine/srv/hanging.py" <<'PYTHON'
"""Run the kiosk with a camera thread that stops coming round."""
import sys, threading, time
from kiosk.capture import process as capture
from kiosk.cli import main as cli
begun = time.monotonic()
tend = capture.Camera._judge
def hang(self, child):
    if time.monotonic() - begun > 10:
        threading.Event().wait()  # for ever, holding nothing that the watchdog needs
    return tend(self, child)
capture.Camera._judge = hang
sys.argv[0] = "kiosk"
cli.run()
PYTHON
mkdir -p "$machine/etc/systemd/system/kiosk.service.d"
cat >"$machine/etc/systemd/system/kiosk.service.d/hanging.conf" <<'UNIT'
[Service]
ExecStart=
ExecStart=/opt/kiosk/current/bin/python /srv/hanging.py run
UNIT
inside systemctl daemon-reload
inside systemctl restart kiosk.service
await 30 "armed with the wrapper" is_armed
count="$(property NRestarts)"
began="$(now)"
await 60 "killed by the watchdog" journal "Watchdog timeout"
await 30 "armed again" restarted "$count"
passed "hanging camera thread: $(journal 'hanging=' | tail -n 1 | sed 's/.*hanging/hanging/'); $(journal 'Watchdog timeout' | tail -n 1 | sed 's/.*Watchdog/Watchdog/'); armed again $(since "$began") after the start"
rm "$machine/etc/systemd/system/kiosk.service.d/hanging.conf"
inside systemctl daemon-reload
inside systemctl restart kiosk.service
await 30 "armed" is_armed

count="$(property NRestarts)"
began="$(now)"
inside systemctl kill --kill-whom=main --signal=STOP kiosk.service
await 30 "armed after kill -STOP" restarted "$count"
passed "kill -STOP: ended by the watchdog, the door made safe, armed again after $(since "$began")"
passed "the process that captures: $(journal 'camera sandbox' | tail -n 1 | sed 's/.*camera //')"

began="$(now)"
inside systemctl stop kiosk.service
stopped="$(since "$began")"
[ "$(property Result)" = success ] || fail "the stop ended with $(property Result)"
inside systemctl show --property=ExecStopPost kiosk.service | grep -q 'status=0' || fail "ExecStopPost failed"
inside test ! -e /run/kiosk/status.json || fail "the status file outlived the kiosk"
passed "stop took $stopped with the door's safe state set; result success"

inside systemctl start kiosk.service
await 30 "armed" is_armed
pid="$(property MainPID)"
inside sed -i 's|^# identify_threshold = .*|identify_threshold = 85.0|' /etc/kiosk/kiosk.toml
inside systemctl reload kiosk.service
sed 's|^mode = .*|&|; s|^# pulse_s = .*|pulse_s = 900.0|' "$machine/etc/kiosk/kiosk.toml" >"$work/wrong.toml"
cp "$machine/etc/kiosk/kiosk.toml" "$work/right.toml"
cat "$work/wrong.toml" >"$machine/etc/kiosk/kiosk.toml"
inside systemctl reload kiosk.service
await 10 "refused settings" journal "settings refused"
cat "$work/right.toml" >"$machine/etc/kiosk/kiosk.toml"
inside systemctl reload kiosk.service
await 10 "armed after the reloads" is_armed
[ "$(property MainPID)" = "$pid" ] || fail "a reload started it anew"
passed "reload: right settings taken, wrong ones refused as a whole, the same process throughout"

# shellcheck source-path=SCRIPTDIR source=acceptance.sh
. "$root/tests/appliance/acceptance.sh"

step "Nightly tasks"
for task in sweep backup health; do
  inside systemctl start "kiosk-$task.service" || {
    inside journalctl -u "kiosk-$task" --no-pager -n 20 >&2
    # The clock of a container without a network is nobody's; all else must be right.
    fail "kiosk-$task failed"
  }
done
[ "$(inside bash -c 'ls /var/lib/kiosk/backups/*.backup | wc -l')" -ge 1 ] || fail "there is no backup"
passed "sweep, backup and full check ran in their sandbox; timers: $(inside systemctl list-timers --no-legend 'kiosk-*' | wc -l)"

step "The API over TLS"
inside kiosk key create --role device --name gate >/dev/null || fail "no key was made"
sed -i -e '/^\[api\]/a bind = "0.0.0.0"\ntls_certificate = "/etc/kiosk/tls.crt"\ntls_key = "/run/credentials/kiosk.service/tls.key"' \
  "$machine/etc/kiosk/kiosk.toml"
inside systemctl restart kiosk.service
await 30 "armed with TLS" is_armed
answer="$(inside /opt/kiosk/current/bin/python -c '
import ssl, urllib.request
context = ssl.create_default_context(cafile="/etc/kiosk/tls.crt")
print(urllib.request.urlopen("https://127.0.0.1:8080/readyz", context=context, timeout=5).status)
try:
    urllib.request.urlopen("https://127.0.0.1:8080/v3/sessions/", context=context, timeout=5)
except urllib.error.HTTPError as refused:
    print(refused.code)
')" || fail "no answer over TLS"
[ "$(echo "$answer" | tr '\n' ' ')" = "200 401 " ] || fail "the API answers $answer"
passed "bound to every address, its key from a sealed credential: ready over TLS, 401 without a key"

step "A kiosk that cannot start"
mkdir -p "$machine/etc/systemd/system/restart-kiosk.service.d"
cat >"$machine/etc/systemd/system/restart-kiosk.service.d/soon.conf" <<'UNIT'
[Service]
ExecStart=
ExecStart=/bin/sleep 1
ExecStart=/bin/systemctl reset-failed kiosk.service
ExecStart=/bin/systemctl start --no-block kiosk.service
UNIT
inside systemctl daemon-reload
cp "$machine/etc/kiosk/kiosk.toml" "$work/right.toml"
cat "$work/wrong.toml" >"$machine/etc/kiosk/kiosk.toml"
inside systemctl restart kiosk.service 2>/dev/null || true
await 120 "given up, and started again after a while" journal "Finished" restart-kiosk
cat "$work/right.toml" >"$machine/etc/kiosk/kiosk.toml"
await 120 "armed once its settings were right" is_armed
passed "wrong settings: given up after $(journal 'Scheduled restart job' | wc -l) starts, tried again by itself, armed once they were right"
rm -r "$machine/etc/systemd/system/restart-kiosk.service.d"
inside systemctl daemon-reload

# shellcheck source-path=SCRIPTDIR source=updates.sh
. "$root/tests/appliance/updates.sh"

step "Security"
for unit in kiosk kiosk-sweep kiosk-backup kiosk-health restart-kiosk confirm-kiosk; do
  passed "$(inside systemd-analyze security --no-pager "$unit.service" | tail -n 1)"
done

step "Uninstalling"
inside "$share/uninstall.sh" >/dev/null
inside test -e /var/lib/kiosk/kiosk.db || fail "the store is gone, and nobody asked for that"
inside test ! -e /opt/kiosk || fail "/opt/kiosk is left"
cp -r "$work/bundles/one" "$machine/srv/one"
inside /srv/one/firmware_scripts/uninstall.sh --purge >/dev/null
for place in /var/lib/kiosk /etc/kiosk /etc/credstore.encrypted/kiosk.key; do
  inside test ! -e "$place" || fail "$place is left after --purge"
done
passed "uninstalled: first with the store kept, then everything"
echo "The appliance holds under $(inside systemctl --version | head -n 1)."
