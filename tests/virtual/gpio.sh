#!/usr/bin/env bash
# Drive a door over a real GPIO chip: the pl061 of QEMU's arm64 board, with a stock Debian 13 kernel.
#
#   tests/virtual/gpio.sh [--folder DIR]
#
#   --folder DIR  where the root is made and kept; default: $KIOSK_VIRTUAL, else /var/tmp/kiosk-virtual
#
# Runs the hardware tests of tests/door/test_door.py, then gpio_checks.py: the length of a pulse as the kernel sees it,
# a second owner, kill -9, and `python -m kiosk.door --safe`. Wants root and Debian 12 or 13 with
#   apt-get install -y --no-install-recommends debootstrap qemu-system-arm python3-venv cpio xz-utils git
# About 8 minutes the first time, 5 afterwards; ends by itself after 15 minutes of running.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=tests/virtual/common.sh
. "$here/common.sh"
root=""
read_options "$@"
want qemu-system-aarch64 qemu-system-arm
want cpio cpio
want xz xz-utils

make_arm64_root
step "Booting an arm64 machine with a GPIO chip"
boot 900 "$root" '
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root PYTHONPATH=/srv/kiosk:/opt/packages PYTHONDONTWRITEBYTECODE=1
export KIOSK_TEST_GPIOCHIP=/dev/gpiochip0 KIOSK_TEST_GPIO_LINES=0,1,2,3,4,5,6,7
mount -t tmpfs tmpfs /tmp
cd /srv/kiosk && uname -srm &&
python3 -m pytest -q --color=no -p no:cacheprovider -s -rs -m hardware tests/door/test_door.py tests/virtual/gpio_checks.py'
step "The door works on a real GPIO chip"
