#!/usr/bin/env bash
# Install the kiosk and see it decide on real photographs: a match, a non-match, a search hit, a blocklist hit; then
# run the kiosk itself, with people from portraits walking up instead of a camera.
#
#   ./firmware_scripts/try.sh
#
# On a terminal the kiosk then stays, with its pages, until Ctrl-C; otherwise it ends when everybody was there once.
# The portraits are official ones in the public domain: from the source archive of PyPI's face_recognition, and here.
# Makes .venv and demo-state in the repository and nothing elsewhere; safe to run twice.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac

package="face_recognition==1.3.0"
sha256="5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
state="$root/demo-state"
portraits="$state/portraits"

install_into_venv tflite
kiosk="$venv/bin/kiosk"
export KIOSK_STATE="$state/kiosk"

if [ ! -f "$portraits/person_b.jpg" ]; then
  step "Fetching public-domain portraits ($package)"
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  "$venv/bin/python" "$root/firmware_scripts/fetch_sdist.py" "$package" "$sha256" "$work"
  mkdir -p "$portraits"
  images="$work/face_recognition-1.3.0/tests/test_images"
  cp "$images/obama.jpg" "$portraits/person_a_1.jpg"
  cp "$images/obama2.jpg" "$portraits/person_a_2.jpg"
  cp "$images/obama3.jpg" "$portraits/person_a_3.jpg"
  cp "$images/biden.jpg" "$portraits/person_b.jpg"
fi

rm -rf "$KIOSK_STATE" # a demo starts anew each time
a1="$portraits/person_a_1.jpg" a2="$portraits/person_a_2.jpg" a3="$portraits/person_a_3.jpg" b="$portraits/person_b.jpg"

# Show a command and what it decided, and stop if it decided otherwise than it should.
show() {
  local expected="$1" answer
  shift
  printf '$ kiosk %s\n' "${*//$root\//}"
  answer="$("$kiosk" "$@")"
  printf '%s\n\n' "$answer" | sed -n '/^---/,$p'
  grep -q -- "$expected" <<<"$answer" || fail "expected: $expected"
}

step "Making an empty store"
"$kiosk" init
step "Two photographs of Person A"
show 'Result: Approved' match "$a1" "$a2" --threshold 70
step "Person A and Person B"
show 'Result: Declined' match "$a1" "$b" --threshold 70
step "Enrolling Person A, then searching with another photograph of them"
"$kiosk" enrol "$a1" --name "Person A" --vendor-data demo-a
show '1 match(es) found' search "$a3"
step "Putting Person B on the blocklist, then searching with their photograph"
"$kiosk" blocklist add "$b" --name "Person B" --reason "demo"
show 'BLOCKLISTED' search "$b"
step "Is everything in order?"
"$kiosk" doctor

step "Running the kiosk: Person A, whom it knows, a stranger, and Person B, who is on the blocklist, walk up"
visitors="$state/visitors"
mkdir -p "$visitors"
cp "$a2" "$visitors/1_known.jpg"
cp "$root/tests/golden/person_c_1.jpg" "$visitors/2_stranger.jpg"
cp "$b" "$visitors/3_blocked.jpg"
password="$("$venv/bin/python" -c 'import secrets; print(secrets.token_urlsafe(9))')"
printf '%s\n' "$password" | "$kiosk" operator add demo --role admin >/dev/null
KIOSK_API_PORT="${KIOSK_API_PORT:-$("$venv/bin/python" -c '
import socket
for port in (8080, 0):
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(one.getsockname()[1])
        break
')}"
export KIOSK_API_PORT
printf 'Operators sign in as: demo   password: %s\n' "$password"

kiosk_typed="$(printf '%q' "$kiosk")" # a path with a space in it must be typed otherwise
if [ -t 1 ]; then
  cat <<TXT
It stays until Ctrl-C. In another terminal, with your own photographs:

  export KIOSK_STATE=$(printf '%q' "$KIOSK_STATE")
  $kiosk_typed match ONE.jpg OTHER.jpg
  $kiosk_typed enrol FACE.jpg --name "You"
  $kiosk_typed --help

TXT
  printf 'To see the same photograph refused: %s run --demo %q --detect\n\n' "$kiosk_typed" "$visitors"
  exec "$kiosk" run --demo "$visitors"
fi

"$kiosk" run --demo "$visitors" | tee "$state/seen.txt"
for expected in 'Person A .*Approved.*the door opens' 'somebody unknown .*Declined' 'Person B .*Declined.*ALARM'; do
  grep -q -- "$expected" "$state/seen.txt" || fail "expected: $expected"
done

step "The same photograph of Person A, held up to a kiosk that tells photographs from people"
held_up="$state/held_up"
mkdir -p "$held_up"
cp "$a2" "$held_up/photograph.jpg"
"$kiosk" run --demo "$held_up" --detect | tee "$state/refused.txt"
grep -q -- 'somebody unknown .*Declined.*(\(attack_suspected\|liveness_undetermined\))' "$state/refused.txt" \
  || fail "expected: Declined"
if grep -q 'the door opens' "$state/refused.txt"; then fail "a photograph opened the door"; fi

cat <<TXT

It works, and from here on needs no network. Try it with your own photographs:

  export KIOSK_STATE=$(printf '%q' "$KIOSK_STATE")
  $kiosk_typed match ONE.jpg OTHER.jpg
  $kiosk_typed enrol FACE.jpg --name "You"
  $kiosk_typed run --demo $(printf '%q' "$visitors")
  $kiosk_typed --help
TXT
