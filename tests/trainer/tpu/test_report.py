import pytest

from trainer.tpu import report
from trainer.tpu.chips import GIB, parse_topology
from trainer.tpu.compiler import Compiled
from trainer.tpu.report import Result

STEP = {
    "architecture": "efficientnet_b7",
    "image_size_px": [512, 512],
    "precision": "mixed_bfloat16",
    "optimizer": "adamw",
    "accumulation_steps": 1,
    "kernels": "CPU",
}


def _compiled(**kwargs):
    values = {
        "topology": "v3:4x4",
        "verdict": "fits",
        "compile_seconds": 9.0,
        "num_hosts": 4,
        "libtpu_version": "0.0.52",
        "peak_bytes": 10 * GIB,
        "flops": 123e12 / 2,
        "bytes_accessed": 45e9,
    }
    return Compiled(**{**values, **kwargs})


def test_result_of_v3_counts_the_replicas_of_chip_and_host():
    result = Result(parse_topology("v3:4x4"), batch_size=10, compiled=_compiled())
    # A second of arithmetic for 10 images a core: 2 cores a chip, 32 in all, on 4 hosts.
    assert result.max_images_per_second_per_chip == pytest.approx(20)
    assert result.max_images_per_second == pytest.approx(320)
    assert result.max_images_per_second_per_host == pytest.approx(80)


def test_results_as_text_shows_only_what_was_found_out():
    fits = Result(parse_topology("v3:4x4"), 10, _compiled())
    refused = _compiled(
        topology="v5e:2x2",
        verdict="too_large",
        needed_bytes=int(26.9 * GIB),
        available_bytes=int(15.75 * GIB),
    )
    too_large = Result(parse_topology("v5e:2x2"), 64, refused, largest_batch=24)
    text = report.results_as_text(STEP, [fits, too_large])
    assert "compiles for v3, fits" in text
    assert "does not fit v5e" in text
    assert "26.90 GiB of 15.75 GiB" in text
    assert "runs on" not in text.lower()
    assert "nothing ran on a TPU" in text
    values = report.results_as_json(STEP, [fits, too_large])
    assert [t["verdict"] for t in values["topologies"]] == ["fits", "too_large"]
    assert "roofline" not in values["topologies"][1]
    assert values["topologies"][1]["largest_batch_size_per_replica"] == 24
