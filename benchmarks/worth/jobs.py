"""Trainings as commands, one a core at a time; what is finished is not done again."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Queue

from benchmarks.worth import networks
from benchmarks.worth.plans import ALL_FOLDS, Contender, Setting, Training

_LIBRARY_THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


class Folder:
    """What the benchmark keeps of one set.

    Args:
        path: where everything goes.
        set_name: of the set.
        split: which part of it is tested on.
    """

    def __init__(self, path: Path, set_name: str, split: int = 0):
        self.set_name, self.split = set_name, split
        self.name = f"{set_name}_{split + 1}" if split else set_name
        self.images = path / "sets" / self.name
        self.dataset = path / "data" / self.name / "1.0.0"
        self.runs = path / "runs" / self.name
        self.ensemble = path / "ensembles" / self.name

    def run_dir(self, training: Training) -> Path:
        """Of a training by the trainer."""
        return self.runs / training.key

    def member_dir(self, training: Training) -> Path:
        """The run that predicts: its own, or the mean of its checkpoints."""
        run_dir = self.run_dir(training)
        return run_dir / "average" if training.averaged_checkpoints else run_dir

    def logits_file(self, training: Training) -> Path:
        """Of the test images, by plain Keras."""
        return self.runs / f"{training.key}.npz"

    def cost_file(self, training: Training) -> Path:
        """Written when the training is finished."""
        return self.runs / f"{training.key}.json"

    def is_finished(self, contender: Contender) -> bool:
        """Whether all its trainings are."""
        return all(self.cost_file(training).exists() for training in contender.trainings)


def run_all(trainings: list[tuple[Folder, Setting, Training]], workers: int) -> None:
    """Train what is not finished, on as many cores as there are workers."""
    waiting = [one for one in trainings if not one[0].cost_file(one[2]).exists()]
    cores: Queue[int] = Queue()
    for core in sorted(os.sched_getaffinity(0))[:workers]:
        cores.put(core)

    def run(folder: Folder, setting: Setting, training: Training) -> None:
        core = cores.get()
        try:
            _run(folder, setting, training, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(workers) as pool:
        started = [pool.submit(run, *one) for one in waiting]
        try:
            for number, done in enumerate(as_completed(started), 1):
                done.result()
                print(f"{number} of {len(waiting)} trainings", flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def cpu_seconds(folder: Folder, training: Training) -> float:
    """What a training took, from the start of its command to the end."""
    return json.loads(folder.cost_file(training).read_text())["cpu_seconds"]


def _run(folder: Folder, setting: Setting, training: Training, core: int) -> None:
    folder.runs.mkdir(parents=True, exist_ok=True)
    commands = [(_plain if training.plain else _ours)(folder, setting, training)]
    if training.averaged_checkpoints:
        commands.append(_average(folder, setting, training))
    log = folder.runs / f"{training.key}.log"
    seconds = sum(_cpu_seconds_of(command, log, core) for command in commands)
    cost = {"cpu_seconds": seconds, "command": commands[0]}
    folder.cost_file(training).write_text(json.dumps(cost))


def _cpu_seconds_of(command: list[str], log: Path, core: int) -> float:
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=output,
            stderr=output,
            env=os.environ | _LIBRARY_THREADS,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: see {log}")
    return usage.ru_utime + usage.ru_stime


def _plain(folder: Folder, setting: Setting, training: Training) -> list[str]:
    rate = setting.usual_learning_rate if training.usual else setting.learning_rate
    return [
        "benchmarks.worth.keras_fit",
        f"--set_dir={folder.images}",
        f"--network={training.network.architecture}",
        f"--steps={training.steps}",
        f"--image_size_px={setting.image_size_px}",
        f"--learning_rate={rate}",
        f"--label_smoothing={0.1 if training.usual else 0}",
        f"--flip={setting.flips != 'none'}",
        f"--seed={training.seed}",
        f"--output={folder.logits_file(training)}",
    ]


def _ours(folder: Folder, setting: Setting, training: Training) -> list[str]:
    flags = [
        f"--recipe={training.recipe}",
        f"--dataset={folder.dataset}",
        f"--run_dir={folder.run_dir(training)}",
        f"--architecture={training.network.architecture}",
        f"--preprocessing={networks.PREPROCESSING}",
        f"--image_size={setting.image_size_px}",
        f"--learning_rate={setting.learning_rate}",
        f"--flips={setting.flips}",
        f"--fold={training.rows}",
        # So many steps, whatever the recipe would take.
        *("--epochs=0.01", f"--min_steps={training.steps}", "--max_epochs=0"),
        # One evaluation at the end, or twice as many as are averaged.
        f"--num_evals={2 * training.averaged_checkpoints or 1}",
        f"--keep_best={training.averaged_checkpoints or 1}",
        f"--seed={training.seed}",
        "--noprogress",
    ]
    if training.rows == ALL_FOLDS:
        flags.append(f"--refit={training.refits}")
    if training.ema_momentum:
        flags.append(f"--ema_momentum={training.ema_momentum}")
    if not setting.pretrained:
        flags.append("--weights=none")
    return ["trainer.main", *flags, *_plugins(setting)]


def _average(folder: Folder, setting: Setting, training: Training) -> list[str]:
    flags = [
        f"--members={folder.run_dir(training)}",
        f"--checkpoints={training.averaged_checkpoints}",
        "--recipe=uniform",
        f"--output_dir={folder.member_dir(training)}",
    ]
    return ["ensemble.soup", *flags, *_plugins(setting)]


def _plugins(setting: Setting) -> list[str]:
    """For networks that are learned from scratch, which are the benchmark's own."""
    return [] if setting.pretrained else ["--plugins=benchmarks.worth.networks"]
