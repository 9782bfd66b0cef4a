"""Distillation: probabilities from other networks, mixed into the targets.

The winner of Plant Pathology 2020 trained again on a mix of labels and the out-of-fold predictions
of an ensemble (ant-research/cvpr2020-plant-pathology). The CSV is what `ensemble.main` writes: a
column of ids and one column of probabilities a class, by name.
"""

import io

import numpy as np
import pandas as pd

from orchard import storage
from orchard.errors import OrchardError, in_one_line
from trainer.data.options import DatasetOptions
from trainer.data.records import RecordTable


def mix_soft_labels(options: DatasetOptions, records: RecordTable) -> np.ndarray:
    """float32 [n, num_classes]: (1 - weight) * targets + weight * soft labels.

    Raises:
        OrchardError: a class column or a training id is missing, or a value is not in 0..1.
    """
    soft = read(options.soft_labels, records.ids, records.class_names)
    weight = options.soft_labels_weight
    return ((1 - weight) * records.targets + weight * soft).astype(np.float32)


def read(path: str, ids: np.ndarray, class_names: tuple[str, ...]) -> np.ndarray:
    """The probabilities of `ids` in their order, float32 [n, num_classes]."""
    try:
        # As they are written: 0001 and NA are ids.
        content = io.BytesIO(storage.read_bytes(path))
        table = pd.read_csv(content, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise OrchardError(f"{path} is no CSV: {in_one_line(error)}") from error
    missing = [name for name in class_names if name not in table.columns]
    others = [name for name in table.columns if name not in class_names]
    if missing or len(others) != 1:
        raise OrchardError(
            f"{path}: expected one column of ids and the columns {', '.join(class_names)}; found "
            f"{', '.join(map(str, table.columns))}"
        )
    table = table.set_index(table[others[0]])
    if table.index.has_duplicates:
        raise OrchardError(f"{path}: id {table.index[table.index.duplicated()][0]!r} appears twice")
    unknown = [image_id for image_id in ids if image_id not in table.index]
    if unknown:
        raise OrchardError(
            f"{path} has no row for {len(unknown)} of {len(ids)} training records, such as id "
            f"{str(unknown[0])!r}; predict all of them first"
        )
    cells = table.loc[list(ids), list(class_names)].apply(pd.to_numeric, errors="coerce")
    values = cells.to_numpy(np.float32)
    wrong = np.flatnonzero(~np.all((values >= 0) & (values <= 1), axis=1))
    if len(wrong):
        raise OrchardError(f"{path}: the row of id {str(ids[wrong[0]])!r} is not in 0..1")
    return values
