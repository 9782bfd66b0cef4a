"""What a training says on the screen before its first step."""

from trainer.models import is_run, keeps_head
from trainer.optim import learning_rate
from trainer.training.continuation import continuation_lines
from trainer.training.run import Run


def opening_lines(run: Run) -> list[str]:
    """Devices, records, classes, batch, steps and epochs, and where a resumed run goes on."""
    config, plan, records = run.config, run.plan, run.train_records
    step = run.state.progress.step
    lines = [
        f"{config.architecture} at {config.height_px}x{config.width_px} px on "
        f"{run.accelerator.describe()}",
        f"training on {len(records)} records of {plan.splits.train}, "
        f"{len(records.class_names)} classes ({records.task})",
        f"{plan.total_steps} steps of {plan.batch_size} images: {plan.epochs:.3g} epochs of "
        f"{plan.steps_per_epoch:.4g} steps",
    ]
    if run.eval_records is None:
        lines[1] += "; nothing is held out: the last step is exported, without scores"
    else:
        lines[1] += f"; {len(run.eval_records)} of {plan.splits.evaluate} are held out"
    if is_run(config.weights) and not step:
        kept = keeps_head(config.weights, records.class_names)
        lines.append(
            f"starting from the network of {config.weights}"
            + ("" if kept else " without its head, which is of other classes or layers")
        )
        lines += continuation_lines(config, records)
    if step:
        lines.append(f"going on after step {step} of {plan.total_steps} ({run.epoch(step)})")
    if run.earlier_steps is not None:
        rate = learning_rate(plan.schedule, step)
        lines.append(
            f"it was to end after {run.earlier_steps} steps: --schedule={config.schedule} goes on "
            f"at a learning rate of {rate:.3g}"
        )
    return lines
