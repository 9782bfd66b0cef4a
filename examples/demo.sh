#!/usr/bin/env bash
# The main job on real images: CSV + JPEGs -> shards -> three networks -> ensemble -> predictions.
# Re-run it after an interruption: every command goes on where it stopped.
#
#   examples/demo.sh [--quick] [OUTPUT_FOLDER]
#
# --quick: two networks, one epoch, 380 images. It shows that everything works, and no score.
set -euo pipefail
cd "$(dirname "$0")/.."

DATA=examples/fashion_mnist
PYTHON=${PYTHON:-.venv/bin/python}
if [[ ${1:-} == --quick ]]; then
  OUT=${2:-demo_quick_output}
  NETWORKS=(vgg_small resnet9)
  SHORTER=(--epochs=1 --num_evals=1 --warmup_steps=0)
  TABLES=$OUT/tables
  mkdir -p "$TABLES"
  for table in train:320 test:60 test_labels:60; do
    head -n $((${table#*:} + 1)) "$DATA/${table%:*}.csv" > "$TABLES/${table%:*}.csv"
  done
else
  OUT=${1:-demo_output}
  NETWORKS=(vgg_small resnet9 wide_resnet10_2)
  SHORTER=()
  TABLES=$DATA
fi

step() { # Show the command as a user would type it, then run it.
  printf '\n$ python %s\n' "$*"
  "$PYTHON" "$@"
}

step -m data_prep.main --csv="$TABLES/train.csv" --test_csv="$TABLES/test.csv" --images_dir=$DATA/images \
  --name=fashion --version=1.0.0 --data_dir="$OUT/data" --eval_fraction=0.1

for network in "${NETWORKS[@]}"; do
  step -m trainer.main --flagfile="examples/recipes/demo_$network.flags" \
    --dataset="$OUT/data/fashion/1.0.0" --run_dir="$OUT/runs/$network" "${SHORTER[@]}"
done

members=$(printf ",$OUT/runs/%s" "${NETWORKS[@]}")
step -m ensemble.main --members="${members:1}" --dataset="$OUT/data/fashion/1.0.0" --split=test \
  --labels_csv="$TABLES/test_labels.csv" --output_dir="$OUT/ensemble"
