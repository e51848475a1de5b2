#!/usr/bin/env bash
# Run the kiosk's capture, and the kiosk, on a real picamera2 and a real libcamera with its virtual camera.
#
#   tests/virtual/picamera2.sh [--folder DIR]
#
#   --folder DIR  where the root is made and kept; default: $KIOSK_VIRTUAL, else /var/tmp/kiosk-virtual
#
# In a Debian 13 root with Debian's libcamera and PyPI's picamera2, runs picamera2_checks.py: colours, times, rotation,
# a pulled cable, a hanging and a crashing process, descriptors, and `kiosk run` for a minute with people walking up.
# Not covered: a sensor, the Raspberry Pi's image processor, controls. Wants root and Debian 12 or 13 with
#   apt-get install -y --no-install-recommends debootstrap git
# About 6 minutes the first time, 3 afterwards; ends by itself after 10 minutes of running.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=tests/virtual/common.sh
. "$here/common.sh"
root=""
read_options "$@"

make_amd64_root
step "Setting up the virtual camera"
mkdir -p "$root/usr/share/libcamera/pipeline/virtual" "$root/srv/frames"
cp "$here/virtual_camera.yaml" "$root/usr/share/libcamera/pipeline/virtual/virtual.yaml"
inside "$root" gcc -shared -fPIC -O2 -Wall -Werror -o /opt/udmabuf.so /srv/kiosk/tests/virtual/udmabuf.c -ldl
step "Capturing with picamera2"
inside "$root" env --chdir=/srv/kiosk LD_PRELOAD=/opt/udmabuf.so PYTHONPATH=/srv/kiosk/tests/virtual/shim \
  KIOSK_VIRTUAL_UNPLUGGED=/run/unplugged LIBCAMERA_LOG_LEVELS='*:ERROR' \
  nice timeout -k 10 600 python -m pytest -q -s -p no:cacheprovider tests/virtual/picamera2_checks.py
step "The camera works with picamera2"
