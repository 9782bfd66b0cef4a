"""The features of records: from the cache, or from the backbone, shard by shard."""

import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.flags import select
from orchard.formats import fold_number, repeat_and_fold
from orchard.parallel import in_parallel
from trainer.augment import augment_batch
from trainer.config import TrainConfig
from trainer.data import (
    InputOptions,
    RecordTable,
    ViewDraw,
    damage_named,
    eval_batches,
    load_records,
    split_names,
    view_batches,
)
from trainer.evaluation import RowOutputs
from trainer.features.backbone import Backbone
from trainer.features.cache import Draw, FeatureCache, FeatureView
from trainer.keras_module import keras
from trainer.runtime import Accelerator, any_worker


@dataclass(frozen=True)
class FeatureSource:
    """Gives features, and keeps them.

    Attributes:
        config: the flags.
        accelerator: the devices.
        backbone: what gives the features.
        directory: of the cache.
    """

    config: TrainConfig
    accelerator: Accelerator
    backbone: Backbone
    directory: str

    @property
    def batch_size(self) -> int:
        """Images at a time, over all replicas."""
        replicas = self.accelerator.num_replicas
        return -(-self.config.global_batch_size(replicas) // replicas) * replicas

    def features(
        self, records: RecordTable, view: int, go_on: Callable[[], bool]
    ) -> np.ndarray | None:
        """Float32 [n, num_features] of the records in one view; None where `go_on` says no.

        Shards are computed and kept whole, though the records may be some of theirs (those of a
        further repeat's folds). The rows of damaged records, where they are skipped, are NaN.

        Args:
            records: of some splits.
            view: 0: images as they are; else augmented as that epoch of a training draws them.
            go_on: asked after each batch.
        """
        table = self._whole_splits(records)
        draw = None
        if view:
            splits = "+".join(table.splits)
            draw = Draw(self.config.seed, view, splits, self.config.augment.flags())
        cache = FeatureCache(self.directory, self._view(records, draw))
        used = {records.files[at] for at in np.unique(records.file_index)}
        shards = [
            (path, np.flatnonzero(table.file_index == at))
            for at, path in enumerate(table.files)
            if path in used
        ]

        def load(shard: tuple[str, np.ndarray]) -> np.ndarray | None:
            path, rows = shard
            return cache.load(path, table.ids[rows], self.config.tolerant)

        found = (
            in_parallel(load, shards) if storage.is_remote(self.directory) else map(load, shards)
        )
        features: dict[str, np.ndarray] = {}
        for (path, rows), part in zip(shards, found, strict=True):
            # One worker may not see yet what another has written, and they compute together.
            missing = any_worker(part is None, self.accelerator)
            if part is None or missing:
                part = self._computed(table, rows, draw, go_on)
                if part is None:
                    return None
                if self.accelerator.is_chief:
                    cache.save(path, table.ids[rows], part)
            features.update(zip(table.ids[rows].tolist(), part, strict=True))
        return np.stack([features[image_id] for image_id in records.ids.tolist()])

    def _whole_splits(self, records: RecordTable) -> RecordTable:
        """The splits with all records of the shards in question; of folds, all of them.

        A record is drawn by its row there: that of a training on all folds, so that the folds'
        runs share their views.
        """
        has_folds = any(repeat_and_fold(name) is not None for name in records.splits)
        whole = [
            name
            for name in split_names(self.config.dataset)
            if name in records.splits or (has_folds and fold_number(name) is not None)
        ]
        return load_records(self.config.dataset, "+".join(whole))

    def _view(self, records: RecordTable, draw: Draw | None) -> FeatureView:
        config = self.config
        return FeatureView(
            backbone=self.backbone.fingerprint,
            dataset=records.fingerprint,
            image_size_px=(config.height_px, config.width_px),
            resize=config.resize,
            exact_decode=config.exact_decode,
            precision=self.accelerator.precision(config),
            device_kind=self.accelerator.kind,
            versions=self._versions,
            draw=draw,
        )

    def _computed(
        self,
        table: RecordTable,
        rows: np.ndarray,
        draw: Draw | None,
        go_on: Callable[[], bool],
    ) -> np.ndarray | None:
        """Of one shard, whose batches hold nothing else: a resumed run computes the same bits."""
        config, options, records = self.config, self._input_options, table.take(rows)

        def batches(num_hosts: int, host: int) -> tf.data.Dataset:
            share = {"batch_size": self.batch_size, "num_hosts": num_hosts, "host": host}
            if draw is None:
                return eval_batches(records, options, **share)
            drawn = ViewDraw(draw.seed, draw.epoch, rows, config.augment)
            return view_batches(records, options, drawn, **share)

        outputs = self._plain if draw is None else self._augmented
        with damage_named(records, options):
            given = self.accelerator.runtime.distribute(batches, outputs.needs)
            return outputs.rows(len(records), given, go_on)

    @property
    def _versions(self) -> dict[str, str]:
        """Of what computes: jax does not give the last bits that TensorFlow gives."""
        found = {"tensorflow": tf.__version__, "keras": keras.__version__}
        if self.accelerator.mesh is not None:
            found["jax"] = importlib.metadata.version("jax")
        return found

    @functools.cached_property
    def _input_options(self) -> InputOptions:
        return select(InputOptions, self.config)

    @functools.cached_property
    def _plain(self) -> RowOutputs:
        return RowOutputs(self.backbone.network, self.accelerator)

    @functools.cached_property
    def _augmented(self) -> RowOutputs:
        options = self.config.augment
        return RowOutputs(
            self.backbone.network,
            self.accelerator,
            lambda batch: augment_batch(batch["image"], batch["augment"], options),
            needs=("image", "augment"),
        )
