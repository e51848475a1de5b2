# The part of boot.sh about updates; sourced by it.
# shellcheck shell=bash disable=SC2154  # boot.sh sets them

# Make a release from the bundle that is installed: another version, and whatever a command does to it.
#   other_release NAME VERSION COMMAND...   runs the command in the unpacked wheel
other_release() {
  local place="$work/bundles/$1" version="$2"
  shift 2
  rm -rf "$place" && cp -r "$work/bundles/one" "$place"
  rm "$place"/face_kiosk-*.whl
  mkdir "$work/bundles/wheel" && (cd "$work/bundles/wheel" && python3 -m zipfile -e "$work"/bundles/one/face_kiosk-*.whl .)
  (
    cd "$work/bundles/wheel" || exit
    mv face_kiosk-*.dist-info "face_kiosk-$version.dist-info"
    sed -i "s/^Version: .*/Version: $version/" "face_kiosk-$version.dist-info/METADATA"
    sed -i "s/^__version__ = .*/__version__ = \"$version\"/" kiosk/__init__.py
    "$@"
    # A record without digests is allowed (PEP 376); what counts here is the list of files.
    find . -type f | sed 's|^\./||; s|$|,,|' >"face_kiosk-$version.dist-info/RECORD"
    python3 -m zipfile -c "$place/face_kiosk-$version-py3-none-any.whl" ./*
  )
  rm -rf "$work/bundles/wheel"
  rm -rf "$machine/srv/$(basename "$place")" && cp -r "$place" "$machine/srv/"
}
current() { inside readlink /opt/kiosk/current; }

step "Updates"
first="$(current)"
if inside "$share/update.sh" /srv/person_a_1.jpg --sha256 "$digest" 2>"$work/refused.log"; then fail "any file will do"; fi
grep -q "not the file of that digest" "$work/refused.log" || fail "see $work/refused.log"

other_release good 0.9.1 true
began="$(now)"
inside /srv/good/firmware_scripts/update.sh >"$work/update-good.log" 2>&1 || fail "see $work/update-good.log"
[[ "$(current)" == releases/0.9.1-* ]] || fail "the update did not take"
good="$(current)"
is_armed || fail "not armed after the update"
passed "update to 0.9.1 took $(since "$began"), 30 s of it proving itself; a wrong digest was refused"

# One that does not know itself what it is: golden faces come out otherwise, so it is refused before the switch.
other_release blind 0.9.2 sed -i 's/^LEAST_COSINE = .*/LEAST_COSINE = 2.0/' kiosk/networks/self_test.py
if inside /srv/blind/firmware_scripts/update.sh >"$work/update-blind.log" 2>&1; then fail "a blind release was taken"; fi
if [ "$(current)" != "$good" ] || ! is_armed; then fail "the running release was touched"; fi
passed "a release whose golden faces fail is refused before anything is changed"

# One that passes the check and then dies at the door, after it brought the store to a schema of its own.
broken() {
  python3 - <<'PYTHON'
from pathlib import Path
schema = Path("kiosk/store/schema.py")
before, _, after = schema.read_text().partition("\nSCRIPTS = (")
listed, _, rest = after.partition(")")
schema.write_text(f'{before}\nSCRIPTS = ({listed}, "CREATE TABLE later (n INTEGER) STRICT;"){rest}')
run = Path("kiosk/daemon/kiosk.py")
run.write_text(run.read_text().replace("    supervisor.tell(READY=1)\n", "    import os; os._exit(70)\n", 1))
PYTHON
}
other_release broken 0.9.3 broken
began="$(now)"
code=0
inside /srv/broken/firmware_scripts/update.sh >"$work/update-broken.log" 2>&1 || code=$?
[ "$code" -eq 3 ] || fail "exit $code, want 3; see $work/update-broken.log"
[ "$(current)" = "$good" ] || fail "it did not go back"
await 30 "armed after going back" is_armed
inside kiosk search /srv/person_a_2.jpg --no-save | grep -q "1 match" || fail "Person A was lost on the way back"
inside kiosk log verify >/dev/null || fail "the log does not hold any more"
passed "a release that dies, with a newer schema: went back by itself after $(since "$began"), store restored, armed"

# The plug is pulled while the new release is being judged. At the next start it is judged anew, and goes back.
inside systemctl reset-failed
inside /srv/broken/firmware_scripts/update.sh >"$work/update-cut.log" 2>&1 &
await 120 "the switch" test -e "$machine/opt/kiosk/switching"
await 60 "the link" bash -c "[ \"\$(readlink '$machine/opt/kiosk/current')\" != '$good' ]"
kill -9 "$(leader)" # with PID 1 everything in the container is gone at once; nspawn ends by itself
wait || true
[ -e "$machine/opt/kiosk/switching" ] || fail "the mark did not survive"
boot
await 300 "gone back after the power cut" test ! -e "$machine/opt/kiosk/switching"
[ "$(current)" = "$good" ] || fail "after the power cut $(current) is in force"
await 60 "armed after the power cut" is_armed
inside kiosk search /srv/person_a_2.jpg --no-save | grep -q "1 match" || fail "Person A was lost in the power cut"
passed "the plug pulled in the middle: at the next start it went back by itself, armed, nobody lost"
[ "$(current)" != "$first" ] || fail "the first release came back"
