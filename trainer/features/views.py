"""The features of records: from the cache, or from the backbone, shard by shard."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from orchard import storage
from orchard.flags import select
from orchard.formats import fold_number
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
from trainer.runtime import Accelerator, precision_policy


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

        The rows of damaged records, where they are skipped, are NaN.

        Args:
            records: all of some splits.
            view: 0: images as they are; else augmented as that epoch of a training draws them.
            go_on: asked after each batch.
        """
        draw = self._draw(records, view) if view else None
        gids = self._gids(records, draw) if draw else None
        cache = FeatureCache(self.directory, self._view(records, draw))
        shards = [
            (path, rows)
            for at, path in enumerate(records.files)
            if len(rows := np.flatnonzero(records.file_index == at))
        ]

        def load(shard: tuple[str, np.ndarray]) -> np.ndarray | None:
            path, rows = shard
            return cache.load(path, records.ids[rows], self.config.tolerant)

        found = (
            in_parallel(load, shards) if storage.is_remote(self.directory) else map(load, shards)
        )
        parts = []
        for (path, rows), part in zip(shards, found, strict=True):
            if part is None:
                drawn_as = None if gids is None else gids[rows]
                part = self._computed(records.take(rows), draw, drawn_as, go_on)
                if part is None:
                    return None
                cache.save(path, records.ids[rows], part)
            parts.append(part)
        return np.concatenate(parts)

    def _view(self, records: RecordTable, draw: Draw | None) -> FeatureView:
        config = self.config
        return FeatureView(
            backbone=self.backbone.fingerprint,
            dataset=records.fingerprint,
            image_size_px=(config.height_px, config.width_px),
            resize=config.resize,
            exact_decode=config.exact_decode,
            precision=precision_policy(config, self.accelerator.kind),
            device_kind=self.accelerator.kind,
            versions={"tensorflow": tf.__version__, "keras": keras.__version__},
            draw=draw,
        )

    def _draw(self, records: RecordTable, epoch: int) -> Draw:
        """Of a training on all folds where these are folds: so that all folds share their views."""
        splits = records.splits
        if all(fold_number(name) is not None for name in splits):
            names = split_names(self.config.dataset)
            splits = tuple(name for name in names if fold_number(name) is not None)
        return Draw(self.config.seed, epoch, "+".join(splits), self.config.augment.flags())

    def _gids(self, records: RecordTable, draw: Draw) -> np.ndarray:
        """The records' rows in the table that they are drawn by."""
        table = load_records(self.config.dataset, draw.splits)
        row_of = {image_id: row for row, image_id in enumerate(table.ids.tolist())}
        return np.array([row_of[image_id] for image_id in records.ids.tolist()])

    def _computed(
        self,
        records: RecordTable,
        draw: Draw | None,
        gids: np.ndarray | None,
        go_on: Callable[[], bool],
    ) -> np.ndarray | None:
        """Of one shard, whose batches hold nothing else: a resumed run computes the same bits."""
        config, options = self.config, self._input_options

        def batches(num_hosts: int, host: int) -> tf.data.Dataset:
            share = {"batch_size": self.batch_size, "num_hosts": num_hosts, "host": host}
            if draw is None or gids is None:
                return eval_batches(records, options, **share)
            drawn = ViewDraw(draw.seed, draw.epoch, gids, config.augment)
            return view_batches(records, options, drawn, **share)

        outputs = self._plain if draw is None else self._augmented
        with damage_named(records, options):
            return outputs.rows(len(records), batches, go_on)

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
        )
