"""Preflight's result: per topology, as a table for people or JSON for programs."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from trainer.tpu.chips import GIB, Topology
from trainer.tpu.compiler import TOO_LARGE, Compiled, Effort
from trainer.tpu.cost_plan import CostPlan
from trainer.tpu.price import Bill
from trainer.tpu.roofline import Roofline, roofline

SCHEMA_VERSION = 1
NOTES = (
    "The step is the trainer's, compiled as one program over all devices of the slice, with what",
    "passes between them; memory, FLOPs and bytes are those of one device. TensorFlow lowered it",
    "with its {kernels} kernels; libtpu {libtpu} compiled it for a TPU that is not here. All of",
    "them are the compiler's counts; its bytes include some that stay on the chip. Rates are the",
    "roofline's bound from those counts, without the time that collectives take: nothing ran on a",
    "TPU, nothing is calibrated against one.",
)
QUICK_NOTES = (
    "--effort=quick: a training is compiled at full effort; there the memory differs by some",
    "percent, and the bytes, which can limit the rates, by a factor.",
)
SPOT_NOTES = (
    "Spot: preemptions come at random and take the whole slice and all work since the last",
    "checkpoint; saving at their notice, as the trainer does, loses less.",
)


@dataclass(frozen=True)
class Result:
    """What was found for one topology.

    Attributes:
        topology: the slice.
        batch_size: images per replica.
        compiled: the compiler's verdict.
        largest_batch: largest batch per replica that fits; 0: not looked for.
        plan: what a training would cost, where it was asked for.
    """

    topology: Topology
    batch_size: int
    compiled: Compiled
    largest_batch: int = 0
    plan: CostPlan | None = None

    @property
    def verdict(self) -> str:
        """In words; never more than was found out."""
        generation = self.topology.chip.name
        if self.compiled.fits:
            return f"compiles for {generation}, fits"
        if self.compiled.verdict == TOO_LARGE:
            return f"does not fit {generation}"
        return f"does not compile for {generation}"

    @property
    def roofline(self) -> Roofline:
        """The bound of one replica's step."""
        c = self.compiled
        return roofline(self.topology.chip, c.flops, c.bytes_accessed, self.batch_size)

    @property
    def max_images_per_second_per_chip(self) -> float:
        """The bound for a chip, which is two replicas on v2 and v3."""
        return self.roofline.images_per_second * self.topology.chip.devices_per_chip

    @property
    def max_images_per_second(self) -> float:
        """The bound for the whole slice."""
        return self.roofline.images_per_second * self.topology.num_replicas

    @property
    def max_images_per_second_per_host(self) -> float:
        """What each host must feed so that the bound could be met."""
        return self.max_images_per_second / self.compiled.num_hosts


def results_as_json(step: dict[str, Any], results: list[Result]) -> dict[str, Any]:
    """Everything as plain values; `step` says what was compiled."""
    return {
        "schema_version": SCHEMA_VERSION,
        "step": step,
        "notes": " ".join(_notes(step, results)),
        "topologies": [_result_json(result) for result in results],
    }


def results_as_text(step: dict[str, Any], results: list[Result]) -> str:
    """A table with a column a topology; `step` says what was compiled."""
    height_px, width_px = step["image_size_px"]
    columns = [_column(result, pixel_bytes=height_px * width_px * 3) for result in results]
    labels = list(dict.fromkeys(label for column in columns for label in column))
    rows = [["", *(result.topology.name for result in results)]]
    rows += [[label, *(column.get(label, "") for column in columns)] for label in labels]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    aligned = [
        [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, len(row)))]
        for row in rows
    ]
    lines = ["  ".join(cells).rstrip() for cells in aligned]
    return "\n".join([_headline(step), "", *lines, "", *_notes(step, results)])


def _headline(step: dict[str, Any]) -> str:
    height_px, width_px = step["image_size_px"]
    parts = step["accumulation_steps"]
    whole = f"a batch in {parts} parts" if parts > 1 else "a batch at once"
    return (
        f"{step['architecture']}, {height_px} x {width_px} px, {step['precision']}, "
        f"{step['optimizer']}, {whole}"
    )


def _notes(step: dict[str, Any], results: list[Result]) -> list[str]:
    libtpu, kernels = results[0].compiled.libtpu_version, step["kernels"]
    on_spot = any(r.plan and r.plan.bill and r.plan.bill.spot_hours for r in results)
    quick = any(r.compiled.effort == Effort.QUICK for r in results)
    notes = (*NOTES, *(QUICK_NOTES if quick else ()), *(SPOT_NOTES if on_spot else ()))
    return [note.format(libtpu=libtpu, kernels=kernels) for note in notes]


def _result_json(result: Result) -> dict[str, Any]:
    chip, compiled = result.topology.chip, result.compiled
    values = {
        **dataclasses.asdict(compiled),
        "verdict_text": result.verdict,
        "batch_size_per_replica": result.batch_size,
        "largest_batch_size_per_replica": result.largest_batch or None,
        "num_replicas": result.topology.num_replicas,
        "num_chips": result.topology.num_chips,
        "chip": dataclasses.asdict(chip),
    }
    if compiled.fits:
        values |= {
            "roofline": dataclasses.asdict(result.roofline),
            "limited_by": result.roofline.limited_by,
            "max_images_per_second_per_chip": result.max_images_per_second_per_chip,
            "max_images_per_second_per_host": result.max_images_per_second_per_host,
        }
    if result.plan:
        values["plan"] = {
            **dataclasses.asdict(result.plan),
            "kind": "bound, not a measurement",
            "checkpoint_every_steps": result.plan.checkpoint_every_steps or None,
        }
    return values


def _column(result: Result, pixel_bytes: int) -> dict[str, str]:
    chip, compiled = result.topology.chip, result.compiled
    column = {"batch per replica": str(result.batch_size), "verdict": result.verdict}
    if compiled.verdict == TOO_LARGE:
        column["needs"] = f"{_gib(compiled.needed_bytes)} of {_gib(compiled.available_bytes)}"
    if result.largest_batch:
        column["largest that fits"] = str(result.largest_batch)
    if not compiled.fits:
        return column
    bound, per_host = result.roofline, result.max_images_per_second_per_host
    cached = ", cached" if compiled.cached else ""
    column |= {
        "peak HBM": f"{_gib(compiled.peak_bytes)} of {_gib(chip.available_hbm_bytes)}",
        "  arguments": _gib(compiled.argument_bytes),
        "  temporaries": _gib(compiled.temporary_bytes),
        "FLOPs a step": f"{compiled.flops / 1e9:,.1f} G",
        "bytes a step": f"{compiled.bytes_accessed / 1e9:,.2f} GB",
        **_collective_rows(compiled),
        "FLOPs per byte": f"{bound.flops_per_byte:.0f} (ridge {chip.ridge_flops_per_byte:.0f})",
        "step's arithmetic at peak": f"{bound.compute_seconds * 1e3:.2f} ms",
        "step's bytes at bandwidth": f"{bound.memory_seconds * 1e3:.2f} ms",
        "bound by": bound.limited_by,
        "images/s a chip, at most": f"{result.max_images_per_second_per_chip:,.0f}",
        "images/s a host must feed": f"{per_host:,.0f} ({_chips_per_host(result)} chips)",
        "  as uint8 pixels": f"{per_host * pixel_bytes / 1e6:,.0f} MB/s",
        "compilation": f"{compiled.compile_seconds:.0f} s{cached}",
    }
    return column | (_plan_rows(result.plan) if result.plan else {})


def _collective_rows(compiled: Compiled) -> dict[str, str]:
    return {
        f"  {kind}s": f"{found.count} of {found.result_bytes / 1e6:,.1f} MB"
        for kind, found in compiled.collectives.items()
    }


def _plan_rows(plan: CostPlan) -> dict[str, str]:
    cores = "unknown" if plan.cores_per_host is None else f"{plan.cores_per_host:.1f}"
    return {
        "plan (bound, not measured)": "",
        "  steps": f"{plan.total_steps:,}",
        "  images/s": f"{plan.images_per_second:,.0f}",
        "  time": _duration(plan.hours),
        "  chip-hours": f"{plan.chip_hours:.3g}",
        "  cores a host, decoding": cores,
        "  shards": str(plan.num_shards),
    } | (_bill_rows(plan, plan.bill) if plan.bill else {})


def _bill_rows(plan: CostPlan, bill: Bill) -> dict[str, str]:
    rows = {"  on demand": f"${bill.on_demand_dollars:,.2f}"}
    if not bill.spot_hours:
        return rows
    return rows | {
        "  on spot, expected": f"${bill.spot_dollars:,.2f} in {_duration(bill.spot_hours)}",
        "  checkpoint every": f"{_duration(bill.checkpoint_interval_seconds / 3600)} "
        f"({plan.checkpoint_every_steps:,} steps)",
    }


def _chips_per_host(result: Result) -> int:
    return result.topology.num_chips // result.compiled.num_hosts


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.1f} min"


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / GIB:.2f} GiB"
