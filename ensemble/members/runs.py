"""Trained runs as members of an ensemble: found, read and checked before anything is computed.

A member is one run directory of the trainer. A network is one entry of `--members`: a run on its
own, or all the runs of folds (`fold0`, `fold1`, ...) and of refits (`refit0`, ..., trained on all
of the folds) under one directory, which share its weight: a `FoldGroup`.
"""

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ensemble.members.views import AS_IT_IS, View, drawn_views
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import (
    InputSpec,
    RunDir,
    RunRecord,
    Task,
    TrainingCost,
    fingerprint_saved_model,
    fold_number,
    is_part,
    refit_number,
)


@dataclass(frozen=True)
class Member:
    """One finished run of the trainer.

    Attributes:
        path: its run directory.
        name: short and unique within the ensemble, for tables.
        class_names: of its logits, in their order.
        task: what the labels mean.
        architecture: of its network, as --architecture had it.
        input: what its images are brought to.
        train_split: names of the splits that it was trained on, joined by '+'.
        eval_split: likewise, of those that it was evaluated on; None: nothing was held out.
        fingerprint: hash of the contents of its saved_model.
        dataset_fingerprint: of the dataset that it saw.
        dataset_path: where that was.
        views: those of an image that its training drew.
        cost: what it took; None: not known.
    """

    path: str
    name: str
    class_names: tuple[str, ...]
    task: Task
    architecture: str
    input: InputSpec
    train_split: str
    eval_split: str | None
    fingerprint: str
    dataset_fingerprint: str
    dataset_path: str = ""
    views: frozenset[View] = frozenset({AS_IT_IS})
    cost: TrainingCost | None = None

    @property
    def saved_model_dir(self) -> str:
        """Where its SavedModel lies."""
        return RunDir(self.path).saved_model_dir

    @property
    def is_refit(self) -> bool:
        """Whether it trained on all folds after them, so that it has no held-out images."""
        return refit_number(posixpath.basename(self.path)) is not None


@dataclass(frozen=True)
class FoldGroup:
    """One entry of `--members`: a run on its own, or the folds and refits of one network.

    Attributes:
        name: for tables.
        members: indices of its members.
    """

    name: str
    members: tuple[int, ...]


class Cast(NamedTuple):
    """Runs, and the networks that they make up.

    Attributes:
        members: the runs.
        networks: which of them make up which network.
    """

    members: tuple[Member, ...]
    networks: tuple[FoldGroup, ...]


def load_members(paths: Sequence[str], refits: bool = True) -> Cast:
    """Read the runs named by `--members`, and group the folds and refits of one network.

    Args:
        paths: run directories, or directories of such.
        refits: whether those of a directory are wanted, beside its folds.

    Raises:
        OrchardError: a path that is no finished run, has the network of another one, or whose
            classes, task or dataset differ from the first member's.
    """
    runs = [run for path in paths for run in _expand(storage.normalize(path), refits)]
    members = tuple(_read(run, name) for run, name in zip(runs, _short_names(runs), strict=True))
    first_of: dict[str, Member] = {}
    for member in members:
        _check_same(members[0], member)
        # By content: a link, a copy or another spelling of one run would count twice.
        other = first_of.setdefault(member.fingerprint, member)
        if other is not member:
            also = "" if other.path == member.path else f", also as {member.path}"
            raise OrchardError(
                f"member {other.path} is listed twice{also}; give it a greater --weights instead"
            )
    return Cast(members, _group(members))


def check_dataset(
    members: Sequence[Member],
    class_names: Sequence[str],
    task: Task,
    fingerprint: str,
    allow_other_dataset: bool = False,
) -> None:
    """Refuse a dataset whose classes, task or contents are not the members'.

    Args:
        members: of the ensemble.
        class_names: of the dataset.
        task: of the dataset.
        fingerprint: of the dataset.
        allow_other_dataset: it may be another one: new images of the same classes.

    Raises:
        OrchardError: it is none of theirs.
    """
    for member in members:
        _check_classes(member, class_names, "the dataset")
        _check_task(member, task, "the dataset")
        if member.dataset_fingerprint != fingerprint and not allow_other_dataset:
            raise OrchardError(
                f"member {member.path} was trained on the dataset with fingerprint "
                f"{member.dataset_fingerprint[:12]}, but --dataset has {fingerprint[:12]}; give "
                "the dataset it was trained on, or --allow_other_dataset to predict new images"
            )


def check_contents(member: Member, saved_model_dir: str) -> None:
    """Refuse a SavedModel, or a copy of it, whose files are not those that its run exported."""
    found = fingerprint_saved_model(saved_model_dir)
    if found != member.fingerprint:
        raise OrchardError(
            f"member {member.path}: the files of its saved_model are not those that run.json "
            f"describes (fingerprint {found[:12]}, not {member.fingerprint[:12]}): damaged or "
            "replaced; export it again"
        )


def _expand(path: str, refits: bool) -> list[str]:
    if storage.exists(RunDir(path).record_file):
        return [path]
    names = storage.list_names(path) if storage.exists(path) else []
    folds = _numbered(names, fold_number)
    later = _numbered(names, refit_number) if refits else []
    if not folds and not later:
        raise OrchardError(
            f"member {path}: no run.json there; give a run directory of the trainer whose training "
            "has finished"
        )
    for name in (*folds, *later):
        if not storage.exists(RunDir(storage.join(path, name)).record_file):
            otherwise = (
                "list the finished folds one by one"
                if name in folds
                else "predict without it: --predict_with=folds"
            )
            raise OrchardError(
                f"member {path}: {name} has no run.json, so its training has not finished; "
                f"finish it or {otherwise}"
            )
    return [storage.join(path, name) for name in (*folds, *later)]


def _numbered(names: Sequence[str], number_of: Callable[[str], int | None]) -> list[str]:
    """The names that have a number, in its order."""
    found = {name: number for name in names if (number := number_of(name)) is not None}
    return sorted(found, key=lambda name: found[name])


def _short_names(runs: Sequence[str]) -> list[str]:
    def tail(run: str, parts: int) -> str:
        return "/".join(run.split("/")[-parts:])

    def base_parts(run: str) -> int:
        return 2 if is_part(posixpath.basename(run)) else 1

    names = [tail(run, base_parts(run)) for run in runs]
    return [run if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]


def _read(run: str, name: str) -> Member:
    record = RunRecord.load(RunDir(run).record_file)
    return Member(
        path=run,
        name=name,
        class_names=record.class_names,
        task=record.task,
        architecture=record.architecture,
        input=record.input,
        train_split=record.train_split,
        eval_split=record.eval_split,
        fingerprint=record.member_fingerprint,
        dataset_fingerprint=record.dataset.fingerprint,
        dataset_path=record.dataset.path,
        views=drawn_views(record.config.get("augment", {})),
        cost=record.cost,
    )


def _check_same(first: Member, member: Member) -> None:
    _check_classes(member, first.class_names, f"member {first.path}")
    _check_task(member, first.task, f"member {first.path}")
    if member.dataset_fingerprint != first.dataset_fingerprint:
        raise OrchardError(
            f"member {member.path} was trained on the dataset with fingerprint "
            f"{member.dataset_fingerprint[:12]}, member {first.path} on "
            f"{first.dataset_fingerprint[:12]}; members of one ensemble share one dataset"
        )


def _check_classes(member: Member, class_names: Sequence[str], owner: str) -> None:
    expected = tuple(class_names)
    if member.class_names == expected:
        return
    if sorted(member.class_names) == sorted(expected):
        at = next(i for i, name in enumerate(expected) if member.class_names[i] != name)
        raise OrchardError(
            f"member {member.path} has the classes of {owner} in another order (class {at} is "
            f"{member.class_names[at]!r}, not {expected[at]!r}); train it on the same dataset"
        )
    raise OrchardError(
        f"member {member.path} has other classes than {owner}: {_listing(member.class_names)} "
        f"against {_listing(expected)}; members of one ensemble share their classes"
    )


def _check_task(member: Member, task: Task, owner: str) -> None:
    if member.task != task:
        raise OrchardError(
            f"member {member.path} was trained for a {member.task} task, {owner} is {task}; "
            "members of one ensemble share their task"
        )


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown}, ... ({len(names)})" if len(names) > 5 else f"{shown} ({len(names)})"


def _group(members: Sequence[Member]) -> tuple[FoldGroup, ...]:
    groups: dict[str, list[int]] = {}
    for index, member in enumerate(members):
        folder, name = posixpath.split(member.path)
        owner = folder if is_part(name) else member.path
        groups.setdefault(owner, []).append(index)

    def name_of(indices: list[int]) -> str:
        first = members[indices[0]].name
        return first if len(indices) == 1 else posixpath.dirname(first) or first

    return tuple(FoldGroup(name_of(indices), tuple(indices)) for indices in groups.values())
