"""libtpu itself: needs the extra [preflight]; each program takes seconds to compile."""

import importlib.util

import pytest
import tensorflow as tf

from orchard.errors import OrchardError
from trainer.tpu import compiler
from trainer.tpu.chips import CHIPS, parse_topology
from trainer.xla import Array, Program, trace

V5E = parse_topology("v5e:2x2")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jax", "libtpu")),
    reason="the extra [preflight] (jax, jaxlib, libtpu) is not installed",
)


def _program(rows=32, function=lambda x: x + x):
    """A function of float32 [rows, 128], of which each device has its part."""
    return trace(function, [Array("x", (rows, 128), "float32", 0)], output_axes=[0]).program


def test_compile_program_that_was_traced_again_comes_from_the_cache(tmp_path):
    first = compiler.compile_program(_program(), V5E, str(tmp_path))
    assert first.fits
    assert not first.cached
    # Each of four devices has a fourth of the rows, and nothing passes between them.
    assert first.argument_bytes == first.output_bytes == 8 * 128 * 4
    assert first.flops == 8 * 128
    assert first.collectives == {}
    assert first.num_hosts == 1
    again = compiler.compile_program(_program(), V5E, str(tmp_path))
    assert again.cached
    assert again.key == first.key


def test_compile_program_that_sums_over_the_batch_counts_its_collective(tmp_path):
    summed = trace(lambda x: tf.reduce_sum(x, 0), [Array("x", (32, 128), "float32", 0)]).program
    found = compiler.compile_program(summed, V5E, str(tmp_path))
    assert found.collectives == {"all-reduce": compiler.Collectives(1, 128 * 4)}


def test_compile_program_for_one_chip_or_several_hosts_counts_hosts(tmp_path):
    hosts = {}
    for name in ("v5e:1x1", "v4:2x2x4"):
        found = compiler.compile_program(_program(), parse_topology(name), str(tmp_path))
        assert found.fits
        hosts[name] = found.num_hosts
    assert hosts == {"v5e:1x1": 1, "v4:2x2x4": 4}


def test_compile_program_too_large_reports_the_memory_of_the_chip_table(tmp_path):
    for chip in CHIPS.values():
        topology = parse_topology(f"{chip.name}:{'2x2' if chip.dimensions == 2 else '2x2x1'}")
        huge = _program(topology.num_replicas * 10**9)
        found = compiler.compile_program(huge, topology, str(tmp_path))
        assert found.verdict == compiler.TOO_LARGE
        assert found.available_bytes == chip.available_hbm_bytes
        assert found.needed_bytes > found.available_bytes


def test_compile_program_that_kills_the_compiler_is_one_line(tmp_path):
    broken = Program(b"no program", (), (), (), ())
    with pytest.raises(OrchardError, match="the TPU compiler died .*exit status 1"):
        compiler.compile_program(broken, V5E, str(tmp_path))


def test_compile_program_at_less_effort_is_the_same_program_and_kept_apart(tmp_path):
    by_effort = {
        effort: compiler.compile_program(_program(), V5E, str(tmp_path), effort)
        for effort in compiler.Effort
    }
    full, quick = (by_effort[effort] for effort in ("full", "quick"))
    assert (full.effort, quick.effort) == ("full", "quick")
    assert quick.flops == full.flops
    assert quick.argument_bytes == full.argument_bytes
    assert not quick.cached
    assert quick.key != full.key
