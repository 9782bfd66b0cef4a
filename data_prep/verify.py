"""Re-check a published dataset end to end, or trace one of its images.

    python -m data_prep.verify --dataset=DIR/plants/1.0.0
    python -m data_prep.verify --dataset=DIR/plants/1.0.0 --id=Train_17 --output=Train_17.jpg

Exit status 1 at the first damage found, which is named with its shard, record and id.
"""

if __name__ == "__main__":
    from orchard import ctrl_c

    ctrl_c.end_at_once()  # Before the imports, which take a while.

from dataclasses import dataclass, field

from absl import logging

from data_prep.verification import SplitReport, audit_dataset, trace_image
from orchard import cli, flags, storage
from orchard.errors import OrchardError
from orchard.flags import Options, option, required
from orchard.html import format_bytes


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(Options):
    """What to check, or which image to trace."""

    dataset: str = field(
        metadata=required("Dataset, DATA_DIR/NAME/VERSION: a local path or a URL (gs://, s3://).")
    )
    id: str = option("", "Trace this image to its shard, CSV row and file, instead of checking.")
    output: str = option("", "With --id: write the image's JPEG to this file.")
    decode_check: bool = option(False, "Decode every image, not only its header.")
    workers: int = option(0, "Processes; 0: one a core.", at_least=0, at_most=10_000)

    def check(self) -> None:
        """Refuse an image to write where none is named."""
        super().check()
        if self.output and not self.id:
            raise OrchardError("--output needs --id")


OPTIONS = (VerifyOptions,)


def main() -> int:
    """Verify or trace, as the flags say."""
    options = flags.build(VerifyOptions)
    if options.id:
        _trace(options.dataset, options.id, options.output)
        return 0
    # TFDS logs every file that it reads.
    logging.set_verbosity(logging.WARNING)
    _print_table(audit_dataset(options.dataset, options.workers, options.decode_check))
    depth = "every pixel decoded" if options.decode_check else "every image's header read"
    print(f"undamaged: every checksum of the manifest is right, {depth}: {options.dataset}")
    return 0


def _trace(dataset_dir: str, image_id: str, output: str) -> None:
    found = trace_image(dataset_dir, image_id)
    for what, value in found.lines:
        print(f"{what:14} {value}")
    if output:
        storage.write_bytes(output, found.jpeg)
        print(f"{'written to':14} {output}")


def _print_table(reports: list[SplitReport]) -> None:
    print(f"{'split':12} {'shards':>7} {'records':>10} {'bytes':>12}")
    for report in reports:
        size = format_bytes(report.num_bytes)
        print(f"{report.name:12} {report.shards:>7} {report.records:>10} {size:>12}")


if __name__ == "__main__":
    cli.run(main, *OPTIONS)
