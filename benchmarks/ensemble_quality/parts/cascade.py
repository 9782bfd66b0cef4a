"""The part `cascade`: what a cascade saves, in FLOPs and CPU seconds, and what it loses.

It is searched on half of a pool's test images and scored on the other half, several times. The
images a CPU-second are those of two SavedModels of the same networks, in turn, from JPEG bytes.
"""

import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks.ensemble_quality.parts import PARTS
from benchmarks.ensemble_quality.pools import Pool, pools
from benchmarks.worth.cascades import choose, halves, uniform
from ensemble.cascade import CascadeChoice, Wish
from ensemble.combine import Rule
from ensemble.members import load_members
from ensemble.output import EnsembleModel, save_ensemble
from orchard.formats import tfrecord
from trainer.data import RecordTable, load_records, read_few

_RESPLITS = flags.DEFINE_integer("resplits", 6, "(cascade) Halves of the test images.")
_TIMED = flags.DEFINE_integer("timed_images", 256, "(cascade) Images a timed pass; 0: no times.")
_ROUNDS = 3
_BATCH_SIZE = 64
_WISHES = (Wish(max_loss=0.005), Wish(max_share=0.4))


@PARTS.register("cascade")
def main() -> None:
    """Print a table of what cascades save and lose."""
    print(
        "| networks | flag | used | FLOPs, x fewer | accuracy of all | loss | images a CPU-s, x |\n"
        "|---|---|---|---|---|---|---|"
    )
    for pool in pools():
        count = len(pool.names)
        for networks in (list(range(count)), list(range(count - 3, count))):
            _report(pool.take(networks))


def _report(pool: Pool) -> None:
    for number, wish in enumerate(_WISHES):
        losses, factors, accuracies, used, choice = [], [], [], 0, None
        for seed in range(_RESPLITS.value):
            fit, test = halves(pool.targets, seed)
            found = choose(
                pool.logits[:, fit],
                pool.ids[fit],
                pool.targets[fit],
                pool.flops,
                wish,
                metric="accuracy",
                seed=seed,
            )
            everyone = uniform(len(pool.names))(pool.logits[:, test])
            accuracies.append(_accuracy(everyone, pool.targets[test]))
            if found.found is None:
                losses.append(0.0)
                factors.append(1.0)
                continue
            used, choice = used + 1, choice or found
            cascade = found.found.cascade
            probabilities, left = cascade.staged(pool.logits[:, test])
            losses.append(accuracies[-1] - _accuracy(probabilities, pool.targets[test]))
            spent = np.cumsum([pool.flops[list(one.members)].sum() for one in cascade.stages])
            factors.append(pool.flops.sum() / spent[left].mean())
        # One of the flags is enough: exporting many networks twice takes minutes.
        timed = choice is not None and _TIMED.value and number == 0
        speed = _speed(pool, choice) if timed else ""
        print(
            f"| {pool.name}, {len(pool.names)} networks | `{wish.flag}` | {used} of "
            f"{_RESPLITS.value} | {np.mean(factors):.2f} ({min(factors):.2f} to "
            f"{max(factors):.2f}) | {np.mean(accuracies):.4f} | {np.mean(losses):+.4f} "
            f"({min(losses):+.4f} to {max(losses):+.4f}) | {speed} |",
            flush=True,
        )


def _accuracy(probabilities: np.ndarray, targets: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == targets.argmax(axis=1)).mean())


def _speed(pool: Pool, choice: CascadeChoice) -> str:
    """How many times the images a CPU-second the cascade predicts, median and range of rounds."""
    if choice.found is None:
        raise ValueError("there is a cascade to time")
    records = load_records(pool.dataset, "test")
    jpegs = _jpegs(records, min(_TIMED.value, len(records)))
    with tempfile.TemporaryDirectory(prefix="orchard-cascade-") as folder:
        models = [
            _exported(pool, rule, f"{folder}/{at}")
            for at, rule in enumerate((uniform(len(pool.names)), choice.found.cascade))
        ]
        for model in models:
            _seconds(model, jpegs[:_BATCH_SIZE])  # Traces, and fills caches.
        ratios = []
        for _ in range(_ROUNDS):
            every, ours = (_seconds(model, jpegs) for model in models)
            ratios.append(every / ours)
    return f"{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _exported(pool: Pool, rule: Rule, path: str) -> tf.Module:
    members, _ = load_members(pool.runs)
    names = members[0].class_names
    model = EnsembleModel(members, rule, names, np.full(len(names), 0.5), "none")
    save_ensemble(model, path)
    return tf.saved_model.load(path)


def _jpegs(records: RecordTable, count: int) -> list[bytes]:
    rows = np.linspace(0, len(records) - 1, count).astype(int).tolist()
    return [
        tfrecord.Example(payload).bytes_of(records.image_key) for payload in read_few(records, rows)
    ]


def _seconds(model: tf.Module, jpegs: list[bytes]) -> float:
    """CPU seconds of the process: another program's load does not count."""
    serve = model.signatures["serving_default"]
    start = time.process_time()
    for first in range(0, len(jpegs), _BATCH_SIZE):
        serve(image_bytes=tf.constant(jpegs[first : first + _BATCH_SIZE]))
    return time.process_time() - start
