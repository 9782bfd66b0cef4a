"""report.html of --fold=all: the scores of each fold and of all together, and what it all cost."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchard import html, storage
from orchard.formats import (
    FoldsRecord,
    Logits,
    RunDir,
    RunRecord,
    Task,
    TrainingCost,
    fold_name,
    refit_name,
    total_images,
    total_time,
)
from trainer.evaluation import probabilities, reliability
from trainer.results import figures, report


def write_folds_report(
    run_dir: str,
    summary: FoldsRecord,
    folds: Sequence[RunRecord],
    pooled: Logits,
    refits: Mapping[int, RunRecord],
    num_refits: int,
) -> None:
    """Write the report.

    Args:
        run_dir: of --fold=all: where the folds and refits are, and report.html goes.
        summary: the scores.
        folds: the run of each fold.
        pooled: the held-out logits of all folds together.
        refits: those that are finished, by number.
        num_refits: how many are wanted.
    """
    first = folds[0]
    text = html.render(
        "trainer/folds.html",
        run=first,
        facts=_facts(folds, list(refits.values()), pooled),
        rows=[_row(run, summary) for run in folds],
        totals={"mean": summary.mean, "spread": summary.spread, "pooled": summary.pooled},
        refits=[(refit_name(number), run.best_step) for number, run in refits.items()],
        num_refits=num_refits,
        epochs=summary.found_epochs,
        count=len(pooled.ids),
        confusion=report.confusion_uri(pooled, first.task),
        calibration=_calibration(pooled, first.task),
        classes=report.class_rows(pooled, first.task),
    )
    storage.write_bytes(RunDir(run_dir).report_file, text.encode())


def total_cost(costs: Sequence[TrainingCost | None]) -> TrainingCost | None:
    """What several trainings of one network took together; its predictions cost what one's do.

    What is not known of one is not known of all; nor have times on different devices a sum.
    """
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    time = total_time([cost.time for cost in known])
    one = known[0]
    return TrainingCost(time, total_images(known), one.flops_per_image, one.num_parameters)


def _facts(
    folds: Sequence[RunRecord], refits: Sequence[RunRecord], pooled: Logits
) -> dict[str, str]:
    trainings = f"{len(folds)} folds" + (f", {len(refits)} refits" if refits else "")
    facts = {**report.network_facts(folds[0]), "trainings": trainings}
    facts["held-out records"] = f"{len(pooled.ids):,}"
    return facts | report.cost_facts(total_cost([run.cost for run in (*folds, *refits)]))


def _row(run: RunRecord, summary: FoldsRecord) -> dict[str, Any]:
    return {
        "name": fold_name(run.fold),
        "step": run.best_step,
        "scores": [run.scores.get(metric) for metric in summary.mean],
    }


def _calibration(pooled: Logits, task: Task) -> dict[str, Any]:
    diagram = reliability(probabilities(pooled.logits, task), pooled.targets, task)
    figure = figures.reliability_figure({"held out": diagram})
    return {"error": diagram.expected_error, "figure": html.figure_to_uri(figure)}
