"""Logits of images that the members never trained on: what weights and temperatures are fitted on.

Out of fold (the default): each member's own evaluation split, as its run left it in `eval_logits/`.
A network of folds thus covers all folds, each row judged by the one member that did not see it.
Named split: every member predicts the whole split; a network's members are averaged.
A split that a member trained on is refused: weights fitted there would reward memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.combine import Combiner
from ensemble.members import FoldGroup, Member
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import Logits, RunDir, load_logits, splits_overlap

OUT_OF_FOLD = "OUT_OF_FOLD"


@dataclass(frozen=True)
class HeldOut:
    """Held-out logits of every member, on rows that every network covers.

    Attributes:
        ids: unicode [rows].
        targets: float32 [rows, classes], labeled.
        rows: one int64 array a member: the rows that it predicts.
        logits: one float32 [len(rows of that member), classes] a member.
        networks: which members make up which network.
    """

    ids: np.ndarray
    targets: np.ndarray
    rows: tuple[np.ndarray, ...]
    logits: tuple[np.ndarray, ...]
    networks: tuple[FoldGroup, ...]

    def representations(self, temperatures: np.ndarray, combiner: Combiner) -> np.ndarray:
        """Each network in the space where the combiner averages.

        A network's members are averaged where several predict a row; the combiner is fitted to each
        member's own rows.

        Args:
            temperatures: float64 [members, 1 or classes].
            combiner: of the task.

        Returns:
            float64 [networks, rows, classes].
        """
        result = np.zeros((len(self.networks), *self.targets.shape))
        for at, network in enumerate(self.networks):
            covered = np.zeros((len(self.ids), 1))
            for member in network.members:
                scaled = self.logits[member].astype(np.float64) / temperatures[member]
                result[at, self.rows[member]] += combiner.fitted_to(scaled).represent(scaled)
                covered[self.rows[member]] += 1
            result[at] /= covered
        return result


def out_of_fold(members: Sequence[Member], networks: tuple[FoldGroup, ...]) -> HeldOut:
    """Held-out logits from the runs' own evaluations.

    Raises:
        OrchardError: a member has no evaluation split, trained on it, or lost its logits; or the
            networks share no held-out image.
    """
    tables = []
    for member in members:
        path = RunDir(member.path).eval_logits_file(own_split(member))
        if not storage.exists(path):
            raise OrchardError(
                f"member {member.path}: {path} is missing; train or evaluate it again"
            )
        tables.append(_checked(load_logits(path), member, path))
    return assemble_held_out(tables, members, networks)


def own_split(member: Member) -> str:
    """The split that a member was evaluated on.

    Raises:
        OrchardError: there is none, or it trained on it.
    """
    if not member.eval_split:
        raise OrchardError(
            f"member {member.path} was trained without an evaluation split, so it has no "
            "held-out logits; name a split that no member trained on with --weights_split"
        )
    refuse_leakage([member], member.eval_split)
    return member.eval_split


def refuse_leakage(members: Sequence[Member], split: str) -> None:
    """Raise OrchardError when a member trained on any part of `split`."""
    for member in members:
        both = overlapping(split, member.train_split)
        if both:
            raise OrchardError(
                f"member {member.path} was trained on {both[0]} (its train split is "
                f"{member.train_split}), so weights and temperatures cannot be fitted on {split}; "
                f"use --weights_split={OUT_OF_FOLD} or a split that no member trained on"
            )


def assemble_held_out(
    tables: Sequence[Logits], members: Sequence[Member], networks: tuple[FoldGroup, ...]
) -> HeldOut:
    """Bring the members' tables onto the labeled rows that every network covers, sorted by id."""
    labelled = [_labelled(table) for table in tables]
    covered = [
        {str(i) for member in network.members for i in labelled[member].ids} for network in networks
    ]
    ids = np.array(sorted(set.intersection(*covered)))
    if not len(ids):
        raise OrchardError(
            "the members have no held-out labeled image in common ("
            + ", ".join(f"{m.name}: {m.eval_split}" for m in members[:6])
            + "); train every network on all folds (--fold=all) or on the same fold"
        )
    targets = np.full((len(ids), labelled[0].targets.shape[1]), np.nan, np.float32)
    rows, logits = [], []
    for table, member in zip(labelled, members, strict=True):
        kept = np.isin(table.ids, ids)
        at = np.searchsorted(ids, table.ids[kept])
        known = ~np.isnan(targets[at]).all(axis=1)
        if not np.array_equal(targets[at][known], table.targets[kept][known]):
            raise OrchardError(
                f"member {member.path} has other targets for the same images than the members "
                "before it; train all members on the same dataset"
            )
        targets[at] = table.targets[kept]
        rows.append(at)
        logits.append(table.logits[kept])
    return HeldOut(ids, targets, tuple(rows), tuple(logits), networks)


def check_every_member(held_out: HeldOut, members: Sequence[Member]) -> None:
    """Raise OrchardError when a member predicts none of the rows, so that it has no temperature."""
    for member, rows in zip(members, held_out.rows, strict=True):
        if not len(rows):
            raise OrchardError(
                f"member {member.path}: no network but its own has its held-out images "
                f"({member.eval_split}), so --calibrate cannot fit its temperature; give every "
                "network the same folds"
            )


def _checked(table: Logits, member: Member, path: str) -> Logits:
    if tuple(table.class_names) != member.class_names:
        raise OrchardError(f"{path} holds other classes than its run.json; train the member again")
    if not np.isfinite(table.logits).all():
        bad = table.ids[~np.isfinite(table.logits).all(axis=1)][0]
        raise OrchardError(
            f"member {member.path} gives logits that are not finite for image {str(bad)!r}; its "
            "training has diverged: leave it out"
        )
    return table


def _labelled(table: Logits) -> Logits:
    keep = (table.targets >= 0).all(axis=1)
    return Logits(table.ids[keep], table.logits[keep], table.targets[keep], table.class_names)


def overlapping(splits: str, trained: str) -> list[str]:
    """Which of the splits in "fold0+fold1" may hold records of the splits in `trained`."""
    return sorted(
        split
        for split in held_out_split_names(splits)
        if any(splits_overlap(split, one) for one in held_out_split_names(trained))
    )


def held_out_split_names(splits: str) -> set[str]:
    """The splits in "fold0+fold1"; a slice such as train[:90%] counts as the whole of train."""
    return {part.split("[")[0].strip() for part in splits.split("+")}
