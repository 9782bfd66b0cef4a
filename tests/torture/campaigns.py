"""The commands that are tortured, their inputs and what of their output has to be equal."""

import csv
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.data_prep.builders import CLASSES, digests, jpeg, make_input, write_csv
from tests.gcs_server import GcsServer
from tests.torture import outcomes
from tests.torture.inputs import RUNS
from tests.torture.places import Bucket, Folder, Place
from tests.trainer import runs
from tests.trainer.features import runs as frozen_runs

_ROOT = Path(__file__).resolve().parents[2]
# Many small shards, all of them converted: there is something to interrupt at every moment.
PREP_SETTINGS = ("--folds=3", "--hosts=12", "--short_side=18", "--decode_check", "--workers=2")
_PREP_ROWS = 200
_ADDED_ROWS = 40


@dataclass(frozen=True)
class Campaign:
    """A command to torture.

    Attributes:
        name: for --only.
        make_inputs: fills a folder with what the command reads, once.
        command: of (folder of the inputs, path of the place to write to).
        outcome: of (place, folder of the inputs), what has to be equal; None: nothing finished is
            there.
        left_out: what is not compared.
        kills: how many there are at least.
        signals: that stop it.
        bucket: whether it writes to gs:// of a server on loopback.
        others: of each other disturbance, how many trials there are.
        preload: what takes a command seconds to import; it is killed as a fork of a process that
            has imported them.
        saves_often: whether what is killed is made to save after each batch, by `often.py`.
    """

    name: str
    make_inputs: Callable[[Path], None]
    command: Callable[[Path, str], list[str]]
    outcome: Callable[[Place, Path], dict[str, str] | None]
    left_out: str
    kills: int
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)
    bucket: bool = False
    others: dict[str, int] = field(default_factory=dict)
    preload: tuple[str, ...] = ()
    saves_often: bool = False


# Campaigns whose commands need no network share no inputs with those that do.
def make_prep(folder: Path) -> None:
    """Images and tables."""
    make_input(folder / "in", rows=_PREP_ROWS, test_rows=20)


def prep_flags(folder: Path) -> list[str]:
    """Flags that name the inputs of a preparation."""
    given = folder / "in"
    return [
        f"--csv={given / 'train.csv'}",
        f"--test_csv={given / 'test.csv'}",
        f"--images_dir={given / 'images'}",
    ]


def prep_command(folder: Path, path: str) -> list[str]:
    """Version 1.0.0."""
    places = [f"--data_dir={path}", "--name=clothes", "--version=1.0.0"]
    return [sys.executable, "-m", "data_prep.main", *prep_flags(folder), *places, *PREP_SETTINGS]


def _make_growth(folder: Path) -> None:
    """A version, and the input of one that grows out of it: added, relabeled, withdrawn rows."""
    make_prep(folder)
    subprocess.run(prep_command(folder, str(folder / "base")), check=True, capture_output=True)
    with open(folder / "in" / "train.csv", newline="") as file:
        header, *rows = list(csv.reader(file))
    rows = [
        (image_id, CLASSES[0] if at % 40 == 1 else label)
        for at, (image_id, label) in enumerate(rows)
        if at % 40
    ]
    for at in range(_ADDED_ROWS):
        content = jpeg(10_000 + at, 22, 30)
        (folder / "in" / "images" / f"n{at:03d}.jpg").write_bytes(content)
        rows.append((f"n{at:03d}", CLASSES[at % len(CLASSES)]))
    write_csv(folder / "in" / "train.csv", [header, *rows])


def _growth_command(folder: Path, path: str) -> list[str]:
    places = [f"--data_dir={path}", "--name=clothes", "--version=1.1.0"]
    base = f"--extends={folder / 'base' / 'clothes' / '1.0.0'}"
    command = [sys.executable, "-m", "data_prep.main", *prep_flags(folder)]
    return [*command, *places, base, *PREP_SETTINGS]


def _prep_outcome(place: Place, folder: Path) -> dict[str, str] | None:
    published = Path(place.path, "clothes", "1.0.0")
    return digests(published) if published.exists() else None


def _growth_outcome(place: Place, folder: Path) -> dict[str, str] | None:
    published = Path(place.path, "clothes", "1.1.0")
    if not published.exists():
        return None
    # The version that was extended must stay as it was.
    base = digests(folder / "base" / "clothes" / "1.0.0")
    return digests(published) | {f"base/{name}": value for name, value in base.items()}


def _bucket_outcome(place: Place, folder: Path) -> dict[str, str] | None:
    assert isinstance(place, Bucket)
    prefix = f"{place.path.split('/', 3)[3]}/clothes/1.0.0/"
    objects = place.server.crc32c(prefix)
    if f"{prefix}features.json" not in objects:
        return None
    return {k: str(v) for k, v in objects.items() if not k.endswith("run_log.json")}


def _make_networks(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.torture.inputs", str(folder)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"no inputs were made: {done.stderr[-2000:]}")


def _train_command(runtime: str, precision: str, folder: Path, path: str) -> list[str]:
    config = runs.config(
        str(folder / "tiny" / "1.0.0"),
        str(folder / "tiny.keras"),
        os.path.join(path, "run"),
        # What makes going on hard: a moving average, dropout, parts of a batch.
        ema_momentum=0.9,
        accumulation_steps=2,
        dropout=0.1,
        weights="imagenet",
        deterministic=True,
        checkpoint_every_steps=2,
        runtime=runtime,
        precision=precision,
    )
    return runs.command(config)


def _frozen_command(folder: Path, path: str) -> list[str]:
    config = frozen_runs.config(
        str(folder / "tiny" / "1.0.0"),
        str(folder / "tiny.keras"),
        os.path.join(path, "run"),
        weights="imagenet",
        feature_views=2,
        deterministic=True,
    )
    return runs.command(config)


def _run_outcome(place: Place, folder: Path) -> dict[str, str] | None:
    run = os.path.join(place.path, "run")
    return outcomes.of_run(run) if os.path.exists(os.path.join(run, "run.json")) else None


def _members(folder: Path) -> str:
    return "--members=" + ",".join(str(folder / name) for name in RUNS)


def _soup_command(folder: Path, path: str) -> list[str]:
    command = [sys.executable, "-m", "ensemble.soup", _members(folder)]
    return [*command, f"--output_dir={path}/run", "--recipe=uniform"]


def _ensemble_command(folder: Path, path: str) -> list[str]:
    command = [sys.executable, "-m", "ensemble.main", _members(folder)]
    flags = [f"--dataset={folder / 'tiny' / '1.0.0'}", f"--output_dir={path}/out"]
    return [*command, *flags, "--weights=greedy", "--calibrate", "--batch_size=4"]


def _ensemble_outcome(place: Place, folder: Path) -> dict[str, str] | None:
    out = os.path.join(place.path, "out")
    finished = os.path.exists(os.path.join(out, "report.html"))
    return outcomes.of_ensemble(out) if finished else None


def _predict_command(folder: Path, path: str) -> list[str]:
    command = [sys.executable, "-m", "ensemble.predict", f"--model={folder / RUNS[0]}"]
    return [
        *command,
        f"--images_dir={folder / 'photos'}",
        f"--output={path}/p.csv",
        "--batch_size=2",
    ]


def _predict_outcome(place: Place, folder: Path) -> dict[str, str] | None:
    path = os.path.join(place.path, "p.csv")
    # Until the rows on their way are removed, a command has not finished: the next one does.
    finished = os.path.exists(path) and not os.path.exists(f"{path}.partial")
    return outcomes.of_file(path) if finished else None


_OTHERS = {"disk full": 10, "read-only": 2, "two at once": 4, "clock": 4}
_FEWER = {"disk full": 3, "two at once": 2, "clock": 1, "read-only": 1}  # They take a while.

_NETWORKS = ("tensorflow", "trainer.loop", "ensemble.pipeline")


def _train(runtime: str, precision: str) -> Callable[[Path, str], list[str]]:
    return functools.partial(_train_command, runtime, precision)


def _training(
    name: str,
    command: Callable[[Path, str], list[str]],
    kills: int,
    others: dict[str, int] = _FEWER,
) -> Campaign:
    """A command that makes a run, and that can be asked to stop."""
    return Campaign(
        name,
        _make_networks,
        command,
        _run_outcome,
        outcomes.LEFT_OUT_OF_RUNS,
        kills,
        signals=(signal.SIGKILL, signal.SIGTERM),
        others=others,
        preload=("tensorflow", "trainer.loop", "jax"),
    )


CAMPAIGNS = {
    one.name: one
    for one in (
        Campaign(
            "prep",
            make_prep,
            prep_command,
            _prep_outcome,
            outcomes.LEFT_OUT_OF_DATASETS,
            50,
            others=_OTHERS,
        ),
        Campaign(
            "extends",
            _make_growth,
            _growth_command,
            _growth_outcome,
            outcomes.LEFT_OUT_OF_DATASETS,
            30,
            others=_OTHERS,
        ),
        Campaign(
            "prep_gcs",
            make_prep,
            prep_command,
            _bucket_outcome,
            outcomes.LEFT_OUT_OF_DATASETS,
            30,
            bucket=True,
            others={"two at once": 4, "clock": 4},
        ),
        _training("train", _train("auto", "float32"), kills=30),
        _training("train_bfloat16", _train("auto", "mixed_bfloat16"), kills=5, others={}),
        _training("train_pjrt", _train("pjrt", "float32"), kills=25),
        _training("frozen", _frozen_command, kills=20),
        Campaign(
            "soup",
            _make_networks,
            _soup_command,
            _run_outcome,
            outcomes.LEFT_OUT_OF_RUNS,
            20,
            others=_FEWER,
            preload=_NETWORKS,
        ),
        Campaign(
            "ensemble",
            _make_networks,
            _ensemble_command,
            _ensemble_outcome,
            outcomes.LEFT_OUT_OF_ENSEMBLES,
            20,
            others=_FEWER,
            preload=_NETWORKS,
            saves_often=True,
        ),
        Campaign(
            "predict",
            _make_networks,
            _predict_command,
            _predict_outcome,
            "nothing",
            20,
            others=_FEWER,
            preload=_NETWORKS,
            saves_often=True,
        ),
    )
}


def place_of(campaign: Campaign, path: Path, server: GcsServer | None) -> Place:
    """Where a campaign writes: always the same place, since reports name it."""
    return Bucket(server, "torture") if server and campaign.bucket else Folder(path)
