"""The weights that a soup is made of: of finished runs, or of evaluations that a run kept."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ensemble.fitting import held_out_split_names
from ensemble.members import Member, load_members
from orchard import storage
from orchard.errors import OrchardError
from orchard.formats import RunDir, RunRecord
from trainer.data import set_gcs_read_options

_KEPT = re.compile(r"best-(\d{9})\.npz")


@dataclass(frozen=True)
class Ingredient:
    """Weights to average.

    Attributes:
        name: for tables.
        member: the run.
        record: of the run.
        step: whose weights they are.
        checkpoint: the file of the weights of an evaluation; empty: the weights that the run
            exported.
    """

    name: str
    member: Member
    record: RunRecord
    step: int
    checkpoint: str = ""


@dataclass(frozen=True)
class Pantry:
    """What a soup can be made of.

    Attributes:
        ingredients: in the order of the members, then of their steps.
        eval_split: held out from all of them; None: there is none.
        train_split: what any of them was trained on, splits joined by +.
    """

    ingredients: tuple[Ingredient, ...]
    eval_split: str | None
    train_split: str


def find_ingredients(paths: Sequence[str], checkpoints: int = 0, eval_split: str = "") -> Pantry:
    """Read the runs, and refuse those whose weights have no mean or no held-out images in common.

    Args:
        paths: run directories.
        checkpoints: of each run the weights of so many evaluations, the best or the last that it
            kept; 0: the weights that it exported.
        eval_split: held out from all of them; empty: what all were evaluated on.

    Raises:
        OrchardError: one line that says what is wrong with them.
    """
    for path in paths:
        set_gcs_read_options(path)
    members = load_members(paths).members
    records = [RunRecord.load(RunDir(member.path).record_file) for member in members]
    _check_alike(members)
    if len(members) > 1:
        _check_start(members, records)
    ingredients = [
        one
        for member, record in zip(members, records, strict=True)
        for one in (
            _kept(member, record, checkpoints)
            if checkpoints
            else [Ingredient(member.name, member, record, record.best_step)]
        )
    ]
    if len(ingredients) < 2:
        raise OrchardError(
            "a mean needs more than the weights of one run: give several --members of one start, "
            "or --checkpoints=K for the evaluations that a run kept"
        )
    trained = sorted({name for one in members for name in one.train_split.split("+")})
    return Pantry(tuple(ingredients), _common_split(members, eval_split), "+".join(trained))


def _check_alike(members: Sequence[Member]) -> None:
    """Refuse networks of other sizes; the rest `load_members` has compared."""
    first = members[0]
    properties: dict[str, Callable[[Member], object]] = {
        "architecture": lambda one: one.architecture,
        "image size and resize": lambda one: one.input,
    }
    for what, value_of in properties.items():
        for member in members[1:]:
            if value_of(member) != value_of(first):
                raise OrchardError(
                    f"members {first.path} and {member.path} differ in {what} ({value_of(first)} "
                    f"against {value_of(member)}), so their weights have no mean; average their "
                    "predictions: ensemble.main"
                )


def _check_start(members: Sequence[Member], records: Sequence[RunRecord]) -> None:
    for member, record in zip(members, records, strict=True):
        if not record.start_fingerprint:
            raise OrchardError(
                f"member {member.path}: its run.json does not say which weights it started from, "
                "because an older version began it; train it again, or leave it out"
            )
    first = records[0].start_fingerprint
    for member, record in zip(members, records, strict=True):
        if record.start_fingerprint != first:
            raise OrchardError(
                f"members {members[0].path} and {member.path} started from different weights "
                f"(start_fingerprint {first[:12]} and {record.start_fingerprint[:12]}), so the "
                "mean of theirs would be no network; train all from one --weights or .keras file, "
                "or average their predictions: ensemble.main"
            )


def _kept(member: Member, record: RunRecord, count: int) -> list[Ingredient]:
    """The weights of the evaluations that a run kept, the later first where they are more."""
    folder = RunDir(member.path).checkpoints_dir
    names = storage.list_names(folder) if storage.exists(folder) else []
    steps = sorted(int(match[1]) for match in map(_KEPT.fullmatch, names) if match)
    if len(steps) < count:
        raise OrchardError(
            f"member {member.path} has kept the weights of {len(steps)} evaluations, fewer than "
            f"--checkpoints={count}; train with --keep_best={count} and as many --num_evals"
        )
    return [
        Ingredient(
            f"{member.name}, step {step}",
            member,
            record,
            step,
            storage.join(folder, f"best-{step:09d}.npz"),
        )
        for step in steps[-count:]
    ]


def _common_split(members: Sequence[Member], wanted: str) -> str | None:
    """The split that no member trained on and all are judged on; None: there is none."""
    if not wanted:
        splits = {member.eval_split for member in members}
        if len(splits) > 1:
            listed = ", ".join(f"{one.name}: {one.eval_split or 'none'}" for one in members[:6])
            raise OrchardError(
                f"the members have no held-out images in common ({listed}): what one has not seen "
                "another was trained on; give runs of one fold, such as "
                "--members=runs/a/fold0,runs/b/fold0, refits alone, or --eval_split=NAME, a split "
                "that none trained on"
            )
        (wanted_or_none,) = splits
        if wanted_or_none is None:
            return None
        wanted = wanted_or_none
    for member in members:
        both = sorted(held_out_split_names(wanted) & held_out_split_names(member.train_split))
        if both:
            raise OrchardError(
                f"member {member.path} was trained on {both[0]}, so a mean cannot be judged on "
                f"{wanted}; use --eval_split=NAME of a split that no member trained on, or runs of "
                "one fold"
            )
    return wanted
