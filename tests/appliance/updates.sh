# The part of boot.sh about updates; sourced by it.
# shellcheck shell=bash disable=SC2154  # boot.sh sets them

# Make a signed bundle from the one that is installed: another version, and whatever a command does to it. It lies in
# the machine as /srv/NAME.tar.gz.
#   other_release NAME VERSION COMMAND...   runs the command in the unpacked wheel
other_release() {
  local name="$1" place="$work/bundles/$1" version="$2"
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
  rm "$place/SHA256SUMS"
  (cd "$place" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$work/sums"
  mv "$work/sums" "$place/SHA256SUMS"
  tar --create --gzip --directory "$work/bundles" --file "$machine/srv/$name.tar.gz" "$name"
  rm -rf "$place"
  sign "$machine/srv/$name.tar.gz"
}
# The machine's own release signs: it has what that takes, and lies where this script can run it.
sign() {
  cp "$work/keys/kiosk-release.key" "$machine/run/"
  chroot "$machine" /opt/kiosk/current/bin/python -I "$share/minisign.py" sign "/srv/$(basename "$1")" \
    --key /run/kiosk-release.key
  rm "$machine/run/kiosk-release.key"
}
update() { inside "$share/update.sh" "$@"; }
current() { inside readlink /opt/kiosk/current; }

step "Updates"
first="$(current)"
if update /srv/person_a_1.jpg 2>"$work/refused.log"; then fail "any file will do"; fi
grep -q "has no signature" "$work/refused.log" || fail "see $work/refused.log"

other_release good 0.9.1 true
began="$(now)"
update /srv/good.tar.gz >"$work/update-good.log" 2>&1 || fail "see $work/update-good.log"
[[ "$(current)" == releases/0.9.1-* ]] || fail "the update did not take"
good="$(current)"
is_armed || fail "not armed after the update"
passed "update to 0.9.1 took $(since "$began"), 30 s of it proving itself; no signature was refused"
printf 'x' | dd of="$machine/srv/good.tar.gz" bs=1 seek=100000 conv=notrunc status=none
if update /srv/good.tar.gz 2>"$work/refused.log"; then fail "a changed bundle will do"; fi
grep -q "is not the file that was signed" "$work/refused.log" || fail "see $work/refused.log"
other_release older 0.0.1 true
if update /srv/older.tar.gz 2>"$work/refused.log"; then fail "an older release will do"; fi
grep -q "is not newer" "$work/refused.log" || fail "see $work/refused.log"
[ "$(current)" = "$good" ] || fail "what was refused changed something"
passed "a bundle changed by a byte and an older release are refused"

# One that does not know itself what it is: golden faces come out otherwise, so it is refused before the switch.
other_release blind 0.9.2 sed -i 's/^LEAST_COSINE = .*/LEAST_COSINE = 2.0/' kiosk/networks/self_test.py
if update /srv/blind.tar.gz >"$work/update-blind.log" 2>&1; then fail "a blind release was taken"; fi
if [ "$(current)" != "$good" ] || ! is_armed; then fail "the running release was touched"; fi
passed "a release whose golden faces fail is refused before anything is changed"

# One that passes the check and then dies at the door, after it brought the store to a schema of its own.
broken() {
  python3 - <<'PYTHON'
from pathlib import Path
schema = Path("kiosk/store/schema.py")
before, _, after = schema.read_text().partition("\nSCRIPTS = (")
listed, _, rest = after.partition(")")
last = "CREATE TABLE later (n INTEGER) STRICT;"
schema.write_text(f'{before}\nSCRIPTS = ({listed.rstrip().removesuffix(",")}, "{last}"){rest}')
run = Path("kiosk/daemon/kiosk.py")
run.write_text(run.read_text().replace("    supervisor.tell(READY=1)\n", "    import os; os._exit(70)\n", 1))
PYTHON
}
other_release broken 0.9.3 broken
began="$(now)"
code=0
update /srv/broken.tar.gz >"$work/update-broken.log" 2>&1 || code=$?
[ "$code" -eq 3 ] || fail "exit $code, want 3; see $work/update-broken.log"
[ "$(current)" = "$good" ] || fail "it did not go back"
await 30 "armed after going back" is_armed
inside kiosk search /srv/person_a_2.jpg --no-save | grep -q "1 match" || fail "Person A was lost on the way back"
inside kiosk log verify >/dev/null || fail "the log does not hold any more"
passed "a release that dies, with a newer schema: went back by itself after $(since "$began"), store restored, armed"

# The plug is pulled while the new release is being judged. At the next start it is judged anew, and goes back.
inside systemctl reset-failed
update /srv/broken.tar.gz >"$work/update-cut.log" 2>&1 &
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
