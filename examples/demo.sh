#!/usr/bin/env bash
# The main job on real images: CSV + JPEGs -> shards -> three networks -> ensemble -> predictions.
# Re-run it after an interruption: every command goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA=examples/fashion_mnist
OUT=${1:-demo_output}
PYTHON=${PYTHON:-.venv/bin/python}
NETWORKS=(vgg_small resnet9 wide_resnet10_2)

step() { # Show the command as a user would type it, then run it.
  printf '\n$ python %s\n' "$*"
  "$PYTHON" "$@"
}

step -m data_prep.main --csv=$DATA/train.csv --test_csv=$DATA/test.csv --images_dir=$DATA/images \
  --name=fashion --version=1.0.0 --data_dir="$OUT/data" --eval_fraction=0.1

for network in "${NETWORKS[@]}"; do
  step -m trainer.main --flagfile="examples/recipes/demo_$network.flags" \
    --dataset="$OUT/data/fashion/1.0.0" --run_dir="$OUT/runs/$network"
done

members=$(printf ",$OUT/runs/%s" "${NETWORKS[@]}")
step -m ensemble.main --members="${members:1}" --dataset="$OUT/data/fashion/1.0.0" --split=test \
  --labels_csv=$DATA/test_labels.csv --output_dir="$OUT/ensemble"
