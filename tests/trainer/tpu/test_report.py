import pytest

from trainer.tpu import report
from trainer.tpu.chips import GIB, parse_topology
from trainer.tpu.compiler import Collectives, Compiled
from trainer.tpu.cost_plan import CostPlan
from trainer.tpu.price import Prices, Spot, bill
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
        "collectives": {"all-reduce": Collectives(157, 4_672_916)},
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
    assert "all-reduces" in text and "157 of 4.7 MB" in text
    assert "does not fit v5e" in text
    assert "26.90 GiB of 15.75 GiB" in text
    assert "runs on" not in text.lower()
    assert "nothing ran on a\nTPU" in text
    values = report.results_as_json(STEP, [fits, too_large])
    assert [t["verdict"] for t in values["topologies"]] == ["fits", "too_large"]
    assert "roofline" not in values["topologies"][1]
    counted = values["topologies"][0]["collectives"]
    assert counted == {"all-reduce": {"count": 157, "result_bytes": 4_672_916}}
    assert values["topologies"][1]["largest_batch_size_per_replica"] == 24


def _plan(spot_price):
    prices = Prices(4.2, spot_price, Spot(4 * 3600, checkpoint_seconds=20, restart_seconds=600))
    return CostPlan(
        total_steps=7200,
        images_per_second=320,
        hours=2.0,
        chip_hours=32,
        images_per_second_per_host=80,
        cores_per_host=None,
        num_shards=16,
        bill=bill(2.0, 16, prices),
    )


def test_results_as_text_and_json_of_prices_have_costs_and_a_checkpoint_interval():
    on_demand, both = (
        Result(parse_topology("v3:4x4"), 10, _compiled(), plan=_plan(price)) for price in (0, 2.1)
    )
    text = report.results_as_text(STEP, [on_demand])
    assert "on demand" in text and "$134.40" in text
    assert "spot" not in text
    text = report.results_as_text(STEP, [both])
    # Daly's interval for 20 s and 4 hours is 746 s, at a step a second.
    assert "checkpoint every" in text and "12.4 min (746 steps)" in text
    (found,) = report.results_as_json(STEP, [both])["topologies"]
    assert found["plan"]["checkpoint_every_steps"] == 746
    assert found["plan"]["bill"]["spot_dollars"] == pytest.approx(
        found["plan"]["bill"]["spot_hours"] * 16 * 2.1
    )
