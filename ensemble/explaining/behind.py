"""Which runs are behind a model, and what they were trained on."""

from collections.abc import Sequence

import numpy as np

from ensemble.explaining.explainer import shown_members
from ensemble.explaining.photos import Photos, RecordPhotos
from ensemble.fitting import overlapping
from ensemble.members import Member, load_members
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import EnsembleDir, EnsembleRecord, RunDir
from trainer.data import RecordTable, load_records, set_gcs_read_options


def members_behind(path: str) -> tuple[list[Member], list[str]]:
    """The runs behind a model, those to show, and what to say where there are none.

    Raises:
        OrchardError: a run is not the one that the ensemble was made of.
    """
    for folder in (path.rstrip("/"), *_parents(path)):
        if storage.exists(RunDir(folder).record_file):
            return list(load_members([folder]).members), []
        if storage.exists(EnsembleDir(folder).record_file):
            record = EnsembleRecord.load(EnsembleDir(folder).record_file)
            break
    else:
        return [], ["No run is known to be behind this model: it is asked as a whole."]
    used = [one for one in record.members if one.weight > 0]
    gone = [one.path for one in used if not storage.exists(RunDir(one.path).record_file)]
    if gone:
        return [], [
            f"The runs of this ensemble are not there ({gone[0]}, ...): it is asked as a whole, "
            "without its members, and without neighbors."
        ]
    cast = load_members([one.path for one in used])
    for member, one in zip(cast.members, used, strict=True):
        if member.fingerprint != one.fingerprint:
            raise OrchardError(
                f"member {one.path} is not the network that the ensemble in {folder} was made of "
                "(its fingerprint differs); make the ensemble again"
            )
    shown = shown_members(cast.networks, np.array([one.weight for one in used]))
    left = len(used) - len(shown)
    return [cast.members[at] for at in shown], (
        [f"{left} more members of the ensemble are not shown."] if left else []
    )


def _parents(path: str) -> list[str]:
    """The folders around a saved_model where a record may lie: a server's are three deep."""
    first = storage.parent(path.rstrip("/"))
    second = storage.parent(first)
    return [first, second, storage.parent(second)]


def trained_on(members: Sequence[Member], photos: Photos, split: str) -> list[str]:
    """Names of the members that were trained on images of this split."""
    if not isinstance(photos, RecordPhotos):
        return []
    return [
        member.name
        for member in members
        if member.dataset_fingerprint == photos.records.fingerprint
        and overlapping(split, member.train_split)
    ]


def training_records(member: Member, photos: Photos, given: str) -> RecordTable | None:
    """What a member was trained on; None: it is not where the run found it any more.

    Args:
        member: the member.
        photos: what is explained.
        given: `--dataset`, which counts unless it is that of other photos; may be empty.

    Raises:
        OrchardError: the dataset is another one, or there is none at the place that was given.
    """
    # A split of other images; theirs is where the run found it.
    others = (
        isinstance(photos, RecordPhotos)
        and photos.records.fingerprint != member.dataset_fingerprint
    )
    dataset = "" if others else given
    dataset = dataset or member.dataset_path
    if not storage.exists(dataset):
        if given == dataset:
            raise OrchardError(f"--dataset={dataset} does not exist; correct it, or drop it")
        return None
    set_gcs_read_options(dataset)
    records = load_records(dataset, member.train_split)
    if records.fingerprint != member.dataset_fingerprint:
        raise OrchardError(
            f"{dataset} has the fingerprint {records.fingerprint[:12]}, but member {member.path} "
            f"was trained on {member.dataset_fingerprint[:12]}; give that one with --dataset, or "
            "pass --neighbors=0"
        )
    return records
