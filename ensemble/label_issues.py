r"""List labels that are probably wrong, by the held-out logits that runs leave.

    python -m ensemble.label_issues --members=runs/b0 --dataset=tfds/plants/1.0.0 --output_dir=out

Decide in OUTPUT_DIR/label_fixes.csv, and prepare the dataset again with --label_fixes.
"""

from __future__ import annotations

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

import shlex
from dataclasses import dataclass, field

from ensemble.doubts import (
    Issues,
    Twins,
    find_issues,
    find_twins,
    issues_csv,
    issues_page,
    merge_fixes,
)
from ensemble.fitting import out_of_fold
from ensemble.inputs import csv_rows
from ensemble.members import check_dataset, load_members
from orchard import cli, flags, progress, storage
from orchard.flags import Options, option, required
from orchard.formats import (
    LABEL_FIXES_FILE,
    Decision,
    label_fixes_csv,
    load_manifest,
    read_label_fixes,
)
from trainer.data import RecordTable, load_records, set_gcs_read_options

_MAX_SCREEN_LINES = 10
_FILES = ("label_issues.csv", "label_issues.html", LABEL_FIXES_FILE)


@dataclass(frozen=True, kw_only=True)
class LabelIssuesOptions(Options):
    """Which labels to doubt, and by whom."""

    members: tuple[str, ...] = field(
        metadata=required("Run directories of the trainer, mostly of --fold=all.")
    )
    dataset: str = field(metadata=required("Dataset directory that they were trained on."))
    output_dir: str = field(metadata=required("Folder for the lists and the page."))
    near_duplicates: bool = option(
        True, "Also look for one picture under several labels, which reads all images."
    )
    max_shown: int = option(200, "Doubtful labels that the page has pictures of.", at_least=0)

    def check(self) -> None:
        """Refuse a place that cannot be written to."""
        super().check()
        storage.check_writable(self.output_dir)


OPTIONS = (LabelIssuesOptions,)


def main() -> None:
    """Write label_issues.csv, label_issues.html and label_fixes.csv, and say what was found."""
    print("\n".join(list_issues(flags.build(LabelIssuesOptions))))


def list_issues(options: LabelIssuesOptions) -> list[str]:
    """Write the lists and the page; returns what was found, in lines.

    Raises:
        OrchardError: the runs are of another dataset, or another process writes to the folder.
    """
    set_gcs_read_options(options.dataset)
    cast = load_members(options.members, refits=False)
    found = load_manifest(options.dataset)
    labeled = [name for name, split in found.splits.items() if split.labelled]
    records = load_records(options.dataset, "+".join(labeled))
    check_dataset(cast.members, records.class_names, records.task, records.fingerprint)
    held_out = out_of_fold(cast.members, cast.networks)
    # From before the decisions are read until they are written again: none may be lost between.
    with storage.lock_folder(options.output_dir, "choose another --output_dir"):
        twins = Twins(())
        if options.near_duplicates:
            with progress.bar("comparing pictures", len(records.ids)) as bar:
                twins = find_twins(records, bar.add)
        issues = find_issues(held_out, records, twins, csv_rows(options.dataset))
        page = issues_page(issues, records, f"{found.name} {found.version}", options.max_shown)
        return _written(options, issues, records, page)


def _written(
    options: LabelIssuesOptions, issues: Issues, records: RecordTable, page: bytes
) -> list[str]:
    """Writes the lists, with the decisions that were made, and the page; what is in them."""
    files = {name: storage.join(options.output_dir, name) for name in _FILES}
    fixes_file = files[LABEL_FIXES_FILE]
    decided = read_label_fixes(fixes_file, records.task).fixes if storage.exists(fixes_file) else ()
    storage.write_bytes(files["label_issues.csv"], issues_csv(issues.listed, records.task))
    storage.write_bytes(files["label_issues.html"], page)
    fixes = merge_fixes(issues.listed, decided)
    storage.write_bytes(fixes_file, label_fixes_csv(fixes, records.task))
    lines = [
        f"{len(issues.listed)} of {len(records.ids)} labels are doubtful; networks judged "
        f"{issues.num_judged} of them"
    ]
    for rank, one in enumerate(issues.listed[:_MAX_SCREEN_LINES], start=1):
        given, suggested = ", ".join(one.given) or "none", ", ".join(one.suggested) or "none"
        lines.append(f"{rank:>4}  {one.id}: {given}, suggested {suggested} ({one.reason})")
    kept = sum(fix.decision != Decision.KEEP for fix in decided)
    if kept:
        lines.append(f"{kept} decisions in {fixes_file} are as you made them")
    return [
        *lines,
        *(f"{name:<17}  {path}" for name, path in files.items()),
        "next: look at the page, decide in label_fixes.csv, and run data_prep.main again with "
        f"--label_fixes={shlex.quote(fixes_file)} and a new --version",
    ]


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
