#!/usr/bin/env bash
# Measure a board with an NVIDIA graphics processor (a Jetson) once and print one table, to be sent back: the
# processor's and the graphics processor's times beside each other, and whether both make the same templates.
#
#   ./benchmarks/gpu.sh [PROVIDERS]
#
# PROVIDERS are onnxruntime's, best first; without any, TensorRT and CUDA are tried one after the other. They need an
# onnxruntime that has them: on a Jetson the wheel of its JetPack, put into .venv of this folder first. No graphics
# processor was at hand when this was written: what it prints on one has not been seen by us.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=firmware_scripts/common.sh
. "$root/firmware_scripts/common.sh"

case "${1:-}" in -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" && exit ;; esac

[ -x "$venv/bin/python" ] || install_into_venv tflite
cd "$root"
for providers in ${1:-CUDAExecutionProvider TensorrtExecutionProvider,CUDAExecutionProvider}; do
  step "Measuring with $providers"
  "$venv/bin/python" -m benchmarks.board --providers "$providers" | tee "$root/board-${providers%%,*}.md"
done
step "Send back the tables above; they are also in $root/board-*.md"
