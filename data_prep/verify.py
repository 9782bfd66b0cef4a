"""Re-check a published dataset end to end, or trace one of its images.

    python -m data_prep.verify --dataset=DIR/plants/1.0.0
    python -m data_prep.verify --dataset=DIR/plants/1.0.0 --id=Train_17 --output=Train_17.jpg

Exit status 1 at the first damage found, which is named with its shard, record and id.
"""

from absl import flags, logging

from data_prep.verification import SplitReport, audit_dataset, trace_image
from orchard import cli, storage
from orchard.errors import OrchardError
from orchard.html import format_bytes

_DATASET = flags.DEFINE_string(
    "dataset", "", "The dataset, DATA_DIR/NAME/VERSION: a local path or a URL (gs://, s3://, ...)"
)
_ID = flags.DEFINE_string("id", "", "Tell where this image is and came from, instead of checking")
_OUTPUT = flags.DEFINE_string("output", "", "With --id: write the image's JPEG to this file")
_DECODE_CHECK = flags.DEFINE_bool("decode_check", False, "Decode every image, not its header only")
_WORKERS = flags.DEFINE_integer("workers", 0, "Processes; 0: one a core", lower_bound=0)


def main() -> int:
    """Verify or trace, as the flags say."""
    if not _DATASET.value:
        raise OrchardError("--dataset is required: DATA_DIR/NAME/VERSION")
    if _OUTPUT.value and not _ID.value:
        raise OrchardError("--output needs --id")
    dataset_dir = _DATASET.value
    if _ID.value:
        _trace(dataset_dir, _ID.value, _OUTPUT.value)
        return 0
    # TFDS tells of every file that it reads.
    logging.set_verbosity(logging.WARNING)
    _print_table(audit_dataset(dataset_dir, _WORKERS.value, _DECODE_CHECK.value))
    depth = "every pixel decoded" if _DECODE_CHECK.value else "every image's header read"
    print(f"undamaged: every checksum of the manifest is right, {depth}: {dataset_dir}")
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
    cli.run(main)
