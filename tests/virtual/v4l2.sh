#!/usr/bin/env bash
# Run the kiosk's capture on V4L2 devices of a stock Debian 13 kernel: vivid, and v4l2loopback with motion JPEG.
#
#   tests/virtual/v4l2.sh [--folder DIR]
#
#   --folder DIR  where the root is made and kept; default: $KIOSK_VIRTUAL, else /var/tmp/kiosk-virtual
#
# In a virtual machine, runs v4l2_checks.py: colours, formats, times, a camera unbound from its driver (which is what
# pulling its plug does) and bound again, a producer that dies; then firmware_scripts/camera_check.sh, where there is
# one. Wants root and Debian 12 or 13 with
#   apt-get install -y --no-install-recommends debootstrap qemu-system-x86 cpio xz-utils git
# About 8 minutes the first time, 3 afterwards; ends by itself after 15 minutes of running.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=tests/virtual/common.sh
. "$here/common.sh"
root=""
read_options "$@"
want qemu-system-x86_64 qemu-system-x86
want cpio cpio
want xz xz-utils

make_amd64_root
step "Booting a machine with V4L2 devices"
boot 900 "$root" '
export PATH=/opt/kiosk/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root PYTHONDONTWRITEBYTECODE=1
mount -t tmpfs tmpfs /tmp
uname -srm
modprobe vivid n_devs=1 node_types=0x1 input_types=0x00 num_inputs=1 &&
  modprobe v4l2loopback video_nr=10 exclusive_caps=0 card_label=Webcam || exit 1
ls /dev/video*
cd /srv/kiosk
if [ -x firmware_scripts/camera_check.sh ]; then bash firmware_scripts/camera_check.sh || echo "camera_check: $?"; fi
python -m pytest -q --color=no -s -p no:cacheprovider tests/virtual/v4l2_checks.py'
step "The camera works with V4L2"
