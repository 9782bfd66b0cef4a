"""What preflight is asked, as flags."""

from dataclasses import dataclass

from orchard.errors import OrchardError
from orchard.flags import Options, option
from orchard.formats import Task
from trainer.tpu import compiler
from trainer.tpu.chips import Topology, parse_topology

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
    compile_cache_dir: str = option(
        "", f"Results by program; default {compiler.default_cache_dir()}."
    )

    def check(self) -> None:
        """Refuse topologies that do not exist."""
        super().check()
        if not self.topology:
            raise OrchardError("--topology is empty; give one or more, such as v5e:2x2,v6e:2x2")
        _ = self.topologies

    @property
    def topologies(self) -> tuple[Topology, ...]:
        """The slices of --topology."""
        return tuple(parse_topology(text) for text in self.topology)

    @property
    def cache_dir(self) -> str:
        """Where results of earlier compilations are."""
        return self.compile_cache_dir or compiler.default_cache_dir()
