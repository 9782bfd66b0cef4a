#!/usr/bin/env bash
# Speed of training on one GPU: TensorFlow's runtime, jax's and Keras fit; see benchmarks/gpu.py.
#
#   benchmarks/gpu.sh                    installs into .venv-gpu, then measures for under 8 minutes
#   PIP_OPTIONS='--no-index --find-links=wheels' benchmarks/gpu.sh       without the internet
#   GPU_SH_SMOKE=1 PYTHON=.venv/bin/python benchmarks/gpu.sh     a tiny network on the CPU: a test
#
# Results: gpu_results/table.md and gpu_results/table.json, or in the folder GPU_SH_OUTPUT.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
options=(--output_dir="${GPU_SH_OUTPUT:-gpu_results}")
if [[ ${GPU_SH_SMOKE:-} == 1 ]]; then
  exec "$PYTHON" -m benchmarks.gpu "${options[@]}" --smoke
fi
nvidia-smi -L || { echo "error: nvidia-smi sees no GPU here" >&2; exit 1; }
venv=.venv-gpu
if [[ ! -e $venv/.installed ]]; then
  "$PYTHON" -m venv $venv
  # shellcheck disable=SC2086
  $venv/bin/pip install ${PIP_OPTIONS:-} -c constraints.txt -e '.[gpu]' 'jax[cuda12]'
  touch $venv/.installed
fi
exec $venv/bin/python -m benchmarks.gpu "${options[@]}"
