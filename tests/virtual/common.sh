# What the scripts of this folder share: throw-away Debian 13 roots, and virtual machines that boot them.
# shellcheck shell=bash
# Sourced by scripts that set -euo pipefail, $here (this folder) and root="" first.
: "${here:?}"

readonly suite=trixie
readonly mirror="${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
folder="${KIOSK_VIRTUAL:-/var/tmp/kiosk-virtual}"
repository="$(cd "$here/../.." && pwd)"

step() { printf '\n== %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Print the comment at the head of the calling script, or refuse what is no option.
read_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      -h | --help)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"
        exit
        ;;
      --folder)
        [ -n "${2:-}" ] || fail "--folder wants a folder"
        folder="$2"
        shift 2
        ;;
      *) fail "$(basename "$0") does not know '$1'; see --help" ;;
    esac
  done
  [ "$(id -u)" -eq 0 ] || fail "want root: it makes roots and changes into them"
  mkdir -p "$folder"
  folder="$(realpath "$folder")"
}

# want TOOL PACKAGE: refuse to start without a tool.
want() { command -v "$1" >/dev/null || fail "want $1: apt-get install -y --no-install-recommends $2"; }

# inside ROOT COMMAND...: run a command in a root, with its own processes and mounts, gone when it ends.
inside() {
  local root="$1"
  shift
  # shellcheck disable=SC2016 # the inner shell expands it
  unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --make-rslave "$0/dev" &&
    mount -t tmpfs tmpfs "$0/run" && exec chroot "$0" "$@"' "$root" \
    env -i PATH=/opt/kiosk/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt "$@"
}

# Copy the checkout as it is into a root, without what git does not know.
copy_checkout() {
  local root="$1"
  rm -rf "$root/srv/kiosk"
  mkdir -p "$root/srv/kiosk"
  # shellcheck disable=SC2016 # the inner shell expands it
  git -c safe.directory="$repository" -C "$repository" ls-files -z --cached --others --exclude-standard |
    (cd "$repository" && xargs -0 sh -c 'for path; do [ ! -f "$path" ] || printf "%s\0" "$path"; done' sh) |
    tar -C "$repository" --null -T - -cf - | tar -C "$root/srv/kiosk" -xf -
}

# make_amd64_root: Debian 13 with libcamera, a kernel, v4l2loopback and the kiosk, in $root; kept for the next time.
make_amd64_root() {
  root="$folder/amd64"
  want debootstrap debootstrap
  if [ ! -e "$root/.is-whole" ]; then
    step "Making a Debian 13 root in $root (about 6 minutes, 3 GB, once)"
    rm -rf "$root"
    nice debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv "$suite" "$root" "$mirror"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt" # a site's own authority, too
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    nice -n 5 timeout -k 10 1800 bash -c "$(declare -f inside); inside \"\$@\"" - "$root" sh -euxc '
      apt-get update -qq
      apt-get install -y -qq --no-install-recommends python3-libcamera libcamera-tools libcamera-ipa python3-numpy \
        python3-prctl libcap-dev python3-dev gcc libc6-dev make kmod busybox-static xz-utils cpio \
        linux-image-amd64 linux-headers-amd64 v4l2loopback-dkms v4l-utils ffmpeg procps util-linux >/dev/null
      python3 -m venv --system-site-packages /opt/kiosk
      /opt/kiosk/bin/pip install -q picamera2 psutil
      apt-get clean'
    touch "$root/.is-whole"
  fi
  copy_checkout "$root"
  step "Installing the kiosk of this checkout"
  nice timeout -k 10 900 bash -c "$(declare -f inside); inside \"\$@\"" - "$root" \
    pip install -q -e '/srv/kiosk[gpio]' pytest
}

# boot SECONDS ROOT COMMAND: run a shell command in a virtual machine on ROOT's own kernel; return its exit code.
# The processor is emulated: nothing here needs KVM, and no time measured inside means much.
boot() {
  local seconds="$1" root="$2" initramfs machine module
  printf '%s\n' "$3" >"$root/srv/command"
  rm -f "$root/srv/result"
  initramfs="$(mktemp -d)"
  mkdir -p "$initramfs"/{bin,dev,proc,sys,mnt}
  cp "$root/usr/bin/busybox" "$initramfs/bin/busybox"
  cp "$here/init" "$initramfs/init"
  chmod +x "$initramfs/init"
  for module in netfs 9pnet 9pnet_virtio 9p; do
    xz -dc "$(find "$root/usr/lib/modules" -name "$module.ko.xz" | sort | tail -n 1)" >"$initramfs/$module.ko"
  done
  (cd "$initramfs" && find . | cpio --quiet -o -H newc | gzip -1) >"$root/srv/initramfs"
  rm -rf "$initramfs"
  if [ -e "$root/usr/bin/x86_64-linux-gnu-gcc" ]; then
    machine=(qemu-system-x86_64 -machine q35 -cpu max)
  else
    machine=(qemu-system-aarch64 -machine virt -cpu cortex-a72)
  fi
  # No console=: the arm64 board names its own, and a PC's first serial port does as the last console named.
  nice timeout -k 5 "$seconds" "${machine[@]}" -accel tcg,thread=multi -m 1536 -smp 2 -nodefaults -display none \
    -serial stdio -no-reboot -kernel "$(find "$root/boot" -name 'vmlinuz-*' | sort | tail -n 1)" \
    -initrd "$root/srv/initramfs" -append "console=ttyS0 console=ttyAMA0 quiet panic=-1" \
    -virtfs "local,path=$root,mount_tag=root,security_model=none" -device virtio-rng-pci </dev/null ||
    fail "the virtual machine did not end within $seconds s"
  [ -s "$root/srv/result" ] || fail "the virtual machine ended without a result"
  return "$(cat "$root/srv/result")"
}

# make_arm64_root: Debian 13 for arm64 with a kernel and what the kiosk imports, in $root; kept for the next time.
# Packages are unpacked and not set up, so nothing of it runs here, and no emulation of single programs is needed.
make_arm64_root() {
  local package
  root="$folder/arm64"
  want debootstrap debootstrap
  if [ ! -e "$root/.is-whole" ]; then
    step "Unpacking a Debian 13 root for arm64 in $root (about 3 minutes, 1 GB, once)"
    rm -rf "$root"
    nice debootstrap --foreign --arch=arm64 --variant=minbase \
      --include=busybox-static,kmod,linux-image-arm64,python3 "$suite" "$root" "$mirror"
    for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    mkdir -p "$root/srv"
    python3 -m venv "$folder/pip"
    # What the tests import, as wheels for the device; the kiosk itself comes with the checkout.
    nice "$folder/pip/bin/pip" install -q --disable-pip-version-check --target "$root/opt/packages" \
      --only-binary=:all: --implementation cp --python-version 3.13 \
      --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
      cryptography gpiod httpx hypothesis numpy onnxruntime opencv-python-headless pillow pytest \
      python-multipart segno simplejpeg sqlite-utils starlette tqdm uvicorn
    touch "$root/.is-whole"
  fi
  copy_checkout "$root"
}
