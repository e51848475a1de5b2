# What the scripts of the appliance share; sourced, never run. Needs `set -euo pipefail`, $root and common.sh.
# shellcheck shell=bash disable=SC2034,SC2154  # the scripts that source it use the names, and set $root
#
# On a device:
#   /opt/kiosk/releases/NAME   a virtual environment each, with its units and scripts in share/kiosk
#   /opt/kiosk/current         link to the one that runs; one rename switches it
#   /opt/kiosk/previous        link to the one before, which a failed update goes back to
#   /opt/kiosk/switching       there from just before a switch until the new release has proved itself
#   /opt/kiosk/updates.log     what was tried and with whose signature: a line of JSON each
#   /opt/kiosk/update.json     how the last update of a fleet went, for the kiosk: fleet_update.sh

opt=/opt/kiosk
state=/var/lib/kiosk
switching=$opt/switching # from, to, backup, faults before: a line each
config=/etc/kiosk/kiosk.toml
status=/run/kiosk/status.json
credential=/etc/credstore.encrypted/kiosk.key
unit_folder=/usr/local/lib/systemd/system # /etc/systemd/system stays the administrator's
units=(kiosk.service restart-kiosk.service confirm-kiosk.service update-kiosk.service update-kiosk.path)
for task in sweep backup health; do units+=("kiosk-$task.service" "kiosk-$task.timer"); done
target="" # --root: another root directory than this machine's

note() { printf 'Note: %s\n' "$*" >&2; }

want_root() { [ "$(id -u)" -eq 0 ] || fail "this changes the system: run it as root, for instance with sudo"; }

# Run a command in the target: here, or in the other root with what programs expect of a running system.
in_target() {
  if [ -z "$target" ]; then
    "$@"
    return
  fi
  # shellcheck disable=SC2016  # the inner shell expands it
  unshare --mount --pid --fork --kill-child bash -c '
    set -e
    cd "$1" && shift
    mount --make-rprivate /            # what is mounted here ends with this command, however that ends
    mount -t proc proc proc            # onnxruntime reads /proc/cpuinfo, and /sys for the processors
    mount -t sysfs -o ro sysfs sys
    mount --rbind /dev dev
    if [ -e /etc/resolv.conf ]; then touch etc/resolv.conf && mount --bind /etc/resolv.conf etc/resolv.conf; fi
    exec chroot . "$@"' in_target "$target" "$@"
}

# Say whether the target is this machine, and systemd runs it.
is_running() { [ -z "$target" ] && [ -d /run/systemd/system ]; }

# Tell the service manager about changed units; nothing where none runs.
reload_units() { if is_running; then systemctl daemon-reload; fi; }

systemd_version() { in_target env SYSTEMD_COLORS=0 systemctl --version | awk 'NR == 1 { print $2 }'; }

# Point a link elsewhere in one step; a power cut leaves the old or the new one.
switch_link() {
  ln -sfn "$1" "$target$2.part"
  mv -T "$target$2.part" "$target$2"
  sync -f "$target$(dirname "$2")"
}

# ---- releases

# Install what makes a release into a virtual environment, each file held against its hash.
install_tools() {
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    -r "$root/firmware_scripts/tools.lock"
}

# Print the wheel of the kiosk: a bundle brings it, from a checkout it is built into the folder given.
kiosk_wheel() {
  local found=("$root"/face_kiosk-*.whl) python
  if [ ! -f "${found[0]}" ]; then
    [ -f "$root/pyproject.toml" ] || fail "$root is neither a bundle nor a checkout of the kiosk"
    python="$(find_python)" || fail "want Python 3.10 to 3.14 to build the kiosk; set KIOSK_PYTHON to one"
    "$python" -m venv "$1/build" || fail "could not make a virtual environment; apt-get install python3-venv"
    "$1/build/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
      -r "$root/firmware_scripts/build.lock" >&2
    "$1/build/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
      --wheel-dir "$1" "$root" >&2
    found=("$1"/face_kiosk-*.whl)
  fi
  [ ${#found[@]} -eq 1 ] || fail "want one wheel of the kiosk, got: ${found[*]}"
  printf '%s\n' "${found[0]}"
}

# Set $release to the name of the kiosk of $root, and $wheel to its wheel: the version, and a digest of all that is
# installed, so that another key or script under the same version is another release.
name_release() {
  local parts=(systemd firmware_scripts)
  if [ -f "$root/release.pub" ]; then parts+=(release.pub); fi
  building="$(mktemp -d)"
  wheel="$(kiosk_wheel "$building")"
  release="$(basename "$wheel" | cut -d- -f2)-$({
    sha256sum <"$wheel"
    cd "$root" || exit
    find "${parts[@]}" -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum
  } | sha256sum | cut -c1-8)"
}

# Say whether a version is newer than another: numbers with dots, and a1, b1 or rc1 before the release of that number.
is_newer() {
  python3 -I - "$1" "$2" <<'PYTHON'
import re, sys
def rank(text):
    found = re.fullmatch(r"(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?", text)
    if found is None:
        sys.exit(f"Error: {text} is no version: want numbers with dots, such as 0.9.1 or 0.9.1rc1")
    numbers = [int(one) for one in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers, found[2] or "release", int(found[3] or 0)  # in the order of the alphabet: a, b, rc, release
sys.exit(not rank(sys.argv[1]) > rank(sys.argv[2]))
PYTHON
}

# Keep what an update did or was allowed to do: for whoever asks later who took which release.
#   record WHAT DETAIL
record() {
  local line
  line="$(printf '%s' "{\"at\": \"$(date --utc +%FT%TZ)\", \"what\": \"$1\", \"detail\": \"${2//[\"\\]/}\"," \
    " \"from\": \"${old:-}\", \"to\": \"${release:-}\", \"vouched\": \"${vouched//[\"\\]/}\"}" | tr -cd '[:print:]')"
  printf '%s\n' "$line" >>"$opt/updates.log"
  sync "$opt/updates.log"
  logger --tag kiosk-update -- "$line" 2>/dev/null || true # the journal has it too, where one runs
}

# Install the kiosk of $root beside the releases that are there, whole or not at all. Sets $release to its name.
stage_release() {
  local place wheels pip site=()
  [ -n "${release:-}" ] || name_release
  place="$opt/releases/$release"
  if [ -f "$target$place/.complete" ]; then
    rm -rf "$building"
    return
  fi
  step "Installing the kiosk $release into $target$place"
  rm -rf "$target${place:?}" # begun and cut short
  mkdir -p "$target$place"
  # The camera's library is built for the system's Python and comes from apt.
  if in_target python3 -c 'import libcamera' 2>/dev/null; then site=(--system-site-packages); fi
  in_target python3 -m venv ${site[@]+"${site[@]}"} "$place"
  pip=(in_target "$place/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --ignore-installed)
  install -m 644 "$wheel" "$root/firmware_scripts/requirements.lock" "$target$place"
  wheels=()
  if [ -n "${wheelhouse:-}" ]; then
    mkdir "$target$place/wheels"
    cp "$wheelhouse"/*.whl "$target$place/wheels"
    wheels=(--no-index --find-links "$place/wheels")
  fi
  "${pip[@]}" --require-hashes --only-binary :all: ${wheels[@]+"${wheels[@]}"} -r "$place/requirements.lock"
  "${pip[@]}" --no-index --no-deps "$place/$(basename "$wheel")"
  rm -rf "$target$place/wheels"
  mkdir -p "$target$place/share/kiosk"
  cp -r "$root/systemd" "$root/firmware_scripts" "$target$place/share/kiosk"
  rm -rf "$target$place/share/kiosk/firmware_scripts/__pycache__"
  # What the bundles after this release are checked with; a checkout has none, and update.sh then asks for one.
  if [ -f "$root/release.pub" ]; then cp "$root/release.pub" "$target$place/share/kiosk"; fi
  chmod -R go=u-w "$target$place"
  sync -f "$target$place"
  touch "$target$place/.complete"
  sync -f "$target$place"
  rm -rf "$building"
}

# Run a release's own check with the settings in force, and without touching the store: settings, models, golden faces.
self_test() {
  local kiosk="$opt/releases/$1/bin/kiosk" empty
  empty="$(in_target mktemp -d)" # and without its key, which is sealed for the kiosk's own unit
  in_target env KIOSK_STATE="$empty" "$kiosk" config check --config "$config" >/dev/null || {
    in_target rm -rf "$empty"
    fail "release $1 does not take the settings in $config"
  }
  in_target env KIOSK_STATE="$empty" "$kiosk" doctor --config "$config" || {
    in_target rm -rf "$empty"
    return 1
  }
  in_target rm -rf "$empty"
}

# Put a file in place whole: a power cut leaves the old or the new one.
put() {
  install -d -m 755 "$target$(dirname "$2")" # whatever the umask
  install -m "${3:-644}" "$1" "$target$2.part"
  mv -T "$target$2.part" "$target$2"
}

# Print the schema of the store that a release writes.
schema_of() { "$opt/releases/$1/bin/python" -I -c 'from kiosk.store.schema import VERSION; print(VERSION)'; }

# Print what is wrong with the running kiosk that a release can be to blame for, a word a line; clock, disk and heat are
# the surroundings'. A kiosk that tells nothing is silent.
faults() {
  python3 -I - "$status" <<'PYTHON'
import json, sys, time
blamed = {"starting", "self_test_failed", "pad_failed", "store_unreadable", "camera_lost", "door_fault"}
try:
    with open(sys.argv[1], encoding="utf-8") as file:
        status = json.load(file)
    held = {state["condition"] for state in status["states"]} & blamed
    silent = abs(time.time() - status["at"]) > 10
except (OSError, ValueError, KeyError, TypeError):
    held, silent = set(), True
print("\n".join(sorted(held) + ["silent"] * silent), end="\n" if held or silent else "")
PYTHON
}

# Remove the releases that nothing points to any more.
prune_releases() {
  local place name
  for place in "$opt"/releases/*; do
    name="releases/$(basename "$place")"
    if [ "$name" != "$(readlink "$opt/current")" ] && [ "$name" != "$(readlink "$opt/previous")" ]; then
      rm -rf "$place"
    fi
  done
}

# Make units, device rules, account and command those of the current release. Copies, as `systemctl enable` wants them.
put_system() {
  local share="$target$opt/current/share/kiosk" unit
  for unit in "${units[@]}"; do put "$share/systemd/$unit" "$unit_folder/$unit"; done
  put "$share/systemd/kiosk-.service.d/task.conf" "$unit_folder/kiosk-.service.d/task.conf"
  if [ "$(systemd_version)" -ge 254 ]; then
    put "$share/systemd/since-254/restart-steps.conf" "$unit_folder/kiosk.service.d/restart-steps.conf"
  fi
  put "$share/systemd/kiosk.sysusers.conf" /etc/sysusers.d/kiosk.conf
  put "$share/systemd/70-kiosk.rules" /etc/udev/rules.d/70-kiosk.rules
  put "$share/firmware_scripts/kiosk_command.sh" /usr/local/bin/kiosk 755
  reload_units
}
