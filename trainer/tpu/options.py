"""What preflight is asked, as flags."""

from dataclasses import dataclass

from orchard.errors import OrchardError
from orchard.flags import Options, option
from orchard.formats import Task
from trainer.tpu import compiler
from trainer.tpu.chips import Topology, parse_topology
from trainer.tpu.compiler import Effort
from trainer.tpu.price import Prices, Spot

NO_DATASET = "none"  # Stands for --dataset and --run_dir, which decide nothing of the step.


@dataclass(frozen=True, kw_only=True)
class PreflightOptions(Options, group="preflight"):
    """What to find out."""

    topology: tuple[str, ...] = option(
        ("v5e:2x2",),
        "Slices to compile for, GENERATION:SHAPE, separated by commas.",
        common=True,
    )
    find_batch: bool = option(False, "Find the largest batch per replica that fits.", common=True)
    effort: Effort = option(
        Effort.FULL,
        "How hard the compiler tries. quick takes a fifth of the time: memory within some "
        "percent, the same FLOPs, other bytes, so another bound.",
    )
    json: bool = option(False, "Print JSON.")
    num_classes: int = option(4, "Classes, where there is no --dataset.", at_least=2)
    task: Task = option(Task.SINGLE_LABEL, "Task, where there is no --dataset.")
    plan: bool = option(
        False, "Also print what --epochs over --dataset (or --num_records) would take at best."
    )
    utilization: float = option(0.4, "(--plan) Share of the bound to count on.", above=0, at_most=1)
    num_records: int = option(0, "(--plan) Images, without a --dataset.", at_least=0)
    image_kb: float = option(0.0, "(--plan) Encoded kB an image, without a --dataset.", at_least=0)
    decode_images_per_second: float = option(
        0.0,
        "(--plan) What one core of a host decodes; default: measured on this machine from "
        "--dataset.",
        at_least=0,
    )
    chip_hour_price: float = option(
        0.0,
        "(--plan) Dollars for an hour of a chip on demand; also prints what it costs.",
        at_least=0,
    )
    spot_price: float = option(
        0.0,
        "(--chip_hour_price) Dollars for an hour of a chip on spot; also prints the expected cost "
        "there, and the best checkpoint interval.",
        at_least=0,
    )
    preemption_hours: float = option(
        24.0,
        "(--spot_price) Mean hours between preemptions of the slice; nobody publishes them: count "
        "yours.",
        above=0,
    )
    checkpoint_seconds: float = option(
        10.0, "(--spot_price) Seconds that saving a checkpoint takes.", above=0
    )
    restart_seconds: float = option(
        600.0,
        "(--spot_price) Seconds from a preemption to the next step: a new machine, start, "
        "compilation.",
        at_least=0,
    )
    compile_cache_dir: str = option(
        "", f"Results by program; default {compiler.default_cache_dir()}."
    )

    def check(self) -> None:
        """Refuse topologies that do not exist."""
        super().check()
        if not self.topology:
            raise OrchardError("--topology is empty; give one or more, such as v5e:2x2,v6e:2x2")
        _ = self.topologies
        if self.chip_hour_price and not self.plan:
            raise OrchardError("--chip_hour_price is the price of a --plan; add --plan")
        if self.spot_price and not self.chip_hour_price:
            raise OrchardError(
                "--spot_price is compared with the price on demand; add --chip_hour_price"
            )
        pause_hours = (self.checkpoint_seconds + self.restart_seconds) / 3600
        if self.spot_price and self.preemption_hours <= pause_hours:
            raise OrchardError(
                f"--preemption_hours={self.preemption_hours:g}: a training would not get on; give "
                f"more than --checkpoint_seconds + --restart_seconds, {pause_hours:.3g} hours"
            )

    @property
    def prices(self) -> Prices | None:
        """What a chip costs, where that was said."""
        if not self.chip_hour_price:
            return None
        spot = Spot(
            preemption_seconds=self.preemption_hours * 3600,
            checkpoint_seconds=self.checkpoint_seconds,
            restart_seconds=self.restart_seconds,
        )
        return Prices(self.chip_hour_price, self.spot_price, spot)

    @property
    def topologies(self) -> tuple[Topology, ...]:
        """The slices of --topology."""
        return tuple(parse_topology(text) for text in self.topology)

    @property
    def cache_dir(self) -> str:
        """Where results of earlier compilations are."""
        return self.compile_cache_dir or compiler.default_cache_dir()
