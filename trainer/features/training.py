"""A run of --features=frozen: features, then a head on them; it takes the place of the steps.

It leaves what a training leaves, of which `trainer.results` makes the exports: config.json, the
network's layers, and checkpoints. Its one "step" is the solution for all rows at once.
"""

from collections.abc import Callable

import numpy as np

from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    EVAL_LOGITS,
    LAST_STEP,
    DecayTried,
    Resolved,
    SolvedHead,
    TrainingCheckpoint,
    TrainingMeta,
    TrainingProgress,
    WeightsCheckpoint,
    WeightsMeta,
)
from orchard.progress import Progress
from trainer.checkpoints import network_arrays, save_best_checkpoint, save_checkpoint
from trainer.config import TrainConfig
from trainer.data import RecordTable, load_records, mix_soft_labels
from trainer.evaluation import evaluate, intact_rows
from trainer.features.backbone import Backbone, load_backbone
from trainer.features.cache import cache_directory
from trainer.features.views import FeatureSource
from trainer.heads import (
    HEADS,
    Choice,
    DenseLayer,
    FeatureRows,
    Head,
    HeadLoss,
    choose_head,
    inner_folds,
)
from trainer.loggers import LoggedRun, Loggers
from trainer.models import backbone_fingerprint
from trainer.optim import class_weights
from trainer.runtime import Accelerator, StopRequests, check_pod
from trainer.saved_config import SavedConfig
from trainer.training import (
    ComputeClock,
    Splits,
    check_not_begun_otherwise,
    continuation_lines,
    read_splits,
    save_network_graph,
    trained_dataset,
)

_STEP = 1


def train_head(
    config: TrainConfig,
    accelerator: Accelerator,
    stop: StopRequests,
    check_lock: Callable[[], None],
    loggers: Loggers,
) -> bool:
    """Compute the features that are not there, and solve the head; False where asked to stop.

    Args:
        config: with frozen features.
        accelerator: what runs the backbone.
        stop: the requests.
        check_lock: raises where another process has the run directory by now.
        loggers: are told the scores.
    """
    clock = ComputeClock(accelerator)
    directory = cache_directory(config.run_dir, config.feature_cache)
    check_pod(accelerator, {"feature_cache": directory}, config)
    storage.check_writable(directory)
    splits, train, held_out = read_splits(config)
    backbone = load_backbone(config, accelerator)
    source = FeatureSource(config, accelerator, backbone, directory)
    saved = SavedConfig(config, _resolved(source, splits, len(train)))
    check_not_begun_otherwise(saved, train)
    if accelerator.is_chief:
        print("\n".join(_opening_lines(source, splits, train, held_out)))
    views = _features(source, train, range(config.feature_views), stop)
    evaluated = _features(source, held_out, range(1), stop) if held_out is not None else []
    if views is None or evaluated is None:
        if accelerator.is_chief:
            print(f"stopped ({stop.reason}): run the same command again to go on")
        return False
    if not accelerator.is_chief:  # It solves the head, and the others wait for it.
        return True
    check_lock()
    loggers.begin(LoggedRun(config.run_dir, config.flags(), 0, _STEP, stop.note))
    head = HEADS[config.head](backbone.num_features, len(train.class_names), config.seed)
    rows = _rows(config, train, views)
    choice = choose_head(head, _loss(config, train), rows)
    solved = _describe(config, backbone, rows, head, choice)
    print(_closing_line(solved))
    network = backbone.with_head(_on_raw_features(head, choice))
    arrays, scores = network_arrays(network), {}
    if held_out is not None:
        logits = _logits(head, choice, evaluated[0])
        intact = intact_rows(logits)
        if not intact.any():
            raise OrchardError(f"all records of {splits.evaluate} are damaged; prepare them again")
        scores = evaluate(logits[intact], held_out.targets[intact], held_out.task)
        arrays = {EVAL_LOGITS: logits, **arrays}
        loggers.log("eval", _STEP, {**scores, "best": True})
        loggers.flush()
    check_lock()
    saved.save()
    save_network_graph(config.run_dir, config, network)
    weights = WeightsCheckpoint(_STEP, arrays, WeightsMeta(scores, solved))
    save_best_checkpoint(config.run_dir, weights)
    progress = TrainingProgress(
        step=_STEP, best_step=_STEP, evaluations=[{"step": _STEP, **scores}], finished=True
    )
    dataset = trained_dataset(config, train)
    start = backbone_fingerprint(network)  # A frozen backbone ends where it starts.
    meta = TrainingMeta(config.to_json(), saved.resolved, dataset, progress, clock.time(), start)
    save_checkpoint(config.run_dir, TrainingCheckpoint(_STEP, {}, meta), config.keep_checkpoints)
    return True


def _features(
    source: FeatureSource, records: RecordTable, views: range, stop: StopRequests
) -> list[np.ndarray] | None:
    """The features of each view; None where asked to stop."""
    found = []
    for view in views:
        total = -(-len(records) // source.batch_size)
        name = f"features of {'+'.join(records.splits)}, view {view}"
        # A bar for what takes long; nothing flashes by for what is in the cache.
        hidden = not source.config.progress
        with Progress(desc=name, total=total, unit=" batches", delay=2, disable=hidden) as bar:

            def go_on(bar: Progress = bar) -> bool:
                bar.update()
                return not stop.requested()

            features = source.features(records, view, go_on)
        if features is None:
            return None
        found.append(features)
    return found


def _rows(config: TrainConfig, records: RecordTable, views: list[np.ndarray]) -> FeatureRows:
    """What the head learns from: the records that could be read."""
    intact = np.flatnonzero(np.logical_and.reduce([intact_rows(view) for view in views]))
    if not len(intact):
        raise OrchardError(
            f"all records of {'+'.join(records.splits)} are damaged; prepare the dataset again"
        )
    targets = mix_soft_labels(config, records) if config.soft_labels else records.targets
    split_of = {
        image_id: number
        for number, split in enumerate(records.splits)
        for image_id in load_records(config.dataset, split).ids.tolist()
    }
    groups = inner_folds(records.ids, np.array([split_of[i] for i in records.ids.tolist()]))
    return FeatureRows(tuple(view[intact] for view in views), targets[intact], groups[intact])


def _loss(config: TrainConfig, records: RecordTable) -> HeadLoss:
    weights = class_weights(config.class_weights, records.targets, records.task)
    return HeadLoss(records.task, config.label_smoothing, weights)


def _on_raw_features(head: Head, choice: Choice) -> list[DenseLayer]:
    """The head's layers for features as they come: the standardization is in the first of them."""
    first, *others = head.layers(choice.parameters)
    kernel = first.kernel / choice.scale[:, None]
    folded = first._replace(kernel=kernel, bias=first.bias - choice.mean @ kernel)
    return [folded, *others]


def _logits(head: Head, choice: Choice, features: np.ndarray) -> np.ndarray:
    standardized = (features - choice.mean) / choice.scale
    return head.logits(choice.parameters, standardized).astype(np.float32)


def _describe(
    config: TrainConfig, backbone: Backbone, rows: FeatureRows, head: Head, choice: Choice
) -> SolvedHead:
    return SolvedHead(
        kind=config.head,
        num_features=backbone.num_features,
        feature_views=config.feature_views,
        weight_decay=choice.decay,
        inner_folds=min(head.max_held_out, len(np.unique(rows.groups))),
        tried=tuple(
            DecayTried(decay, loss if np.isfinite(loss) else None)
            for decay, loss in sorted(choice.losses.items())
        ),
        backbone=backbone.fingerprint,
    )


def _resolved(source: FeatureSource, splits: Splits, num_records: int) -> Resolved:
    config = source.config
    return Resolved(
        train_split=splits.train,
        eval_split=splits.evaluate,
        batch_size=num_records * config.feature_views,
        eval_batch_size=source.batch_size,
        learning_rate=0.0,
        warmup_steps=0.0,
        total_steps=_STEP,
        image_size=f"{config.height_px}x{config.width_px}",
        precision=source.accelerator.precision(config),
        best_metric=LAST_STEP,
        order="none",
    )


def _opening_lines(
    source: FeatureSource, splits: Splits, train: RecordTable, held_out: RecordTable | None
) -> list[str]:
    """Devices, network, records and classes, and where the features are kept."""
    config, features = source.config, source.backbone.num_features
    others = config.feature_views - 1
    views = f", as they are and in {others} augmented views" if others else ""
    lines = [
        f"{config.architecture} at {config.height_px}x{config.width_px} px on "
        f"{source.accelerator.describe()}, frozen: {features} features",
        f"a head ({config.head}) on {len(train)} records of {splits.train}{views}, "
        f"{len(train.class_names)} classes ({train.task})",
        f"features are kept in {source.directory}",
    ]
    if held_out is None:
        lines[1] += "; nothing is held out, there are no scores"
    else:
        lines[1] += f"; {len(held_out)} of {splits.evaluate} are held out"
    return lines + continuation_lines(config, train)


def _closing_line(solved: SolvedHead) -> str:
    losses = {one.weight_decay: one.log_loss for one in solved.tried}
    best = losses[solved.weight_decay]
    if best is None:
        return f"weight decay {solved.weight_decay:g}: there is nothing to choose it by"
    return (
        f"weight decay {solved.weight_decay:g} of {len(losses)} tried: the lowest loss "
        f"({best:.4f}) on {solved.inner_folds} inner folds of the training records"
    )
