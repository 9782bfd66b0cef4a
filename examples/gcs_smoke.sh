#!/usr/bin/env bash
# The first run on a real bucket: the three stages on gs://, with what only the real service can show.
#
#   examples/gcs_smoke.sh gs://BUCKET/orchard-smoke
#
# Needs credentials with roles/storage.objectUser on the bucket (see docs/guides/gcs.md), writes about 30 MB
# below the given path and removes it at the end (KEEP=1 leaves it). About five minutes on two cores.
# Without a bucket: python -m tests.gcs_server -- examples/gcs_smoke.sh gs://orchard-test/smoke
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=${1:?usage: examples/gcs_smoke.sh gs://BUCKET/PREFIX}
[[ $BASE == gs://*/* ]] || { echo "error: $BASE is no gs://BUCKET/PREFIX" >&2; exit 1; }
PYTHON=${PYTHON:-.venv/bin/python}
DATA=examples/fashion_mnist
DATASET=$BASE/tfds/fashion/1.0.0
export TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}

headline() { printf '\n== %s\n' "$*"; }
PREP=("$PYTHON" -m data_prep.main --csv=$DATA/train.csv --test_csv=$DATA/test.csv
  --images_dir=$DATA/images --name=fashion --version=1.0.0 --data_dir="$BASE/tfds"
  --eval_fraction=0.1 --hosts=4)

headline "a writer that is killed leaves no dataset"
timeout --signal=KILL 4 "${PREP[@]}" > /dev/null 2>&1 || true
headline "the same command goes on and finishes; once more, and it has nothing to do"
"${PREP[@]}"
"${PREP[@]}" | grep "finished already"

headline "every byte, as the bucket holds it"
"$PYTHON" -m data_prep.verify --dataset="$DATASET"

headline "tfds.load, without any of our code"
(cd / && "$OLDPWD/$PYTHON" -c "
import tensorflow_datasets as tfds
print(len(list(tfds.load('fashion', data_dir='$BASE/tfds', split='train+eval'))), 'records')")

headline "training and ensembling from and to the bucket"
for network in mobilenet mobilenet_v2; do
  "$PYTHON" -m trainer.main --dataset="$DATASET" --run_dir="$BASE/runs/$network" \
    --architecture=$network --image_size=32 --weights=none --batch_size=64 --epochs=1
done
"$PYTHON" -m ensemble.main --members="$BASE/runs/mobilenet,$BASE/runs/mobilenet_v2" \
  --dataset="$DATASET" --split=test --labels_csv=$DATA/test_labels.csv \
  --output_dir="$BASE/ensemble"

if [[ -z ${KEEP:-} ]]; then
  headline "removing $BASE"
  "$PYTHON" -c "import sys; from data_prep import storage; storage.remove_tree(sys.argv[1])" "$BASE"
fi
headline "the bucket works"
