r"""What the TPUs' compiler says of many networks' training steps: the table of docs/benchmarks.md.

    python -m benchmarks.tpu_table [--groups=article,registry] [--write_to=docs/benchmarks.md]

Each entry is one run of `python -m trainer.preflight --json` in a process of its own, at a low
priority: a large network takes many minutes. What was found goes at once to
benchmarks/results/tpu_table.json, so that a killed run goes on where it was; compilations are
cached by their program besides. --refresh asks again for what is known; a failure is always asked
again. --nocompile asks for nothing: the table of what is known. --effort=quick has the compiler try
less (`trainer.preflight --effort`), which the row says; without it such rows are asked for again.

Groups, each on four chips of v5e, v6e and TPU7x: article_224, article, article_768: the article's
four networks at 224, 512 and 768 px; article_largest: with the largest batch, at 512 and 768 px. On
v5e alone, popular: the largest batch of some networks at their own size; registry: every network at
a small size.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass

from absl import flags

from orchard import cli, storage
from orchard.errors import OrchardError
from trainer.models import ARCHITECTURES

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "groups",
    ["article"],
    "Which: article, article_224, article_768, article_largest, popular, registry.",
)
flags.DEFINE_bool("compile", True, "Ask for what is not known.")
flags.DEFINE_enum("effort", "full", ["full", "quick"], "How hard the compiler tries.")
flags.DEFINE_integer("minutes", 0, "Give up on a row after so long; 0: never.", lower_bound=0)
flags.DEFINE_string("results", "benchmarks/results/tpu_table.json", "Where results are kept.")
flags.DEFINE_bool("refresh", False, "Ask again for what is known.")
flags.DEFINE_string("write_to", "", "Put the table between this file's tpu_table marks.")

GIB = 2**30
_ARTICLE = ("resnet152_v2", "inception_resnet_v2", "efficientnet_b6", "efficientnet_b7")
_POPULAR = ("mobilenet_v2", "efficientnet_b0", "resnet50_v2", "efficientnet_v2_s", "densenet121")
_SLICES = ("v5e:2x2", "v6e:2x2", "tpu7x:2x2x1")
_SMALL_PX = 96
_BEGIN, _END = "<!-- tpu_table: begin -->", "<!-- tpu_table: end -->"
_HEADER = (
    "| network | px | for | batch a replica | effort | peak HBM, GiB | arguments + temporaries | "
    "TFLOP a step | GB a step | all-reduces | images/s a chip, at most |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Entry:
    """One row: a network, the side of its images, a topology, and a batch (0: the largest)."""

    group: str
    architecture: str
    image_size_px: int
    topology: str
    batch_size: int

    @property
    def name(self) -> str:
        """The row's key among the results."""
        batch = self.batch_size or "largest"
        return f"{self.architecture} {self.image_size_px} {self.topology} {batch}"

    @property
    def command(self) -> list[str]:
        """The preflight that fills the row."""
        batch = f"--batch_size_per_replica={self.batch_size}" if self.batch_size else "--find_batch"
        return [
            sys.executable,
            "-m",
            "trainer.preflight",
            f"--architecture={self.architecture}",
            f"--image_size={self.image_size_px}",
            f"--topology={self.topology}",
            batch,
            f"--effort={FLAGS.effort}",
            "--json",
        ]


def entries() -> list[Entry]:
    """All rows, the cheap ones of a group first."""
    popular = [(name, ARCHITECTURES[name].image_size_px) for name in _POPULAR]
    small = [(name, max(_SMALL_PX, a.min_size_px)) for name, a in ARCHITECTURES.items()]
    return [
        *_article("article_224", 224, 32),
        *_article("article", 512, 16),
        *_article("article_768", 768, 8),
        *_article("article_largest", 512, 0),
        *_article("article_largest", 768, 0),
        *(Entry("popular", name, size_px, "v5e:2x2", 0) for name, size_px in popular),
        *(Entry("registry", name, size_px, "v5e:2x2", 8) for name, size_px in small),
    ]


def _article(group: str, image_size_px: int, batch_size: int) -> list[Entry]:
    return [
        Entry(group, name, image_size_px, topology, batch_size)
        for name in _ARTICLE
        for topology in _SLICES
    ]


def main() -> int:
    """Fill the rows of the groups, print their table; exit status 1 if a row failed."""
    known = {entry.group for entry in entries()}
    unknown = sorted(set(FLAGS.groups) - known)
    if unknown:
        raise OrchardError(f"--groups={','.join(unknown)}: there are {', '.join(sorted(known))}")
    wanted = [entry for entry in entries() if entry.group in FLAGS.groups]
    for i, entry in enumerate(wanted):
        found = _results().get(entry.name)
        if not FLAGS.compile or (_is_whole(found) and not FLAGS.refresh):
            continue
        print(f"[{i + 1}/{len(wanted)}] {entry.name} ...", file=sys.stderr, flush=True)
        began = time.monotonic()
        _keep(entry.name, _ask(entry))
        print(f"    {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    results = _results()
    asked = [entry for entry in wanted if entry.name in results]
    table = "\n".join([*_HEADER, *(_row(entry, results[entry.name]) for entry in asked)])
    print(table)
    if FLAGS.write_to:
        _put_between_marks(FLAGS.write_to, table)
    return int(any("error" in results[entry.name] for entry in asked))


def _is_whole(found: dict | None) -> bool:
    """Whether a row was compiled for all chips, which it once was not, and at no less effort."""
    if not found or "error" in found or "collectives" not in found:
        return False
    return FLAGS.effort == "quick" or _effort(found) == "full"


def _effort(found: dict) -> str:
    return found.get("effort", "full")


def _results() -> dict[str, dict]:
    return storage.read_json(FLAGS.results) if storage.exists(FLAGS.results) else {}


def _keep(name: str, found: dict) -> None:
    storage.write_json(FLAGS.results, {**_results(), name: found})


def _ask(entry: Entry) -> dict:
    command = ["nice", "-n", "10", *entry.command]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * FLAGS.minutes or None
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not compiled within {FLAGS.minutes} minutes"}
    if not done.stdout:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": lines[-1][:500] if lines else f"exit status {done.returncode}"}
    (found,) = json.loads(done.stdout)["topologies"]
    return found


def _row(entry: Entry, found: dict) -> str:
    chip = entry.topology.partition(":")[0]
    start = f"| {entry.architecture} | {entry.image_size_px} | {chip} |"
    if "error" in found:
        return f"{start} {entry.batch_size or 'largest'} | | {found['error']} |" + " |" * 5
    batch = found["batch_size_per_replica"]
    if found["verdict"] != "fits":
        needed, largest = found["needed_bytes"] / GIB, found["largest_batch_size_per_replica"]
        return (
            f"{start} {batch} | {_effort(found)} | needs {needed:.2f}; {largest} fits |" + " |" * 5
        )
    memory = f"{found['argument_bytes'] / GIB:.2f} + {found['temporary_bytes'] / GIB:.2f}"
    available = found["chip"]["available_hbm_bytes"] / GIB
    return (
        f"{start} {batch}{'' if entry.batch_size else ' (largest)'} "
        f"| {_effort(found)} | {found['peak_bytes'] / GIB:.2f} of {available:.2f} | {memory} "
        f"| {found['flops'] / 1e12:.2f} | {found['bytes_accessed'] / 1e9:.0f} "
        f"| {_all_reduces(found)} "
        f"| {found['max_images_per_second_per_chip']:.0f} ({found['limited_by']}) |"
    )


def _all_reduces(found: dict) -> str:
    if "collectives" not in found:
        return "not in it"  # Compiled for one chip, before preflight took in the whole slice.
    counted = found["collectives"].get("all-reduce", {"count": 0, "result_bytes": 0})
    return f"{counted['count']}, {counted['result_bytes'] / 1e6:.0f} MB"


def _put_between_marks(path: str, table: str) -> None:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise OrchardError(f"{path} lacks the lines {_BEGIN} and {_END}; put them where it belongs")
    storage.write_bytes(path, f"{before}{begin}\n{table}\n{end}{after}".encode())


if __name__ == "__main__":
    cli.run(main)
