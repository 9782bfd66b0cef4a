"""Weights that no training left, such as the mean of several: scored, and written as a run.

BatchNorm statistics of such weights are nobody's: they are estimated from training images, as those
of short trainings are.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    NO_SPLIT,
    RunDir,
    RunRecord,
    SoupRecord,
    TrainedDataset,
    TrainingCost,
    json_safe,
    load_logits,
    save_logits,
    total_images,
    total_time,
)
from trainer.config import TrainConfig
from trainer.data import load_records, set_gcs_read_options
from trainer.evaluation import Diverged, evaluate, intact_rows
from trainer.models import batch_norm, forward_flops
from trainer.results import export, report
from trainer.results.finish import export_network, versions
from trainer.runtime import Accelerator
from trainer.training import Evaluation, Feed, Moments, Splits, check_same_data, make_plan


class WeightsTrial:
    """A finished run's network, to try other weights in; on one device, in float32.

    Args:
        run_dir: of the run, whose settings hold for all weights.
        dataset: where its dataset is.
        eval_split: what to score on; None: nothing.

    Attributes:
        record: of the run.
        records: the images to score on; None: there are none.

    Raises:
        OrchardError: the run's network cannot be loaded, or the dataset is another one.
    """

    def __init__(self, run_dir: str, dataset: str, eval_split: str | None):
        self.record = RunRecord.load(RunDir(run_dir).record_file)
        config = TrainConfig.from_json(self.record.config)
        size = "x".join(map(str, self.record.image_size_px))
        self.config = dataclasses.replace(config, dataset=dataset, image_size=size)
        set_gcs_read_options(dataset)
        train_records = load_records(dataset, self.record.train_split)
        check_same_data(run_dir, self.record.dataset.fingerprint, train_records)
        self.records = load_records(dataset, eval_split) if eval_split else None
        accelerator = Accelerator("cpu", tf.distribute.get_strategy())
        splits = Splits(self.record.train_split, eval_split or NO_SPLIT)
        plan = make_plan(self.config, splits, len(train_records), accelerator.num_replicas)
        feed = Feed(self.config, accelerator, plan, train_records)
        self.network = export.load_network(RunDir(run_dir))
        self.weights = self.network.get_weights()
        frozen = self.config.batch_norm == "frozen"
        layers = [] if frozen else batch_norm.layers_of(self.network)
        self._moments = Moments(self.network, layers, feed) if layers else None
        self._evaluation = None
        if self.records is not None:
            self._evaluation = Evaluation(
                self.network,
                accelerator,
                self.records,
                feed.input_options,
                plan.eval_batch_size,
            )

    def take(self, weights: Sequence[np.ndarray], *, reestimate: bool) -> None:
        """Give the network weights, and BatchNorm statistics that fit them.

        Args:
            weights: of `network.weights`, in their order.
            reestimate: whether to estimate the statistics anew; else those given are kept.
        """
        self.network.set_weights(list(weights))
        if reestimate and self._moments is not None:
            self._moments.estimate()

    def logits(self) -> np.ndarray:
        """Of `records`, by the network as it is: float32 [records, classes]; NaN: damaged ones."""
        if self._evaluation is None:
            raise ValueError("there is no split to score on")
        try:
            scores = self._evaluation.scores(lambda: True)
        except Diverged:
            raise OrchardError("the mean of these weights gives no numbers; leave some out") from (
                None
            )
        assert scores is not None  # Nobody stops it.
        return scores.logits


def write_averaged(
    trial: WeightsTrial,
    logits: np.ndarray | None,
    soup: SoupRecord,
    ingredients: Sequence[RunRecord],
    train_split: str,
    output: RunDir,
) -> RunRecord:
    """Write what a trial's network holds as a run directory; `run.json` last.

    Args:
        trial: holds the weights.
        logits: of `trial.records`; None without any.
        soup: how the weights came about.
        ingredients: the runs that they came from, each once.
        train_split: what these were trained on, together.
        output: where to.
    """
    storage.remove_tree(output.record_file)
    first, records = trial.record, trial.records
    split = None if records is None else "+".join(records.splits)
    config = dataclasses.replace(trial.config, run_dir=output.path)
    dataset = TrainedDataset(
        first.dataset.name,
        first.dataset.version,
        first.dataset.fingerprint,
        first.class_names,
        first.task,
    )
    fingerprint = export_network(trial.network, config, dataset, output)
    scored, scores, skipped = None, {}, 0
    if records is not None and logits is not None and split:
        intact = np.flatnonzero(intact_rows(logits))
        records, skipped = records.take(intact), len(logits) - len(intact)
        path = output.eval_logits_file(split)
        save_logits(path, records.ids, logits[intact], records.targets, records.class_names)
        scored = load_logits(path)
        scores = json_safe(evaluate(scored.logits, scored.targets, first.task))
    costs = [one.cost for one in ingredients]
    record = dataclasses.replace(
        first,
        train_split=train_split,
        eval_split=split,
        best_step=max(one.step for one in soup.ingredients),
        best_metric="",
        scores=scores,
        skipped_records=skipped,
        dataset=dataclasses.replace(first.dataset, path=trial.config.dataset),
        member_fingerprint=fingerprint,
        versions=versions(),
        config=config.to_json(),
        cost=TrainingCost(
            time=total_time([one.time if one else None for one in costs]),
            train_images=total_images(costs),
            flops_per_image=forward_flops(trial.network),
            num_parameters=trial.network.count_params(),
        ),
        soup=soup,
    )
    storage.write_json(output.config_file, config.to_json())
    report.write(output.path, record, records, scored)
    record.save(output.record_file)
    return record
