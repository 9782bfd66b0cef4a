"""Where a dataset grows until it is whole: what local disks and gs:// have in common.

A `Staging` names the places. Its lock keeps out other writers on this machine and gives a `Claim`,
which keeps out those on other machines, too, and gives the `Publisher`.
"""

import abc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from data_prep.plan import PlannedShard
from data_prep.shard import Receipt


class Publisher(abc.ABC):
    """Turns finished shards into a published dataset.

    Attributes:
        shards_dir: where shards are that `publish` has handed on.
    """

    shards_dir: str

    @property
    @abc.abstractmethod
    def is_finished(self) -> bool:
        """Whether a dataset of this name and version is published already."""

    @abc.abstractmethod
    def remove_finished(self) -> None:
        """Unpublish the dataset, if its replacement is not atomic."""

    @abc.abstractmethod
    def take_over(self, shards: Sequence[PlannedShard], base_dir: str) -> None:
        """Make shards of the version in `base_dir` the dataset's own, without a worker.

        What is there already stays; nothing of the older version is changed.

        Raises:
            OrchardError: a shard is missing there, or is not what its manifest says.
        """

    @abc.abstractmethod
    def written(self, shards: Sequence[PlannedShard]) -> dict[str, Receipt]:
        """By file, the receipts of shards that workers wrote, whole and as planned."""

    @abc.abstractmethod
    def max_ahead(self, workers: int) -> int | None:
        """How many shards may be begun and not yet published; None: any number."""

    @abc.abstractmethod
    def publish(self, receipts: Iterator[Receipt], workers: int) -> Iterator[Receipt]:
        """Bring shards that workers have written to `shards_dir`; hands their receipts on."""

    @abc.abstractmethod
    def commit(self, files: dict[str, bytes], shards: Sequence[str], overwrite: bool) -> None:
        """Write the metadata `files` and publish; `features.json` is the last of them.

        Raises:
            OrchardError: another writer has published something since `claim`.
        """


# Takes whether a published dataset may be replaced; raises an OrchardError where another writer is
# at work or something else is in the way.
Claim = Callable[[bool], Publisher]


class Staging(abc.ABC):
    """The places of one dataset while it is written.

    Attributes:
        final_dir: where the dataset will be.
        root: where everything lies that is gone once it is finished.
        files_dir, receipts_dir: where the workers write shards and receipts.
        spool_path: a local file for the bytes of small images, there while the lock is held.
    """

    final_dir: str
    root: str
    files_dir: str
    receipts_dir: str
    spool_path: str

    @abc.abstractmethod
    def lock(self) -> AbstractContextManager[Claim]:
        """Keep other writers of this dataset out while the block runs, and make the directories.

        What this gives also keeps out writers on other machines, once it is called; that may take
        a while, in which the workers can check images: what they do until then is local.

        Raises:
            OrchardError: another writer is at work.
        """
