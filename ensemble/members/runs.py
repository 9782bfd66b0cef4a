"""Trained runs as members of an ensemble: found, read and checked before anything is computed.

A member is one run directory of the trainer. A network is one entry of `--members`: a run on its
own, or all the fold runs (`fold0`, `fold1`, ...) under one directory, which share its weight: a
`FoldGroup`.
"""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.members.views import AS_IT_IS, View, drawn_views
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import InputSpec, RunDir, RunRecord, Task, fingerprint_saved_model, fold_number


@dataclass(frozen=True)
class Member:
    """One finished run of the trainer.

    path: its run directory. name: short and unique within the ensemble, for tables.
    train_split, eval_split: names of dataset splits joined by '+'.
    fingerprint: hash of the contents of its saved_model. dataset_fingerprint: of what it saw.
    dataset_path: where that was. views: those of an image that its training drew.
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

    @property
    def saved_model_dir(self) -> str:
        """Where its SavedModel lies."""
        return RunDir(self.path).saved_model_dir


@dataclass(frozen=True)
class FoldGroup:
    """One entry of `--members`: a run on its own, or the folds of one network.

    Attributes:
        name: for tables.
        members: indices of its members.
    """

    name: str
    members: tuple[int, ...]


def load_members(paths: Sequence[str]) -> tuple[tuple[Member, ...], tuple[FoldGroup, ...]]:
    """Read the runs named by `--members`, and group the folds of one network.

    Raises:
        OrchardError: a path that is no finished run, has the network of another one, or whose
            classes, task or dataset differ from the first member's.
    """
    runs = [run for path in paths for run in _expand(storage.normalize(path))]
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
    return members, _group(members)


def check_dataset(
    members: Sequence[Member],
    class_names: Sequence[str],
    task: Task,
    fingerprint: str,
    allow_other_dataset: bool = False,
) -> None:
    """Refuse a dataset whose classes, task or contents are not the members'.

    allow_other_dataset: the dataset may be another one (new images of the same classes).
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


def _expand(path: str) -> list[str]:
    if storage.exists(RunDir(path).record_file):
        return [path]
    names = storage.list_names(path) if storage.exists(path) else []
    folds = sorted(number for name in names if (number := fold_number(name)) is not None)
    if not folds:
        raise OrchardError(
            f"member {path}: no run.json there; give a run directory of the trainer whose training "
            "has finished"
        )
    for fold in folds:
        if not storage.exists(RunDir(path).fold(fold).record_file):
            raise OrchardError(
                f"member {path}: fold{fold} has no run.json, so its training has not finished; "
                "finish it or list the finished folds one by one"
            )
    return [RunDir(path).fold(fold).path for fold in folds]


def _short_names(runs: Sequence[str]) -> list[str]:
    def tail(run: str, parts: int) -> str:
        return "/".join(run.split("/")[-parts:])

    def base_parts(run: str) -> int:
        return 1 if fold_number(posixpath.basename(run)) is None else 2

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
        is_fold = fold_number(posixpath.basename(member.path)) is not None
        groups.setdefault(posixpath.dirname(member.path) if is_fold else member.path, []).append(
            index
        )
    return tuple(
        FoldGroup(
            members[indices[0]].name.rsplit("/fold", 1)[0]
            if len(indices) > 1
            else members[indices[0]].name,
            tuple(indices),
        )
        for indices in groups.values()
    )
