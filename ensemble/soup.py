r"""Average the weights of trainings that started from the same ones: one network, as one run.

    python -m ensemble.soup --members=runs/a/fold0,runs/b/fold0 --output_dir=runs/soup/fold0
    python -m ensemble.soup --members=runs/a --checkpoints=5 --recipe=uniform --output_dir=runs/mean

The output directory is a run like any other: a member of an ensemble, a model to predict with.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

from collections.abc import Iterable
from dataclasses import dataclass, field

from absl import logging
from absl.flags import FLAGS

from orchard import cli, flags
from orchard.errors import OrchardError
from orchard.flags import Options, option, required
from orchard.formats import RunDir
from trainer.evaluation import metric_names

_RECIPES = ("greedy", "uniform")


def _metrics() -> Iterable[str]:
    return ("", *metric_names())


@dataclass(frozen=True, kw_only=True)
class SoupOptions(Options):
    """What to average, and how to choose."""

    members: tuple[str, ...] = field(
        metadata=required("Run directories of trainings of one network from the same start.")
    )
    output_dir: str = field(metadata=required("Run directory to write."))
    recipe: str = option(
        "greedy",
        "uniform: all; greedy: the best first, each that makes held-out scores no worse.",
        choices=_RECIPES,
    )
    checkpoints: int = option(
        0,
        "Of each run the weights of so many evaluations that trainer.main --keep_best kept, "
        "instead of those that it exported.",
        at_least=0,
    )
    metric: str = option(
        "",
        "Metric that chooses and judges; default: accuracy for one label an image, roc_auc for "
        "several.",
        choices=_metrics,
    )
    eval_split: str = option(
        "", "Split that no member trained on; default: the one that all were evaluated on."
    )
    dataset: str = option("", "Where the members' dataset is now; default: where they found it.")
    seed: int = option(0, "Seed of the verdict's parts and draws.", at_least=0)

    def check(self) -> None:
        """Refuse an empty entry."""
        super().check()
        if "" in self.members:
            raise OrchardError(
                f"--members={','.join(self.members)} has an empty entry; remove a comma"
            )


OPTIONS = (SoupOptions,)


def main() -> None:
    """Write the soup, and say what it is worth."""
    options = flags.build(SoupOptions)
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    # TensorFlow takes seconds to import: not before the flags are known to be good.
    from ensemble.souping import Recipe, find_ingredients, make_soup

    pantry = find_ingredients(options.members, options.checkpoints, options.eval_split)
    soup = make_soup(
        pantry,
        options.output_dir,
        recipe=Recipe(options.recipe),
        metric=options.metric,
        dataset=options.dataset,
        seed=options.seed,
    )
    found = soup.record.soup
    for one in found.ingredients if found else ():
        shown = "" if one.score is None else f"  {found.metric if found else ''} {one.score:.4f}"
        print(f"{'+' if one.used else '-'} {one.name}{shown}")
    if found:
        print(found.note)
    folder = RunDir(options.output_dir)
    print(f"run: {folder.path}, report: {folder.report_file}")


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
