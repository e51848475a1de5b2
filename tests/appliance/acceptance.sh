# The acceptance as an installer walks it, on the booted kiosk. Sourced by boot.sh, never run.
# shellcheck shell=bash disable=SC2154  # boot.sh sets what it reads

# Do one step of the acceptance: what the installer types, a line each, at an hour of this day. The command `kiosk` runs
# in a unit of its own, whose clock nobody can shift, so this is what it starts there, with the key the unit would have.
walk() { # HOURS_LATER STEP LINES...
  local later="$1" asked="$2"
  shift 2
  printf '%s\n' "$@" | inside env CREDENTIALS_DIRECTORY=/run/walk runuser -u kiosk -- /opt/kiosk/current/bin/python -c "
import sys, time
from kiosk.cli.main import run
now = time.time
time.time = lambda: now() + $later * 3600.0
sys.argv = ['kiosk', 'accept', '--step', '$asked']
run()" >>"$work/accept.log" 2>&1 || fail "the acceptance's step $asked failed; see $work/accept.log"
}

# After a boot the key is only where systemd gives it; /run is empty.
take_key() {
  inside install -d -o kiosk -m 0700 /run/walk
  inside systemd-creds decrypt --name=kiosk.key /etc/credstore.encrypted/kiosk.key /run/walk/kiosk.key
  inside chown kiosk /run/walk/kiosk.key
  inside chmod 0400 /run/walk/kiosk.key
}

# What `kiosk accept --json` says of a step.
step_says() { # STEP KEYS...
  inside kiosk accept --json | python3 -c '
import json, sys
found = next(one for one in json.load(sys.stdin)["steps"] if one["step"] == sys.argv[1])
for key in sys.argv[2:]:
    found = found[key]
print(found)' "$@"
}

step "The acceptance, as an installer walks it"
rm -f "$work/accept.log"
take_key
walk 0 camera ""
[ "$(step_says camera state)" = done ] || fail "the camera's step is $(step_says camera state)"
for hour in 0 3 6 9; do walk "$hour" light ""; done
[ "$(step_says light state)" = done ] || fail "a day of light is $(step_says light state)"

walk 0 watchdog "" # then the terminal is closed, as systemctl may end it
[ "$(step_says watchdog is_waiting)" = True ] || fail "the watchdog's step does not wait for its answer"
count="$(property NRestarts)"
inside systemctl kill --kill-whom=main --signal=STOP kiosk.service
await 30 "armed after kill -STOP" restarted "$count"
walk 0 watchdog yes "by its watchdog"
[ "$(step_says watchdog word is_new_process)" = True ] || fail "the acceptance did not see another process"

walk 0 power ""
kill -9 "$(leader)" # with PID 1 everything in the container is gone at once; nspawn ends by itself
wait "$container" || true
boot
await 60 "armed after the power cut" is_armed
take_key
walk 0 power yes "the plug was out for ten seconds"
[ "$(step_says power word is_new_boot)" = True ] || fail "the acceptance did not see another boot"

for left in people strangers timing attacks; do walk 0 "$left" s "a container has no people in front of it" n; done
inside kiosk accept --report /var/lib/kiosk/acceptance.html >>"$work/accept.log"
inside kiosk accept --verify /var/lib/kiosk/acceptance.html >>"$work/accept.log"
cp "$machine/var/lib/kiosk/acceptance.html" "$work/"
passed "camera, a day of light, watchdog and power cut walked; the report: $work/acceptance.html"
inside rm -r /run/walk
