#!/usr/bin/env bash
# Check style and types: ruff, ruff format, mypy, and shellcheck where there is one.
#
#   ./firmware_scripts/check.sh [--fix | --form | --types]
#
#   --fix    first mend what ruff can mend; else nothing is changed
#   --form   style alone, without mypy, which takes half a minute the first time
#   --types  mypy alone; test.sh runs it in parallel with the tests
#
# Every check runs, then the exit status says whether one failed. Makes .venv in the repository as test.sh does;
# KIOSK_PYTHON names another Python, KIOSK_VENV another place. The versions of ruff and mypy are pinned in
# pyproject.toml. Types are checked on Python 3.11 to 3.13.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

failed=()

# Run one check under its name; remember it when it fails.
check() {
  step "$1"
  "${@:2}" || failed+=("$1")
}

fix='' form=yes types=yes
case "${1:-}" in
  -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;;
  --fix) fix=yes ;;
  --form) types='' ;;
  --types) form='' ;;
  '') ;;
  *) fail "unknown option $1; see --help" ;;
esac

install_into_venv test
cd "$root"
python="$venv/bin/python"

if [ -n "$fix" ]; then
  step "Mending what ruff can mend"
  "$python" -m ruff check --quiet --fix . || true # what is left is shown below
  "$python" -m ruff format --quiet .
fi

if [ -n "$form" ]; then
  check "ruff check" "$python" -m ruff check --quiet .
  check "ruff format" "$python" -m ruff format --quiet --diff .

  if command -v shellcheck >/dev/null 2>&1; then
    scripts=(.ci/run firmware_scripts/*.sh benchmarks/*.sh tests/appliance/*.sh tests/virtual/*.sh)
    check "shellcheck" shellcheck --external-sources "${scripts[@]}"
  else
    step "shellcheck"
    printf 'Note: shellcheck is not installed; the shell scripts are not checked\n' >&2
  fi
fi

if [ -n "$types" ]; then
  if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
    check "mypy" "$python" -m mypy
  else
    step "mypy"
    printf 'Note: types are checked on Python 3.11 to 3.13; this is another, so they are not checked\n' >&2
  fi
fi

if [ "${#failed[@]}" -ne 0 ]; then
  together="$(printf '%s, ' "${failed[@]}")"
  fail "failed: ${together%, }"
fi
